//! One open file, read forward in whole lines.
//!
//! The position is behind the last line that was handed over, never inside one, however long it is; so a restart in the
//! middle of a line neither splits nor doubles it.
//!
//! A file is truncated if it is shorter than what was read of it, or if other bytes lie where the last ones were read:
//! then it has grown again before it was looked at. What a writer without `O_APPEND` leaves behind after that, a hole
//! as long as the old file, is passed over.

use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};

use memchr::memrchr;

use super::open::{Identity, Opened};
use super::window::Window;
use crate::source::lines::{LONGEST_LINE, Lines};
use crate::source::{BLOCK_BYTES, FilePosition};

/// How far back the start of a line is looked for when reading begins at the end of a file, in bytes.
const LOOK_BACK: u64 = 1024 * 1024;

/// Whole lines out of one file.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Portion {
    /// Each ended by `\n`.
    pub(super) bytes: Vec<u8>,
    /// How many of them were cut.
    pub(super) cut: u64,
    /// They all lie in the part of the file that was acted upon before this process.
    pub(super) again: bool,
}

/// What one read found.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Whole lines.
    Lines(Portion),
    /// Bytes, and no newline among them.
    Unfinished,
    /// The file does not hold what was read of it any more. Nothing more comes until [`Tail::begin_anew`].
    Truncated,
    /// Nothing new.
    End,
}

/// One open file and how far it was read.
#[derive(Debug)]
pub(super) struct Tail {
    file: File,
    identity: Identity,
    /// Bytes that were read, from its start.
    read: u64,
    lines: Lines,
    /// What was read last.
    near: Window,
    /// What was handed over last.
    behind: Window,
    /// Nothing but NUL was read since the file was truncated.
    hollow: bool,
    /// What lies before was acted upon before this process, in bytes from the start.
    known: u64,
    /// The file's size when it was last looked at.
    size: u64,
}

impl Tail {
    /// Reads on from `offset`, or from the start if the file has become shorter than that.
    pub(super) fn new(opened: Opened, offset: u64) -> Self {
        let (identity, size) = (opened.identity(), opened.metadata.len());
        let offset = if offset > size { 0 } else { offset };
        // Without it, only a file that has become shorter is seen to be truncated.
        let near = Window::before(&opened.file, offset).unwrap_or_default();
        Self {
            file: opened.file,
            identity,
            read: offset,
            lines: Lines::new(),
            behind: near.clone(),
            near,
            hollow: offset == 0,
            known: 0,
            size,
        }
    }

    /// Begins anew at the start of the file. The line that had no newline yet will not get it any more: it is returned.
    pub(super) fn begin_anew(&mut self) -> Portion {
        let last = self.finish();
        (self.read, self.known, self.hollow) = (0, 0, true);
        (self.near, self.behind) = (Window::default(), Window::default());
        last
    }

    /// What lies before `known` was acted upon before this process: no portion crosses it.
    pub(super) fn known_until(self, known: u64) -> Self {
        Self { known, ..self }
    }

    /// Reads what is added behind the first `size` bytes, and the line that they end in as a whole.
    ///
    /// A line that began more than 1 MiB before counts as ended there.
    ///
    /// # Errors
    /// pread(2) failed.
    pub(super) fn after(opened: Opened, size: u64) -> io::Result<Self> {
        let end = size.min(opened.metadata.len());
        let mut chunk = vec![0; LONGEST_LINE];
        let mut from = end;
        while from > 0 && end - from < LOOK_BACK {
            let length = chunk.len().min(usize::try_from(from).unwrap_or(usize::MAX));
            let (chunk, _) = chunk.split_at_mut(length);
            from -= length as u64;
            opened.file.read_exact_at(chunk, from)?;
            if let Some(newline) = memrchr(b'\n', chunk) {
                return Ok(Self::new(opened, from + newline as u64 + 1));
            }
        }
        let start = if from == 0 { 0 } else { end };
        Ok(Self::new(opened, start))
    }

    /// Reads at most 256 KiB. `scratch` is only a place to read into.
    ///
    /// # Errors
    /// fstat(2) or pread(2) failed; what was handed over so far stays counted.
    pub(super) fn read(&mut self, scratch: &mut [u8]) -> io::Result<Step> {
        self.size = self.file.metadata()?.len();
        let at = self.read;
        if self.size < at {
            return Ok(Step::Truncated);
        }
        let end = if at < self.known { self.size.min(self.known) } else { self.size };
        let wanted = usize::try_from(end - at).unwrap_or(usize::MAX).min(BLOCK_BYTES).min(scratch.len());
        let (scratch, _) = scratch.split_at_mut(wanted);
        let length = match self.file.read_at(scratch, at) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(Step::Unfinished),
            other => other?,
        };
        // Asked last, so that what was read belongs to what was read before.
        if !self.near.is_before(&self.file, at)? {
            return Ok(Step::Truncated);
        }
        if length == 0 {
            return Ok(Step::End);
        }
        let (fresh, _) = scratch.split_at(length);
        let bytes = self.take(fresh);
        Ok(if bytes.is_empty() { Step::Unfinished } else { Step::Lines(self.portion(bytes)) })
    }

    /// Whole lines out of what was read next.
    fn take(&mut self, fresh: &[u8]) -> Vec<u8> {
        let hole = if self.hollow { fresh.iter().take_while(|byte| **byte == 0).count() } else { 0 };
        self.hollow &= hole == fresh.len();
        let (_, text) = fresh.split_at(hole);
        let mut bytes = Vec::with_capacity(text.len());
        self.lines.take(text, &mut bytes);
        self.read += fresh.len() as u64;
        // A line that was given up unended, and has got its end meanwhile: it is not handed over in one piece now.
        if self.read == self.known && self.size > self.known {
            self.lines.end(&mut bytes);
        }
        if let Some(newline) = memrchr(b'\n', fresh) {
            self.behind = self.near.clone();
            self.behind.push(fresh.get(..=newline).unwrap_or_default());
        }
        self.near.push(fresh);
        if !self.lines.is_holding() {
            self.behind = self.near.clone();
        }
        bytes
    }

    /// Whether the file does not hold what was read of it any more.
    ///
    /// # Errors
    /// pread(2) failed.
    pub(super) fn is_truncated(&self) -> io::Result<bool> {
        self.near.is_before(&self.file, self.read).map(|same| !same)
    }

    /// Whether another file is a copy of this one, complete or not, made now or before this one was truncated.
    pub(super) fn is_copied_by(&self, other: &File, size: u64) -> bool {
        let both = size.min(self.size);
        let alike = || Window::before(other, both).and_then(|window| window.is_before(&self.file, both));
        let reached = self.reached();
        (both > 0 && alike().unwrap_or(false)) || (reached.offset > 0 && holds(other, size, &reached))
    }

    /// Whether what was before the position is here, whichever file that was.
    pub(super) fn holds(&self, position: &FilePosition) -> bool {
        holds(&self.file, self.size, position)
    }

    /// The line that never got its newline, when no more will come; nothing if there is none.
    pub(super) fn finish(&mut self) -> Portion {
        let mut bytes = Vec::new();
        self.lines.end(&mut bytes);
        self.portion(bytes)
    }

    /// Which file it is.
    pub(super) fn identity(&self) -> Identity {
        self.identity
    }

    /// The open file, to be watched.
    pub(super) fn file(&self) -> &File {
        &self.file
    }

    /// After the last line handed over.
    pub(super) fn position(&self) -> FilePosition {
        self.at(self.read - self.lines.pending(), &self.behind)
    }

    /// After the last byte that was read.
    pub(super) fn reached(&self) -> FilePosition {
        self.at(self.read, &self.near)
    }

    fn at(&self, offset: u64, before: &Window) -> FilePosition {
        let Identity { device, inode, .. } = self.identity;
        FilePosition { device, inode, offset, print: before.print(offset) }
    }

    /// The file's size when it was last looked at.
    pub(super) fn size(&self) -> u64 {
        self.size
    }

    /// Bytes that were not read when the file was last looked at.
    pub(super) fn lag(&self) -> u64 {
        self.size.saturating_sub(self.read)
    }

    /// Whether the file has no name any more, and lives only as long as it is open.
    pub(super) fn is_unlinked(&self) -> bool {
        self.file.metadata().is_ok_and(|metadata| metadata.nlink() == 0)
    }

    fn portion(&mut self, bytes: Vec<u8>) -> Portion {
        let again = self.position().offset <= self.known;
        Portion { bytes, cut: self.lines.take_cut(), again }
    }
}

/// Whether a file of this size has, before a place, what was there when the position was noted; whichever file it was.
pub(super) fn holds(file: &File, size: u64, position: &FilePosition) -> bool {
    let same = |print| {
        Window::before(file, position.offset).is_ok_and(|it| it.print(position.offset) == Some(print))
    };
    size >= position.offset && position.print.is_none_or(same)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Write;
    use std::path::{Path, PathBuf};

    use super::super::open::open;
    use super::*;

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
                Step::Truncated => all.bytes.extend(tail.begin_anew().bytes),
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
}
