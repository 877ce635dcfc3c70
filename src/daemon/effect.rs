//! Bringing the kernel (the effect) to the bans in force (the intent), wherever the two may differ.
//!
//! What to write is computed from the intent when it is written, never remembered: so several verdicts about
//! one address are one change, and trying again later is always right.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use ipnet::IpNet;
use jiff::Timestamp;

use crate::firewall::{Change, Element, Firewall, FirewallError, Rejected, Set};
use crate::jail::engine::{Engine, Remaining};

/// How long to wait after the kernel refused, before it is asked again.
const RETRY: Duration = Duration::from_secs(2);
/// How far the kernel's end of a ban may lie from ours without being sent again.
const TOLERANCE: Duration = Duration::from_secs(2);

/// How many refused changes are tried again in one go.
const AGAIN_AT_ONCE: usize = 1000;
/// How many bans are looked up in the kernel when tidying up.
const SAMPLE: usize = 32;

/// The kernel's side, and where it may be behind.
pub(super) struct Effect {
    pub(super) firewall: Firewall,
    /// Prefixes whose state in the kernel may differ from the intent.
    dirty: BTreeSet<IpNet>,
    trouble: Option<Trouble>,
}

/// The kernel has refused something.
struct Trouble {
    error: FirewallError,
    /// What it refused.
    waiting: BTreeSet<IpNet>,
    /// When to ask again.
    again: Instant,
    /// The set that has no room: more bans for it wait as well, since each refusal costs milliseconds.
    full: Option<Set>,
}

impl Effect {
    pub(super) fn new(firewall: Firewall) -> Self {
        Self { firewall, dirty: BTreeSet::new(), trouble: None }
    }

    /// Notes prefixes whose state in the kernel may differ from the intent.
    pub(super) fn doubt(&mut self, prefixes: impl IntoIterator<Item = IpNet>) {
        self.dirty.extend(prefixes);
    }

    /// Gives every set another size, keeping what is in them.
    pub(super) fn resize(
        &mut self,
        engine: &Engine,
        set_size: u32,
        now: Timestamp,
    ) -> Result<(), FirewallError> {
        let mut firewall = Firewall::open(set_size)?;
        let held = firewall.set_up(&engine.allowed())?;
        self.firewall = firewall;
        // What waited for room has it now.
        self.trouble = None;
        self.compare(engine, &held, now);
        self.settle(engine, now);
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

    /// At start: whatever the kernel holds otherwise than intended is doubted.
    pub(super) fn compare(&mut self, engine: &Engine, kernel: &[Element], now: Timestamp) {
        let held: BTreeMap<IpNet, Option<Duration>> =
            kernel.iter().map(|element| (element.prefix, element.left)).collect();
        let differs = |prefix: &IpNet| match (held.get(prefix), engine.remaining(prefix, now)) {
            (Some(None), Remaining::Forever) => false,
            (Some(Some(held)), Remaining::For(left)) => held.abs_diff(left) > TOLERANCE,
            _ => true,
        };
        self.doubt(engine.bans().prefixes().copied().filter(differs));
    }

    /// Makes true whatever is doubted. What the kernel does not take is tried again later.
    pub(super) fn settle(&mut self, engine: &Engine, now: Timestamp) {
        let again = self.wake();
        if let Some(trouble) = &mut self.trouble {
            let held_up = |prefix: &&IpNet| trouble.holds_up(prefix, engine, now);
            let (wait, go): (BTreeSet<IpNet>, BTreeSet<IpNet>) = self.dirty.iter().partition(held_up);
            trouble.waiting.extend(wait);
            self.dirty = go;
        }
        if self.dirty.is_empty() {
            return;
        }
        let doubted = std::mem::take(&mut self.dirty);
        let changes: Vec<Change> = doubted.iter().map(|prefix| change(engine, *prefix, now)).collect();
        match self.apply(engine, &changes, now) {
            Ok(rejected) if rejected.is_empty() => self.made_room(&changes, again),
            Ok(rejected) => self.wait_for(rejected, again),
            Err(error) => self.wait(doubted, &error, again),
        }
    }

    /// Why `prefix` is not in the kernel as intended, if it waits.
    pub(super) fn refusal(&self, prefix: &IpNet) -> Option<&FirewallError> {
        self.trouble.as_ref().filter(|trouble| trouble.waiting.contains(prefix)).map(|trouble| &trouble.error)
    }

    /// Takes the rules of unused sets away; and if somebody took away what should be there, puts it back.
    pub(super) fn tidy(&mut self, engine: &Engine, now: Timestamp) {
        let tidied = match self.is_whole(engine) {
            Ok(true) => self.firewall.tidy(),
            Ok(false) => self.make_again(engine, now),
            Err(error) => Err(error),
        };
        if let Err(error) = tidied {
            tracing::warn!("{error}");
        }
    }

    /// Whether table, rules and a sample of the bans are there.
    fn is_whole(&mut self, engine: &Engine) -> Result<bool, FirewallError> {
        let Some(ruled) = self.firewall.ruled()? else { return Ok(false) };
        let waiting = self.trouble.as_ref().map(|trouble| &trouble.waiting);
        let bans = engine.bans();
        let step = (bans.len() / SAMPLE).max(1);
        for prefix in bans
            .prefixes()
            .step_by(step)
            .filter(|prefix| waiting.is_none_or(|waiting| !waiting.contains(prefix)))
        {
            let in_a_ruled_set = Firewall::set_for(*prefix).is_ok_and(|set| ruled.contains(&set));
            if !in_a_ruled_set || self.firewall.contains(*prefix)?.is_none() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// When to settle although nothing has happened.
    pub(super) fn next_try(&self) -> Option<Instant> {
        self.trouble.as_ref().map(|trouble| trouble.again)
    }

    /// Why the kernel does not have all bans, if so.
    pub(super) fn trouble(&self) -> Option<String> {
        self.trouble.as_ref().map(|trouble| trouble.error.to_string())
    }

    /// How many prefixes wait for the kernel.
    pub(super) fn pending(&self) -> usize {
        self.dirty.len() + self.trouble.as_ref().map_or(0, |trouble| trouble.waiting.len())
    }

    /// If it is time to ask the kernel again, doubts what waits: so many at once that others get their turn.
    fn wake(&mut self) -> bool {
        let Some(trouble) = self.trouble.as_mut().filter(|trouble| trouble.again <= Instant::now()) else {
            return false;
        };
        trouble.full = None;
        let rest = trouble.waiting.iter().nth(AGAIN_AT_ONCE).copied();
        let rest = rest.map_or_else(BTreeSet::new, |first| trouble.waiting.split_off(&first));
        self.dirty.append(&mut trouble.waiting);
        trouble.waiting = rest;
        trouble.again = Instant::now() + RETRY;
        if trouble.waiting.is_empty() {
            self.trouble = None;
        }
        true
    }

    /// Keeps what was rejected until it is asked again.
    fn wait_for(&mut self, rejected: Vec<Rejected>, again: bool) {
        let prefixes = rejected.iter().map(|rejected| rejected.change.prefix()).collect();
        if let Some(first) = rejected.into_iter().next() {
            self.wait(prefixes, &first.error, again);
        }
    }

    /// Keeps what was refused until it is asked `again`; said once for as long as it lasts.
    fn wait(&mut self, mut refused: BTreeSet<IpNet>, error: &FirewallError, again: bool) {
        let mut next = Instant::now() + RETRY;
        match self.trouble.take() {
            Some(mut before) => {
                refused.append(&mut before.waiting);
                next = before.again;
            }
            None if again => {}
            None => tracing::error!("{error}; {} changes wait and are tried again", refused.len()),
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
        now: Timestamp,
    ) -> Result<Vec<Rejected>, FirewallError> {
        match self.firewall.apply(changes) {
            Err(error) if error.is_missing() => self.make_again(engine, now).map(|()| Vec::new()),
            result => result,
        }
    }

    /// Makes the table again, with every ban in force.
    fn make_again(&mut self, engine: &Engine, now: Timestamp) -> Result<(), FirewallError> {
        tracing::warn!("somebody changed the table inet kban: making it again with every ban in force");
        self.firewall.set_up(&engine.allowed())?;
        let all: Vec<Change> = engine.bans().prefixes().map(|prefix| change(engine, *prefix, now)).collect();
        let rejected = self.firewall.apply(&all)?;
        self.wait_for(rejected, false);
        Ok(())
    }
}

impl Trouble {
    /// Whether a change of `prefix` has to wait: a ban for the set that is full. Lifting makes room.
    fn holds_up(&self, prefix: &IpNet, engine: &Engine, now: Timestamp) -> bool {
        self.full.is_some()
            && Firewall::set_for(*prefix).ok() == self.full
            && engine.remaining(prefix, now) != Remaining::Nothing
    }
}

/// What the kernel has to do about one prefix.
fn change(engine: &Engine, prefix: IpNet, now: Timestamp) -> Change {
    match engine.remaining(&prefix, now) {
        Remaining::Nothing => Change::Lift { prefix },
        Remaining::For(left) => Change::Ban { prefix, left: Some(left) },
        Remaining::Forever => Change::Ban { prefix, left: None },
    }
}
