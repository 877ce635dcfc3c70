//! banctl at real terminals: narrow ones, dumb ones, and where there is none.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixListener;

use unicode_width::UnicodeWidthStr;

use crate::harness::{Background, Machine, eventually, failed_password, stderr};

/// What `banctl ARGUMENTS` shows at a terminal of so many columns, without colours.
fn shown(machine: &Machine, columns: u16, arguments: &str) -> String {
    let banctl = env!("CARGO_BIN_EXE_banctl");
    let socket = machine.path("run/control.sock");
    let line = format!("stty cols {columns} rows 24; {banctl} --socket {} {arguments}", socket.display());
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

/// What reads files: CONFIG is the configuration, BAD one with a mistake, LOG the log, FAIL2BAN a directory like /etc/fail2ban.
const WITH_FILES: &[&str] = &[
    "check --config CONFIG",
    "check --config BAD",
    "jails --config CONFIG",
    "jails --config BAD",
    "config show --origin --config CONFIG",
    "config show --config BAD",
    "config diff --config BAD",
    "config import FAIL2BAN",
    "test sshd LOG",
    "test sshd LOG --print-all-matched",
    "test sshd FAIL2BAN",
    "replay LOG --config CONFIG",
    "replay LOG --config BAD",
    "enable nosuch --config CONFIG",
];

/// What changes something, what fails, and what only says how it is done.
const MORE: &[&str] = &[
    "ban 203.0.113.77 2001:db8:ffff:ffff:ffff:ffff:ffff:ffff --for 1h --reason asked",
    "unban 203.0.113.77 2001:db8:ffff:ffff:ffff:ffff:ffff:ffff",
    "unban 203.0.113.77",
    "unban nobody",
    "ban 127.0.0.1",
    "ban 203.0.113.9 --for whenever",
    "ban",
    "status a-jail-that-nobody-has-ever-configured-here",
    "history --since whenever",
    "fleet status",
    "fleet list",
    "fleet join not-a-line-that-any-firewall-has-ever-made-for-anybody",
    "load /nonexistent/directory/of/bans.jsonl",
    "config import /nonexistent/directory/of/fail2ban",
    "get sshd failregex",
    "set sshd bantime 3600",
    "reload --unban",
    "flushlogs",
    "top --json",
    "nosuch",
    "list --kernel --sort left",
    "--socket /nonexistent/directory/of/a/control.sock status",
    "--socket /nonexistent/directory/of/a/control.sock",
    "--help",
    "list --help",
    "replay --help",
    "test --help",
    "fleet invite --help",
];

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
    let fail2ban = machine.path("a-directory-with-a-long-name/fail2ban");
    std::fs::create_dir_all(fail2ban.join("filter.d")).unwrap();
    let jail =
        "[sshd]\nenabled = true\nfilter = nosuch\nbackend = gamin\naction = sendmail-whois-of-somebody\n";
    std::fs::write(fail2ban.join("jail.conf"), jail).unwrap();
    std::fs::write(
        machine.path("bad.toml"),
        "[jail.sshd]\nenabled = true\nmaxretr = 3\nbantime = \"a while, or longer\"\n",
    )
    .unwrap();
    let places = [
        ("CONFIG", machine.path("kban.toml")),
        ("BAD", machine.path("bad.toml")),
        ("LOG", machine.path("auth.log")),
        ("FAIL2BAN", fail2ban),
    ];
    let mut wrong = Vec::new();
    for columns in [40, 80] {
        for command in COMMANDS.iter().chain(WITH_FILES).chain(MORE) {
            let typed = places.iter().fold((*command).to_owned(), |typed, (name, path)| {
                typed.replace(name, &path.display().to_string())
            });
            let text = shown(&machine, columns, &typed);
            assert!(!text.trim().is_empty(), "{command} shows nothing");
            let too_wide = text.lines().filter(|line| line.width() > usize::from(columns));
            wrong.extend(too_wide.map(|line| format!("{columns} columns, banctl {command}: {line}")));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn a_terminal_that_cannot_gets_neither_colours_nor_letters_beyond_ascii() {
    let machine = Machine::new();
    let _daemon = guarded(&machine);
    let banctl = env!("CARGO_BIN_EXE_banctl");
    let socket = machine.path("run/control.sock");
    for command in COMMANDS.iter().chain(&["check", "stats --help"]) {
        // CI=true makes many a program trust any terminal.
        let line = format!("CI=true TERM=dumb LC_ALL=C {banctl} --socket {} {command}", socket.display());
        let output = machine.command("script").args(["-qec", &line, "/dev/null"]).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(!text.trim().is_empty(), "{command} shows nothing");
        assert!(text.is_ascii() && !text.contains('\u{1b}'), "{command}: {text:?}");
    }
}

#[test]
fn an_output_that_cannot_be_written_is_a_failure_unless_nobody_reads_it() {
    let machine = Machine::new();
    let _daemon = guarded(&machine);
    let banctl =
        format!("{} --socket {}", env!("CARGO_BIN_EXE_banctl"), machine.path("run/control.sock").display());
    for command in ["list", "status --json", "filters", "jails", "config show"] {
        let full =
            machine.command("sh").args(["-c", &format!("{banctl} {command} >/dev/full")]).output().unwrap();
        assert_eq!(full.status.code(), Some(1), "{command}: {}", stderr(&full));
        assert!(stderr(&full).contains("cannot write the output"), "{command}: {}", stderr(&full));
        let line = format!("{{ {banctl} {command}; echo $? >&2; }} | true");
        let unread = machine.command("sh").args(["-c", &line]).output().unwrap();
        assert_eq!(stderr(&unread), "0\n", "{command}");
    }
}

/// Something listens at `path` and says `lines`, each after it was asked something.
fn listens(path: &std::path::Path, lines: &'static [&'static str]) {
    let listener = UnixListener::bind(path).unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let mut reader = BufReader::new(stream);
            for line in lines {
                let mut asked = String::new();
                // Whoever hangs up has heard enough.
                let _ = reader.read_line(&mut asked);
                let _ = writeln!(reader.get_mut(), "{line}");
            }
            let mut rest = String::new();
            while reader.read_line(&mut rest).is_ok_and(|read| read > 0) {}
        }
    });
}

#[test]
fn a_daemon_that_hangs_or_speaks_otherwise_is_told_apart() {
    let machine = Machine::new();
    const HELLO: &str = r#"{"protocol":1,"program":"kband 0.1.0"}"#;
    let cases: &[(&'static [&'static str], &str)] = &[
        (&[], "does not answer within 1s: see its log, or give it more time with --timeout"),
        (&[HELLO], "does not answer within 1s"),
        (&[r#"{"protocol":2,"program":"kband 9.0.0"}"#], "kband 9.0.0 speaks protocol 2"),
        (&[HELLO, r#"{"answer":"of_tomorrow"}"#], "install the same version of both"),
        (&["HTTP/1.1 400 Bad Request"], "install the same version of both"),
        (&[r#"{"answer":"refused","kind":"permission","message":"only root"}"#], "only root"),
    ];
    for (number, (lines, sentence)) in cases.iter().enumerate() {
        let path = machine.path(&format!("{number}.sock"));
        listens(&path, lines);
        let mut command = machine.command(env!("CARGO_BIN_EXE_banctl"));
        let output = command.arg("--socket").arg(&path).args(["--timeout", "1s", "status"]).output().unwrap();
        let exit = if number == 5 { 4 } else { 3 };
        assert_eq!(output.status.code(), Some(exit), "{sentence}: {}", stderr(&output));
        assert!(stderr(&output).contains(sentence), "{}", stderr(&output));
    }
}

#[test]
fn banctl_alone_says_where_to_go_when_nothing_runs() {
    let machine = Machine::new();
    let output = machine.banctl(&[]);
    assert_eq!(output.status.code(), Some(3));
    for part in ["no kband listens", "start kband", "banctl doctor", "banctl --help"] {
        assert!(stderr(&output).contains(part), "{}", stderr(&output));
    }
}

/// Whoever owns the socket could say anything: that all is well, or that somebody is banned.
#[test]
fn a_socket_of_somebody_else_is_not_believed() {
    let machine = Machine::of_root();
    let path = machine.path("theirs.sock");
    machine.sh(&format!("chmod 777 {}", machine.dir.path().display()));
    let listen = "import socket, sys\ns = socket.socket(socket.AF_UNIX)\ns.bind(sys.argv[1])\ns.listen()\nwhile True: s.accept()[0].close()\n";
    let mut command = machine.command("setpriv");
    // What root has in its own home is nothing for others.
    command.env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
    command.args(["--reuid=65534", "--regid=65534", "--clear-groups", "python3", "-c", listen]).arg(&path);
    let _theirs = Background(command.spawn().unwrap());
    let status = |user: &str| {
        let mut command = machine.command("setpriv");
        command.args([
            &format!("--reuid={user}"),
            "--clear-groups",
            env!("CARGO_BIN_EXE_banctl"),
            "--socket",
        ]);
        command.arg(&path).arg("status").output().unwrap()
    };
    eventually("somebody listens", || !stderr(&status("0")).contains("no kband listens"));
    let output = status("0");
    assert_eq!(output.status.code(), Some(3), "{}", stderr(&output));
    let said = stderr(&output);
    assert!(
        said.contains("nobody's, who is neither root nor kban") && said.contains("with --socket"),
        "{said}"
    );
}
