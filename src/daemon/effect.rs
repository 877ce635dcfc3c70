//! Bringing the kernel (the effect) to the bans in force (the intent), wherever the two may differ.
//!
//! What to write is computed from the intent when it is written, never remembered: so several verdicts about
//! one address are one change, and trying again later is always right.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::drift::Drift;
use super::intent;
use super::sweep::{Sweep, Way};
use super::turns::Turns;
use crate::firewall::{Change, Element, Firewall, FirewallError, Found, Rejected, Set, Target};
use crate::jail::engine::{Engine, Remaining};
use crate::jail::{Ban, Verdict};
use crate::tier::Tier;
use crate::words::counted;

/// How long to wait after the kernel refused, before it is asked again.
const RETRY: Duration = Duration::from_secs(2);
/// How far the kernel's end of a ban may lie from ours without being sent again.
pub(super) const TOLERANCE: Duration = Duration::from_secs(2);

/// How many bans a table begins with that is made anew: some 50 ms.
const AT_ONCE: usize = 50_000;
/// How many refused changes are tried again in one go.
const AGAIN_AT_ONCE: usize = 1000;

/// The kernel's side, and where it may be behind.
pub(super) struct Effect {
    pub(super) firewall: Firewall,
    /// Why the table is not kband's alone, if it is not.
    pub(super) why_plain: Option<&'static str>,
    /// Targets whose state in the kernel may differ from the intent.
    dirty: BTreeSet<Target>,
    /// Those of them that the kernel probably has nothing of: what began with them is a ban.
    new: BTreeSet<Target>,
    /// The same for ranges, which are written all at once.
    dirty_ranges: BTreeSet<Target>,
    /// All bans, on their way to the kernel.
    pub(super) sweep: Option<Sweep>,
    trouble: Option<Trouble>,
    turns: Turns,
    /// How far the kernel has been compared with the intent, and what came of it.
    pub(super) drift: Drift,
}

/// The kernel has refused something.
struct Trouble {
    error: FirewallError,
    /// What it refused.
    waiting: BTreeSet<Target>,
    /// When to ask again.
    again: Instant,
    /// The set that has no room: more bans for it wait as well, since each refusal costs milliseconds.
    full: Option<Set>,
}

impl Effect {
    pub(super) fn new(firewall: Firewall) -> Self {
        Self {
            firewall,
            why_plain: None,
            dirty: BTreeSet::new(),
            new: BTreeSet::new(),
            dirty_ranges: BTreeSet::new(),
            sweep: None,
            trouble: None,
            turns: Turns::default(),
            drift: Drift::default(),
        }
    }

    /// Notes targets whose state in the kernel may differ from the intent.
    pub(super) fn doubt(&mut self, targets: impl IntoIterator<Item = Target>) {
        for target in targets {
            if intent::is_range(&target) {
                self.dirty_ranges.insert(target);
            } else {
                self.dirty.insert(target);
                self.new.remove(&target);
            }
        }
    }

    /// The same for those of a verdict that was just made.
    pub(super) fn doubt_verdict(&mut self, verdict: &Verdict, engine: &Engine) {
        let ban = verdict.ban();
        let alone = matches!(verdict, Verdict::Ban(_)) && engine.bans().of(&ban.prefix).len() == 1;
        for target in intent::targets(ban) {
            if alone && !intent::is_range(&target) && !self.waits(&target) && self.dirty.insert(target) {
                self.new.insert(target);
            } else {
                self.doubt([target]);
            }
        }
    }

    /// Makes the table as the firewall's options and its owner are now, keeping what is in it.
    pub(super) fn rebuild(&mut self, engine: &Engine, now: Timestamp) -> Result<(), FirewallError> {
        let found = self.firewall.set_up_known(&engine.allowed(), |set| intent::count_in(engine, set))?;
        // What waited for room has it now.
        self.trouble = None;
        self.compare(&found);
        self.settle(engine, now);
        self.sweep(engine, now);
        Ok(())
    }

    /// Tells the kernel who must never be dropped.
    pub(super) fn allow(&mut self, engine: &Engine, now: Timestamp) -> Result<(), FirewallError> {
        match self.firewall.set_allow(&engine.allowed()) {
            Err(error) if error.is_missing() => self.make_again(engine, now),
            result => result,
        }
    }

    /// Takes everybody out of the kernel's sets.
    pub(super) fn empty(&mut self, engine: &Engine, now: Timestamp) -> Result<(), FirewallError> {
        self.trouble = None;
        match self.firewall.empty() {
            Err(error) if error.is_missing() => self.make_again(engine, now),
            result => result,
        }
    }

    /// After the table was set up: whatever the kernel holds otherwise than intended will be put right.
    pub(super) fn compare(&mut self, found: &Found) {
        // Ranges are written all at once: one that is not intended is enough.
        self.doubt(found.elements.iter().map(|element| element.target).filter(intent::is_range));
        let nothing_there = !found.kept && found.elements.is_empty();
        self.sweep = Some(Sweep::new(if nothing_there { Way::Add } else { Way::Compare }));
    }

    /// Makes true whatever is doubted. What the kernel does not take is tried again later.
    pub(super) fn settle(&mut self, engine: &Engine, now: Timestamp) {
        let again = self.wake();
        self.settle_ranges(engine, now, again);
        self.settle_singles(engine, now, again);
    }

    /// As [`Effect::settle`], for one slice of many bans: ranges have to wait for their turn.
    pub(super) fn settle_slice(&mut self, engine: &Engine, now: Timestamp) {
        let again = self.wake();
        if self.turns.next_ranges() <= Instant::now() {
            self.settle_ranges(engine, now, again);
        }
        self.settle_singles(engine, now, again);
    }

    /// As [`Effect::settle`], for what nobody waits for: when it is its turn.
    pub(super) fn settle_in_turn(&mut self, engine: &Engine, now: Timestamp) {
        let due = !(self.dirty.is_empty() && self.dirty_ranges.is_empty()) && self.turns.take(Instant::now());
        if due || self.trouble.as_ref().is_some_and(Trouble::is_due) {
            self.settle_slice(engine, now);
        }
    }

    fn settle_ranges(&mut self, engine: &Engine, now: Timestamp, again: bool) {
        let doubted = std::mem::take(&mut self.dirty_ranges);
        let doubted = self.without_held_up(doubted, engine, now);
        if doubted.is_empty() {
            return;
        }
        let begin = Instant::now();
        match self.replace_ranges(engine, now) {
            Ok(()) => {
                let changes = doubted.into_iter().map(|target| intent::change(engine, target, now));
                self.cut_connections(changes);
            }
            Err(error) => self.wait(doubted, &error, again),
        }
        self.turns.wrote_ranges(begin.elapsed(), Instant::now());
    }

    fn settle_singles(&mut self, engine: &Engine, now: Timestamp, again: bool) {
        let (doubted, new) = (std::mem::take(&mut self.dirty), std::mem::take(&mut self.new));
        let doubted = self.without_held_up(doubted, engine, now);
        if doubted.is_empty() {
            return;
        }
        let changes = doubted.iter().map(|target| intent::change(engine, *target, now));
        let changes: Vec<Change> = changes.filter(|change| !self.lasts_longer(change)).collect();
        match self.apply(engine, &changes, &new, now) {
            Ok(rejected) => {
                let all = rejected.is_empty();
                self.wait_for(rejected, again);
                self.cut_connections(changes.iter().copied());
                if all {
                    self.made_room(&changes, again);
                }
            }
            Err(error) => self.wait(doubted, &error, again),
        }
    }

    /// What of `doubted` can be tried now; the rest waits for room.
    fn without_held_up(
        &mut self,
        doubted: BTreeSet<Target>,
        engine: &Engine,
        now: Timestamp,
    ) -> BTreeSet<Target> {
        let Some(trouble) = &mut self.trouble else { return doubted };
        let held_up = |target: &Target| trouble.holds_up(target, engine, now);
        let (wait, go): (BTreeSet<Target>, BTreeSet<Target>) = doubted.into_iter().partition(held_up);
        trouble.waiting.extend(wait);
        go
    }

    /// Why a target of `ban` is not in the kernel as intended, if one waits.
    pub(super) fn refusal(&self, ban: &Ban) -> Option<&FirewallError> {
        let waits = |trouble: &&Trouble| intent::targets(ban).any(|target| trouble.waiting.contains(&target));
        self.trouble.as_ref().filter(waits).map(|trouble| &trouble.error)
    }

    /// Whether the kernel has refused `target`, and it is tried again later.
    pub(super) fn waits(&self, target: &Target) -> bool {
        self.trouble.as_ref().is_some_and(|trouble| trouble.waiting.contains(target))
    }

    /// Takes the rules of unused sets away; and if somebody took away what should be there, puts it back.
    pub(super) fn tidy(&mut self, engine: &Engine, now: Timestamp) {
        if let Err(error) = self.look_for_drift(engine, now).and_then(|()| self.firewall.tidy()) {
            tracing::warn!("{error}");
        }
    }

    /// When to settle although nothing has happened.
    pub(super) fn next_try(&self) -> Option<Instant> {
        let again = self.trouble.as_ref().map(|trouble| trouble.again);
        let turn = (!self.dirty.is_empty()).then(|| self.turns.next());
        let ranges = (!self.dirty_ranges.is_empty()).then(|| self.turns.next().max(self.turns.next_ranges()));
        [again, turn, ranges].into_iter().flatten().min()
    }

    /// Why the kernel does not have all bans, if so.
    pub(super) fn trouble(&self) -> Option<String> {
        self.trouble.as_ref().map(|trouble| trouble.error.to_string())
    }

    /// How many targets may differ from the intent.
    pub(super) fn doubted(&self) -> usize {
        self.dirty.len() + self.dirty_ranges.len()
    }

    /// How many targets wait for the kernel.
    pub(super) fn pending(&self) -> usize {
        let swept = self.sweep.as_ref().map_or(0, Sweep::left);
        swept + self.doubted() + self.trouble.as_ref().map_or(0, |trouble| trouble.waiting.len())
    }

    /// If it is time to ask the kernel again, doubts what waits: so many at once that others get their turn.
    fn wake(&mut self) -> bool {
        let Some(trouble) = self.trouble.as_mut().filter(|trouble| trouble.is_due()) else { return false };
        trouble.full = None;
        let rest = trouble.waiting.iter().nth(AGAIN_AT_ONCE).copied();
        let rest = rest.map_or_else(BTreeSet::new, |first| trouble.waiting.split_off(&first));
        let now = std::mem::replace(&mut trouble.waiting, rest);
        trouble.again = Instant::now() + RETRY;
        if trouble.waiting.is_empty() {
            self.trouble = None;
        }
        self.doubt(now);
        true
    }

    /// Keeps what was rejected until it is asked again.
    pub(super) fn wait_for(&mut self, rejected: Vec<Rejected>, again: bool) {
        let targets = rejected.iter().map(|rejected| rejected.change.target()).collect();
        if let Some(first) = rejected.into_iter().next() {
            self.wait(targets, &first.error, again);
        }
    }

    /// Keeps what was refused until it is asked `again`; said once for as long as it lasts.
    pub(super) fn wait(&mut self, mut refused: BTreeSet<Target>, error: &FirewallError, again: bool) {
        let mut next = Instant::now() + RETRY;
        match self.trouble.take() {
            Some(mut before) => {
                refused.append(&mut before.waiting);
                next = before.again;
            }
            None if again => {}
            None => tracing::error!(
                "{error}; {} to be tried again",
                counted(refused.len(), "change waits", "changes wait")
            ),
        }
        let full = match error {
            FirewallError::Full { set, .. } => Some(*set),
            _ => None,
        };
        self.trouble = Some(Trouble { error: error.clone(), waiting: refused, again: next, full });
    }

    /// Everything was done: whoever waits for the room that a lift has made is asked at once.
    fn made_room(&mut self, changes: &[Change], again: bool) {
        match &mut self.trouble {
            Some(trouble) if changes.iter().any(|change| matches!(change, Change::Lift { .. })) => {
                trouble.full = None;
                trouble.again = Instant::now();
            }
            Some(_) => {}
            None if again => tracing::info!("the kernel has taken the bans that waited"),
            None => {}
        }
    }

    /// Applies changes; a table that somebody removed is made again, which does more than was asked.
    fn apply(
        &mut self,
        engine: &Engine,
        changes: &[Change],
        new: &BTreeSet<Target>,
        now: Timestamp,
    ) -> Result<Vec<Rejected>, FirewallError> {
        match self.firewall.apply_guessing(changes, new) {
            Err(error) if error.is_missing() => self.make_again(engine, now).map(|()| Vec::new()),
            result => result,
        }
    }

    /// Ends what offenders have open, if the administrator wishes that; not of those whose ban waits.
    fn cut_connections(&self, changes: impl Iterator<Item = Change>) {
        let banned = changes.filter(|change| matches!(change, Change::Ban { .. }));
        let banned = banned.map(|change| change.target()).filter(|target| !self.waits(target));
        match self.firewall.cut_connections(&banned.collect()) {
            Ok(0) => {}
            Ok(cut) => tracing::info!("{cut} connections of offenders were cut"),
            Err(error) => tracing::warn!("{error}"),
        }
    }

    /// Whether packets have renewed an element since we last heard of it, so that this change would end it too early.
    fn lasts_longer(&mut self, change: &Change) -> bool {
        let Change::Ban { target, left: Some(left) } = change else { return false };
        if target.renew.is_none() {
            return false;
        }
        let held = self.firewall.contains(*target).ok().flatten().map(|element| element.left);
        held.flatten().is_some_and(|held| held > *left) && !differs(target, held, Remaining::For(*left))
    }

    /// Writes every ban of a network of an unusual length.
    fn replace_ranges(&mut self, engine: &Engine, now: Timestamp) -> Result<(), FirewallError> {
        match self.firewall.replace_ranges(&intent::ranges(engine, now)) {
            Err(error) if error.is_missing() => self.make_again(engine, now),
            result => result,
        }
    }

    /// Makes the table again, with every ban in force.
    pub(super) fn make_again(&mut self, engine: &Engine, now: Timestamp) -> Result<(), FirewallError> {
        tracing::warn!("somebody changed the table inet kban: making it again with every ban in force");
        self.make_anew(engine, now).map(drop)
    }

    /// Makes the table anew, with the ranges and as many of the other bans in force as one transaction holds; those
    /// left follow in slices. Says how many are in.
    pub(super) fn make_anew(&mut self, engine: &Engine, now: Timestamp) -> Result<usize, FirewallError> {
        let mut sweep = Sweep::new(Way::Add);
        let elements: Vec<Element> = self
            .changes(engine, &sweep.next(engine, AT_ONCE), now)
            .filter_map(|change| match change {
                Change::Ban { target, left } => Some(Element { target, left, packets: None }),
                Change::Lift { .. } => None,
            })
            .collect();
        let ranges = intent::ranges(engine, now);
        let rejected = self.firewall.make_anew(&engine.allowed(), &elements, &ranges)?;
        self.drift.restored += 1;
        let restored = elements.len() + ranges.len() - rejected.len();
        self.wait_for(rejected, false);
        self.sweep = (!sweep.is_over()).then_some(sweep);
        Ok(restored)
    }
}

/// Whether what the kernel holds of a target is not what is wanted.
pub(super) fn differs(target: &Target, held: Option<Option<Duration>>, wanted: Remaining) -> bool {
    match (held, wanted, target.renew.map(Tier::length)) {
        (Some(None), Remaining::Forever, _) => false,
        (Some(Some(held)), Remaining::For(left), None) => held.abs_diff(left) > TOLERANCE,
        // Packets may have renewed it meanwhile, for that long and no longer.
        (Some(Some(held)), Remaining::For(left), Some(tier)) => {
            held + TOLERANCE < left.min(tier) || held > tier + TOLERANCE
        }
        _ => true,
    }
}

impl Trouble {
    /// Whether it is time to ask the kernel again.
    fn is_due(&self) -> bool {
        self.again <= Instant::now()
    }

    /// Whether a change of `target` has to wait: a ban for the set that is full. Lifting makes room.
    fn holds_up(&self, target: &Target, engine: &Engine, now: Timestamp) -> bool {
        self.full.is_some()
            && Firewall::set_for(*target).ok() == self.full
            && intent::remaining(engine, target, now) != Remaining::Nothing
    }
}
