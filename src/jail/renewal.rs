//! Bans that the offender's own packets renew: who still knocks stays out.
//!
//! The kernel gives such a ban its whole length anew with each packet, and so knows its end before we do. Which bans are
//! renewed, and under which length the kernel keeps them, is decided here; the daemon asks the kernel for their ends.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::time::Duration;

use ipnet::IpNet;
use jiff::{SignedDuration, Timestamp};
use smallvec::SmallVec;

use super::Ban;
use super::bans::{Key, Slice};
use super::engine::Engine;
use crate::service::Service;
use crate::tier::Tier;

/// How many lengths of renewed bans there are at a time: each costs every packet of everybody a look-up.
const MOST_TIERS: usize = 16;

/// Ends that lie no further apart are the same: the kernel is told of a ban some time after it is made.
const GRAIN: SignedDuration = SignedDuration::from_secs(1);

/// The bans in force that are renewed.
#[derive(Debug, Default)]
pub(super) struct Renewing {
    rows: BTreeSet<Key>,
    /// How many there are of each length; none of them 0.
    tiers: BTreeMap<Tier, usize>,
}

impl Renewing {
    pub(super) fn add(&mut self, tier: Tier, row: Key) {
        if self.rows.insert(row) {
            *self.tiers.entry(tier).or_default() += 1;
        }
    }

    pub(super) fn remove(&mut self, tier: Tier, row: &Key) {
        if !self.rows.remove(row) {
            return;
        }
        if let Some(count) = self.tiers.get_mut(&tier) {
            *count -= 1;
            if *count == 0 {
                self.tiers.remove(&tier);
            }
        }
    }

    /// The tier of a ban of this length: its own while there are few, else the next longer one in use.
    fn tier(&self, length: Duration) -> Option<Tier> {
        let own = Tier::of(length)?;
        if self.tiers.len() < MOST_TIERS {
            return Some(own);
        }
        self.tiers.range(own..).next().map(|(tier, _)| *tier)
    }

    /// The renewed bans behind `after`, in order.
    pub(super) fn after(&self, after: Option<&Key>) -> impl Iterator<Item = &Key> {
        let start = after.map_or(Bound::Unbounded, |row| Bound::Excluded(row.clone()));
        self.rows.range((start, Bound::Unbounded))
    }
}

impl Engine {
    /// Whether the kernel can renew bans. If not, all have a fixed end.
    pub fn set_can_renew(&mut self, can: bool) {
        self.can_renew = can;
    }

    /// Whether the kernel can renew bans.
    #[must_use]
    pub fn can_renew(&self) -> bool {
        self.can_renew
    }

    /// Whether a jail asks for what the kernel cannot do.
    #[must_use]
    pub fn wants_renewal_in_vain(&self) -> bool {
        !self.can_renew && self.jails.iter().any(|jail| jail.renews)
    }

    /// Bans that were to be renewed and are not, because too many other lengths of bans are.
    #[must_use]
    pub fn unrenewed(&self) -> u64 {
        self.unrenewed
    }

    /// The next ban whose time is over at `now` by our account.
    #[must_use]
    pub fn due(&self, now: Timestamp) -> Option<Ban> {
        self.bans.due(now)
    }

    /// The kernel drops what `prefix` sends to `service` until `until`, because packets have renewed it for `tier`: bans
    /// that end more than a second earlier last as long, and are returned.
    pub fn renewed(
        &mut self,
        prefix: &IpNet,
        service: Option<Service>,
        tier: Tier,
        until: Timestamp,
    ) -> SmallVec<[Ban; 1]> {
        let mut rows = self.bans.of(prefix);
        rows.retain(|ban| {
            ban.renew == Some(tier)
                && ban.closes().any(|closed| closed == service)
                && ban.until.is_some_and(|end| until.duration_since(end) > GRAIN)
        });
        for ban in &mut rows {
            ban.until = Some(until);
            self.bans.insert(ban.clone());
        }
        rows
    }

    /// Bans behind `after`, at most `most`, that are renewed although their jail does not want that (any more), or the kernel
    /// cannot; or the other way round.
    #[must_use]
    pub fn misplaced(&self, after: Option<&Key>, most: usize) -> Slice {
        // There may be a million, and mostly nobody asks.
        if self.bans.renewing().rows.is_empty() && !self.jails.iter().any(|jail| jail.renews) {
            return Slice { bans: Vec::new(), next: None };
        }
        self.bans.slice(after, most, |ban| ban.renew.is_some() != self.wants_renewed(ban))
    }

    /// Makes a ban renewed or not, as its jail wants it now. Its end stays.
    pub fn place(&mut self, ban: &Ban) -> Option<Ban> {
        let mut ban = self.bans.get(&ban.prefix, &ban.jail)?;
        ban.renew = self.tier_of(&ban);
        self.bans.insert(ban.clone());
        Some(ban)
    }

    /// The tier of a ban by its whole length, if its jail wants that now.
    pub(super) fn tier_of(&mut self, ban: &Ban) -> Option<Tier> {
        let length = Duration::try_from(ban.until?.duration_since(ban.since)).ok()?;
        self.tier(&ban.prefix, length, self.wants_renewed(ban))
    }

    fn wants_renewed(&self, ban: &Ban) -> bool {
        let jail = self.jails.iter().find(|jail| jail.name == ban.jail);
        // What belongs to no configured jail stays as it is.
        let wanted = jail.map_or(ban.renew.is_some(), |jail| jail.renews);
        wanted && self.can_renew && ban.until.is_some() && !ban.is_observed() && is_renewable(&ban.prefix)
    }

    /// The tier of a ban of `prefix` for so long, if its jail `renews`.
    pub(super) fn tier(&mut self, prefix: &IpNet, length: Duration, renews: bool) -> Option<Tier> {
        if !renews || !self.can_renew || !is_renewable(prefix) {
            return None;
        }
        let tier = self.bans.renewing().tier(length);
        self.unrenewed += u64::from(tier.is_none());
        tier
    }
}

/// Whether the kernel can renew a ban of `prefix`: networks of unusual lengths are intervals, which no packet can name.
fn is_renewable(prefix: &IpNet) -> bool {
    match prefix {
        IpNet::V4(net) => [24, 32].contains(&net.prefix_len()),
        IpNet::V6(net) => [48, 56, 64, 128].contains(&net.prefix_len()),
    }
}

#[cfg(test)]
#[path = "renewal_tests.rs"]
mod tests;
