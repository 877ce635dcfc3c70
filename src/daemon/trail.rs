//! How far one file has been dealt with, and what a restart reads again.
//!
//! Failures that did not yet lead to a ban are only in memory. So the place where `findtime` begins is stored
//! beside the place that was reached; a restart reads from the former, and what lies before the latter is
//! only counted: whatever it led to has happened already.
//!
//! Which lines are which, the source knows: it has the files before it. Here is only kept what it needs for that.

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
    phase: Phase,
}

#[derive(Debug)]
enum Phase {
    /// Nothing has been read, and where reading begins is not known.
    Unbegun,
    /// What was dealt with before a restart is read again.
    Replaying {
        /// What is stored. Its beginning moves on while what is read again is too old to count.
        stored: Reading,
        /// How far it has been read again.
        at: Position,
        /// Something was read again that counts.
        counted: bool,
    },
    /// What is read is new.
    Following {
        /// When which place was reached, oldest first, never empty; the first one is where the window begins.
        reached: VecDeque<(Timestamp, Position)>,
        /// What has been dealt with.
        until: Position,
    },
}

impl Trail {
    /// Goes on where `stored` says.
    pub(super) fn new(stored: Option<Reading>) -> Self {
        let phase = stored.map_or(Phase::Unbegun, |stored| Phase::Replaying {
            stored,
            at: stored.from,
            counted: false,
        });
        Self { window: Duration::ZERO, phase }
    }

    /// The longest `findtime` of the jails that read the file.
    pub(super) fn set_window(&mut self, window: Duration) {
        self.window = window;
    }

    /// Where the source goes on; after a reload, where it was. What is counted stays counted, and is not read again.
    pub(super) fn resume(&self) -> Option<Reading> {
        match self.phase {
            Phase::Unbegun => None,
            Phase::Replaying { stored, at, .. } => Some(Reading { from: at, ..stored }),
            Phase::Following { until, .. } => Some(Reading { from: until, until }),
        }
    }

    /// Nothing has been read yet, but this is where reading begins: lines written while nobody reads are not to be
    /// missed. What to store, if that was not known.
    pub(super) fn begin(&mut self, position: Position, now: Timestamp) -> Option<Reading> {
        let Phase::Unbegun = self.phase else { return None };
        self.phase = Phase::Following { reached: VecDeque::from([(now, position)]), until: position };
        Some(Reading { from: position, until: position })
    }

    /// Whether a failure in lines that are read again counts. One without a date, or of the future, counts as of now
    /// when it is first read, and when that was is not known any more.
    pub(super) fn counts(&mut self, failure: Timestamp, now: Timestamp) -> bool {
        let counts = failure < now && now.duration_since(failure).unsigned_abs() <= self.window;
        if let Phase::Replaying { counted, .. } = &mut self.phase {
            *counted |= counts;
        }
        counts
    }

    /// A block has been dealt with. What to store now.
    pub(super) fn advance(&mut self, block: &Block, now: Timestamp) -> Reading {
        let Block { begin, position, .. } = *block;
        match &mut self.phase {
            Phase::Replaying { stored, at, counted } if block.again => {
                *at = position;
                // When the window's beginning was reached is not known, but that nothing before this place counts is.
                if !*counted {
                    stored.from = position;
                }
                return *stored;
            }
            Phase::Unbegun => {
                self.phase = Phase::Following { reached: VecDeque::from([(now, begin)]), until: begin };
            }
            Phase::Replaying { stored: Reading { from, until }, .. } => {
                // It stays until a whole window is over.
                self.phase = Phase::Following { reached: VecDeque::from([(now, *from)]), until: *until };
            }
            Phase::Following { .. } => {}
        }
        let Phase::Following { reached, until } = &mut self.phase else {
            return Reading { from: position, until: position };
        };
        // A file that was truncated: places in it mean nothing any more.
        let truncated = |place: &Position| same_file(place, until) && place.offset < until.offset;
        if let Some(place) = [begin, position].into_iter().find(truncated) {
            *reached = VecDeque::from([(now, place)]);
        }
        *until = position;
        let part = self.window / PARTS;
        let last = reached.back();
        if last.is_none_or(|(time, _)| now.duration_since(*time).unsigned_abs() >= part || *time > now) {
            reached.push_back((now, position));
        }
        // Of the places that were reached before the window, the last one is where it begins.
        let over =
            |reached: &(Timestamp, Position)| now.duration_since(reached.0).unsigned_abs() > self.window;
        while reached.get(1).is_some_and(over) {
            reached.pop_front();
        }
        let from = reached.front().map_or(position, |(_, from)| *from);
        Reading { from, until: position }
    }
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

    fn new(begin: Position, position: Position) -> Block {
        Block { source: SourceId(0), bytes: b"\n".to_vec(), begin, position, again: false }
    }

    fn again(begin: Position, position: Position) -> Block {
        Block { again: true, ..new(begin, position) }
    }

    fn begun(stored: Option<Reading>) -> Trail {
        let mut trail = Trail::new(stored);
        trail.set_window(WINDOW);
        trail
    }

    #[test]
    fn what_is_stored_begins_where_the_window_does() {
        let mut trail = begun(None);
        let mut reading = trail.advance(&new(position(1, 8), position(1, 10)), at(0));
        assert_eq!(reading, Reading { from: position(1, 8), until: position(1, 10) });
        for minute in 1..=60 {
            let end = 10 + u64::try_from(minute).unwrap();
            reading = trail.advance(&new(position(1, end - 1), position(1, end)), at(minute * 60));
        }
        assert_eq!(reading.until, position(1, 70));
        assert!((57..=60).contains(&reading.from.offset), "{reading:?}");
        let Phase::Following { reached, .. } = trail.phase else { panic!("{trail:?}") };
        assert!(reached.len() <= 12);
    }

    #[test]
    fn where_reading_begins_is_stored_once() {
        let mut trail = begun(None);
        assert_eq!(trail.resume(), None);
        let place = position(1, 8);
        assert_eq!(trail.begin(place, at(0)), Some(Reading { from: place, until: place }));
        assert_eq!(trail.begin(position(1, 20), at(1)), None);
        assert_eq!(trail.resume(), Some(Reading { from: place, until: place }));
        assert_eq!(begun(trail.resume()).begin(position(1, 20), at(1)), None);
    }

    #[test]
    fn a_restart_keeps_what_still_counts() {
        let stored = Reading { from: position(1, 4), until: position(1, 8) };
        let mut trail = begun(Some(stored));
        assert_eq!(trail.resume(), Some(stored));
        assert!(trail.counts(at(-600), at(0)));
        assert_eq!(trail.advance(&again(position(1, 4), position(1, 8)), at(0)), stored);
        let reading = trail.advance(&new(position(1, 8), position(1, 12)), at(1));
        assert_eq!(reading, Reading { from: position(1, 4), until: position(1, 12) });
        assert_eq!(trail.resume(), Some(Reading { from: position(1, 12), until: position(1, 12) }));
    }

    #[test]
    fn restarts_more_often_than_findtime_move_the_beginning_on() {
        let mut trail = begun(Some(Reading { from: position(1, 4), until: position(1, 8) }));
        for failure in [at(-601), at(0), at(1)] {
            assert!(!trail.counts(failure, at(0)), "too old, undated, or of the future");
        }
        let reading = trail.advance(&again(position(1, 4), position(1, 6)), at(0));
        assert_eq!(reading, Reading { from: position(1, 6), until: position(1, 8) });
        assert!(trail.counts(at(-1), at(0)));
        let reading = trail.advance(&again(position(1, 6), position(1, 7)), at(0));
        assert_eq!(reading, Reading { from: position(1, 6), until: position(1, 8) });
    }

    #[test]
    fn a_reload_during_a_restart_reads_nothing_twice() {
        let stored = Reading { from: position(1, 4), until: position(2, 8) };
        let mut trail = begun(Some(stored));
        assert!(trail.counts(at(-1), at(0)));
        assert_eq!(trail.advance(&again(position(1, 4), position(1, 6)), at(0)), stored);
        assert_eq!(trail.resume(), Some(Reading { from: position(1, 6), until: position(2, 8) }));
    }

    #[test]
    fn a_truncated_file_is_a_new_one() {
        let stored = Reading { from: position(1, 40), until: position(1, 80) };
        let mut trail = begun(Some(stored));
        let all = Reading { from: position(1, 0), until: position(1, 2) };
        assert_eq!(trail.advance(&new(position(1, 0), position(1, 2)), at(0)), all, "while it was down");
        trail.advance(&new(position(1, 2), position(1, 80)), at(500));
        assert_eq!(trail.advance(&new(position(1, 0), position(1, 2)), at(501)), all, "while it was read");
        let all = Reading { from: position(1, 0), until: position(1, 0) };
        assert_eq!(trail.advance(&new(position(1, 2), position(1, 0)), at(502)), all, "its last line");
    }
}
