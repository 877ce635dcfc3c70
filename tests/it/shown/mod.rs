//! What each command shows, to people and as JSON: kept, so that a change of it is meant.
//!
//! What differs from one run to the next, moments and lengths of time, is written as `TIME` and `LENGTH`. Here are the verbs that
//! look at bans and change them; `configuration` has those that read files. What needs more than a kband and its log is shown where
//! that is: `fleet::shown`, `listing` (names, countries), `watch`, `top`; `doctor` beside its code.

mod configuration;

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
    "status",
    "status sshd",
    "",
    "export",
    "flush",
    "list",
    "ping",
    "banned",
];

/// One more ban, as another kban has exported it.
const EXPORTED: &str = r#"{"schema":1,"address":"192.0.2.99","jail":"sshd","since":"2026-11-21T06:50:25Z","seconds_left":7200,"count":1,"ports":null,"source":"log","reason":"5 failures"}"#;

/// What a session shows.
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
    machine.configure(&format!("maxretry = 2\n{door}[firewall]\nownership = \"plain\"\n"));
    let _daemon = machine.start(machine.kband());
    machine.log(&failed_password("203.0.113.9").repeat(2));
    eventually("banned", || machine.listed() == ["203.0.113.9"]);
    typed(&machine, "kban.toml", SESSION, more)
}

/// Types lines, each with `more`; what they show, and their exit codes. Names of files are those of the machine's directory.
fn typed(machine: &Machine, config: &str, lines: &[&str], more: &[&str]) -> String {
    let config = machine.path(config).display().to_string();
    let mut shown = String::new();
    for line in lines {
        if let Some(events) = line.strip_prefix("# ").and_then(|wait| wait.strip_suffix(" events")) {
            let events: usize = events.parse().unwrap();
            let remembered = || machine.banctl_json(&["history"])["events"].as_array().unwrap().len();
            eventually(line, || remembered() == events);
            continue;
        }
        let words = line.split_whitespace().map(|word| match word {
            "denied.log" | "bans.jsonl" | "./door.toml" | "fail2ban" => {
                machine.path(word).display().to_string()
            }
            word => word.replace('.', if word.contains("<HOST>") { " " } else { "." }),
        });
        let arguments: Vec<String> =
            ["--config", &config].into_iter().map(str::to_owned).chain(words).collect();
        let all: Vec<&str> = arguments.iter().map(String::as_str).chain(more.iter().copied()).collect();
        let output = machine.banctl(&all);
        shown += &format!("$ banctl {line}\n{}{}", stdout(&output), stderr(&output));
        shown += &format!("[{}]\n\n", output.status.code().unwrap());
    }
    redacted(&shown, machine)
}

/// Without what differs from one run to the next.
pub(crate) fn redacted(shown: &str, machine: &Machine) -> String {
    let directory = machine.dir.path().display().to_string();
    let version = format!("kband {}", env!("CARGO_PKG_VERSION"));
    [
        (r"\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:\d\d)?)?", "TIME"),
        (r"[A-Z][a-z]{2} [ 0-3]\d \d\d:\d\d:\d\d", "TIME"),
        (r"\b\d\d:\d\d:\d\d\b", "TIME"),
        (r#"("(seconds_left|seconds|id|lines_per_second|bytes_per_second|bytes|lag)"):\d+"#, "$1:LENGTH"),
        (r#"("(version|position)"):"[^"]*""#, "$1:\"SOME\""),
        (r"\b\d+[smhdw]( \d+[smhdw])?\b", "LENGTH"),
        // In which line a default stands is nobody's business.
        (r#""file":"built-in defaults","line":\d+"#, r#""file":"built-in defaults","line":LINE"#),
        (r"\bpid \d+", "pid NUMBER"),
        // An nkey.
        (r"\bU[A-Z2-7]{55}\b", "KEY"),
        // A column is as wide as its widest cell.
        (r" {2,}", "  "),
    ]
    .into_iter()
    .fold(shown.replace(&directory, "DIR").replace(&version, "kband VERSION"), |shown, (what, with)| {
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
