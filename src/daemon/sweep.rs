//! All bans on their way to the kernel, in slices, so that nobody waits while there are a million.
//!
//! The intent itself is the list of what is to be done: a sweep is a place in it. Bans made meanwhile are written by
//! themselves, wherever the sweep is.

use std::collections::BTreeSet;

use jiff::Timestamp;

use super::effect::{Effect, differs};
use super::intent;
use crate::firewall::{Change, Target};
use crate::jail::FEED;
use crate::jail::bans::Key;
use crate::jail::engine::{Engine, Remaining};

/// How many bans are dealt with in one go: 5 to 20 ms.
const SLICE: usize = 5_000;

/// How far the bans in force are on their way.
#[derive(Debug)]
pub(super) struct Sweep {
    way: Way,
    after: Option<Key>,
    left: Option<usize>,
    /// A range was not as intended.
    ranges: Option<Target>,
}

/// What is to be done with each ban.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// The sets were empty: it is added.
    Add,
    /// It is added if it is of a list: the others have been.
    AddLists,
    /// The kernel is asked for it, and told if it differs.
    Compare,
    /// The kernel is told how long it has left.
    Tell,
}

impl Sweep {
    pub(super) fn new(way: Way) -> Self {
        Self { way, after: None, left: None, ranges: None }
    }

    /// How many bans are still to be dealt with; of those that are only compared, none.
    pub(super) fn left(&self) -> usize {
        match self.way {
            Way::Compare => 0,
            Way::Add | Way::AddLists | Way::Tell => self.left.unwrap_or(0),
        }
    }

    /// Whether all bans were dealt with.
    pub(super) fn is_over(&self) -> bool {
        self.left == Some(0)
    }

    /// The targets of the next bans.
    pub(super) fn next(&mut self, engine: &Engine, most: usize) -> BTreeSet<Target> {
        let bans = engine.bans();
        let (mut targets, mut seen, mut last) = (BTreeSet::new(), 0, None);
        for ban in bans.iter_after(self.after.as_ref()).take(most) {
            if self.way != Way::AddLists || ban.jail.starts_with(FEED) {
                targets.extend(intent::targets(&ban));
            }
            seen += 1;
            last = Some((ban.prefix, ban.jail.clone()));
        }
        self.after = last.or(self.after.take());
        self.left = Some(match seen == most {
            true => self.left.unwrap_or(bans.len()).saturating_sub(seen).max(1),
            false => 0,
        });
        targets
    }
}

impl Effect {
    /// Deals with the next slice of a sweep, if there is one.
    pub(super) fn sweep(&mut self, engine: &Engine, now: Timestamp) {
        let Some(mut sweep) = self.sweep.take() else { return };
        let targets = sweep.next(engine, SLICE);
        sweep.ranges = sweep.ranges.or_else(|| targets.iter().copied().find(intent::is_range));
        match sweep.way {
            Way::Add | Way::AddLists => {
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

    /// Has the bans of lists added, if there are any; all others have been.
    pub(super) fn add_lists(&mut self, any: bool) {
        self.sweep = any.then(|| Sweep::new(Way::AddLists));
    }

    /// Whether a sweep writes more bans than one slice holds.
    pub(super) fn is_writing_many(&self) -> bool {
        self.sweep.as_ref().is_some_and(|sweep| sweep.left() > SLICE)
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

    /// Adds bans that are not in the kernel.
    pub(super) fn add(&mut self, bans: &[Change]) {
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
