//! At start: what the store remembers and what the kernel holds become one intent.

use std::collections::BTreeSet;
use std::sync::Arc;

use ipnet::IpNet;
use jiff::Timestamp;

use super::intent;
use crate::firewall::{Element, Target};
use crate::jail::allow::Allow;
use crate::jail::engine::Engine;
use crate::jail::{ADOPTED, Ban, Ending, Verdict};

/// What was found at start.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Found {
    /// Bans of the store that go on.
    pub(super) remembered: usize,
    /// Elements of the kernel of which the store knows nothing.
    pub(super) adopted: usize,
    /// Bans of the store that do not go on: they are over, their jail is gone, or they are allowed now.
    pub(super) ended: Vec<Verdict>,
    /// Elements of the kernel that a feed left there and that no list has any more.
    pub(super) unlisted: Vec<Target>,
}

/// Takes in the bans that `memory` remembers and that go on, and adopts what else the kernel holds, unless it was
/// `listed` by a feed. The lists that go on are in the engine already.
pub(super) fn restore(
    engine: &mut Engine,
    memory: Vec<Ban>,
    listed: &[IpNet],
    kernel: &[Element],
    now: Timestamp,
) -> Found {
    let mut found = Found::default();
    for ban in memory {
        if ban.until.is_some_and(|until| until <= now) {
            found.ended.push(Verdict::Unban(ban, Ending::Expired));
        } else if !engine.knows(&ban.jail) {
            found.ended.push(Verdict::Unban(ban, Ending::JailGone));
        } else if engine.spares(&ban.prefix) {
            found.ended.push(Verdict::Unban(ban, Ending::Allowed));
        } else {
            engine.restore(ban);
            found.remembered += 1;
        }
    }
    // The kernel cuts ranges that overlap and joins those that touch: what counts is that all of it is known.
    let ranges: Vec<IpNet> =
        engine.bans().prefixes().copied().filter(|prefix| intent::is_range(&Target::from(*prefix))).collect();
    let known = Allow::new(ranges.iter().copied());
    let left_over = Allow::new(ranges.into_iter().chain(listed.iter().copied()));
    let listed: BTreeSet<&IpNet> = listed.iter().collect();
    let ended: BTreeSet<_> = found.ended.iter().map(|verdict| verdict.ban().prefix).collect();
    let (jail, source): (Arc<str>, Arc<str>) = (ADOPTED.into(), "kernel".into());
    let reason: Arc<str> = "found in the kernel at start".into();
    for element in kernel {
        let Target { prefix, service } = element.target;
        let is_range = intent::is_range(&element.target);
        let covered = engine.bans().end(&prefix, service).is_some() || (is_range && known.covers(&prefix));
        if covered || ended.contains(&prefix) {
            continue;
        }
        if service.is_none() && (listed.contains(&prefix) || (is_range && left_over.covers(&prefix))) {
            found.unlisted.push(element.target);
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
        });
        found.adopted += 1;
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::plan::Plan;
    use crate::jail::MANUAL;
    use std::time::Duration;

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
        });
        let listed = ["192.0.2.1/32", "192.0.2.6/32"].map(|prefix| prefix.parse().unwrap());
        let found = restore(&mut engine, memory, &listed, &kernel, at(10));
        assert_eq!(found.unlisted, [Target::from(listed[1])]);
        assert_eq!((found.remembered, found.adopted), (1, 1));
        let ended: Vec<_> = found.ended.iter().map(|verdict| verdict.ban().prefix.to_string()).collect();
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
