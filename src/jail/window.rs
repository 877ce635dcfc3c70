//! Counting: a sliding window of failures for each offender, in bounded memory.
//!
//! Each tracked prefix keeps at most `maxretry` times, so an entry has a fixed size however long an attack
//! lasts. When the table is full, the least suspicious of a few randomly drawn entries leaves: whoever has
//! failed least often, and of those the one heard of longest ago. That is constant work, and a flood of
//! forged addresses with one failure each pushes out its own kind rather than those who keep trying. Of
//! whoever leaves, a trace is kept for a while (`faint.rs`): whoever comes again is no such address.

use indexmap::IndexMap;
use ipnet::IpNet;
use jiff::Timestamp;
use smallvec::SmallVec;
use std::time::Duration;

use super::draw::Draw;
use super::faint::Faint;

/// A log time in whole seconds since 1970: what counting needs, at a third of a `Timestamp`'s size.
/// Times before 1970 or after 2106 are taken as those limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Second(u32);

impl Second {
    /// No time of a failure.
    pub(super) const NEVER: Self = Self(0);
}

impl From<Timestamp> for Second {
    fn from(time: Timestamp) -> Self {
        Self(u32::try_from(time.as_second().max(0)).unwrap_or(u32::MAX))
    }
}

/// The latest failures of one offender, ascending; at most `maxretry`.
type Times = SmallVec<[Second; 5]>;

/// What became of one failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Counted {
    /// Its date lies further back than `findtime`: it can never ban.
    Stale,
    /// So many failures are in the window now, fewer than `maxretry`.
    Below(u32),
    /// `maxretry` is reached; the offender is no longer tracked.
    Reached(u32),
}

/// The failures of one jail.
#[derive(Debug)]
pub struct Window {
    findtime: u32,
    maxretry: usize,
    capacity: usize,
    tracked: IndexMap<IpNet, Times>,
    /// Of those for whom there was no room.
    faint: Faint,
    draw: Draw,
    swept: usize,
}

impl Window {
    /// Counts up to `maxretry` failures (at least 1) within `findtime` for at most `capacity` prefixes (at least 1).
    #[must_use]
    pub fn new(findtime: Duration, maxretry: u32, capacity: usize) -> Self {
        let mut window = Self {
            findtime: 0,
            maxretry: 1,
            capacity: 1,
            tracked: IndexMap::new(),
            faint: Faint::default(),
            draw: Draw::default(),
            swept: 0,
        };
        window.set_limits(findtime, maxretry, capacity);
        window
    }

    /// New limits for what is already counted.
    pub fn set_limits(&mut self, findtime: Duration, maxretry: u32, capacity: usize) {
        self.findtime = u32::try_from(findtime.as_secs()).unwrap_or(u32::MAX);
        self.maxretry = usize::try_from(maxretry).unwrap_or(usize::MAX).max(1);
        self.capacity = capacity.max(1);
        while self.tracked.len() > self.capacity {
            self.evict();
        }
    }

    /// Counts `attempts` failures (at least 1) of `prefix` at `time`, read at `now`.
    ///
    /// A time after `now` is a clock that goes wrong somewhere: it counts as `now`.
    pub fn count(&mut self, prefix: IpNet, time: Timestamp, attempts: u32, now: Timestamp) -> Counted {
        let time = Second::from(time.min(now));
        if self.is_over(time, Second::from(now)) {
            return Counted::Stale;
        }
        let mut before = None;
        if !self.tracked.contains_key(&prefix) {
            before = self.faint.take(&prefix);
            if self.tracked.len() >= self.capacity {
                self.evict();
            }
        }
        let (findtime, maxretry) = (self.findtime, self.maxretry);
        let times = self.tracked.entry(prefix).or_default();
        times.extend(before);
        // The clock may have been set back since these were counted.
        times.truncate(times.partition_point(|&earlier| earlier <= Second::from(now)));
        let place = times.partition_point(|&earlier| earlier <= time);
        // More than maxretry of them change nothing, and an entry stays small.
        let attempts = usize::try_from(attempts).unwrap_or(usize::MAX).clamp(1, maxretry);
        times.insert_many(place, std::iter::repeat_n(time, attempts));
        let newest = times.last().copied().unwrap_or(time);
        let over = times.partition_point(|earlier| newest.0 - earlier.0 > findtime);
        let excess = times.len().saturating_sub(maxretry);
        times.drain(..over.max(excess));
        let counted = u32::try_from(times.len()).unwrap_or(u32::MAX);
        if times.len() < maxretry {
            return Counted::Below(counted);
        }
        self.tracked.swap_remove(&prefix);
        Counted::Reached(counted)
    }

    /// The window, in seconds.
    pub(super) fn findtime(&self) -> u32 {
        self.findtime
    }

    /// How many prefixes are tracked.
    #[must_use]
    pub fn len(&self) -> usize {
        self.tracked.len()
    }

    /// Whether nobody is tracked.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.tracked.is_empty()
    }

    /// Looks at `budget` entries, going round, and drops those whose window is over. Call it now and then.
    pub fn sweep(&mut self, now: Timestamp, budget: usize) {
        for _ in 0..budget.min(self.tracked.len()) {
            if self.swept >= self.tracked.len() {
                self.swept = 0;
            }
            match self.tracked.get_index(self.swept) {
                Some((_, times)) if self.all_over(times, Second::from(now)) => {
                    self.tracked.swap_remove_index(self.swept);
                }
                _ => self.swept += 1,
            }
        }
        if self.tracked.len() < self.capacity / 2 {
            self.faint.clear();
        }
        if self.tracked.len() < self.tracked.capacity() / 4 {
            self.tracked.shrink_to(self.tracked.len() * 2);
        }
    }

    fn is_over(&self, time: Second, now: Second) -> bool {
        now.0.saturating_sub(time.0) > self.findtime
    }

    fn all_over(&self, times: &Times, now: Second) -> bool {
        times.last().is_none_or(|&newest| self.is_over(newest, now))
    }

    /// The least suspicious leaves.
    fn evict(&mut self) {
        let rank = |times: &Times| (times.len(), times.last().copied());
        if let Some((prefix, times)) = self.draw.drop_least(&mut self.tracked, rank)
            && let Some(last) = times.last()
        {
            self.faint.keep(&prefix, *last, self.capacity);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MINUTE: Duration = Duration::from_secs(60);

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).unwrap()
    }

    fn host(last: u32) -> IpNet {
        IpNet::from(std::net::IpAddr::from(std::net::Ipv4Addr::from(0xcb00_7100 + last)))
    }

    #[test]
    fn a_line_may_stand_for_several_failures() {
        let mut window = Window::new(Duration::from_secs(60), 5, 10);
        assert_eq!(window.count(host(1), at(0), 3, at(0)), Counted::Below(3));
        assert_eq!(window.count(host(1), at(1), 1_000_000, at(1)), Counted::Reached(5));
    }

    #[test]
    fn the_last_failure_within_the_window_reaches_the_limit() {
        let mut window = Window::new(MINUTE, 3, 10);
        assert_eq!(window.count(host(1), at(0), 1, at(0)), Counted::Below(1));
        assert_eq!(window.count(host(1), at(30), 1, at(30)), Counted::Below(2));
        assert_eq!(window.count(host(1), at(60), 1, at(60)), Counted::Reached(3));
        assert!(window.is_empty());
    }

    #[test]
    fn the_window_slides() {
        let mut window = Window::new(MINUTE, 3, 10);
        for second in [0, 40, 80, 120, 160] {
            assert!(matches!(window.count(host(1), at(second), 1, at(second)), Counted::Below(1 | 2)));
        }
    }

    #[test]
    fn a_line_older_than_findtime_never_counts() {
        let mut window = Window::new(MINUTE, 1, 10);
        assert_eq!(window.count(host(1), at(0), 1, at(61)), Counted::Stale);
        assert_eq!(window.count(host(1), at(0), 1, at(60)), Counted::Reached(1));
    }

    #[test]
    fn a_line_from_the_future_counts_as_now() {
        let mut window = Window::new(MINUTE, 2, 10);
        assert_eq!(window.count(host(1), at(86_400), 1, at(0)), Counted::Below(1));
        assert_eq!(
            window.count(host(1), at(120), 1, at(120)),
            Counted::Below(1),
            "the first one is over by now"
        );
    }

    #[test]
    fn a_clock_that_was_set_back_does_not_shield_anybody() {
        let mut window = Window::new(MINUTE, 2, 10);
        window.count(host(1), at(7200), 1, at(7200));
        assert_eq!(window.count(host(1), at(0), 1, at(0)), Counted::Below(1));
        assert_eq!(window.count(host(1), at(1), 1, at(1)), Counted::Reached(2));
    }

    #[test]
    fn lines_out_of_order_are_counted_by_their_own_time() {
        let mut window = Window::new(MINUTE, 3, 10);
        window.count(host(1), at(100), 1, at(110));
        window.count(host(1), at(60), 1, at(110));
        assert_eq!(window.count(host(1), at(80), 1, at(110)), Counted::Reached(3));
    }

    #[test]
    fn a_flood_of_one_time_addresses_does_not_push_out_who_keeps_trying() {
        let mut window = Window::new(MINUTE, 5, 1000);
        for _ in 0..4 {
            window.count(host(0), at(0), 1, at(0));
        }
        for forged in 1..=100_000 {
            window.count(host(forged), at(1), 1, at(1));
            assert!(window.len() <= 1000);
        }
        assert_eq!(window.count(host(0), at(2), 1, at(2)), Counted::Reached(5));
    }

    /// Each second as many addresses come that never come again as there is room for.
    #[test]
    fn who_guesses_slowly_is_caught_in_a_flood() {
        const ROOM: u32 = 1_000;
        let mut forged = 1_000_u32;
        let mut caught = |pause: i64| {
            let mut window = Window::new(Duration::from_secs(600), 5, usize::try_from(ROOM).unwrap());
            let (mut caught, mut second) = (0, 0);
            let mut flood = |window: &mut Window, second: i64| {
                for _ in 0..ROOM {
                    forged += 1;
                    window.count(host(forged), at(second), 1, at(second));
                }
            };
            flood(&mut window, 0);
            for offender in 0..20 {
                for _ in 0..10 {
                    if let Counted::Reached(_) = window.count(host(offender), at(second), 1, at(second)) {
                        caught += 1;
                        break;
                    }
                    for _ in 0..pause {
                        second += 1;
                        flood(&mut window, second);
                    }
                }
            }
            caught
        };
        // By chance one in a hundred and less is not.
        assert!(caught(2) >= 18);
        assert!(caught(5) >= 15);
    }

    #[test]
    fn what_is_known_of_who_had_to_leave_is_forgotten_with_the_flood() {
        let mut window = Window::new(MINUTE, 3, 2);
        for n in 0..50 {
            window.count(host(n), at(0), 1, at(0));
        }
        assert_eq!(window.count(host(49), at(1), 1, at(1)), Counted::Below(2));
        window.sweep(at(90), 10);
        assert!(window.is_empty());
        assert!(matches!(window.count(host(48), at(91), 1, at(91)), Counted::Below(1)));
    }

    #[test]
    fn sweeping_forgets_what_is_over_and_nothing_else() {
        let mut window = Window::new(MINUTE, 5, 1000);
        for n in 0..100 {
            window.count(host(n), at(0), 1, at(0));
        }
        window.count(host(200), at(50), 1, at(50));
        for _ in 0..30 {
            window.sweep(at(90), 10);
        }
        assert_eq!(window.len(), 1);
    }

    proptest! {
        /// The plain definition: banned as soon as `maxretry` failures lie within `findtime` of the newest.
        #[test]
        fn it_agrees_with_the_plain_definition(steps in proptest::collection::vec(0i64..40, 1..60), maxretry in 1u32..6) {
            let mut window = Window::new(MINUTE, maxretry, 10);
            let (mut now, mut kept) = (0, Vec::new());
            for step in steps {
                now += step;
                kept.push(now);
                kept.retain(|&time| now - time <= 60);
                let expected = kept.len() >= maxretry as usize;
                let got = matches!(window.count(host(1), at(now), 1, at(now)), Counted::Reached(_));
                prop_assert_eq!(got, expected);
                if got { kept.clear(); }
            }
        }
    }
}
