//! How fast bans reach the kernel, how fast they come back, and what they cost: real kband processes in a network
//! namespace of their own, each figure beside its floor, a bare netlink writer of the same elements, in the same run.
//!
//! `cargo bench --bench firewall [-- BANS]`; BANS is the larger number of bans, a million if not given.

use std::error::Error;
use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::net::Ipv4Addr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use ipnet::IpNet;
use jiff::Timestamp;
use kban::firewall::{Change, Firewall, Options, Set, Target};
use kban::jail::{Ban, Verdict};
use kban::store::Store;

type Outcome<T> = Result<T, Box<dyn Error>>;

const INSIDE: &str = "KBAN_BENCH_INSIDE";
/// Larger than any set here.
const SET_SIZE: u32 = 2_000_000;
/// How many single bans are timed.
const SINGLE: u32 = 500;
/// How many attack at once.
const AT_ONCE: u32 = 5_000;
/// Longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(300);

/// A kband with a directory of its own.
struct Kband {
    dir: tempfile::TempDir,
    child: Option<Child>,
}

impl Kband {
    fn new() -> Outcome<Self> {
        let dir = tempfile::tempdir()?;
        let log = dir.path().join("auth.log");
        fs::write(&log, "")?;
        let config = format!(
            "[jail.sshd]\nenabled = true\nlogpath = {log:?}\nmaxretry = 1\n[firewall]\nset_size = {SET_SIZE}\nownership = \"plain\"\n"
        );
        fs::write(dir.path().join("kban.toml"), config)?;
        Ok(Self { dir, child: None })
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.dir.path().join(name)
    }

    fn start(&mut self) -> Outcome<()> {
        let mut command = Command::new(env!("CARGO_BIN_EXE_kband"));
        command.arg("--config").arg(self.path("kban.toml"));
        command.arg("--state-dir").arg(self.path("state")).arg("--runtime-dir").arg(self.path("run"));
        let log = fs::File::create(self.path("kband.log"))?;
        self.child = Some(command.stdin(Stdio::null()).stderr(log).spawn()?);
        Ok(())
    }

    /// Whether `banctl status` has an answer, and how long that took.
    fn answers(&self) -> Outcome<(bool, Duration)> {
        let begin = Instant::now();
        let mut banctl = Command::new(env!("CARGO_BIN_EXE_banctl"));
        banctl.arg("--socket").arg(self.path("run/control.sock")).arg("status");
        let status = banctl.stdout(Stdio::null()).stderr(Stdio::null()).status()?;
        Ok((status.success(), begin.elapsed()))
    }

    fn wait_until_it_answers(&self) -> Outcome<()> {
        until(|| Ok(self.answers()?.0))?;
        // The file is followed a moment later.
        std::thread::sleep(Duration::from_millis(300));
        Ok(())
    }

    fn log(&self, lines: &str) -> Outcome<()> {
        fs::OpenOptions::new().append(true).open(self.path("auth.log"))?.write_all(lines.as_bytes())?;
        Ok(())
    }

    fn proc(&self, file: &str) -> Outcome<String> {
        let pid = self.child.as_ref().map(Child::id).ok_or("kband does not run")?;
        Ok(fs::read_to_string(format!("/proc/{pid}/{file}"))?)
    }

    /// A line of `/proc/PID/status` in MB.
    fn megabytes(&self, name: &str) -> Outcome<f64> {
        let status = self.proc("status")?;
        let line = status.lines().find_map(|line| line.strip_prefix(name)).ok_or("no such line")?;
        let kibibytes: f64 = line.trim_matches([':', ' ', '\t', 'k', 'B']).parse()?;
        Ok(kibibytes * 1024.0 / 1e6)
    }

    /// Whether it ever had a child: those that it waited for have left page faults (proc_pid_stat(5), cminflt).
    fn had_children(&self) -> Outcome<bool> {
        let stat = self.proc("stat")?;
        let after_name = stat.rsplit(") ").next().unwrap_or_default();
        Ok(after_name.split(' ').nth(8) != Some("0"))
    }
}

impl Drop for Kband {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
        if let Ok(mut firewall) = Firewall::open_existing() {
            let _ = firewall.remove_table();
        }
    }
}

fn until(mut so: impl FnMut() -> Outcome<bool>) -> Outcome<Duration> {
    let begin = Instant::now();
    while !so()? {
        if begin.elapsed() > PATIENCE {
            return Err("it never came to pass".into());
        }
    }
    Ok(begin.elapsed())
}

/// The `n`th of the addresses from 11.0.0.0 on.
fn address(n: u32) -> Ipv4Addr {
    Ipv4Addr::from_bits(0x0b00_0000 + n)
}

fn target(n: u32) -> Target {
    Target::from(IpNet::from(std::net::IpAddr::from(address(n))))
}

fn line(n: u32, now: &str) -> String {
    format!("{now} host sshd[4711]: Failed password for root from {} port 50022 ssh2\n", address(n))
}

fn now() -> String {
    jiff::Zoned::now().strftime("%b %e %H:%M:%S").to_string()
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

fn report_size(what: &str, is: f64, goal: f64) -> Outcome<()> {
    let verdict = if is < goal { "reached" } else { "FALLS SHORT" };
    writeln!(std::io::stdout(), "{what:<44} {is:>6.1} MB  goal {goal:>3} MB {verdict}")?;
    Ok(())
}

fn percentile(times: &mut [Duration], percent: usize) -> Duration {
    times.sort();
    times.get(times.len() * percent / 100).copied().unwrap_or_default()
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

    let mut kband = Kband::new()?;
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
    let (mut store, _) = Store::open(directory)?;
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
        store.note_verdicts(&[Verdict::Ban(ban)]);
        if n % 50_000 == 0 {
            store.commit();
        }
    }
    store.close();
    Ok(())
}

/// Many bans at start, and after somebody has flushed the kernel's tables.
fn many(bans: u32, goals: [Duration; 2]) -> Outcome<()> {
    let mut kband = Kband::new()?;
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
    if std::env::var_os(INSIDE).is_none() {
        let mut unshare = Command::new("unshare");
        if !nix::unistd::geteuid().is_root() {
            unshare.args(["--user", "--map-root-user"]);
        }
        unshare.args(["--net", "--", "sh", "-c", "ip link set lo up && exec \"$0\" \"$@\""]);
        unshare.arg(std::env::current_exe()?).args(std::env::args_os().skip(1)).env(INSIDE, "1");
        return if unshare.status()?.success() { Ok(()) } else { Err("the bench failed".into()) };
    }
    let argument = std::env::args().skip(1).find(|argument| !argument.starts_with("--"));
    let most: u32 = argument.map_or(Ok(1_000_000), |bans| bans.parse())?;
    live()?;
    many(1_000, [Duration::from_millis(100), Duration::from_millis(10)])?;
    many(100_000, [Duration::from_millis(500), Duration::from_millis(500)])?;
    many(most, [Duration::from_secs(5), Duration::from_secs(5)])
}
