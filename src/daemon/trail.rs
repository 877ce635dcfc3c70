//! How far one file has been dealt with, and what a restart reads again.
//!
//! Failures that did not yet lead to a ban are only in memory. So the place where `findtime` begins is stored
//! beside the place that was reached; a restart reads from the former, and what lies before the latter is
//! only counted: whatever it led to has happened already.

use std::collections::VecDeque;
use std::time::Duration;

use jiff::Timestamp;

use crate::source::{Block, Position, Reading};

/// How finely `findtime` is divided: a restart reads at most one part more than it needs.
const PARTS: u32 = 8;

/// The reading of one file.
#[derive(Debug)]
pub(super) struct Trail {
    /// The longest `findtime` of the jails that read it.
    window: Duration,
    /// When which place was reached, oldest first; the first one is where the window begins.
    reached: VecDeque<(Timestamp, Position)>,
    /// What was stored, until it has been read again.
    again: Option<Reading>,
    /// What has been dealt with.
    until: Option<Position>,
}

impl Trail {
    /// Goes on where `stored` says.
    pub(super) fn new(stored: Option<Reading>, now: Timestamp) -> Self {
        // When the window's beginning was reached is not known: it stays until a whole window is over.
        let reached = stored.iter().map(|reading| (now, reading.from)).collect();
        Self { window: Duration::ZERO, reached, again: stored, until: stored.map(|reading| reading.until) }
    }

    /// The longest `findtime` of the jails that read the file.
    pub(super) fn set_window(&mut self, window: Duration) {
        self.window = window;
    }

    /// Where the source begins to read: after a reload, where it was; what is counted stays counted.
    pub(super) fn resume(&self) -> Option<Position> {
        self.again.map(|reading| reading.from).or(self.until)
    }

    /// Nothing has been read yet, but this is where reading begins: lines written while nobody reads are not to be
    /// missed. What to store, if that was not known.
    pub(super) fn begin(&mut self, position: Position, now: Timestamp) -> Option<Reading> {
        if self.until.is_some() {
            return None;
        }
        self.until = Some(position);
        self.reached.push_back((now, position));
        Some(Reading { from: position, until: position })
    }

    /// Divides a block: what was acted upon before the restart, and what is new.
    pub(super) fn divide<'b>(&mut self, block: &'b Block) -> (&'b [u8], &'b [u8]) {
        let (all, nothing): (&[u8], &[u8]) = (&block.bytes, &[]);
        let Some(Reading { from, until }) = self.again else { return (nothing, all) };
        let at = block.position;
        // One byte more: the newline of a last line that had none is not in the file.
        let begins_before =
            same_file(&at, &from) && at.offset + 1 < from.offset.saturating_add(length(block));
        if same_file(&at, &until) && !begins_before {
            let Some(new) = at.offset.checked_sub(until.offset) else { return (all, nothing) };
            self.again = None;
            let new = usize::try_from(new).unwrap_or(usize::MAX);
            return all.split_at(all.len().saturating_sub(new));
        }
        if same_file(&at, &from) && !begins_before {
            return (all, nothing);
        }
        // Another file, or one that was truncated meanwhile: nothing of it is known.
        self.again = None;
        (nothing, all)
    }

    /// A block has been dealt with. What to store now.
    pub(super) fn advance(&mut self, block: &Block, now: Timestamp) -> Reading {
        let position = block.position;
        if let Some(again) = self.again {
            return again;
        }
        if self.reached.is_empty() {
            let offset = position.offset.saturating_sub(length(block));
            self.reached.push_back((now, Position { offset, ..position }));
        }
        self.until = Some(position);
        let part = self.window / PARTS;
        let last = self.reached.back();
        if last.is_none_or(|(time, _)| now.duration_since(*time).unsigned_abs() >= part || *time > now) {
            self.reached.push_back((now, position));
        }
        // Of the places that were reached before the window, the last one is where it begins.
        let over =
            |reached: &(Timestamp, Position)| now.duration_since(reached.0).unsigned_abs() > self.window;
        while self.reached.get(1).is_some_and(over) {
            self.reached.pop_front();
        }
        let from = self.reached.front().map_or(position, |(_, from)| *from);
        Reading { from, until: position }
    }
}

fn length(block: &Block) -> u64 {
    u64::try_from(block.bytes.len()).unwrap_or(u64::MAX)
}

fn same_file(a: &Position, b: &Position) -> bool {
    (a.device, a.inode) == (b.device, b.inode)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::SourceId;

    const WINDOW: Duration = Duration::from_secs(600);

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).unwrap()
    }

    fn position(inode: u64, offset: u64) -> Position {
        Position { device: 1, inode, offset }
    }

    fn block(bytes: &str, position: Position) -> Block {
        Block { source: SourceId(0), bytes: bytes.into(), position }
    }

    fn begun(stored: Option<Reading>) -> Trail {
        let mut trail = Trail::new(stored, at(0));
        trail.set_window(WINDOW);
        trail
    }

    #[test]
    fn what_is_stored_begins_where_the_window_does() {
        let mut trail = begun(None);
        let mut reading = trail.advance(&block("a\n", position(1, 10)), at(0));
        assert_eq!(reading, Reading { from: position(1, 8), until: position(1, 10) });
        for minute in 1..=60 {
            reading = trail
                .advance(&block("\n", position(1, 10 + u64::try_from(minute).unwrap())), at(minute * 60));
        }
        assert_eq!(reading.until, position(1, 70));
        assert!((57..=60).contains(&reading.from.offset), "{reading:?}");
        assert!(trail.reached.len() <= 12);
    }

    #[test]
    fn a_restart_divides_what_it_reads_again() {
        let stored = Reading { from: position(1, 4), until: position(1, 8) };
        let mut trail = begun(Some(stored));
        assert_eq!(trail.resume(), Some(position(1, 4)));
        assert_eq!(trail.divide(&block("a\n", position(1, 6))), (&b"a\n"[..], &b""[..]));
        assert_eq!(trail.advance(&block("a\n", position(1, 6)), at(0)), stored, "nothing new has been read");
        assert_eq!(trail.divide(&block("b\nc\n", position(1, 10))), (&b"b\n"[..], &b"c\n"[..]));
        assert_eq!(trail.divide(&block("d\n", position(1, 12))), (&b""[..], &b"d\n"[..]));
        let reading = trail.advance(&block("d\n", position(1, 12)), at(1));
        assert_eq!(reading, Reading { from: position(1, 4), until: position(1, 12) });
    }

    #[test]
    fn a_rotation_in_between_is_read_through() {
        let stored = Reading { from: position(1, 4), until: position(2, 2) };
        let mut trail = begun(Some(stored));
        assert_eq!(trail.divide(&block("a\n", position(1, 6))), (&b"a\n"[..], &b""[..]));
        assert_eq!(trail.divide(&block("b\nc\n", position(2, 4))), (&b"b\n"[..], &b"c\n"[..]));
    }

    #[test]
    fn a_file_that_is_another_now_is_new_from_its_first_line() {
        let stored = Reading { from: position(1, 40), until: position(1, 80) };
        let mut trail = begun(Some(stored));
        assert_eq!(trail.divide(&block("a\n", position(1, 2))), (&b""[..], &b"a\n"[..]), "truncated");
        let mut trail = begun(Some(stored));
        assert_eq!(trail.divide(&block("a\n", position(3, 2))), (&b""[..], &b"a\n"[..]), "replaced");
        assert_eq!(trail.divide(&block("b\n", position(3, 4))), (&b""[..], &b"b\n"[..]));
    }
}
