//! How fast bans reach the kernel, how fast they come back, and what they cost: real kband processes in a network
//! namespace of their own, each figure beside its floor, a bare netlink writer of the same elements, in the same run.
//!
//! `cargo bench --bench firewall [-- BANS]`; BANS is the larger number of bans, a million if not given.

mod live;

use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use ipnet::IpNet;
use jiff::Timestamp;
use kban::firewall::{Change, Firewall, Options, Set, Target};
use kban::jail::{Ban, Verdict};
use kban::store::{Limits, Store};
use live::{Kband, Outcome, SET_SIZE, address, line, now, percentile, report_size, until};

/// How many single bans are timed.
const SINGLE: u32 = 500;
/// How many attack at once.
const AT_ONCE: u32 = 5_000;

fn target(n: u32) -> Target {
    Target::from(IpNet::from(std::net::IpAddr::from(address(n))))
}

fn holds(firewall: &mut Firewall, n: u32) -> Outcome<bool> {
    match firewall.contains(target(n)) {
        Ok(found) => Ok(found.is_some()),
        Err(error) if error.is_missing() => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// The first `bans` addresses, all of them, in the kernel. The last is asked for first: it comes last.
fn holds_all(firewall: &mut Firewall, bans: u32) -> Outcome<bool> {
    if !holds(firewall, bans - 1)? {
        return Ok(false);
    }
    match firewall.count(Set::HOST4)? {
        Some(count) => Ok(count == bans),
        None => (0..bans).try_fold(true, |all, n| Ok(all && holds(firewall, n)?)),
    }
}

/// What a bare netlink writer takes for as many elements: the floor.
fn bare(bans: u32) -> Outcome<Duration> {
    let changes: Vec<Change> = (0..bans)
        .map(|n| Change::Ban { target: target(n), left: Some(Duration::from_secs(36_000)) })
        .collect();
    let mut firewall = Firewall::open(Options::sized(SET_SIZE))?;
    firewall.set_up(&[])?;
    let begin = Instant::now();
    firewall.add(&changes)?;
    let took = begin.elapsed();
    firewall.remove_table()?;
    Ok(took)
}

/// What `nft -f` takes for as many elements, if there is an nft.
fn nft(bans: u32, dir: &Path) -> Outcome<Duration> {
    let mut text = format!(
        "table inet bench {{\n set host4 {{\n type ipv4_addr; flags timeout; size {SET_SIZE};\n elements = {{"
    );
    for n in 0..bans {
        write!(text, " {} timeout 36000s,", address(n))?;
    }
    text.push_str(" }\n }\n}\n");
    let file = dir.join("bench.nft");
    fs::write(&file, text)?;
    let begin = Instant::now();
    let done = Command::new("nft").arg("-f").arg(&file).stderr(Stdio::null()).status()?;
    let took = begin.elapsed();
    Command::new("nft").args(["delete", "table", "inet", "bench"]).status()?;
    if done.success() { Ok(took) } else { Err("nft failed".into()) }
}

/// What became of a figure: it beside its goal and its floor.
fn report(what: &str, is: Duration, goal: Duration, floor: (&str, Duration)) -> Outcome<()> {
    let verdict = if is < goal { "reached" } else { "FALLS SHORT" };
    let times = is.as_secs_f64() / floor.1.as_secs_f64();
    writeln!(
        std::io::stdout(),
        "{what:<44} {is:>9.2?}  goal {goal:>6.1?} {verdict:<11}  {times:>5.2} times {} ({:.2?})",
        floor.0,
        floor.1
    )?;
    Ok(())
}

/// One line appended, and the element in the kernel; then thousands of them at once.
fn live() -> Outcome<()> {
    let mut firewall = Firewall::open(Options::sized(SET_SIZE))?;
    firewall.set_up(&[])?;
    let mut floors = Vec::new();
    for n in 0..SINGLE {
        let begin = Instant::now();
        firewall.apply(&[Change::Ban { target: target(n), left: Some(Duration::from_secs(600)) }])?;
        floors.push(begin.elapsed());
        std::thread::sleep(Duration::from_millis(2));
    }
    firewall.remove_table()?;
    let bare = bare(AT_ONCE)?;

    let mut kband = Kband::new("maxretry = 1\n")?;
    kband.start()?;
    kband.wait_until_it_answers()?;
    report_size("resident memory, idle", kband.megabytes("VmRSS")?, 8.0)?;
    let mut times = Vec::new();
    for n in 0..SINGLE {
        let line = line(n, &now());
        let begin = Instant::now();
        kband.log(&line)?;
        until(|| holds(&mut firewall, n))?;
        times.push(begin.elapsed());
        // More than four a second are written together.
        std::thread::sleep(Duration::from_millis(260));
    }
    for (percent, goal) in [(50, Duration::from_micros(500)), (99, Duration::from_millis(5))] {
        let floor = ("a bare write", percentile(&mut floors, percent));
        let what = format!("line appended to element in the kernel, p{percent}");
        report(&what, percentile(&mut times, percent), goal, floor)?;
    }
    let stamp = now();
    let lines: String = (SINGLE..SINGLE + AT_ONCE).map(|n| line(n, &stamp)).collect();
    let begin = Instant::now();
    kband.log(&lines)?;
    until(|| holds_all(&mut firewall, SINGLE + AT_ONCE))?;
    let what = format!("{AT_ONCE} attackers at once, all in the kernel");
    report(&what, begin.elapsed(), Duration::from_millis(200), ("a bare write", bare))?;
    if kband.had_children()? {
        return Err("kband has started other processes".into());
    }
    Ok(())
}

/// A store that remembers so many bans.
fn remember(bans: u32, directory: &Path) -> Outcome<()> {
    let (mut store, ..) = Store::begin(directory, Limits::default())?;
    let since = Timestamp::now();
    for n in 0..bans {
        let ban = Ban {
            prefix: target(n).prefix,
            jail: "sshd".into(),
            since,
            until: Some(since + Duration::from_secs(36_000 + u64::from(n % 3_600))),
            count: 1,
            source: "/var/log/auth.log".into(),
            reason: "5 failures within 10m".into(),
            services: None,
            renew: None,
        };
        store.note(&Verdict::Ban(ban), since, None, Vec::new());
        if n % 100_000 == 99_999 {
            // It must not have to wait for the disk for longer than it does.
            store.close();
            (store, ..) = Store::begin(directory, Limits::default())?;
        }
    }
    store.close();
    Ok(())
}

/// Many bans at start, and after somebody has flushed the kernel's tables.
fn many(bans: u32, goals: [Duration; 2]) -> Outcome<()> {
    let mut kband = Kband::new("maxretry = 1\n")?;
    remember(bans, &kband.path("state"))?;
    let bare = bare(bans)?;
    let mut firewall = Firewall::open_existing()?;
    let begin = Instant::now();
    kband.start()?;
    let (mut first, mut slowest) = (None, Duration::ZERO);
    until(|| {
        std::thread::sleep(Duration::from_millis(5));
        let (answered, took) = kband.answers()?;
        if first.is_some() {
            slowest = slowest.max(took);
        } else if answered {
            first = Some(begin.elapsed());
        }
        holds_all(&mut firewall, bans)
    })?;
    let took = begin.elapsed();
    report(&format!("restore {bans} at start"), took, goals[0], ("a bare write", bare))?;
    match nft(bans, kband.dir.path()) {
        Ok(nft) => report(&format!("restore {bans} at start"), took, goals[0], ("nft -f", nft))?,
        Err(error) => writeln!(std::io::stdout(), "!!! NOT MEASURED: nft -f: {error}")?,
    }
    let first = first.unwrap_or_default();
    writeln!(
        std::io::stdout(),
        "    banctl has its first answer after {first:.2?}, from then on within {slowest:.2?} (a process each)"
    )?;
    std::thread::sleep(Duration::from_secs(2));
    let what = format!("resident memory, {bans} bans");
    report_size(&what, kband.megabytes("VmRSS")?, if bans >= 1_000_000 { 200.0 } else { 50.0 })?;
    writeln!(std::io::stdout(), "    at its peak {:.1} MB", kband.megabytes("VmHWM")?)?;
    if !Command::new("nft").args(["flush", "ruleset"]).status()?.success() {
        return Err("nft flush ruleset failed".into());
    }
    let back = until(|| holds_all(&mut firewall, bans))?;
    report(&format!("foreign flush, {bans} bans restored"), back, goals[1], ("a bare write", bare))?;
    Ok(())
}

fn main() -> Outcome<()> {
    if !live::in_namespace()? {
        return Ok(());
    }
    let argument = std::env::args().skip(1).find(|argument| !argument.starts_with("--"));
    let most: u32 = argument.map_or(Ok(1_000_000), |bans| bans.parse())?;
    live()?;
    many(1_000, [Duration::from_millis(100), Duration::from_millis(10)])?;
    many(100_000, [Duration::from_millis(500), Duration::from_millis(500)])?;
    many(most, [Duration::from_secs(5), Duration::from_secs(5)])
}
