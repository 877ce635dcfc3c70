//! `banctl watch`: what happens reaches whoever watches.

use std::io::{BufRead, BufReader, Lines};
use std::process::{ChildStdout, Stdio};

use serde_json::Value;

use crate::corpus::Package;
use crate::harness::{Background, Machine, eventually, failed_password, stderr, stdout};
use crate::shown::redacted;

fn watch(machine: &Machine, arguments: &[&str]) -> (Background, Lines<BufReader<ChildStdout>>) {
    let mut command = machine.command(env!("CARGO_BIN_EXE_banctl"));
    command.arg("--socket").arg(machine.path("run/control.sock")).arg("watch").args(arguments);
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    (Background(child), lines)
}

#[test]
fn the_alarm_of_the_breaker_is_an_event() {
    let machine = Machine::new();
    machine.configure("maxretry = 1\nmax_bans_per_minute = 2\n");
    let _daemon = machine.start(machine.kband());
    let (_watching, lines) = watch(&machine, &["--jsonl", "--jail", "sshd"]);
    let (tell, heard) = std::sync::mpsc::channel();
    std::thread::spawn(move || lines.map_while(Result::ok).try_for_each(|line| tell.send(line)));
    // Whoever has begun to watch hears this.
    eventually("it has begun", || {
        machine.log(&failed_password("203.0.113.1"));
        heard.try_recv().is_ok()
    });
    machine.log(&["203.0.113.2", "203.0.113.3", "203.0.113.4"].map(failed_password).concat());
    let alarm = heard.iter().find(|line| line.contains("\"event\":\"alarm\"")).unwrap();
    let alarm: Value = serde_json::from_str(&alarm).unwrap();
    assert_eq!((&alarm["jail"], &alarm["schema"]), (&"sshd".into(), &1.into()));
    assert!((1..=2).contains(&alarm["waiting"].as_u64().unwrap()), "{alarm}");
}

#[test]
fn each_event_is_a_document_of_its_own() {
    let machine = Machine::new();
    machine.configure("maxretry = 2\n");
    let _daemon = machine.start(machine.kband());
    let (_jsonl, mut documents) = watch(&machine, &["--jsonl"]);
    let (_human, mut lines) = watch(&machine, &["--jail", "sshd"]);
    // Whoever has begun to watch hears this ban.
    let (mut heard, mut shown) = (Vec::new(), String::new());
    for number in 1..=50 {
        assert!(machine.banctl(&["ban", &format!("198.51.100.{number}")]).status.success());
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    for _ in 0..2 {
        machine.log(&failed_password("203.0.113.9"));
    }
    eventually("banned", || machine.listed().contains(&"203.0.113.9".to_owned()));
    assert!(machine.banctl(&["unban", "203.0.113.9"]).status.success());
    assert!(
        machine.banctl(&["allow", "add", "192.0.2.7", "--for", "1h", "--reason", "ours"]).status.success()
    );
    assert!(machine.banctl(&["allow", "del", "192.0.2.7"]).status.success());
    machine.sh("nft flush ruleset");
    while heard.last().is_none_or(|event: &Value| event["event"] != "restore") {
        let line = documents.next().unwrap().unwrap();
        let event: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(event["schema"], 1, "{line}");
        if event["jail"] != "manual" {
            shown += &format!("{line}\n");
            heard.push(event);
        }
    }
    let told: Vec<(&str, &str)> = heard
        .iter()
        .map(|event| (event["event"].as_str().unwrap(), event["address"].as_str().unwrap_or_default()))
        .collect();
    let one = "203.0.113.9";
    let (allow, disallow) = (("allow", "192.0.2.7"), ("disallow", "192.0.2.7"));
    assert_eq!(
        told,
        [("failure", one), ("failure", one), ("ban", one), ("unban", one), allow, disallow, ("restore", "")]
    );
    assert_eq!((&heard[4]["reason"], &heard[5]["why"]), (&"ours".into(), &"by hand".into()));
    assert_eq!(
        (&heard[2]["reason"], &heard[3]["why"]),
        (&"2 failures within 10m".into(), &"lifted by hand".into())
    );
    assert!(heard[6]["by"].as_str().unwrap().starts_with("nft"), "{}", heard[6]);
    assert_eq!(heard[6]["bans"], 50);

    let of_sshd: Vec<String> = lines.by_ref().take(4).map(Result::unwrap).collect();
    insta::assert_snapshot!(redacted(&format!("{shown}\n{}", of_sshd.join("\n")), &machine));
}

/// Whoever keeps fail2ban beside kband for a while: its recidive jail counts kband's bans.
#[test]
fn fail2ban_can_read_kbands_own_log() {
    let machine = Machine::new();
    machine.configure("maxretry = 1\nbantime = \"1h\"\n");
    let _daemon = machine.start(machine.kband());
    machine.log(&failed_password("203.0.113.9"));
    machine.log(&failed_password("203.0.113.10"));
    eventually("told", || machine.kband_log().matches("] Ban ").count() == 2);
    assert!(machine.banctl(&["unban", "203.0.113.9"]).status.success());
    let log = machine.path("kban.log");
    std::fs::write(&log, machine.kband_log()).unwrap();
    let package = Package::find();
    let regex =
        "import sys; from fail2ban.client.fail2banregex import exec_command_line; exec_command_line()";
    let mut fail2ban = std::process::Command::new("python3");
    fail2ban.env("PYTHONPATH", &package.python).args(["-c", regex, "--print-all-matched"]).arg(&log);
    let read = fail2ban.arg(package.config.join("filter.d/recidive.conf")).output().unwrap();
    let said = stdout(&read);
    assert!(said.contains(" 2 matched"), "{said}{}", stderr(&read));
}
