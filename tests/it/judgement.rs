//! Repeat offenders, whole networks, jails that only observe, and the breaker: from the log to the kernel.

use crate::corpus::Package;
use crate::harness::{Machine, eventually, failed_password, stdout};
use crate::memory::why;

fn ban_of(machine: &Machine, jail: &str, address: &str) -> Option<serde_json::Value> {
    let bans = machine.banctl_json(&["list"]);
    let bans = bans["bans"].as_array().unwrap().clone();
    bans.into_iter().find(|ban| ban["jail"] == jail && ban["address"] == address)
}

#[test]
fn who_comes_again_stays_longer_and_at_last_meets_recidive() {
    let machine = Machine::new();
    machine.configure(
        "maxretry = 1\nbantime = \"2s\"\nescalate = { factor = 2 }\n\
         [jail.recidive]\nenabled = true\nmaxretry = 3\nbantime = \"1w\"\n",
    );
    let _daemon = machine.start(machine.kband());
    for (times, seconds) in [(1, 2), (2, 4), (3, 8)] {
        machine.log(&failed_password("203.0.113.9"));
        eventually("banned", || ban_of(&machine, "sshd", "203.0.113.9").is_some());
        let ban = ban_of(&machine, "sshd", "203.0.113.9").unwrap();
        assert_eq!(ban["count"], times);
        assert!((seconds / 2..=seconds).contains(&ban["seconds_left"].as_i64().unwrap()), "{ban}");
        if times < 3 {
            eventually("it ends", || ban_of(&machine, "sshd", "203.0.113.9").is_none());
        }
    }
    let long = ban_of(&machine, "recidive", "203.0.113.9").expect("three bans");
    assert_eq!((&long["reason"], &long["in_kernel"]), (&"3 bans within 1d".into(), &true.into()));
    let set = machine.nft("list set inet kban host4").to_string();
    assert!(set.contains("\"timeout\":604800"), "one element, as long as the longest: {set}");
}

#[test]
fn a_network_of_offenders_becomes_one_element() {
    let machine = Machine::new();
    machine.configure("maxretry = 1\nbantime = \"1h\"\nsubnet = { after = 3 }\n");
    let _daemon = machine.start(machine.kband());
    for last in 1..=3 {
        machine.log(&failed_password(&format!("203.0.113.{last}")));
    }
    machine.log(&failed_password("198.51.100.7"));
    eventually("the network", || machine.listed() == ["198.51.100.7", "203.0.113.0/24"]);
    eventually("in the kernel", || {
        let bans = machine.banctl_json(&["list"]);
        bans["bans"].as_array().unwrap().iter().all(|ban| ban["in_kernel"] == true)
    });
    let table = machine.nft("list table inet kban").to_string();
    assert!(table.contains("203.0.113.0") && !table.contains("203.0.113.1\""), "{table}");
    machine.log(&failed_password("203.0.113.77"));
    machine.log(&failed_password("198.51.100.8"));
    eventually("it is read", || machine.listed().contains(&"198.51.100.8".to_owned()));
    assert!(!machine.listed().contains(&"203.0.113.77".to_owned()), "it is banned with its network");
    let output = machine.banctl(&["unban", "203.0.113.1"]);
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn members_of_before_a_restart_count() {
    let machine = Machine::new();
    machine.configure("maxretry = 1\nbantime = \"1h\"\nsubnet = { after = 3 }\n");
    let daemon = machine.start(machine.kband());
    machine.log(&["203.0.113.1", "203.0.113.2"].map(failed_password).concat());
    let remembered = || machine.banctl_json(&["history"])["events"].as_array().unwrap().len();
    eventually("remembered", || remembered() == 2);
    daemon.kill();
    let _daemon = machine.start(machine.kband());
    machine.log(&failed_password("203.0.113.3"));
    eventually("the network", || machine.listed() == ["203.0.113.0/24"]);
}

#[test]
fn a_jail_that_observes_says_whom_it_would_ban() {
    let machine = Machine::new();
    machine.configure("maxretry = 1\nmode = \"observe\"\n");
    let _daemon = machine.start(machine.kband());
    machine.log(&failed_password("203.0.113.9"));
    eventually("told", || machine.kband_log().contains("[sshd] Would ban 203.0.113.9"));
    let listed = stdout(&machine.banctl(&["list"]));
    assert!(listed.contains("none: observed") && !listed.contains("NOT IN THE KERNEL"), "{listed}");
    let row = ban_of(&machine, "sshd", "203.0.113.9").unwrap();
    assert_eq!((&row["ports"], &row["in_kernel"]), (&serde_json::json!([]), &false.into()));
    assert!(!machine.nft("list table inet kban").to_string().contains("203.0.113.9"));
    // By hand it is meant.
    assert!(machine.banctl(&["ban", "203.0.113.8", "--jail", "sshd"]).status.success());
    assert!(machine.nft("list table inet kban").to_string().contains("203.0.113.8"));
    // The week is over.
    machine.configure("maxretry = 1\n");
    assert!(machine.banctl(&["reload"]).status.success());
    assert_eq!(machine.listed(), ["203.0.113.8"]);
    machine.log(&failed_password("203.0.113.9"));
    eventually("banned", || machine.listed() == ["203.0.113.8", "203.0.113.9"]);
}

#[test]
fn the_breaker_raises_the_alarm_and_holds_the_rest() {
    let machine = Machine::new();
    machine.configure("maxretry = 1\nmax_bans_per_minute = 3\n");
    let _daemon = machine.start(machine.kband());
    for last in 1..=9 {
        machine.log(&failed_password(&format!("203.0.113.{last}")));
    }
    let status = || machine.banctl_json(&["status"]);
    eventually("they wait", || status()["jails"][0]["waiting"] == 6);
    assert_eq!(machine.listed().len(), 3);
    assert!(machine.kband_log().contains("[sshd] more bans than max_bans_per_minute allows"));
    let said = stdout(&machine.banctl(&["status"]));
    assert!(said.contains("WARNING: sshd: 6 offenders wait for their ban"), "{said}");
    let waits = why(&machine, "203.0.113.9").1["notes"].clone();
    assert_eq!(waits[0], "sshd: its ban waits (failures: 1): more bans than max_bans_per_minute were made");
    // Who is banned by hand does not wait.
    assert!(machine.banctl(&["ban", "198.51.100.1"]).status.success());
}

/// What sshd says of a login (auth.c, auth_log).
fn accepted(address: &str, user: &str) -> String {
    failed_password(address)
        .replace("Failed password for root", &format!("Accepted publickey for {user}"))
        .replace("ssh2", "ssh2: ED25519 SHA256:AAAA")
}

#[test]
fn an_office_with_an_old_telephone_is_not_locked_out() {
    office_with_an_old_telephone("");
}

/// The same with fail2ban's own filter.
#[test]
fn an_office_is_not_locked_out_after_moving_here_either() {
    let conf = Package::find().config.join("filter.d/sshd.conf");
    office_with_an_old_telephone(&format!("filter = {conf:?}\n"));
}

fn office_with_an_old_telephone(filter: &str) {
    let machine = Machine::new();
    machine.configure(&format!("{filter}maxretry = 3\ntrust = {{ after_success = \"1h\", failures = 6 }}\n"));
    let _daemon = machine.start(machine.kband());
    let office = "203.0.113.9";
    let failed_as = |user: &str| failed_password(office).replace("for root", &format!("for {user}"));
    machine.log(&accepted(office, "alice"));
    // Her telephone has the old password, and a colleague is clumsy.
    for _ in 0..20 {
        machine.log(&failed_as("alice"));
    }
    for _ in 0..3 {
        machine.log(&failed_as("bob"));
    }
    for _ in 0..3 {
        machine.log(&failed_password("203.0.113.10"));
    }
    eventually("who never logged in is banned", || machine.listed() == ["203.0.113.10"]);
    let notes = why(&machine, office).1["notes"].to_string();
    assert!(
        notes.contains("sshd: trusts it until 20") && notes.contains("6 failures lead to a ban"),
        "{notes}"
    );
    let notes = why(&machine, "203.0.113.10").1["notes"].to_string();
    assert!(notes.contains("write count = true in [firewall]"), "{notes}");
    // Somebody guesses from within the office.
    for user in ["carol", "dave", "eve"] {
        machine.log(&failed_as(user));
    }
    eventually("that is too much", || machine.listed().contains(&office.to_owned()));
}

#[test]
fn a_log_from_next_year_is_told_of() {
    let machine = Machine::new();
    machine.configure("maxretry = 2\n");
    let _daemon = machine.start(machine.kband());
    let ahead =
        jiff::Timestamp::now() + jiff::SignedDuration::from_hours(8760) + jiff::SignedDuration::from_mins(5);
    let line = failed_password("203.0.113.9");
    let (_, rest) = line.split_once(" sshd").unwrap();
    machine.log(&format!("{ahead:.0} host sshd{rest}").repeat(2));
    eventually("it counts", || machine.listed() == ["203.0.113.9"]);
    let warnings = machine.banctl_json(&["status"])["warnings"].to_string();
    assert!(warnings.contains("sshd: 2 lines are dated in the future, the last by 365d"), "{warnings}");
}
