//! `banctl replay` over logs of the past: bans as they would have been, and who logged in after all.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Output};

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::harness::{stderr, stdout};

/// A directory with logs in it; the machine's own configuration is not looked at.
struct Archive(tempfile::TempDir);

impl Archive {
    fn new(configuration: &str) -> Self {
        let archive = Self(tempfile::tempdir().unwrap());
        fs::write(archive.path("kban.toml"), configuration).unwrap();
        archive
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// A log that was written last at `changed`.
    fn log(&self, name: &str, changed: &str, lines: &[String]) -> String {
        let path = self.path(name);
        fs::write(&path, lines.concat()).unwrap();
        let changed: Timestamp = changed.parse().unwrap();
        fs::File::options().write(true).open(&path).unwrap().set_modified(changed.into()).unwrap();
        path.display().to_string()
    }

    /// The same, packed by a program that keeps the time.
    fn packed(&self, program: &str, log: &str) {
        let done = Command::new(program).args(["-q", log]).status().expect("it is part of Debian");
        assert!(done.success());
        let _ = fs::remove_file(log);
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_banctl"));
        command.env("TZ", "UTC").current_dir(self.0.path()).arg("--config").arg(self.path("kban.toml"));
        command.arg("replay").args(arguments);
        command
    }

    fn replay(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    #[track_caller]
    fn text(&self, arguments: &[&str]) -> String {
        let output = self.replay(arguments);
        assert!(matches!(output.status.code(), Some(0 | 1)), "{}", stderr(&output));
        stdout(&output)
    }

    #[track_caller]
    fn json(&self, arguments: &[&str]) -> Value {
        serde_json::from_str(&self.text(&[arguments, &["--json"]].concat())).unwrap()
    }

    #[track_caller]
    fn refused(&self, arguments: &[&str], code: i32, sentence: &str) {
        let output = self.replay(arguments);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {}", stdout(&output));
        assert!(stderr(&output).contains(sentence), "{arguments:?}: {}", stderr(&output));
    }
}

const SSHD: &str = "[defaults]\nmaxretry = 3\nbantime = \"1h\"\n[jail.sshd]\nenabled = true\n";

fn failed(date: &str, address: &str) -> String {
    format!("{date} host sshd[4711]: Failed password for root from {address} port 50022 ssh2\n")
}

/// As sshd says it (auth.c, auth_log).
fn accepted(date: &str, address: &str, user: &str) -> String {
    format!(
        "{date} host sshd[4712]: Accepted publickey for {user} from {address} port 50022 ssh2: ED25519 SHA256:AAAA\n"
    )
}

/// Each ban of an outcome, in a line.
fn rows(outcome: &Value) -> Vec<String> {
    let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    let row = |row: &Value| {
        let failures = &row["failures"];
        format!(
            "{} {} {} {} {failures} {}",
            text(&row["address"]),
            text(&row["jail"]),
            text(&row["since"]),
            text(&row["until"]),
            row["times"]
        )
    };
    outcome["rows"].as_array().unwrap().iter().map(row).collect()
}

#[test]
fn rotated_and_packed_files_are_one_log_whatever_their_order() {
    let archive = Archive::new(SSHD);
    let guesser = "203.0.113.9";
    // The oldest is of the year before; its failures go on in the next file.
    let old = archive.log(
        "auth.log.3",
        "2025-12-31T23:59:58Z",
        &["Dec 31 23:59:57", "Dec 31 23:59:58"].map(|date| failed(date, guesser)),
    );
    let new_year = archive.log(
        "auth.log.2",
        "2026-01-08T00:00:00Z",
        &["Jan  1 00:00:03", "Jan  7 10:00:00"].map(|date| failed(date, guesser)),
    );
    let week = archive.log(
        "auth.log.1",
        "2026-01-15T00:00:00Z",
        &["Jan  7 10:00:01", "Jan  7 10:00:02"].map(|date| failed(date, guesser)),
    );
    archive.packed("gzip", &old);
    archive.packed("xz", &new_year);
    archive.packed("zstd", &week);
    let current =
        archive.log("auth.log", "2026-01-20T00:00:00Z", &[failed("Jan 19 00:00:00", "198.51.100.1")]);
    let files = [current, format!("{new_year}.xz"), format!("{old}.gz"), format!("{week}.zst")];
    let files: Vec<&str> = files.iter().map(String::as_str).collect();
    let found = archive.json(&[&files[..], &["--jail", "sshd"]].concat());
    assert_eq!(
        rows(&found["current"]),
        [
            "203.0.113.9 sshd 2026-01-01T00:00:03Z 2026-01-01T01:00:03Z 3 1",
            "203.0.113.9 sshd 2026-01-07T10:00:02Z 2026-01-07T11:00:02Z 3 2",
        ]
    );
    assert_eq!((&found["schema"], &found["lines"], &found["failures"]), (&json!(1), &json!(7), &json!(7)));
    assert_eq!(
        (&found["from"], &found["to"]),
        (&json!("2025-12-31T23:59:57Z"), &json!("2026-01-19T00:00:00Z"))
    );
    assert_eq!((&found["current"]["seconds"], &found["addresses"]["count"]), (&json!(7200), &json!(2)));
    assert_eq!(found["notes"], json!([]));
    let alone = archive.json(&[&files[0..1], &["--now", "2024-06-01T00:00:00Z"]].concat());
    assert_eq!(alone["from"], "2024-01-19T00:00:00Z", "the year before the one that is named");
}

#[test]
fn who_logs_in_after_all_was_banned_by_mistake() {
    let archive = Archive::new(SSHD);
    let day = |time: &str| format!("2026-03-01T{time}+00:00");
    let mut lines = vec![accepted(&day("08:00:00"), "192.0.2.2", "bob")];
    for second in 0..3 {
        for address in ["192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.4"] {
            lines.push(failed(&day(&format!("09:00:0{second}")), address));
        }
    }
    lines.push(accepted(&day("09:00:30"), "192.0.2.1", "al\u{1b}[2Jice"));
    lines.push(accepted(&day("09:59:00"), "192.0.2.1", "carol"));
    lines.push(accepted(&day("10:00:02"), "192.0.2.3", "dave"));
    let log = archive.log("auth.log", "2026-03-02T00:00:00Z", &lines);
    insta::assert_snapshot!(archive.text(&[&log]), @r"
    ADDRESS    JAIL  AT                   FOR  FAILURES  TIMES  LOGINS
    192.0.2.1  sshd  2026-03-01 09:00:02  1h   3         1      DURING THE BAN (2): al\u{1b}[2Jice, carol
    192.0.2.2  sshd  2026-03-01 09:00:02  1h   3         1      before: bob
    192.0.2.3  sshd  2026-03-01 09:00:02  1h   3         1      after it (1): dave
    192.0.2.4  sshd  2026-03-01 09:00:02  1h   3         1

    16 lines: 12 failures of 4 addresses, 4 logins, from 2026-03-01 08:00:00 to 2026-03-01 10:00:02
    jail sshd (maxretry 3, findtime 10m, bantime 1h): 4 bans of 4 offenders, 4h in sum
    false positives: 2 bans, as somebody logged in from there after all: 1 during the ban (locked out), 1 only after it
    where somebody had logged in before: 1 ban
    ");
    let found = archive.json(&[&log]);
    let current = &found["current"];
    let figures = ["bans", "false_positives", "locked_out", "came_later", "known_before"]
        .map(|key| current[key].as_u64());
    assert_eq!(figures, [4, 2, 1, 1, 1].map(Some));
    assert_eq!(
        current["rows"][0]["logins"],
        json!({"before": false, "during": 2, "after": 0, "users": ["al\u{1b}[2Jice", "carol"]})
    );
    let nameless = archive.text(&[&log, "--no-users"]) + &archive.text(&[&log, "--no-users", "--json"]);
    assert!(
        nameless.contains("DURING") && !nameless.contains("ice") && !nameless.contains("bob"),
        "{nameless}"
    );
}

#[test]
fn a_filter_that_sees_no_logins_says_so() {
    let archive =
        Archive::new("[jail.app]\nenabled = true\nmaxretry = 1\nlogpath = \"/var/log/app\"\n[jail.sshd]\n");
    fs::create_dir(archive.path("filter.d")).unwrap();
    let filter = "description = 'an app'\nfailregex = ['^login from <HOST> failed$']\nprograms = ['app']\n[[example]]\nline = 'Nov 21 06:50:25 h app[1]: login from 192.0.2.1 failed'\nhost = '192.0.2.1'\n";
    fs::write(archive.path("filter.d/app.toml"), filter).unwrap();
    let lines = ["2026-03-01T09:00:00Z h app[1]: login from 192.0.2.1 failed\n".to_owned()];
    let log = archive.log("app.log", "2026-03-02T00:00:00Z", &lines);
    let text = archive.text(&[&log]);
    assert!(
        text.contains("false positives: not known, as no filter here recognises logins (jail app)"),
        "{text}"
    );
    let found = archive.json(&[&log]);
    assert_eq!((&found["current"]["false_positives"], &found["logins"]), (&Value::Null, &Value::Null));
    // Another jail sees logins, in a log beside.
    let auth = archive.log(
        "auth.log",
        "2026-03-02T00:00:00Z",
        &[accepted("2026-03-01T09:05:00Z", "192.0.2.1", "alice")],
    );
    let both = archive.text(&[&log, &auth, "--jail", "app", "--jail", "sshd"]);
    assert!(
        both.contains("1 during the ban") && both.contains("the filters of app recognise no logins"),
        "{both}"
    );
}

#[test]
fn other_settings_are_compared_with_the_current_ones() {
    let archive = Archive::new(SSHD);
    let mut lines = Vec::new();
    for (address, failures) in [("192.0.2.1", 5), ("192.0.2.2", 4), ("192.0.2.3", 2)] {
        let date = |second: u32| format!("2026-03-01T09:00:0{second}Z");
        lines.extend((0..failures).map(|second| failed(&date(second), address)));
    }
    lines.push(accepted("2026-03-01T09:30:00Z", "192.0.2.3", "alice"));
    lines.sort();
    let log = archive.log("auth.log", "2026-03-02T00:00:00Z", &lines);
    let changed = archive.text(&[&log, "--jail", "sshd", "--set", "maxretry=2", "--set", "bantime=1d"]);
    insta::assert_snapshot!(changed, @r"
    with maxretry=2, bantime=1d:
    ADDRESS    JAIL  AT                   FOR  FAILURES  TIMES  LOGINS
    192.0.2.1  sshd  2026-03-01 09:00:01  1d   2         1
    192.0.2.2  sshd  2026-03-01 09:00:01  1d   2         1
    192.0.2.3  sshd  2026-03-01 09:00:01  1d   2         1      DURING THE BAN (1): alice

    12 lines: 11 failures of 3 addresses, 1 login, from 2026-03-01 09:00:00 to 2026-03-01 09:30:00
    jail sshd (maxretry 2, findtime 10m, bantime 1d): 3 bans of 3 offenders, 3d in sum
    false positives: 1 ban, as somebody logged in from there after all: 1 during the ban (locked out), 0 only after it

                     CURRENT  CHANGED
    bans             2        3
    offenders        2        3
    banned in sum    2h       3d
    false positives  0        1
    locked out       0        1
    banned only with the changed settings: 192.0.2.3
    ");
    let found = archive.json(&[&log, "--set", "maxretry=5"]);
    assert_eq!(found["difference"], json!({"only_current": ["192.0.2.2"], "only_changed": []}));
    assert_eq!((&found["current"]["bans"], &found["changed"]["bans"]), (&json!(2), &json!(1)));
    let ignoring = archive.json(&[&log, "--set", "ignoreip=[\"192.0.2.0/24\"]"]);
    assert_eq!((&ignoring["changed"]["bans"], &ignoring["changed"]["allowed"]), (&json!(0), &json!(11)));
    archive.refused(&[&log, "--set", "maxrety=3"], 2, "did you mean `maxretry`?");
    archive.refused(&[&log, "--jail", "shd"], 2, "did you mean sshd?");
    archive.refused(&[&log, "--jail", "recidive"], 2, "name one that reads logs as well");
    archive.refused(&["/nonexistent.log"], 2, "cannot read /nonexistent.log");
    archive.refused(&["no such.log"], 2, "no file is named 'no such.log'");
    Archive::new("[jail.sshd]\nenabled = 1\n").refused(&[&log], 1, "kban.toml:2:11: jail.sshd.enabled: ");
    let nobody = archive.log("quiet.log", "2026-03-02T00:00:00Z", &["nothing\n".to_owned()]);
    let output = archive.replay(&[&nobody]);
    assert_eq!(output.status.code(), Some(1));
    let said = stdout(&output);
    assert!(
        said.contains("nobody would have been banned") && said.contains("no login at all is in these logs"),
        "{said}"
    );
}

#[test]
fn no_program_is_run_and_no_name_looked_up_for_the_past() {
    let archive = Archive::new(&format!(
        "{SSHD}ignorecommand = [\"/bin/sh\", \"-c\", \"touch was-run\", \"<ip>\"]\nignoreip = [\"office.example.net\", \"/etc/office\"]\n"
    ));
    let guesser = "203.0.113.9";
    let lines: Vec<String> =
        (1..4).map(|minute| failed(&format!("May  1 10:0{minute}:00"), guesser)).collect();
    let log = archive.log("auth.log", "2026-05-02T00:00:00Z", &lines);
    let said = archive.json(&["--jail", "sshd", &log]);
    assert_eq!(
        rows(&said["current"]),
        ["203.0.113.9 sshd 2026-05-01T10:03:00Z 2026-05-01T11:03:00Z 3 1"],
        "{said}"
    );
    let notes = said["notes"].to_string();
    assert!(notes.contains("jail sshd has an ignorecommand, which is not run here"), "{notes}");
    assert!(notes.contains("ignoreip (/etc/office, office.example.net) are not looked up"), "{notes}");
    assert!(!archive.path("was-run").exists());
}

#[test]
fn the_journal_is_replayed_too() {
    let archive = Archive::new(SSHD);
    let bin = archive.path("bin");
    fs::create_dir(&bin).unwrap();
    let entry = |second: u64| {
        format!(
            "_UID=0\n_SYSTEMD_UNIT=ssh.service\n_COMM=sshd\n__REALTIME_TIMESTAMP={second}000000\n\
             MESSAGE=Failed password for root from 192.0.2.1 port 50022 ssh2\n\n"
        )
    };
    // 2026-03-01T09:00:01Z and on.
    let entries: String = (1_772_355_601..=1_772_355_603).map(entry).collect();
    let script = format!("#!/bin/sh\necho \"$*\" > asked\ncat <<END\n{entries}END\n");
    fs::write(bin.join("journalctl"), script).unwrap();
    fs::set_permissions(bin.join("journalctl"), fs::Permissions::from_mode(0o755)).unwrap();
    let mut command = archive.command(&["journal", "--jail", "sshd", "--json"]);
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
    let output = command.env("PATH", path).output().unwrap();
    let found: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(rows(&found["current"]), ["192.0.2.1 sshd 2026-03-01T09:00:03Z 2026-03-01T10:00:03Z 3 1"]);
    let asked = fs::read_to_string(archive.path("asked")).unwrap();
    assert!(asked.contains("_SYSTEMD_UNIT=ssh.service + _SYSTEMD_UNIT=sshd.service"), "{asked}");
}

#[test]
fn lines_without_dates_and_clocks_that_jump_are_told_of() {
    let archive = Archive::new("[jail.sshd]\nenabled = true\nmaxretry = 1\nbantime = \"1h\"\n");
    let lines = [
        failed("2026-03-01T09:00:00Z", "192.0.2.1"),
        "Failed password for root from 192.0.2.2 port 50022 ssh2\n".to_owned(),
        failed("2026-02-01T09:00:00Z", "192.0.2.3"),
        failed("2036-03-01T09:00:00Z", "192.0.2.4"),
    ];
    let log = archive.log("sshd.log", "2026-03-01T12:00:00Z", &lines);
    let found = archive.json(&[&log]);
    assert_eq!(
        rows(&found["current"]),
        [
            "192.0.2.1 sshd 2026-03-01T09:00:00Z 2026-03-01T10:00:00Z 1 1",
            "192.0.2.2 sshd 2026-03-01T09:00:00Z 2026-03-01T10:00:00Z 1 1",
            "192.0.2.4 sshd 2026-03-01T12:00:00.999999999Z 2026-03-01T13:00:00.999999999Z 1 1",
        ]
    );
    let notes = found["notes"].to_string();
    assert!(
        notes.contains("without a date, which count as happening with the one before: 1")
            && notes.contains("in order?): 1"),
        "{notes}"
    );
}

#[test]
fn several_logs_are_read_side_by_side() {
    let archive = Archive::new(SSHD);
    let date = |day: u32, second: u32| format!("2026-03-{day:02}T09:00:{second:02}Z");
    // Each log has two failures of each day; the second one was rotated.
    let log = |days: std::ops::Range<u32>, from: u32| {
        let each =
            days.flat_map(|day| [from, from + 2].map(|second| failed(&date(day, second), "192.0.2.1")));
        each.collect::<Vec<_>>()
    };
    let logs = [
        archive.log("host-b.log", "2026-03-09T00:00:00Z", &log(5..9, 1)),
        archive.log("host-a.log", "2026-03-09T00:00:00Z", &log(1..9, 0)),
        archive.log("host-b.log.1", "2026-03-05T00:00:00Z", &log(1..5, 1)),
    ];
    let found = archive.json(&[&logs[0], &logs[1], &logs[2]]);
    let expected: Vec<String> = (1..9)
        .map(|day| format!("192.0.2.1 sshd 2026-03-0{day}T09:00:02Z 2026-03-0{day}T10:00:02Z 3 {day}"))
        .collect();
    assert_eq!(
        rows(&found["current"]),
        expected,
        "the fourth failure of each day is of somebody who is banned"
    );
    assert_eq!((&found["failures"], &found["notes"]), (&json!(32), &json!([])));
}

#[test]
fn long_files_show_their_progress_on_a_terminal_packed_ones_too() {
    let archive = Archive::new(SSHD);
    let line = |number: u32| {
        format!(
            "Nov 21 06:50:25 h cron[1]: {:x}\n",
            u64::from(number).pow(3).wrapping_mul(0x9e37_79b9_7f4a_7c15)
        )
    };
    let log = archive.log("auth.log", "2026-03-09T00:00:00Z", &(0..250_000).map(line).collect::<Vec<_>>());
    archive.packed("gzip", &log);
    let banctl = env!("CARGO_BIN_EXE_banctl");
    let typed = format!("{banctl} --config kban.toml replay auth.log.gz; test $? = 1");
    let mut command = Command::new("script");
    command.current_dir(archive.0.path()).env("TERM", "xterm").args(["-qec", &typed, "/dev/null"]);
    let output =
        command.stdin(std::process::Stdio::null()).output().expect("script(1) is part of util-linux");
    assert!(output.status.success() && stdout(&output).contains("MiB"), "{}", stdout(&output));
    let output = archive.replay(&["auth.log.gz"]);
    assert_eq!((stderr(&output), stdout(&output).contains("MiB")), (String::new(), false));
}
