//! Bringing the kernel (the effect) to the bans in force (the intent), wherever the two may differ.
//!
//! What to write is computed from the intent when it is written, never remembered: so several verdicts about
//! one address are one change, and trying again later is always right.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use ipnet::IpNet;
use jiff::Timestamp;

use crate::firewall::{Change, Element, Firewall, FirewallError, Rejected, Set};
use crate::jail::engine::{Engine, Remaining};

/// How long to wait after the kernel refused, before it is asked again.
const RETRY: Duration = Duration::from_secs(2);
/// How far the kernel's end of a ban may lie from ours without being sent again.
const TOLERANCE: Duration = Duration::from_secs(2);

/// The kernel's side, and where it may be behind.
pub(super) struct Effect {
    pub(super) firewall: Firewall,
    /// Prefixes whose state in the kernel may differ from the intent.
    dirty: BTreeSet<IpNet>,
    trouble: Option<Trouble>,
}

/// The kernel has refused something.
struct Trouble {
    sentence: String,
    /// What it refused.
    waiting: BTreeSet<IpNet>,
    /// When to ask again.
    again: Timestamp,
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
    pub(super) fn resize(&mut self, engine: &Engine, set_size: u32) -> Result<(), FirewallError> {
        self.firewall = Firewall::open(set_size)?;
        self.firewall.set_up(&engine.allowed()).map(drop)
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
        let due = self.trouble.take_if(|trouble| trouble.again <= now);
        let again = due.is_some();
        due.into_iter().for_each(|mut due| self.dirty.append(&mut due.waiting));
        if let Some(trouble) = &mut self.trouble {
            let (wait, go) = self.dirty.iter().partition(|prefix| trouble.holds_up(prefix, engine, now));
            trouble.waiting.append(&mut { wait });
            self.dirty = go;
        }
        let doubted = std::mem::take(&mut self.dirty);
        let changes: Vec<Change> = doubted.iter().map(|prefix| change(engine, *prefix, now)).collect();
        let (refused, error) = match self.apply(engine, &changes, now) {
            Ok(rejected) => {
                let refused = rejected.iter().map(|rejected| rejected.change.prefix()).collect();
                (refused, rejected.into_iter().next().map(|rejected| rejected.error))
            }
            Err(error) => (doubted, Some(error)),
        };
        match error {
            Some(error) => self.wait(refused, &error, again, now),
            None if again => tracing::info!("the kernel has taken the bans that waited"),
            None => {}
        }
    }

    /// Makes one prefix true now, or says why not.
    pub(super) fn settle_one(
        &mut self,
        engine: &Engine,
        prefix: IpNet,
        now: Timestamp,
    ) -> Result<(), FirewallError> {
        let rejected = self.apply(engine, &[change(engine, prefix, now)], now)?;
        rejected.into_iter().next().map_or(Ok(()), |rejected| Err(rejected.error))
    }

    /// Takes the rules of unused sets away, and makes a table again that somebody removed.
    pub(super) fn tidy(&mut self, engine: &Engine, now: Timestamp) {
        let tidied = match self.firewall.tidy() {
            Err(error) if error.is_missing() => self.make_again(engine, now).map(drop),
            result => result,
        };
        if let Err(error) = tidied {
            tracing::warn!("{error}");
        }
    }

    /// When to settle although nothing has happened.
    pub(super) fn next_try(&self) -> Option<Timestamp> {
        self.trouble.as_ref().map(|trouble| trouble.again)
    }

    /// Why the kernel does not have all bans, if so.
    pub(super) fn trouble(&self) -> Option<&str> {
        self.trouble.as_ref().map(|trouble| trouble.sentence.as_str())
    }

    /// How many prefixes wait for the kernel.
    pub(super) fn pending(&self) -> usize {
        self.dirty.len() + self.trouble.as_ref().map_or(0, |trouble| trouble.waiting.len())
    }

    /// Keeps what was refused until it is asked `again`; said once for as long as it lasts.
    fn wait(&mut self, mut refused: BTreeSet<IpNet>, error: &FirewallError, again: bool, now: Timestamp) {
        let mut next = now.saturating_add(RETRY).unwrap_or(Timestamp::MAX);
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
        self.trouble = Some(Trouble { sentence: error.to_string(), waiting: refused, again: next, full });
    }

    /// Applies changes; a table that somebody removed is made again.
    fn apply(
        &mut self,
        engine: &Engine,
        changes: &[Change],
        now: Timestamp,
    ) -> Result<Vec<Rejected>, FirewallError> {
        match self.firewall.apply(changes) {
            Err(error) if error.is_missing() => self.make_again(engine, now),
            result => result,
        }
    }

    /// Makes the table again, with every ban in force.
    fn make_again(&mut self, engine: &Engine, now: Timestamp) -> Result<Vec<Rejected>, FirewallError> {
        tracing::warn!("the table inet kban is gone: making it again with every ban in force");
        self.firewall.set_up(&engine.allowed())?;
        let all: Vec<Change> = engine.bans().prefixes().map(|prefix| change(engine, *prefix, now)).collect();
        self.firewall.apply(&all)
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
