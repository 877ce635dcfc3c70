//! Changes in transactions, and what becomes of those that the kernel refuses.
//!
//! A transaction is all or nothing, and the kernel has three opinions that are not ours: adding an
//! element that is there does not give it the new timeout (before Linux 6.12), deleting one that is
//! not there is an error, and one element too many undoes the other thousands. So:
//!
//! 1. A ban is three messages: add, delete, add; a lift is two: add, delete. Each ends the same
//!    whatever was there. Whom nobody was known to ban is only added, which takes a third of the time; if
//!    somebody was banned after all, the kernel undoes the transaction, which costs 16 ms, and it is done the long
//!    way, as are all for a while.
//! 2. If the kernel refuses some element, the changes are halved until that element is alone.
//! 3. If a set is full, what is already in it is changed first, then as many as there is room for
//!    are added.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use nix::errno::Errno;

use super::elements::{ELEMENT_MAX, write_elements};
use super::netlink::NetlinkError;
use super::netlink::message::Batch;
use super::plan::{Entries, How, Opening, Planned, plan};
use super::{Attempt, Change, Firewall, FirewallError, Set, Target, rules, ruleset};

/// Bytes of a transaction that are not elements: headers, and sets and rules that come into use.
const BATCH_OVERHEAD: usize = 16 << 10;
/// What a change takes at most: its element three times, and its share of the messages' headers.
const CHANGE_MAX: usize = 3 * (ELEMENT_MAX + 1);
/// How often a transaction is tried whose elements come and go while it is written.
const TRANSACTION_ATTEMPTS: usize = 4;
/// How many elements of one target are looked for, at most.
const COPIES: usize = 8;
/// For so long nobody is taken for new after somebody was who is not.
const NO_GUESSES: Duration = Duration::from_secs(10);
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
        self.apply_guessing(changes, &BTreeSet::new())
    }

    /// As [`Firewall::apply`], where `new` targets are probably not in the kernel: that makes them cheaper, and is not
    /// relied upon.
    ///
    /// # Errors
    /// As [`Firewall::apply`].
    pub fn apply_guessing(
        &mut self,
        changes: &[Change],
        new: &BTreeSet<Target>,
    ) -> Result<Vec<Rejected>, FirewallError> {
        let guess = self.guessed_wrong.is_none_or(|wrong| wrong.elapsed() > NO_GUESSES);
        let how = |target: &Target| if guess && new.contains(target) { How::First } else { How::Anew };
        self.apply_as(changes, how)
    }

    /// As [`Firewall::apply`], for bans of targets that are either not in the kernel, or there with exactly this
    /// time left: they are only added, which takes a third of the time.
    ///
    /// # Errors
    /// As [`Firewall::apply`].
    pub fn add(&mut self, bans: &[Change]) -> Result<Vec<Rejected>, FirewallError> {
        self.apply_as(bans, |_| How::Added)
    }

    fn apply_as(
        &mut self,
        changes: &[Change],
        how: impl Fn(&Target) -> How,
    ) -> Result<Vec<Rejected>, FirewallError> {
        let mut rejected = Vec::new();
        let (renewed, planned): (Vec<Planned>, Vec<Planned>) =
            plan(changes, how, &mut rejected).into_iter().partition(Planned::lifts_what_packets_renew);
        // First what is banned: an offender who moves to another set is in one of them all the time.
        self.settle_all(&planned, &mut rejected)?;
        let there = self.of_which_there_are(renewed)?;
        if !there.is_empty() {
            self.while_nothing_is_renewed(|firewall| firewall.lift_every_copy(there, &mut rejected))?;
        }
        Ok(rejected)
    }

    /// A packet that comes while a ban is written may put a second element beside it.
    fn lift_every_copy(
        &mut self,
        mut there: Vec<Planned>,
        rejected: &mut Vec<Rejected>,
    ) -> Result<(), FirewallError> {
        for _ in 0..COPIES {
            self.settle_all(&there, rejected)?;
            there = self.of_which_there_are(there)?;
        }
        Ok(())
    }

    /// Those whose element is there.
    fn of_which_there_are(&mut self, planned: Vec<Planned>) -> Result<Vec<Planned>, FirewallError> {
        let mut there = Vec::new();
        for planned in planned {
            if self.contains(planned.change.target())?.is_some() {
                there.push(planned);
            }
        }
        Ok(there)
    }

    fn settle_all(&mut self, planned: &[Planned], rejected: &mut Vec<Rejected>) -> Result<(), FirewallError> {
        let room = self.changes_per_batch();
        planned.chunks(room).try_for_each(|planned| self.settle(planned, rejected))
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
        let (mut entries, opening) = self.prepare(attempt, planned)?;
        let mut tried = 1;
        while let Err((reason, set)) = self.write_changes(&entries, opening.as_ref()) {
            match (reason.errno(), set) {
                // The table is gone; or an element ended by itself after it was found there.
                (Some(Errno::ENOENT), _) if tried < TRANSACTION_ATTEMPTS => {
                    self.check_there(attempt).inspect_err(|_| self.table = None)?;
                    tried += 1;
                }
                (Some(Errno::EEXIST), _) if entries.values().any(|entries| !entries.first.is_empty()) => {
                    self.guessed_wrong = Some(Instant::now());
                    entries.values_mut().for_each(Entries::write_anew);
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
                    let bans = match planned.how {
                        How::Anew => &mut entries.bans,
                        How::Added => &mut entries.added,
                        How::First => &mut entries.first,
                    };
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
