//! The bans in force: the intent that the firewall makes true.
//!
//! One prefix may be banned by several jails, each with its own end; the kernel holds one element that lasts
//! as long as the longest of them. Ends are kept in order, so that expiry costs only what expires.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::Arc;

use indexmap::IndexMap;
use ipnet::IpNet;
use jiff::Timestamp;
use smallvec::SmallVec;

use super::{Ban, FEED};
use crate::service::Service;

/// How many past offenders are remembered for [`Ban::count`].
const REMEMBERED: usize = 100_000;

/// Names one row: listing goes on behind the last one that was seen.
pub type Key = (IpNet, Arc<str>);

/// Every ban in force, by prefix and then by jail.
#[derive(Debug, Default)]
pub struct Bans {
    rows: BTreeMap<IpNet, SmallVec<[Ban; 1]>>,
    ends: BTreeSet<(Timestamp, IpNet, Arc<str>)>,
    past: IndexMap<Key, u32>,
    forgotten: usize,
    /// How many rows each jail has; none of them 0.
    counts: BTreeMap<Arc<str>, usize>,
    len: usize,
}

/// How long the kernel is to drop a prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum End {
    /// Until then.
    At(Timestamp),
    /// Until somebody lifts it.
    Never,
}

impl Bans {
    /// Nobody is banned.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// How many rows there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// How many rows `jail` has.
    #[must_use]
    pub fn count(&self, jail: &str) -> usize {
        self.counts.get(jail).copied().unwrap_or(0)
    }

    /// How many rows the jails have that are `wanted`.
    pub fn count_of(&self, wanted: impl Fn(&str) -> bool) -> usize {
        self.counts.iter().filter(|(jail, _)| wanted(jail)).map(|(_, count)| count).sum()
    }

    /// Whether nobody is banned.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// How many times `jail` has banned `prefix` before.
    #[must_use]
    pub fn times_banned(&self, prefix: &IpNet, jail: &Arc<str>) -> u32 {
        self.get(prefix, jail)
            .map(|ban| ban.count)
            .or_else(|| self.past.get(&(*prefix, Arc::clone(jail))).copied())
            .unwrap_or(0)
    }

    /// The ban of `prefix` by `jail`.
    #[must_use]
    pub fn get(&self, prefix: &IpNet, jail: &str) -> Option<&Ban> {
        self.of(prefix).iter().find(|ban| &*ban.jail == jail)
    }

    /// Every ban of exactly `prefix`, one for each jail.
    #[must_use]
    pub fn of(&self, prefix: &IpNet) -> &[Ban] {
        self.rows.get(prefix).map_or(&[], SmallVec::as_slice)
    }

    /// How long the kernel is to drop what `prefix` sends to `service` (`None`: everything by one element); `None` if
    /// no ban says so.
    #[must_use]
    pub fn end(&self, prefix: &IpNet, service: Option<Service>) -> Option<End> {
        let closing = self.of(prefix).iter().filter(|ban| ban.closes().any(|closed| closed == service));
        closing.map(|ban| ban.until.map_or(End::Never, End::At)).max()
    }

    /// Every ban, in order, behind `after` if given.
    pub fn iter_after<'a>(&'a self, after: Option<&'a Key>) -> impl Iterator<Item = &'a Ban> {
        let start = after.map_or(Bound::Unbounded, |(prefix, _)| Bound::Included(*prefix));
        self.rows.range((start, Bound::Unbounded)).flat_map(|(_, bans)| bans).skip_while(move |ban| {
            after.is_some_and(|(prefix, jail)| (&ban.prefix, &ban.jail) <= (prefix, jail))
        })
    }

    /// Every ban, in order.
    pub fn iter(&self) -> impl Iterator<Item = &Ban> {
        self.iter_after(None)
    }

    /// Every banned prefix, in order.
    pub fn prefixes(&self) -> impl Iterator<Item = &IpNet> {
        self.rows.keys()
    }

    /// Adds a ban, or replaces the one of the same prefix and jail.
    pub fn insert(&mut self, ban: Ban) {
        self.take(&ban.prefix, &ban.jail);
        if let Some(until) = ban.until {
            self.ends.insert((until, ban.prefix, Arc::clone(&ban.jail)));
        }
        let rows = self.rows.entry(ban.prefix).or_default();
        let place = rows.partition_point(|other| other.jail < ban.jail);
        *self.counts.entry(Arc::clone(&ban.jail)).or_default() += 1;
        rows.insert(place, ban);
        self.len += 1;
    }

    /// Makes `rows` the only bans of `prefix`, as if nothing had happened to them.
    pub fn put_back(&mut self, prefix: &IpNet, rows: Vec<Ban>) {
        let jails: Vec<Arc<str>> = self.of(prefix).iter().map(|ban| Arc::clone(&ban.jail)).collect();
        for jail in jails {
            self.take(prefix, &jail);
        }
        rows.into_iter().for_each(|ban| self.insert(ban));
    }

    /// Removes the ban of `prefix` by `jail`. How often it was banned is remembered, unless a list named it: lists are long,
    /// and come back as they are.
    pub fn remove(&mut self, prefix: &IpNet, jail: &str) -> Option<Ban> {
        let ban = self.take(prefix, jail)?;
        if jail.starts_with(FEED) {
            return Some(ban);
        }
        if self.past.len() >= REMEMBERED {
            // Anybody but the newest: a golden-ratio step visits all places evenly (Knuth, TAOCP 6.4).
            self.forgotten = self.forgotten.wrapping_add(0x9E37_79B9);
            self.past.swap_remove_index(self.forgotten % REMEMBERED);
        }
        self.past.insert((ban.prefix, Arc::clone(&ban.jail)), ban.count);
        Some(ban)
    }

    /// Removes the next ban whose time is over at `now`; `None` once there is none left.
    pub fn expire_next(&mut self, now: Timestamp) -> Option<Ban> {
        let (until, prefix, jail) = self.ends.first()?.clone();
        if until > now {
            return None;
        }
        self.remove(&prefix, &jail)
    }

    /// When the next ban ends by itself.
    #[must_use]
    pub fn next_end(&self) -> Option<Timestamp> {
        self.ends.first().map(|(until, _, _)| *until)
    }

    fn take(&mut self, prefix: &IpNet, jail: &str) -> Option<Ban> {
        let rows = self.rows.get_mut(prefix)?;
        let place = rows.iter().position(|ban| &*ban.jail == jail)?;
        let ban = rows.remove(place);
        if rows.is_empty() {
            self.rows.remove(prefix);
        }
        if let Some(until) = ban.until {
            self.ends.remove(&(until, ban.prefix, Arc::clone(&ban.jail)));
        }
        self.len -= 1;
        if let Some(count) = self.counts.get_mut(jail) {
            *count -= 1;
            if *count == 0 {
                self.counts.remove(jail);
            }
        }
        Some(ban)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).unwrap()
    }

    fn ban(prefix: &str, jail: &str, until: Option<i64>) -> Ban {
        Ban {
            prefix: prefix.parse().unwrap(),
            jail: jail.into(),
            since: at(0),
            until: until.map(at),
            count: 1,
            source: "test".into(),
            reason: "".into(),
            services: None,
        }
    }

    #[test]
    fn a_prefix_is_banned_until_the_last_jail_lets_go() {
        let mut bans = Bans::new();
        let one = "203.0.113.1/32".parse().unwrap();
        bans.insert(ban("203.0.113.1/32", "sshd", Some(60)));
        bans.insert(ban("203.0.113.1/32", "mail", Some(90)));
        assert_eq!(bans.end(&one, None), Some(End::At(at(90))));
        bans.insert(ban("203.0.113.1/32", "manual", None));
        assert_eq!(bans.end(&one, None), Some(End::Never));
        bans.remove(&one, "manual").unwrap();
        assert_eq!(bans.expire_next(at(60)).unwrap().jail, "sshd".into());
        assert_eq!(bans.expire_next(at(60)), None);
        assert_eq!(bans.end(&one, None), Some(End::At(at(90))));
        assert!(bans.expire_next(at(91)).is_some());
        assert_eq!((bans.end(&one, None), bans.len(), bans.next_end()), (None, 0, None));
    }

    #[test]
    fn a_replaced_ban_ends_once() {
        let mut bans = Bans::new();
        bans.insert(ban("203.0.113.1/32", "sshd", Some(60)));
        bans.insert(ban("203.0.113.1/32", "sshd", Some(600)));
        assert_eq!(bans.len(), 1);
        assert_eq!(bans.expire_next(at(599)), None);
        assert!(bans.expire_next(at(600)).is_some());
        assert_eq!(bans.expire_next(at(9_999)), None);
    }

    #[test]
    fn listing_goes_on_behind_the_last_row_seen() {
        let mut bans = Bans::new();
        for jail in ["a", "b", "c"] {
            bans.insert(ban("203.0.113.1/32", jail, None));
            bans.insert(ban("203.0.113.2/32", jail, None));
        }
        let mut seen = Vec::new();
        for _ in 0..6 {
            let after = seen.last().map(|ban: &Ban| (ban.prefix, Arc::clone(&ban.jail)));
            seen.extend(bans.iter_after(after.as_ref()).next().cloned());
        }
        assert_eq!(seen, bans.iter().cloned().collect::<Vec<_>>());
        assert_eq!(seen.len(), 6);
    }

    #[test]
    fn who_was_banned_before_is_remembered() {
        let mut bans = Bans::new();
        bans.insert(ban("203.0.113.1/32", "sshd", Some(60)));
        bans.expire_next(at(61)).unwrap();
        let one = "203.0.113.1/32".parse().unwrap();
        assert_eq!(bans.times_banned(&one, &"sshd".into()), 1);
        assert_eq!(bans.times_banned(&one, &"mail".into()), 0);
    }

    #[test]
    fn the_newest_offenders_are_remembered_however_many_there_were() {
        let mut bans = Bans::new();
        let prefix = |n: u32| IpNet::from(std::net::IpAddr::from(std::net::Ipv4Addr::from(n)));
        let last = u32::try_from(REMEMBERED).unwrap() + 5_000;
        for n in 0..last {
            bans.insert(Ban { prefix: prefix(n), ..ban("0.0.0.0/32", "sshd", None) });
            bans.remove(&prefix(n), "sshd").unwrap();
        }
        let remembered =
            (last - 1000..last).filter(|n| bans.times_banned(&prefix(*n), &"sshd".into()) > 0).count();
        assert!(remembered > 950, "{remembered} of the last thousand");
    }

    #[test]
    fn what_is_put_back_is_as_it_was() {
        let mut bans = Bans::new();
        let one = "203.0.113.1/32".parse().unwrap();
        bans.insert(ban("203.0.113.1/32", "sshd", Some(60)));
        let rows = bans.of(&one).to_vec();
        bans.insert(ban("203.0.113.1/32", "sshd", None));
        bans.insert(ban("203.0.113.1/32", "manual", None));
        bans.put_back(&one, rows.clone());
        assert_eq!(bans.of(&one), rows);
        assert_eq!((bans.len(), bans.next_end()), (1, Some(at(60))));
    }
}
