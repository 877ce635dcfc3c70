//! The breaker: no more than so many bans in a minute. Whoever comes after that waits, and the worst are banned first.
//!
//! It is for the day when a broken deploy makes every customer look like an attacker.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

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

    /// When the next ban may be made, seen at `now`; `None`: now.
    pub(super) fn next(&self, now: Timestamp) -> Option<Timestamp> {
        let most = self.limit()?;
        // As above: what is from before the clock was set back holds nobody.
        let oldest = self.made.front().filter(|made| self.made.len() >= most && **made <= now)?;
        oldest.checked_add(MINUTE).ok()
    }

    fn limit(&self) -> Option<usize> {
        self.most.map(|most| usize::try_from(most).unwrap_or(usize::MAX))
    }
}

/// An offender that waits for a ban.
#[derive(Debug, Clone)]
pub(super) struct Held {
    /// How many failures it has, those since it waits included; of a network, how many of its members were banned.
    pub(super) failures: u32,
    /// When the last of them was.
    pub(super) last: Timestamp,
    /// Where that was found.
    pub(super) source: Arc<str>,
    /// It is a network that is to be banned because of its members.
    pub(super) is_network: bool,
}

/// The offenders that wait.
#[derive(Debug, Default)]
pub(super) struct Queue {
    held: HashMap<IpNet, Held>,
    /// The same, the least first: the breaker must cost nothing when it is needed.
    ranks: BTreeSet<Rank>,
}

/// Whoever failed most often is the worst, and of those the one heard of last.
type Rank = (u32, Timestamp, IpNet);

fn rank(prefix: IpNet, held: &Held) -> Rank {
    (held.failures, held.last, prefix)
}

impl Queue {
    pub(super) fn is_empty(&self) -> bool {
        self.held.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.held.len()
    }

    /// How many failures `prefix` has, if it waits.
    pub(super) fn failures_of(&self, prefix: &IpNet) -> Option<u32> {
        self.held.get(prefix).map(|held| held.failures)
    }

    /// If `prefix` waits, it goes on failing; whether it does.
    pub(super) fn again(&mut self, prefix: IpNet, failures: u32, now: Timestamp) -> bool {
        let Some(held) = self.held.get_mut(&prefix) else { return false };
        self.ranks.remove(&rank(prefix, held));
        held.failures = held.failures.saturating_add(failures);
        held.last = now;
        self.ranks.insert(rank(prefix, held))
    }

    /// One more has to wait.
    pub(super) fn push(&mut self, prefix: IpNet, held: Held) {
        if self.held.len() >= WAITING
            && let Some((.., least)) = self.ranks.pop_first()
        {
            self.held.remove(&least);
        }
        self.ranks.insert(rank(prefix, &held));
        if let Some(before) = self.held.insert(prefix, held) {
            self.ranks.remove(&rank(prefix, &before));
        }
    }

    /// The worst of those who wait.
    pub(super) fn pop_worst(&mut self) -> Option<(IpNet, Held)> {
        let (.., worst) = self.ranks.pop_last()?;
        self.held.remove_entry(&worst)
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
        assert_eq!(breaker.next(at(59)), Some(at(60)));
        assert!(breaker.allows(at(60)));
        breaker.made(at(60));
        assert_eq!(breaker.next(at(60)), Some(at(70)));
        assert_eq!(breaker.next(at(-5)), None, "the clock was set back");
        assert!(breaker.allows(at(-5)));
        let mut open = Breaker::default();
        open.made(at(0));
        assert!(open.allows(at(0)) && open.next(at(0)).is_none());
    }

    #[test]
    fn the_worst_first_and_the_least_leave() {
        let mut queue = Queue::default();
        let prefix =
            |number: usize| IpNet::from(std::net::IpAddr::from(u32::try_from(number).unwrap().to_be_bytes()));
        let held = |failures| Held { failures, last: at(0), source: "x".into(), is_network: false };
        for number in 0..WAITING {
            queue.push(prefix(number), held(if number == 77 { 3 } else { 4 }));
        }
        queue.push(prefix(WAITING), held(9));
        assert_eq!(queue.len(), WAITING);
        assert!(queue.failures_of(&prefix(77)).is_none());
        assert_eq!(queue.pop_worst().map(|(prefix, _)| prefix), Some(prefix(WAITING)));
        assert!(queue.again(prefix(5), 1, at(1)) && !queue.again(prefix(77), 1, at(1)));
        queue.push(prefix(6), held(2));
        assert_eq!(queue.len(), WAITING - 1, "it waits already");
        assert_eq!(queue.pop_worst().map(|(prefix, held)| (prefix, held.failures)), Some((prefix(5), 5)));
        for more in 1..=3 {
            queue.push(prefix(WAITING + more), held(4));
        }
        assert!(queue.failures_of(&prefix(6)).is_none(), "it was the least");
        let mut left = 0;
        while queue.pop_worst().is_some() {
            left += 1;
        }
        assert_eq!((left, queue.is_empty(), queue.ranks.is_empty()), (WAITING, true, true));
    }
}
