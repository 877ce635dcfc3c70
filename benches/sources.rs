//! How fast log files are followed: beside `wc -l` of the same file, from an appended line to a matched one, and what
//! hundreds of files cost in which nothing happens.
//!
//! `cargo bench --bench sources [-- MEGABYTES]`. The files lie in a temporary directory and are in the page cache. Each
//! throughput is the best of five.

use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use jiff::tz::TimeZone;
use kban::filter::{Clock, Filter, Scanner};
use kban::source::{
    self, Block, FilePosition, Input, Manner, Position, Reading, Readings, Runtime, SourceConfig, SourceId,
    Sources, State,
};
use tokio::sync::mpsc::{self, Receiver};

const ROUNDS: usize = 5;
const APPENDED: usize = 2_000;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let megabytes = std::env::args().skip(1).find_map(|word| word.parse().ok()).unwrap_or(256_u64);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let directory = tempfile::tempdir()?;
    say("| | is | beside it |\n|---|---|---|");
    runtime.block_on(async {
        throughput(&directory.path().join("plain"), megabytes, None).await?;
        throughput(&directory.path().join("docker"), megabytes, Some(Runtime::Docker)).await?;
        throughput(&directory.path().join("cri"), megabytes, Some(Runtime::Cri)).await?;
        for files in [1, 500] {
            latency(&directory.path().join(files.to_string()), files).await?;
        }
        Ok(())
    })
}

fn say(line: &str) {
    let _ = writeln!(std::io::stdout(), "{line}");
}

fn line(number: u64) -> String {
    format!(
        "Nov 21 06:50:25 host sshd[{number}]: Failed password for root from 203.0.113.9 port 50022 ssh2\n"
    )
}

fn wrapped(number: u64, runtime: Option<Runtime>) -> String {
    let line = line(number);
    match runtime {
        None => line,
        Some(Runtime::Cri) => format!("2026-11-21T06:50:25.123456789Z stdout F {line}"),
        Some(Runtime::Docker) => format!(
            "{{\"log\":\"{}\\n\",\"stream\":\"stdout\",\"time\":\"2026-11-21T06:50:25.123456789Z\"}}\n",
            line.trim_end()
        ),
    }
}

fn follow(input: Input, resume: Readings) -> (Sources, Receiver<Block>) {
    let (sender, blocks) = mpsc::channel(4);
    let config = SourceConfig { id: SourceId(0), input, resume, manner: Manner::default() };
    (source::spawn(vec![config], sender, source::syslog::Keeper::default()), blocks)
}

/// A whole file from its beginning to its end.
async fn throughput(path: &Path, megabytes: u64, runtime: Option<Runtime>) -> std::io::Result<()> {
    let mut file = std::io::BufWriter::new(File::create(path)?);
    let (mut size, mut lines) = (0, 0);
    while size < megabytes << 20 {
        let line = wrapped(lines, runtime);
        file.write_all(line.as_bytes())?;
        (size, lines) = (size + line.len() as u64, lines + 1);
    }
    file.flush()?;
    let mut counting = Duration::MAX;
    let mut reading = Duration::MAX;
    for _ in 0..ROUNDS {
        let begin = Instant::now();
        Command::new("wc").arg("-l").arg(path).output()?;
        counting = counting.min(begin.elapsed());
        let metadata = fs::metadata(path)?;
        let (device, inode) = (metadata.dev(), metadata.ino());
        let start = Position::File(FilePosition { device, inode, offset: 0, print: None });
        let resume =
            Readings::from([(path.as_os_str().into(), Reading { from: start.clone(), until: start })]);
        let input = match runtime {
            None => Input::File(path.to_owned()),
            Some(runtime) => Input::Container(runtime, path.to_owned()),
        };
        let begin = Instant::now();
        let (_sources, mut blocks) = follow(input, resume);
        let mut got = 0;
        while got < lines {
            let Some(block) = blocks.recv().await else { break };
            got += memchr::memchr_iter(b'\n', &block.bytes).count() as u64;
        }
        reading = reading.min(begin.elapsed());
    }
    let pace = |time: Duration| size as f64 / time.as_secs_f64() / 1e6;
    let kind = path.file_name().unwrap_or_default().to_string_lossy();
    say(&format!(
        "| {kind}: {megabytes} MiB, {lines} lines, to a counting reader | {:.0} MB/s | {:.2} times `wc -l` ({:.0} MB/s) |",
        pace(reading),
        pace(reading) / pace(counting),
        pace(counting)
    ));
    fs::remove_file(path)
}

/// From a line that is appended to one of so many files to its match.
async fn latency(directory: &Path, files: usize) -> Result<(), Box<dyn std::error::Error>> {
    fs::create_dir(directory)?;
    let paths: Vec<PathBuf> = (0..files).map(|n| directory.join(format!("{n}.log"))).collect();
    for path in &paths {
        fs::write(path, line(0))?;
    }
    let begin = Instant::now();
    let (sources, mut blocks) = follow(Input::File(directory.join("*.log")), Readings::new());
    let followed = |sources: &Sources| {
        sources.statuses().iter().filter(|it| it.state == State::Following && it.lag == Some(0)).count()
    };
    while followed(&sources) < files {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let opened = begin.elapsed();
    let idle = processor_time()?;
    tokio::time::sleep(Duration::from_secs(5)).await;
    let idle = processor_time()?.saturating_sub(idle);

    let mut scanner = Scanner::new(&[Arc::new(Filter::load("sshd", &[])?)]);
    let clock = Clock { now: Timestamp::now(), zone: TimeZone::UTC };
    let mut times = Vec::with_capacity(APPENDED);
    for (n, path) in paths.iter().cycle().take(APPENDED).enumerate() {
        let mut log = OpenOptions::new().append(true).open(path)?;
        let line = line(n as u64);
        tokio::time::sleep(Duration::from_millis(1)).await;
        let begin = Instant::now();
        log.write_all(line.as_bytes())?;
        let Some(block) = blocks.recv().await else { break };
        let mut matched = None;
        scanner.scan(&block.bytes, &clock, &mut |_, _, _| matched = Some(begin.elapsed()));
        times.extend(matched);
    }
    times.sort_unstable();
    let of = |part: usize| times.get(times.len() * part / 100).copied().unwrap_or_default();
    let noun = if files == 1 { "file" } else { "files" };
    say(&format!("| {files} {noun}: all followed | {opened:.1?} | |"));
    say(&format!("| {files} {noun}: processor time while nothing happens for 5 s | {idle:.1?} | |"));
    say(&format!("| {files} {noun}: line appended to line matched, p50 | {:.1?} | goal 200 us |", of(50)));
    say(&format!("| {files} {noun}: the same, p99 | {:.1?} | |", of(99)));
    Ok(())
}

/// What this process has used so far (proc(5), `/proc/self/schedstat`, in nanoseconds).
fn processor_time() -> std::io::Result<Duration> {
    let text = fs::read_to_string("/proc/self/schedstat")?;
    let nanoseconds = text.split(' ').next().and_then(|word| word.parse().ok()).unwrap_or_default();
    Ok(Duration::from_nanos(nanoseconds))
}
