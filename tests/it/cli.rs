//! banctl at the terminal: sentences and exit codes.

use std::fs;

use crate::harness::{Machine, eventually, failed_password, stderr, stdout};

#[track_caller]
fn refused(machine: &Machine, arguments: &[&str], exit: i32, sentence: &str) {
    let output = machine.banctl(arguments);
    assert_eq!(output.status.code(), Some(exit), "{arguments:?}: {}{}", stdout(&output), stderr(&output));
    let said = stderr(&output);
    assert!(said.contains(sentence), "{arguments:?} said: {said}");
    assert!(!said.contains("panicked"));
}

#[test]
fn every_kind_of_no_has_its_sentence_and_its_code() {
    let machine = Machine::new();
    refused(&machine, &["status"], 3, "no kband listens");
    refused(&machine, &["ban", "203.0.113.9"], 3, "no kband listens");
    machine.configure("[defaults]\nignoreip = [\"192.0.2.0/24\"]\n");
    machine.sh("ip addr add 198.51.100.1/24 dev lo");
    let _daemon = machine.start(machine.kband());
    refused(&machine, &["ban", "300.1.1.1"], 2, "'300.1.1.1' is neither an address nor a prefix");
    refused(&machine, &["ban", "0.0.0.0/0"], 5, "not the address of one remote host");
    refused(&machine, &["ban", "::ffff:0.0.0.0/96"], 5, "0.0.0.0 is not the address of one remote host");
    refused(&machine, &["ban", "fe80::1%eth0"], 2, "neither an address nor a prefix: write 203.0.113.9");
    refused(&machine, &["ban", "203.0.0.0/7"], 5, "not the address of one remote host");
    refused(&machine, &["ban", "192.0.0.0/16"], 5, "192.0.2.0/24");
    refused(&machine, &["ban", "198.51.100.0/24"], 5, "address of this machine");
    refused(&machine, &["ban", "203.0.113.9", "--for", "3600"], 2, "3600s");
    refused(&machine, &["ban", "203.0.113.9", "--jail", "shd"], 2, "did you mean sshd?");
    refused(&machine, &["ban", "192.0.2.7"], 5, "allowed by 192.0.2.0/24");
    refused(&machine, &["ban", "198.51.100.1"], 5, "address of this machine");
    refused(&machine, &["ban", "127.0.0.1"], 5, "address of this machine");
    refused(&machine, &["unban", "203.0.113.9"], 1, "203.0.113.9 is not banned");
    refused(&machine, &["unban"], 2, "required");
    refused(&machine, &["list", "1.2.3.4/99"], 2, "neither an address nor a prefix");
}

#[test]
fn a_prefix_that_covers_an_address_is_named() {
    let machine = Machine::new();
    machine.configure("maxretry = 1\n");
    let _daemon = machine.start(machine.kband());
    machine.log(&failed_password("2001:db8:5::1"));
    eventually("banned", || machine.listed() == ["2001:db8:5::/64"]);
    refused(&machine, &["unban", "2001:db8:5::1"], 1, "2001:db8:5::/64");
    for list in [&["list", "2001:db8:5::1"][..], &["list", "--kernel", "2001:db8:5::1"]] {
        assert_eq!(machine.banctl_json(list)["bans"][0]["address"], "2001:db8:5::/64", "{list:?}");
    }
    refused(&machine, &["list", "2001:db8:6::1"], 1, "2001:db8:6::1 is not banned");
    refused(&machine, &["list", "--kernel", "2001:db8:6::1"], 1, "2001:db8:6::1 is not banned in the kernel");
    let output = machine.banctl(&["list", "2001:db8:6::1", "--json"]);
    assert_eq!((output.status.code(), stdout(&output).contains("\"bans\":[]")), (Some(1), true));
    refused(&machine, &["list", "shd"], 2, "did you mean sshd?");
    assert!(machine.banctl(&["list", "manual"]).status.success(), "a jail without bans is no no");
    assert!(machine.banctl(&["unban", "2001:db8:5::/64"]).status.success());
}

#[test]
fn a_full_set_is_said_and_nothing_is_banned_by_half() {
    let machine = Machine::new();
    machine.configure("[firewall]\nset_size = 2\n");
    let _daemon = machine.start(machine.kband());
    for address in ["203.0.113.1", "203.0.113.2"] {
        assert!(machine.banctl(&["ban", address]).status.success());
    }
    refused(&machine, &["ban", "203.0.113.3"], 6, "set_size");
    assert_eq!(machine.listed(), ["203.0.113.1", "203.0.113.2"]);
}

#[test]
fn somebody_without_rights_is_told_so() {
    let machine = Machine::of_root();
    machine.configure("");
    let _daemon = machine.start(machine.kband());
    machine.sh(&format!("chmod 755 {0} {0}/run", machine.dir.path().display()));
    let banctl = machine.path("banctl");
    // By a process of its own: a child of another test could hold a file open that this one writes (ETXTBSY).
    machine.sh(&format!("cp {} {}", env!("CARGO_BIN_EXE_banctl"), banctl.display()));
    let mut command = machine.command("setpriv");
    command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(&banctl);
    let output =
        command.args(["--socket"]).arg(machine.path("run/control.sock")).arg("status").output().unwrap();
    assert_eq!(output.status.code(), Some(4), "{}", stderr(&output));
    // Somebody has opened the socket to everybody: the daemon looks who it is.
    machine.sh(&format!("chmod 666 {}/run/control.sock", machine.dir.path().display()));
    let mut command = machine.command("setpriv");
    command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(&banctl);
    let output =
        command.args(["--socket"]).arg(machine.path("run/control.sock")).arg("status").output().unwrap();
    assert_eq!(output.status.code(), Some(4), "{}", stderr(&output));
    assert!(stderr(&output).contains("only root and the control group"), "{}", stderr(&output));
    let mut command = machine.command("setpriv");
    let output = command
        .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
        .arg(&banctl)
        .args(["list", "--kernel"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(4), "{}", stderr(&output));
}

#[test]
fn a_daemon_without_privilege_says_so() {
    let machine = Machine::new();
    machine.configure("");
    let mut command = machine.command("setpriv");
    command.args(["--bounding-set=-all", "--inh-caps=-all"]).arg(env!("CARGO_BIN_EXE_kband"));
    let output = command.args(machine.kband_arguments()).output().unwrap();
    assert_eq!(output.status.code(), Some(77), "{}", stderr(&output));
    assert!(stderr(&output).contains("CAP_NET_ADMIN"), "{}", stderr(&output));
}

#[test]
fn lists_are_filtered_and_unban_takes_prefixes_and_jails() {
    let machine = Machine::new();
    machine.configure("");
    let _daemon = machine.start(machine.kband());
    for address in ["203.0.113.1", "203.0.113.2", "198.51.100.9"] {
        assert!(
            machine
                .banctl(&["ban", address, "--for", "1d 6h", "--reason", "seen \u{1b}[31mred"])
                .status
                .success()
        );
    }
    assert!(machine.banctl(&["ban", "203.0.113.1", "--jail", "sshd", "--for", "permanent"]).status.success());
    assert_eq!(machine.banctl_json(&["list", "203.0.113.0/24"])["bans"].as_array().unwrap().len(), 3);
    assert_eq!(machine.banctl_json(&["list", "sshd"])["bans"].as_array().unwrap().len(), 1);
    let text = stdout(&machine.banctl(&["list"]));
    assert!(text.contains("1d 6h") && text.contains("permanent"), "{text}");
    assert!(!text.contains('\u{1b}'), "escapes reach no terminal: {text:?}");
    assert_eq!(machine.banctl_json(&["unban", "203.0.113.0/24", "--jail", "manual"])["lifted"], 2);
    assert_eq!(machine.banctl_json(&["unban", "--jail", "sshd"])["lifted"], 1);
    assert_eq!(machine.banctl_json(&["flush"])["lifted"], 1);
    assert!(stdout(&machine.banctl(&["list"])).contains("nobody is banned"));
}

#[test]
fn without_a_daemon_the_kernel_can_still_be_read_and_emptied() {
    let machine = Machine::new();
    machine.configure("");
    let daemon = machine.start(machine.kband());
    for address in ["203.0.113.1", "203.0.113.2"] {
        assert!(machine.banctl(&["ban", address, "--for", "1h"]).status.success());
    }
    daemon.kill();
    assert_eq!(machine.banctl_json(&["list", "--kernel"])["bans"].as_array().unwrap().len(), 2);
    assert!(machine.banctl(&["unban", "--kernel", "203.0.113.1"]).status.success());
    assert_eq!(machine.set("host4").len(), 1);
    refused(&machine, &["flush"], 3, "without --socket empties the kernel");
    assert_eq!(machine.set("host4").len(), 1, "another kband might run behind another socket");
    let output = machine.command(env!("CARGO_BIN_EXE_banctl")).args(["flush", "--json"]).output().unwrap();
    assert!(stdout(&output).contains("\"table_removed\":true"), "{}{}", stdout(&output), stderr(&output));
    machine.sh("! nft list table inet kban 2>/dev/null");
}

#[test]
fn a_reader_that_has_seen_enough_is_no_failure() {
    let machine = Machine::new();
    let banctl = env!("CARGO_BIN_EXE_banctl");
    let log = machine.path("big.log");
    fs::write(&log, failed_password("203.0.113.9").repeat(50_000)).unwrap();
    let line = format!("{{ {banctl} test sshd {} --each --jsonl; echo $? >&2; }} | head -1", log.display());
    let output = machine.command("sh").args(["-c", &line]).output().unwrap();
    assert_eq!(stderr(&output), "0\n");
}

#[test]
fn status_shows_jails_sources_and_warnings_first() {
    let machine = Machine::new();
    machine.configure("maxretry = 1\n");
    let _daemon = machine.start(machine.kband());
    machine.log(&failed_password("203.0.113.9"));
    eventually("banned", || machine.listed().len() == 1);
    let status = machine.banctl_json(&["status"]);
    let jail = &status["jails"][0];
    assert_eq!(
        (jail["name"].as_str(), jail["failures"].as_u64(), jail["banned"].as_u64()),
        (Some("sshd"), Some(1), Some(1))
    );
    assert_eq!(status["sources"][0]["lines"], 1);
    let text = stdout(&machine.banctl(&["status"]));
    assert!(text.contains("1 banned") && text.contains("auth.log"), "{text}");
}

/// `banctl test` is what the compatibility tests read: one object for each line.
#[test]
fn each_line_gets_one_object() {
    let machine = Machine::new();
    let log = machine.path("auth.log");
    fs::write(
        &log,
        "Jun 21 16:47:48 host sshd[22]: Failed password for root from 203.0.113.9 port 22 ssh2\n\
         Jun 21 16:47:49 host sshd[22]: Accepted password for root from 203.0.113.9 port 22 ssh2\n\
         Jun 21 16:47:50 host cron[22]: Failed password for root from 203.0.113.9 port 22 ssh2",
    )
    .unwrap();
    let mut command = machine.command(env!("CARGO_BIN_EXE_banctl"));
    command.env("TZ", "Europe/Berlin").args(["test", "sshd"]).arg(&log);
    let output = command.args(["--each", "--jsonl", "--now", "2005-08-14T12:00:00Z"]).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let lines: Vec<serde_json::Value> =
        stdout(&output).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 3);
    assert_eq!(
        (&lines[0]["line"], &lines[0]["verdict"], &lines[0]["host"]),
        (&1.into(), &"match".into(), &"203.0.113.9".into())
    );
    assert_eq!((&lines[0]["time"], &lines[0]["attempts"]), (&"2005-06-21T16:47:48+02:00".into(), &1.into()));
    assert_eq!(lines[0]["fields"]["user"], "root");
    assert!(lines[0]["pattern"].is_u64());
    assert_eq!(lines[1], serde_json::json!({"line": 2, "verdict": "gain"}));
    assert_eq!(lines[2]["verdict"], "miss");
    let mut command = machine.command(env!("CARGO_BIN_EXE_banctl"));
    command.env("TZ", "Europe/Berlin").args(["test", "sshd"]).arg(&log);
    let also = command.args(["--each", "--json", "--now", "2005-08-14T12:00:00Z"]).output().unwrap();
    assert_eq!(stdout(&also), stdout(&output), "--json alone is enough");
}

#[test]
fn test_sums_up_and_says_whom_a_jail_would_ban() {
    let machine = Machine::new();
    let log = machine.path("auth.log");
    fs::write(&log, failed_password("203.0.113.9").repeat(5) + &failed_password("203.0.113.10") + "noise\n")
        .unwrap();
    let log = log.display().to_string();
    let text = stdout(&machine.banctl(&["test", "sshd", &log]));
    assert!(text.contains("203.0.113.9") && !text.contains("203.0.113.10"), "{text}");
    let json = machine.banctl_json(&["test", "sshd", &log]);
    assert_eq!((&json["lines"], &json["matched"], &json["missed"]), (&7.into(), &6.into(), &1.into()));
    assert_eq!(json["would_ban"].as_array().unwrap().len(), 1);
    assert_eq!(machine.banctl(&["test", "shd", &log]).status.code(), Some(2));
    assert_eq!(machine.banctl(&["test", "sshd", "/nonexistent"]).status.code(), Some(2));
    let quiet = machine.path("quiet.log");
    fs::write(&quiet, "noise\n").unwrap();
    assert_eq!(machine.banctl(&["test", "sshd", &quiet.display().to_string()]).status.code(), Some(1));
}

#[test]
fn filters_are_listed_and_shown() {
    let machine = Machine::new();
    let listed = stdout(&machine.banctl(&["filters", "--json"]));
    let listed: serde_json::Value = serde_json::from_str(&listed).unwrap();
    assert_eq!(listed["schema"], 1);
    let names: Vec<&str> =
        listed["filters"].as_array().unwrap().iter().map(|filter| filter["name"].as_str().unwrap()).collect();
    for name in ["sshd", "apache-auth", "postfix", "caddy"] {
        assert!(names.contains(&name), "{name} is not listed");
    }
    let shown = machine.banctl(&["filters", "sshd[mode=ddos]"]);
    assert!(shown.status.success());
    let shown = stdout(&shown);
    for part in ["OpenSSH", "modes: normal aggressive ddos extra", "/var/log/auth.log", "^(?:kernel"] {
        assert!(shown.contains(part), "{part} is missing in {shown}");
    }
    let caddy = stdout(&machine.banctl(&["filters", "caddy"]));
    assert!(caddy.contains("where msg = handled request and status = 401"), "{caddy}");
    refused(&machine, &["filters", "apache-aut"], 2, "did you mean apache-auth?");
}
