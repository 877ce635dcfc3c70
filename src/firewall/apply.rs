//! Changes in transactions, and what becomes of those that the kernel refuses.
//!
//! A transaction is all or nothing, and the kernel has three opinions that are not ours: adding an
//! element that is there does not give it the new timeout (before Linux 6.12), deleting one that is
//! not there is an error, and one element too many undoes the other thousands. So:
//!
//! 1. A ban is three messages: add, delete, add; a lift is two: add, delete. Each ends the same
//!    whatever was there. That costs 2 us more than a plain add; but a transaction that the kernel
//!    undoes costs 16 ms, which rules out trying the plain add first.
//! 2. If the kernel refuses some element, the changes are halved until that element is alone.
//! 3. If a set is full, what is already in it is changed first, then as many as there is room for
//!    are added.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::time::Duration;

use nix::errno::Errno;

use super::elements::{Action, ELEMENT_MAX, Entry, write_elements};
use super::netlink::NetlinkError;
use super::netlink::message::Batch;
use super::{Attempt, Change, Counter, Firewall, FirewallError, Set, rules, ruleset};

/// Bytes of a transaction that are not elements: headers, and sets and rules that come into use.
const BATCH_OVERHEAD: usize = 16 << 10;
/// What a change takes at most: its element three times, and its share of the messages' headers.
const CHANGE_MAX: usize = 3 * (ELEMENT_MAX + 1);
/// How often a transaction is tried whose elements come and go while it is written.
const TRANSACTION_ATTEMPTS: usize = 4;
/// Lifting adds the element first; for how long makes no difference.
const PLACEHOLDER: Option<Duration> = Some(Duration::from_secs(3_600));

/// A change that the kernel refused, while others were done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejected {
    /// Which change.
    pub change: Change,
    /// Why.
    pub error: FirewallError,
}

/// A change, the set that it is about, and its place among the changes that are applied together.
#[derive(Debug, Clone, Copy)]
struct Planned {
    change: Change,
    set: Set,
    /// The element is not there, or is there as it should be.
    new: bool,
    place: usize,
    of: usize,
}

impl Firewall {
    /// Applies changes in as few transactions as possible; of several changes of one target the
    /// last one counts. A ban ends up with exactly its time left (not less than 20 ms), whether or not the
    /// prefix was banned before. A lift of what is not banned is done.
    ///
    /// Returns the changes that the kernel refused by themselves (a full set, a target that no set
    /// holds, or a range: see [`Firewall::replace_ranges`]); the others are done.
    ///
    /// # Errors
    /// What concerns all changes: a missing privilege, table or kernel feature, or a broken talk
    /// with the kernel. The transaction that the error names (see [`Attempt::Change`]), and what
    /// comes after it, is not done; transactions before it are. Applying the same changes again
    /// is always right.
    pub fn apply(&mut self, changes: &[Change]) -> Result<Vec<Rejected>, FirewallError> {
        let rejected = self.apply_once(changes)?;
        self.lift_for_good(changes)?;
        Ok(rejected)
    }

    /// As [`Firewall::apply`], whatever packets do meanwhile.
    pub(super) fn apply_once(&mut self, changes: &[Change]) -> Result<Vec<Rejected>, FirewallError> {
        self.apply_as(changes, false)
    }

    /// As [`Firewall::apply`], for bans of targets that are either not in the kernel, or there with exactly this
    /// time left: they are only added, which takes a third of the time.
    ///
    /// # Errors
    /// As [`Firewall::apply`].
    pub fn add(&mut self, bans: &[Change]) -> Result<Vec<Rejected>, FirewallError> {
        self.apply_as(bans, true)
    }

    fn apply_as(&mut self, changes: &[Change], new: bool) -> Result<Vec<Rejected>, FirewallError> {
        let mut rejected = Vec::new();
        let planned = plan(changes, new, &mut rejected);
        let room = self.changes_per_batch();
        for planned in planned.chunks(room) {
            self.settle(planned, &mut rejected)?;
        }
        Ok(rejected)
    }

    /// Adds bans of which none may be refused.
    pub(super) fn add_all(&mut self, bans: &[Change]) -> Result<(), FirewallError> {
        match self.add(bans)?.into_iter().next() {
            None => Ok(()),
            Some(Rejected { error, .. }) => Err(error),
        }
    }

    /// How many changes one transaction holds, whatever they are.
    pub(super) fn changes_per_batch(&self) -> usize {
        (self.socket.send_limit().saturating_sub(BATCH_OVERHEAD) / CHANGE_MAX).max(1)
    }

    /// How many elements can be added to what a transaction holds already.
    pub(super) fn elements_beside(&self, batch: &Batch) -> usize {
        self.socket.send_limit().saturating_sub(batch.len() + BATCH_OVERHEAD) / (ELEMENT_MAX + 1)
    }

    /// Applies what fits one transaction, or as much of it as the kernel takes.
    fn settle(&mut self, planned: &[Planned], rejected: &mut Vec<Rejected>) -> Result<(), FirewallError> {
        match self.transact(planned) {
            Err(error) if error.is_full() => self.fill(planned, &error, rejected),
            Err(error) => self.halve(planned, error, rejected),
            Ok(()) => Ok(()),
        }
    }

    /// Applies both halves of what failed with `error` by themselves.
    fn halve(
        &mut self,
        planned: &[Planned],
        error: FirewallError,
        rejected: &mut Vec<Rejected>,
    ) -> Result<(), FirewallError> {
        if error.concerns_all() {
            return Err(error);
        }
        if let [only] = planned {
            rejected.push(Rejected { change: only.change, error });
            return Ok(());
        }
        let (left, right) = planned.split_at(planned.len() / 2);
        for half in [left, right] {
            if let Err(error) = self.transact(half) {
                self.halve(half, error, rejected)?;
            }
        }
        Ok(())
    }

    /// Applies changes of which some find their set full: first those of elements that are there,
    /// which need no room and may make some; then as many new bans as there is room for.
    fn fill(
        &mut self,
        planned: &[Planned],
        error: &FirewallError,
        rejected: &mut Vec<Rejected>,
    ) -> Result<(), FirewallError> {
        let (mut there, mut new) = (Vec::new(), BTreeMap::<Set, Vec<Planned>>::new());
        for planned in planned {
            match (self.contains(planned.change.target())?, planned.change) {
                (Some(_), _) => there.push(*planned),
                (None, Change::Ban { .. }) => new.entry(planned.set).or_default().push(*planned),
                (None, Change::Lift { .. }) => {}
            }
        }
        if let ([], [only]) = (there.as_slice(), planned) {
            rejected.extend(new.into_keys().map(|_| Rejected { change: only.change, error: error.clone() }));
            return Ok(());
        }
        if let Err(error) = self.transact(&there) {
            self.halve(&there, error, rejected)?;
        }
        for bans in new.values() {
            self.fill_set(bans, rejected)?;
        }
        Ok(())
    }

    /// Adds new bans to one set until it is full, and rejects the others.
    fn fill_set(&mut self, mut bans: &[Planned], rejected: &mut Vec<Rejected>) -> Result<(), FirewallError> {
        let mut step = bans.len();
        while !bans.is_empty() {
            let (now, later) = bans.split_at(step.min(bans.len()));
            match self.transact(now) {
                Err(error) if error.is_full() && now.len() > 1 => {
                    step = now.len() / 2;
                    continue;
                }
                Err(error) if error.is_full() => {
                    rejected
                        .extend(bans.iter().map(|ban| Rejected { change: ban.change, error: error.clone() }));
                    return Ok(());
                }
                Err(error) => self.halve(now, error, rejected)?,
                Ok(()) => {}
            }
            bans = later;
        }
        Ok(())
    }

    /// Writes changes in one transaction: all of them or none.
    fn transact(&mut self, planned: &[Planned]) -> Result<(), FirewallError> {
        let (Some(first), Some(last)) = (planned.first(), planned.last()) else { return Ok(()) };
        let attempt = Attempt::Change { first: first.place, last: last.place, of: first.of };
        let (entries, opening) = self.prepare(attempt, planned)?;
        let mut tried = 1;
        while let Err((reason, set)) = self.write_changes(&entries, opening.as_ref()) {
            match (reason.errno(), set) {
                // The table is gone; or an element ended by itself after it was found there.
                (Some(Errno::ENOENT), _) if tried < TRANSACTION_ATTEMPTS => {
                    self.check_there(attempt).inspect_err(|_| self.table = None)?;
                    tried += 1;
                }
                (Some(Errno::ENFILE), Some(set)) => {
                    let size = self.table(attempt)?.sizes.get(&set).copied().unwrap_or(self.options.set_size);
                    return Err(FirewallError::Full { set, size, attempt });
                }
                _ => return Err(self.failure(attempt, reason)),
            }
        }
        if let (Some(opening), Some(table)) = (opening, &mut self.table) {
            table.sizes.extend(opening.missing.iter().map(|set| (*set, self.options.set_size)));
            table.used = opening.used;
        }
        Ok(())
    }

    /// Sorts changes by set, and finds out which sets come into use by them.
    fn prepare(
        &mut self,
        attempt: Attempt,
        planned: &[Planned],
    ) -> Result<(BTreeMap<Set, Entries>, Option<Opening>), FirewallError> {
        if self.table.is_none() {
            self.table(attempt)?;
        }
        let Some(table) = &self.table else { return Err(FirewallError::Missing { attempt }) };
        let mut entries = BTreeMap::<Set, Entries>::new();
        for planned in planned {
            match planned.change {
                Change::Ban { target, left } => {
                    let entries = entries.entry(planned.set).or_default();
                    let bans = if planned.new { &mut entries.new } else { &mut entries.bans };
                    bans.push((target, left));
                }
                // What is not in a set that does not exist is lifted already.
                Change::Lift { .. } if !table.sizes.contains_key(&planned.set) => {}
                Change::Lift { target } => {
                    entries.entry(planned.set).or_default().lifts.push((target, PLACEHOLDER));
                }
            }
        }
        let banned: BTreeSet<Set> =
            entries.iter().filter(|(_, entries)| entries.ban()).map(|(set, _)| *set).collect();
        if banned.is_subset(&table.used) {
            return Ok((entries, None));
        }
        let missing = banned.iter().copied().filter(|set| !table.sizes.contains_key(set)).collect();
        let used = table.used.union(&banned).copied().collect();
        let counter = self.dropped()?;
        Ok((entries, Some(Opening { missing, used, counter })))
    }

    /// One attempt at a transaction; an error comes with the set that it is about, if it is about one.
    fn write_changes(
        &mut self,
        entries: &BTreeMap<Set, Entries>,
        opening: Option<&Opening>,
    ) -> Result<(), (NetlinkError, Option<Set>)> {
        let mut written: Vec<(u32, Set)> = Vec::new();
        let mut write = || {
            let mut batch = self.socket.batch(None)?;
            if let Some(opening) = opening {
                for set in &opening.missing {
                    ruleset::add_set(&mut batch, *set, self.options.set_size, self.options.count)?;
                }
                rules::write_rules(&mut batch, &self.options, opening.used.iter().copied(), opening.counter)?;
            }
            for (set, entries) in entries {
                for (action, entries) in entries.actions() {
                    write_elements(&mut batch, action, *set, entries, |number| written.push((number, *set)))?;
                }
            }
            self.socket.commit(batch)
        };
        write().map_err(|reason| {
            let set = match &reason {
                NetlinkError::Refused { sequence, .. } => {
                    written.iter().find(|(number, _)| number == sequence).map(|(_, set)| *set)
                }
                _ => None,
            };
            (reason, set)
        })
    }
}

/// The changes to one set.
#[derive(Debug, Default)]
struct Entries {
    lifts: Vec<Entry>,
    bans: Vec<Entry>,
    /// Bans that only have to be added.
    new: Vec<Entry>,
}

/// What comes into use with a transaction.
#[derive(Debug)]
struct Opening {
    /// Sets that have to be created.
    missing: Vec<Set>,
    /// All sets that have a rule afterwards.
    used: BTreeSet<Set>,
    /// Where the drop counter goes on.
    counter: Counter,
}

impl Entries {
    /// The messages that bring these changes about; lifts first, since they make room.
    fn actions(&self) -> [(Action, &[Entry]); 6] {
        let Self { lifts, bans, new } = self;
        [
            (Action::Add, lifts),
            (Action::Delete, lifts),
            (Action::Add, bans),
            (Action::Delete, bans),
            (Action::Add, bans),
            (Action::Add, new),
        ]
    }

    /// Whether somebody is banned by them.
    fn ban(&self) -> bool {
        !self.bans.is_empty() || !self.new.is_empty()
    }
}

/// Finds the set of each change and keeps the last change of each target, in order.
fn plan(changes: &[Change], new: bool, rejected: &mut Vec<Rejected>) -> Vec<Planned> {
    let mut planned = Vec::with_capacity(changes.len());
    let mut seen = HashSet::with_capacity(changes.len());
    for change in changes.iter().rev() {
        let target = change.target().trunc();
        if !seen.insert(target) {
            continue;
        }
        let set = Set::for_ban(target).filter(|set| !set.is_interval());
        match set.ok_or(FirewallError::NoSet { target }) {
            Ok(set) => planned.push(Planned { change: *change, set, new, place: 0, of: 0 }),
            Err(error) => rejected.push(Rejected { change: *change, error }),
        }
    }
    planned.reverse();
    let of = planned.len();
    for (place, planned) in (1..).zip(&mut planned) {
        planned.place = place;
        planned.of = of;
    }
    planned
}
