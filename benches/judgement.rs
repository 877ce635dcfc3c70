//! What judging costs: a decision, a million offenders in memory, a flood of forged addresses, and many bans with their
//! history.
//!
//! `cargo bench --bench judgement`

mod live;

use std::fs;
use std::io::Write as _;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ipnet::IpNet;
use jiff::Timestamp;
use kban::config::{self, Layout};
use kban::filter::Failure;
use kban::firewall::{Firewall, Options, Target};
use kban::jail::engine::Engine;
use kban::jail::jails::JailId;
use live::{Kband, Outcome, address, line, now, percentile, report_size, until};

/// How many offenders are tracked.
const TRACKED: u32 = 1_000_000;
/// How long a flood lasts, in tenths of a second.
const TENTHS: u32 = 300;
/// Forged addresses in each tenth of a second.
const FORGED: u32 = 10_000;
/// Bans in each tenth of a second.
const BANS: u32 = 500;
/// How long a ban may take while there are 5,000 a second: the table is written to four times a second.
const SOON: Duration = Duration::from_secs(1);
/// By how much two runs of the same may differ.
const SLACK: Duration = Duration::from_millis(250);
/// The most memory, in MB.
const LARGEST: f64 = 100.0;

fn main() -> Outcome<()> {
    if !live::in_namespace()? {
        return Ok(());
    }
    let mut goals = Goals::default();
    decisions(&mut goals)?;
    flood(&mut goals)?;
    let memory = history("mode = \"memory\"\nevidence = 0\n")?;
    let disk = history("")?;
    goals.time("slowest ban of 5,000 a second, no history", memory, SOON)?;
    // Bans never wait for the disk; what it takes of the processor is not more than they take themselves.
    goals.time("slowest ban of 5,000 a second, with history", disk, memory * 2 + SLACK)?;
    match goals.missed.as_slice() {
        [] => Ok(()),
        missed => Err(format!("goals that were missed: {}", missed.join("; ")).into()),
    }
}

/// What is to be reached, and what was not.
#[derive(Default)]
struct Goals {
    missed: Vec<String>,
}

impl Goals {
    fn time(&mut self, what: &str, is: Duration, goal: Duration) -> Outcome<()> {
        let verdict = if is < goal { "reached" } else { "FALLS SHORT" };
        writeln!(std::io::stdout(), "{what:<44} {is:>9.2?}  goal {goal:?} {verdict}")?;
        self.note(what, is < goal);
        Ok(())
    }

    fn size(&mut self, what: &str, is: f64) -> Outcome<()> {
        self.note(what, is < LARGEST);
        report_size(what, is, LARGEST)
    }

    fn note(&mut self, what: &str, reached: bool) {
        if !reached {
            self.missed.push(what.to_owned());
        }
    }
}

/// This process's memory in MB.
fn megabytes() -> Outcome<f64> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("no VmRSS")?;
    let kibibytes: f64 = line.trim().trim_end_matches(" kB").parse()?;
    Ok(kibibytes * 1024.0 / 1e6)
}

/// A failure of each of a million, twice: nobody is banned.
fn decisions(goals: &mut Goals) -> Outcome<()> {
    let dir = tempfile::tempdir()?;
    let file = dir.path().join("kban.toml");
    let log = dir.path().join("log");
    fs::write(&log, "")?;
    fs::write(
        &file,
        format!("[jail.sshd]\nenabled = true\nlogpath = {log:?}\nmaxretry = 5\nmax_tracked = {TRACKED}\n"),
    )?;
    let plan = config::load(&Layout::single(&file)).map_err(|report| report.render(false, 100))?;
    let mut engine = Engine::new();
    engine.configure(&plan);
    let before = megabytes()?;
    let (source, now) = (Arc::from("log"), Timestamp::now());
    for round in ["first", "second"] {
        let begin = Instant::now();
        for n in 0..TRACKED {
            let failure =
                Failure { time: now, address: address(n).into(), prefix_len: None, pattern: 0, attempts: 1 };
            std::hint::black_box(engine.observe(JailId(0), &failure, None, &source, now));
        }
        let each = begin.elapsed() / TRACKED;
        goals.time(&format!("a decision, {round} failure of {TRACKED}"), each, Duration::from_micros(2))?;
    }
    goals.size("memory of 1,000,000 tracked offenders", megabytes()? - before)
}

fn holds(firewall: &mut Firewall, address: Ipv4Addr) -> Outcome<bool> {
    match firewall.contains(Target::from(IpNet::from(IpAddr::from(address)))) {
        Ok(found) => Ok(found.is_some()),
        Err(error) if error.is_missing() => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Who guess amid a flood, and every how many tenths of a second.
const GUESSING: [(Ipv4Addr, u32); 3] = [
    (Ipv4Addr::new(203, 0, 113, 9), 10),
    (Ipv4Addr::new(203, 0, 113, 10), 20),
    (Ipv4Addr::new(203, 0, 113, 11), 40),
];

/// 100,000 forged addresses a second, amid which some guess slowly.
fn flood(goals: &mut Goals) -> Outcome<()> {
    let mut kband = Kband::new("maxretry = 5\n")?;
    kband.start()?;
    kband.wait_until_it_answers()?;
    let mut firewall = Firewall::open(Options::sized(1))?;
    let guess =
        |stamp: &str, who: Ipv4Addr| line(0, stamp).replace(&address(0).to_string(), &who.to_string());
    let (mut answers, mut caught) = (Vec::new(), [None; GUESSING.len()]);
    let begin = Instant::now();
    for tenth in 0..TENTHS {
        let stamp = now();
        let mut lines: String = (0..FORGED).map(|n| line(tenth * FORGED + n, &stamp)).collect();
        for (offender, every) in GUESSING {
            if tenth % every == 0 {
                lines += &guess(&stamp, offender);
            }
        }
        kband.log(&lines)?;
        let (answered, took) = kband.answers()?;
        if !answered {
            return Err("kband does not answer".into());
        }
        answers.push(took);
        for ((offender, _), caught) in GUESSING.iter().zip(&mut caught) {
            if caught.is_none() && holds(&mut firewall, *offender)? {
                *caught = Some(tenth);
            }
        }
        let due = Duration::from_millis(u64::from(tenth + 1) * 100);
        std::thread::sleep(due.saturating_sub(begin.elapsed()));
    }
    let rate = f64::from(TENTHS * FORGED) / begin.elapsed().as_secs_f64();
    for ((_, every), caught) in GUESSING.iter().zip(caught) {
        writeln!(
            std::io::stdout(),
            "{rate:.0} forged addresses a second; a guess every {} s amid them (maxretry 5): {}",
            every / 10,
            match caught {
                Some(tenth) => format!("banned with guess {}", tenth / every + 1),
                None => "FALLS SHORT: not banned".to_owned(),
            }
        )?;
        goals.note(&format!("who guesses every {} s in a flood is banned", every / 10), caught.is_some());
    }
    let goal = Duration::from_millis(100);
    goals.time("banctl status meanwhile, slowest", percentile(&mut answers, 99), goal)?;
    goals.time("banctl status meanwhile, median", percentile(&mut answers, 50), goal)?;
    if kband.had_children()? {
        return Err("kband has started other processes".into());
    }
    goals.size("resident memory after the flood", kband.megabytes("VmRSS")?)
}

/// 5,000 bans a second: the longest from a line to its element.
fn history(store: &str) -> Outcome<Duration> {
    let mut kband = Kband::new("maxretry = 1\n")?;
    let file = kband.path("kban.toml");
    let text = fs::read_to_string(&file)?;
    fs::write(&file, format!("{text}[store]\n{store}"))?;
    kband.start()?;
    kband.wait_until_it_answers()?;
    let mut firewall = Firewall::open(Options::sized(1))?;
    let (begin, mut slowest) = (Instant::now(), Duration::ZERO);
    for tenth in 0..TENTHS {
        let stamp = now();
        let lines: String = (0..BANS).map(|n| line(tenth * BANS + n, &stamp)).collect();
        kband.log(&lines)?;
        let last = address(tenth * BANS + BANS - 1);
        slowest = slowest.max(until(|| holds(&mut firewall, last))?);
        let due = Duration::from_millis(u64::from(tenth + 1) * 100);
        std::thread::sleep(due.saturating_sub(begin.elapsed()));
    }
    Ok(slowest)
}
