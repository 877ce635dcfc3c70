//! Friends' fleets: three firewalls with a server each, which exchange offenders.

use std::fs;
use std::path::Path;

use jiff::Timestamp;
use kban::fleet::audience::Audience;
use kban::fleet::decision::Decision;
use kban::fleet::invitation::Answer;
use kban::fleet::keys;
use serde_json::Value;

use super::Site;
use crate::harness::{Background, eventually, stderr};

const BOTH: &str = "203.0.113.9";
const ONE: &str = "203.0.113.10";

/// Makes a fleet on a machine other than the firewall, the `place`th of the site, and starts its server.
fn friend(site: &Site, who: &str, place: u8) -> Background {
    site.init(who, &format!("10.9.0.{}", 10 + place), &site.path(who, "nats"));
    site.server_of(who, &super::nats_server())
}

/// Has `reader` read the offenders of `friend`, with the lines that two administrators would send each other.
fn read(site: &Site, reader: &str, friend: &str) {
    let invited = site.said(friend, &["fleet", "invite", reader, "--role", "peer"]);
    let line = invited.trim().strip_prefix("banctl fleet join ").unwrap();
    let joined = site.said(reader, &["fleet", "join", line, "--name", friend]);
    let line = joined.trim().strip_prefix("banctl fleet accept ").unwrap();
    site.said(friend, &["fleet", "accept", line]);
}

/// How many offenders of a friend are known.
fn named(site: &Site, who: &str, friend: &str) -> Option<u64> {
    site.fleet(who)["peers"][friend]["offenders"].as_u64()
}

/// What the firewall tells its friends, by subject.
fn told(site: &Site) -> Vec<String> {
    let info = "req $JS.API.STREAM.INFO.OFFENDERS {\"subjects_filter\":\">\"}".to_owned();
    let said = site.client("fw", &site.path("fw", "fleet/decisions.seed"), "fleet", &[info]);
    let answer: Value = serde_json::from_str(said[0].split_once(": ").unwrap().1).unwrap();
    let subjects = answer["state"]["subjects"].as_object().cloned().unwrap_or_default();
    subjects.keys().cloned().collect()
}

#[test]
fn whom_two_friends_name_is_banned_until_one_of_them_lifts_it() {
    let site = Site::new(&["alpha", "beta", "edge1"]);
    let limit = "[fleet]\nbantime = \"1h\"\n[defaults]\nignoreip = [\"198.51.100.7\"]\n";
    let long = "[defaults]\nbantime = \"1d\"\n";
    for (who, more) in [("fw", limit), ("alpha", long), ("beta", long), ("edge1", "")] {
        site.configure(who, more);
    }
    site.found(&[("edge1", "edge")]);
    site.start_server();
    let _servers = [friend(&site, "alpha", 0), friend(&site, "beta", 1)];
    let mut daemons: Vec<Background> = ["fw", "alpha", "beta", "edge1"].map(|who| site.kband(who)).into();
    ["fw", "alpha", "beta", "edge1"].iter().for_each(|who| site.connected(who));
    // What is known before anybody reads it is read, too.
    site.attack("alpha", BOTH);
    eventually("it bans", || site.banned("alpha", "sshd") == [BOTH]);
    read(&site, "fw", "alpha");
    assert!(site.said("fw", &["status"]).contains("is worth 1, and needs = 2"), "one friend is not enough");
    read(&site, "fw", "beta");
    assert!(!site.said("fw", &["status"]).contains("needs = 2"));
    read(&site, "beta", "fw");
    eventually("it is read", || named(&site, "fw", "alpha") == Some(1));
    assert!(site.banned("fw", "peers").is_empty(), "one fleet is one fleet");

    site.attack("beta", BOTH);
    eventually("two are enough", || site.banned("fw", "peers") == [BOTH]);
    assert_eq!(site.machine.set("host4")[0].0, BOTH, "in the firewall's kernel");
    eventually("its own edge follows", || site.banned("edge1", "fleet") == [BOTH]);
    let ban = site.json("fw", &["list"])["bans"][0].clone();
    assert_eq!(ban["reason"], "named by alpha, beta");
    let time = |key: &str| ban[key].as_str().unwrap().parse::<Timestamp>().unwrap();
    let there = site.json("beta", &["list"])["bans"][0].clone();
    assert_eq!(time("until").duration_since(time("since")).as_secs(), 3600, "the limit");
    assert!(
        there["until"].as_str().unwrap().parse::<Timestamp>().unwrap() > time("until"),
        "theirs is longer"
    );
    // The store is a moment behind.
    eventually("who said so", || site.said("fw", &["why", BOTH]).contains("beta: banned by sshd at"));
    assert!(site.said("fw", &["why", BOTH]).contains("alpha: banned by sshd at"));

    // Who is spared here, and what travels: whom own jails have banned, and neither what friends said, nor a ban by hand.
    for who in ["alpha", "beta"] {
        site.attack(who, "198.51.100.7");
        site.attack(who, "10.1.2.3");
        site.said(who, &["ban", "203.0.113.99"]);
    }
    site.attack("fw", ONE);
    eventually("both were heard", || {
        ["alpha", "beta"].iter().all(|friend| named(&site, "fw", friend) == Some(2))
    });
    eventually("it is spared", || {
        let peers = site.fleet("fw")["peers"].clone();
        peers["alpha"]["spared"].as_u64().unwrap() + peers["beta"]["spared"].as_u64().unwrap() == 1
    });
    eventually("it is told", || told(&site) == ["ban.offender.v4.203-0-113-10-32"]);
    eventually("a friend hears of it", || named(&site, "beta", "fw") == Some(1));
    assert_eq!(site.banned("fw", "peers"), [BOTH]);

    // A friend is away, this machine begins anew, and another friend lifts its ban meanwhile.
    site.machine.sh("ip link set alpha down");
    daemons.remove(0);
    site.said("beta", &["unban", BOTH]);
    daemons.push(site.kband("fw"));
    eventually("too few are left", || site.banned("fw", "peers").is_empty());
    eventually("its own edge follows", || !site.banned("edge1", "fleet").contains(&BOTH.to_owned()));
    let history = || site.said("fw", &["history", BOTH]);
    eventually("it is history", || history().contains("withdrawn"));
    eventually("it is told who is away", || {
        site.said("fw", &["status"]).contains("no connection to 10.9.0.10:4222 (peer alpha)")
    });
    // Its word counts while it is away.
    site.attack("beta", BOTH);
    eventually("two are enough", || site.banned("fw", "peers") == [BOTH]);
    site.machine.sh("ip link set alpha up");
    site.connected("fw");

    // What an administrator lifts stays lifted, also over a restart.
    site.said("fw", &["unban", BOTH]);
    daemons.pop();
    daemons.push(site.kband("fw"));
    site.connected("fw");
    site.attack("alpha", "203.0.113.11");
    site.attack("beta", "203.0.113.11");
    eventually("others are banned", || site.banned("fw", "peers") == ["203.0.113.11"]);

    let listed = site.said("fw", &["fleet", "list"]);
    for words in ["edge1", "peer", "alpha", "10.9.0.11:4222"] {
        assert!(listed.contains(words), "{words}: {listed}");
    }
    assert!(site.said("fw", &["fleet", "status"]).contains("alpha names 3 offenders"));
    // A friend that is none any more.
    let revoked = site.said("fw", &["fleet", "revoke", "beta"]);
    assert!(revoked.contains("are not read any more") && revoked.contains("does not belong"), "{revoked}");
    eventually("its votes are gone", || site.banned("fw", "peers").is_empty());
    let gone = || site.fleet("beta")["connections"]["peer fw"]["error"].as_str().unwrap_or("").to_owned();
    eventually("it reads nothing any more", || gone().contains("does not know this machine's key"));
    assert!(!site.path("fw", "fleet/peer-beta.seed").exists());
}

#[test]
fn a_machine_without_a_fleet_may_listen_and_mistakes_are_told() {
    let site = Site::new(&["alone", "web1"]);
    ["fw", "web1"].iter().for_each(|who| site.configure(who, ""));
    site.configure("alone", "[fleet]\nrole = \"peer\"\nneeds = 1\n");
    site.found(&[("web1", "host")]);
    site.start_server();
    let _fw = site.kband("fw");
    let line = |name: &str| {
        let invited = site.said("fw", &["fleet", "invite", name, "--role", "peer"]);
        invited.trim().strip_prefix("banctl fleet join ").unwrap().to_owned()
    };
    let directory = site.path("alone", "keys");
    fs::write(
        site.path("alone", "etc/kban.d/10-directory.toml"),
        format!("[fleet]\ndirectory = {directory:?}\n"),
    )
    .unwrap();
    let joined = site.said("alone", &["fleet", "join", &line("alone")]);
    site.said("fw", &["fleet", "accept", joined.trim().strip_prefix("banctl fleet accept ").unwrap()]);
    let _alone = site.kband("alone");
    site.connected("alone");
    site.attack("fw", ONE);
    eventually("it listens", || site.banned("alone", "peers") == [ONE]);
    assert!(site.said("alone", &["fleet", "list"]).contains("10-9-0-1"), "called as its server is");
    let status = site.said("alone", &["fleet", "status"]);
    assert!(status.contains("10-9-0-1 names 1 offender"), "{status}");

    // An answer that asks for more than was offered.
    let answer = Answer::read(joined.trim().strip_prefix("banctl fleet accept ").unwrap()).unwrap();
    let more = Answer { edge: answer.peer.clone(), peer: None, ..answer }.line();
    for (who, arguments, words) in [
        ("fw", vec!["fleet", "accept", &more], "asks for more than that offered"),
        ("alone", vec!["fleet", "join", &line("again")], "called 10-9-0-1 already"),
        ("fw", vec!["fleet", "join", &line("me")], "this machine's own fleet"),
        ("web1", vec!["fleet", "join", &line("web")], "not on the word of friends' fleets"),
        ("alone", vec!["fleet", "revoke", "other"], "no firewall of a fleet"),
    ] {
        let output = site.banctl(who, &arguments);
        assert!(!output.status.success(), "{arguments:?}");
        assert!(stderr(&output).contains(words), "{arguments:?}: {}", stderr(&output));
    }
    fs::remove_file(site.path("alone", "etc/kban.toml")).unwrap();
    site.configure("alone", "");
    site.said("alone", &["fleet", "revoke", "10-9-0-1"]);
    eventually("nobody is listened to", || site.banned("alone", "peers").is_empty());
    assert!(site.fleet("alone").is_null());
}

/// What the firewall's own key says in a message for its friends.
fn signed(seed: &Path, prefix: &str, serial: u64, seconds: i64, until: Option<i64>, lifted: bool) -> String {
    let at = |second: i64| Timestamp::from_second(Timestamp::now().as_second() + second).unwrap();
    let decision = Decision {
        v: 1,
        serial,
        prefix: prefix.parse().unwrap(),
        lifted,
        since: at(seconds),
        until: until.map(at),
        ports: None,
        reason: "sshd".to_owned(),
    };
    sealed(decision, seed, Audience::Peers)
}

fn sealed(decision: Decision, seed: &Path, audience: Audience) -> String {
    let message = Decision::signed(&[decision], &keys::load(seed).unwrap(), audience).remove(0);
    String::from_utf8(message).unwrap().replace('\n', "\\n")
}

#[test]
fn a_hostile_friend_is_refused_counted_and_told_by_name() {
    let site = Site::new(&["alone"]);
    site.configure("fw", "");
    let directory = site.path("alone", "keys");
    site.configure("alone", &format!("[fleet]\nneeds = 1\nmax_offenders = 4\ndirectory = {directory:?}\n"));
    site.found(&[]);
    site.start_server();
    let _daemons = ["fw", "alone"].map(|who| site.kband(who));
    read(&site, "alone", "fw");
    site.connected("alone");
    site.attack("fw", ONE);
    eventually("an honest ban", || site.banned("alone", "peers") == [ONE]);

    // The server and the firewall's keys in the hands of somebody else.
    let signer = site.path("fw", "fleet/signer.seed");
    let stranger = site.path("fw", "stranger.seed");
    keys::make(&stranger).unwrap();
    let of = |key: &Path, prefix: &str, serial| signed(key, prefix, serial, -60, Some(3600), false);
    let edges = {
        let text = of(&signer, "203.0.113.50/32", 50);
        let text = text.split("\\n").next().unwrap();
        let decision: Decision = serde_json::from_str(text).unwrap();
        sealed(decision, &signer, Audience::Edges)
    };
    let late = u64::MAX / 4;
    let mut messages = vec![
        "{\"v\":1}".to_owned(),
        of(&stranger, "203.0.113.50/32", 50),
        edges,
        of(&signer, "0.0.0.0/0", late),
        of(&signer, "203.0.113.0/24", late),
        of(&signer, "127.0.0.1/32", late),
        of(&signer, "10.0.0.1/32", late),
        of(&signer, "203.0.113.10/32", 1),
        signed(&signer, "203.0.113.51/32", late, 3600, None, false),
        signed(&signer, "203.0.113.52/32", late, -7200, Some(-60), false),
        signed(&signer, "203.0.113.53/32", late, -60, Some(3600), true),
    ];
    messages.extend((0..20).map(|number| of(&signer, &format!("198.18.0.{number}/32"), late)));
    let lines: Vec<String> = messages
        .iter()
        .enumerate()
        .map(|(number, message)| format!("pub ban.offender.v4.x{number} - {message}"))
        .collect();
    site.client("fw", &site.path("fw", "fleet/decisions.seed"), "fleet", &lines);
    let refused = || site.fleet("alone")["peers"]["fw"]["refused"].clone();
    eventually("too many are too many", || refused()["it names more than max_offenders"] == 18);
    for (why, times) in [
        ("it is no decision", 1),
        ("its signature is not the firewall's", 2),
        ("it is of no single remote host", 3),
        ("it is of a private address", 1),
        ("it is older than what is known", 1),
        ("it is from the future: is its clock right?", 1),
    ] {
        assert_eq!(refused()[why], times, "{why}: {}", refused());
    }
    assert_eq!(site.banned("alone", "peers"), ["198.18.0.0", "198.18.0.1", ONE]);
    let status = site.said("alone", &["status"]);
    assert!(
        status.contains("2 messages of fw were not counted: its signature is not the firewall's"),
        "{status}"
    );
}

#[test]
fn a_reader_that_was_broken_into_reads_offenders_and_nothing_else() {
    let site = Site::new(&["alone", "edge1", "web1"]);
    ["fw", "edge1", "web1"].iter().for_each(|who| site.configure(who, ""));
    site.configure("alone", &format!("[fleet]\nneeds = 1\ndirectory = {:?}\n", site.path("alone", "keys")));
    site.found(&[("edge1", "edge"), ("web1", "host")]);
    site.start_server();
    let _daemons = ["fw", "edge1", "web1"].map(|who| site.kband(who));
    read(&site, "alone", "fw");
    site.attack("fw", ONE);
    site.attack("web1", BOTH);
    eventually("there is something to destroy", || told(&site).len() == 2);
    let seed = site.path("alone", "keys/peer-fw.seed");
    let lines: Vec<String> = [
        "pub ban.offender.v4.203-0-113-9-32 - x",
        "pub ban.decision.v4.203-0-113-9-32 - x",
        "pub ban.report.web1 - x",
        "pub ban.report.alone - x",
        "pub ban.edge.edge1 - {\"v\":1,\"anew\":true}",
        "pub ban.edge.alone - {\"v\":1,\"anew\":true}",
        "pub ban.peer.other - {\"v\":1,\"anew\":true}",
        "pub $JS.API.CONSUMER.MSG.NEXT.DECISIONS.edge1 - {}",
        "pub $JS.API.CONSUMER.MSG.NEXT.DECISIONS.alone - {}",
        "pub $JS.API.CONSUMER.MSG.NEXT.REPORTS.firewall - {}",
        "pub $JS.API.CONSUMER.MSG.NEXT.OFFENDERS.other - {}",
        "pub $JS.ACK.DECISIONS.edge1.1.1.1.1.0 - +ACK",
        "pub $JS.API.STREAM.INFO.DECISIONS - {}",
        "pub $JS.API.STREAM.INFO.OFFENDERS - {}",
        "pub $JS.API.STREAM.PURGE.OFFENDERS - {}",
        "pub $JS.API.CONSUMER.CREATE.OFFENDERS - {}",
        "pub $JS.API.DIRECT.GET.OFFENDERS - {\"seq\":1}",
        "sub ban.offender.>",
        "sub ban.decision.>",
        "sub ban.report.*",
        "sub _INBOX.edge1.>",
        "sub >",
    ]
    .map(str::to_owned)
    .to_vec();
    let said = site.client("alone", &seed, "alone", &lines);
    for line in &lines {
        let is_told = said.iter().any(|told| told.starts_with(&format!("refused {line}: ")));
        assert!(is_told, "{line} was not refused: {said:?}");
    }
    // What it may ask for, with replies that would have the server publish, purge or confirm in its stead.
    let injected: Vec<String> = [
        "ban.offender.v4.203-0-113-9-32",
        "ban.decision.v4.203-0-113-9-32",
        "ban.report.web1",
        "$JS.API.STREAM.PURGE.OFFENDERS",
        "$JS.API.STREAM.PURGE.DECISIONS",
        "$JS.API.CONSUMER.DELETE.DECISIONS.edge1",
        "_INBOX.edge1.x",
    ]
    .iter()
    .flat_map(|reply| {
        [
            format!("pub $JS.API.CONSUMER.MSG.NEXT.OFFENDERS.alone {reply} {{\"batch\":1,\"no_wait\":true}}"),
            format!("pub $JS.ACK.OFFENDERS.alone.1.1.1.1.0 {reply} +NXT"),
            format!("pub ban.peer.alone {reply} {{\"v\":1,\"anew\":true}}"),
        ]
    })
    .collect();
    site.client("alone", &seed, "alone", &injected);
    assert_eq!(told(&site).len(), 2);
    let _alone = site.kband("alone");
    eventually("all goes on", || site.banned("alone", "peers") == [BOTH, ONE]);
    site.attack("web1", "203.0.113.12");
    eventually("also with its edges", || site.banned("edge1", "fleet").len() == 3);
}
