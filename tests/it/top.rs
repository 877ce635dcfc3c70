//! `banctl top` in a real terminal: tmux is one that can be asked what it shows.

use crate::harness::{Machine, eventually, failed_password, stderr};

/// A tmux of a test's own, of 80 columns and 24 lines, with a shell in it.
struct Tmux<'m>(&'m Machine);

impl<'m> Tmux<'m> {
    fn new(machine: &'m Machine) -> Self {
        let tmux = Self(machine);
        tmux.run(&["-f", "/dev/null", "new-session", "-d", "-x", "80", "-y", "24", "PS1='$ ' sh"]);
        tmux
    }

    fn run(&self, arguments: &[&str]) -> String {
        let mut command = self.0.command("tmux");
        command.env("LC_ALL", "C.UTF-8").env("TERM", "xterm-256color").env_remove("TMUX");
        let output = command.arg("-S").arg(self.0.path("tmux")).args(arguments).output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", stderr(&output));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    fn keys(&self, keys: &[&str]) {
        let all: Vec<&str> = ["send-keys"].into_iter().chain(keys.iter().copied()).collect();
        self.run(&all);
    }

    fn screen(&self) -> String {
        self.run(&["capture-pane", "-p"])
    }

    #[track_caller]
    fn shows(&self, what: &str) {
        let mut last = String::new();
        let seen = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            eventually(what, || {
                last = self.screen();
                last.contains(what)
            });
        }));
        assert!(seen.is_ok(), "'{what}' is not on the screen:\n{last}");
    }

    fn top(&self, more: &str) {
        let socket = self.0.path("run/control.sock");
        let line = format!(
            "clear; {} --socket {} top {more}; echo ended $?",
            env!("CARGO_BIN_EXE_banctl"),
            socket.display()
        );
        self.keys(&[&line, "Enter"]);
    }
}

impl Drop for Tmux<'_> {
    fn drop(&mut self) {
        let mut command = self.0.command("tmux");
        // It may have ended by itself.
        let _ = command.arg("-S").arg(self.0.path("tmux")).arg("kill-server").output();
    }
}

#[test]
fn an_attack_is_seen_explained_and_forgiven() {
    let machine = Machine::new();
    machine.configure("maxretry = 3\n");
    let daemon = machine.start(machine.kband());
    let tmux = Tmux::new(&machine);
    tmux.top("");
    tmux.shows("nobody has failed yet");
    machine.log(&failed_password("203.0.113.9").repeat(3));
    tmux.shows("[sshd] Ban 203.0.113.9");
    machine.log(&failed_password("198.51.100.7"));
    tmux.shows("198.51.100.7");
    assert_eq!(tmux.screen().lines().count(), 24);
    tmux.keys(&["s"]);
    tmux.shows("sort: failures");
    tmux.keys(&["w"]);
    tmux.shows("why 203.0.113.9");
    tmux.shows("from 203.0.113.9 port 50022 ssh2");
    tmux.keys(&["q"]);
    tmux.shows("OFFENDER");
    tmux.keys(&["u"]);
    tmux.shows("let 203.0.113.9 in again?");
    tmux.keys(&["y"]);
    tmux.shows("Unban 203.0.113.9");
    assert_eq!(machine.listed(), [""; 0]);
    tmux.keys(&["n"]);
    tmux.shows("203.0.113.0/24");
    tmux.keys(&["/"]);
    tmux.keys(&["198.51", "Enter"]);
    tmux.shows("/ filter [198.51]");
    eventually("the others are gone", || !tmux.screen().contains("203.0.113.0/24"));
    // A smaller terminal is no reason to fall over, and neither is a daemon that goes and comes back.
    tmux.run(&["resize-window", "-x", "40", "-y", "12"]);
    tmux.shows("198.51.100.0/24");
    daemon.kill();
    tmux.shows("no kband listens");
    let _daemon = machine.start(machine.kband());
    tmux.shows("kband 0.");
    tmux.keys(&["q"]);
    tmux.shows("ended 0");
}

#[test]
fn the_terminal_is_as_it_was_whatever_ends_it() {
    let machine = Machine::new();
    machine.configure("");
    let _daemon = machine.start(machine.kband());
    let tmux = Tmux::new(&machine);
    let before = "a line of before";
    for end in ["C-c", "TERM"] {
        tmux.keys(&[&format!("clear; echo '{before}'"), "Enter"]);
        tmux.shows(before);
        tmux.top("");
        tmux.shows("q quit");
        if end == "C-c" {
            tmux.keys(&[end]);
        } else {
            let shell = tmux.run(&["display-message", "-p", "#{pane_pid}"]);
            machine.sh(&format!("kill $(pgrep -P {} banctl)", shell.trim()));
        }
        tmux.shows("ended 0");
        assert!(!tmux.screen().contains("q quit"), "{}", tmux.screen());
        tmux.keys(&["clear; stty -a | grep -o ' -\\?echo ' | tr -d ' '; echo; echo read", "Enter"]);
        tmux.shows("\nread");
        assert!(tmux.screen().lines().any(|line| line == "echo"), "{}", tmux.screen());
    }
}

#[test]
fn where_nothing_can_be_drawn_a_sentence_says_what_prints_lines() {
    let machine = Machine::new();
    let output = machine.banctl(&["top"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("`top` draws on a terminal, and this is none"), "{}", stderr(&output));
    let tmux = Tmux::new(&machine);
    tmux.keys(&["clear; export TERM=dumb", "Enter"]);
    tmux.top("");
    tmux.shows("ended 2");
    assert!(tmux.screen().contains("TERM=dumb"), "{}", tmux.screen());
    tmux.keys(&["clear; export TERM=tmux", "Enter"]);
    tmux.top("");
    tmux.shows("ended 3");
    assert!(tmux.screen().contains("no kband listens"), "{}", tmux.screen());
}
