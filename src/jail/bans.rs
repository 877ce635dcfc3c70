//! The bans in force: the intent that the firewall makes true.
//!
//! One prefix may be banned by several jails, each with its own end; the kernel holds one element that lasts
//! as long as the longest of them. Ends are kept in order, so that expiry costs only what expires.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::Arc;

use ipnet::IpNet;
use jiff::Timestamp;
use smallvec::SmallVec;

use super::Ban;
use super::gathered::Gathered;
use super::offenders::{Offenders, Past};
use super::renewal::Renewing;
use super::row::{Origins, Row};
use crate::service::Service;
use crate::tier::Tier;

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
    offenders: Offenders,
    renewing: Renewing,
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

    /// Takes over what `others` has, which comes behind.
    fn join(&mut self, others: &mut Self) {
        let take = |rows: &mut Self| match std::mem::replace(rows, Self::Many(Vec::new())) {
            Self::One(row) => vec![row],
            Self::Many(rows) => rows,
        };
        let mut rows = take(self);
        rows.append(&mut take(others));
        *self = Self::Many(rows);
    }
}

impl Bans {
    /// Nobody is banned.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// All bans that were gathered; of two of the same prefix and jail, one.
    #[must_use]
    pub fn of_all(gathered: Gathered) -> Self {
        let (gathered, origins) = gathered.in_order();
        let mut all = Self { origins, len: gathered.len(), ..Self::default() };
        for (prefix, row) in &gathered {
            match all.counts.get_mut(row.jail()) {
                Some(count) => *count += 1,
                None => drop(all.counts.insert(Arc::clone(row.jail()), 1)),
            }
            if let Some(tier) = row.renew() {
                all.renewing.add(tier, (*prefix, Arc::clone(row.jail())));
            }
        }
        all.ends = gathered.iter().filter_map(|(prefix, row)| Some((row.until()?, *prefix))).collect();
        // In the place of what was gathered, which is half of what there is of memory at this moment.
        let mut rows: Vec<(IpNet, Rows)> =
            gathered.into_iter().map(|(prefix, row)| (prefix, Rows::One(row))).collect();
        rows.dedup_by(|(prefix, more), (known, rows)| {
            let is_same = prefix == known;
            if is_same {
                rows.join(more);
            }
            is_same
        });
        all.rows = rows.into_iter().collect();
        all
    }

    /// The prefixes that more than one jail bans.
    pub fn shared(&self) -> impl Iterator<Item = IpNet> + '_ {
        let many = |(prefix, rows): (&IpNet, &Rows)| matches!(rows, Rows::Many(_)).then_some(*prefix);
        self.rows.iter().filter_map(many)
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
        self.known(prefix).iter().find(|past| past.jail == *jail).map_or(0, |past| past.count)
    }

    /// What each jail has had against `prefix`: bans in force, and those that have ended. What was only listed, found or
    /// observed does not count.
    #[must_use]
    pub fn known(&self, prefix: &IpNet) -> SmallVec<[Past; 2]> {
        let rows = self.rows_of(prefix).iter().filter(|row| row.counts());
        let mut known: SmallVec<[Past; 2]> = rows.map(Row::past).collect();
        for past in self.offenders.of(prefix) {
            if known.iter().all(|row| row.jail != past.jail) {
                known.push(past.clone());
            }
        }
        known
    }

    /// What a jail had against `prefix` before a restart. A ban in force remembers it itself.
    pub fn recall(&mut self, prefix: IpNet, past: Past) {
        if !self.row(&prefix, &past.jail).is_some_and(Row::counts) {
            self.offenders.note(prefix, past);
        }
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

    /// How long the kernel is to drop what `prefix` sends to `service` (`None`: everything by one element), by the element
    /// that packets `renew` for so long; `None` if no ban says so.
    #[must_use]
    pub fn end(&self, prefix: &IpNet, service: Option<Service>, renew: Option<Tier>) -> Option<End> {
        let rows = self.rows_of(prefix).iter();
        rows.filter(|row| row.renew() == renew && row.closes(service)).map(Row::end).max()
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

    /// Every ban of `prefix` and of what is in it, in order.
    pub fn within<'a>(&'a self, prefix: &'a IpNet) -> impl Iterator<Item = Ban> + 'a {
        // A wider network that begins at the same address comes before.
        let rows = self.rows.range(prefix..).take_while(|(inner, _)| prefix.contains(*inner));
        rows.flat_map(|(prefix, rows)| rows.as_slice().iter().map(|row| row.ban(*prefix)))
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
        if let Some(tier) = row.renew() {
            self.renewing.add(tier, (prefix, Arc::clone(row.jail())));
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

    /// Removes the ban of `prefix` by `jail`. How often it was banned is remembered, unless a list named it (lists are long,
    /// and come back as they are) or it was only observed.
    pub fn remove(&mut self, prefix: &IpNet, jail: &str) -> Option<Ban> {
        let row = self.take(prefix, jail)?;
        if row.counts() {
            self.offenders.note(*prefix, row.past());
        }
        Some(row.ban(*prefix))
    }

    /// The next ban whose time is over at `now`.
    #[must_use]
    pub fn due(&self, now: Timestamp) -> Option<Ban> {
        let (until, prefix) = *self.ends.first()?;
        if until > now.as_microsecond() {
            return None;
        }
        let over = self.rows_of(&prefix).iter().find(|row| row.until() == Some(until));
        over.map(|row| row.ban(prefix))
    }

    /// Removes the next ban whose time is over at `now`; `None` once there is none left.
    pub fn expire_next(&mut self, now: Timestamp) -> Option<Ban> {
        let Ban { prefix, jail, .. } = self.due(now)?;
        self.remove(&prefix, &jail)
    }

    /// The bans behind `after` that the offender's packets renew, in order.
    pub fn renewed_after(&self, after: Option<&Key>) -> impl Iterator<Item = Ban> {
        self.renewing.after(after).filter_map(|(prefix, jail)| self.get(prefix, jail))
    }

    pub(super) fn renewing(&self) -> &Renewing {
        &self.renewing
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

    fn take(&mut self, prefix: &IpNet, jail: &str) -> Option<Row> {
        let row = self.take_row(prefix, jail)?;
        if let Some(until) = row.until()
            && !self.rows_of(prefix).iter().any(|other| other.until() == Some(until))
        {
            self.ends.remove(&(until, *prefix));
        }
        if let Some(tier) = row.renew() {
            self.renewing.remove(tier, &(*prefix, Arc::clone(row.jail())));
        }
        self.len -= 1;
        if let Some(count) = self.counts.get_mut(jail) {
            *count -= 1;
            if *count == 0 {
                self.counts.remove(jail);
            }
        }
        Some(row)
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
#[path = "bans_tests.rs"]
mod tests;
