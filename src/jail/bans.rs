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

use super::row::{Origins, Row};
use super::{Ban, FEED};
use crate::service::Service;

/// How many past offenders are remembered for [`Ban::count`].
const REMEMBERED: usize = 100_000;

/// Names one row: listing goes on behind the last one that was seen.
pub type Key = (IpNet, Arc<str>);

/// How many rows are looked at for one slice: some 5 ms.
const LOOKED_AT: usize = 20_000;

/// Some of the bans in force.
#[derive(Debug)]
pub struct Slice {
    /// In order.
    pub bans: Vec<Ban>,
    /// Where to go on; `None` if there are no more.
    pub next: Option<Key>,
}

/// Every ban in force, by prefix and then by jail.
#[derive(Debug, Default)]
pub struct Bans {
    rows: BTreeMap<IpNet, Rows>,
    /// When bans end, in microseconds since 1970. Those of one prefix that end together have one entry.
    ends: BTreeSet<(i64, IpNet)>,
    origins: Origins,
    past: IndexMap<Key, u32>,
    forgotten: usize,
    /// How many rows each jail has; none of them 0.
    counts: BTreeMap<Arc<str>, usize>,
    len: usize,
}

/// The bans of one prefix: hardly ever more than one.
#[derive(Debug)]
enum Rows {
    One(Row),
    /// By jail.
    Many(Vec<Row>),
}

/// How long the kernel is to drop a prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum End {
    /// Until then.
    At(Timestamp),
    /// Until somebody lifts it.
    Never,
}

impl Rows {
    fn as_slice(&self) -> &[Row] {
        match self {
            Self::One(row) => std::slice::from_ref(row),
            Self::Many(rows) => rows,
        }
    }
}

impl Bans {
    /// Nobody is banned.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Many bans at once: this takes less time and memory than to insert one after another.
    #[must_use]
    pub fn of_rows(bans: Vec<Ban>) -> Self {
        let mut all = Self::default();
        let mut rows: Vec<(IpNet, Rows)> = Vec::with_capacity(bans.len());
        let mut more = Vec::new();
        for ban in bans {
            match rows.last() {
                Some((last, _)) if *last >= ban.prefix => more.push(ban),
                _ => rows.push((ban.prefix, Rows::One(Row::new(ban, &mut all.origins)))),
            }
        }
        all.len = rows.len();
        for (_, rows) in &rows {
            for row in rows.as_slice() {
                match all.counts.get_mut(row.jail()) {
                    Some(count) => *count += 1,
                    None => drop(all.counts.insert(Arc::clone(row.jail()), 1)),
                }
            }
        }
        all.ends = rows
            .iter()
            .flat_map(|(prefix, rows)| {
                rows.as_slice().iter().filter_map(|row| row.until()).map(|until| (until, *prefix))
            })
            .collect();
        all.rows = rows.into_iter().collect();
        more.into_iter().for_each(|ban| all.insert(ban));
        all
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
        self.row(prefix, jail)
            .map(|row| row.count)
            .or_else(|| self.past.get(&(*prefix, Arc::clone(jail))).copied())
            .unwrap_or(0)
    }

    /// The ban of `prefix` by `jail`.
    #[must_use]
    pub fn get(&self, prefix: &IpNet, jail: &str) -> Option<Ban> {
        self.row(prefix, jail).map(|row| row.ban(*prefix))
    }

    /// When the ban of `prefix` by `jail` began, if there is one.
    #[must_use]
    pub fn since(&self, prefix: &IpNet, jail: &str) -> Option<Timestamp> {
        self.row(prefix, jail).map(Row::since)
    }

    /// Every ban of exactly `prefix`, one for each jail.
    #[must_use]
    pub fn of(&self, prefix: &IpNet) -> SmallVec<[Ban; 1]> {
        self.rows_of(prefix).iter().map(|row| row.ban(*prefix)).collect()
    }

    /// How long the kernel is to drop what `prefix` sends to `service` (`None`: everything by one element); `None` if
    /// no ban says so.
    #[must_use]
    pub fn end(&self, prefix: &IpNet, service: Option<Service>) -> Option<End> {
        self.rows_of(prefix).iter().filter(|row| row.closes(service)).map(Row::end).max()
    }

    /// Every ban, in order, behind `after` if given.
    pub fn iter_after<'a>(&'a self, after: Option<&'a Key>) -> impl Iterator<Item = Ban> + 'a {
        let start = after.map_or(Bound::Unbounded, |(prefix, _)| Bound::Included(*prefix));
        let rows = self
            .rows
            .range((start, Bound::Unbounded))
            .flat_map(|(prefix, rows)| rows.as_slice().iter().map(move |row| (prefix, row)));
        rows.skip_while(move |(prefix, row)| {
            after.is_some_and(|(seen, jail)| (*prefix, row.jail()) <= (seen, jail))
        })
        .map(|(prefix, row)| row.ban(*prefix))
    }

    /// The next bans behind `after` that are `wanted`, at most `most`. Not too many others are looked at: whoever
    /// goes through all of them delays nobody between two slices.
    #[must_use]
    pub fn slice(&self, after: Option<&Key>, most: usize, wanted: impl Fn(&Ban) -> bool) -> Slice {
        let (mut bans, mut last) = (Vec::new(), None);
        for (looked_at, ban) in self.iter_after(after).enumerate() {
            if bans.len() == most || looked_at == LOOKED_AT {
                return Slice { bans, next: last };
            }
            last = Some((ban.prefix, Arc::clone(&ban.jail)));
            if wanted(&ban) {
                bans.push(ban);
            }
        }
        Slice { bans, next: None }
    }

    /// Every ban, in order.
    pub fn iter(&self) -> impl Iterator<Item = Ban> + '_ {
        self.iter_after(None)
    }

    /// Every banned prefix, in order.
    pub fn prefixes(&self) -> impl Iterator<Item = IpNet> + '_ {
        self.rows.keys().copied()
    }

    /// Adds a ban, or replaces the one of the same prefix and jail.
    pub fn insert(&mut self, ban: Ban) {
        self.take(&ban.prefix, &ban.jail);
        let prefix = ban.prefix;
        *self.counts.entry(Arc::clone(&ban.jail)).or_default() += 1;
        let row = Row::new(ban, &mut self.origins);
        if let Some(until) = row.until() {
            self.ends.insert((until, prefix));
        }
        let rows = match self.rows.remove(&prefix) {
            None => Rows::One(row),
            Some(Rows::One(other)) => {
                let mut both = vec![other, row];
                both.sort_by(|a, b| a.jail().cmp(b.jail()));
                Rows::Many(both)
            }
            Some(Rows::Many(mut rows)) => {
                let place = rows.partition_point(|other| other.jail() < row.jail());
                rows.insert(place, row);
                Rows::Many(rows)
            }
        };
        self.rows.insert(prefix, rows);
        self.len += 1;
    }

    /// Makes `rows` the only bans of `prefix`, as if nothing had happened to them.
    pub fn put_back(&mut self, prefix: &IpNet, rows: impl IntoIterator<Item = Ban>) {
        for ban in self.of(prefix) {
            self.take(prefix, &ban.jail);
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
        let (until, prefix) = *self.ends.first()?;
        if until > now.as_microsecond() {
            return None;
        }
        let over = self.rows_of(&prefix).iter().find(|row| row.until() == Some(until));
        let jail = over.map(|row| Arc::clone(row.jail()))?;
        self.remove(&prefix, &jail)
    }

    /// When the next ban ends by itself.
    #[must_use]
    pub fn next_end(&self) -> Option<Timestamp> {
        self.ends.first().map(|(until, _)| super::row::time(*until))
    }

    fn rows_of(&self, prefix: &IpNet) -> &[Row] {
        self.rows.get(prefix).map_or(&[], Rows::as_slice)
    }

    fn row(&self, prefix: &IpNet, jail: &str) -> Option<&Row> {
        self.rows_of(prefix).iter().find(|row| &**row.jail() == jail)
    }

    fn take(&mut self, prefix: &IpNet, jail: &str) -> Option<Ban> {
        let row = self.take_row(prefix, jail)?;
        if let Some(until) = row.until()
            && !self.rows_of(prefix).iter().any(|other| other.until() == Some(until))
        {
            self.ends.remove(&(until, *prefix));
        }
        self.len -= 1;
        if let Some(count) = self.counts.get_mut(jail) {
            *count -= 1;
            if *count == 0 {
                self.counts.remove(jail);
            }
        }
        Some(row.ban(*prefix))
    }

    fn take_row(&mut self, prefix: &IpNet, jail: &str) -> Option<Row> {
        match self.rows.get_mut(prefix)? {
            Rows::One(row) if &**row.jail() != jail => None,
            Rows::One(_) => match self.rows.remove(prefix)? {
                Rows::One(row) => Some(row),
                Rows::Many(_) => None,
            },
            Rows::Many(rows) => {
                let place = rows.iter().position(|row| &**row.jail() == jail)?;
                let row = rows.remove(place);
                if rows.is_empty() {
                    self.rows.remove(prefix);
                }
                Some(row)
            }
        }
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
            seen.extend(bans.iter_after(after.as_ref()).next());
        }
        assert_eq!(seen, bans.iter().collect::<Vec<_>>());
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
        let rows = bans.of(&one);
        bans.insert(ban("203.0.113.1/32", "sshd", None));
        bans.insert(ban("203.0.113.1/32", "manual", None));
        bans.put_back(&one, rows.clone());
        assert_eq!(bans.of(&one), rows);
        assert_eq!((bans.len(), bans.next_end()), (1, Some(at(60))));
    }

    #[test]
    fn the_bans_of_a_prefix_are_small() {
        assert_eq!(size_of::<Rows>(), size_of::<Row>());
    }

    #[test]
    fn many_at_once_are_the_same_as_one_after_another() {
        let rows = vec![
            ban("203.0.113.1/32", "mail", Some(60)),
            ban("203.0.113.1/32", "sshd", Some(60)),
            ban("203.0.113.9/32", "sshd", None),
            ban("203.0.113.2/32", "sshd", Some(90)),
            ban("2001:db8::/64", "sshd", Some(30)),
        ];
        let mut one_by_one = Bans::new();
        rows.iter().cloned().for_each(|ban| one_by_one.insert(ban));
        let mut at_once = Bans::of_rows(rows);
        assert_eq!(at_once.len(), 5);
        assert!(at_once.iter().eq(one_by_one.iter()));
        while let Some(ban) = one_by_one.expire_next(at(99)) {
            assert_eq!(at_once.expire_next(at(99)), Some(ban));
        }
        assert_eq!((at_once.expire_next(at(99)), at_once.len(), at_once.next_end()), (None, 1, None));
    }
}
