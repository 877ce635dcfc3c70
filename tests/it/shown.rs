//! What each command shows, to people and as JSON: kept, so that a change of it is meant.
//!
//! What differs from one run to the next, moments and lengths of time, is written as `TIME` and `LENGTH`. `status`, the
//! configuration's commands and `doctor` have theirs beside the code or in `settings`; `watch` and `top` do not end.

use fancy_regex::Regex;

use crate::harness::{Machine, eventually, failed_password, stderr, stdout};

/// One after the other; each finds what those before have left. What is remembered is on its way to the disk for a while:
/// `# 2 events` waits for it.
const SESSION: &[&str] = &[
    "list",
    "list 203.0.113.9",
    "list 192.0.2.1",
    "list --kernel",
    "ban 198.51.100.7 --for 2h --reason asked",
    "ban 127.0.0.1",
    "list --sort left",
    "# 2 events",
    "why 198.51.100.7",
    "why 203.0.113.9",
    "why 192.0.2.1",
    "unban 192.0.2.1",
    "allow add 198.51.100.7 --for 8h --reason office",
    "allow list 198.51.100.7",
    "allow del 198.51.100.7",
    "unban 203.0.113.0/24",
    "# 6 events",
    "history",
    "history --jail sshd",
    "stats",
    "reload",
    "jails",
    "test ^denied.<HOST>$ denied.log",
    "test --each ^denied.<HOST>$ denied.log",
    "replay denied.log --jail door",
    "filters ./door.toml",
    "enable nosuch",
    "load bans.jsonl",
    "export",
    "flush",
    "list",
    "ping",
    "banned",
];

/// One more ban, as another kban has exported it.
const EXPORTED: &str = r#"{"schema":1,"address":"192.0.2.99","jail":"sshd","since":"2026-11-21T06:50:25Z","seconds_left":7200,"count":1,"ports":null,"source":"log","reason":"5 failures"}"#;

/// What a session shows, without what differs each time.
fn session(more: &[&str]) -> String {
    let machine = Machine::new();
    let door = "description = \"A door\"\nfailregex = [\"^denied <HOST>$\"]\n";
    for (file, text) in [
        ("denied.log", "Nov 21 06:50:25 h door: denied 203.0.113.9\nNov 21 06:50:26 h door: let in\n"),
        ("door.toml", door),
        ("bans.jsonl", EXPORTED),
    ] {
        std::fs::write(machine.path(file), text).unwrap();
    }
    let (filter, log) = (machine.path("door.toml"), machine.path("denied.log"));
    let door = format!("[jail.door]\nfilter = {filter:?}\nlogpath = {log:?}\nmaxretry = 1\n");
    machine.configure(&format!("maxretry = 2\n{door}"));
    let _daemon = machine.start(machine.kband());
    machine.log(&failed_password("203.0.113.9").repeat(2));
    eventually("banned", || machine.listed() == ["203.0.113.9"]);
    let config = machine.path("kban.toml").display().to_string();
    let mut shown = String::new();
    for line in SESSION {
        if let Some(events) = line.strip_prefix("# ").and_then(|wait| wait.strip_suffix(" events")) {
            let events: usize = events.parse().unwrap();
            let remembered = || machine.banctl_json(&["history"])["events"].as_array().unwrap().len();
            eventually(line, || remembered() == events);
            continue;
        }
        let words = line.split(' ').map(|word| match word {
            "denied.log" | "bans.jsonl" | "./door.toml" => machine.path(word).display().to_string(),
            word => word.replace('.', if word.contains("<HOST>") { " " } else { "." }),
        });
        let arguments: Vec<String> =
            ["--config", &config].into_iter().map(str::to_owned).chain(words).collect();
        let all: Vec<&str> = arguments.iter().map(String::as_str).chain(more.iter().copied()).collect();
        let output = machine.banctl(&all);
        shown += &format!("$ banctl {line}\n{}{}", stdout(&output), stderr(&output));
        shown += &format!("[{}]\n\n", output.status.code().unwrap());
    }
    let directory = machine.dir.path().display().to_string();
    [
        (r"\d{4}-\d\d-\d\d([T ]\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)?)?", "TIME"),
        (r"[A-Z][a-z]{2} [ 0-3]\d \d\d:\d\d:\d\d", "TIME"),
        (r#"("(seconds_left|seconds|id)"):\d+"#, "$1:LENGTH"),
        (r"\b\d+[smhdw]( \d+[smhdw])?\b", "LENGTH"),
        // A column is as wide as its widest cell.
        (r" {2,}", "  "),
    ]
    .into_iter()
    .fold(shown.replace(&directory, "DIR"), |shown, (what, with)| {
        Regex::new(what).unwrap().replace_all(&shown, with).into_owned()
    })
}

#[test]
fn to_people() {
    insta::assert_snapshot!(session(&[]));
}

#[test]
fn to_programs() {
    insta::assert_snapshot!(session(&["--json"]));
}
