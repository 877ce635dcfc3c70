//! A replay and the daemon decide the same: whatever the settings, and however the lines lie in files.

use std::collections::BTreeSet;
use std::fs;
use std::net::IpAddr;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use ipnet::IpNet;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use kban::config::{self, Layout};
use kban::filter::{Clock, Scanner, Told};
use kban::jail::engine::{Engine, Judgement};
use kban::jail::jails::JailId;
use kban::jail::{Verdict, shown};
use proptest::prelude::*;
use serde_json::Value;

use crate::harness::{Machine, eventually};

/// 2026-03-01T00:00:00Z.
const BEGIN: i64 = 1_772_323_200;

/// What one line says, so many seconds after the line before.
#[derive(Debug, Clone)]
struct Line {
    after: i64,
    address: usize,
    user: &'static str,
    success: bool,
}

const ADDRESSES: [&str; 8] = [
    "203.0.113.1",
    "203.0.113.2",
    "203.0.113.3",
    "198.51.100.1",
    "2001:db8::1",
    "2001:db8::2",
    "2001:db8:0:1::1",
    "10.1.2.3",
];

fn lines() -> impl Strategy<Value = Vec<Line>> {
    let after = prop_oneof![6 => 0..30_i64, 2 => 30..700_i64, 1 => 700..8_000_i64];
    let user = prop::sample::select(vec!["root", "alice", "bob"]);
    let line = (after, 0..ADDRESSES.len(), user, prop::bool::weighted(0.15));
    let line = line.prop_map(|(after, address, user, success)| Line { after, address, user, success });
    prop::collection::vec(line, 1..120)
}

/// Any settings of two jails.
fn settings() -> impl Strategy<Value = String> {
    let escalate = prop::sample::select(vec!["false", "true", "{ factor = 3, permanent_after = 3 }"]);
    let subnet = prop::sample::select(vec!["false", "{ after = 2, within = \"2h\" }"]);
    let trust = prop::sample::select(vec!["false", "{ after_success = \"1h\", failures = 6 }"]);
    let breaker = prop::sample::select(vec!["", "max_bans_per_minute = 1\n"]);
    let prefix = prop::sample::select(vec![64, 128]);
    let all = (1..4_u32, 10..900_u32, 5..4_000_u32, escalate, subnet, trust, breaker, prefix);
    all.prop_map(|(maxretry, findtime, bantime, escalate, subnet, trust, breaker, prefix)| {
        format!(
            "[defaults]\nignoreip = [\"10.0.0.0/8\"]\n[jail.sshd]\nenabled = true\nmaxretry = {maxretry}\nfindtime = \"{findtime}s\"\n\
             bantime = \"{bantime}s\"\nescalate = {escalate}\nsubnet = {subnet}\ntrust = {trust}\nipv6_prefix = {prefix}\n{breaker}\
             [jail.recidive]\nenabled = true\nmaxretry = 2\nbantime = \"3h\"\n"
        )
    })
}

fn written(lines: &[Line]) -> Vec<(Timestamp, String)> {
    let mut second = BEGIN;
    let each = lines.iter().map(|line| {
        second += line.after;
        let time = Timestamp::from_second(second).unwrap();
        let (address, user) = (ADDRESSES[line.address], line.user);
        let said = match line.success {
            true => format!("Accepted password for {user} from {address} port 50022 ssh2"),
            false => format!("Failed password for {user} from {address} port 50022 ssh2"),
        };
        (time, format!("{time} host sshd[{second}]: {said}\n"))
    });
    each.collect()
}

/// A ban: who, by which jail, when, until when, how often; and logins during it and after it.
type Row = (String, String, Timestamp, Option<Timestamp>, u64, u64, u64);

/// What the daemon's engine makes of the lines, if each is read in the second in which it is written.
fn lived(layout: &Layout, lines: &[(Timestamp, String)]) -> Vec<Row> {
    let plan = config::load(layout).unwrap();
    let mut engine = Engine::new();
    engine.configure(&plan);
    let place = plan.jails.iter().position(|jail| jail.filter.is_some()).unwrap();
    let filter = plan.jails[place].filter.clone().unwrap();
    let mut scanner = Scanner::new(&[Arc::clone(&filter)]);
    scanner.tell_successes();
    let (jail, source): (JailId, Arc<str>) = (JailId(place), "log".into());
    let (mut rows, mut second) = (Vec::<Row>::new(), BEGIN);
    let note = |verdicts: Vec<Verdict>, now: Timestamp, rows: &mut Vec<Row>| {
        for verdict in verdicts {
            match verdict {
                Verdict::Ban(ban) => {
                    let count = u64::from(ban.count);
                    rows.push((shown(&ban.prefix), ban.jail.to_string(), ban.since, ban.until, count, 0, 0));
                }
                Verdict::Unban(ban, _) => {
                    let own = |row: &&mut Row| row.0 == shown(&ban.prefix) && *row.1 == *ban.jail;
                    rows.iter_mut().rev().find(own).unwrap().3 = Some(now);
                }
            }
        }
    };
    for (now, line) in lines {
        // The clock ticks.
        while second <= now.as_second() {
            let tick = Timestamp::from_second(second).unwrap();
            while engine.expire_next(tick).is_some() {}
            note(engine.release(tick), tick, &mut rows);
            second += 1;
        }
        second = now.as_second();
        let clock = Clock { now: *now, zone: TimeZone::UTC };
        scanner.scan_all(line.as_bytes(), &clock, &mut |_, told, line| match told {
            Told::Success(success) => {
                for row in &mut rows {
                    let prefix: IpNet =
                        row.0.parse().or_else(|_| row.0.parse().map(|one: IpAddr| one.into())).unwrap();
                    let over = row.3.is_some_and(|until| *now >= until);
                    let count = if over { &mut row.6 } else { &mut row.5 };
                    *count += u64::from(prefix.contains(&success.address));
                }
                engine.succeeded(jail, &success, *now);
            }
            Told::Failure(failure) => {
                let asks = engine.asks_for_user(jail, &failure, *now);
                let user = asks.then(|| filter.user(line, failure.pattern, &clock)).flatten();
                let judged = engine.observe(jail, &failure, user.as_deref(), &source, *now);
                if let Judgement::Verdicts(verdicts) = judged {
                    note(verdicts, *now, &mut rows);
                }
            }
        });
    }
    rows
}

/// What `banctl replay` makes of them, as rotated files.
fn replayed(dir: &Path, lines: &[(Timestamp, String)], cuts: &[prop::sample::Index]) -> Vec<Row> {
    let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(lines.len())).collect();
    cuts.extend([0, lines.len()]);
    cuts.sort_unstable();
    cuts.dedup();
    let mut files = Vec::new();
    for (generation, range) in cuts.windows(2).rev().enumerate() {
        let part = &lines[range[0]..range[1]];
        let name = if generation == 0 { "auth.log".to_owned() } else { format!("auth.log.{generation}") };
        let path = dir.join(&name);
        fs::write(&path, part.iter().map(|(_, line)| line.as_str()).collect::<String>()).unwrap();
        let changed = part.last().unwrap().0 + SignedDuration::from_secs(1);
        fs::File::options().write(true).open(&path).unwrap().set_modified(changed.into()).unwrap();
        files.push(path);
    }
    let mut command = Command::new(env!("CARGO_BIN_EXE_banctl"));
    command
        .env("TZ", "UTC")
        .arg("--config")
        .arg(dir.join("kban.toml"))
        .args(["--json", "replay"])
        .args(files);
    let output = command.output().unwrap();
    let found: Value = serde_json::from_slice(&output.stdout).unwrap();
    let row = |row: &Value| {
        let text = |key: &str| row[key].as_str().unwrap().to_owned();
        let time = |key: &str| row[key].as_str().map(|time| time.parse::<Timestamp>().unwrap());
        let login = |key: &str| row["logins"][key].as_u64().unwrap();
        let times = row["times"].as_u64().unwrap();
        (
            text("address"),
            text("jail"),
            time("since").unwrap(),
            time("until"),
            times,
            login("during"),
            login("after"),
        )
    };
    found["current"]["rows"].as_array().unwrap().iter().map(row).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn a_replay_bans_as_the_engine_did(
        settings in settings(), lines in lines(), cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..4),
    ) {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("kban.toml"), settings).unwrap();
        let lines = written(&lines);
        let lived = lived(&Layout::single(dir.path().join("kban.toml")), &lines);
        prop_assert_eq!(replayed(dir.path(), &lines, &cuts), lived);
    }
}

#[test]
fn a_replay_bans_as_kband_did() {
    let machine = Machine::new();
    machine.configure(
        "maxretry = 3\nfindtime = \"1h\"\nbantime = \"1d\"\nsubnet = { after = 3 }\ntrust = { failures = 9 }\n\
         ignoreip = [\"10.0.0.0/8\"]\n",
    );
    let daemon = machine.start(machine.kband());
    let begin = Timestamp::now() - SignedDuration::from_secs(600);
    let mut log = String::new();
    for number in 0..600_u32 {
        // Any order will do that is the same each time.
        let mixed = number.wrapping_mul(2_654_435_761) >> 16;
        let address = match mixed % 5 {
            0 => format!("203.0.113.{}", mixed % 4),
            1 => format!("198.51.{}.7", mixed % 60),
            2 => format!("2001:db8::{:x}:{:x}", mixed % 3, mixed % 7),
            3 => format!("10.0.0.{}", mixed % 3),
            _ => format!("192.0.2.{}", mixed % 90),
        };
        // Nobody logs in from 192.0.2.0/24: it would not be banned then.
        let verb = if mixed % 11 == 0 && mixed % 5 < 4 { "Accepted" } else { "Failed" };
        let time = begin + SignedDuration::from_secs(i64::from(number) / 2);
        log +=
            &format!("{time} host sshd[{number}]: {verb} password for root from {address} port 50022 ssh2\n");
    }
    for _ in 0..3 {
        let time = Timestamp::now();
        log += &format!("{time} host sshd[1]: Failed password for root from 100.64.0.1 port 50022 ssh2\n");
    }
    machine.log(&log);
    eventually("all is read", || machine.listed().contains(&"100.64.0.1".to_owned()));
    let live: BTreeSet<String> = machine.listed().into_iter().collect();
    let path = machine.path("auth.log").display().to_string();
    let config = machine.path("kban.toml").display().to_string();
    let found = machine.banctl_json(&["--config", &config, "replay", &path]);
    let end: Timestamp = found["to"].as_str().unwrap().parse().unwrap();
    let rows = found["current"]["rows"].as_array().unwrap();
    let in_force =
        rows.iter().filter(|row| row["until"].as_str().unwrap().parse::<Timestamp>().unwrap() > end);
    let past: BTreeSet<String> = in_force.map(|row| row["address"].as_str().unwrap().to_owned()).collect();
    assert_eq!(past, live);
    assert!(past.contains("192.0.2.0/24") && past.len() > 10, "{past:?}");
    daemon.stop();
}
