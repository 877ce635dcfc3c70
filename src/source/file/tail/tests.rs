use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use super::super::open::open;
use super::*;
use crate::source::lines::LONGEST_LINE;

struct Log {
    _dir: tempfile::TempDir,
    path: PathBuf,
}

impl Log {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        fs::write(&path, "").unwrap();
        Self { _dir: dir, path }
    }

    fn add(&self, bytes: &[u8]) {
        fs::OpenOptions::new().append(true).open(&self.path).unwrap().write_all(bytes).unwrap();
    }

    fn tail(&self, offset: u64) -> Tail {
        Tail::new(open(Path::new(&self.path)).unwrap().unwrap(), offset)
    }
}

fn read_all(tail: &mut Tail) -> Portion {
    let mut all = Portion::default();
    let mut scratch = vec![0; BLOCK_BYTES];
    loop {
        match tail.read(&mut scratch).unwrap() {
            Step::Lines(lines) => {
                assert!(lines.bytes.len() <= BLOCK_BYTES + LONGEST_LINE + 1);
                all.bytes.extend(lines.bytes);
                all.cut += lines.cut;
            }
            Step::Truncated => tail.begin_anew(true),
            Step::Unfinished => {}
            Step::End => return all,
        }
    }
}

#[test]
fn lines_come_once_whatever_the_size_of_the_writes() {
    let text: Vec<u8> =
        (0..3_000).flat_map(|n| format!("line {n} {}\n", "x".repeat(n % 97)).into_bytes()).collect();
    for size in [1usize, 2, 7, 4096, 70_000, 300_000] {
        let log = Log::new();
        let mut tail = log.tail(0);
        let mut got = Vec::new();
        // One byte at a time for a stretch only: each write is a system call.
        let (text, _) = text.split_at(text.len().min(size * 2_000));
        for part in text.chunks(size) {
            log.add(part);
            let lines = read_all(&mut tail).bytes;
            assert!(lines.is_empty() || lines.ends_with(b"\n"));
            got.extend(lines);
        }
        got.extend(tail.finish().bytes);
        let mut expected = text.to_vec();
        if !expected.ends_with(b"\n") {
            expected.push(b'\n');
        }
        assert!(got == expected, "chunks of {size}");
    }
}

#[test]
fn bytes_pass_as_they_are() {
    let log = Log::new();
    log.add(b"\xff\xfe\x00\r\n\n\x80a\n");
    assert_eq!(read_all(&mut log.tail(0)).bytes, b"\xff\xfe\x00\r\n\n\x80a\n");
}

#[test]
fn a_line_without_end_is_cut_and_costs_no_memory() {
    let log = Log::new();
    let mut tail = log.tail(0);
    log.add(b"before\n");
    let megabyte = vec![b'A'; 1024 * 1024];
    for _ in 0..8 {
        log.add(&megabyte);
        assert!(read_all(&mut tail).bytes.len() <= 7);
        assert_eq!(tail.position().offset, 7, "a restart must find the start of the line");
    }
    log.add(b"tail\nafter\n");
    let lines = read_all(&mut tail);
    let expected = [vec![b'A'; LONGEST_LINE], b"\nafter\n".to_vec()].concat();
    assert!(lines.bytes == expected);
    assert_eq!(lines.cut, 1);
    assert_eq!(tail.position().offset, fs::metadata(&log.path).unwrap().len());
}

#[test]
fn truncation_starts_over() {
    let log = Log::new();
    let mut tail = log.tail(0);
    log.add(b"one\ntwo\nhalf");
    assert_eq!(read_all(&mut tail).bytes, b"one\ntwo\n");
    fs::write(&log.path, "new\n").unwrap();
    assert_eq!(read_all(&mut tail).bytes, b"half\nnew\n");
    assert_eq!(tail.position().offset, 4);
}

#[test]
fn a_truncated_file_that_has_grown_past_what_was_read_starts_over() {
    for before in ["1\n", "one\ntwo\nhalf", &format!("{}\n", "x".repeat(1000))] {
        for more in [0, 1, 1000] {
            let log = Log::new();
            let mut tail = log.tail(0);
            log.add(before.as_bytes());
            read_all(&mut tail);
            let new = format!("new {}\n", "y".repeat(before.len() + more));
            fs::write(&log.path, &new).unwrap();
            let unended = if before.ends_with("half") { "half\n" } else { "" };
            assert_eq!(String::from_utf8(read_all(&mut tail).bytes).unwrap(), format!("{unended}{new}"));
            assert_eq!(tail.position().offset, new.len() as u64);
        }
    }
}

#[test]
fn a_hole_left_by_a_writer_that_does_not_append_is_passed_over() {
    let log = Log::new();
    let mut writer = fs::OpenOptions::new().write(true).open(&log.path).unwrap();
    let mut tail = log.tail(0);
    let old = format!("{}\n", "old".repeat(200_000));
    writer.write_all(old.as_bytes()).unwrap();
    read_all(&mut tail);
    writer.set_len(0).unwrap();
    writer.write_all(b"1\n\0\n").unwrap();
    assert_eq!(read_all(&mut tail).bytes, b"1\n\0\n", "a NUL in a line is the line's");
    assert_eq!(tail.position().offset, old.len() as u64 + 4);
}

#[test]
fn starting_at_the_end_keeps_the_unfinished_line_whole() {
    let log = Log::new();
    log.add(b"old\nfirst ha");
    let mut tail = Tail::after(open(&log.path).unwrap().unwrap(), 12).unwrap();
    log.add(b"lf\nnext\n");
    assert_eq!(read_all(&mut tail).bytes, b"first half\nnext\n");

    let log = Log::new();
    log.add(&vec![b'x'; 2 * 1024 * 1024]);
    let mut tail = Tail::after(open(&log.path).unwrap().unwrap(), u64::MAX).unwrap();
    log.add(b"rest\nnext\n");
    assert_eq!(read_all(&mut tail).bytes, b"rest\nnext\n");
}

#[test]
fn an_offset_behind_the_end_is_a_file_that_was_truncated() {
    let log = Log::new();
    log.add(b"new\n");
    assert_eq!(read_all(&mut log.tail(5)).bytes, b"new\n");
    assert_eq!(read_all(&mut log.tail(4)).bytes, b"");
}

/// As databases and NFS leave a file behind whose end is not written yet.
#[test]
fn what_is_not_filled_yet_is_not_read() {
    for size in [100u64, BLOCK_BYTES as u64, 1_000_000] {
        let log = Log::new();
        let file = fs::OpenOptions::new().write(true).open(&log.path).unwrap();
        let (mut tail, mut at) = (log.tail(0), 0);
        file.set_len(size).unwrap();
        for (written, read) in [("1\n2", "1\n"), ("", ""), ("\n", "2\n"), ("\0\n3\n", "\0\n3\n")] {
            file.write_all_at(written.as_bytes(), at).unwrap();
            at += written.len() as u64;
            assert_eq!(read_all(&mut tail).bytes, read.as_bytes(), "{size}");
            assert_eq!((tail.lag(), tail.reached().offset), (0, at), "{size}");
        }
        assert_eq!(tail.position().offset, at);
        // Filled, and larger than it was.
        let rest = format!("{}\nlast\n", "x".repeat(usize::try_from(size).unwrap()));
        file.write_all_at(rest.as_bytes(), at).unwrap();
        let lines = read_all(&mut tail).bytes;
        assert!(lines.starts_with(b"x") && lines.ends_with(b"x\nlast\n"));
        // What lies behind a hole is read, and the hole with it.
        file.write_all_at(b"behind\n", at + rest.len() as u64 + 1000).unwrap();
        let lines = read_all(&mut tail).bytes;
        assert!(lines.starts_with(b"\0") && lines.ends_with(b"\0behind\n"));
        assert_eq!(tail.lag(), 0);
    }
}

#[test]
fn starting_at_the_end_of_what_is_filled() {
    for size in [100u64, 3_000_000] {
        let log = Log::new();
        log.add(b"old\nfirst ha");
        let file = fs::OpenOptions::new().write(true).open(&log.path).unwrap();
        file.set_len(size).unwrap();
        let mut tail = Tail::after(open(&log.path).unwrap().unwrap(), size).unwrap();
        file.write_all_at(b"lf\n", 12).unwrap();
        assert_eq!(read_all(&mut tail).bytes, b"first half\n");
    }
}
