//! A real journald of the test's own, in namespaces of its own: what counts, what is read again, and what happens to journalctl.

use std::fs;
use std::process::{Command, Stdio};

use crate::harness::{Background, Daemon, Machine, eventually};

/// Whose machine id is made up.
const ID: &str = "0123456789abcdef0123456789abcdef";

/// A machine with a journal and nothing that logs.
fn machine() -> (Machine, Background) {
    let machine = Machine::of_root();
    fs::write(machine.path("id"), format!("{ID}\n")).unwrap();
    let id = machine.path("id").display().to_string();
    machine.sh(&format!(
        "mkdir -p /run/systemd /run/log/journal/{ID}; touch /etc/machine-id; mount --bind {id} /etc/machine-id"
    ));
    let journald = machine
        .sh("ls /lib/systemd/systemd-journald /usr/lib/systemd/systemd-journald 2>/dev/null | head -1");
    let mut journald = machine.command(journald.trim());
    journald.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let journald = Background(journald.spawn().unwrap());
    eventually("journald runs", || {
        machine.sh("ls /run/systemd").contains("journal")
            && machine.sh("ls /run/systemd/journal").contains("stdout")
    });
    (machine, journald)
}

/// Logs one line as this user; journald has it once the command has ended and been awaited.
fn log(machine: &Machine, user: &str, text: &str) {
    machine.sh(&format!("setpriv --reuid {user} --clear-groups systemd-cat -t sshd echo '{text}'"));
}

fn failure(host: u8) -> String {
    format!("Failed password for root from 203.0.113.{host} port 22 ssh2")
}

fn configure(machine: &Machine, journalmatch: &str) {
    let text = format!("[jail.sshd]\nenabled = true\nmaxretry = 3\njournalmatch = \"{journalmatch}\"\n");
    fs::write(machine.path("kban.toml"), text).unwrap();
}

fn follows(machine: &Machine) {
    let state = || machine.banctl_json(&["status"])["sources"][0]["state"].clone();
    eventually("it follows", || state() == "following");
}

/// The process that follows the journal for it, once there is one.
fn follower(daemon: &Daemon<'_>, other_than: i32) -> i32 {
    let mut found = 0;
    eventually("journalctl follows", || {
        let daemon = daemon.pid().to_string();
        let listed = Command::new("pgrep").args(["-P", &daemon, "-f", "--", "--follow"]).output().unwrap();
        found = String::from_utf8(listed.stdout).unwrap().trim().parse().unwrap_or(other_than);
        found != other_than
    });
    found
}

#[test]
fn root_counts_and_nobody_else() {
    let (machine, _journald) = machine();
    configure(&machine, "SYSLOG_IDENTIFIER=sshd");
    let _daemon = machine.start(machine.kband());
    follows(&machine);
    for _ in 0..3 {
        log(&machine, "1000", &failure(1));
        log(&machine, "65534", &failure(2));
    }
    for _ in 0..3 {
        log(&machine, "0", &failure(3));
    }
    eventually("banned", || machine.listed() == ["203.0.113.3"]);
    let status = machine.banctl_json(&["status"]);
    assert_eq!((&status["sources"][0]["untrusted"], &status["sources"][0]["lines"]), (&6.into(), &3.into()));
    assert!(status["warnings"].to_string().contains("does a local user forge them"), "{status}");
}

#[test]
fn what_was_logged_meanwhile_is_read_and_nothing_twice() {
    let (machine, _journald) = machine();
    configure(&machine, "SYSLOG_IDENTIFIER=sshd");
    log(&machine, "0", &failure(1));
    let daemon = machine.start(machine.kband());
    follows(&machine);
    for _ in 0..2 {
        log(&machine, "0", &failure(1));
        log(&machine, "0", &failure(2));
    }
    let lines = || machine.banctl_json(&["status"])["sources"][0]["lines"].clone();
    eventually("read", || lines() == 4);
    let child = follower(&daemon, 0);
    daemon.kill();
    eventually("no journalctl is left behind", || !std::path::Path::new(&format!("/proc/{child}")).exists());
    log(&machine, "0", &failure(2));
    let daemon = machine.start(machine.kband());
    eventually("what came meanwhile counts with what came before", || machine.listed() == ["203.0.113.2"]);

    let child = follower(&daemon, 0);
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(child), nix::sys::signal::Signal::SIGKILL).unwrap();
    follower(&daemon, child);
    for _ in 0..3 {
        log(&machine, "0", &failure(4));
    }
    eventually("and reads on", || machine.listed().contains(&"203.0.113.4".to_owned()));
    assert!(!machine.listed().contains(&"203.0.113.1".to_owned()), "nothing was counted twice");
    let restarts = machine.banctl_json(&["status"])["sources"][0]["restarts"].clone();
    assert_eq!(restarts, 1);
}

/// A journalctl that fails as often as `failures` has bytes, while it reads what is there.
fn failing(machine: &Machine) -> Command {
    let script = format!(
        "#!/bin/sh\ncase \"$*\" in *--follow*|*--lines=1*) ;; *)\n\
         if [ -s {0} ]; then truncate -s -1 {0}; echo no such sector >&2; exit 1; fi;; esac\nexec /usr/bin/journalctl \"$@\"\n",
        machine.path("failures").display()
    );
    fs::create_dir_all(machine.path("bin")).unwrap();
    fs::write(machine.path("bin/journalctl"), script).unwrap();
    machine.sh(&format!("chmod 755 {}", machine.path("bin/journalctl").display()));
    let mut kband = machine.command("env");
    kband.arg(format!("PATH={}:/usr/bin:/bin", machine.path("bin").display()));
    kband.arg(env!("CARGO_BIN_EXE_kband")).args(machine.kband_arguments());
    kband
}

#[test]
fn what_cannot_be_read_of_the_past_is_tried_again_and_told() {
    for (failures, restarts, gaps) in [(1, 1, 0), (2, 1, 1)] {
        let (machine, _journald) = machine();
        configure(&machine, "SYSLOG_IDENTIFIER=sshd");
        fs::write(machine.path("failures"), "x".repeat(failures)).unwrap();
        let _daemon = machine.start(failing(&machine));
        follows(&machine);
        eventually("it was tried", || fs::read(machine.path("failures")).unwrap().is_empty());
        for _ in 0..3 {
            log(&machine, "0", &failure(1));
        }
        eventually("banned", || machine.listed() == ["203.0.113.1"]);
        let status = machine.banctl_json(&["status"])["sources"][0].clone();
        assert_eq!((&status["restarts"], &status["gaps"]), (&restarts.into(), &gaps.into()), "{status}");
        let log = machine.kband_log();
        assert!(log.contains("no such sector"), "{log}");
        assert_eq!(log.contains("journalctl --verify"), gaps > 0, "{log}");
    }
}

#[test]
fn without_journalctl_it_says_so() {
    let (machine, _journald) = machine();
    configure(&machine, "_SYSTEMD_UNIT=ssh.service");
    let mut kband = machine.command("env");
    kband.args(["PATH=/nonexistent", env!("CARGO_BIN_EXE_kband")]).args(machine.kband_arguments());
    let _daemon = machine.start(kband);
    let error = || machine.banctl_json(&["status"])["sources"][0]["error"].to_string();
    eventually("it says so", || error().contains("journalctl is not installed"));
    assert!(
        machine.kband_log().contains("this machine has none, or no journalctl"),
        "{}",
        machine.kband_log()
    );
}
