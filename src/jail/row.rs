//! A ban as it is kept: 32 bytes, and what it has in common with others once for all of them.
//!
//! Times are microseconds since 1970, as in the store.

use std::collections::BTreeSet;
use std::sync::Arc;

use ipnet::IpNet;
use jiff::Timestamp;

use super::bans::End;
use super::offenders::Past;
use super::{ADOPTED, Ban, FEED};
use crate::service::Service;
use crate::tier::Tier;

/// The end of a permanent ban; no [`Timestamp`] is as late.
const NEVER: i64 = i64::MAX;
/// So many origins are looked through for unused ones for the first time.
const FEW: usize = 64;

/// One ban without its prefix.
#[derive(Debug)]
pub(super) struct Row {
    origin: Arc<Origin>,
    since: i64,
    until: i64,
    /// See [`Ban::count`].
    pub(super) count: u32,
}

/// Who banned, and why: the same for very many bans.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Origin {
    jail: Arc<str>,
    source: Arc<str>,
    reason: Arc<str>,
    services: Option<Arc<[Service]>>,
    renew: Option<Tier>,
}

/// The origins of the bans in force, each once.
#[derive(Debug)]
pub(super) struct Origins {
    known: BTreeSet<Arc<Origin>>,
    /// At so many, unused ones are forgotten.
    most: usize,
}

impl Default for Origins {
    fn default() -> Self {
        Self { known: BTreeSet::new(), most: FEW }
    }
}

impl Origins {
    /// `origin` as it is known, if it is.
    fn shared(&mut self, origin: Origin) -> Arc<Origin> {
        if let Some(known) = self.known.get(&origin) {
            return Arc::clone(known);
        }
        if self.known.len() >= self.most {
            self.known.retain(|origin| Arc::strong_count(origin) > 1);
            // Each look costs at most as much as the origins since the last one.
            self.most = FEW.max(2 * self.known.len());
        }
        let origin = Arc::new(origin);
        self.known.insert(Arc::clone(&origin));
        origin
    }
}

impl Row {
    pub(super) fn new(ban: Ban, origins: &mut Origins) -> Self {
        let Ban { prefix: _, jail, since, until, count, source, reason, services, renew } = ban;
        Self {
            origin: origins.shared(Origin { jail, source, reason, services, renew }),
            since: since.as_microsecond(),
            until: until.map_or(NEVER, Timestamp::as_microsecond),
            count,
        }
    }

    /// The ban of `prefix` that this is.
    pub(super) fn ban(&self, prefix: IpNet) -> Ban {
        let Origin { jail, source, reason, services, renew } = (*self.origin).clone();
        let (since, until) = (self.since(), self.until().map(time));
        Ban { prefix, jail, since, until, count: self.count, source, reason, services, renew }
    }

    /// Whether it counts against its offender later: somebody misbehaved, and was banned for it.
    pub(super) fn counts(&self) -> bool {
        let Origin { jail, services, .. } = &*self.origin;
        let observed = services.as_deref().is_some_and(<[Service]>::is_empty);
        !(observed || jail.starts_with(FEED) || **jail == *ADOPTED)
    }

    /// What its jail has against its offender.
    pub(super) fn past(&self) -> Past {
        let until = self.until().map_or(Timestamp::MAX, time);
        Past { jail: Arc::clone(&self.origin.jail), count: self.count, until }
    }

    pub(super) fn jail(&self) -> &Arc<str> {
        &self.origin.jail
    }

    pub(super) fn since(&self) -> Timestamp {
        time(self.since)
    }

    /// When it ends, in microseconds since 1970; `None` if never.
    pub(super) fn until(&self) -> Option<i64> {
        (self.until != NEVER).then_some(self.until)
    }

    pub(super) fn end(&self) -> End {
        self.until().map_or(End::Never, |until| End::At(time(until)))
    }

    /// See [`Ban::renew`].
    pub(super) fn renew(&self) -> Option<Tier> {
        self.origin.renew
    }

    /// See [`Ban::closes`].
    pub(super) fn closes(&self, service: Option<Service>) -> bool {
        match (&self.origin.services, service) {
            (None, None) => true,
            (Some(list), Some(service)) => list.contains(&service),
            (None, Some(_)) | (Some(_), None) => false,
        }
    }
}

/// The time that is so many microseconds after 1970.
pub(super) fn time(microseconds: i64) -> Timestamp {
    // It came from a `Timestamp`.
    Timestamp::from_microsecond(microseconds).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_small() {
        assert_eq!(size_of::<Row>(), 32);
    }

    #[test]
    fn origins_that_nobody_has_any_more_are_forgotten() {
        let mut origins = Origins::default();
        let ban = |reason: &str| Ban {
            prefix: "203.0.113.1/32".parse().unwrap(),
            jail: "manual".into(),
            since: Timestamp::UNIX_EPOCH,
            until: None,
            count: 1,
            source: "banctl".into(),
            reason: reason.into(),
            services: None,
            renew: None,
        };
        let kept = Row::new(ban("kept"), &mut origins);
        for number in 0..10_000 {
            drop(Row::new(ban(&number.to_string()), &mut origins));
        }
        assert!(origins.known.len() <= FEW);
        assert!(Arc::ptr_eq(&kept.origin, &Row::new(ban("kept"), &mut origins).origin));
    }
}
