//! Log files as servers have them: by the hundred, and those of containers.

use std::fs;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use crate::harness::{Machine, append, eventually, failed_password, stdout};

/// What Docker makes of a line.
fn docker(line: &str) -> String {
    format!("{}\n", serde_json::json!({ "log": line, "stream": "stderr", "time": "2026-11-21T06:50:25.1Z" }))
}

/// What containerd makes of a line, in two parts.
fn cri(line: &str) -> String {
    let (first, rest) = line.trim_end().split_at(40);
    format!("2026-11-21T06:50:25.1Z stdout P {first}\n2026-11-21T06:50:25.1Z stdout F {rest}\n")
}

#[test]
fn new_hosts_and_containers_are_watched_and_shown() {
    let machine = Machine::new();
    let at = |name: &str| machine.path(name);
    let jail = |name: &str, path: &str, more: &str| {
        format!(
            "[jail.{name}]\nenabled = true\nfilter = \"sshd\"\nmaxretry = 1\nlogpath = {:?}\n{more}",
            at(path)
        )
    };
    machine.configure(
        &[
            "maxretry = 1\n".to_owned(),
            jail("hosts", "hosts/*/auth.log", ""),
            jail("docker", "containers/*/*-json.log", "format = \"docker\"\n"),
            jail("pods", "pods/*.log", "format = \"cri\"\n"),
        ]
        .concat(),
    );
    fs::create_dir_all(at("hosts/a")).unwrap();
    append(&at("hosts/a/auth.log"), failed_password("203.0.113.9").as_bytes());
    let daemon = machine.start(machine.kband());
    eventually("the first is followed", || source(&machine, "hosts/a/auth.log")["state"] == "following");
    for (file, text) in [
        ("hosts/a/auth.log", failed_password("203.0.113.1")),
        ("hosts/b/auth.log", failed_password("203.0.113.2")),
        ("containers/c1/c1-json.log", docker(&failed_password("203.0.113.3"))),
        ("pods/web.log", cri(&failed_password("203.0.113.4"))),
    ] {
        fs::create_dir_all(at(file).parent().unwrap()).unwrap();
        append(&at(file), text.as_bytes());
    }
    let all = ["203.0.113.1", "203.0.113.2", "203.0.113.3", "203.0.113.4"];
    eventually("all four are banned", || machine.listed() == all);
    append(&at("pods/web.log"), failed_password("203.0.113.5").as_bytes());
    eventually("the broken line is told", || {
        machine.banctl_json(&["status"])["warnings"].to_string().contains("is `format` right?")
    });
    let shown = stdout(&machine.banctl(&["status"]));
    assert!(shown.contains("hosts/*/auth.log (2 files)") && !shown.contains("hosts/a/auth.log"), "{shown}");

    // What came while kband was away, in a file that it knew and in one that it did not.
    daemon.stop();
    append(&at("hosts/a/auth.log"), failed_password("203.0.113.6").as_bytes());
    fs::create_dir_all(at("hosts/c")).unwrap();
    append(&at("hosts/c/auth.log"), failed_password("203.0.113.7").as_bytes());
    let _daemon = machine.start(machine.kband());
    let all = [&all[..], &["203.0.113.6", "203.0.113.7"]].concat();
    eventually("both are banned", || machine.listed() == all);
    let row = source(&machine, "hosts/c/auth.log");
    assert_eq!((&row["lag"], &row["lines"]), (&0.into(), &1.into()));
    assert!(row["position"].as_str().unwrap().starts_with("file "), "{row}");
}

fn source(machine: &Machine, path: &str) -> Value {
    let path = machine.path(path).display().to_string();
    let status = machine.banctl_json(&["status"]);
    status["sources"].as_array().unwrap().iter().find(|row| row["path"] == path).cloned().unwrap_or_default()
}

#[test]
fn five_hundred_idle_logs_wake_nobody() {
    let machine = Machine::new();
    fs::create_dir(machine.path("logs")).unwrap();
    for n in 0..500 {
        append(&machine.path(&format!("logs/{n}.log")), b"old\n");
    }
    let path = machine.path("logs/*.log");
    machine.configure(&format!(
        "[jail.many]\nenabled = true\nfilter = \"sshd\"\nmaxretry = 1\nlogpath = {path:?}\n"
    ));
    let daemon = machine.start(machine.kband());
    let following = || {
        let status = machine.banctl_json(&["status"]);
        status["sources"].as_array().unwrap().iter().filter(|row| row["lag"] == 0).count()
    };
    eventually("all are followed", || following() == 501);
    // kband tidies up a second after its start, and then once a minute.
    std::thread::sleep(Duration::from_millis(1500));
    // There already: a new name beside the other jail's log is news.
    let trace = machine.path("trace");
    fs::write(&trace, "").unwrap();
    let traced = Command::new("timeout")
        .args(["-s", "INT", "5", "strace", "-f", "-p", &daemon.pid().to_string(), "-o"])
        .arg(&trace)
        .output()
        .unwrap();
    let trace = fs::read_to_string(&trace).unwrap_or_default();
    assert!(String::from_utf8_lossy(&traced.stderr).contains("attached"), "{traced:?}");
    let calls: Vec<&str> =
        trace.lines().filter(|line| line.contains('=') && !line.contains("resumed")).collect();
    assert!(calls.is_empty(), "{calls:#?}");
    append(&machine.path("logs/499.log"), failed_password("203.0.113.1").as_bytes());
    eventually("and yet it listens", || machine.listed() == ["203.0.113.1"]);
}
