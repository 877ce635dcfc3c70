//! Where in a file the lines begin that are not too old, without reading all that are; and where it ends, if its end is
//! not written yet.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::time::SystemTime;

use memchr::{memchr, memrchr};
use nix::errno::Errno;
use nix::unistd::{Whence, lseek};

use crate::source::lines::LONGEST_LINE;

/// How far back the start of a line is looked for, in bytes.
const LOOK_BACK: u64 = 1024 * 1024;

/// Where the line begins that is under way at `end`. A line that began more than 1 MiB before counts as ended there.
///
/// # Errors
/// pread(2) failed, or the file is shorter than that.
pub(super) fn line_start(file: &File, end: u64) -> io::Result<u64> {
    let mut chunk = vec![0; LONGEST_LINE];
    let mut from = end;
    while from > 0 && end - from < LOOK_BACK {
        let length = chunk.len().min(usize::try_from(from).unwrap_or(usize::MAX));
        let (chunk, _) = chunk.split_at_mut(length);
        from -= length as u64;
        file.read_exact_at(chunk, from)?;
        if let Some(newline) = memrchr(b'\n', chunk) {
            return Ok(from + newline as u64 + 1);
        }
    }
    Ok(if from == 0 { 0 } else { end })
}

/// How much is looked through in one go for what is written, in bytes.
const LOOK_AHEAD: u64 = 16 * 1024 * 1024;

/// Behind the last byte before `end` that is not NUL: what lies behind that was made room for, and is not written yet.
///
/// # Errors
/// pread(2) failed, or the file is shorter than that.
pub(super) fn written_end(file: &File, end: u64) -> io::Result<u64> {
    let mut chunk = vec![0; LONGEST_LINE];
    let mut from = end;
    while from > 0 {
        let length = chunk.len().min(usize::try_from(from).unwrap_or(usize::MAX));
        let (chunk, _) = chunk.split_at_mut(length);
        from -= length as u64;
        file.read_exact_at(chunk, from)?;
        if let Some(last) = chunk.iter().rposition(|byte| *byte != 0) {
            return Ok(from + last as u64 + 1);
        }
    }
    Ok(0)
}

/// What lies between two places in a file.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Between {
    /// Something other than NUL: behind the first byte of it.
    Written(u64),
    /// Nothing as far as here, which is before the end if there is much to look through.
    Empty(u64),
}

/// Looks for what is written between `from` and `end`, passing over holes.
///
/// # Errors
/// pread(2) failed.
pub(super) fn written_between(file: &File, from: u64, end: u64) -> io::Result<Between> {
    let mut chunk = vec![0; LONGEST_LINE];
    let (mut at, until) = (from, end.min(from.saturating_add(LOOK_AHEAD)));
    while at < until {
        match i64::try_from(at).map(|at| lseek(file, at, Whence::SeekData)) {
            Ok(Ok(data)) => at = at.max(data.try_into().unwrap_or(at)),
            Ok(Err(Errno::ENXIO)) => return Ok(Between::Empty(end)),
            // It knows no holes.
            _ => {}
        }
        let length = file.read_at(&mut chunk, at)?;
        if length == 0 {
            break;
        }
        let read = chunk.get(..length).unwrap_or_default();
        if let Some(first) = read.iter().position(|byte| *byte != 0) {
            return Ok(Between::Written(at + first as u64 + 1));
        }
        at += length as u64;
    }
    Ok(Between::Empty(at))
}

/// The start of a line between `from` and `size`, before which everything was written before `oldest`: by the time at
/// which the file was last written to, and by the dates of its lines. At most 64 KiB of older lines follow it, unless lines
/// have no dates.
///
/// # Errors
/// The file cannot be read.
pub(super) fn first(
    file: &File,
    from: u64,
    size: u64,
    oldest: SystemTime,
    date_of: &dyn Fn(&[u8]) -> Option<SystemTime>,
) -> io::Result<u64> {
    if file.metadata()?.modified()? < oldest {
        return Ok(line_start(file, size)?.max(from));
    }
    let (mut low, mut high) = (from, size);
    let mut chunk = vec![0; LONGEST_LINE];
    while high.saturating_sub(low) > LONGEST_LINE as u64 {
        let middle = low + (high - low) / 2;
        let length = file.read_at(&mut chunk, middle)?;
        let Some((line, date)) = dated(chunk.get(..length).unwrap_or_default(), date_of) else { break };
        if date < oldest {
            low = middle + line as u64;
        } else {
            high = middle;
        }
    }
    Ok(low)
}

/// The first line with a date, behind the first newline.
fn dated(chunk: &[u8], date_of: &dyn Fn(&[u8]) -> Option<SystemTime>) -> Option<(usize, SystemTime)> {
    let mut at = memchr(b'\n', chunk)? + 1;
    loop {
        let rest = chunk.get(at..)?;
        let line = rest.get(..memchr(b'\n', rest)?)?;
        if let Some(date) = date_of(line) {
            return Some((at, date));
        }
        at += line.len() + 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::FileTimes;
    use std::io::Write;
    use std::time::Duration;

    fn date_of(line: &[u8]) -> Option<SystemTime> {
        let seconds = std::str::from_utf8(line.split(|byte| *byte == b' ').next()?).ok()?.parse().ok()?;
        Some(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds))
    }

    #[test]
    fn old_lines_are_passed_over_without_reading_them() {
        let mut file = tempfile::tempfile().unwrap();
        let lines: Vec<String> =
            (0..20_000).map(|n| format!("{n} {}\nundated\n", "x".repeat(n % 100))).collect();
        file.write_all(lines.concat().as_bytes()).unwrap();
        let size = file.metadata().unwrap().len();
        for second in [0, 1, 7_000, 19_999, 30_000] {
            let oldest = SystemTime::UNIX_EPOCH + Duration::from_secs(second);
            let reads = std::cell::Cell::new(0);
            let counted = |line: &[u8]| {
                reads.set(reads.get() + 1);
                date_of(line)
            };
            let first = first(&file, 0, size, oldest, &counted).unwrap();
            let at = |n: usize| lines.iter().take(n).map(|line| line.len() as u64).sum::<u64>();
            let place = at(usize::try_from(second).unwrap());
            assert!(first <= place && place - first <= 2 * LONGEST_LINE as u64, "{second}: {first} {place}");
            assert!(first == 0 || reads.get() > 0 && reads.get() < 100);
            let mut before = [0; 1];
            assert!(first == 0 || (file.read_exact_at(&mut before, first - 1).is_ok() && before == *b"\n"));
        }
    }

    #[test]
    fn a_file_that_was_not_written_to_since_has_nothing_new() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"one\ntwo\nunder way").unwrap();
        let long_ago = SystemTime::UNIX_EPOCH + Duration::from_secs(1);
        file.set_times(FileTimes::new().set_modified(long_ago)).unwrap();
        assert_eq!(first(&file, 4, 17, SystemTime::now(), &|_| None).unwrap(), 8);
        assert_eq!(first(&file, 4, 17, SystemTime::UNIX_EPOCH, &|_| None).unwrap(), 4, "no dates");
    }
}
