//! The README's examples: what it says to type is typed, and what it says to write is checked.

use std::fs;
use std::path::Path;
use std::process::Output;

use crate::habits::usual;
use crate::harness::{Machine, eventually, failed_password, stderr, stdout};

/// What the README sets off from its text.
#[derive(Default)]
struct Readme {
    /// Each indented line.
    lines: Vec<String>,
    /// Each block of TOML.
    toml: Vec<String>,
    /// What is seen on a terminal.
    console: String,
}

impl Readme {
    fn read() -> Self {
        let text = fs::read_to_string(source("README.md")).unwrap();
        let (mut readme, mut block) = (Self::default(), None::<(String, String)>);
        for line in text.lines() {
            block = match (block, line.strip_prefix("```")) {
                (None, Some(language)) => Some((language.to_owned(), String::new())),
                (Some((language, text)), Some(_)) => {
                    match &*language {
                        "toml" => readme.toml.push(text),
                        "console" => readme.console += &text,
                        other => panic!("nothing is known of blocks of {other:?}"),
                    }
                    None
                }
                (Some((language, text)), None) => Some((language, text + line + "\n")),
                (None, None) => {
                    readme.lines.extend(line.strip_prefix("    ").map(str::to_owned));
                    None
                }
            };
        }
        readme
    }
}

fn source(path: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// Without what says what a line does: that follows more blanks.
fn typed(line: &str) -> &str {
    let end = line.find("   ").into_iter().chain(line.find("  #")).min();
    line.get(..end.unwrap_or(line.len())).unwrap().trim()
}

/// Lines whose answer is no: a line that no pattern matches, and a journal with nothing in it.
const NO: [&str; 2] = ["banctl test sshd 'one line of a log'", "banctl test '^denied <HOST>$' journal"];

/// These do not end by themselves: their own tests end them.
const ENDLESS: [&str; 2] = ["banctl top", "banctl watch"];

/// The machine that the README's lines are typed on, where /etc and /var/log are the machine's directory.
struct Reader(Machine);

impl Reader {
    fn shell(&self, line: &str) -> Output {
        let banctl = Path::new(env!("CARGO_BIN_EXE_banctl")).parent().unwrap().display();
        let path = format!("{banctl}:{}", std::env::var("PATH").unwrap());
        let line = format!("cd {} && {line}", self.0.dir.path().display());
        self.0.command("sh").env("PATH", path).args(["-c", &line]).output().unwrap()
    }

    /// What `banctl check` says of a configuration.
    fn check(&self, toml: &str) {
        let log = self.0.path("fail2ban").display().to_string();
        fs::write(self.0.path("readme.toml"), toml.replace("/etc/fail2ban", &log)).unwrap();
        let output = self.shell("banctl check --config readme.toml");
        assert_eq!(output.status.code(), Some(0), "{toml}\n{}", stdout(&output));
    }
}

fn understood(line: &str) {
    let parsed = kban::cli::command().try_get_matches_from(line.split_whitespace());
    assert!(parsed.is_ok(), "{line}: {}", parsed.unwrap_err());
}

#[test]
fn its_lines_do_what_they_say() {
    let reader = Reader(Machine::new());
    let machine = &reader.0;
    let _daemon = usual(machine);
    machine.log(&failed_password("203.0.113.9").repeat(3));
    eventually("banned", || machine.listed() == ["203.0.113.9"]);
    fs::create_dir_all(machine.path("fail2ban/filter.d")).unwrap();
    fs::write(machine.path("fail2ban/jail.conf"), "[DEFAULT]\nbantime = 1h\n").unwrap();
    let postfix = "[Definition]\nfailregex = ^denied <HOST>$\n";
    fs::write(machine.path("fail2ban/filter.d/postfix.conf"), postfix).unwrap();
    fs::create_dir(machine.path("journal")).unwrap();
    let makefile = fs::read_to_string(source("Makefile")).unwrap();
    let mut ran = 0;
    for line in Readme::read().lines {
        let elsewhere = line.strip_prefix("fw$");
        let line = typed(elsewhere.unwrap_or(&line).trim_start());
        let command = line.trim_start_matches("sudo ");
        match command.split(' ').next().unwrap() {
            "banctl" if ENDLESS.contains(&command) || elsewhere.is_some() => understood(command),
            "banctl" => {
                let here =
                    command.replace("/var/log/auth.log", "auth.log").replace("/etc/fail2ban", "fail2ban");
                let here =
                    here.replace(" journal", " journal:journal").replacen("banctl", "banctl --config etc", 1);
                let output = reader.shell(&here);
                let expected = i32::from(NO.contains(&line));
                let said = stdout(&output) + &stderr(&output);
                assert_eq!(output.status.code(), Some(expected), "{line}: {said}");
                assert!(!said.is_empty() || line.contains('>'), "{line} says nothing");
                ran += 1;
            }
            "filter" | "logpath" => {
                let log = if command.starts_with("logpath") { "" } else { "logpath = \"/dev/null\"\n" };
                let filter = if command.starts_with("filter") { "" } else { "filter = \"sshd\"\n" };
                reader.check(&format!("[jail.one]\nenabled = true\n{command}\n{log}{filter}"));
            }
            "make" => {
                let targets = command.split([' ', '&']).filter(|word| !["make", "sudo", ""].contains(word));
                for target in targets {
                    assert!(
                        makefile.contains(&format!("\n{target}:")),
                        "{line}: there is no target {target}"
                    );
                }
            }
            "install" => {
                let file = command.rsplit('/').next().unwrap();
                assert!(source("systemd/drop-ins").join(file).exists(), "{line}");
            }
            "kband" => assert_eq!(command, "kband"),
            _ => panic!("nobody tries {line:?}"),
        }
    }
    assert!(ran > 20, "{ran}");
}

#[test]
fn its_configurations_have_no_errors() {
    let reader = Reader(Machine::new());
    let blocks = Readme::read().toml;
    assert!(blocks.len() > 3, "{blocks:?}");
    blocks.iter().for_each(|block| reader.check(block));
}

/// `make demo` shows it with a real sshd.
#[test]
fn its_terminal_shows_what_is_seen() {
    let reader = Reader(Machine::new());
    let machine = &reader.0;
    let _daemon = usual(machine);
    machine.log(&failed_password("198.51.100.66").repeat(3));
    eventually("banned", || machine.listed() == ["198.51.100.66"]);
    let console = Readme::read().console;
    let mut lines = console.lines().peekable();
    let mut seen = 0;
    while let Some(line) = lines.next() {
        let Some(command) = line.strip_prefix("$ ") else { continue };
        let mut shown = Vec::new();
        while let Some(line) = lines.next_if(|line| !line.starts_with(['$', '#'])) {
            shown.push(line);
        }
        let output = reader.shell(command);
        let said = stdout(&output);
        // How long is left, and since when, differs each time.
        let words = |line: &str| line.split_whitespace().take(3).map(str::to_owned).collect::<Vec<_>>();
        let expected: Vec<_> = shown.iter().map(|line| words(line)).collect();
        assert_eq!(
            said.lines().map(words).collect::<Vec<_>>(),
            expected,
            "{command}: {said}{}",
            stderr(&output)
        );
        assert!(
            command.starts_with("nft") || said.lines().next() == shown.first().copied(),
            "{command}: {said}"
        );
        seen += 1;
    }
    assert!(seen > 2, "{console}");
}
