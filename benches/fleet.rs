//! How fast a fleet is on one machine, with a real nats-server: reports of many hosts judged, decisions published, and how long a
//! late edge takes to catch up. The firewall is its fleet's thread and its engine, without a kernel; the edge is a real kband that writes
//! to a kernel and a store. What processors have done is told as well: it says more than the time where a machine is shared.
//!
//! `cargo bench --bench fleet [-- DECISIONS HOSTS REPORTS]`

#[path = "live/place.rs"]
mod place;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use async_nats::ConnectOptions;
use ipnet::IpNet;
use jiff::{SignedDuration, Timestamp};
use kban::config::{Layout, load};
use kban::control::fleet::FleetStatus;
use kban::fleet::decision::Decision;
use kban::fleet::members::{Member, Members};
use kban::fleet::setup::{self, Place};
use kban::fleet::{News, Page, Running, keys};
use kban::jail::engine::Engine;
use kban::jail::reports::Reported;

use place::{Outcome, until};

/// So many reports of one host are on their way at once.
const TOGETHER: u32 = 64;
/// So many decisions are in one page of what is in force.
const PAGE: usize = 2_000;

fn main() -> Outcome<()> {
    if !place::in_namespace()? {
        return Ok(());
    }
    let mut numbers = std::env::args().skip(1).filter_map(|word| word.parse::<u32>().ok());
    let (decisions, hosts, reports) = (
        numbers.next().unwrap_or(1_000_000),
        numbers.next().unwrap_or(1_000),
        numbers.next().unwrap_or(200_000),
    );
    let bench = Bench::new(hosts)?;
    let firewall = bench.firewall(in_force(decisions))?;
    let begin = Instant::now();
    until(|| Ok(soon(firewall.seen().0.published) >= u64::from(decisions)))?;
    rate("decisions signed and published", decisions, begin.elapsed())?;

    let published = Work::of(bench.server.id())?;
    let edge = bench.edge()?;
    let begin = Instant::now();
    until(|| edge.has(decisions))?;
    rate("a late edge has caught up, kernel and store included", decisions, begin.elapsed())?;
    told(&format!("  kband: {}", Work::of(edge.0.id())?))?;
    told(&format!("  nats-server: {}", Work::of(bench.server.id())?.since(&published)))?;
    told(&format!("  the firewall, which has published: {}", Work::of(std::process::id())?))?;
    drop(edge);

    let each = reports / hosts.max(1);
    let seeds: Vec<String> =
        (0..hosts).map(|host| std::fs::read_to_string(bench.seed(host))).collect::<Result<_, _>>()?;
    let begin = Instant::now();
    let connected = send(&bench.dir.path().join("fleet").join(setup::CA), &seeds, each)?;
    rate("hosts connected at once", hosts, connected)?;
    rate("reports published", hosts * each, begin.elapsed().saturating_sub(connected))?;
    let all = u64::from(hosts * each);
    until(|| Ok(soon(firewall.seen().0.hosts.values().map(|host| host.reports).sum::<u64>()) >= all))?;
    rate("reports published, taken and judged", hosts * each, begin.elapsed().saturating_sub(connected))?;
    told(&format!("bans made of them: {}", firewall.seen().1))?;
    firewall.end()?;
    told(&format!("nats-server: {}", Work::of(bench.server.id())?))
}

/// Whoever looks all the time keeps a processor from working.
fn soon(number: u64) -> u64 {
    std::thread::sleep(Duration::from_millis(20));
    number
}

/// So many bans that are in force on the firewall, in order.
fn in_force(count: u32) -> Vec<Decision> {
    let now = Timestamp::now();
    let until = Some(now + SignedDuration::from_hours(12));
    let decision = |number| {
        let prefix = IpNet::from(std::net::IpAddr::V4(place::address(number)));
        let reason = "fleet: 1 reports within 1h".into();
        Decision { lifted: false, reason, ..Decision::lifting(prefix, until, now) }
    };
    (0..count).map(decision).collect()
}

fn told(text: &str) -> Outcome<()> {
    Ok(writeln!(std::io::stdout(), "{text}")?)
}

fn rate(what: &str, count: u32, took: Duration) -> Outcome<()> {
    told(&format!("{what}: {count} in {took:.2?}, {:.0} a second", f64::from(count) / took.as_secs_f64()))
}

/// What a process has taken until now.
struct Work {
    /// The most memory that it has had, in MB.
    peak: u64,
    /// On processors, in user mode and in the kernel.
    user: Duration,
    system: Duration,
}

impl Work {
    fn of(pid: u32) -> Outcome<Self> {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or_default();
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
        let mut fields = stat.rsplit(") ").next().unwrap_or_default().split(' ').skip(11);
        // Hundredths of a second (proc_pid_stat(5), utime and stime).
        let mut time = || {
            fields
                .next()
                .and_then(|field| field.parse().ok())
                .map(|ticks: u64| Duration::from_millis(ticks * 10))
        };
        Ok(Self {
            peak: line.trim().trim_end_matches(" kB").parse::<u64>()? / 1024,
            user: time().unwrap_or_default(),
            system: time().unwrap_or_default(),
        })
    }

    fn since(self, before: &Self) -> Self {
        Self {
            user: self.user.saturating_sub(before.user),
            system: self.system.saturating_sub(before.system),
            ..self
        }
    }
}

impl std::fmt::Display for Work {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:.1?} user, {:.1?} system; memory at its peak {} MB", self.user, self.system, self.peak)
    }
}

/// A kband that follows.
struct Edge(Child, PathBuf);

impl Edge {
    /// Whether it has followed that many decisions, and its kernel has all of them.
    fn has(&self, decisions: u32) -> Outcome<bool> {
        std::thread::sleep(Duration::from_millis(100));
        let mut banctl = Command::new(env!("CARGO_BIN_EXE_banctl"));
        banctl.args(["--json", "--socket"]).arg(self.1.join("run/control.sock")).arg("status");
        let status = banctl.stderr(Stdio::null()).output()?;
        let status: serde_json::Value = serde_json::from_slice(&status.stdout).unwrap_or_default();
        let number = |pointer: &str| status.pointer(pointer).and_then(serde_json::Value::as_u64);
        Ok(number("/fleet/followed") >= Some(u64::from(decisions)) && number("/firewall/pending") == Some(0))
    }
}

impl Drop for Edge {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
        if let Ok(mut firewall) = kban::firewall::Firewall::open_existing() {
            let _ = firewall.remove_table();
        }
    }
}

/// A fleet with one edge and many hosts, and its server.
struct Bench {
    dir: tempfile::TempDir,
    server: Child,
}

impl Drop for Bench {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

impl Bench {
    fn new(hosts: u32) -> Outcome<Self> {
        let dir = tempfile::tempdir()?;
        let fleet = dir.path().join("fleet");
        let store = dir.path().join("nats");
        std::fs::create_dir_all(&store)?;
        setup::init(&fleet, &Place { host: "127.0.0.1".into(), port: 4222, store })?;
        std::fs::create_dir_all(dir.path().join("seeds"))?;
        let mut members = Members::default();
        for number in 0..hosts {
            let key = keys::make(&dir.path().join(format!("seeds/{number}")))?;
            members.0.insert(format!("host{number}").into(), member(Some(key.public_key()), None));
        }
        let edge = keys::make(&fleet.join(setup::EDGE_SEED))?;
        members.0.insert("edge".into(), member(None, Some(edge.public_key())));
        members.save(&fleet)?;
        setup::configure(&fleet, &members)?;
        let unpacked =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("target/peers/nats-server/usr/sbin/nats-server");
        let program = std::env::var_os("NATS_SERVER").map_or(unpacked, PathBuf::from);
        let log = std::fs::File::create(dir.path().join("nats.log"))?;
        let mut command = Command::new(program);
        command.arg("-c").arg(fleet.join(setup::CONFIGURATION)).stdin(Stdio::null()).stderr(log);
        let server = command.spawn()?;
        let bench = Self { dir, server };
        until(|| Ok(std::net::TcpStream::connect("127.0.0.1:4222").is_ok()))?;
        Ok(bench)
    }

    fn seed(&self, host: u32) -> PathBuf {
        self.dir.path().join(format!("seeds/{host}"))
    }

    /// A kband of its own, for the edge.
    fn edge(&self) -> Outcome<Edge> {
        let dir = self.dir.path().join("late");
        std::fs::create_dir_all(&dir)?;
        std::fs::write(dir.join("kban.toml"), self.configuration("edge")?)?;
        let mut command = Command::new(env!("CARGO_BIN_EXE_kband"));
        command.arg("--config").arg(dir.join("kban.toml"));
        command.arg("--state-dir").arg(dir.join("state")).arg("--runtime-dir").arg(dir.join("run"));
        let log = std::fs::File::create(dir.join("kband.log"))?;
        Ok(Edge(command.stdin(Stdio::null()).stderr(log).spawn()?, dir))
    }

    fn configuration(&self, role: &str) -> Outcome<String> {
        let fleet = self.dir.path().join("fleet");
        let signer = keys::load(&fleet.join(setup::SIGNER_SEED))?.public_key();
        Ok(format!(
            "[fleet]\nrole = {role:?}\nserver = \"127.0.0.1:4222\"\nname = \"edge\"\nsigner = {signer:?}\ndirectory = {fleet:?}\n\
             max_reports_per_minute = 1000000\n[jail.fleet]\nenabled = {}\nmax_tracked = 10000000\n[firewall]\nset_size = 4000000\nownership = \"plain\"\n",
            role == "firewall"
        ))
    }

    /// The firewall, with an engine as its kband would have; these decisions are in force there.
    fn firewall(&self, in_force: Vec<Decision>) -> Outcome<Machine> {
        let file = self.dir.path().join("firewall.toml");
        std::fs::write(&file, self.configuration("firewall")?)?;
        let plan = load(&Layout::single(file)).map_err(|report| report.to_string())?;
        let mut engine = Engine::new();
        engine.configure(&plan);
        let state = self.dir.path().join("firewall");
        std::fs::create_dir_all(&state)?;
        let mut running = Running::start(plan.fleet.as_ref().ok_or("no fleet")?, Some(&state))?;
        let (seen, stop) = (Seen::default(), Arc::new(AtomicBool::new(false)));
        let (shown, stopped) = (Arc::clone(&seen), Arc::clone(&stop));
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            while !stopped.load(Ordering::Relaxed) {
                let heard = async { tokio::time::timeout(Duration::from_millis(20), running.heard()).await };
                if let Ok(news) = runtime.block_on(heard) {
                    take(&mut engine, news, &in_force);
                }
                *shown.lock().unwrap_or_else(PoisonError::into_inner) =
                    (running.status(), engine.bans().len());
            }
            Ok(())
        });
        Ok(Machine { seen, stop, thread })
    }
}

/// How a machine is doing, and how many bans it has.
type Seen = Arc<Mutex<(FleetStatus, usize)>>;

/// A machine at work, on a thread of its own.
struct Machine {
    seen: Seen,
    stop: Arc<AtomicBool>,
    thread: JoinHandle<std::io::Result<()>>,
}

impl Machine {
    fn seen(&self) -> (FleetStatus, usize) {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn end(self) -> Outcome<()> {
        self.stop.store(true, Ordering::Relaxed);
        Ok(self.thread.join().map_err(|_| "a machine has panicked")??)
    }
}

fn member(host: Option<String>, edge: Option<String>) -> Member {
    Member { host, edge, peer: None, weight: 1, since: Timestamp::now(), revoked: None }
}

/// What a daemon's loop does with news, without a kernel.
fn take(engine: &mut Engine, news: News, in_force: &[Decision]) {
    let now = Timestamp::now();
    match news {
        News::Reports { reports, done } => {
            for jail in engine.reporting() {
                for one in &reports {
                    let report =
                        Reported { host: &one.host, weight: one.weight, prefix: one.prefix, time: one.time };
                    engine.reported(jail, &report, now);
                }
            }
            let _ = done.send(reports.iter().map(|one| engine.bans().of(&one.prefix).is_empty()).collect());
        }
        // The firewall follows nobody, and has no friends.
        News::Decisions { .. } | News::InForce { .. } | News::Votes { .. } | News::Recalled { .. } => {}
        News::Intent { after, reply, .. } => {
            let from = after.map_or(0, |(after, _)| in_force.partition_point(|one| one.prefix <= after));
            let decisions: Vec<Decision> = in_force.iter().skip(from).take(PAGE).cloned().collect();
            let next = decisions.last().filter(|_| decisions.len() == PAGE);
            let next = next.map(|last| (last.prefix, Arc::from("fleet")));
            let _ = reply.send(Page { decisions, next });
        }
    }
}

/// How long it took until all were connected.
fn send(ca: &Path, seeds: &[String], each: u32) -> Outcome<Duration> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let begin = Instant::now();
        let connecting = seeds.iter().enumerate().map(|(host, seed)| {
            ConnectOptions::with_nkey(seed.trim().to_owned())
                .add_root_certificates(ca.to_owned())
                .require_tls(true)
                .custom_inbox_prefix(format!("_INBOX.host{host}"))
                .connection_timeout(Duration::from_secs(60))
                .connect("tls://127.0.0.1:4222")
        });
        let clients = futures_util::future::try_join_all(connecting).await?;
        let connected = begin.elapsed();
        let time = Timestamp::now();
        for from in (0..each).step_by(TOGETHER as usize) {
            let of_host = |(host, client): (usize, &async_nats::Client)| {
                let client = client.clone();
                async move {
                    for number in from..each.min(from + TOGETHER) {
                        let address = place::address(number * u32::try_from(seeds.len()).unwrap_or(1) + u32::try_from(host).unwrap_or(0));
                        let report = format!(
                            r#"{{"v":1,"host":"host{host}","address":"{address}","jail":"sshd","time":"{time}","until":null,"count":1}}"#
                        );
                        client.publish(format!("ban.report.host{host}"), report.into()).await?;
                    }
                    client.flush().await?;
                    Ok::<_, Box<dyn std::error::Error>>(())
                }
            };
            futures_util::future::try_join_all(clients.iter().enumerate().map(of_host)).await?;
        }
        Ok(connected)
    })
}
