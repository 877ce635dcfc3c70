//! The judge: takes failures, counts them, and says who is banned until when.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use jiff::Timestamp;

use super::allow::{Allow, folded, unbannable};
use super::bans::{Bans, End};
use super::window::{Counted, Window};
use super::{ADOPTED, Ban, Ending, FEED, MANUAL, Verdict};
use crate::config::duration::BanTime;
use crate::config::plan::JailPlan;
use crate::filter::Failure;

/// Names one jail of an engine: its place in the plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct JailId(pub usize);

/// One jail at work.
#[derive(Debug)]
pub struct Jail {
    /// Its name.
    pub name: Arc<str>,
    /// What became of its failures since the start.
    pub tally: Tally,
    allow: Allow,
    bantime: BanTime,
    ipv6_prefix: u8,
    window: Window,
    reason: Arc<str>,
}

/// Counters of one jail, since the daemon's start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Failures that the filter found.
    pub failures: u64,
    /// Of these, from addresses that are never banned.
    pub ignored: u64,
    /// Of these, older than `findtime`.
    pub stale: u64,
    /// Of these, from addresses already banned.
    pub already_banned: u64,
    /// Bans.
    pub bans: u64,
}

/// Why somebody cannot be banned.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// An entry of `ignoreip`, or the machine's own address.
    #[error("{address} is allowed by {entry}: take that entry out of `[defaults] ignoreip` to ban it")]
    Allowed {
        /// Who was to be banned.
        address: IpAddr,
        /// The entry that covers it.
        entry: IpNet,
    },
    /// The machine itself.
    #[error("{0} is an address of this machine: a ban would cut off its own traffic")]
    Own(IpAddr),
    /// Not the address of a single remote host.
    #[error("{0} is not the address of one remote host and cannot be banned")]
    NotAHost(IpAddr),
}

/// All jails of a daemon and the bans in force.
#[derive(Debug, Default)]
pub struct Engine {
    jails: Vec<Jail>,
    bans: Bans,
    /// `[defaults] ignoreip`.
    allow: Allow,
    /// The machine's own addresses.
    own: Allow,
}

impl Engine {
    /// No jails, no bans.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes over a plan. Jails that stay keep what they have counted; the bans of jails that are gone end, and those
    /// of addresses that are allowed now.
    pub fn configure(&mut self, plans: &[JailPlan], ignoreip: &[IpNet]) -> Vec<Verdict> {
        self.allow = Allow::new(ignoreip.iter().copied());
        let mut before = std::mem::take(&mut self.jails);
        for plan in plans {
            let known =
                before.iter().position(|jail| jail.name == plan.name).map(|place| before.swap_remove(place));
            self.jails.push(Jail::configured(plan, known));
        }
        let gone =
            before.into_iter().flat_map(|gone| self.unban(Some(&gone.name), |_| true, Ending::JailGone));
        let mut ended: Vec<Verdict> = gone.collect();
        let allow = self.allow.clone();
        ended.extend(self.unban(None, |prefix| allow.covers(prefix), Ending::Allowed));
        ended
    }

    /// Replaces the machine's own addresses, which are never banned. Says whether they changed.
    pub fn set_own_addresses(&mut self, own: impl IntoIterator<Item = IpAddr>) -> bool {
        let own = Allow::new(own.into_iter().map(IpNet::from));
        let changed = own != self.own;
        self.own = own;
        changed
    }

    /// What the kernel must never drop: `ignoreip` and the machine's own addresses.
    #[must_use]
    pub fn allowed(&self) -> Vec<IpNet> {
        Allow::new(self.allow.prefixes().iter().chain(self.own.prefixes()).copied()).prefixes().to_vec()
    }

    /// The jails, in the order of the plan.
    #[must_use]
    pub fn jails(&self) -> &[Jail] {
        &self.jails
    }

    /// The bans in force.
    #[must_use]
    pub fn bans(&self) -> &Bans {
        &self.bans
    }

    /// Whether bans can belong to a jail of this name: it is configured or reserved.
    #[must_use]
    pub fn knows(&self, jail: &str) -> bool {
        [MANUAL, ADOPTED].contains(&jail)
            || jail.starts_with(FEED)
            || self.jails.iter().any(|known| &*known.name == jail)
    }

    /// Whether `ignoreip` covers all of `prefix`.
    #[must_use]
    pub fn allows(&self, prefix: &IpNet) -> bool {
        self.allow.covers(prefix)
    }

    /// One failure, found in `source` and read at `now`: at `maxretry` of them, a ban.
    pub fn observe(
        &mut self,
        jail: JailId,
        failure: &Failure,
        source: &Arc<str>,
        now: Timestamp,
    ) -> Option<Verdict> {
        let address = folded(failure.address);
        let refused = self.refusal(address).is_some();
        let jail = self.jails.get_mut(jail.0)?;
        jail.tally.failures += 1;
        if refused || jail.allow.covering(address).is_some() {
            jail.tally.ignored += 1;
            return None;
        }
        let prefix = banned_as(address, jail.ipv6_prefix, &[&self.allow, &self.own, &jail.allow]);
        if self.bans.get(&prefix, &jail.name).is_some() {
            jail.tally.already_banned += 1;
            return None;
        }
        match jail.window.count(prefix, failure.time, failure.attempts, now) {
            Counted::Stale => {
                jail.tally.stale += 1;
                None
            }
            Counted::Below(_) => None,
            Counted::Reached(_) => {
                jail.tally.bans += 1;
                let (name, bantime, reason) =
                    (Arc::clone(&jail.name), jail.bantime, Arc::clone(&jail.reason));
                Some(self.insert(prefix, name, bantime, Arc::clone(source), reason, now))
            }
        }
    }

    /// A failure that was acted upon before a restart: it is counted, and leads to nothing.
    pub fn recall(&mut self, jail: JailId, failure: &Failure, now: Timestamp) {
        let address = folded(failure.address);
        let refused = self.refusal(address).is_some();
        let Some(jail) = self.jails.get_mut(jail.0) else { return };
        if refused || jail.allow.covering(address).is_some() {
            return;
        }
        let prefix = banned_as(address, jail.ipv6_prefix, &[&self.allow, &self.own, &jail.allow]);
        if self.bans.get(&prefix, &jail.name).is_none() {
            jail.window.count(prefix, failure.time, failure.attempts, now);
        }
    }

    /// A ban by hand of exactly this address, for the jail's `bantime` if `bantime` is not given.
    ///
    /// # Errors
    /// When the address is allowed, the machine's own, or no host's address.
    pub fn ban(
        &mut self,
        address: IpAddr,
        jail: Option<&str>,
        bantime: Option<BanTime>,
        reason: &str,
        now: Timestamp,
    ) -> Result<Verdict, Refusal> {
        let address = folded(address);
        if let Some(refusal) = self.refusal(address) {
            return Err(refusal);
        }
        let name: Arc<str> = jail.unwrap_or(MANUAL).into();
        let configured = self.jails.iter().find(|jail| jail.name == name).map(|jail| jail.bantime);
        let bantime = bantime.or(configured).unwrap_or(DEFAULT_BANTIME);
        Ok(self.insert(IpNet::from(address), name, bantime, "banctl".into(), reason.into(), now))
    }

    /// Lifts every ban of `jail` (any jail if not given) whose prefix is `wanted`.
    pub fn unban(
        &mut self,
        jail: Option<&str>,
        wanted: impl Fn(&IpNet) -> bool,
        ending: Ending,
    ) -> Vec<Verdict> {
        let lifted: Vec<(IpNet, Arc<str>)> = self
            .bans
            .iter()
            .filter(|ban| jail.is_none_or(|jail| &*ban.jail == jail) && wanted(&ban.prefix))
            .map(|ban| (ban.prefix, Arc::clone(&ban.jail)))
            .collect();
        lifted
            .into_iter()
            .filter_map(|(prefix, jail)| self.bans.remove(&prefix, &jail))
            .map(|ban| Verdict::Unban(ban, ending))
            .collect()
    }

    /// Takes back a ban that could not be made true.
    pub fn take_back(&mut self, ban: &Ban) {
        self.bans.remove(&ban.prefix, &ban.jail);
    }

    /// Takes in a ban that was in force before: from the store, or found in the kernel.
    pub fn restore(&mut self, ban: Ban) {
        self.bans.insert(ban);
    }

    /// Ends the next ban whose time is over at `now`; `None` once there is none left.
    pub fn expire_next(&mut self, now: Timestamp) -> Option<Verdict> {
        self.bans.expire_next(now).map(|ban| Verdict::Unban(ban, Ending::Expired))
    }

    /// Forgets counted failures that lie too far back, looking at `budget` entries of each jail.
    pub fn sweep(&mut self, now: Timestamp, budget: usize) {
        for jail in &mut self.jails {
            jail.window.sweep(now, budget);
        }
    }

    /// Why `address` may never be banned, if so.
    #[must_use]
    pub fn refusal(&self, address: IpAddr) -> Option<Refusal> {
        if unbannable(address) {
            return Some(Refusal::NotAHost(address));
        }
        if self.own.covering(address).is_some() {
            return Some(Refusal::Own(address));
        }
        self.allow.covering(address).map(|&entry| Refusal::Allowed { address, entry })
    }

    /// How long the kernel is to drop `prefix` from `now` on: what the firewall has to make true.
    #[must_use]
    pub fn remaining(&self, prefix: &IpNet, now: Timestamp) -> Remaining {
        match self.bans.end(prefix) {
            None => Remaining::Nothing,
            Some(End::Never) => Remaining::Forever,
            Some(End::At(until)) => match Duration::try_from(until.duration_since(now)) {
                Ok(left) if !left.is_zero() => Remaining::For(left),
                _ => Remaining::Nothing,
            },
        }
    }

    fn insert(
        &mut self,
        prefix: IpNet,
        jail: Arc<str>,
        bantime: BanTime,
        source: Arc<str>,
        reason: Arc<str>,
        now: Timestamp,
    ) -> Verdict {
        let until = match bantime {
            BanTime::For(length) => Some(now.saturating_add(length).unwrap_or(Timestamp::MAX)),
            BanTime::Permanent => None,
        };
        // What was only found in the kernel has a reason now.
        let known_better =
            |adopted: &Ban| until.is_none_or(|until| adopted.until.is_some_and(|end| end <= until));
        if self.bans.get(&prefix, ADOPTED).is_some_and(known_better) {
            self.bans.remove(&prefix, ADOPTED);
        }
        let count = self.bans.times_banned(&prefix, &jail).saturating_add(1);
        let ban = Ban { prefix, jail, since: now, until, count, source, reason };
        self.bans.insert(ban.clone());
        Verdict::Ban(ban)
    }
}

/// What the kernel has to do with one prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Remaining {
    /// Let it through.
    Nothing,
    /// Drop it for so long.
    For(Duration),
    /// Drop it until somebody lifts the ban.
    Forever,
}

/// The length of a ban by hand that names neither a length nor a configured jail.
const DEFAULT_BANTIME: BanTime = BanTime::For(Duration::from_secs(600));

impl Jail {
    /// How many prefixes have failures counted against them.
    #[must_use]
    pub fn tracked(&self) -> usize {
        self.window.len()
    }

    fn configured(plan: &JailPlan, known: Option<Self>) -> Self {
        let (tally, window) = match known {
            Some(mut jail) => {
                jail.window.set_limits(plan.findtime, plan.maxretry, plan.max_tracked);
                (jail.tally, jail.window)
            }
            None => (Tally::default(), Window::new(plan.findtime, plan.maxretry, plan.max_tracked)),
        };
        Self {
            name: Arc::clone(&plan.name),
            tally,
            allow: Allow::new(plan.ignoreip.iter().copied()),
            bantime: plan.bantime,
            ipv6_prefix: plan.ipv6_prefix,
            window,
            reason: format!("{} failures within {}", plan.maxretry, BanTime::For(plan.findtime)).into(),
        }
    }
}

/// What is counted and banned for `address`: itself, or for IPv6 the network it can choose addresses from.
///
/// A network that holds one of our own or an allowed address is never banned whole, nor is the local link
/// (`fe80::/64`): the routers of this machine live there.
fn banned_as(address: IpAddr, ipv6_prefix: u8, spared: &[&Allow]) -> IpNet {
    let single = IpNet::from(address);
    let IpAddr::V6(v6) = address else { return single };
    let Ok(network) = IpNet::new(address, ipv6_prefix) else { return single };
    let network = network.trunc();
    let touches_ours = spared.iter().any(|allow| allow.overlapping(&network).is_some());
    if v6.is_unicast_link_local() || touches_ours { single } else { network }
}

#[cfg(test)]
#[path = "engine_tests.rs"]
mod tests;
