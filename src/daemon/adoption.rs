//! What is in large sets and nobody knows of.
//!
//! A large set is not listed at start while the bans of the store explain the number of its elements. That it holds
//! others shows when all bans in force have been written to it: then it has more elements than there are bans.
//! Elements that have just ended count as well until the kernel collects them, so it is looked at more than once, and
//! then listed by a thread of its own: that takes half a minute for a million.

use std::collections::BTreeSet;
use std::thread::JoinHandle;

use ipnet::IpNet;
use jiff::Timestamp;

use super::effect::Effect;
use super::intent;
use super::restore::adopt;
use crate::firewall::{Element, Firewall, FirewallError, Set};
use crate::jail::engine::Engine;

/// How often the numbers are compared before a set is listed.
const LOOKS: u32 = 3;

/// Sets that may hold what nobody knows of.
#[derive(Debug, Default)]
pub(super) struct Adoption {
    unlisted: BTreeSet<Set>,
    /// What feeds left in the kernel and no list has any more.
    gone: Vec<IpNet>,
    looks: u32,
    listing: Option<JoinHandle<Result<Vec<Element>, FirewallError>>>,
}

impl Adoption {
    pub(super) fn new(unlisted: BTreeSet<Set>, gone: Vec<IpNet>) -> Self {
        Self { unlisted, gone, looks: 0, listing: None }
    }

    /// Goes on, if there is something to do. To be called now and then.
    pub(super) fn go_on(&mut self, engine: &mut Engine, effect: &mut Effect, now: Timestamp) {
        let done = match self.listing.take_if(|listing| listing.is_finished()) {
            Some(listing) => take_in(listing, &self.gone, engine, effect, now),
            None if self.listing.is_some() || self.unlisted.is_empty() || effect.sweep.is_some() => Ok(()),
            None => self.look(engine, effect),
        };
        if let Err(error) = done {
            tracing::warn!("bans of others in table inet kban may not be known: {error}");
        }
    }

    fn look(&mut self, engine: &Engine, effect: &mut Effect) -> Result<(), FirewallError> {
        self.looks += 1;
        for set in self.unlisted.clone() {
            let count = effect.firewall.count(set)?.and_then(|count| usize::try_from(count).ok());
            if count.is_none_or(|count| count <= intent::count_in(engine, set)) {
                self.unlisted.remove(&set);
            }
        }
        if self.looks < LOOKS || self.unlisted.is_empty() {
            return Ok(());
        }
        let sets = std::mem::take(&mut self.unlisted);
        let list = move || Firewall::open_existing()?.elements_of(sets);
        match std::thread::Builder::new().name("adoption".into()).spawn(list) {
            Ok(listing) => self.listing = Some(listing),
            Err(error) => tracing::warn!("cannot list large sets: {error}"),
        }
        Ok(())
    }
}

/// Adopts what was listed, and is not known, and is still there.
fn take_in(
    listing: JoinHandle<Result<Vec<Element>, FirewallError>>,
    gone: &[IpNet],
    engine: &mut Engine,
    effect: &mut Effect,
    now: Timestamp,
) -> Result<(), FirewallError> {
    let Ok(listed) = listing.join() else { return Ok(()) };
    let mut there = Vec::new();
    for Element { target, .. } in listed? {
        if engine.bans().end(&target.prefix, target.service, target.renew).is_none() {
            there.extend(effect.firewall.contains(target)?);
        }
    }
    let adopted = adopt(engine, &there, &[], gone, now);
    effect.doubt(adopted.unlisted);
    effect.settle(engine, now);
    if adopted.bans > 0 {
        tracing::info!("{} more bans adopted from the kernel", adopted.bans);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::plan::Plan;
    use crate::firewall::{Change, Options};
    use crate::jail::{ADOPTED, Ban, MANUAL};
    use crate::namespace::{in_namespace, nft};

    fn ban(number: u32, now: Timestamp) -> Ban {
        Ban {
            prefix: ipnet::IpNet::from(std::net::IpAddr::from((0x0b00_0000 + number).to_be_bytes())),
            jail: MANUAL.into(),
            since: now,
            until: None,
            count: 1,
            source: "test".into(),
            reason: "".into(),
            services: None,
            renew: None,
        }
    }

    /// As many unknown elements as known ones are missing: the number alone does not give them away.
    #[test]
    fn what_nobody_knows_in_a_large_set_is_adopted_and_what_is_missing_put_back() {
        in_namespace(
            "daemon::adoption::tests::what_nobody_knows_in_a_large_set_is_adopted_and_what_is_missing_put_back",
            || {
                const BANS: u32 = 12_000;
                let now = Timestamp::now();
                let mut engine = Engine::new();
                engine.configure(&Plan::of(Vec::new(), &[]));
                engine.restore_all((0..BANS).map(|number| ban(number, now)).collect());
                let mut before = Firewall::open(Options::sized(65_536)).unwrap();
                before.set_up(&[]).unwrap();
                let bans: Vec<Change> = engine
                    .bans()
                    .iter()
                    .map(|ban| Change::Ban { target: ban.prefix.into(), left: None })
                    .collect();
                assert_eq!(before.add(&bans).unwrap(), []);
                nft("delete element inet kban host4 { 11.0.0.3, 11.0.0.4 }");
                nft("add element inet kban host4 { 203.0.113.1, 203.0.113.2 }");
                if before.count(Set::HOST4).unwrap().is_none() {
                    assert_eq!(
                        before.set_up(&[]).unwrap().len(),
                        BANS as usize,
                        "without a number it is listed"
                    );
                    return;
                }

                let mut firewall = Firewall::open(Options::sized(65_536)).unwrap();
                let found = firewall.set_up_known(&[], |set| intent::count_in(&engine, set)).unwrap();
                assert_eq!((found.elements.len(), found.kept), (0, true));
                assert_eq!(found.unlisted, [Set::HOST4].into());
                let mut effect = Effect::new(firewall);
                effect.compare(&found);
                let mut adoption = Adoption::new(found.unlisted, Vec::new());
                let mut slices = 0;
                while effect.sweep.is_some() {
                    adoption.go_on(&mut engine, &mut effect, now);
                    effect.sweep(&engine, now);
                    slices += 1;
                }
                assert_eq!(slices, 3, "five thousand at a time");
                let missing = effect.firewall.contains(ban(3, now).prefix.into()).unwrap();
                assert!(missing.is_some());
                let begin = std::time::Instant::now();
                while engine.bans().len() == BANS as usize {
                    assert!(begin.elapsed() < std::time::Duration::from_secs(60));
                    adoption.go_on(&mut engine, &mut effect, now);
                    std::thread::sleep(std::time::Duration::from_millis(5));
                }
                let adopted: Vec<_> = engine.bans().iter().filter(|ban| &*ban.jail == ADOPTED).collect();
                let adopted: Vec<_> = adopted.iter().map(|ban| ban.prefix.addr().to_string()).collect();
                assert_eq!(adopted, ["203.0.113.1", "203.0.113.2"]);
            },
        );
    }
}
