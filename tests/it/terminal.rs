//! banctl at real terminals: narrow ones, dumb ones, and where there is none.

use unicode_width::UnicodeWidthStr;

use crate::harness::{Machine, eventually, failed_password};

/// What `banctl ARGUMENTS` shows at a terminal of so many columns, without colours.
fn shown(machine: &Machine, columns: u16, environment: &str, arguments: &str) -> String {
    let banctl = env!("CARGO_BIN_EXE_banctl");
    let socket = machine.path("run/control.sock");
    let line = format!(
        "stty cols {columns} rows 24; {environment} {banctl} --socket {} {arguments}",
        socket.display()
    );
    let mut script = machine.command("script");
    let output = script.args(["--quiet", "--return", "--command", &line, "/dev/null"]).output().unwrap();
    let bytes = anstream::adapter::strip_bytes(&output.stdout).into_vec();
    String::from_utf8(bytes).unwrap().replace('\r', "")
}

fn guarded(machine: &Machine) -> crate::harness::Daemon<'_> {
    machine.configure("maxretry = 1\n[jail.a-jail-with-a-very-long-name-that-fills-a-narrow-terminal]\nenabled = true\nfilter = \"sshd\"\nlogpath = \"/var/log/does-not-exist/and-has-a-very-long-name-for-a-log-file.log\"\n");
    let daemon = machine.start(machine.kband());
    for address in ["203.0.113.9", "2001:db8:1234:5678::1"] {
        machine.log(&failed_password(address));
    }
    eventually("banned", || machine.listed().len() == 2);
    let reason = "a reason of many words, and one_very_long_word_that_fits_no_terminal_of_forty_columns";
    let by_hand = ["ban", "198.51.100.66", "--reason", reason];
    assert!(machine.banctl(&by_hand).status.success());
    daemon
}

/// What an administrator may type without a file of configuration to be shown as it is.
const COMMANDS: &[&str] = &[
    "",
    "status",
    "status sshd",
    "status manual",
    "list",
    "list --kernel",
    "why 203.0.113.9",
    "why 192.0.2.1",
    "history",
    "stats",
    "allow list",
    "filters",
    "doctor",
    "reload",
];

#[test]
fn nothing_is_wider_than_the_terminal() {
    let machine = Machine::new();
    let _daemon = guarded(&machine);
    let mut wrong = Vec::new();
    for columns in [40, 80] {
        for command in COMMANDS {
            let text = shown(&machine, columns, "", command);
            assert!(!text.trim().is_empty(), "{command} shows nothing");
            let too_wide = text.lines().filter(|line| line.width() > usize::from(columns));
            wrong.extend(too_wide.map(|line| format!("{columns} columns, banctl {command}: {line}")));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
