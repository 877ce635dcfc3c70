//! Configuration: errors with their place, and reloading under way.

use std::fs;

use nix::sys::signal::Signal;

use crate::harness::{Machine, eventually, failed_password, stderr, stdout};

#[test]
fn a_bad_configuration_is_refused_with_every_error() {
    let machine = Machine::new();
    let file = machine.configure("maxretri = 3\nfindtime = 600\n[defualts]\n");
    let output = machine.kband().arg("--check").output().unwrap();
    assert_eq!(output.status.code(), Some(78));
    let said = stderr(&output);
    for words in ["maxretri", "maxretry", "10m", "defualts", "defaults", "kban.toml:4", "^"] {
        assert!(said.contains(words), "no '{words}' in:\n{said}");
    }
    let output = machine.banctl(&["check", "--config", &file.display().to_string()]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stdout(&output).contains("maxretry"));
    machine.configure("");
    assert!(machine.kband().arg("--check").output().unwrap().status.success());
}

#[test]
fn a_reload_changes_the_plan_and_keeps_what_was_counted() {
    let machine = Machine::new();
    machine.configure("maxretry = 5\n");
    let daemon = machine.start(machine.kband());
    machine.log(&failed_password("203.0.113.9").repeat(2));
    eventually("counted", || machine.banctl_json(&["status"])["jails"][0]["failures"] == 2);
    machine.configure("maxretry = 3\n");
    assert!(machine.banctl(&["reload"]).status.success());
    machine.log(&failed_password("203.0.113.9"));
    eventually("the third one bans", || machine.listed() == ["203.0.113.9"]);

    machine.configure("maxretry = 1\n[defaults]\nignoreip = [\"203.0.113.128/25\"]\n");
    daemon.signal(Signal::SIGHUP);
    eventually("reloaded", || machine.kband_log().contains("reloaded"));
    machine.log(&(failed_password("203.0.113.200") + &failed_password("203.0.113.10")));
    eventually("only who is not allowed", || machine.listed() == ["203.0.113.9", "203.0.113.10"]);
    assert!(machine.nft("list set inet kban allow4").to_string().contains("203.0.113.128"));
}

#[test]
fn a_bad_file_on_reload_keeps_the_running_plan_and_says_so() {
    let machine = Machine::new();
    let file = machine.configure("maxretry = 1\n");
    let daemon = machine.start(machine.kband());
    fs::write(&file, "[jail.sshd]\nenabled = maybe\n").unwrap();
    let output = machine.banctl(&["reload"]);
    assert_eq!(output.status.code(), Some(1));
    let said = stderr(&output);
    assert!(said.contains("the running configuration stays"), "{said}");
    assert!(!said.contains("\\u{"), "a report is read line by line:\n{said}");
    assert!(
        said.lines().any(|line| line.trim_start_matches([' ', '|']).starts_with('^')),
        "no caret in:\n{said}"
    );
    daemon.signal(Signal::SIGHUP);
    eventually("said", || machine.kband_log().contains("the running configuration stays"));
    machine.log(&failed_password("203.0.113.9"));
    eventually("still protected", || machine.listed() == ["203.0.113.9"]);
}

#[test]
fn a_reload_resizes_the_sets_and_keeps_what_is_in_them() {
    let machine = Machine::new();
    machine.configure("[firewall]\nset_size = 1\n");
    let _daemon = machine.start(machine.kband());
    assert!(machine.banctl(&["ban", "203.0.113.1", "--for", "1h"]).status.success());
    assert_eq!(machine.banctl(&["ban", "203.0.113.2"]).status.code(), Some(6));
    machine.configure("[firewall]\nset_size = 2\n");
    assert!(machine.banctl(&["reload"]).status.success());
    assert!(machine.banctl(&["ban", "203.0.113.2"]).status.success());
    assert_eq!(machine.set("host4").len(), 2);
}

#[test]
fn a_jail_that_goes_lifts_its_bans() {
    let machine = Machine::new();
    let file = machine.configure("maxretry = 1\n");
    let _daemon = machine.start(machine.kband());
    machine.log(&failed_password("203.0.113.9"));
    eventually("banned", || machine.listed() == ["203.0.113.9"]);
    assert!(machine.banctl(&["ban", "203.0.113.1"]).status.success());
    fs::write(&file, "").unwrap();
    assert!(machine.banctl(&["reload"]).status.success());
    assert_eq!(machine.listed(), ["203.0.113.1"]);
    assert_eq!(machine.set("host4").len(), 1);
}

#[test]
fn without_any_configuration_sshd_is_protected_from_the_auth_log() {
    let machine = Machine::new();
    // The machine's own /etc and /var, so that no host file is read or written.
    machine.sh("mount -t tmpfs tmpfs /var/log; rm -rf /run/kban");
    machine
        .sh("mkdir -p /run/etc/kban && if [ -d /etc/kban ]; then mount --bind /run/etc/kban /etc/kban; fi");
    let arguments = machine.kband_arguments();
    let mut command = machine.command(env!("CARGO_BIN_EXE_kband"));
    command.args(&arguments[2..]);
    let _daemon = machine.start(command);
    machine.sh(&format!("echo '{}' > /var/log/auth.log", failed_password("203.0.113.9").repeat(5).trim()));
    eventually("banned", || machine.listed() == ["203.0.113.9"]);
}

#[test]
fn a_second_daemon_is_refused() {
    let machine = Machine::new();
    machine.configure("");
    let _daemon = machine.start(machine.kband());
    let second = machine.kband().output().unwrap();
    assert_eq!(second.status.code(), Some(1));
    assert!(stderr(&second).contains("another kband already listens"), "{}", stderr(&second));
    assert!(machine.banctl(&["status"]).status.success(), "the first one still has its socket");
}
