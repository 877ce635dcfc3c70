//! At start: what the store remembers and what the kernel holds become one intent.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use jiff::Timestamp;

use super::effect::Effect;
use super::intent;
use super::renewal::end;
use crate::config::duration::Period;
use crate::config::judgement::Mode;
use crate::config::plan::Plan;
use crate::firewall::{Element, FirewallError, Target};
use crate::jail::allow::Allow;
use crate::jail::engine::Engine;
use crate::jail::gathered::Gathered;
use crate::jail::offenders::Past;
use crate::jail::{ADOPTED, Ban, Ending, Verdict};
use crate::service::Service;
use crate::store::{Archive, Offender, Recalled, Recalling, StoreError};

/// The bans of the store, as they are told.
#[derive(Debug)]
pub(super) struct Remembered {
    /// Those that go on.
    bans: Gathered,
    /// Those that do not go on: they are over, their jail is gone, or they are allowed now.
    pub(super) ended: Vec<Verdict>,
    /// What is over by then is over.
    now: Timestamp,
}

impl Remembered {
    pub(super) fn new(now: Timestamp) -> Self {
        Self { bans: Gathered::default(), ended: Vec::new(), now }
    }

    /// Takes some of them.
    pub(super) fn take(&mut self, engine: &Engine, bans: Vec<Ban>) {
        for ban in bans {
            match self.ending(engine, &ban) {
                Some(ending) => self.ended.push(Verdict::Unban(ban, ending)),
                None => self.bans.push(ban),
            }
        }
    }

    fn ending(&self, engine: &Engine, ban: &Ban) -> Option<Ending> {
        // Packets may have renewed a ban: whether it is over, the kernel knows.
        if ban.renew.is_none() && ban.until.is_some_and(|until| until <= self.now) {
            Some(Ending::Expired)
        } else if !engine.knows(&ban.jail) {
            Some(Ending::JailGone)
        } else {
            engine.forgives(ban).then_some(Ending::Allowed)
        }
    }

    /// Has the engine take in those that go on; it has no others yet. How many they are, and those that do not go on.
    pub(super) fn restore(self, engine: &mut Engine) -> (usize, Vec<Verdict>) {
        let bans = self.bans.len();
        engine.restore_all(self.bans);
        (bans, self.ended)
    }
}

/// What the store has told.
#[derive(Debug)]
pub(super) struct Told {
    /// How many bans go on.
    pub(super) bans: usize,
    /// Those that do not.
    pub(super) ended: Vec<Verdict>,
    /// Whose bans go on and are not in the kernel yet.
    pub(super) unwritten: Vec<IpNet>,
    /// Who was banned before.
    pub(super) offenders: Vec<Offender>,
    /// Why not everything could be read, if so: there is no store.
    pub(super) broken: Option<StoreError>,
}

/// Takes in what the store tells. With a table that was made just now, bans are `written` into it while the store has not read
/// the next yet; see [`doubtful`] for those that are not done by that.
pub(super) fn recall(
    engine: &mut Engine,
    mut recalling: Recalling,
    mut written: Option<&mut Effect>,
    now: Timestamp,
) -> Result<Told, FirewallError> {
    let (mut remembered, mut offenders, mut broken) = (Remembered::new(now), Vec::new(), None);
    let mut done = 0;
    while let Some(piece) = recalling.next_while(|| {
        let some = written.as_mut().map_or(0, |effect| effect.add_some(remembered.bans.since(done)));
        done += some;
        some > 0
    }) {
        match piece {
            Recalled::Bans(bans) => remembered.take(engine, bans),
            Recalled::Offenders(all) => offenders = all,
            Recalled::Damaged => {
                (remembered, done) = (Remembered::new(now), 0);
                if let Some(effect) = &mut written {
                    effect.empty(engine, now)?;
                }
            }
            Recalled::Failed(error) => broken = Some(error),
        }
    }
    let unwritten = remembered.bans.since(done).map(|ban| ban.prefix).collect();
    let (bans, ended) = remembered.restore(engine);
    Ok(Told { bans, ended, unwritten, offenders, broken })
}

/// What [`recall`] has not written as it should be: ranges, which are written all at once, and what several jails ban.
pub(super) fn doubtful(engine: &Engine) -> Vec<Target> {
    let bans = engine.bans();
    let range = bans.prefixes().map(Target::from).find(intent::is_range);
    let shared = bans.shared().flat_map(|prefix| intent::targets_of(engine, &prefix));
    range.into_iter().chain(shared).collect()
}

/// How far back bans count for anything: for jails that count them, for networks of which they are members, and for breakers.
fn remembered_by(plan: &Plan) -> Option<Duration> {
    let each = plan.jails.iter().flat_map(|jail| {
        let counted = jail.filter.is_none().then_some(jail.findtime);
        let members = jail.subnet.as_ref().and_then(|subnet| subnet.within).map(Period::get);
        let breaker = jail.max_bans_per_minute.or(plan.firewall.max_bans_per_minute);
        [counted, members, breaker.map(|_| Duration::from_secs(60))]
    });
    each.flatten().max()
}

/// Tells the jails who was banned before, and those that count bans, their networks and breakers of the bans that still count.
pub(super) fn remind(
    engine: &mut Engine,
    offenders: Vec<Offender>,
    archive: Option<&Archive>,
    plan: &Plan,
    now: Timestamp,
) {
    for Offender { prefix, jail, count, until, .. } in offenders {
        engine.recall_offender(prefix, Past { jail, count, until: until.unwrap_or(Timestamp::MAX) });
    }
    let (Some(window), Some(archive)) = (remembered_by(plan), archive) else { return };
    let counts = |name: &str| {
        let mut bans = plan.jails.iter().filter(|jail| jail.filter.is_some() && jail.mode == Mode::Ban);
        bans.any(|jail| &*jail.name == name)
    };
    match archive.made(now.checked_sub(window).unwrap_or(Timestamp::MIN)) {
        Ok(made) => {
            for (prefix, jail, time) in made {
                engine.recall_made(&jail, prefix, time);
                if counts(&jail) {
                    engine.recall_ban(prefix, time, now);
                }
            }
        }
        Err(error) => tracing::warn!("bans of before the start are not counted: {error}"),
    }
}

/// What became of the kernel's elements.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Adopted {
    /// How many nobody knew of that are bans now.
    pub(super) bans: usize,
    /// Those that a feed left there and that no list has any more.
    pub(super) unlisted: Vec<Target>,
    /// Bans that last longer than was known: packets have renewed them.
    pub(super) renewed: Vec<Ban>,
}

/// Adopts what the kernel holds and nobody knows, but for bans that have `ended`, and unless it was `listed` by a feed.
/// The bans that go on are in the engine already.
pub(super) fn adopt(
    engine: &mut Engine,
    kernel: &[Element],
    ended: &[Verdict],
    listed: &[IpNet],
    now: Timestamp,
) -> Adopted {
    let mut adopted = Adopted::default();
    // The kernel cuts ranges that overlap and joins those that touch: what counts is that all of it is known.
    let mut ranges = BTreeMap::<Option<Service>, Vec<IpNet>>::new();
    for target in intent::range_targets(engine) {
        ranges.entry(target.service).or_default().push(target.prefix);
    }
    let of_everything = ranges.get(&None).into_iter().flatten().chain(listed);
    let left_over = Allow::new(of_everything.copied());
    let known: BTreeMap<Option<Service>, Allow> =
        ranges.into_iter().map(|(service, ranges)| (service, Allow::new(ranges))).collect();
    let listed: BTreeSet<&IpNet> = listed.iter().collect();
    let ended: BTreeSet<_> = ended.iter().map(|verdict| verdict.ban().prefix).collect();
    let (jail, source): (Arc<str>, Arc<str>) = (ADOPTED.into(), "kernel".into());
    let reason: Arc<str> = "found in the kernel".into();
    for element in kernel {
        let Target { prefix, service, renew } = element.target;
        let is_range = intent::is_range(&element.target);
        if let (Some(tier), Some(until)) = (renew, end(element, now)) {
            adopted.renewed.extend(engine.renewed(&prefix, service, tier, until));
        }
        let in_known = || known.get(&service).is_some_and(|known| known.covers(&prefix));
        let covered = engine.bans().end(&prefix, service, renew).is_some() || (is_range && in_known());
        if covered || ended.contains(&prefix) {
            continue;
        }
        if service.is_none() && (listed.contains(&prefix) || (is_range && left_over.covers(&prefix))) {
            adopted.unlisted.push(element.target);
            continue;
        }
        engine.restore(Ban {
            prefix,
            jail: Arc::clone(&jail),
            since: now,
            until: element.left.map(|left| now.saturating_add(left).unwrap_or(Timestamp::MAX)),
            count: 1,
            source: Arc::clone(&source),
            reason: Arc::clone(&reason),
            services: service.map(|service| [service].into()),
            renew,
        });
        adopted.bans += 1;
    }
    adopted
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jail::MANUAL;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).unwrap()
    }

    fn remembered(prefix: &str, jail: &str, until: i64) -> Ban {
        Ban {
            prefix: prefix.parse().unwrap(),
            jail: jail.into(),
            since: at(0),
            until: Some(at(until)),
            count: 2,
            source: "auth.log".into(),
            reason: "".into(),
            services: None,
            renew: None,
        }
    }

    #[test]
    fn the_store_knows_better_and_the_rest_is_adopted() {
        let mut engine = Engine::new();
        let memory = vec![
            remembered("192.0.2.1/32", MANUAL, 60),
            remembered("192.0.2.2/32", MANUAL, 5),
            remembered("192.0.2.4/32", "gone", 60),
            remembered("192.0.2.5/32", MANUAL, 60),
        ];
        engine.configure(&Plan::of(Vec::new(), &["192.0.2.5/32"]));
        let kernel = ["192.0.2.1/32", "192.0.2.3/32", "192.0.2.4/32", "192.0.2.6/32"].map(|prefix| Element {
            target: Target::from(prefix.parse::<IpNet>().unwrap()),
            left: Some(Duration::from_secs(30)),
            packets: None,
        });
        let listed = ["192.0.2.1/32", "192.0.2.6/32"].map(|prefix| prefix.parse().unwrap());
        let mut remembered = Remembered::new(at(10));
        remembered.take(&engine, memory);
        let (bans, ended) = remembered.restore(&mut engine);
        let adopted = adopt(&mut engine, &kernel, &ended, &listed, at(10));
        assert_eq!(adopted.unlisted, [Target::from(listed[1])]);
        assert_eq!((bans, adopted.bans), (1, 1));
        let ended: Vec<_> = ended.iter().map(|verdict| verdict.ban().prefix.to_string()).collect();
        assert_eq!(ended, ["192.0.2.2/32", "192.0.2.4/32", "192.0.2.5/32"]);
        let rows: Vec<_> = engine
            .bans()
            .iter()
            .map(|ban| (ban.prefix.to_string(), ban.jail.to_string(), ban.until))
            .collect();
        assert_eq!(
            rows,
            [
                ("192.0.2.1/32".into(), MANUAL.into(), Some(at(60))),
                ("192.0.2.3/32".into(), ADOPTED.into(), Some(at(40))),
            ]
        );
    }
}
