//! What kband remembers, and what banctl tells of it.

use serde_json::Value;

use crate::harness::{Machine, addresses, eventually, failed_password, stderr, stdout};

/// A line that sshd writes for a wrong password of this user, dated now.
fn failed_user(user: &str, address: &str) -> String {
    failed_password(address).replace("for root from", &format!("for invalid user {user} from"))
}

pub(crate) fn why(machine: &Machine, address: &str) -> (Option<i32>, Value) {
    let output = machine.banctl(&["--json", "why", address]);
    (output.status.code(), serde_json::from_slice(&output.stdout).unwrap())
}

/// Time order is that of the daemon: newest first. What happened, to whom, by whom.
fn history(machine: &Machine, arguments: &[&str]) -> Vec<(String, String, Value)> {
    let all = machine.banctl_json(&[&["history"], arguments].concat());
    let text = |event: &Value, key: &str| event[key].as_str().unwrap_or_default().to_owned();
    let what = |event: &Value| [text(event, "event"), text(event, "ending")].concat();
    let events = all["events"].as_array().unwrap().iter();
    events.map(|event| (what(event), text(event, "address"), event["who"].clone())).collect()
}

fn happened(what: &str, address: &str, who: Option<&str>) -> (String, String, Value) {
    (what.to_owned(), address.to_owned(), who.map_or(Value::Null, Value::from))
}

/// Waits until the history has so many events.
fn told(machine: &Machine, events: usize) {
    eventually("the history has it", || history(machine, &[]).len() == events);
}

#[test]
fn a_ban_is_told_with_the_lines_that_led_to_it_and_none_of_them_reaches_the_terminal() {
    let machine = Machine::new();
    machine.configure("maxretry = 3\nbantime = \"1h\"\n");
    let _daemon = machine.start(machine.kband());
    machine.log(&failed_user("\u{1b}[2J\u{202e}evil", "203.0.113.9"));
    machine.log(&failed_user("two", "203.0.113.9"));
    eventually("two count", || why(&machine, "203.0.113.9").1["failures"][0]["lines"][1].is_object());
    let (code, two) = why(&machine, "203.0.113.9");
    assert_eq!((code, &two["banned"], &two["in_kernel"]), (Some(1), &false.into(), &false.into()), "{two}");
    assert_eq!((&two["failures"][0]["jail"], &two["next"][0]["seconds"]), (&"sshd".into(), &3600.into()));

    machine.log(&failed_user("three", "203.0.113.9"));
    eventually("banned", || machine.listed() == ["203.0.113.9"]);
    told(&machine, 1);
    let (code, banned) = why(&machine, "203.0.113.9");
    assert_eq!((code, &banned["banned"], &banned["in_kernel"]), (Some(0), &true.into(), &true.into()));
    assert_eq!((&banned["schema"], &banned["failures"]), (&1.into(), &Value::Array(Vec::new())));
    let ban = &banned["bans"][0];
    assert_eq!((&ban["jail"], &ban["in_kernel"], &ban["count"]), (&"sshd".into(), &true.into(), &1.into()));
    let lines = banned["history"][0]["lines"].as_array().unwrap();
    assert_eq!(lines.len(), 3, "{lines:?}");
    assert!(lines[0]["line"].as_str().unwrap().contains("user \u{1b}[2J\u{202e}evil from 203.0.113.9"));
    assert!(lines[2]["line"].as_str().unwrap().contains("user three"));

    let shown = stdout(&machine.banctl(&["why", "203.0.113.9"]));
    assert!(shown.starts_with("203.0.113.9 is banned\n  by sshd since "), "{shown}");
    assert!(shown.contains("user \\u{1b}[2J\\u{202e}evil from 203.0.113.9"), "{shown}");
    assert!(
        shown.contains("the kernel agrees") && shown.contains("The next ban would last: sshd 1h"),
        "{shown}"
    );
    assert!(!shown.contains(['\u{1b}', '\u{202e}']), "{shown}");
}

#[test]
fn what_is_allowed_and_who_is_banned_as_part_of_a_network_is_told() {
    let machine = Machine::new();
    machine.configure(
        "ignoreip = [\"198.51.100.0/24\"]\nport = 22\n[defaults]\nignoreip = [\"192.0.2.0/24\"]\n",
    );
    let _daemon = machine.start(machine.kband());
    let allowed = |address: &str| why(&machine, address).1["allowed"].clone();
    assert_eq!(allowed("192.0.2.1")[0], "[defaults] ignoreip has 192.0.2.0/24");
    assert_eq!(allowed("198.51.100.1")[0], "[jail.sshd] ignoreip has 198.51.100.0/24");
    assert!(allowed("127.0.0.1")[0].as_str().unwrap().contains("address of this machine"));
    assert_eq!(allowed("203.0.113.1"), Value::Array(Vec::new()));
    let next = |address: &str| why(&machine, address).1["next"].as_array().unwrap().len();
    assert_eq!([next("192.0.2.1"), next("198.51.100.1"), next("203.0.113.1")], [0, 0, 1]);

    assert!(machine.banctl(&["ban", "203.0.113.0/24", "--jail", "sshd"]).status.success());
    told(&machine, 1);
    let (code, part) = why(&machine, "203.0.113.9");
    assert_eq!(
        (code, &part["in_kernel"], &part["bans"][0]["address"]),
        (Some(0), &true.into(), &"203.0.113.0/24".into())
    );
    assert_eq!((&part["history"][0]["event"], &part["history"][0]["who"]), (&"ban".into(), &"root".into()));
    assert_eq!(why(&machine, "203.0.114.9").0, Some(1));
    assert_eq!(machine.banctl(&["why", "nonsense"]).status.code(), Some(2));
}

#[test]
fn the_history_has_how_bans_end_and_who_ended_them() {
    let machine = Machine::new();
    machine.configure("maxretry = 1\nbantime = \"1s\"\n");
    let daemon = machine.start(machine.kband());
    machine.log(&failed_password("203.0.113.1"));
    told(&machine, 2);
    assert!(machine.banctl(&["ban", "203.0.113.2", "--for", "1h", "--reason", "so"]).status.success());
    assert!(machine.banctl(&["unban", "203.0.113.2"]).status.success());
    assert!(machine.banctl(&["ban", "203.0.113.3", "--for", "1h"]).status.success());
    machine.configure("maxretry = 1\nignoreip = []\n[defaults]\nignoreip = [\"203.0.113.3\"]\n");
    assert!(machine.banctl(&["reload"]).status.success());
    let all = [
        happened("unbanallowed", "203.0.113.3", None),
        happened("ban", "203.0.113.3", Some("root")),
        happened("unbanby_hand", "203.0.113.2", Some("root")),
        happened("ban", "203.0.113.2", Some("root")),
        happened("unbanexpired", "203.0.113.1", None),
        happened("ban", "203.0.113.1", None),
    ];
    told(&machine, all.len());
    assert_eq!(history(&machine, &[]), all);
    assert_eq!(history(&machine, &["203.0.113.2"]), all[2..4]);
    assert_eq!(history(&machine, &["203.0.113.2/31"]), all[..4]);
    assert_eq!(history(&machine, &["--jail", "sshd"]), all[4..]);
    assert_eq!(history(&machine, &["--since", "1h"]), all);
    let nobody = machine.banctl(&["history", "203.0.113.99"]);
    assert_eq!(
        (nobody.status.code(), stdout(&nobody).trim()),
        (Some(1), "there is no history of 203.0.113.99")
    );
    let shown = stdout(&machine.banctl(&["history"]));
    assert!(shown.contains("lifted") && shown.contains("root") && shown.contains("auth.log"), "{shown}");

    // Killed and started again, nothing is told twice.
    daemon.kill();
    let daemon = machine.start(machine.kband());
    assert_eq!(history(&machine, &[]), all);
    daemon.stop();

    let on_disk = |arguments: &[&str]| {
        let state = machine.path("state").display().to_string();
        machine.banctl(&[arguments, &["--state-dir", &state]].concat())
    };
    let shown = on_disk(&["history", "203.0.113.2"]);
    assert_eq!((shown.status.code(), stdout(&shown).lines().count()), (Some(0), 3), "{}", stderr(&shown));
    assert!(stderr(&shown).starts_with("banctl: no kband runs: this is what "));
    assert!(stdout(&on_disk(&["stats"])).starts_with("3 bans\n"));
    let gone = on_disk(&["why", "203.0.113.2"]);
    assert_eq!(gone.status.code(), Some(1), "{}", stderr(&gone));
    assert!(stdout(&gone).contains("203.0.113.2 is not banned"));
    let nowhere = machine.banctl(&["history", "--state-dir", "/nonexistent"]);
    assert_eq!(nowhere.status.code(), Some(3));
}

#[test]
fn who_allows_somebody_is_named_and_so_is_whose_ban_that_lifts() {
    let machine = Machine::new();
    machine.configure("maxretry = 1\nbantime = \"1h\"\n");
    let daemon = machine.start(machine.kband());
    machine.log(&failed_password("203.0.113.1"));
    told(&machine, 1);
    let office = ["allow", "add", "203.0.113.0/24", "--for", "8h", "--reason", "the office"];
    assert!(machine.banctl(&office).status.success());
    let entry =
        |machine: &Machine| machine.banctl_json(&["allow", "list", "203.0.113.0/24"])["allowed"][0].clone();
    assert_eq!((&entry(&machine)["who"], &entry(&machine)["reason"]), (&"root".into(), &"the office".into()));
    let rule = why(&machine, "203.0.113.1").1["allowed"][0].as_str().unwrap().to_owned();
    for word in
        ["203.0.113.0/24 since 20", " by root, until 20", ": the office (`banctl allow del 203.0.113.0/24`"]
    {
        assert!(rule.contains(word), "{rule}");
    }
    assert!(machine.banctl(&["allow", "add", "198.51.100.7", "--for", "1s"]).status.success());
    eventually("its time is over", || {
        machine.kband_log().contains("198.51.100.7 is not allowed any more (expired)")
    });
    daemon.kill();
    let _daemon = machine.start(machine.kband());
    assert_eq!(entry(&machine)["who"], "root", "it is remembered");
    assert!(machine.banctl(&["allow", "del", "203.0.113.0/24"]).status.success());
    let all = [
        happened("disallowby_hand", "203.0.113.0/24", Some("root")),
        happened("disallowexpired", "198.51.100.7", None),
        happened("allow", "198.51.100.7", Some("root")),
        happened("unbanallowed", "203.0.113.1", Some("root")),
        happened("allow", "203.0.113.0/24", Some("root")),
        happened("ban", "203.0.113.1", None),
    ];
    told(&machine, all.len());
    assert_eq!(history(&machine, &[]), all);
    assert_eq!(history(&machine, &["--jail", "sshd"]).len(), 2);
    let shown = stdout(&machine.banctl(&["history", "203.0.113.1"]));
    assert!(shown.contains("disallow") && shown.contains("the office") && shown.contains(" all "), "{shown}");
    assert!(stdout(&machine.banctl(&["stats"])).starts_with("1 ban\n"));
    let log = machine.kband_log();
    assert!(log.contains("Allow 203.0.113.0/24 until") && log.contains("(root)"), "{log}");
    assert!(log.contains("203.0.113.0/24 is not allowed any more (by hand, root)"), "{log}");
}

#[test]
fn without_a_daemon_store_and_kernel_say_why() {
    let machine = Machine::new();
    machine.configure("");
    let daemon = machine.start(machine.kband());
    assert!(machine.banctl(&["ban", "203.0.113.2", "--for", "1h"]).status.success());
    daemon.stop();
    let state = machine.path("state").display().to_string();
    let shown = machine.banctl(&["why", "203.0.113.2", "--state-dir", &state]);
    assert_eq!(shown.status.code(), Some(0), "{}", stderr(&shown));
    assert!(stdout(&shown).contains("the kernel agrees"), "{}", stdout(&shown));
}

#[test]
fn lines_of_before_a_crash_are_told_with_the_ban_that_follows() {
    let machine = Machine::new();
    machine.configure("maxretry = 3\n");
    let daemon = machine.start(machine.kband());
    machine.log(&[failed_user("one", "203.0.113.9"), failed_user("two", "203.0.113.9")].concat());
    eventually("two count", || why(&machine, "203.0.113.9").1["failures"][0]["lines"][1].is_object());
    daemon.kill();
    machine.log(&failed_user("three", "203.0.113.9"));
    let _daemon = machine.start(machine.kband());
    told(&machine, 1);
    let lines = why(&machine, "203.0.113.9").1["history"][0]["lines"].clone();
    let users: Vec<&str> = ["one", "two", "three"]
        .into_iter()
        .filter(|user| lines.to_string().matches(&format!("user {user} ")).count() == 1)
        .collect();
    assert_eq!(users, ["one", "two", "three"], "{lines}");
}

#[test]
fn what_is_older_than_a_second_is_in_the_history_after_a_crash() {
    let machine = Machine::new();
    machine.configure("maxretry = 1\nbantime = \"1h\"\n");
    let daemon = machine.start(machine.kband());
    machine.log(&(1..=20).map(|last| failed_password(&format!("203.0.113.{last}"))).collect::<String>());
    eventually("banned", || machine.listed().len() == 20);
    std::thread::sleep(std::time::Duration::from_secs(1));
    // These may be lost: the crash comes at once.
    machine.log(&(1..=20).map(|last| failed_password(&format!("198.51.100.{last}"))).collect::<String>());
    daemon.kill();
    let state = machine.path("state").display().to_string();
    let shown = machine.banctl(&["--json", "history", "203.0.113.0/24", "--state-dir", &state]);
    let shown: Value = serde_json::from_slice(&shown.stdout).unwrap();
    let bans = shown["events"].as_array().unwrap().iter().filter(|event| event["event"] == "ban");
    assert_eq!(bans.count(), 20, "{shown}");
}

#[test]
fn stats_add_up_and_draw_bars() {
    let machine = Machine::new();
    machine.configure("maxretry = 1\n");
    let _daemon = machine.start(machine.kband());
    for address in ["203.0.113.1", "203.0.113.2", "198.51.100.1"] {
        machine.log(&failed_password(address));
    }
    assert!(machine.banctl(&["ban", "2001:db8::1", "--for", "1h"]).status.success());
    told(&machine, 4);
    let stats = machine.banctl_json(&["stats", "--since", "1h"]);
    assert_eq!((&stats["schema"], &stats["bans"]), (&1.into(), &4.into()));
    assert_eq!(stats["jails"][1]["jail"], "sshd");
    assert_eq!((&stats["jails"][1]["bans"], &stats["jails"][1]["offenders"]), (&3.into(), &3.into()));
    assert_eq!(
        (&stats["networks"][0]["network"], &stats["networks"][0]["bans"]),
        (&"203.0.113.0/24".into(), &2.into())
    );
    let days: u64 = stats["days"].as_array().unwrap().iter().map(|day| day["bans"].as_u64().unwrap()).sum();
    assert_eq!(days, 4);
    let shown = stdout(&machine.banctl(&["stats"]));
    let row = |name: &str| shown.lines().find(|line| line.starts_with(name)).unwrap().matches('#').count();
    assert_eq!((row("203.0.113.0/24"), row("198.51.100.0/24")), (40, 20), "{shown}");
}

#[test]
fn what_is_old_goes() {
    let machine = Machine::new();
    machine.configure("maxretry = 1\nbantime = \"1h\"\n[store]\nkeep = \"1s\"\n");
    let _daemon = machine.start(machine.kband());
    machine.log(&failed_password("203.0.113.1"));
    let database = rusqlite::Connection::open(machine.path("state/kban.sqlite3")).unwrap();
    let rows = |query: &str| database.query_row(query, [], |row| row.get::<_, i64>(0)).unwrap();
    eventually("written", || rows("SELECT count(*) FROM bans") == 1);
    let left = "SELECT (SELECT count(*) FROM history) + (SELECT count(*) FROM evidence)";
    eventually("gone", || {
        // What is written wakes the one who tidies.
        machine.log("another line\n");
        rows(left) == 0
    });
    assert_eq!(machine.listed(), ["203.0.113.1"]);
}

#[test]
fn a_store_in_memory_leaves_nothing_on_a_disk_that_cannot_be_written() {
    let machine = Machine::new();
    machine.configure("maxretry = 1\n[store]\nmode = \"memory\"\n");
    machine.sh(&format!("mkdir {0} && mount -t tmpfs -o ro tmpfs {0}", machine.path("state").display()));
    let _daemon = machine.start(machine.kband());
    machine.log(&failed_password("203.0.113.9"));
    told(&machine, 1);
    assert_eq!(why(&machine, "203.0.113.9").1["history"][0]["lines"].as_array().unwrap().len(), 1);
    let status = machine.banctl_json(&["status"]);
    assert_eq!((&status["durable"], &status["warnings"]), (&false.into(), &Value::Array(Vec::new())));
}

#[test]
fn a_disk_that_cannot_be_written_and_was_not_to_be_is_said() {
    let machine = Machine::new();
    machine.configure("maxretry = 1\n");
    machine.sh(&format!("mkdir {0} && mount -t tmpfs -o ro tmpfs {0}", machine.path("state").display()));
    let _daemon = machine.start(machine.kband());
    machine.log(&failed_password("203.0.113.9"));
    told(&machine, 1);
    let status = stdout(&machine.banctl(&["status"]));
    assert!(status.contains("WARNING: bans and positions will not survive a restart"), "{status}");
}

#[test]
fn no_user_names_are_kept_where_they_must_not_be() {
    let machine = Machine::new();
    machine.configure("maxretry = 3\n[store]\nkeep_users = false\n");
    let daemon = machine.start(machine.kband());
    machine.log(&failed_user("sesam", "203.0.113.9"));
    // A pattern that knows no user may hide one all the same.
    let unknown = failed_password("203.0.113.9");
    let head = unknown.split("Failed").next().unwrap();
    machine.log(&format!("{head}refused connect from sesam (203.0.113.9)\n"));
    machine.log(&failed_user("sesam", "203.0.113.9"));
    told(&machine, 1);
    assert!(machine.banctl(&["ban", "203.0.113.2"]).status.success());
    told(&machine, 2);
    let lines = why(&machine, "203.0.113.9").1["history"][0]["lines"].clone();
    assert_eq!(lines.as_array().unwrap().len(), 2, "{lines}");
    assert!(
        lines[0]["line"].as_str().unwrap().contains("for invalid user <user> from 203.0.113.9"),
        "{lines}"
    );
    assert_eq!(history(&machine, &["203.0.113.2"]), [happened("ban", "203.0.113.2", Some("uid 0"))]);
    daemon.stop();
    let file = std::fs::read(machine.path("state/kban.sqlite3")).unwrap();
    assert!(memchr::memmem::find(&file, b"sesam").is_none());
}

#[test]
fn a_store_of_a_newer_version_is_left_alone_and_said() {
    let machine = Machine::new();
    machine.configure("maxretry = 1\n");
    std::fs::create_dir(machine.path("state")).unwrap();
    let path = machine.path("state/kban.sqlite3");
    rusqlite::Connection::open(&path).unwrap().pragma_update(None, "user_version", 99).unwrap();
    let before = std::fs::read(&path).unwrap();
    let _daemon = machine.start(machine.kband());
    machine.log(&failed_password("203.0.113.9"));
    eventually("it protects", || machine.listed() == ["203.0.113.9"]);
    assert_eq!(std::fs::read(&path).unwrap(), before);
    let log = machine.kband_log();
    assert!(
        log.contains("has format 99, this kban knows up to ") && log.contains("install the newer kban again")
    );
    let status = machine.banctl_json(&["status"]);
    assert_eq!(status["durable"], false);
    assert!(!status["warnings"].as_array().unwrap().is_empty(), "{status}");
}

#[test]
fn who_was_banned_before_a_crash_stays_longer_and_meets_recidive_after_it() {
    let machine = Machine::new();
    machine.configure(
        "maxretry = 1\nbantime = \"1s\"\nescalate = { factor = 60 }\n\
         [jail.recidive]\nenabled = true\nmaxretry = 2\nbantime = \"1w\"\n",
    );
    let daemon = machine.start(machine.kband());
    machine.log(&failed_password("203.0.113.9"));
    told(&machine, 2);
    let next = |jail: usize| why(&machine, "203.0.113.9").1["next"][jail]["seconds"].clone();
    assert_eq!(next(1), 60);
    daemon.kill();
    let _daemon = machine.start(machine.kband());
    assert_eq!(next(1), 60, "remembered");
    machine.log(&failed_password("203.0.113.9"));
    told(&machine, 4);
    let bans = why(&machine, "203.0.113.9").1["bans"].clone();
    let row = |place: usize| (bans[place]["jail"].as_str().unwrap(), bans[place]["count"].as_u64().unwrap());
    assert_eq!([row(0), row(1)], [("recidive", 1), ("sshd", 2)], "{bans}");
}

/// Their lines are further back than what is read again.
#[test]
fn who_logged_in_before_a_restart_is_trusted_after_it() {
    let machine = Machine::new();
    let configure = |keep_users: bool| {
        machine.configure(&format!(
            "maxretry = 2\ntrust = {{ failures = 4 }}\n[store]\nkeep_users = {keep_users}\n"
        ));
    };
    configure(true);
    let (office, stranger) = ("203.0.113.9", "203.0.113.10");
    let login = failed_password(office).replace("Failed password for root", "Accepted publickey for alice");
    let failed_as = |user: &str| failed_password(office).replace("for root", &format!("for {user}"));
    let refused = || machine.banctl(&["ban", office]).status.code() == Some(5);
    let daemon = machine.start(machine.kband());
    machine.log(&login);
    eventually("she is known", || {
        refused() || {
            machine.banctl(&["unban", office]);
            false
        }
    });
    daemon.stop();
    std::fs::remove_file(machine.path("auth.log")).unwrap();
    std::fs::write(machine.path("auth.log"), "").unwrap();
    let daemon = machine.start(machine.kband());
    assert!(refused(), "a ban by hand may lock her out");
    (0..9).for_each(|_| machine.log(&failed_as("alice")));
    (0..2).for_each(|_| machine.log(&failed_as("bob")));
    (0..2).for_each(|_| machine.log(&failed_password(stranger)));
    eventually("who never logged in is banned", || machine.listed() == [stranger]);
    // Without names, she is somebody who logged in, and no more.
    configure(false);
    daemon.kill();
    machine.log(&login.replace("alice", "nobody-else"));
    let daemon = machine.start(machine.kband());
    machine.log(&failed_password("203.0.113.11").repeat(2));
    eventually("it is read", || machine.listed().contains(&"203.0.113.11".to_owned()));
    daemon.stop();
    let store = rusqlite::Connection::open(machine.path("state").join("kban.sqlite3")).unwrap();
    let mut users = store.prepare("SELECT user FROM logins ORDER BY user").unwrap();
    let users = users.query_map([], |row| row.get(0)).unwrap().collect::<Result<Vec<String>, _>>().unwrap();
    assert_eq!(users, ["", "alice"]);
}

#[test]
fn what_is_only_observed_is_told_as_such_and_counts_for_nothing() {
    let machine = Machine::new();
    machine.configure("maxretry = 1\nbantime = \"1s\"\nmode = \"observe\"\nescalate = { factor = 60 }\n");
    let daemon = machine.start(machine.kband());
    machine.log(&failed_password("203.0.113.9"));
    told(&machine, 1);
    assert_eq!(history(&machine, &[]), [happened("would_ban", "203.0.113.9", None)]);
    let (code, observed) = why(&machine, "203.0.113.9");
    assert_eq!((code, &observed["banned"]), (Some(1), &false.into()), "{observed}");
    assert_eq!(observed["history"][0]["lines"].as_array().unwrap().len(), 1);
    eventually("it is over", || machine.listed().is_empty());
    daemon.stop();
    let _daemon = machine.start(machine.kband());
    assert_eq!(why(&machine, "203.0.113.9").1["next"][0]["seconds"], 1);
    assert_eq!(history(&machine, &[]).len(), 1, "its end is none");
    assert_eq!(machine.banctl_json(&["stats"])["bans"], 0);
}

/// A real one: SQLite says so in its own words, and everybody is banned all the same.
#[test]
fn a_disk_that_is_full_costs_no_ban() {
    const ATTACKERS: u32 = 3_000;
    let machine = Machine::new();
    machine.configure("maxretry = 1\nbantime = \"1h\"\n");
    let state = machine.path("state").display().to_string();
    machine.sh(&format!("mkdir {state} && mount -t tmpfs -o size=400k tmpfs {state}"));
    let daemon = machine.start(machine.kband());
    let lines: String = addresses(ATTACKERS).iter().map(|address| failed_password(address)).collect();
    machine.log(&lines);
    eventually("everybody is banned", || machine.listed().len() == ATTACKERS as usize);
    let durable = || machine.banctl_json(&["status"])["durable"] == true;
    eventually("it is said", || !durable());
    assert!(machine.kband_log().contains("database or disk is full"), "{}", machine.kband_log());
    machine.sh(&format!("mount -o remount,size=100m {state}"));
    eventually("it is made good", || durable() && history(&machine, &[]).len() == ATTACKERS as usize);
    daemon.kill();
    machine.sh("nft delete table inet kban");
    let _daemon = machine.start(machine.kband());
    assert_eq!(machine.listed().len(), ATTACKERS as usize);
}
