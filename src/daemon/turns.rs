//! How often the kernel's table is written while very much happens.
//!
//! Whoever lists the table (`nft list ruleset`) begins again whenever it has changed meanwhile: with five changes a second
//! the list of 100,000 elements never ends. So verdicts of the jails are written at once as long as they are few,
//! and together when they are many. Networks of unusual lengths are written all at once each time, which takes long when they
//! are many: for that there is a tenth of the time.

use std::time::{Duration, Instant};

/// When the table may be written next, if nobody waits for it.
#[derive(Debug)]
pub(super) struct Turns {
    /// Each turn moves it by [`EVERY`]; it is no more than [`AHEAD`] ahead of the time.
    due: Instant,
    ranges: Instant,
}

/// From one turn to the next when all have something to write.
const EVERY: Duration = Duration::from_millis(250);
/// So many turns were not used for a while, and may be taken at once: an attack of thousands comes in a few blocks.
const SAVED: u32 = 16;
/// How far turns may be taken ahead of their time.
const AHEAD: Duration = EVERY.saturating_mul(SAVED - 1);
/// Writing ranges is followed by so many times as long without.
const REST: u32 = 9;

impl Default for Turns {
    fn default() -> Self {
        let now = Instant::now();
        Self { due: now, ranges: now }
    }
}

impl Turns {
    /// Takes a turn, if there is one at `now`.
    pub(super) fn take(&mut self, now: Instant) -> bool {
        if self.next() > now {
            return false;
        }
        self.due = self.due.max(now) + EVERY;
        true
    }

    /// When the next turn is; in the past if it is due.
    pub(super) fn next(&self) -> Instant {
        self.due.checked_sub(AHEAD).unwrap_or(self.due)
    }

    /// When ranges may be written; in the past if they may be.
    pub(super) fn next_ranges(&self) -> Instant {
        self.ranges
    }

    /// Ranges were written, which took `took` until `now`.
    pub(super) fn wrote_ranges(&mut self, took: Duration, now: Instant) {
        self.ranges = now + took * REST;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_at_once_and_then_four_a_second() {
        let mut turns = Turns::default();
        let begin = turns.due;
        let taken = |turns: &mut Turns, milliseconds: u64| {
            let now = begin + Duration::from_millis(milliseconds);
            (0..1_000).filter(|_| turns.take(now)).count()
        };
        assert_eq!(taken(&mut turns, 0), 16, "those that were saved");
        assert_eq!(taken(&mut turns, 249), 0);
        assert_eq!(turns.next(), begin + EVERY);
        assert_eq!((1..=10_000).map(|at| taken(&mut turns, at)).sum::<usize>(), 40, "in ten seconds");
        assert_eq!(taken(&mut turns, 60_000), 16, "no more are saved, however long it was quiet");
    }

    #[test]
    fn ranges_rest_nine_times_as_long_as_they_took() {
        let mut turns = Turns::default();
        let now = turns.next_ranges();
        turns.wrote_ranges(Duration::from_millis(20), now);
        assert_eq!(turns.next_ranges(), now + Duration::from_millis(180));
    }
}
