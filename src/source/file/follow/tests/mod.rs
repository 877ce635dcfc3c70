use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::super::open::open;
use super::super::tail::Tail;
use crate::source::bench::{Run, config};
use crate::source::lines::LONGEST_LINE;
use crate::source::{Input, Position, Reading, Readings, SourceConfig, SourceId, SourceStatus, State};

mod logrotate;
mod patterns;
mod trouble;

/// Reads these files, each from a place, or as one that is met for the first time.
fn following(files: &[(&Path, Option<Position>)], room: usize) -> Run {
    let one = |(index, (path, resume)): (usize, &(&Path, Option<Position>))| {
        let resume = resume
            .iter()
            .map(|at| (path.as_os_str().into(), Reading { from: at.clone(), until: at.clone() }));
        SourceConfig { resume: resume.collect(), ..config(index, Input::File(path.to_path_buf())) }
    };
    Run::start(files.iter().enumerate().map(one).collect(), room)
}

impl Run {
    /// One file, and waits until it is in `state`.
    async fn one(path: &Path, state: State) -> Self {
        let run = following(&[(path, None)], 4);
        run.until(|status| status.state == state && status.lag.is_some()).await;
        run
    }
}

fn add(path: &Path, text: impl AsRef<[u8]>) {
    OpenOptions::new().append(true).create(true).open(path).unwrap().write_all(text.as_ref()).unwrap();
}

fn at_start(path: &Path) -> Option<Position> {
    Some(place(path, 0))
}

fn place(path: &Path, offset: u64) -> Position {
    Position::File(Tail::new(open(path).unwrap().unwrap(), offset).position())
}

fn rotate(log: &Path, generations: u32) {
    for n in (0..generations).rev() {
        let name =
            |n: u32| if n == 0 { log.to_owned() } else { PathBuf::from(format!("{}.{n}", log.display())) };
        if name(n).exists() {
            fs::rename(name(n), name(n + 1)).unwrap();
        }
    }
    // Like logrotate's `create`, and without harm if the writer came first.
    OpenOptions::new().append(true).create(true).open(log).unwrap();
}

#[tokio::test]
async fn fifty_rotations_under_a_writer_that_reopens_late_lose_nothing() {
    const ROTATIONS: usize = 50;
    const LINES: usize = 400;
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("log");
    File::create(&log).unwrap();
    let mut run = Run::one(&log, State::Following).await;
    // A writer that is more rotations behind than files are kept open would lose its own lines.
    let (rotated, reopen) = std::sync::mpsc::sync_channel(8);
    let path = log.clone();
    let writer = std::thread::spawn(move || {
        let mut file = OpenOptions::new().append(true).create(true).open(&path).unwrap();
        let mut missed = 0;
        for n in 0..ROTATIONS * LINES {
            writeln!(file, "line {n}").unwrap();
            // The first of these comes from the rotator at once, the file is reopened some lines later.
            missed += reopen.try_iter().count();
            if missed > 0 && n % 37 == 0 {
                file = OpenOptions::new().append(true).create(true).open(&path).unwrap();
                missed = 0;
            }
            if n % LINES == LINES - 1 {
                std::thread::yield_now();
            }
        }
    });
    let path = log.clone();
    let rotator = std::thread::spawn(move || {
        for _ in 0..ROTATIONS {
            rotate(&path, 60);
            let _ = rotated.send(());
            std::thread::sleep(Duration::from_millis(2));
        }
    });
    let mut seen = BTreeMap::new();
    let mut count = 0;
    while count < ROTATIONS * LINES {
        let block = run.block().await;
        for line in block.bytes.split_inclusive(|byte| *byte == b'\n') {
            *seen.entry(String::from_utf8(line.to_vec()).unwrap()).or_insert(0) += 1;
            count += 1;
        }
    }
    writer.join().unwrap();
    rotator.join().unwrap();
    assert_eq!(seen.len(), ROTATIONS * LINES);
    assert!(seen.values().all(|times| *times == 1));
    assert_eq!(run.status().lines, (ROTATIONS * LINES) as u64);
    assert!(run.status().restarts > 0);
}

#[tokio::test]
async fn truncation_rename_over_and_recreation_are_noticed() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("log");
    File::create(&log).unwrap();
    let mut run = Run::one(&log, State::Following).await;
    add(&log, "1\n2");
    run.expect("1\n").await;
    run.until(|status| status.lag == Some(0)).await;
    File::create(&log).unwrap();
    run.expect("2\n").await;
    add(&log, "3\n");
    run.expect("3\n").await;
    let new = dir.path().join("new");
    add(&new, "4\n");
    fs::rename(&new, &log).unwrap();
    add(&log, "5\n");
    run.expect("4\n5\n").await;
    fs::remove_file(&log).unwrap();
    run.until(|status| status.state == State::Waiting).await;
    add(&log, "6\n");
    run.expect("6\n").await;
    fs::remove_file(&log).unwrap();
    add(&log, "7\n");
    run.expect("7\n").await;
    assert_eq!(run.status().error, None);
    assert_eq!((run.status().lines, run.status().bytes), (7, 14));
}

#[tokio::test]
async fn a_log_whose_directories_appear_later_is_read_from_its_beginning() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("a/b/c/log");
    let mut run = Run::one(&log, State::Waiting).await;
    for step in ["a", "a/b"] {
        fs::create_dir(dir.path().join(step)).unwrap();
        tokio::task::yield_now().await;
    }
    fs::create_dir(dir.path().join("a/b/c")).unwrap();
    add(&log, "1\n");
    run.expect("1\n").await;
    // Away with the whole tree, under another name, and a new one in its place.
    fs::rename(dir.path().join("a"), dir.path().join("old")).unwrap();
    run.until(|status| status.state == State::Waiting).await;
    fs::create_dir_all(dir.path().join("a/b/c")).unwrap();
    add(&log, "2\n");
    run.expect("2\n").await;
    fs::remove_dir_all(dir.path().join("a")).unwrap();
    run.until(|status| status.state == State::Waiting).await;
    fs::create_dir_all(dir.path().join("a/b/c")).unwrap();
    add(&log, "3\n");
    run.expect("3\n").await;
}

#[tokio::test]
async fn a_symlink_is_followed_when_it_is_set_to_another_file_and_when_its_target_is_rotated() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("data")).unwrap();
    let (first, second) = (dir.path().join("data/first"), dir.path().join("data/second"));
    let log = dir.path().join("log");
    add(&first, "old\n");
    std::os::unix::fs::symlink("data/first", &log).unwrap();
    let mut run = Run::one(&log, State::Following).await;
    add(&first, "1\n");
    run.expect("1\n").await;
    rotate(&first, 3);
    add(&first, "2\n");
    run.expect("2\n").await;
    add(&second, "3\n");
    let link = dir.path().join("link");
    std::os::unix::fs::symlink("data/second", &link).unwrap();
    fs::rename(&link, &log).unwrap();
    run.expect("3\n").await;
}

#[tokio::test]
async fn a_line_without_end_is_cut_and_counted_and_the_next_is_whole() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("log");
    File::create(&log).unwrap();
    let mut run = Run::one(&log, State::Following).await;
    for _ in 0..8 {
        add(&log, vec![b'A'; 1024 * 1024]);
        tokio::task::yield_now().await;
    }
    run.until(|status| status.lag == Some(0)).await;
    assert_eq!(run.status().lines, 0);
    add(&log, "\nafter\n");
    let block = run.block().await;
    assert_eq!(block.bytes.len(), LONGEST_LINE + "\nafter\n".len());
    assert!(block.bytes.ends_with(b"A\nafter\n"));
    assert_eq!(run.status().lines_cut, 1);
    assert_eq!(block.span.unwrap().end, place(&log, fs::metadata(&log).unwrap().len()));
}

#[tokio::test]
async fn a_busy_file_does_not_keep_the_others_waiting() {
    let dir = tempfile::tempdir().unwrap();
    let (busy, quiet) = (dir.path().join("busy"), dir.path().join("quiet"));
    add(&busy, format!("{}\n", "x".repeat(99)).repeat(100_000));
    add(&quiet, "1\n");
    let mut run = following(&[(&busy, at_start(&busy)), (&quiet, at_start(&quiet))], 1);
    let order: Vec<usize> =
        [run.block().await, run.block().await].iter().map(|block| block.source.0).collect();
    assert_eq!(order, [0, 1]);
    add(&quiet, "2\n");
    // One block is in the channel and one may be under way: then it is the quiet one's turn.
    let mut before = 0;
    while run.block().await.source != SourceId(1) {
        before += 1;
    }
    assert!(before <= 3, "{before} blocks of the busy file came first");
}

#[tokio::test]
async fn rotations_are_noticed_while_nobody_takes_the_blocks() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("log");
    File::create(&log).unwrap();
    let mut run = following(&[(&log, None)], 1);
    run.until_state(State::Following).await;
    let mut expected = String::new();
    for n in 0..20 {
        let line = format!("{n}\n");
        add(&log, &line);
        expected.push_str(&line);
        // Deleted at once, so it can only be read if it is opened while the channel is full.
        let (restarts, inode) = (run.status().restarts, fs::metadata(&log).unwrap().ino());
        fs::rename(&log, dir.path().join("gone")).unwrap();
        File::create(&log).unwrap();
        assert_ne!(fs::metadata(&log).unwrap().ino(), inode);
        run.until(|status| status.restarts > restarts).await;
    }
    run.expect(&expected).await;
}

#[tokio::test]
async fn stopping_and_starting_again_neither_loses_nor_doubles() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("log");
    File::create(&log).unwrap();
    let run = Run::one(&log, State::Following).await;
    let mut resume = run.status().position;
    drop(run);
    let mut got = Vec::new();
    let mut expected = Vec::new();
    for n in 0..20 {
        let text = (0..2_000).map(|line| format!("{n} {line}\n")).collect::<String>();
        add(&log, &text);
        expected.extend(text.into_bytes());
        if n % 3 == 0 {
            rotate(&log, 30);
        }
        let mut run = following(&[(&log, resume.clone())], 1);
        let block = run.block().await;
        resume = block.span.map(|span| span.end);
        got.extend(block.bytes);
    }
    let mut run = following(&[(&log, resume.clone())], 1);
    while got.len() < expected.len() {
        got.extend(run.block().await.bytes);
    }
    assert!(got == expected);
}

#[tokio::test]
async fn where_reading_began_is_known_however_far_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("log");
    let later = dir.path().join("later");
    add(&log, "old\n");
    let mut run = following(&[(&log, None), (&later, None)], 4);
    run.until(|status| status.state == State::Following).await;
    assert_eq!(run.status().began, Some(place(&log, 4)));
    assert_eq!(run.status_of(1).began, None);
    // Read, and not taken out of the channel yet.
    add(&log, "new\n");
    add(&later, "first\n");
    run.until(|status| status.lines == 1).await;
    assert_eq!(run.status().began, Some(place(&log, 4)));
    let blocks = [run.block().await, run.block().await];
    for block in blocks {
        let span = block.span.unwrap();
        assert_eq!(run.status_of(block.source.0).began.as_ref(), Some(&span.begin));
        assert!(!block.again && span.end != span.begin && !span.end.rewinds(&span.begin));
    }
}

#[tokio::test]
async fn dropping_the_sources_ends_the_channel() {
    let dir = tempfile::tempdir().unwrap();
    let Run { sources, mut blocks } = following(&[(&dir.path().join("log"), None)], 1);
    drop(sources);
    assert_eq!(blocks.recv().await, None);
}
