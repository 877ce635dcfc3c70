//! Lists from elsewhere: from a file, a program and a web server into the kernel, and what happens when they are wrong.

use std::fs;
use std::io::Read;
use std::path::Path;
use std::process::Stdio;

use serde_json::Value;

use crate::harness::{Background, Machine, addresses, eventually, failed_password, stderr, stdout};

/// What one of the kernel's sets holds, as nft sees it.
fn kernel(machine: &Machine, set: &str) -> Vec<String> {
    let listed = machine.nft(&format!("list set inet kban {set}"));
    let elements = listed["nftables"][1]["set"]["elem"].as_array().cloned().unwrap_or_default();
    let value = |element: &Value| match &element["elem"]["val"] {
        Value::Null => element.clone(),
        value => value.clone(),
    };
    let mut found: Vec<String> =
        elements.iter().map(|element| value(element).as_str().unwrap().to_owned()).collect();
    found.sort();
    found
}

fn listed_by(machine: &Machine, feed: &str) -> Vec<String> {
    let bans = machine.banctl_json(&["list", feed]);
    let bans = bans["bans"].as_array().unwrap().clone();
    assert!(bans.iter().all(|ban| ban["in_kernel"] == true), "{bans:?}");
    bans.iter().map(|ban| ban["address"].as_str().unwrap().to_owned()).collect()
}

fn feed(machine: &Machine, name: &str) -> Value {
    let status = machine.banctl_json(&["status"]);
    let feeds = status["feeds"].as_array().unwrap().clone();
    feeds.into_iter().find(|feed| feed["name"] == name).unwrap_or_else(|| panic!("no feed {name}: {status}"))
}

fn error_of(machine: &Machine, name: &str) -> String {
    feed(machine, name)["error"].as_str().unwrap_or_default().to_owned()
}

/// A server of `lists.py` inside the machine, serving from `dir`.
fn serve(machine: &Machine, dir: &Path, arguments: &[&str]) -> Background {
    fs::create_dir_all(dir).unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/lists.py");
    let mut command = machine.command("env");
    command.args(["-C"]).arg(dir).arg("python3").arg(script).args(arguments).stdout(Stdio::piped());
    let mut server = command.spawn().unwrap();
    let mut ready = [0; 5];
    server.stdout.as_mut().unwrap().read_exact(&mut ready).expect("the server's own message is above");
    Background(server)
}

#[test]
fn a_file_is_followed_and_nobody_allowed_is_banned() {
    let machine = Machine::new();
    let list = machine.path("bad.netset");
    fs::write(
        &list,
        "# a netset\r\n192.0.2.1\r\n::ffff:192.0.2.2 ; mapped\r\n127.0.0.0/8\r\n2001:db8:1::/64\r\n\
         2001:db8:2::99/64\r\n203.0.113.7\r\n10.1.0.1 # ours\r\n",
    )
    .unwrap();
    machine.sh("ip address add 10.1.0.1/24 dev lo");
    let feeds = format!("[feed.x]\nfile = {list:?}\n");
    machine.configure(&format!("maxretry = 1\n[defaults]\nignoreip = [\"203.0.113.0/24\"]\n{feeds}"));
    let _daemon = machine.start(machine.kband());
    let all = ["192.0.2.1", "192.0.2.2", "2001:db8:1::/64", "2001:db8:2::/64"];
    eventually("in force", || feed(&machine, "x")["banned"] == 4);
    assert_eq!(listed_by(&machine, "feed.x"), all);
    assert_eq!(kernel(&machine, "host4"), ["192.0.2.1", "192.0.2.2"]);
    eventually("told", || feed(&machine, "x")["read"].is_string());
    let row = feed(&machine, "x");
    assert_eq!(
        (&row["spared"], &row["no_hosts"], &row["rounded"]),
        (&2.into(), &1.into(), &1.into()),
        "{row}"
    );
    let said = stdout(&machine.banctl(&["status"]));
    assert!(said.contains("feed.x: 2 entries are not banned (10.1.0.1 first)"), "{said}");
    assert!(said.contains("bad.netset"), "{said}");

    // One comes, one goes, and one is banned by a jail as well: that ban stays.
    machine.log(&failed_password("192.0.2.2"));
    eventually("by the jail", || listed_by(&machine, "sshd") == ["192.0.2.2"]);
    fs::write(&list, "192.0.2.1\n192.0.2.3\n").unwrap();
    eventually("the difference", || listed_by(&machine, "feed.x") == ["192.0.2.1", "192.0.2.3"]);
    assert_eq!(kernel(&machine, "host4"), ["192.0.2.1", "192.0.2.2", "192.0.2.3"]);
    assert!(machine.kband_log().contains("[feed.x] 1 new, 3 gone, 2 banned"));
    assert_eq!(machine.kband_log().matches("Ban ").count(), 1, "lists are not told line by line");

    // What cannot be meant changes nothing.
    for (text, words) in
        [("192.0.2.1\n0.0.0.0/0\n", "line 2 (0.0.0.0/0)"), ("", "the list is empty"), ("<html>", "web page")]
    {
        fs::write(&list, text).unwrap();
        eventually(words, || error_of(&machine, "x").contains(words));
        assert_eq!(listed_by(&machine, "feed.x"), ["192.0.2.1", "192.0.2.3"]);
    }
    assert!(stdout(&machine.banctl(&["status"])).contains("WARNING: feed.x: "));

    let output = machine.banctl(&["ban", "192.0.2.9", "--jail", "feed.x"]);
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
    assert_eq!(machine.banctl(&["list", "feed.y"]).status.code(), Some(2));
    // A feed that goes lifts its bans, and nobody else's.
    machine.configure("maxretry = 1\n");
    assert!(machine.banctl(&["reload"]).status.success());
    eventually("lifted", || machine.listed() == ["192.0.2.2"]);
    assert_eq!(kernel(&machine, "host4"), ["192.0.2.2"]);
}

#[test]
fn a_program_says_who_is_banned_and_its_failure_changes_nothing() {
    let machine = Machine::new();
    let list = machine.path("list");
    fs::write(&list, "192.0.2.1\n").unwrap();
    let with = |every: &str| {
        machine.configure(&format!(
            "[feed.x]\ncommand = [\"/bin/sh\", \"-c\", \"cat \\\"$1\\\"\", \"sh\", {list:?}]\nevery = {every:?}\n\
             bantime = \"1d\"\n"
        ));
    };
    with("1h");
    let _daemon = machine.start(machine.kband());
    eventually("banned", || listed_by(&machine, "feed.x") == ["192.0.2.1"]);
    assert!(machine.set("host4")[0].1 > 86_000, "bantime is the kernel's timeout");
    fs::remove_file(&list).unwrap();
    with("2h");
    assert!(machine.banctl(&["reload"]).status.success());
    eventually("told", || error_of(&machine, "x").contains("/bin/sh failed (exit status: 1), saying `cat: "));
    assert_eq!(listed_by(&machine, "feed.x"), ["192.0.2.1"]);
    fs::write(&list, "192.0.2.2\n").unwrap();
    with("3h");
    assert!(machine.banctl(&["reload"]).status.success());
    eventually("well again", || listed_by(&machine, "feed.x") == ["192.0.2.2"]);
    assert_eq!(error_of(&machine, "x"), "");
}

#[test]
fn a_server_is_asked_for_what_has_changed_and_not_needed_for_a_restart() {
    let machine = Machine::new();
    let web = machine.path("web");
    let server = serve(&machine, &web, &["8080"]);
    let list = |text: &str| fs::write(web.join("list"), text).unwrap();
    let requests = || fs::read_to_string(web.join("requests")).unwrap_or_default();
    list("192.0.2.1\n192.0.2.2\n");
    let with = |every: &str| {
        machine.configure(&format!("[feed.x]\nurl = \"http://127.0.0.1:8080/moved\"\nevery = {every:?}\n"));
    };
    with("1h");
    let daemon = machine.start(machine.kband());
    eventually("banned", || listed_by(&machine, "feed.x") == ["192.0.2.1", "192.0.2.2"]);
    eventually("settled", || feed(&machine, "x")["entries"] == 2);
    with("2h");
    assert!(machine.banctl(&["reload"]).status.success());
    eventually("asked again", || requests() == "/moved 302\n/list 200\n/moved 302\n/list 304\n");
    assert_eq!(listed_by(&machine, "feed.x"), ["192.0.2.1", "192.0.2.2"]);
    list("192.0.2.2\n192.0.2.3\n");
    with("3h");
    assert!(machine.banctl(&["reload"]).status.success());
    eventually("the difference", || listed_by(&machine, "feed.x") == ["192.0.2.2", "192.0.2.3"]);
    eventually("settled", || !machine.path("state/feeds/x.before").exists());

    // Neither a crash nor a reboot needs the server.
    drop(server);
    daemon.kill();
    let daemon = machine.start(machine.kband());
    assert_eq!(listed_by(&machine, "feed.x"), ["192.0.2.2", "192.0.2.3"]);
    assert_eq!(machine.listed(), ["192.0.2.2", "192.0.2.3"], "nobody is adopted");
    daemon.stop();
    assert_eq!(kernel(&machine, "host4"), ["192.0.2.2", "192.0.2.3"], "a stopped daemon leaves them");
    machine.sh("nft delete table inet kban");
    let daemon = machine.start(machine.kband());
    assert_eq!(kernel(&machine, "host4"), ["192.0.2.2", "192.0.2.3"]);
    with("4h");
    assert!(machine.banctl(&["reload"]).status.success());
    eventually("told", || error_of(&machine, "x").contains("refused"));
    assert_eq!(listed_by(&machine, "feed.x"), ["192.0.2.2", "192.0.2.3"]);

    // What is taken out of the configuration while nobody runs is lifted, not adopted.
    daemon.stop();
    machine.configure("");
    let _daemon = machine.start(machine.kband());
    assert!(machine.listed().is_empty() && kernel(&machine, "host4").is_empty());
}

#[test]
fn networks_of_every_length_come_go_and_survive_a_restart() {
    let machine = Machine::new();
    let list = machine.path("list");
    // Some touch, some lie in others.
    let nets =
        ["10.4.0.0/22", "10.4.4.0/22", "10.4.4.0/23", "172.16.0.0/12", "192.0.2.0/24", "2001:db8::/32"];
    fs::write(&list, nets.join("\n")).unwrap();
    machine.configure(&format!("[feed.x]\nfile = {list:?}\n"));
    let daemon = machine.start(machine.kband());
    eventually("banned", || feed(&machine, "x")["entries"] == 6);
    assert_eq!(listed_by(&machine, "feed.x"), nets);
    daemon.kill();
    let daemon = machine.start(machine.kband());
    assert_eq!(machine.listed(), nets, "what the kernel joined is not adopted");
    fs::write(&list, nets[1..4].join("\n")).unwrap();
    eventually("the difference", || listed_by(&machine, "feed.x") == nets[1..4]);
    daemon.stop();
    machine.configure("");
    let _daemon = machine.start(machine.kband());
    assert!(machine.listed().is_empty());
    let held = stdout(&machine.banctl(&["list", "--kernel"]));
    assert!(!held.contains("10.4") && !held.contains("2001:db8"), "{held}");
}

#[test]
fn a_crash_in_the_middle_of_a_change_leaves_nobody_unknown() {
    let machine = Machine::new();
    let list = machine.path("list");
    fs::write(&list, "192.0.2.2\n").unwrap();
    machine.configure(&format!("[feed.x]\nfile = {list:?}\n"));
    let daemon = machine.start(machine.kband());
    eventually("banned", || listed_by(&machine, "feed.x") == ["192.0.2.2"]);
    eventually("settled", || feed(&machine, "x")["entries"] == 1);
    daemon.kill();
    // As it is between keeping the new list and lifting who was on the old one.
    machine.sh("nft add element inet kban host4 '{ 192.0.2.1 }'");
    fs::write(machine.path("state/feeds/x.before"), "192.0.2.1\n").unwrap();
    let _daemon = machine.start(machine.kband());
    assert_eq!(machine.listed(), ["192.0.2.2"]);
    assert_eq!(kernel(&machine, "host4"), ["192.0.2.2"]);
    assert!(!machine.path("state/feeds/x.before").exists());
}

#[test]
fn bad_servers_are_told_by_name_and_delay_nobody() {
    let machine = Machine::new();
    let _server = serve(&machine, &machine.path("web"), &["8080"]);
    let bad = [
        ("missing", "the server answered 404 Not Found: correct `url`"),
        ("broken", "the server answered 500"),
        ("loop", "more than 5 redirects"),
        ("page", "line 1 begins a web page"),
        ("everything", "line 2 (0.0.0.0/0) would ban a large part of the Internet"),
        ("short", "isconnected"),
        ("endless", "MiB"),
        ("hang", "no answer in time"),
    ];
    let feeds: String = bad
        .iter()
        .map(|(name, _)| format!("[feed.{name}]\nurl = \"http://127.0.0.1:8080/{name}\"\n"))
        .collect();
    machine.configure(&format!("maxretry = 1\n{feeds}"));
    let _daemon = machine.start(machine.kband());
    machine.log(&failed_password("203.0.113.9"));
    eventually("a ban does not wait", || machine.listed() == ["203.0.113.9"]);
    assert_eq!(error_of(&machine, "hang"), "", "it still hangs");
    for (name, words) in bad {
        eventually(words, || {
            error_of(&machine, name).contains(words) || !error_of(&machine, name).is_empty()
        });
        let said = error_of(&machine, name);
        assert!(said.contains(words), "{name}: {said}");
    }
    assert_eq!(machine.listed(), ["203.0.113.9"]);
}

#[test]
fn a_long_list_says_how_far_it_is() {
    let machine = Machine::new();
    let list = machine.path("long.netset");
    const MANY: u32 = 100_000;
    fs::write(&list, addresses(MANY).join("\n")).unwrap();
    machine.configure(&format!("[feed.x]\nfile = {list:?}\n"));
    let _daemon = machine.start(machine.kband());
    let mut seen = Vec::new();
    eventually("in force", || {
        let row = feed(&machine, "x");
        seen.extend(
            row["loading"]
                .as_object()
                .map(|far| (far["settled"].as_u64().unwrap(), far["of"].as_u64().unwrap())),
        );
        row["loading"].is_null() && row["entries"] == MANY
    });
    assert!(!seen.is_empty(), "it came into force between two looks");
    assert!(
        seen.is_sorted() && seen.iter().all(|(settled, of)| settled <= of && *of == u64::from(MANY)),
        "{seen:?}"
    );
}

#[test]
fn a_certificate_that_nobody_trusts_is_told_by_name() {
    let machine = Machine::new();
    let web = machine.path("web");
    fs::create_dir_all(&web).unwrap();
    fs::write(web.join("list"), "192.0.2.1\n").unwrap();
    machine.sh(&format!(
        "cd {} && openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=localhost \
         -addext subjectAltName=DNS:localhost,IP:127.0.0.1 -addext basicConstraints=critical,CA:FALSE \
         -keyout key -out cert 2>/dev/null && cat key cert > both",
        web.display()
    ));
    let _server = serve(&machine, &web, &["8443", "both"]);
    machine.configure(
        "[feed.x]\nurl = \"https://127.0.0.1:8443/list\"\n[feed.down]\nurl = \"https://127.0.0.1:8443/downgrade\"\n",
    );
    let daemon = machine.start(machine.kband());
    eventually("told", || error_of(&machine, "x").contains("its certificate is not trusted"));
    assert!(error_of(&machine, "x").contains("https://127.0.0.1:8443/list"));
    daemon.stop();
    let mut command = machine.kband();
    command.env("SSL_CERT_FILE", web.join("cert"));
    let _daemon = machine.start(command);
    eventually("trusted", || listed_by(&machine, "feed.x") == ["192.0.2.1"]);
    eventually("no downgrade", || error_of(&machine, "down").contains("redirects to where others"));
}
