//! Drift: where the kernel no longer holds what is intended although nobody was heard to change it, and clocks that
//! no longer agree.
//!
//! What others do is heard by `guard`; this is what is left when something was not heard. It costs one question a
//! minute as long as nobody but us has committed anything to the kernel's tables.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use ipnet::IpNet;
use jiff::{SignedDuration, Timestamp};

use super::effect::{Effect, differs};
use super::intent;
use crate::firewall::{Firewall, FirewallError, Target};
use crate::jail::engine::{Engine, Remaining};
use crate::words::counted;

/// How many bans are looked up in the kernel in one go: some 3 ms.
const COMPARED: usize = 1_000;
/// How far the clocks may come apart before the kernel is told the remaining times again.
const APART: Duration = Duration::from_secs(1);

/// How far the kernel has been compared with the intent, and what came of it.
#[derive(Debug, Default)]
pub(super) struct Drift {
    /// The ban at which the next comparison begins.
    next: usize,
    /// How many bans were not in the kernel as intended, and were put right.
    pub(super) repaired: u64,
    /// How many times the whole table was made again.
    pub(super) restored: u64,
    clocks: Clocks,
}

impl Effect {
    /// If others have changed any table since this was last called, compares ours with the intent: the rules, and
    /// some of the bans, in turn. What is wrong is put right.
    pub(super) fn look_for_drift(&mut self, engine: &Engine, now: Timestamp) -> Result<(), FirewallError> {
        if !self.firewall.others_committed()? {
            return Ok(());
        }
        let Some(ruled) = self.firewall.ruled()? else { return self.make_again(engine, now) };
        let bans = engine.bans();
        let some: Vec<IpNet> = bans.prefixes().skip(self.drift.next).take(COMPARED).collect();
        self.drift.next = if some.len() < COMPARED { 0 } else { self.drift.next + COMPARED };
        let some: BTreeSet<Target> =
            some.iter().flat_map(|prefix| intent::targets_of(engine, prefix)).collect();
        let mut wrong = Vec::new();
        for target in some {
            let wanted = intent::remaining(engine, &target, now);
            if wanted == Remaining::Nothing || self.waits(&target) {
                continue;
            }
            if !Firewall::set_for(target).is_ok_and(|set| ruled.contains(&set)) {
                return self.make_again(engine, now);
            }
            let held = self.firewall.contains(target)?.map(|element| element.left);
            // Ranges are held in pieces, each with the longest time of those that overlap there.
            let is_wrong =
                if intent::is_range(&target) { held.is_none() } else { differs(&target, held, wanted) };
            if is_wrong {
                wrong.push(target);
            }
        }
        if !wrong.is_empty() {
            tracing::warn!(
                "{} not in the kernel as intended: put right",
                counted(wrong.len(), "ban was", "bans were")
            );
            self.put_right(wrong, engine, now);
        }
        Ok(())
    }

    /// If the clocks have come apart, tells the kernel again how long every ban has left: it ends them by a clock that
    /// stands still while the machine sleeps, and that nobody sets.
    pub(super) fn follow_clocks(&mut self, engine: &Engine, now: Timestamp, steady: Instant) {
        if let Some(moved) = self.drift.clocks.moved(now, steady) {
            tracing::info!(
                "the clock has moved by {moved:#}: the kernel is told again how long every ban has left"
            );
            self.tell(engine, now);
        }
    }

    /// Makes bans in the kernel what they should be, and counts them.
    pub(super) fn put_right(
        &mut self,
        wrong: impl IntoIterator<Item = Target>,
        engine: &Engine,
        now: Timestamp,
    ) {
        let before = self.pending();
        self.doubt(wrong);
        self.drift.repaired += u64::try_from(self.pending().saturating_sub(before)).unwrap_or(0);
        self.settle(engine, now);
    }
}

/// The wall clock, by which bans end here, beside the steady clock, by which they end in the kernel. The steady
/// clock stands still while the machine sleeps, and nobody sets it.
#[derive(Debug)]
struct Clocks {
    wall: Timestamp,
    steady: Instant,
}

impl Default for Clocks {
    fn default() -> Self {
        Self { wall: Timestamp::now(), steady: Instant::now() }
    }
}

impl Clocks {
    /// By how much the wall clock has moved against the steady one since this last said so, if that is enough to
    /// matter: the machine slept (more than zero), or somebody set the clock.
    fn moved(&mut self, wall: Timestamp, steady: Instant) -> Option<SignedDuration> {
        let by_wall = wall.duration_since(self.wall);
        let by_steady = steady.saturating_duration_since(self.steady);
        let moved =
            by_wall.saturating_sub(SignedDuration::try_from(by_steady).unwrap_or(SignedDuration::MAX));
        if moved.unsigned_abs() <= APART {
            return None;
        }
        *self = Self { wall, steady };
        Some(moved)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::plan::Plan;
    use crate::firewall::Options;
    use crate::jail::{Ban, MANUAL};
    use crate::namespace::{in_namespace, nft};

    fn prefix(number: u32) -> ipnet::IpNet {
        ipnet::IpNet::from(std::net::IpAddr::from((0x0b00_0000 + number).to_be_bytes()))
    }

    /// So many bans of an hour in the kernel, and a kernel that is known.
    fn banned(bans: u32, now: Timestamp) -> (Engine, Effect) {
        let mut engine = Engine::new();
        engine.configure(&Plan::of(Vec::new(), &[]));
        for number in 0..bans {
            engine.restore(Ban {
                prefix: prefix(number),
                jail: MANUAL.into(),
                since: now,
                until: Some(now + Duration::from_secs(3_600)),
                count: 1,
                source: "test".into(),
                reason: "".into(),
                services: None,
                renew: None,
            });
        }
        let mut firewall = Firewall::open(Options::sized(65_536)).unwrap();
        firewall.set_up(&[]).unwrap();
        let mut effect = Effect::new(firewall);
        effect.tell(&engine, now);
        effect.look_for_drift(&engine, now).unwrap();
        assert_eq!((effect.drift.repaired, effect.drift.restored, effect.drift.next), (0, 0, step(bans)));
        effect.drift.next = 0;
        (engine, effect)
    }

    fn step(bans: u32) -> usize {
        if bans as usize >= COMPARED { COMPARED } else { 0 }
    }

    fn left(effect: &mut Effect, number: u32) -> Option<Duration> {
        effect.firewall.contains(prefix(number).into()).unwrap().and_then(|element| element.left)
    }

    #[test]
    fn what_was_not_heard_is_found_in_turn_and_put_right() {
        in_namespace("daemon::drift::tests::what_was_not_heard_is_found_in_turn_and_put_right", || {
            let now = Timestamp::now();
            let (engine, mut effect) = banned(2_500, now);
            nft("delete element inet kban host4 { 11.0.0.3, 11.0.9.0 }");
            nft("add element inet kban host4 { 11.0.0.3 timeout 9h }");
            effect.look_for_drift(&engine, now).unwrap();
            assert_eq!(effect.drift.repaired, 1, "among the first thousand");
            assert!(left(&mut effect, 3).unwrap() < Duration::from_secs(3_601));
            for other in ["one", "two"] {
                nft(&format!("add table inet {other}"));
                effect.look_for_drift(&engine, now).unwrap();
            }
            assert_eq!((effect.drift.repaired, effect.drift.restored), (2, 0));
            assert!(left(&mut effect, 9 * 256).is_some());
        });
    }

    #[test]
    fn after_a_sleep_the_kernel_is_told_again_how_long_is_left() {
        in_namespace("daemon::drift::tests::after_a_sleep_the_kernel_is_told_again_how_long_is_left", || {
            let now = Timestamp::now();
            let (engine, mut effect) = banned(1_500, now);
            let minutes = |minutes: u64| Duration::from_secs(60 * minutes);
            effect.follow_clocks(&engine, now, Instant::now());
            assert!(left(&mut effect, 7).unwrap() > minutes(59));
            effect.follow_clocks(&engine, now + minutes(40), Instant::now());
            let after = left(&mut effect, 7).unwrap();
            assert!(after <= minutes(20) && after > minutes(19), "{after:?}");
            effect.follow_clocks(&engine, now, Instant::now());
            assert!(left(&mut effect, 7).unwrap() > minutes(59), "set back");
        });
    }

    #[test]
    fn nothing_is_compared_while_nobody_else_commits() {
        in_namespace("daemon::drift::tests::nothing_is_compared_while_nobody_else_commits", || {
            let now = Timestamp::now();
            let (mut engine, mut effect) = banned(1_500, now);
            let lifted = engine.lift_all(crate::jail::lift::Lift::by_hand(None, Some(prefix(7))));
            effect.doubt(lifted.iter().flat_map(|verdict| intent::targets(verdict.ban())));
            effect.settle(&engine, now);
            effect.look_for_drift(&engine, now).unwrap();
            assert_eq!(effect.drift.next, 0, "it was only us");
            nft("add table inet other");
            effect.look_for_drift(&engine, now).unwrap();
            assert_eq!(effect.drift.next, COMPARED);
        });
    }

    #[test]
    fn rules_that_are_gone_are_found() {
        in_namespace("daemon::drift::tests::rules_that_are_gone_are_found", || {
            let now = Timestamp::now();
            let (engine, mut effect) = banned(10, now);
            for command in
                ["flush chain inet kban prerouting", "flush chain inet kban offender", "flush ruleset"]
            {
                nft(command);
                effect.look_for_drift(&engine, now).unwrap();
                assert!(nft("list chain inet kban prerouting").contains("@host4 goto offender"), "{command}");
            }
            assert_eq!(effect.drift.restored, 3);
            assert!(left(&mut effect, 9).is_some());
        });
    }

    #[test]
    fn a_sleep_and_a_set_clock_are_noticed_once_and_time_that_passes_is_not() {
        let mut clocks = Clocks::default();
        let (wall, steady) = (clocks.wall, clocks.steady);
        let hour = Duration::from_secs(3_600);
        assert_eq!(clocks.moved(wall + hour, steady + hour), None, "an hour has passed");
        let slept = clocks.moved(wall + 9 * hour, steady + hour);
        assert_eq!(slept, Some(SignedDuration::from_hours(8)), "the steady clock stood still");
        assert_eq!(clocks.moved(wall + 10 * hour, steady + 2 * hour), None, "told already");
        let set_back = clocks.moved(wall, steady + 2 * hour);
        assert_eq!(set_back, Some(SignedDuration::from_hours(-10)));
    }

    #[test]
    fn a_clock_that_is_slewed_is_noticed_when_it_has_come_to_matter() {
        let mut clocks = Clocks::default();
        let (wall, steady) = (clocks.wall, clocks.steady);
        let mut told = 0;
        for minute in 1..=100_u32 {
            let passed = Duration::from_secs(60) * minute;
            // 500 ppm, the most that adjtimex(2) does: 30 ms a minute.
            let slewed = passed + Duration::from_millis(30) * minute;
            told += u32::from(clocks.moved(wall + slewed, steady + passed).is_some());
        }
        assert_eq!(told, 2, "3 s in 100 minutes, told when more than one has come together");
    }
}
