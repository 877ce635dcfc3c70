//! The breaker: no more than so many bans in a minute. Whoever comes after that waits, and the worst are banned first.
//!
//! It is for the day when a broken deploy makes every customer look like an attacker.

use std::collections::VecDeque;
use std::sync::Arc;

use indexmap::IndexMap;
use ipnet::IpNet;
use jiff::{SignedDuration, Timestamp};

/// The time in which bans are counted.
const MINUTE: SignedDuration = SignedDuration::from_secs(60);
/// How many offenders may wait for their ban; the least of them leave first.
const WAITING: usize = 10_000;

/// How many bans may be made in a minute.
#[derive(Debug, Default)]
pub(super) struct Breaker {
    most: Option<u32>,
    /// When the bans of the last minute were made.
    made: VecDeque<Timestamp>,
}

impl Breaker {
    /// Another limit for what is already counted; there is none at first.
    pub(super) fn set_limit(&mut self, most: Option<u32>) {
        self.most = most;
    }

    /// Whether one more ban may be made at `now`.
    pub(super) fn allows(&mut self, now: Timestamp) -> bool {
        let Some(most) = self.limit() else { return true };
        // A time after now is from before the clock was set back.
        while self.made.front().is_some_and(|made| *made > now || now.duration_since(*made) >= MINUTE) {
            self.made.pop_front();
        }
        self.made.len() < most
    }

    /// A ban was made at `now`.
    pub(super) fn made(&mut self, now: Timestamp) {
        if let Some(most) = self.limit() {
            self.made.push_back(now);
            let excess = self.made.len().saturating_sub(most);
            self.made.drain(..excess);
        }
    }

    /// When the next ban may be made; `None`: now.
    pub(super) fn next(&self) -> Option<Timestamp> {
        let most = self.limit()?;
        let oldest = self.made.front().filter(|_| self.made.len() >= most)?;
        oldest.checked_add(MINUTE).ok()
    }

    fn limit(&self) -> Option<usize> {
        self.most.map(|most| usize::try_from(most).unwrap_or(usize::MAX))
    }
}

/// An offender that waits for a ban.
#[derive(Debug, Clone)]
pub(super) struct Held {
    /// How many failures it has, those since it waits included.
    pub(super) failures: u32,
    /// When the last of them was.
    pub(super) last: Timestamp,
    /// Where that was found.
    pub(super) source: Arc<str>,
}

/// The offenders that wait.
#[derive(Debug, Default)]
pub(super) struct Queue {
    held: IndexMap<IpNet, Held>,
}

impl Queue {
    pub(super) fn is_empty(&self) -> bool {
        self.held.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.held.len()
    }

    /// One who waits.
    pub(super) fn get_mut(&mut self, prefix: &IpNet) -> Option<&mut Held> {
        self.held.get_mut(prefix)
    }

    /// One more has to wait.
    pub(super) fn push(&mut self, prefix: IpNet, held: Held) {
        if self.held.len() >= WAITING {
            let least = self.held.iter().min_by_key(|(_, held)| (held.failures, held.last));
            if let Some(least) = least.map(|(prefix, _)| *prefix) {
                self.held.swap_remove(&least);
            }
        }
        self.held.insert(prefix, held);
    }

    /// The worst of those who wait: whoever failed most often, and of those the one heard of last.
    pub(super) fn pop_worst(&mut self) -> Option<(IpNet, Held)> {
        let worst = self.held.iter().max_by_key(|(_, held)| (held.failures, held.last));
        let worst = worst.map(|(prefix, _)| *prefix)?;
        self.held.swap_remove_entry(&worst)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).unwrap()
    }

    #[test]
    fn so_many_in_any_minute() {
        let mut breaker = Breaker::default();
        breaker.set_limit(Some(2));
        for second in [0, 10] {
            assert!(breaker.allows(at(second)));
            breaker.made(at(second));
        }
        assert!(!breaker.allows(at(59)));
        assert_eq!(breaker.next(), Some(at(60)));
        assert!(breaker.allows(at(60)));
        breaker.made(at(60));
        assert_eq!(breaker.next(), Some(at(70)));
        assert!(breaker.allows(at(-5)), "the clock was set back");
        let mut open = Breaker::default();
        open.made(at(0));
        assert!(open.allows(at(0)) && open.next().is_none());
    }

    #[test]
    fn the_worst_first_and_the_least_leave() {
        let mut queue = Queue::default();
        let prefix =
            |number: usize| IpNet::from(std::net::IpAddr::from(u32::try_from(number).unwrap().to_be_bytes()));
        let held = |failures| Held { failures, last: at(0), source: "x".into() };
        for number in 0..WAITING {
            queue.push(prefix(number), held(if number == 77 { 3 } else { 4 }));
        }
        queue.push(prefix(WAITING), held(9));
        assert_eq!(queue.len(), WAITING);
        assert!(queue.get_mut(&prefix(77)).is_none());
        assert_eq!(queue.pop_worst().map(|(prefix, _)| prefix), Some(prefix(WAITING)));
    }
}
