//! The bans in force as the elements that the kernel should hold.

use std::collections::BTreeSet;
use std::time::Duration;

use ipnet::IpNet;
use jiff::Timestamp;

use crate::firewall::{Change, Firewall, Set, Target};
use crate::jail::Ban;
use crate::jail::engine::{Engine, Remaining};

/// What the kernel has an element for because of `ban`.
pub(super) fn targets(ban: &Ban) -> impl Iterator<Item = Target> + '_ {
    ban.closes().map(|service| Target { prefix: ban.prefix, service, renew: ban.renew })
}

/// What the kernel should have an element for because of anybody's ban of `prefix`.
pub(super) fn targets_of(engine: &Engine, prefix: &IpNet) -> BTreeSet<Target> {
    engine.bans().of(prefix).iter().flat_map(targets).collect()
}

/// For how many targets the kernel should have an element in `set`.
pub(super) fn count_in(engine: &Engine, set: Set) -> usize {
    let held = |prefix: &IpNet| {
        targets_of(engine, prefix)
            .into_iter()
            .filter(|target| Firewall::set_for(*target).is_ok_and(|of| of == set))
            .count()
    };
    engine.bans().prefixes().map(|prefix| held(&prefix)).sum()
}

/// How long the kernel is to drop `target`.
pub(super) fn remaining(engine: &Engine, target: &Target, now: Timestamp) -> Remaining {
    engine.remaining(&target.prefix, target.service, target.renew, now)
}

/// What the kernel has to do about one target.
pub(super) fn change(engine: &Engine, target: Target, now: Timestamp) -> Change {
    match remaining(engine, &target, now) {
        Remaining::Nothing => Change::Lift { target },
        Remaining::For(left) => Change::Ban { target, left: Some(left) },
        Remaining::Forever => Change::Ban { target, left: None },
    }
}

/// What the kernel has to do about one ban, if it has no other of the same prefix; nothing about ranges.
pub(super) fn additions(ban: &Ban, now: Timestamp) -> impl Iterator<Item = Change> + '_ {
    let left = match ban.until {
        None => Some(None),
        // It is over.
        Some(until) if until <= now => None,
        Some(until) => Duration::try_from(until.duration_since(now)).ok().map(Some),
    };
    let single = targets(ban).filter(|target| !is_range(target));
    single.filter_map(move |target| Some(Change::Ban { target, left: left? }))
}

/// Whether a target is held as a range: ranges are written all at once.
pub(super) fn is_range(target: &Target) -> bool {
    Firewall::set_for(*target).is_ok_and(|set| set.is_interval())
}

/// All ranges that should be dropped.
pub(super) fn ranges(engine: &Engine, now: Timestamp) -> Vec<(Target, Option<Duration>)> {
    let left = |target: Target| match remaining(engine, &target, now) {
        Remaining::Nothing => None,
        Remaining::For(left) => Some((target, Some(left))),
        Remaining::Forever => Some((target, None)),
    };
    range_targets(engine).filter_map(left).collect()
}

/// What the kernel has ranges for.
pub(super) fn range_targets(engine: &Engine) -> impl Iterator<Item = Target> + '_ {
    let ranges = engine.bans().prefixes().filter(|prefix| is_range(&Target::from(*prefix)));
    ranges.flat_map(move |prefix| targets_of(engine, &prefix))
}
