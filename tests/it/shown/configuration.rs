//! The verbs that read files: what they say of a configuration, and what becomes of it.

use std::fs;

use super::typed;
use crate::harness::Machine;

/// What says how things are, before and after the files are changed.
const FIRST: &[&str] = &[
    "check",
    "jails",
    "filters",
    "config show",
    "config diff",
    "enable counter-strike",
    "enable counter-strike",
    "disable counter-strike",
    "config import fail2ban",
];
const CHANGED: &[&str] = &["config diff", "reload", "config diff"];
const BROKEN: &[&str] = &["check", "config show", "config diff", "reload", "enable counter-strike"];

const FAIL2BAN: &str = "[DEFAULT]\nbantime = 1h\nbackend = gamin\n\n[sshd]\nenabled = true\nfilter = sshd\nlogpath = /var/log/auth.log\naction = mail-whois\n";

fn session(more: &[&str]) -> String {
    let machine = Machine::new();
    let etc = machine.path("etc");
    fs::create_dir_all(etc.join("kban.d")).unwrap();
    fs::create_dir_all(machine.path("fail2ban/filter.d")).unwrap();
    fs::write(machine.path("fail2ban/jail.conf"), FAIL2BAN).unwrap();
    fs::write(machine.path("fail2ban/filter.d/sshd.conf"), "[Definition]\nfailregex = ^denied <HOST>$\n")
        .unwrap();
    machine.log("");
    let log = machine.path("auth.log");
    let write = |maxretry: &str| {
        let jail = format!("[jail.nagios]\nenabled = true\nlogpath = {log:?}\nmaxretry = {maxretry}\n");
        fs::write(etc.join("kban.toml"), jail).unwrap();
    };
    write("3");
    let _daemon = machine.start(machine.kband_of("etc", &machine.path("run")));
    let first = typed(&machine, "etc", FIRST, more);
    write("4");
    let changed = typed(&machine, "etc", CHANGED, more);
    write("0");
    first + &changed + &typed(&machine, "etc", BROKEN, more)
}

#[test]
fn to_people() {
    insta::assert_snapshot!(session(&[]));
}

#[test]
fn to_programs() {
    insta::assert_snapshot!(session(&["--json"]));
}
