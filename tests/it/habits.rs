//! What fingers type by themselves: fail2ban-client's words, and the completion key.

use std::fs;
use std::path::Path;
use std::process::Output;

use crate::harness::{Daemon, Machine, stderr, stdout};

/// A machine whose kband is where banctl looks by itself; its configuration is a directory like /etc/kban.
pub(super) fn usual(machine: &Machine) -> Daemon<'_> {
    let file =
        machine.configure("maxretry = 3\n[jail.recidive]\nenabled = true\n[jail.\"a.b\"]\nmaxretry = 4\n");
    fs::create_dir(machine.path("etc")).unwrap();
    fs::rename(file, machine.path("etc/kban.toml")).unwrap();
    machine.sh("mkdir /run/kban");
    fs::create_dir_all(machine.path("run")).unwrap();
    machine.sh(&format!("ln -s /run/kban/control.sock {}", machine.path("run/control.sock").display()));
    machine.start(machine.kband_of("etc", Path::new("/run/kban")))
}

fn said(output: &Output) -> (Option<i32>, String) {
    (output.status.code(), stdout(output) + &stderr(output))
}

#[test]
fn what_hands_know_is_done_or_answered_with_the_command() {
    let machine = Machine::new();
    let _daemon = usual(&machine);
    for (typed, exit, answer) in [
        ("ping", 0, "kband answers"),
        ("version", 0, concat!("kband ", env!("CARGO_PKG_VERSION"))),
        ("status --all", 0, "kband 0"),
        ("reload sshd", 0, "reloaded"),
        ("reload --all", 0, "reloaded"),
        ("reload --if-exists --all", 0, "reloaded"),
        ("reload --unban sshd", 2, "`banctl unban --jail sshd`, then `banctl reload`"),
        ("reload --unban --all", 2, "`banctl unban --all`, then `banctl reload`"),
        ("reload --restart --all", 2, "`systemctl restart kban` does that"),
        ("-t --config etc", 0, "enabled: recidive, sshd"),
        ("--test --config etc", 0, "the configuration has no errors"),
        ("-d --config etc", 0, "[jail.recidive]"),
        ("--dp --config etc", 0, "/etc/kban.toml:"),
        ("flushlogs", 2, "nothing to open again"),
        ("add sshd auto", 2, "`banctl enable sshd` does that"),
        ("set sshd banip 203.0.113.9 203.0.113.10", 0, "banned 203.0.113.10 for 10m (jail sshd)"),
        ("get sshd banip", 0, "203.0.113.9\n203.0.113.10"),
        ("status sshd", 0, "banned: 203.0.113.9 203.0.113.10"),
        ("get sshd maxretry", 0, "3"),
        ("get sshd findtime", 0, "\"10m\""),
        ("get a.b maxretry", 0, "4"),
        ("get nosuch maxretry", 2, "there is no jail nosuch: `banctl jails` lists them"),
        ("get sshd failregex", 1, "banctl config show --origin"),
        ("set sshd unbanip 203.0.113.8 203.0.113.9 2001:db8::1", 1, "lifted 1 ban"),
        ("set sshd unbanip 203.0.113.9", 1, "203.0.113.9 is not banned"),
        ("unban 203.0.113.9", 1, "203.0.113.9 is not banned"),
        ("ban 203.0.113.20 203.0.113.21 --jail sshd", 0, "banned 203.0.113.21 for 10m (jail sshd)"),
        ("ban 203.0.113.22 nobody", 2, "'nobody' is neither an address nor a prefix"),
        ("unban 203.0.113.20 203.0.113.21", 0, "lifted 2 bans"),
        ("set loglevel DEBUG", 2, "KBAN_LOG"),
        ("set dbpurgeage 1d", 2, "[store]"),
        ("set sshd addignoreip 192.0.2.1", 2, "`banctl allow add 192.0.2.1` does that"),
        ("set sshd bantime 3600", 2, "write bantime = ... below [jail.sshd]"),
        ("set sshd", 2, "`banctl ban 203.0.113.9 --jail sshd`"),
        ("banned", 2, "`banctl list` does that"),
        ("start", 2, "`systemctl start kban` does that"),
        ("start sshd", 2, "`banctl enable sshd` does that"),
        ("stop", 2, "`systemctl stop kban` does that"),
        ("stop --all", 2, "`systemctl stop kban` does that"),
        ("stop sshd", 2, "`banctl disable sshd` does that"),
        ("restart", 2, "`systemctl restart kban` does that"),
        ("restart --unban sshd", 2, "`banctl reload` does that"),
        ("unban --all", 0, "lifted 1 ban"),
    ] {
        let etc = machine.path("etc").display().to_string();
        let words: Vec<&str> = typed.split(' ').map(|word| if word == "etc" { &etc } else { word }).collect();
        let (code, text) = said(&machine.banctl(&words));
        assert!(code == Some(exit) && text.contains(answer), "{typed} ({code:?}): {text}");
    }
}

/// The words of a program that asks for a document: it gets one, or a sentence of why not.
#[test]
fn whatever_hands_know_has_a_document_too() {
    let machine = Machine::new();
    let _daemon = usual(&machine);
    assert!(machine.banctl(&["ban", "203.0.113.9", "--jail", "sshd"]).status.success());
    for (typed, key, value) in [
        ("ping --json", "answers", serde_json::json!(concat!("kband ", env!("CARGO_PKG_VERSION")))),
        ("version --json", "answers", serde_json::json!(concat!("kband ", env!("CARGO_PKG_VERSION")))),
        ("get sshd maxretry --json", "value", "3".into()),
        ("get --json sshd findtime", "table", "defaults".into()),
        ("reload sshd --json", "reloaded", true.into()),
        ("set sshd banip 203.0.113.10 --json", "schema", 1.into()),
        ("set sshd unbanip 203.0.113.10 --json", "lifted", 1.into()),
    ] {
        let output = machine.banctl(&typed.split(' ').collect::<Vec<_>>());
        let document: serde_json::Value = serde_json::from_str(&stdout(&output)).expect(typed);
        assert_eq!((&document["schema"], &document[key]), (&1.into(), &value), "{typed}: {document}");
    }
    let banned = machine.banctl_json(&["get", "sshd", "banip"]);
    assert_eq!(banned["bans"][0]["address"], "203.0.113.9", "{banned}");
}

/// What the shells offer after a press of the completion key.
fn offered(machine: &Machine, shell: &str, typed: &[&str]) -> Vec<String> {
    let banctl = Path::new(env!("CARGO_BIN_EXE_banctl")).parent().unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging/completions");
    let words = typed.iter().map(|word| format!("'{word}'")).collect::<Vec<_>>().join(" ");
    let line = match shell {
        "bash" => format!(
            "source {}/banctl.bash; COMP_WORDS=({words}); COMP_CWORD={}; COMP_TYPE=9; \
             $(complete -p banctl | sed 's/.*-F //; s/ .*//') banctl '{}'; printf '%s\\n' \"${{COMPREPLY[@]}}\"",
            script.display(),
            typed.len() - 1,
            typed.last().unwrap(),
        ),
        // zsh's own part is what it does with words and their descriptions.
        "zsh" => format!(
            "compdef() {{ completer=$1; }}; _describe() {{ print -l -- ${{${{(P)3}}%%:*}}; }}; \
             source {}/_banctl; words=({words}); CURRENT={}; $completer",
            script.display(),
            typed.len(),
        ),
        _ => format!("source {}/banctl.fish; complete -C '{}'", script.display(), typed.join(" ")),
    };
    let path = format!("{}:{}", banctl.display(), std::env::var("PATH").unwrap());
    let output = machine.command(shell).env("PATH", path).args(["-c", &line]).output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    stdout(&output).lines().map(|line| line.split('\t').next().unwrap().trim().to_owned()).collect()
}

#[test]
fn shells_complete_verbs_jails_and_banned_addresses() {
    let machine = Machine::new();
    let _daemon = usual(&machine);
    assert!(machine.banctl(&["ban", "203.0.113.9", "--for", "1h"]).status.success());
    for shell in ["bash", "zsh", "fish"] {
        for (typed, one, other) in [
            (&["banctl", "unb"][..], "unban", "list"),
            (&["banctl", "status", ""], "sshd", "203.0.113.9"),
            (&["banctl", "unban", "203"], "203.0.113.9", "sshd"),
            (&["banctl", "list", "--jail", "re"], "recidive", "sshd"),
            (&["banctl", "why", ""], "203.0.113.9", "sshd"),
            (&["banctl", "enable", "postf"], "postfix", "sshd"),
        ] {
            let offered = offered(&machine, shell, typed);
            assert!(offered.iter().any(|word| word == one), "{shell} {typed:?}: {offered:?}");
            assert!(!offered.iter().any(|word| word == other), "{shell} {typed:?}: {offered:?}");
        }
    }
    for (shell, file) in [("bash", "banctl.bash"), ("zsh", "_banctl"), ("fish", "banctl.fish")] {
        let kept = Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging/completions").join(file);
        assert_eq!(stdout(&machine.banctl(&["completions", shell])), fs::read_to_string(kept).unwrap());
    }
}
