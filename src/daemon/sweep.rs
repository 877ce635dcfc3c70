//! All bans on their way to the kernel, in slices, so that nobody waits while there are a million.
//!
//! The intent itself is the list of what is to be done: a sweep is a place in it, or some of its prefixes. Bans made meanwhile are written by
//! themselves, wherever the sweep is.

use std::collections::BTreeSet;

use ipnet::IpNet;
use jiff::Timestamp;

use super::effect::{Effect, differs};
use super::intent;
use crate::firewall::{Change, Target};
use crate::jail::Ban;
use crate::jail::bans::Key;
use crate::jail::engine::{Engine, Remaining};

/// How many bans are dealt with in one go: 5 to 20 ms.
const SLICE: usize = 5_000;

/// How far bans in force are on their way.
#[derive(Debug)]
pub(super) struct Sweep {
    way: Way,
    rest: Rest,
    /// A range was not as intended.
    ranges: Option<Target>,
}

/// What is to be done with each ban.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// The kernel does not have it: it is added.
    Add,
    /// The kernel is asked for it, and told if it differs.
    Compare,
    /// The kernel is told how long it has left.
    Tell,
}

/// What a sweep has not dealt with yet.
#[derive(Debug)]
enum Rest {
    /// Of all bans, those behind this one; how many they are, once it was counted.
    Behind(Option<Key>, Option<usize>),
    /// The bans of these prefixes.
    Of(Vec<IpNet>),
}

impl Sweep {
    /// All bans.
    pub(super) fn new(way: Way) -> Self {
        Self { way, rest: Rest::Behind(None, None), ranges: None }
    }

    /// How many bans are still to be dealt with; of those that are only compared, none.
    pub(super) fn left(&self) -> usize {
        match (&self.rest, self.way) {
            (_, Way::Compare) => 0,
            (Rest::Behind(_, left), _) => left.unwrap_or(0),
            (Rest::Of(prefixes), _) => prefixes.len(),
        }
    }

    /// Whether all bans were dealt with.
    pub(super) fn is_over(&self) -> bool {
        match &self.rest {
            Rest::Behind(_, left) => *left == Some(0),
            Rest::Of(prefixes) => prefixes.is_empty(),
        }
    }

    /// The targets of the next bans.
    pub(super) fn next(&mut self, engine: &Engine, most: usize) -> BTreeSet<Target> {
        match &mut self.rest {
            Rest::Of(prefixes) => {
                let some = prefixes.split_off(prefixes.len().saturating_sub(most));
                some.iter().flat_map(|prefix| intent::targets_of(engine, prefix)).collect()
            }
            Rest::Behind(after, left) => {
                let (mut targets, mut seen, mut last) = (BTreeSet::new(), 0, None);
                for ban in engine.bans().iter_after(after.as_ref()).take(most) {
                    targets.extend(intent::targets(&ban));
                    seen += 1;
                    last = Some((ban.prefix, ban.jail.clone()));
                }
                *after = last.or(after.take());
                *left = Some(match seen == most {
                    true => left.unwrap_or(engine.bans().len()).saturating_sub(seen).max(1),
                    false => 0,
                });
                targets
            }
        }
    }
}

impl Effect {
    /// Deals with the next slice of a sweep, if there is one.
    pub(super) fn sweep(&mut self, engine: &Engine, now: Timestamp) {
        let Some(mut sweep) = self.sweep.take() else { return };
        let targets = sweep.next(engine, SLICE);
        sweep.ranges = sweep.ranges.or_else(|| targets.iter().copied().find(intent::is_range));
        match sweep.way {
            Way::Add => {
                let bans = self.changes(engine, &targets, now);
                let bans: Vec<Change> = bans.filter(|change| matches!(change, Change::Ban { .. })).collect();
                self.add(&bans);
            }
            Way::Tell => self.doubt(targets.into_iter().filter(|target| !intent::is_range(target))),
            Way::Compare => self.compare_slice(engine, targets, now),
        }
        if !sweep.is_over() {
            self.sweep = Some(sweep);
        } else if let Some(range) = sweep.ranges {
            self.doubt([range]);
        }
        self.settle(engine, now);
    }

    /// Has the bans of `prefixes` added, which the kernel does not have.
    pub(super) fn add_bans_of(&mut self, prefixes: Vec<IpNet>) {
        self.sweep = Some(Sweep { way: Way::Add, rest: Rest::Of(prefixes), ranges: None });
    }

    /// Whether more bans are to be written than one slice holds.
    pub(super) fn is_writing_many(&self) -> bool {
        self.doubted() > SLICE || self.sweep.as_ref().is_some_and(|sweep| sweep.left() > SLICE)
    }

    /// Has the kernel told how long every ban has left.
    pub(super) fn tell(&mut self, engine: &Engine, now: Timestamp) {
        self.sweep = Some(Sweep::new(Way::Tell));
        self.sweep(engine, now);
    }

    /// What the kernel has to do about those targets that are no ranges and do not wait for room.
    pub(super) fn changes<'a>(
        &'a self,
        engine: &'a Engine,
        targets: &'a BTreeSet<Target>,
        now: Timestamp,
    ) -> impl Iterator<Item = Change> + 'a {
        let single = targets.iter().filter(|target| !intent::is_range(target) && !self.waits(target));
        single.map(move |target| intent::change(engine, *target, now))
    }

    /// Adds the first of `bans`, which the kernel does not have and which have no other of the same prefix; nothing is done about
    /// ranges. How many it has dealt with.
    pub(super) fn add_some(&mut self, bans: impl Iterator<Item = Ban>) -> usize {
        let (mut changes, mut some, now) = (Vec::new(), 0, Timestamp::now());
        for ban in bans.take(SLICE) {
            changes.extend(intent::additions(&ban, now));
            some += 1;
        }
        self.add(&changes);
        some
    }

    /// Adds bans that are not in the kernel.
    fn add(&mut self, bans: &[Change]) {
        match self.firewall.add(bans) {
            Ok(rejected) => self.wait_for(rejected, false),
            // Settling knows what to do about it.
            Err(_) => self.doubt(bans.iter().map(Change::target)),
        }
    }

    fn compare_slice(&mut self, engine: &Engine, targets: BTreeSet<Target>, now: Timestamp) {
        let mut wrong = Vec::new();
        for target in targets {
            let wanted = intent::remaining(engine, &target, now);
            if wanted == Remaining::Nothing || intent::is_range(&target) {
                continue;
            }
            // What the kernel will not say is told again.
            let held = self.firewall.contains(target).ok().flatten().map(|element| element.left);
            if differs(&target, held, wanted) {
                wrong.push(target);
            }
        }
        self.doubt(wrong);
    }
}
