//! Killed in the middle of everything, the daemon comes back knowing what the kernel knows.

use std::collections::BTreeSet;

use crate::harness::{Machine, addresses, eventually, failed_password, stdout};

const ATTACKERS: u32 = 10_000;

/// What the kernel holds and what the daemon says it holds.
fn agree(machine: &Machine) -> bool {
    let kernel: BTreeSet<String> = machine.set("host4").into_iter().map(|(address, _)| address).collect();
    let listed: BTreeSet<String> = machine.listed().into_iter().collect();
    kernel == listed
}

#[test]
fn killed_in_the_middle_of_ten_thousand_bans() {
    let machine = Machine::new();
    machine.configure("maxretry = 5\nbantime = \"1h\"\n");
    let daemon = machine.start(machine.kband());
    let lines: String =
        addresses(ATTACKERS).iter().map(|address| failed_password(address).repeat(5)).collect();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for chunk in lines.as_bytes().chunks(64 * 1024) {
                crate::harness::append(&machine.path("auth.log"), chunk);
                std::thread::sleep(std::time::Duration::from_millis(5));
            }
        });
        eventually("it is in the middle", || machine.set("host4").len() > 500);
        daemon.kill();
    });
    let survived = machine.set("host4").len();
    assert!((500..ATTACKERS as usize).contains(&survived), "killed in the middle: {survived}");

    let daemon = machine.start(machine.kband());
    eventually("every attacker is banned", || machine.set("host4").len() == ATTACKERS as usize);
    assert!(agree(&machine));
    daemon.kill();

    let daemon = machine.start(machine.kband());
    eventually("nothing changed", || agree(&machine) && machine.listed().len() == ATTACKERS as usize);
    daemon.stop();
}

#[test]
fn a_restart_after_a_reboot_brings_the_bans_back_with_the_time_they_have_left() {
    let machine = Machine::new();
    machine.configure("maxretry = 1\nbantime = \"1h\"\n");
    let daemon = machine.start(machine.kband());
    machine.log(&failed_password("203.0.113.9"));
    eventually("banned", || machine.listed() == ["203.0.113.9"]);
    daemon.stop();
    machine.sh("nft delete table inet kban");
    let _daemon = machine.start(machine.kband());
    let set = machine.set("host4");
    assert_eq!(set[0].0, "203.0.113.9");
    assert!((3000..=3600).contains(&set[0].1));
    assert_eq!(machine.banctl_json(&["list"])["bans"][0]["jail"], "sshd");
}

/// A trigger stands for a full disk.
#[test]
fn a_store_that_cannot_be_written_is_said_and_nothing_is_forgotten_when_it_can_be_again() {
    let machine = Machine::new();
    machine.configure("maxretry = 1\nbantime = \"1h\"\n");
    let daemon = machine.start(machine.kband());
    let durable = || machine.banctl_json(&["status"])["durable"] == true;
    let database = rusqlite::Connection::open(machine.path("state/kban.sqlite3")).unwrap();
    database
        .execute_batch(
            "CREATE TRIGGER full BEFORE INSERT ON bans BEGIN SELECT RAISE(FAIL, 'disk is full'); END",
        )
        .unwrap();
    machine.log(&failed_password("203.0.113.9"));
    eventually("status says so", || !durable());
    assert_eq!(machine.listed(), ["203.0.113.9"], "it protects all the same");
    assert!(stdout(&machine.banctl(&["status"])).contains("WARNING: bans and positions will not survive"));
    machine.log("a later line moves the position on\n");
    machine.log(&failed_password("203.0.113.10"));
    eventually("banned", || machine.listed().len() == 2);
    database.execute_batch("DROP TRIGGER full").unwrap();
    eventually("status is content again", durable);
    let log = machine.kband_log();
    assert_eq!((log.matches("disk is full").count(), log.matches("written again").count()), (1, 1), "{log}");
    daemon.kill();
    machine.sh("nft delete table inet kban");
    let _daemon = machine.start(machine.kband());
    assert_eq!(machine.set("host4").len(), 2);
}

#[test]
fn elements_of_which_nothing_is_known_are_adopted() {
    let machine = Machine::new();
    machine.configure("");
    machine.start(machine.kband()).stop();
    machine.sh("nft add element inet kban host4 '{ 203.0.113.77 timeout 1h }'");
    let _daemon = machine.start(machine.kband());
    let ban = machine.banctl_json(&["list"])["bans"][0].clone();
    assert_eq!((ban["address"].as_str(), ban["jail"].as_str()), (Some("203.0.113.77"), Some("adopted")));
    assert!(machine.banctl(&["unban", "203.0.113.77"]).status.success());
    assert!(machine.set("host4").is_empty());
}

#[test]
fn lines_written_while_it_was_down_are_read() {
    let machine = Machine::new();
    machine.configure("maxretry = 1\n");
    machine.log("first\n");
    let daemon = machine.start(machine.kband());
    machine.log(&failed_password("203.0.113.1"));
    eventually("banned", || machine.listed() == ["203.0.113.1"]);
    daemon.stop();
    machine.log(&failed_password("203.0.113.2"));
    let _daemon = machine.start(machine.kband());
    eventually("both are banned", || machine.listed() == ["203.0.113.1", "203.0.113.2"]);
}

#[test]
fn a_log_that_was_quiet_is_read_on_where_it_was_left_too() {
    let machine = Machine::new();
    machine.configure("maxretry = 1\n");
    machine.log(&failed_password("203.0.113.1"));
    let daemon = machine.start(machine.kband());
    eventually("followed", || machine.banctl_json(&["status"])["sources"][0]["state"] == "following");
    daemon.stop();
    machine.log(&failed_password("203.0.113.2"));
    let _daemon = machine.start(machine.kband());
    eventually("only what is new", || machine.listed() == ["203.0.113.2"]);
}

/// Waits until so many failures were found since the daemon's start.
fn counted(machine: &Machine, failures: u64) {
    eventually("counted", || machine.banctl_json(&["status"])["jails"][0]["failures"] == failures);
}

/// A line after which it is known that everything before it was dealt with.
fn barrier(machine: &Machine, address: &str) {
    machine.log(&failed_password(address).repeat(3));
    eventually("everything was read", || machine.listed().contains(&address.to_owned()));
}

/// Waits until a ban is on disk, and with it how far the log was read.
fn stored(machine: &Machine, prefix: &str) {
    let count = || {
        let database = rusqlite::Connection::open(machine.path("state/kban.sqlite3"))?;
        database.query_row("SELECT count(*) FROM bans WHERE prefix = ?", [prefix], |row| row.get::<_, i64>(0))
    };
    eventually("it is on disk", || count().is_ok_and(|rows| rows == 1));
}

fn rotate(machine: &Machine) {
    machine.sh(&format!(
        "cd {}; for n in 3 2 1; do if [ -e auth.log.$n ]; then mv auth.log.$n auth.log.$((n + 1)); fi; done; \
         mv auth.log auth.log.1; : > auth.log",
        machine.dir.path().display()
    ));
}

#[test]
fn a_log_truncated_while_it_was_down_is_read_from_its_start() {
    let machine = Machine::new();
    machine.configure("maxretry = 1\n");
    machine.log("first\n");
    let daemon = machine.start(machine.kband());
    machine.log(&failed_password("203.0.113.1").repeat(20));
    eventually("banned", || machine.listed() == ["203.0.113.1"]);
    daemon.stop();
    // Longer than what lies before the window, shorter than what was read.
    std::fs::write(machine.path("auth.log"), failed_password("203.0.113.2")).unwrap();
    let _daemon = machine.start(machine.kband());
    eventually("both are banned", || machine.listed() == ["203.0.113.1", "203.0.113.2"]);
}

#[test]
fn failures_on_both_sides_of_a_restart_ban_together() {
    for (killed, rotated) in [(false, false), (true, false), (false, true), (true, true)] {
        let machine = Machine::new();
        machine.configure("maxretry = 3\n");
        machine.log("first\n");
        let daemon = machine.start(machine.kband());
        machine.log(&failed_password("203.0.113.1").repeat(2));
        barrier(&machine, "203.0.113.8");
        if rotated {
            rotate(&machine);
            barrier(&machine, "203.0.113.9");
        }
        if killed {
            stored(&machine, if rotated { "203.0.113.9/32" } else { "203.0.113.8/32" });
            daemon.kill();
        } else {
            daemon.stop();
        }
        let daemon = machine.start(machine.kband());
        assert!(!machine.listed().contains(&"203.0.113.1".into()));
        machine.log(&failed_password("203.0.113.1"));
        eventually("the third one bans", || machine.listed().contains(&"203.0.113.1".into()));
        drop(daemon);
    }
}

#[test]
fn what_was_unbanned_by_hand_stays_so_after_two_rotations_and_a_restart() {
    let machine = Machine::new();
    machine.configure("maxretry = 3\n");
    machine.log("first\n");
    let daemon = machine.start(machine.kband());
    barrier(&machine, "203.0.113.1");
    rotate(&machine);
    barrier(&machine, "203.0.113.2");
    rotate(&machine);
    barrier(&machine, "203.0.113.3");
    for address in ["203.0.113.1", "203.0.113.2", "203.0.113.3"] {
        assert!(machine.banctl(&["unban", address]).status.success());
    }
    daemon.stop();
    let _daemon = machine.start(machine.kband());
    barrier(&machine, "203.0.113.4");
    assert_eq!(machine.listed(), ["203.0.113.4"]);
}

#[test]
fn undated_lines_are_not_counted_again() {
    let machine = Machine::new();
    machine.configure("maxretry = 3\n");
    machine.log("first\n");
    let undated = "Failed password for root from 203.0.113.1 port 50022 ssh2\n";
    let daemon = machine.start(machine.kband());
    machine.log(&undated.repeat(2));
    counted(&machine, 2);
    daemon.stop();
    let _daemon = machine.start(machine.kband());
    machine.log(undated);
    barrier(&machine, "203.0.113.4");
    assert_eq!(machine.listed(), ["203.0.113.4"]);
    machine.log(&undated.repeat(2));
    eventually("three new ones ban", || machine.listed().contains(&"203.0.113.1".into()));
}

#[test]
fn a_jail_that_was_disabled_reads_on_where_it_was_left() {
    let machine = Machine::new();
    let file = machine.configure("maxretry = 1\n");
    machine.log("first\n");
    let _daemon = machine.start(machine.kband());
    machine.log(&failed_password("203.0.113.1"));
    eventually("banned", || machine.listed() == ["203.0.113.1"]);
    std::fs::write(&file, "").unwrap();
    assert!(machine.banctl(&["reload"]).status.success());
    assert!(machine.listed().is_empty());
    machine.log(&failed_password("203.0.113.2"));
    machine.configure("maxretry = 1\n");
    assert!(machine.banctl(&["reload"]).status.success());
    eventually("only what is new", || machine.listed() == ["203.0.113.2"]);
}

#[test]
fn flush_on_exit_removes_the_table() {
    let machine = Machine::new();
    machine.configure("maxretry = 1\n");
    let mut command = machine.kband();
    command.arg("--flush-on-exit");
    let daemon = machine.start(command);
    machine.log(&failed_password("203.0.113.9"));
    eventually("banned", || machine.listed() == ["203.0.113.9"]);
    daemon.stop();
    machine.sh("! nft list table inet kban 2>/dev/null");
}
