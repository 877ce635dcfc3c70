//! How long the ban of somebody is who was banned before.

use std::time::Duration;

use jiff::Timestamp;

use super::draw::Draw;
use super::offenders::Past;
use crate::config::duration::{BanTime, Period};
use crate::config::judgement::Escalate;

/// How many bans before this one count.
pub(super) fn previous<'p>(
    escalate: &Escalate,
    jail: &str,
    past: impl Iterator<Item = &'p Past>,
    now: Timestamp,
) -> u32 {
    let remembered = |past: &&Past| match escalate.forget_after {
        Some(after) => past.until.saturating_add(after.get()).is_ok_and(|forgotten| forgotten > now),
        None => true,
    };
    let counts = |past: &&Past| escalate.across_jails || *past.jail == *jail;
    past.filter(counts).filter(remembered).map(|past| past.count).fold(0, u32::saturating_add)
}

/// How long the ban is that follows `previous` others, of a jail that bans for `base`; without the part left to chance.
pub(super) fn length(escalate: &Escalate, base: BanTime, previous: u32) -> BanTime {
    let BanTime::For(first) = base else { return BanTime::Permanent };
    if escalate.permanent_after.is_some_and(|after| previous >= after.0) {
        return BanTime::Permanent;
    }
    let long = first.as_secs_f64() * times(escalate, previous);
    limited(escalate, Duration::try_from_secs_f64(long).unwrap_or(Duration::MAX), first)
}

/// The same, and a little longer.
pub(super) fn with_jitter(escalate: &Escalate, length: BanTime, base: BanTime, draw: &mut Draw) -> BanTime {
    let (BanTime::For(length), BanTime::For(base)) = (length, base) else { return length };
    let jitter = escalate.jitter.map_or(0, |jitter| jitter.get().as_secs());
    let jitter = usize::try_from(jitter).ok().and_then(|jitter| draw.below(jitter.saturating_add(1)));
    let jitter = Duration::from_secs(jitter.and_then(|jitter| u64::try_from(jitter).ok()).unwrap_or(0));
    limited(escalate, length.saturating_add(jitter), base)
}

/// A jail whose own bantime is longer than the limit keeps it. What is longer than any period never ends.
fn limited(escalate: &Escalate, length: Duration, base: Duration) -> BanTime {
    let max = escalate.max.map_or(Duration::MAX, Period::get).max(base);
    Period::new(length.min(max)).map_or(BanTime::Permanent, |period| BanTime::For(period.get()))
}

/// So many times as long as the first ban.
fn times(escalate: &Escalate, previous: u32) -> f64 {
    let place = usize::try_from(previous).unwrap_or(usize::MAX);
    let multiplier = escalate.multipliers.get(place).or(escalate.multipliers.last());
    match multiplier {
        Some(multiplier) => multiplier.0,
        None => escalate.factor.0.powi(i32::try_from(previous).unwrap_or(i32::MAX)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::judgement::Factor;
    use crate::config::value::Count;

    const HOUR: Duration = Duration::from_secs(3600);

    fn lengths(escalate: &Escalate, times: u32) -> Vec<u64> {
        (0..times)
            .map(|previous| match length(escalate, BanTime::For(HOUR), previous) {
                BanTime::For(length) => length.as_secs() / 3600,
                BanTime::Permanent => 0,
            })
            .collect()
    }

    #[test]
    fn bans_grow_by_a_factor_or_by_a_list_up_to_the_limit() {
        let doubled = Escalate { max: Period::new(20 * HOUR), ..Escalate::default() };
        assert_eq!(lengths(&doubled, 7), [1, 2, 4, 8, 16, 20, 20]);
        let listed =
            Escalate { multipliers: vec![Factor(1.0), Factor(5.0), Factor(30.0)], ..Escalate::default() };
        assert_eq!(lengths(&listed, 5), [1, 5, 30, 30, 30]);
        let in_the_end = Escalate { permanent_after: Some(Count(2)), ..Escalate::default() };
        assert_eq!(lengths(&in_the_end, 4), [1, 2, 0, 0]);
        let unbounded = Escalate { max: None, ..Escalate::default() };
        assert_eq!(lengths(&unbounded, 2_000).last(), Some(&0), "longer than anything is for good");
    }

    #[test]
    fn jitter_makes_bans_longer_and_never_shorter_nor_longer_than_the_limit() {
        let mut draw = Draw::default();
        let jittered =
            Escalate { jitter: Period::new(HOUR), max: Period::new(2 * HOUR), ..Escalate::default() };
        let mut seen = std::collections::BTreeSet::new();
        for _ in 0..100 {
            let hour = BanTime::For(HOUR);
            let BanTime::For(length) = with_jitter(&jittered, hour, hour, &mut draw) else { panic!() };
            assert!((HOUR..=2 * HOUR).contains(&length));
            seen.insert(length);
        }
        assert!(seen.len() > 10, "{seen:?}");
    }

    #[test]
    fn what_counts_is_what_the_jail_remembers() {
        let now: Timestamp = "2026-11-21T12:00:00Z".parse().unwrap();
        let past = |jail: &str, count, days: u64| Past {
            jail: jail.into(),
            count,
            until: now - Duration::from_secs(86_400 * days),
        };
        let known = [past("sshd", 2, 1), past("mail", 3, 2), past("web", 5, 31)];
        let own = Escalate::default();
        let all = Escalate { across_jails: true, ..Escalate::default() };
        let for_ever = Escalate { forget_after: None, ..all.clone() };
        assert_eq!(previous(&own, "sshd", known.iter(), now), 2);
        assert_eq!(previous(&own, "web", known.iter(), now), 0, "forgotten");
        assert_eq!(previous(&all, "sshd", known.iter(), now), 5);
        assert_eq!(previous(&for_ever, "sshd", known.iter(), now), 10);
    }
}
