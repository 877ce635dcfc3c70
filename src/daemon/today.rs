//! What the jails have counted today: what their tallies were at midnight is remembered, and taken off.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::tz::TimeZone;
use jiff::{Timestamp, civil::Date};

use crate::control::protocol::TodayStatus;
use crate::jail::engine::Engine;
use crate::jail::jails::Tally;

/// Since midnight, or since the daemon's start.
pub(super) struct Today {
    /// When counting began.
    pub(super) since: Timestamp,
    day: Date,
    /// What each jail had counted by then; jails that came later had nothing.
    before: BTreeMap<Arc<str>, TodayStatus>,
}

impl Today {
    /// Nothing has been counted yet.
    pub(super) fn new(now: Timestamp) -> Self {
        Self { since: now, day: date(now), before: BTreeMap::new() }
    }

    /// To be called now and then: on another day than before, counting begins anew.
    pub(super) fn turn(&mut self, engine: &Engine, now: Timestamp) {
        if date(now) != self.day {
            let before = engine.jails().iter().map(|jail| (jail.name.clone(), counted(&jail.tally)));
            let midnight = now.to_zoned(TimeZone::system()).start_of_day();
            let since = midnight.map_or(now, |midnight| midnight.timestamp());
            *self = Self { since, day: date(now), before: before.collect() };
        }
    }

    /// What the jail has counted since then. One that was taken away and came back has begun anew.
    pub(super) fn of(&self, jail: &str, tally: &Tally) -> TodayStatus {
        let (now, before) = (counted(tally), self.before.get(jail).copied().unwrap_or_default());
        TodayStatus {
            failures: now.failures.checked_sub(before.failures).unwrap_or(now.failures),
            bans: now.bans.checked_sub(before.bans).unwrap_or(now.bans),
        }
    }
}

fn counted(tally: &Tally) -> TodayStatus {
    TodayStatus { failures: tally.failures, bans: tally.bans }
}

fn date(now: Timestamp) -> Date {
    now.to_zoned(TimeZone::system()).date()
}

#[cfg(test)]
mod tests {
    use jiff::ToSpan;

    use super::*;
    use crate::config::plan::{JailPlan, Plan};
    use crate::filter::Failure;
    use crate::jail::jails::JailId;

    #[test]
    fn a_day_begins_with_nothing() {
        let mut engine = Engine::new();
        engine.configure(&Plan::of(vec![JailPlan::named("sshd")], &[]));
        let fail = |engine: &mut Engine, address: &str, at: Timestamp| {
            engine.observe(JailId(0), &Failure::of(address, at), None, &"auth.log".into(), at);
        };
        let of = |today: &Today, engine: &Engine| today.of("sshd", &engine.jails()[0].tally);
        let morning: Timestamp = "2026-11-21T08:00:00Z".parse().unwrap();
        let mut today = Today::new(morning);
        fail(&mut engine, "203.0.113.9", morning);
        today.turn(&engine, morning);
        assert_eq!(of(&today, &engine), TodayStatus { failures: 1, bans: 1 });
        let next = morning + 24.hours();
        today.turn(&engine, next);
        assert_eq!(of(&today, &engine), TodayStatus::default());
        assert!(today.since > morning && today.since <= next);
        fail(&mut engine, "203.0.113.10", next);
        assert_eq!(of(&today, &engine), TodayStatus { failures: 1, bans: 1 });
        // Its jail was taken away and came back.
        assert_eq!(today.of("sshd", &Tally::default()), TodayStatus::default());
    }
}
