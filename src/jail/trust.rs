//! Addresses that lately logged in well: an office behind one address, in which one telephone has an old password.
//!
//! For them a jail has a higher limit; and the failures of one user who has logged in from there count once a minute, as often
//! as the telephone may try. Those of other users count each.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::time::Duration;

use indexmap::IndexMap;
use ipnet::IpNet;
use jiff::{SignedDuration, Timestamp};
use smallvec::SmallVec;

use super::draw::Draw;
use super::logins::Last;
use super::standing::Standing;
use super::window::{Counted, Window};
use crate::config::judgement::Trust;

/// How many addresses a jail trusts at once. Only who has a password gets here.
const CAPACITY: usize = 10_000;
/// How many users of one address are told apart.
const USERS: usize = 16;
/// A known user's failures count once in this time.
const MINUTE: SignedDuration = SignedDuration::from_secs(60);

/// Who logged in, and what they did since.
#[derive(Debug)]
pub(super) struct Trusted {
    rule: Trust,
    logins: IndexMap<IpNet, Logged>,
    /// Failures of those who are trusted.
    window: Window,
    names: RandomState,
    draw: Draw,
}

/// The last success from an address.
#[derive(Debug)]
struct Logged {
    last: Last,
    /// Who logged in from there, by a hash of the name; and when a failure of theirs was counted last.
    users: SmallVec<[(u64, Option<Timestamp>); 2]>,
}

impl Trusted {
    pub(super) fn new(rule: Trust, findtime: Duration) -> Self {
        let window = Window::new(findtime, rule.failures.0, CAPACITY);
        let (names, draw) = (RandomState::new(), Draw::default());
        Self { rule, logins: IndexMap::new(), window, names, draw }
    }

    /// Another rule for what is already known.
    pub(super) fn set_rule(&mut self, rule: Trust, findtime: Duration) {
        self.window.set_limits(findtime, rule.failures.0, CAPACITY);
        self.rule = rule;
    }

    /// Somebody logged in from `prefix` at `time`. Whether that is worth keeping.
    pub(super) fn succeeded(&mut self, prefix: IpNet, user: Option<&str>, time: Timestamp) -> bool {
        self.draw.make_room(&mut self.logins, &prefix, CAPACITY);
        let user = user.map(|user| self.names.hash_one(user));
        let first = || Logged { last: Last::new(time), users: SmallVec::new() };
        let login = self.logins.entry(prefix).or_insert_with(first);
        let mut news = login.last.note(time);
        if let Some(user) = user.filter(|user| login.users.iter().all(|(known, _)| known != user)) {
            if login.users.len() == USERS {
                login.users.remove(0);
            }
            login.users.push((user, None));
            news = true;
        }
        news
    }

    /// Whether somebody logged in from `prefix` lately enough.
    pub(super) fn trusts(&self, prefix: &IpNet, now: Timestamp) -> bool {
        let lately = |login: &Logged| {
            login.last.at.saturating_add(self.rule.after_success.get()).is_ok_and(|end| end > now)
        };
        self.logins.get(prefix).is_some_and(lately)
    }

    /// How `prefix` stands, if it is trusted.
    pub(super) fn standing(&self, prefix: &IpNet, now: Timestamp) -> Option<Standing> {
        let time = self.logins.get(prefix).filter(|_| self.trusts(prefix, now))?.last.at;
        let until = time.saturating_add(self.rule.after_success.get()).ok()?;
        Some(Standing::Trusted { time, until, failures: self.rule.failures.0 })
    }

    /// Whether somebody of `network` is trusted.
    pub(super) fn trusts_within(&self, network: &IpNet, now: Timestamp) -> bool {
        self.logins.keys().any(|prefix| network.contains(prefix) && self.trusts(prefix, now))
    }

    /// Counts failures of somebody who is trusted.
    pub(super) fn count(
        &mut self,
        prefix: IpNet,
        user: Option<&str>,
        time: Timestamp,
        attempts: u32,
        now: Timestamp,
    ) -> Counted {
        let user = user.map(|user| self.names.hash_one(user));
        let login = self.logins.get_mut(&prefix);
        let known = login.and_then(|login| login.users.iter_mut().find(|(known, _)| Some(*known) == user));
        let Some((_, counted)) = known else {
            return self.window.count(prefix, time, attempts, now);
        };
        if counted.is_some_and(|counted| time.duration_since(counted).abs() < MINUTE) {
            return Counted::Below(0);
        }
        *counted = Some(time);
        self.window.count(prefix, time, 1, now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::value::Count;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).unwrap()
    }

    fn office() -> (Trusted, IpNet) {
        let rule = Trust { failures: Count(5), ..Trust::default() };
        let mut trusted = Trusted::new(rule, Duration::from_secs(600));
        let office: IpNet = "203.0.113.9/32".parse().unwrap();
        trusted.succeeded(office, Some("alice"), at(0));
        (trusted, office)
    }

    #[test]
    fn a_success_is_trusted_for_its_time() {
        let (trusted, office) = office();
        assert!(trusted.trusts(&office, at(12 * 3600 - 1)));
        assert!(!trusted.trusts(&office, at(12 * 3600)));
        assert!(!trusted.trusts(&"203.0.113.8/32".parse().unwrap(), at(1)));
    }

    #[test]
    fn a_telephone_counts_once_a_minute_and_others_each() {
        let (mut trusted, office) = office();
        let mut fail = |user, second| trusted.count(office, Some(user), at(second), 1, at(second));
        for second in 1..60 {
            assert!(matches!(fail("alice", second), Counted::Below(0 | 1)), "{second}");
        }
        assert_eq!(fail("alice", 61), Counted::Below(2));
        assert_eq!(fail("bob", 62), Counted::Below(3));
        assert_eq!(fail("carol", 62), Counted::Below(4));
        assert_eq!(fail("carol", 62), Counted::Reached(5));
    }

    #[test]
    fn more_logins_than_are_kept_fill_no_memory() {
        let (mut trusted, office) = office();
        for number in 0..20_000_u32 {
            let address = std::net::IpAddr::from(number.to_be_bytes());
            trusted.succeeded(address.into(), Some("eve"), at(1));
            trusted.succeeded(office, Some(&number.to_string()), at(1));
        }
        assert_eq!((trusted.logins.len(), trusted.logins[&office].users.len()), (CAPACITY, USERS));
    }
}
