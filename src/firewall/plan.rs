//! What a transaction is to bring about: which change of which set, and by which messages.

use std::collections::{BTreeSet, HashSet};

use super::elements::{Action, Entry};
use super::{Change, Counter, FirewallError, Rejected, Set, Target};

/// A change, the set that it is about, and its place among the changes that are applied together.
#[derive(Debug, Clone, Copy)]
pub(super) struct Planned {
    pub(super) change: Change,
    pub(super) set: Set,
    pub(super) how: How,
    pub(super) place: usize,
    pub(super) of: usize,
}

impl Planned {
    /// See [`Firewall::while_nothing_is_renewed`].
    pub(super) fn lifts_what_packets_renew(&self) -> bool {
        matches!(self.change, Change::Lift { .. }) && self.set.tier().is_some()
    }
}

/// How a ban is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum How {
    /// Whatever is there.
    Anew,
    /// The element is not there, or is there as it should be.
    Added,
    /// The element is probably not there.
    First,
}

/// The changes to one set.
#[derive(Debug, Default)]
pub(super) struct Entries {
    pub(super) lifts: Vec<Entry>,
    pub(super) bans: Vec<Entry>,
    /// Bans that only have to be added.
    pub(super) added: Vec<Entry>,
    /// The same, if they are not there.
    pub(super) first: Vec<Entry>,
}

/// What comes into use with a transaction.
#[derive(Debug)]
pub(super) struct Opening {
    /// Sets that have to be created.
    pub(super) missing: Vec<Set>,
    /// All sets that have a rule afterwards.
    pub(super) used: BTreeSet<Set>,
    /// Where the drop counter goes on.
    pub(super) counter: Counter,
}

impl Entries {
    /// The messages that bring these changes about; lifts first, since they make room.
    pub(super) fn actions(&self) -> [(Action, &[Entry]); 7] {
        let Self { lifts, bans, added, first } = self;
        [
            (Action::Add, lifts),
            (Action::Delete, lifts),
            (Action::Add, bans),
            (Action::Delete, bans),
            (Action::Add, bans),
            (Action::Add, added),
            (Action::AddNew, first),
        ]
    }

    /// Whether somebody is banned by them.
    pub(super) fn ban(&self) -> bool {
        !(self.bans.is_empty() && self.added.is_empty() && self.first.is_empty())
    }

    /// Some of those that were thought to be new are not.
    pub(super) fn write_anew(&mut self) {
        self.bans.append(&mut self.first);
    }
}

/// Finds the set of each change and keeps the last change of each target, in order.
pub(super) fn plan(
    changes: &[Change],
    how: impl Fn(&Target) -> How,
    rejected: &mut Vec<Rejected>,
) -> Vec<Planned> {
    let mut planned = Vec::with_capacity(changes.len());
    let mut seen = HashSet::with_capacity(changes.len());
    for change in changes.iter().rev() {
        let target = change.target().trunc();
        if !seen.insert(target) {
            continue;
        }
        let set = Set::for_ban(target).filter(|set| !set.is_interval());
        match set.ok_or(FirewallError::NoSet { target }) {
            Ok(set) => {
                planned.push(Planned { change: *change, set, how: how(&target), place: 0, of: 0 });
            }
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
