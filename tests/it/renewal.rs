//! Who still knocks stays out: from a log line to a ban that the offender's own packets renew, through restarts, flushes
//! and reloads.

use std::fs;

use crate::harness::{Machine, eventually, failed_password};

/// Two jails over one log, `sshd` with `keys`, `mail` with `mail_keys`.
fn configure(machine: &Machine, keys: &str, mail_keys: &str) {
    let log = machine.path("auth.log");
    let text = format!(
        "[defaults]\nmaxretry = 1\nipv6_prefix = 64\n\
         [jail.sshd]\nenabled = true\nlogpath = {log:?}\n{keys}\n\
         [jail.mail]\nenabled = {}\nfilter = \"sshd\"\nlogpath = {log:?}\n{mail_keys}\n",
        !mail_keys.is_empty()
    );
    fs::write(machine.path("kban.toml"), text).unwrap();
}

/// A machine with two addresses of others: 198.51.100.9 and 2001:db8:5::9.
fn machine() -> Machine {
    let machine = Machine::new();
    machine.sh("ip link add wan0 type veth peer name eth0; ip netns add outside; ip link set eth0 netns outside
                ip addr add 198.51.100.1/24 dev wan0; ip addr add 2001:db8:5::1/128 dev wan0 nodad; ip link set wan0 up
                ip -6 route add 2001:db8:6::/64 dev wan0
                ip -n outside addr add 198.51.100.9/24 dev eth0; ip -n outside addr add 198.51.100.10/24 dev eth0
                ip -n outside addr add 2001:db8:6::9/64 dev eth0 nodad; ip -n outside link set eth0 up
                ip -n outside -6 route add 2001:db8:5::1/128 dev eth0");
    machine
}

/// Packets to a port of this machine that nobody answers.
fn knock(machine: &Machine, from: &str, port: u16) {
    let (family, to) =
        if from.contains(':') { ("AF_INET6", "2001:db8:5::1") } else { ("AF_INET", "198.51.100.1") };
    let send = format!(
        "import socket; s = socket.socket(socket.{family}, socket.SOCK_DGRAM); s.bind(('{from}', 0)); s.sendto(b'knock', ('{to}', {port}))"
    );
    let mut command = machine.command("ip");
    command.args(["netns", "exec", "outside", "/usr/bin/python3", "-c", &send]);
    assert!(command.status().unwrap().success());
}

/// Seconds left of the ban of `address` by `jail`, as `banctl list` shows them.
fn left(machine: &Machine, jail: &str, address: &str) -> Option<u64> {
    let bans = machine.banctl_json(&["list"])["bans"].clone();
    let of = |ban: &&serde_json::Value| ban["jail"] == jail && ban["address"] == address;
    bans.as_array().unwrap().iter().find(of).map(|ban| {
        assert_eq!(ban["in_kernel"], true, "{ban}");
        ban["seconds_left"].as_u64().unwrap()
    })
}

/// Writes the end that the store has of every ban `seconds` earlier, and that of the kernel's elements, as if so much time had passed
/// since the ban.
fn as_if_passed(machine: &Machine, seconds: i64) {
    let database = rusqlite::Connection::open(machine.path("state/kban.sqlite3")).unwrap();
    let moved = seconds * 1_000_000;
    database.execute("UPDATE bans SET until = until - ?1, since = since - ?1", [moved]).unwrap();
}

/// Gives an element of the kernel so much less time, as nobody but the kernel can: with kband stopped.
fn shorten(machine: &Machine, set: &str, element: &str, timeout: &str, left: &str) {
    machine.sh(&format!(
        "nft 'delete element inet kban {set} {{ {element} }}; add element inet kban {set} {{ {element} timeout {timeout} expires {left} }}'"
    ));
}

const PLAIN: &str = "[firewall]\nownership = \"plain\"\n";

#[test]
fn the_end_of_a_ban_follows_the_last_packet_and_survives_a_restart() {
    let machine = machine();
    configure(&machine, &format!("bantime = \"1h\"\nrenew_on_contact = true\n{PLAIN}"), "");
    let daemon = machine.start(machine.kband());
    for address in ["198.51.100.9", "198.51.100.10", "2001:db8:6::9"] {
        machine.log(&failed_password(address));
    }
    eventually("all are banned", || machine.listed().len() == 3);
    assert_eq!(machine.set("renew4_3600").len(), 2);
    assert_eq!(machine.set("renew6_64_3600").len(), 1);
    let bans = machine.banctl_json(&["list"])["bans"].clone();
    assert!(bans.as_array().unwrap().iter().all(|ban| ban["renews"] == true), "{bans}");
    let told = String::from_utf8(machine.banctl(&["list"]).stdout).unwrap();
    assert_eq!(told.matches(" or more ").count(), 3, "{told}");
    assert!(machine.set("host4").is_empty());

    // Half an hour later.
    daemon.stop();
    as_if_passed(&machine, 1_800);
    for address in ["198.51.100.9", "198.51.100.10"] {
        shorten(&machine, "renew4_3600", address, "1h", "30m");
    }
    shorten(&machine, "renew6_64_3600", "2001:db8:6::", "1h", "30m");
    let daemon = machine.start(machine.kband());
    assert!(left(&machine, "sshd", "198.51.100.9").unwrap() <= 1_800);
    knock(&machine, "198.51.100.9", 9);
    knock(&machine, "2001:db8:6::9", 9);
    assert!(left(&machine, "sshd", "198.51.100.9").unwrap() > 3_500, "the list shows it at once");
    assert!(left(&machine, "sshd", "2001:db8:6::/64").unwrap() > 3_500);
    assert!(left(&machine, "sshd", "198.51.100.10").unwrap() <= 1_800, "silent");

    // A line of the log says that it is still heard: the kernel is told again, and nothing gets shorter.
    machine.log(&failed_password("198.51.100.9"));
    machine.log(&failed_password("198.51.100.11"));
    eventually("the line was read", || machine.listed().contains(&"198.51.100.11".to_owned()));
    assert!(left(&machine, "sshd", "198.51.100.9").unwrap() > 3_500);

    // Whoever restarts it, and whatever the store knew: what the kernel has renewed is not shortened.
    daemon.kill();
    let daemon = machine.start(machine.kband());
    assert!(left(&machine, "sshd", "198.51.100.9").unwrap() > 3_500);
    assert!(
        machine.set("renew4_3600").iter().any(|(address, left)| address == "198.51.100.9" && *left > 3_500)
    );
    assert!(left(&machine, "sshd", "198.51.100.10").unwrap() <= 1_800);
    // The store has the later end: a reboot, which empties the kernel, keeps it.
    daemon.stop();
    machine.sh("nft delete table inet kban");
    let _daemon = machine.start(machine.kband());
    assert!(left(&machine, "sshd", "198.51.100.9").unwrap() > 3_500);
    assert!(left(&machine, "sshd", "198.51.100.10").unwrap() <= 1_800);
    // Lifted is lifted.
    assert!(machine.banctl(&["unban", "198.51.100.9"]).status.success());
    assert!(machine.set("renew4_3600").iter().all(|(address, _)| address != "198.51.100.9"));
    assert!(machine.banctl(&["flush"]).status.success());
    // A set of which nothing is left goes within a minute.
    let table = machine.sh("nft list table inet kban");
    let offenders = ["198.51.100.9", "198.51.100.10", "198.51.100.11", "2001:db8:6:"];
    assert!(!offenders.iter().any(|offender| table.contains(offender)), "{table}");
}

#[test]
fn a_ban_that_is_due_goes_on_while_its_offender_knocks() {
    let machine = machine();
    configure(&machine, "bantime = \"6s\"\nrenew_on_contact = true\n", "");
    let _daemon = machine.start(machine.kband());
    machine.log(&failed_password("198.51.100.9"));
    eventually("banned", || machine.listed() == ["198.51.100.9"]);
    eventually("it is told that it goes on", || {
        knock(&machine, "198.51.100.9", 9);
        machine.kband_log().contains("198.51.100.9 still knocks: banned until")
    });
    assert!(!machine.kband_log().contains("Unban 198.51.100.9"), "{}", machine.kband_log());
    assert_eq!(machine.listed(), ["198.51.100.9"]);
    // Silence ends it.
    eventually("it ends", || machine.kband_log().contains("Unban 198.51.100.9 (expired)"));
    assert!(machine.listed().is_empty());
}

/// kband is down when the ban would have ended.
#[test]
fn a_ban_that_was_renewed_while_kband_was_down_goes_on() {
    let machine = machine();
    configure(&machine, "bantime = \"1h\"\nrenew_on_contact = true\n", "");
    let daemon = machine.start(machine.kband());
    machine.log(&failed_password("198.51.100.9"));
    machine.log(&failed_password("203.0.113.7"));
    eventually("banned", || machine.listed().len() == 2);
    daemon.stop();
    as_if_passed(&machine, 4_000);
    machine.sh("nft delete element inet kban renew4_3600 '{ 203.0.113.7 }'");
    let _daemon = machine.start(machine.kband());
    eventually("who is gone from the kernel has ended", || machine.listed() == ["198.51.100.9"]);
    assert!(left(&machine, "sshd", "198.51.100.9").unwrap() > 3_000);
    assert!(machine.kband_log().contains("Unban 203.0.113.7 (expired)"));
}

#[test]
fn what_others_do_to_a_renewed_ban_is_put_right_and_what_packets_do_is_not() {
    let machine = machine();
    configure(&machine, &format!("bantime = \"1h\"\nrenew_on_contact = true\n{PLAIN}"), "");
    let daemon = machine.start(machine.kband());
    machine.log(&failed_password("198.51.100.9"));
    eventually("banned", || machine.listed() == ["198.51.100.9"]);
    daemon.stop();
    as_if_passed(&machine, 1_800);
    shorten(&machine, "renew4_3600", "198.51.100.9", "1h", "30m");
    let _daemon = machine.start(machine.kband());
    knock(&machine, "198.51.100.9", 9);
    // A change by somebody, to somebody else: everything is compared.
    machine.sh("nft add element inet kban host4 '{ 203.0.113.1 }'");
    eventually("put right", || machine.set("host4").is_empty());
    machine.sh("nft add table inet other");
    assert!(machine.set("renew4_3600")[0].1 > 3_500, "not shortened");
    for spoil in ["delete element inet kban renew4_3600 { 198.51.100.9 }", "flush ruleset"] {
        machine.sh(&format!("nft '{spoil}'"));
        eventually("it is back", || {
            machine
                .command("nft")
                .args(["list", "set", "inet", "kban", "renew4_3600"])
                .output()
                .unwrap()
                .status
                .success()
                && machine.set("renew4_3600").len() == 1
        });
    }
    let restored = machine.set("renew4_3600")[0].1;
    knock(&machine, "198.51.100.9", 9);
    assert!(
        machine.set("renew4_3600")[0].1 >= restored
            && left(&machine, "sshd", "198.51.100.9").unwrap() > 3_500
    );
}

#[test]
fn bans_of_several_jails_each_keep_their_own_end() {
    let machine = machine();
    configure(
        &machine,
        "bantime = \"1h\"\nrenew_on_contact = true\nport = 22",
        "bantime = \"2h\"\nport = [\"smtp\", \"22\"]\nprotocol = \"udp\"",
    );
    let daemon = machine.start(machine.kband());
    machine.log(&failed_password("198.51.100.9"));
    eventually("both have banned", || machine.listed().len() == 2);
    assert!(machine.sh("nft list set inet kban renew_port4_3600").contains("198.51.100.9 . tcp . 22"));
    assert!(machine.sh("nft list set inet kban port4").contains("198.51.100.9 . udp . 25"));
    let status = machine.banctl_json(&["status"]);
    assert_eq!(status["warnings"], serde_json::json!([]), "{status}");

    // The key is switched on for the other jail as well, off for the first: bans in force follow.
    configure(
        &machine,
        "bantime = \"1h\"\nport = 22",
        "bantime = \"2h\"\nport = [\"smtp\", \"22\"]\nprotocol = \"udp\"\nrenew_on_contact = true",
    );
    assert!(machine.banctl(&["reload"]).status.success());
    eventually("both are where they belong, and only there", || {
        let holds = |set: &str, what: &str| {
            machine.sh(&format!("nft list set inet kban {set} || true 2>&1")).contains(what)
        };
        holds("port4", "198.51.100.9 . tcp . 22")
            && holds("renew_port4_7200", "198.51.100.9 . udp . 25")
            && !holds("port4", "udp")
            && !holds("renew_port4_3600", "198.51.100.9")
    });
    assert!((7_000..=7_200).contains(&left(&machine, "mail", "198.51.100.9").unwrap()));
    assert!((3_400..=3_600).contains(&left(&machine, "sshd", "198.51.100.9").unwrap()));

    // One port is knocked at: the whole ban lasts.
    daemon.stop();
    as_if_passed(&machine, 1_800);
    for port in ["25", "22"] {
        shorten(&machine, "renew_port4_7200", &format!("198.51.100.9 . udp . {port}"), "2h", "90m");
    }
    let daemon = machine.start(machine.kband());
    knock(&machine, "198.51.100.9", 25);
    assert!(left(&machine, "mail", "198.51.100.9").unwrap() > 7_000);
    daemon.stop();
    let _daemon = machine.start(machine.kband());
    eventually("the other port follows", || {
        let set = machine.nft("list set inet kban renew_port4_7200");
        let elements = set["nftables"][1]["set"]["elem"].as_array().unwrap().clone();
        elements.len() == 2
            && elements.iter().all(|element| element["elem"]["expires"].as_u64().unwrap() > 7_000)
    });
    assert!(machine.banctl(&["unban", "198.51.100.9", "--jail", "mail"]).status.success());
    let rest = machine.sh("nft list table inet kban");
    assert!(rest.contains("198.51.100.9 . tcp . 22") && !rest.contains("udp"), "{rest}");
}

#[test]
fn packets_of_a_ban_are_counted_and_shown() {
    let machine = machine();
    configure(&machine, "", "");
    let config = fs::read_to_string(machine.path("kban.toml")).unwrap();
    fs::write(machine.path("kban.toml"), format!("{config}{PLAIN}count = true\n")).unwrap();
    let daemon = machine.start(machine.kband());
    for address in ["198.51.100.9", "198.51.100.10"] {
        machine.log(&failed_password(address));
    }
    eventually("both are banned", || machine.listed().len() == 2);
    for port in [9, 10, 11] {
        knock(&machine, "198.51.100.9", port);
    }
    let told = String::from_utf8(machine.banctl(&["list"]).stdout).unwrap();
    assert!(told.contains("PACKETS"), "{told}");
    let bans = machine.banctl_json(&["list"])["bans"].clone();
    let packets = |at: usize| (bans[at]["address"].as_str().unwrap(), bans[at]["packets"].as_u64());
    assert_eq!([packets(0), packets(1)], [("198.51.100.9", Some(3)), ("198.51.100.10", Some(0))]);
    let why = String::from_utf8(machine.banctl(&["why", "198.51.100.9"]).stdout).unwrap();
    assert!(why.contains("; 3 packets dropped"), "{why}");

    // Without a daemon in between the counters go on; a table that somebody flushed is made again, and counts again.
    daemon.stop();
    let daemon = machine.start(machine.kband());
    let counted = || machine.banctl_json(&["list"])["bans"][0]["packets"].as_u64();
    assert_eq!(counted(), Some(3));
    machine.sh("nft flush ruleset");
    eventually("restored", || counted() == Some(0));
    // Those that are there stay when counting ends.
    fs::write(machine.path("kban.toml"), config).unwrap();
    assert!(machine.banctl(&["reload"]).status.success());
    assert_eq!((counted(), machine.set("host4").len()), (None, 2));
    daemon.stop();
}

/// Nobody remembers them, and they go on as they are.
#[test]
fn renewed_elements_that_nobody_remembers_are_adopted_and_renewed_on() {
    let machine = machine();
    configure(&machine, "bantime = \"1h\"\nrenew_on_contact = true\n", "");
    let daemon = machine.start(machine.kband());
    machine.log(&failed_password("198.51.100.9"));
    eventually("banned", || machine.listed() == ["198.51.100.9"]);
    daemon.stop();
    fs::remove_dir_all(machine.path("state")).unwrap();
    shorten(&machine, "renew4_3600", "198.51.100.9", "1h", "30m");
    let _daemon = machine.start(machine.kband());
    assert!(left(&machine, "adopted", "198.51.100.9").unwrap() <= 1_800);
    knock(&machine, "198.51.100.9", 9);
    assert!(left(&machine, "adopted", "198.51.100.9").unwrap() > 3_500);
    assert!(machine.banctl(&["unban", "198.51.100.9"]).status.success());
    knock(&machine, "198.51.100.9", 9);
    assert!(machine.set("renew4_3600").is_empty() && machine.listed().is_empty());
}
