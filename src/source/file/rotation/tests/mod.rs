use std::fs::{self, OpenOptions};
use std::io::Write;

use std::time::SystemTime;

use super::super::open;
use super::*;
use crate::source::BLOCK_BYTES;

mod between;
mod copies;
mod model;
mod restart;

/// A log directory and one reader of `dir/log`.
struct Bench {
    dir: tempfile::TempDir,
    follower: Follower,
    now: Instant,
    got: Vec<u8>,
    /// What was handed over as known.
    again: Vec<u8>,
    last: Option<FilePosition>,
}

impl Bench {
    /// The log exists and is empty when reading begins.
    fn new() -> Self {
        let mut bench = Self::missing();
        bench.create();
        bench.check();
        bench
    }

    fn missing() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let follower = Follower::new(dir.path().join("log"), Start::End, Style::default());
        Self { dir, follower, now: Instant::now(), got: Vec::new(), again: Vec::new(), last: None }
    }

    /// A new process: what is stored is all that is left.
    fn restart(&mut self, resume: Option<FilePosition>) {
        self.restart_with(resume.map(|at| Reading { from: at, until: at }));
    }

    fn restart_with(&mut self, resume: Option<Reading<FilePosition>>) {
        self.begin(resume);
        self.got.clear();
        self.again.clear();
        self.check();
    }

    /// Nothing is looked at yet.
    fn begin(&mut self, resume: Option<Reading<FilePosition>>) {
        let start = resume.map_or(Start::End, Start::At);
        self.follower = Follower::new(self.path("log"), start, Style::default());
    }

    /// Reads everything; what was known before and what is new.
    fn settle_divided(&mut self) -> (String, String) {
        let new = self.settle();
        (String::from_utf8(std::mem::take(&mut self.again)).unwrap(), new)
    }

    fn end_of(&self, name: &str) -> FilePosition {
        self.place(name, fs::metadata(self.path(name)).unwrap().len())
    }

    fn place(&self, name: &str, offset: u64) -> FilePosition {
        Tail::new(open::open(&self.path(name)).unwrap().unwrap(), offset).position()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn create(&self) -> File {
        OpenOptions::new().append(true).create(true).open(self.path("log")).unwrap()
    }

    fn add(&self, name: &str, text: &str) {
        let mut file = OpenOptions::new().append(true).create(true).open(self.path(name)).unwrap();
        file.write_all(text.as_bytes()).unwrap();
    }

    /// What logrotate does: every number moves up by one.
    fn rename_away(&self) {
        for n in (0..100).rev() {
            let from = if n == 0 { self.path("log") } else { self.path(&format!("log.{n}")) };
            if from.exists() {
                fs::rename(from, self.path(&format!("log.{}", n + 1))).unwrap();
            }
        }
    }

    fn rotate(&self) {
        self.rename_away();
        self.create();
    }

    fn check(&mut self) -> Look {
        self.follower.check(self.now).unwrap()
    }

    /// Looks and reads until nothing is left.
    fn settle(&mut self) -> String {
        loop {
            let look = self.check();
            self.read();
            if look.settled {
                return String::from_utf8(std::mem::take(&mut self.got)).unwrap();
            }
        }
    }

    fn read(&mut self) {
        let mut scratch = vec![0; BLOCK_BYTES];
        loop {
            match self.follower.read(&mut scratch, self.now).unwrap() {
                Turn::Lines(lines, position) => {
                    assert!(lines.bytes.ends_with(b"\n"));
                    let known = if lines.again { &mut self.again } else { &mut self.got };
                    known.extend(lines.bytes);
                    self.last = Some(position);
                }
                Turn::Unfinished => {}
                Turn::Idle => return,
            }
        }
    }

    fn let_grace_pass(&mut self) {
        self.now += GRACE;
        self.follower.expire(self.now);
    }
}

#[test]
fn first_time_starts_at_the_end_and_later_files_at_their_beginning() {
    let mut bench = Bench::missing();
    bench.add("log", "old\n");
    assert_eq!(bench.settle(), "");
    bench.add("log", "new\n");
    assert_eq!(bench.settle(), "new\n");

    let mut bench = Bench::missing();
    assert_eq!(bench.check(), Look { present: false, settled: true });
    bench.add("log", "first\n");
    assert_eq!(bench.settle(), "first\n");
}

#[test]
fn what_is_written_late_to_the_rotated_file_is_read() {
    let mut bench = Bench::new();
    bench.add("log", "1\n");
    bench.rotate();
    bench.add("log.1", "2\n");
    bench.add("log", "3\n");
    assert_eq!(bench.settle(), "1\n2\n3\n");
    bench.add("log.1", "4\n");
    assert_eq!(bench.settle(), "4\n");
    let position = bench.last.unwrap();
    assert_eq!(position.inode, Identity::of(&fs::metadata(bench.path("log")).unwrap()).inode);
    assert_eq!(position.offset, 2, "a late line must not lead back into the old file");
}

#[test]
fn a_last_line_without_newline_comes_when_the_file_is_closed() {
    let mut bench = Bench::new();
    bench.add("log", "1\n2");
    bench.rotate();
    bench.add("log", "3\n");
    assert_eq!(bench.settle(), "1\n3\n");
    assert!(bench.follower.deadline().is_some());
    bench.now += GRACE / 2;
    bench.add("log.1", "2");
    assert_eq!(bench.settle(), "");
    bench.now += GRACE / 2;
    bench.follower.expire(bench.now);
    assert_eq!(bench.settle(), "", "the write renewed the grace");
    bench.let_grace_pass();
    assert_eq!(bench.settle(), "22\n");
    assert_eq!(bench.follower.files().count(), 1);
    assert_eq!(bench.follower.deadline(), None);
}

#[test]
fn a_file_that_is_moved_away_without_successor_is_followed_on() {
    let mut bench = Bench::new();
    bench.rename_away();
    assert_eq!(bench.settle(), "");
    bench.let_grace_pass();
    bench.add("log.1", "1\n");
    assert_eq!(bench.settle(), "1\n");
    fs::rename(bench.path("log.1"), bench.path("log")).unwrap();
    bench.add("log", "2\n");
    assert_eq!(bench.settle(), "2\n");
}

#[test]
fn delete_and_recreate() {
    let mut bench = Bench::new();
    bench.add("log", "1\n");
    let mut writer = bench.create();
    fs::remove_file(bench.path("log")).unwrap();
    assert_eq!(bench.settle(), "1\n");
    writer.write_all(b"2\n").unwrap();
    assert_eq!(bench.settle(), "2\n");
    bench.add("log", "3\n");
    assert_eq!(bench.settle(), "3\n");
    writer.write_all(b"4\n").unwrap();
    assert_eq!(bench.settle(), "4\n");
    bench.let_grace_pass();
    assert_eq!(bench.settle(), "");
    assert_eq!(bench.follower.files().count(), 1);
}

#[test]
fn a_deleted_file_does_not_occupy_the_disk_for_ever() {
    let mut bench = Bench::new();
    fs::remove_file(bench.path("log")).unwrap();
    bench.settle();
    bench.let_grace_pass();
    bench.settle();
    assert_eq!(bench.follower.files().count(), 0);
    bench.add("log", "1\n");
    assert_eq!(bench.settle(), "1\n");
}

#[test]
fn rename_over() {
    let mut bench = Bench::new();
    bench.add("log", "1\n");
    bench.add("log.new", "2\n");
    fs::rename(bench.path("log.new"), bench.path("log")).unwrap();
    bench.add("log", "3\n");
    assert_eq!(bench.settle(), "1\n2\n3\n");
}

#[test]
fn a_file_that_comes_back_to_the_path_is_read_on() {
    let mut bench = Bench::new();
    bench.add("log", "1\n");
    bench.rotate();
    assert_eq!(bench.settle(), "1\n");
    bench.let_grace_pass();
    bench.settle();
    bench.add("log.1", "2\n");
    fs::rename(bench.path("log.1"), bench.path("log")).unwrap();
    assert_eq!(bench.settle(), "2\n");
}

#[test]
fn something_that_is_no_file_is_an_error_until_it_goes() {
    let mut bench = Bench::missing();
    fs::create_dir(bench.path("log")).unwrap();
    assert!(matches!(
        bench.follower.check(bench.now),
        Err(FileError::NotRegular { kind: "a directory", .. })
    ));
    fs::remove_dir(bench.path("log")).unwrap();
    bench.add("log", "1\n");
    assert_eq!(bench.settle(), "1\n");
}
