//! How fast a scanner is: a million lines of sshd's log, in memory, one core, dates included.
//!
//! `cargo bench --bench matching [-- LINES]` or, to time a file, `-- FILE`. Each mix is scanned in blocks of
//! 256 KiB as the daemon does, five times; the median counts. The generator is deterministic. The peers run
//! beside it in the same run; see `peers`.

use std::fmt::Write as _;
use std::io::Write as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use jiff::tz::TimeZone;
use kban::filter::{Clock, Filter, FilterError, Scanner, catalogue, dialect_cache_bytes};

mod peers;

const BLOCK: usize = 256 << 10;
const ROUNDS: usize = 5;

/// In place of a mode: every filter that kban brings along, on one log.
const CATALOGUE: &str = "catalogue";

/// In place of a mode: fail2ban's own sshd filter.
const DIALECT: &str = "dialect";

/// xorshift64*: good enough to mix lines, and the same everywhere.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) % limit
    }

    fn pick<'a>(&mut self, from: &[&'a str]) -> &'a str {
        let at = usize::try_from(self.below(from.len() as u64)).unwrap_or(0);
        from.get(at).copied().unwrap_or("")
    }
}

/// An auth.log of one day: `percent` of failed passwords from 20,000 addresses, the rest what a healthy host logs.
fn auth_log(lines: u64, percent: u64, start: Timestamp) -> String {
    let mut random = Random(0x9E37_79B9_7F4A_7C15);
    let users =
        ["root", "admin", "test", "ubuntu", "oracle", "postgres", "git", "user", "pi", "deploy", "mysql"];
    let mut log = String::with_capacity(usize::try_from(lines).unwrap_or(0) * 104);
    let (mut second, mut stamp) = (u64::MAX, String::new());
    for line in 0..lines {
        let now = 86_400 * line / lines;
        if now != second {
            second = now;
            let moment = start + Duration::from_secs(now);
            stamp = moment.to_zoned(TimeZone::UTC).strftime("%b %e %H:%M:%S").to_string();
        }
        let (pid, port) = (1000 + random.below(98_999), 1024 + random.below(64_511));
        let _ = write!(log, "{stamp} host ");
        if random.below(100) < percent {
            let address = random.below(20_000);
            let invalid = random.pick(&["", "invalid user "]);
            let _ = write!(log, "sshd[{pid}]: Failed password for {invalid}{} from ", random.pick(&users));
            let _ = match address % 20 {
                0 => write!(
                    log,
                    "2001:db8:{:x}:{:x}::{:x}",
                    address * 7 % 65_536,
                    address * 31 % 65_536,
                    address + 1
                ),
                _ => write!(
                    log,
                    "{}.{}.{}.{}",
                    23 + address % 180,
                    address * 7 % 256,
                    address * 31 % 256,
                    1 + address % 254
                ),
            };
            let _ = writeln!(log, " port {port} ssh2");
            continue;
        }
        let good = format!("192.0.2.{}", 1 + random.below(39));
        let _ = match random.below(10) {
            0 => writeln!(
                log,
                "sshd[{pid}]: Accepted publickey for deploy from {good} port {port} ssh2: ED25519 SHA256:{:032x}",
                u128::from(port) << 90
            ),
            1 => writeln!(
                log,
                "sshd[{pid}]: pam_unix(sshd:session): session opened for user deploy(uid=1000) by (uid=0)"
            ),
            2 => writeln!(log, "sshd[{pid}]: pam_unix(sshd:session): session closed for user deploy"),
            3 => writeln!(
                log,
                "CRON[{pid}]: pam_unix(cron:session): session opened for user root(uid=0) by (uid=0)"
            ),
            4 => writeln!(log, "CRON[{pid}]: pam_unix(cron:session): session closed for user root"),
            5 => writeln!(
                log,
                "sudo:   deploy : TTY=pts/{} ; PWD=/home/deploy ; USER=root ; COMMAND=/usr/bin/systemctl status app{}",
                port % 9,
                port % 50
            ),
            6 => writeln!(log, "systemd-logind[712]: New session {} of user deploy.", port),
            7 => writeln!(
                log,
                "sshd[{pid}]: Connection from {good} port {port} on 198.51.100.7 port 22 rdomain \"\""
            ),
            8 => writeln!(
                log,
                "sshd[{pid}]: Received disconnect from {good} port {port}:11: disconnected by user"
            ),
            _ => writeln!(log, "sshd[{pid}]: Disconnected from user deploy {good} port {port}"),
        };
    }
    log
}

/// Scans the log once, in blocks of whole lines; how many failures, and how long it took.
fn scan(scanner: &mut Scanner, log: &[u8], clock: &Clock) -> (u64, Duration) {
    let started = Instant::now();
    let mut failures = 0;
    let mut rest = log;
    while !rest.is_empty() {
        let most = rest.get(..BLOCK).unwrap_or(rest);
        let end = memchr::memrchr(b'\n', most).map_or(most.len(), |newline| newline + 1);
        let (block, after) = rest.split_at_checked(end).unwrap_or((rest, &[]));
        scanner.scan(block, clock, &mut |_, failure, _| failures += u64::from(failure.time <= clock.now));
        rest = after;
    }
    (failures, started.elapsed())
}

/// The filters of a mix: sshd in one mode, or the whole catalogue.
fn filters(mode: &str) -> Result<Vec<Arc<Filter>>, FilterError> {
    let load = |reference: &str| Filter::load(reference, &[]).map(Arc::new);
    if let (DIALECT, Some(filter)) = (mode, peers::dialect()) {
        return Ok(vec![load(&filter.display().to_string())?]);
    }
    if mode != CATALOGUE {
        return Ok(vec![load(&format!("sshd[mode={mode}]"))?]);
    }
    catalogue::names().map(load).collect()
}

fn report(what: &str, mode: &str, log: &[u8], clock: &Clock) -> std::io::Result<f64> {
    let filters = filters(mode).map_err(std::io::Error::other)?;
    let mut scanner = Scanner::new(&filters);
    let mut times = Vec::new();
    let mut failures = 0;
    for _ in 0..ROUNDS {
        let (found, time) = scan(&mut scanner, log, clock);
        failures = found;
        times.push(time);
    }
    times.sort();
    let median = times.get(ROUNDS / 2).copied().unwrap_or_default().as_secs_f64();
    let megabytes = log.len() as f64 / 1e6;
    writeln!(
        std::io::stdout(),
        "{what:<14} {mode:<10} {megabytes:>6.1} MB  {failures:>7} failures  {:>7.1} ms  {:>7.0} MB/s  (lazy DFA {} KiB)",
        median * 1e3,
        megabytes / median,
        (scanner.cache_bytes() + dialect_cache_bytes()) / 1024
    )?;
    Ok(median)
}

/// The peers on the same log, as multiples of what our sshd filter took.
fn compare(what: &str, log: &str, ours: f64) -> std::io::Result<()> {
    for peers::Peer { name, seconds } in peers::run(log)? {
        match seconds {
            Ok(seconds) => writeln!(
                std::io::stdout(),
                "{what:<14} {name:<16} {:>9.1} ms  {:>6.1} times ours",
                seconds * 1e3,
                seconds / ours
            )?,
            Err(error) => writeln!(
                std::io::stdout(),
                "{what:<14} {name:<16} !!! NOT MEASURED, THE PEER IS MISSING OR FAILED: {error}"
            )?,
        }
    }
    Ok(())
}

fn main() -> std::io::Result<()> {
    let argument = std::env::args().skip(1).find(|argument| !argument.starts_with("--"));
    let start: Timestamp = "2026-11-20T00:00:00Z".parse().unwrap_or(Timestamp::UNIX_EPOCH);
    let clock = Clock { now: start + Duration::from_secs(86_400), zone: TimeZone::system() };
    let lines = match argument.as_deref().map(str::parse::<u64>) {
        Some(Ok(lines)) => lines,
        None => 1_000_000,
        Some(Err(_)) => {
            let path = argument.unwrap_or_default();
            let clock = Clock { now: Timestamp::now(), ..clock };
            report(&path, "normal", &std::fs::read(&path)?, &clock)?;
            return Ok(());
        }
    };
    for percent in [30, 1] {
        let log = auth_log(lines, percent, start);
        let what = format!("{percent} % failures");
        let ours = report(&what, "normal", log.as_bytes(), &clock)?;
        for mode in ["aggressive", CATALOGUE] {
            report(&what, mode, log.as_bytes(), &clock)?;
        }
        match peers::dialect() {
            Some(_) => {
                report(&what, DIALECT, log.as_bytes(), &clock)?;
            }
            None => writeln!(
                std::io::stdout(),
                "{what:<14} {DIALECT:<10} !!! NOT MEASURED, fail2ban IS MISSING: run scripts/install-tools test"
            )?,
        }
        compare(&what, &log, ours)?;
    }
    Ok(())
}
