//! How far one stream has been dealt with, and what a restart reads again.
//!
//! Failures that did not yet lead to a ban are only in memory. So the place where `findtime` begins is stored
//! beside the place that was reached; a restart reads from the former, and what lies before the latter is
//! only counted: whatever it led to has happened already.
//!
//! Which lines are which, the source knows: it has the files before it. Here is only kept what it needs for that.

use std::collections::VecDeque;
use std::time::Duration;

use jiff::Timestamp;

use crate::source::{Position, Reading, Span};

/// How finely `findtime` is divided: a restart reads at most one part more than it needs.
const PARTS: u32 = 8;

/// The reading of one stream.
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
        let phase = stored.map_or(Phase::Unbegun, |stored| {
            let at = stored.from.clone();
            Phase::Replaying { stored, at, counted: false }
        });
        Self { window: Duration::ZERO, phase }
    }

    /// Whether something new was read, or where it begins was found, in this process.
    pub(super) fn is_followed(&self) -> bool {
        matches!(self.phase, Phase::Following { .. })
    }

    /// Whether it leads through files.
    pub(super) fn is_of_file(&self) -> bool {
        self.resume().is_some_and(|reading| matches!(reading.until, Position::File(_)))
    }

    /// The longest `findtime` of the jails that read it.
    pub(super) fn set_window(&mut self, window: Duration) {
        self.window = window;
    }

    /// Where the source goes on; after a reload, where it was. What is counted stays counted, and is not read again.
    pub(super) fn resume(&self) -> Option<Reading> {
        match &self.phase {
            Phase::Unbegun => None,
            Phase::Replaying { stored, at, .. } => {
                Some(Reading { from: at.clone(), until: stored.until.clone() })
            }
            Phase::Following { until, .. } => Some(Reading { from: until.clone(), until: until.clone() }),
        }
    }

    /// Nothing has been read yet, but this is where reading begins: lines written while nobody reads are not to be
    /// missed. What to store, if that was not known.
    pub(super) fn begin(&mut self, position: Position, now: Timestamp) -> Option<Reading> {
        let Phase::Unbegun = self.phase else { return None };
        let reached = VecDeque::from([(now, position.clone())]);
        self.phase = Phase::Following { reached, until: position.clone() };
        Some(Reading { from: position.clone(), until: position })
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

    /// What lay there has been dealt with, `again` or for the first time. What to store now.
    pub(super) fn advance(&mut self, Span { begin, end }: &Span, again: bool, now: Timestamp) -> Reading {
        match &mut self.phase {
            Phase::Replaying { stored, at, counted } if again => {
                *at = end.clone();
                // When the window's beginning was reached is not known, but that nothing before this place counts is.
                if !*counted {
                    stored.from = end.clone();
                }
                return stored.clone();
            }
            Phase::Unbegun => {
                let reached = VecDeque::from([(now, begin.clone())]);
                self.phase = Phase::Following { reached, until: begin.clone() };
            }
            Phase::Replaying { stored: Reading { from, until }, .. } => {
                // It stays until a whole window is over.
                let reached = VecDeque::from([(now, from.clone())]);
                self.phase = Phase::Following { reached, until: until.clone() };
            }
            Phase::Following { .. } => {}
        }
        let Phase::Following { reached, until } = &mut self.phase else {
            return Reading { from: end.clone(), until: end.clone() };
        };
        // Places in a file that was truncated mean nothing any more.
        if let Some(place) = [begin, end].into_iter().find(|place| place.rewinds(until)) {
            *reached = VecDeque::from([(now, place.clone())]);
        }
        *until = end.clone();
        let part = self.window / PARTS;
        let last = reached.back();
        if last.is_none_or(|(time, _)| now.duration_since(*time).unsigned_abs() >= part || *time > now) {
            reached.push_back((now, end.clone()));
        }
        // Of the places that were reached before the window, the last one is where it begins.
        let over =
            |reached: &(Timestamp, Position)| now.duration_since(reached.0).unsigned_abs() > self.window;
        while reached.get(1).is_some_and(over) {
            reached.pop_front();
        }
        let from = reached.front().map_or(end, |(_, from)| from).clone();
        Reading { from, until: end.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::FilePosition;

    const WINDOW: Duration = Duration::from_secs(600);

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).unwrap()
    }

    fn position(inode: u64, offset: u64) -> Position {
        Position::File(FilePosition { device: 1, inode, offset, print: None })
    }

    fn new(trail: &mut Trail, begin: Position, end: Position, now: Timestamp) -> Reading {
        trail.advance(&Span { begin, end }, false, now)
    }

    fn again(trail: &mut Trail, begin: Position, end: Position, now: Timestamp) -> Reading {
        trail.advance(&Span { begin, end }, true, now)
    }

    fn begun(stored: Option<Reading>) -> Trail {
        let mut trail = Trail::new(stored);
        trail.set_window(WINDOW);
        trail
    }

    #[test]
    fn what_is_stored_begins_where_the_window_does() {
        let mut trail = begun(None);
        let mut reading = new(&mut trail, position(1, 8), position(1, 10), at(0));
        assert_eq!(reading, Reading { from: position(1, 8), until: position(1, 10) });
        for minute in 1..=60 {
            let end = 10 + u64::try_from(minute).unwrap();
            reading = new(&mut trail, position(1, end - 1), position(1, end), at(minute * 60));
        }
        assert_eq!(reading.until, position(1, 70));
        let Position::File(from) = reading.from else { panic!("{reading:?}") };
        assert!((57..=60).contains(&from.offset), "{from:?}");
        let Phase::Following { reached, .. } = trail.phase else { panic!("{trail:?}") };
        assert!(reached.len() <= 12);
    }

    #[test]
    fn where_reading_begins_is_stored_once() {
        let mut trail = begun(None);
        assert_eq!(trail.resume(), None);
        let place = position(1, 8);
        assert_eq!(
            trail.begin(place.clone(), at(0)),
            Some(Reading { from: place.clone(), until: place.clone() })
        );
        assert_eq!(trail.begin(position(1, 20), at(1)), None);
        assert_eq!(trail.resume(), Some(Reading { from: place.clone(), until: place }));
        assert_eq!(begun(trail.resume()).begin(position(1, 20), at(1)), None);
    }

    #[test]
    fn a_restart_keeps_what_still_counts() {
        let stored = Reading { from: position(1, 4), until: position(1, 8) };
        let mut trail = begun(Some(stored.clone()));
        assert_eq!(trail.resume(), Some(stored.clone()));
        assert!(trail.counts(at(-600), at(0)));
        assert_eq!(again(&mut trail, position(1, 4), position(1, 8), at(0)), stored);
        let reading = new(&mut trail, position(1, 8), position(1, 12), at(1));
        assert_eq!(reading, Reading { from: position(1, 4), until: position(1, 12) });
        assert_eq!(trail.resume(), Some(Reading { from: position(1, 12), until: position(1, 12) }));
    }

    #[test]
    fn restarts_more_often_than_findtime_move_the_beginning_on() {
        let mut trail = begun(Some(Reading { from: position(1, 4), until: position(1, 8) }));
        for failure in [at(-601), at(0), at(1)] {
            assert!(!trail.counts(failure, at(0)), "too old, undated, or of the future");
        }
        let reading = again(&mut trail, position(1, 4), position(1, 6), at(0));
        assert_eq!(reading, Reading { from: position(1, 6), until: position(1, 8) });
        assert!(trail.counts(at(-1), at(0)));
        let reading = again(&mut trail, position(1, 6), position(1, 7), at(0));
        assert_eq!(reading, Reading { from: position(1, 6), until: position(1, 8) });
    }

    #[test]
    fn a_reload_during_a_restart_reads_nothing_twice() {
        let stored = Reading { from: position(1, 4), until: position(2, 8) };
        let mut trail = begun(Some(stored.clone()));
        assert!(trail.counts(at(-1), at(0)));
        assert_eq!(again(&mut trail, position(1, 4), position(1, 6), at(0)), stored);
        assert_eq!(trail.resume(), Some(Reading { from: position(1, 6), until: position(2, 8) }));
    }

    #[test]
    fn a_truncated_file_is_a_new_one() {
        let stored = Reading { from: position(1, 40), until: position(1, 80) };
        let mut trail = begun(Some(stored.clone()));
        let all = Reading { from: position(1, 0), until: position(1, 2) };
        assert_eq!(new(&mut trail, position(1, 0), position(1, 2), at(0)), all, "while it was down");
        new(&mut trail, position(1, 2), position(1, 80), at(500));
        assert_eq!(new(&mut trail, position(1, 0), position(1, 2), at(501)), all, "while it was read");
        let all = Reading { from: position(1, 0), until: position(1, 0) };
        assert_eq!(new(&mut trail, position(1, 2), position(1, 0), at(502)), all, "its last line");
    }
}
