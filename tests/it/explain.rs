//! `banctl test` as whoever writes a filter meets it: lines explained, patterns without a file, the journal, jails.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Output};

use serde_json::Value;

use crate::harness::{stderr, stdout};

const OWN: &str = r"^login of <F-USER>.*</F-USER> from <HOST> failed$";
const HEAD: &str = "Nov 21 06:50:25 h app[1]: ";

/// A directory with a log in it; the machine's own configuration is not looked at.
struct Desk(tempfile::TempDir);

impl Desk {
    fn new() -> Self {
        let desk = Self(tempfile::tempdir().unwrap());
        desk.write("kban.toml", b"[jail.sshd]\nenabled = true\n");
        desk
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, bytes: &[u8]) -> String {
        fs::write(self.path(name), bytes).unwrap();
        self.path(name).display().to_string()
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_banctl"));
        command.env("TZ", "UTC").current_dir(self.0.path()).arg("--config").arg(self.path("kban.toml"));
        command.arg("test").args(arguments).args(["--now", "2026-11-21T12:00:00Z"]);
        command
    }

    fn test(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    fn text(&self, arguments: &[&str]) -> String {
        let output = self.test(arguments);
        assert!(matches!(output.status.code(), Some(0 | 1)), "{}", stderr(&output));
        stdout(&output)
    }

    fn json(&self, arguments: &[&str]) -> Value {
        serde_json::from_str(&self.text(&[arguments, &["--json"]].concat())).unwrap()
    }

    fn refused(&self, arguments: &[&str], sentence: &str) {
        let output = self.test(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {}", stdout(&output));
        assert!(stderr(&output).contains(sentence), "{arguments:?}: {}", stderr(&output));
    }
}

#[test]
fn a_line_is_explained_in_place_of_a_file() {
    let desk = Desk::new();
    insta::assert_snapshot!(
        desk.text(&[OWN, &format!("{HEAD}login of Jürgen from 192.0.2.1 failed"), "--maxretry", "1"]),
        @r"
    note: no file has that name, and it has blanks: taken as a log line

    line 1 matched 192.0.2.1
        Nov 21 06:50:25 h app[1]: login of Jürgen from 192.0.2.1 failed
        ^^^^^^^^^^^^^^^                    ^^^^^^      ^^^^^^^^^
        date                               user        host
        pattern 0: ^login of <F-USER>.*</F-USER> from <HOST> failed$

    1 line: 1 matched, 0 ignored, 0 missed

    HITS  DATES
    1     Mon DD hh:mm:ss (RFC 3164)

    HITS  PATTERN
    1     0        ^login of <F-USER>.*</F-USER> from <HOST> failed$
    0 of 1 patterns never matched

    a jail with maxretry 1, findtime 10m and bantime 10m would ban 1:
    ADDRESS    AT                   UNTIL
    192.0.2.1  2026-11-21 06:50:25  2026-11-21 07:00:25
    "
    );
    insta::assert_snapshot!(desk.text(&[OWN, &format!("{HEAD}login of x from 192.0.2.1 refused")]), @r#"
    note: no file has that name, and it has blanks: taken as a log line

    line 1 missed
        Nov 21 06:50:25 h app[1]: login of x from 192.0.2.1 refused
        ^^^^^^^^^^^^^^^                                     ^
        date                                                here it wanted "failed"
        nearest is pattern 0: ^login of <F-USER>.*</F-USER> from <HOST> failed$

    1 line: 0 matched, 0 ignored, 1 missed

    HITS  DATES
    1     Mon DD hh:mm:ss (RFC 3164)

    HITS  PATTERN
    1 of 1 patterns never matched
       PATTERN
    0  0        ^login of <F-USER>.*</F-USER> from <HOST> failed$

    a jail with maxretry 5, findtime 10m and bantime 10m would ban nobody
    "#);
    let output = desk.test(&[OWN, "nosuchfile"]);
    assert_eq!(output.status.code(), Some(2), "one word is a file's name");
}

#[test]
fn what_refused_a_line_before_any_pattern_is_said() {
    let desk = Desk::new();
    let log = desk.write(
        "log",
        b"Nov 21 06:50:25 h cron[1]: Failed password for a from 192.0.2.1 port 22 ssh2\n\
          Nov 21 06:50:25 h sshd[1]: Failed password for a from 192.0.2.300 port 22 ssh2\n\
          Failed password for a from 192.0.2.1 port 22\n\
          nothing\n",
    );
    let text = desk.text(&["sshd", &log, "--print-all-missed", "--print-all-matched"]);
    for part in [
        "it is of cron, and only lines of sshd",
        "here it wanted an address",
        "no date was found",
        "no pattern has anything in common with it",
        "line 3 matched 192.0.2.1",
    ] {
        assert!(text.contains(part), "{part} is missing in {text}");
    }
    let ignoring = desk.text(&[
        OWN,
        "--ignoreregex",
        "^login of root from",
        &format!("{HEAD}login of root from 192.0.2.1 failed"),
    ]);
    assert!(ignoring.contains("ignored by ignoreregex 0: ^login of root from"), "{ignoring}");
    assert!(ignoring.contains("1 line: 0 matched, 1 ignored, 0 missed"), "{ignoring}");
}

/// Escape sequences, bidi, bytes that are no UTF-8, NUL and a line of 100 KiB: nothing of it reaches the terminal as it is.
#[test]
fn hostile_lines_are_shown_harmless() {
    let desk = Desk::new();
    let mut log = Vec::new();
    for user in
        [&b"\x1b[2J\x1b]0;owned\x07"[..], "\u{202e}x\u{200b}".as_bytes(), b"\xff\xc3", b"a\0b", b"\r\x08"]
    {
        log.extend_from_slice(HEAD.as_bytes());
        log.extend_from_slice(b"login of ");
        log.extend_from_slice(user);
        log.extend_from_slice(b" from 192.0.2.1 failed\n");
    }
    log.extend_from_slice(
        format!("{HEAD}login of {} from 192.0.2.1 failed\n", "x".repeat(100_000)).as_bytes(),
    );
    log.extend_from_slice(
        format!("{HEAD}login of {} from 192.0.2.1 refused\n", " from ".repeat(10_000)).as_bytes(),
    );
    let log = desk.write("log", &log);
    for more in [&[][..], &["--dialect"], &["--json"], &["--each"]] {
        let all = [&[OWN, &log, "--print-all-matched", "--print-all-missed"], more].concat();
        let text = desk.text(&if more == ["--each"] { vec![OWN, &log, "--each"] } else { all });
        let hides = |c: &char| (c.is_control() && *c != '\n') || matches!(c, '\u{200b}' | '\u{202e}');
        let raw: Vec<char> = text.chars().filter(hides).collect();
        assert!(more == ["--json"] || raw.is_empty(), "{more:?}: {raw:?}");
    }
    let json = desk.json(&[OWN, &log, "--print-all-matched", "--print-all-missed"]);
    assert_eq!((json["matched"].as_u64(), json["missed"].as_u64()), (Some(5), Some(2)));
    let outcomes = json["missed_lines"].as_array().unwrap();
    assert_eq!(outcomes[0]["outcome"], "too_long");
    assert_eq!(outcomes[1]["outcome"], "missed");
    for line in json["matched_lines"].as_array().unwrap() {
        let text = line["text"].as_str().unwrap();
        let host = line["captures"].as_array().unwrap().iter().find(|one| one["name"] == "host").unwrap();
        let place = |end: &str| usize::try_from(host["span"][end].as_u64().unwrap()).unwrap();
        assert_eq!(&text[place("start")..place("end")], "192.0.2.1");
    }
}

#[test]
fn patterns_are_of_our_language_or_of_the_dialect() {
    let desk = Desk::new();
    let log = desk.write("log", b"2026-11-21 06:50:25 a 192.0.2.1\n2026-11-21 06:50:26 b 192.0.2.2\n2026-11-21 06:50:27 c host.invalid\n");
    let two = desk.json(&["--failregex", "a <HOST>$", "--failregex", "b (?!x)<ADDR>$", &log]);
    assert_eq!((&two["matched"], &two["patterns"][1]["backtracks"]), (&2.into(), &true.into()));
    assert!(two["notes"][0].as_str().unwrap().contains("fail2ban's dialect"), "{two}");
    assert_eq!(two["dates"][0]["hits"], 3, "{two}");
    let named = desk.json(&["c <HOST>$", &log]);
    assert_eq!((&named["matched"], &named["named"], &named["missed"]), (&0.into(), &1.into(), &2.into()));
    let local = desk.write("local", b"2026-11-21 06:50:25 c localhost\n");
    let local = desk.json(&["c <HOST>$", &local, "--usedns", "yes", "--print-all-matched"]);
    assert_eq!(local["names"][0]["name"], "localhost");
    assert!(local["matched"].as_u64() >= Some(1) && local["named"] == 0, "{local}");
    assert_eq!(desk.json(&["c <HOST>$", &log, "--usedns", "no"])["named"], 0);
    let dated = desk.json(&["^ <HOST>$", "--datepattern", "^%Y-%m-%d %H:%M:%S a", &log]);
    assert_eq!(
        (&dated["matched"], &dated["dates"][0]["format"]),
        (&1.into(), &"^%Y-%m-%d %H:%M:%S a".into())
    );
    let over = desk.json(&["^ a <ADDR>\\n b", "--maxlines", "2", &log]);
    assert_eq!(over["matched"], 1, "{over}");
    desk.refused(&["<HOST> (", &log], "nor is it a pattern of fail2ban's dialect");
    desk.refused(&["^<HOST>", &log, "--mode", "x"], "patterns of the command line have no modes");
    desk.refused(&["sshd", &log, "--ignoreregex", "^x"], "sshd has its own");
    desk.refused(&["sshd", &log, "--datepattern", "x"], "has no option 'datepattern'");
    desk.refused(&["sshd", &log, "--mode", "agressive"], "did you mean aggressive?");
    desk.refused(&["sshd"], "nothing to read");
    desk.refused(&["sshd", &log, "--each", "--profile"], "cannot be used with");
    desk.refused(&[&log, "sshd"], "the filter comes first");
}

#[test]
fn a_jail_says_who_is_banned_until_when() {
    let desk = Desk::new();
    desk.write(
        "kban.toml",
        b"[defaults]\nignoreip = ['192.0.2.7']\n[jail.a]\nenabled = true\nfilter = 'sshd'\nmaxretry = 2\nbantime = '1h'\n\
          [jail.b]\nfilter = '/etc/x/other.toml'\nbantime = 'permanent'\nmaxretry = 1\nignoreip = ['192.0.2.8']\n",
    );
    let line = |minute: u32, host: u8| {
        format!(
            "Nov 21 06:{minute:02}:00 h sshd[1]: Failed password for a from 192.0.2.{host} port 22 ssh2\n"
        )
    };
    let log: String =
        [(1, 9), (2, 9), (3, 7), (4, 7), (5, 8), (6, 8)].map(|(minute, host)| line(minute, host)).concat();
    let log = desk.write("log", log.as_bytes());
    let only = desk.json(&["sshd", &log]);
    assert_eq!((&only["jail"], &only["maxretry"], &only["allowed"]), (&"a".into(), &2.into(), &2.into()));
    let bans = only["would_ban"].as_array().unwrap();
    assert_eq!(bans.len(), 2, "{only}");
    assert_eq!(
        (&bans[0]["address"], &bans[0]["time"]),
        (&"192.0.2.9".into(), &"2026-11-21T06:02:00Z".into())
    );
    assert_eq!(bans[0]["until"], "2026-11-21T07:02:00Z");
    let other = desk.json(&["sshd", &log, "--jail", "b"]);
    assert_eq!((&other["allowed"], &other["bantime_seconds"]), (&4.into(), &Value::Null));
    assert_eq!(other["would_ban"][0]["until"], Value::Null);
    assert_eq!(
        desk.json(&["sshd", &log, "--jail", "a", "--maxretry", "3"])["would_ban"].as_array().unwrap().len(),
        0
    );
    let text = desk.text(&["sshd", &log]);
    assert!(text.contains("jail a with maxretry 2, findtime 10m and bantime 1h would ban 2:"), "{text}");
    desk.refused(&["sshd", &log, "--jail", "c"], "no jail 'c'");
}

#[test]
fn several_inputs_are_one_test() {
    let desk = Desk::new();
    let line = format!("{HEAD}login of x from 192.0.2.1 failed\n");
    let log = desk.write("log", line.as_bytes());
    let zipped = Command::new("gzip").args(["-k", &log]).status().expect("gzip is part of every Debian");
    assert!(zipped.success());
    let both = desk.json(&[
        OWN,
        &log,
        &format!("{log}.gz"),
        &format!("{HEAD}login of x from 192.0.2.1 failed"),
        "--maxretry",
        "3",
    ]);
    assert_eq!((&both["lines"], &both["matched"]), (&3.into(), &3.into()));
    assert_eq!(both["files"].as_array().unwrap().len(), 3);
    assert_eq!(both["would_ban"][0]["address"], "192.0.2.1", "failures are counted over all of them");
    let each = desk.text(&[OWN, &log, &format!("{log}.gz"), "--each", "--jsonl"]);
    let numbers: Vec<Value> =
        each.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["line"].clone()).collect();
    assert_eq!(numbers, [1, 2]);
    let broken = desk.write("broken.gz", &fs::read(desk.path("log.gz")).unwrap()[..20]);
    desk.refused(&[OWN, &broken], "gzip failed");
}

#[test]
fn the_journal_is_asked_for_the_services_entries() {
    let desk = Desk::new();
    let bin = desk.path("bin");
    fs::create_dir(&bin).unwrap();
    let entry = |user: u32, host: u8| {
        format!(
            "_UID={user}\n_SYSTEMD_UNIT=ssh.service\n_COMM=sshd\n__REALTIME_TIMESTAMP=1795290402964155\n\
             MESSAGE=Failed password for a from 192.0.2.{host} port 22 ssh2\n\n"
        )
    };
    let script = |entries: &str| format!("#!/bin/sh\necho \"$*\" >&2\ncat <<END\n{entries}END\n");
    fs::write(bin.join("journalctl"), script(&entry(0, 1))).unwrap();
    fs::set_permissions(bin.join("journalctl"), fs::Permissions::from_mode(0o755)).unwrap();
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
    let run = |input: &str| {
        let output = desk.command(&["sshd", input, "--json"]).env("PATH", &path).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        let json: Value = serde_json::from_str(&stdout(&output)).unwrap();
        assert_eq!((&json["matched"], &json["dates"][0]["hits"]), (&1.into(), &1.into()));
        stderr(&output)
    };
    for name in ["journal", "systemd-journal"] {
        let asked = run(name);
        assert_eq!(
            asked,
            "--quiet --no-pager --output=export --output-fields=MESSAGE,SYSLOG_IDENTIFIER,SYSLOG_PID,_COMM,_HOSTNAME,_PID,_SOURCE_REALTIME_TIMESTAMP,_SYSTEMD_SLICE,_SYSTEMD_UNIT,_TRANSPORT,_UID _SYSTEMD_SLICE=system-ssh.slice + _SYSTEMD_SLICE=system-sshd.slice + _SYSTEMD_UNIT=ssh.service + _SYSTEMD_UNIT=sshd.service\n"
        );
    }
    let place = desk.0.path().display();
    assert!(run(&format!("journal:{place}")).contains(&format!("--directory={place} ")));
    // As kband does, it does not believe who cannot be the service.
    fs::write(bin.join("journalctl"), script(&(entry(1000, 2) + &entry(0, 1) + &entry(1000, 3)))).unwrap();
    let said = run("journal");
    assert!(said.contains("2 entries match that the service cannot be seen to have written"), "{said}");
    fs::write(bin.join("journalctl"), "#!/bin/sh\nexit 3\n").unwrap();
    let output = desk.command(&["sshd", "journal"]).env("PATH", &path).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("journalctl failed"), "{}", stderr(&output));
}

#[test]
fn costs_are_measured_for_each_pattern() {
    let desk = Desk::new();
    let log = desk.write("log", format!("{HEAD}login of x from 192.0.2.1 failed\n").repeat(500).as_bytes());
    let json = desk.json(&["sshd", &log, "--profile"]);
    let patterns = json["patterns"].as_array().unwrap();
    assert_eq!(json["profiled_lines"], 500);
    assert!(patterns.len() > 10 && patterns.iter().all(|one| one["nanoseconds_per_line"].is_u64()));
    let shares: f64 = patterns.iter().map(|one| one["share"].as_f64().unwrap()).sum();
    assert!((0.95..=1.05).contains(&shares), "{shares}");
    let text = desk.text(&["failed(?! not)<F-USER>x?</F-USER>$|<HOST> y", &log, "--profile"]);
    assert!(text.contains("100.0%") && text.contains("backtracks"), "{text}");
    assert!(desk.json(&["sshd", &log])["patterns"][0].get("share").is_none());
}

#[test]
fn lines_beyond_the_first_are_only_counted_unless_all_are_asked_for() {
    let desk = Desk::new();
    let log = desk.write("log", "nothing\n".repeat(50).as_bytes());
    let text = desk.text(&["sshd", &log, "--verbose"]);
    assert!(text.contains("line 20 missed\n") && !text.contains("line 21 missed"), "{text}");
    assert!(text.contains("30 more lines missed: --print-all-missed shows them"), "{text}");
    assert_eq!(
        desk.json(&["sshd", &log, "--print-all-missed"])["missed_lines"].as_array().unwrap().len(),
        50
    );
    let plain = desk.text(&["sshd", &log]);
    assert!(!plain.contains("line 1"), "{plain}");
    for pattern in ["^refused connect from", " patterns never matched"] {
        assert!(plain.contains(pattern), "{plain}");
    }
}

/// Runs banctl on a terminal of 60 columns.
fn on_terminal(desk: &Desk, environment: &str, arguments: &str) -> String {
    let banctl = env!("CARGO_BIN_EXE_banctl");
    let line = format!("stty rows 24 cols 60; {environment} {banctl} --config kban.toml test {arguments}");
    let mut command = Command::new("script");
    command.current_dir(desk.0.path()).env("TERM", "xterm").env_remove("NO_COLOR").args([
        "-qec",
        &line,
        "/dev/null",
    ]);
    let output =
        command.stdin(std::process::Stdio::null()).output().expect("script(1) is part of util-linux");
    assert_eq!(output.status.code(), Some(0), "{}", stdout(&output));
    stdout(&output).replace('\r', "")
}

#[test]
fn colours_and_rows_are_for_terminals() {
    let desk = Desk::new();
    desk.write(
        "log",
        format!("{HEAD}login of \u{1b}[31m{} from 192.0.2.1 failed\n", "x".repeat(30)).as_bytes(),
    );
    let arguments = format!("'{OWN}' log -v");
    let coloured = on_terminal(&desk, "", &arguments);
    assert!(coloured.contains("\u{1b}[31m192.0.2.1\u{1b}[0m"), "{coloured:?}");
    assert!(!coloured.contains("\u{1b}[31mx"), "{coloured:?}");
    let plain = on_terminal(&desk, "NO_COLOR=1", &arguments);
    assert!(!plain.contains('\u{1b}'), "{plain:?}");
    let rows: Vec<&str> = plain.lines().take(9).collect();
    insta::assert_snapshot!(rows.join("\n"), @r"
    line 1 matched 192.0.2.1
        Nov 21 06:50:25 h app[1]: login of \u{1b}[31mxxxxxxxxxxx
        ^^^^^^^^^^^^^^^                    ^^^^^^^^^^^^^^^^^^^^^
        date                               user
        xxxxxxxxxxxxxxxxxxx from 192.0.2.1 failed
        ^^^^^^^^^^^^^^^^^^^      ^^^^^^^^^
        user                     host
        pattern 0: ^login of <F-USER>.*</F-USER> from <HOST>
          failed$
    ");
}

#[test]
fn a_long_file_shows_its_progress_on_a_terminal_only() {
    let desk = Desk::new();
    let log =
        desk.write("log", "Nov 21 06:50:25 h cron[1]: nothing of interest here\n".repeat(200_000).as_bytes());
    let shown = on_terminal(&desk, "", "sshd log; test $? = 1");
    assert!(shown.contains("MiB"), "{}", shown.chars().take(500).collect::<String>());
    let output = desk.test(&["sshd", &log]);
    assert_eq!((stderr(&output), stdout(&output).contains("MiB")), (String::new(), false));
}
