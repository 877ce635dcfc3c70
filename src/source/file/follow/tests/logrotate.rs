//! The real logrotate in its modes, while a writer writes as fast as it can: every line that is in a file at the end was
//! handed over once, and none twice.
//!
//! What logrotate itself loses is in no file: with `copytruncate`, the lines that are written between its copying and its
//! truncating, of the first and the last of which it may leave a part. Some of them kband has read before.
//!
//! Each mode runs for `KBAN_ROTATE_SECONDS` (1 if not set), with 300,000 lines a second as fast as they can be written.

use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use super::*;

/// How often each line was handed over, by its number.
#[derive(Default)]
struct Counts {
    lines: Vec<u8>,
    /// Parts of lines.
    parts: usize,
}

/// What every line looks like: a part of one is none.
const LINE: &str = "line 000000000.\n";

impl Counts {
    /// `text` is whole lines.
    fn count(&mut self, text: &[u8]) {
        for line in text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            let number = std::str::from_utf8(line).ok().filter(|line| line.len() == LINE.len() - 1);
            let number = number.and_then(|line| line.strip_prefix("line ")?.strip_suffix('.')?.parse().ok());
            let Some(number): Option<usize> = number else {
                self.parts += 1;
                continue;
            };
            self.lines.resize(self.lines.len().max(number + 1), 0);
            self.lines[number] = self.lines[number].saturating_add(1);
        }
    }
}

/// Writes until it is stopped, and opens the log again when `reopen` appears. So many lines.
fn write(log: &Path, reopen: &Path, stop: &AtomicBool, most: usize) -> usize {
    let open = || OpenOptions::new().append(true).create(true).open(log).unwrap();
    let (mut file, mut number) = (open(), 0);
    while !stop.load(Ordering::Relaxed) {
        let lines: String = (number..number + 100).map(|number| format!("line {number:09}.\n")).collect();
        number += 100;
        file.write_all(lines.as_bytes()).unwrap();
        if fs::remove_file(reopen).is_ok() {
            file = open();
        }
        if number > most {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
    number
}

/// What is in the files of a directory and those below it, one after the other.
fn on_disk(directory: &Path, take: &mut dyn FnMut(&Path, &[u8])) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        if path.is_dir() {
            on_disk(&path, take);
        } else if name.ends_with(".gz") {
            let unpacked = Command::new("gzip").arg("-dc").arg(&path).output().unwrap();
            assert!(unpacked.status.success());
            take(&path, &unpacked.stdout);
        } else if name.starts_with("app") {
            take(&path, &fs::read(&path).unwrap());
        }
    }
}

/// In which files the lines are that were not handed over: the first, the last and how many.
fn where_missing(directory: &Path, counts: &Counts) -> Vec<String> {
    let mut found = Vec::new();
    on_disk(directory, &mut |path, text| {
        let mut here = Counts::default();
        here.count(text);
        let missing = |number: &usize| {
            here.lines[*number] > 0 && counts.lines.get(*number).is_none_or(|count| *count == 0)
        };
        let all: Vec<usize> = (0..here.lines.len()).filter(missing).collect();
        if let (Some(first), Some(last)) = (all.first(), all.last()) {
            let lines = here.lines.iter().filter(|count| **count > 0).count();
            found.push(format!("{path:?}: {first} to {last}, {} of {lines}", all.len()));
        }
    });
    found
}

async fn rotate_with(options: &str) {
    let seconds = std::env::var("KBAN_ROTATE_SECONDS").map_or(1_usize, |seconds| seconds.parse().unwrap());
    let dir = tempfile::tempdir().unwrap();
    let logs = dir.path().join("logs");
    fs::create_dir(&logs).unwrap();
    let (log, reopen) = (logs.join("app.log"), dir.path().join("reopen"));
    File::create(&log).unwrap();
    let conf = dir.path().join("conf");
    let copies = options.contains("copy");
    let script =
        if copies { String::new() } else { format!("postrotate\ntouch {}\nendscript\n", reopen.display()) };
    fs::write(&conf, format!("{} {{\nrotate 100000\n{options}\n{script}}}\n", log.display())).unwrap();
    fs::set_permissions(&conf, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let mut run = Run::one(&log, State::Following).await;

    let stop = Arc::new(AtomicBool::new(false));
    let writer = {
        let (log, reopen, stop) = (log.clone(), reopen.clone(), Arc::clone(&stop));
        std::thread::spawn(move || write(&log, &reopen, &stop, 300_000 * seconds))
    };
    let rotator = {
        let (state, pause) = (dir.path().join("state"), if options.contains("dateext") { 1_010 } else { 20 });
        std::thread::spawn(move || {
            let begun = Instant::now();
            let mut times = 0;
            while begun.elapsed() < Duration::from_secs(seconds as u64) || times < 3 {
                std::thread::sleep(Duration::from_millis(pause));
                let rotated =
                    Command::new("logrotate").arg("-f").arg("-s").arg(&state).arg(&conf).output().unwrap();
                assert!(rotated.status.success(), "{}", String::from_utf8_lossy(&rotated.stderr));
                times += 1;
            }
            times
        })
    };
    let mut counts = Counts::default();
    while !rotator.is_finished() {
        if let Ok(Some(block)) = tokio::time::timeout(Duration::from_millis(10), run.blocks.recv()).await {
            counts.count(&block.bytes);
        }
    }
    stop.store(true, Ordering::Relaxed);
    let (times, written) = (rotator.join().unwrap(), writer.join().unwrap());
    let mut there = Counts::default();
    on_disk(&logs, &mut |_, text| there.count(text));
    let missing = |counts: &Counts| {
        let handed = |number: usize| counts.lines.get(number).copied().unwrap_or_default();
        there.lines.iter().enumerate().filter(|(number, count)| **count > 0 && handed(*number) == 0).count()
    };
    while missing(&counts) > 0 {
        let Ok(Some(block)) = tokio::time::timeout(Duration::from_secs(5), run.blocks.recv()).await else {
            break;
        };
        counts.count(&block.bytes);
    }
    run.until(|status| status.lag == Some(0)).await;
    while let Ok(block) = run.blocks.try_recv() {
        counts.count(&block.bytes);
    }
    let twice = counts.lines.iter().filter(|count| **count > 1).count();
    let nowhere =
        (0..written).filter(|number| counts.lines.get(*number).is_none_or(|count| *count == 0)).count();
    println!("{options:?}: {times} rotations, {written} lines, {nowhere} of them lost by logrotate");
    assert_eq!(
        (missing(&counts), twice),
        (0, 0),
        "{options}: missing and twice of {written}: {:#?} {:?}",
        where_missing(&logs, &counts),
        run.status()
    );
    let parts = if options.contains("copytruncate") { 2 * times } else { 0 };
    assert!(counts.lines.len() <= written && counts.parts <= parts && (parts > 0 || nowhere == 0));
}

macro_rules! modes {
    ($($name:ident: $options:expr),+ $(,)?) => {$(
        #[tokio::test]
        async fn $name() {
            rotate_with($options).await;
        }
    )+};
}

modes! {
    create: "create 0644",
    nocreate: "nocreate",
    create_and_compress: "create 0644\ncompress",
    create_and_compress_later: "create 0644\ncompress\ndelaycompress",
    with_dates: "create 0644\ndateext\ndateformat -%Y%m%d-%s",
    with_dates_before_the_extension: "create 0644\ndateext\nextension .log\ndateformat -%Y%m%d-%s",
    into_another_directory: "create 0644\nolddir old\ncreateolddir 0700",
    copytruncate: "copytruncate",
    copytruncate_and_compress_later: "copytruncate\ncompress\ndelaycompress",
    copytruncate_with_dates: "copytruncate\ndateext\ndateformat -%Y%m%d-%s",
}
