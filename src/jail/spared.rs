//! Who is never banned, whichever log says what, and on whose word.
//!
//! Questions are answered from merged prefixes; where an entry comes from is looked up when somebody asks why.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;
use jiff::Timestamp;

use super::allow::Allow;
use super::by_hand::Refusal;
use super::target::unbannable;
use crate::config::network::{Ignored, Lookup};

/// An entry at run time: `banctl allow add`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Allowance {
    /// Who is allowed; canonical.
    pub prefix: IpNet,
    /// Since when.
    pub since: Timestamp,
    /// Until when; `None`: until somebody takes it back.
    pub until: Option<Timestamp>,
    /// Why; may be empty.
    pub reason: Arc<str>,
    /// Who said so, if that is known.
    pub who: Option<Arc<str>>,
}

/// On whose word somebody is never banned.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    /// `ignoreip`.
    Ignoreip,
    /// A name in `ignoreip`, or a file there.
    Lookup(Lookup),
    /// `banctl allow add`.
    ByHand,
    /// An address of this machine.
    Own,
    /// A gateway or a resolver of this machine.
    Neighbour,
    /// `proxies`.
    Proxy,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Lookup(Lookup::Name(name)) => return write!(f, "name {name}"),
            Self::Lookup(Lookup::File(path)) => return write!(f, "file {}", path.display()),
            Self::Ignoreip => "ignoreip",
            Self::ByHand => "run time",
            Self::Own => "own address",
            Self::Neighbour => "gateway or resolver",
            Self::Proxy => "proxies",
        })
    }
}

impl Origin {
    /// How an entry of this origin is taken back.
    #[must_use]
    pub fn remedy(&self, entry: &IpNet) -> String {
        match self {
            Self::Ignoreip => "take it out of `[defaults] ignoreip` and reload".to_owned(),
            Self::Lookup(Lookup::Name(name)) => format!("take {name} out of `ignoreip` and reload"),
            Self::Lookup(Lookup::File(path)) => format!("take it out of {}", path.display()),
            Self::ByHand => format!("`banctl allow del {}` takes it back", super::shown(entry)),
            Self::Own => "it goes when the address does".to_owned(),
            Self::Neighbour => "[firewall] protect says so".to_owned(),
            Self::Proxy => "take it out of `proxies` and reload".to_owned(),
        }
    }
}

/// Everybody who is never banned by anyone.
#[derive(Debug, Default)]
pub struct Spared {
    own: Allow,
    neighbours: Allow,
    /// `[defaults] ignoreip`.
    ignoreip: Ignored,
    /// What lookups have come to, those of jails as well.
    found: BTreeMap<Lookup, Vec<IpNet>>,
    by_hand: BTreeMap<IpNet, Allowance>,
    /// When the first of those is over.
    next_end: Option<Timestamp>,
    /// Those of `ignoreip` and those by hand.
    allow: Allow,
    /// Whoever attacks is behind them.
    proxies: Allow,
}

impl Spared {
    /// Replaces `[defaults] ignoreip`.
    pub(super) fn set_ignoreip(&mut self, ignoreip: Ignored) {
        self.ignoreip = ignoreip;
        self.merge();
    }

    /// Replaces the proxies.
    pub(super) fn set_proxies(&mut self, proxies: &[IpNet]) {
        self.proxies = Allow::new(proxies.iter().copied());
    }

    /// Replaces the machine's own addresses and its neighbours. Whether anything is new.
    pub(super) fn set_own(&mut self, own: Allow, neighbours: Allow) -> bool {
        let new = own != self.own || neighbours != self.neighbours;
        (self.own, self.neighbours) = (own, neighbours);
        new
    }

    /// Changes the entries at run time.
    pub(super) fn change_by_hand<T>(
        &mut self,
        change: impl FnOnce(&mut BTreeMap<IpNet, Allowance>) -> T,
    ) -> T {
        let changed = change(&mut self.by_hand);
        self.merge();
        changed
    }

    fn merge(&mut self) {
        let ignored = self.entries(&self.ignoreip).map(|(prefix, _)| prefix);
        self.allow = Allow::new(ignored.chain(self.by_hand.keys().copied()));
        self.next_end = self.by_hand.values().filter_map(|entry| entry.until).min();
    }

    /// The entries at run time, in order.
    pub fn by_hand(&self) -> impl Iterator<Item = &Allowance> {
        self.by_hand.values()
    }

    /// When the next entry at run time is over.
    #[must_use]
    pub fn next_end(&self) -> Option<Timestamp> {
        self.next_end
    }

    /// What the kernel must never drop.
    pub(super) fn passing(&self) -> [&Allow; 3] {
        [&self.allow, &self.own, &self.neighbours]
    }

    /// What no ban of a jail may have an address of.
    pub(super) fn lists(&self) -> [&Allow; 4] {
        [&self.allow, &self.own, &self.neighbours, &self.proxies]
    }

    /// Whether `address` is a proxy's.
    #[must_use]
    pub fn is_proxy(&self, address: IpAddr) -> bool {
        self.proxies.covering(address).is_some()
    }

    /// Whether `prefix` has somebody in it who is spared.
    #[must_use]
    pub fn overlaps(&self, prefix: &IpNet) -> bool {
        self.lists().into_iter().any(|list| list.overlapping(prefix).is_some())
    }

    /// The same, when an administrator wants it: who bans a proxy by hand knows what that does.
    #[must_use]
    pub fn forbids(&self, prefix: &IpNet) -> bool {
        self.passing().into_iter().any(|list| list.overlapping(prefix).is_some())
    }

    /// Why an administrator should think twice about a ban of `prefix`, if so.
    #[must_use]
    pub fn doubt(&self, prefix: &IpNet) -> Option<Refusal> {
        let proxy = *self.proxies.overlapping(prefix)?;
        Some(Refusal::Proxy { prefix: *prefix, proxy })
    }

    /// Why nobody would ban `prefix`, if so: it may not be banned, or is better not.
    #[must_use]
    pub fn shelter(&self, prefix: &IpNet) -> Option<Refusal> {
        self.refusal(prefix).or_else(|| self.doubt(prefix))
    }

    /// What `ignored` has come to, with where each prefix comes from.
    pub fn entries<'a>(&'a self, ignored: &'a Ignored) -> impl Iterator<Item = (IpNet, Origin)> + 'a {
        let found = ignored.lookups.iter().flat_map(|lookup| {
            let prefixes = self.found.get(lookup).map_or(&[][..], Vec::as_slice);
            prefixes.iter().map(|prefix| (*prefix, Origin::Lookup(lookup.clone())))
        });
        ignored.networks.iter().map(|prefix| (*prefix, Origin::Ignoreip)).chain(found)
    }

    /// `[defaults] ignoreip`.
    #[must_use]
    pub fn ignoreip(&self) -> &Ignored {
        &self.ignoreip
    }

    /// Takes in what a lookup has come to. Whether anything is new.
    pub(super) fn set_found(&mut self, lookup: &Lookup, prefixes: Vec<IpNet>) -> bool {
        let before = self.found.insert(lookup.clone(), prefixes);
        let new = before.as_ref() != self.found.get(lookup);
        if new {
            self.merge();
        }
        new
    }

    /// Forgets what nobody looks up any more.
    pub(super) fn keep_found(&mut self, lookups: &BTreeSet<Lookup>) {
        self.found.retain(|lookup, _| lookups.contains(lookup));
    }

    /// Whether `lookup` has come to nothing yet.
    #[must_use]
    pub fn is_unknown(&self, lookup: &Lookup) -> bool {
        self.found.get(lookup).is_none_or(Vec::is_empty)
    }

    /// Every entry but those at run time, with where it comes from.
    pub fn configured(&self) -> impl Iterator<Item = (IpNet, Origin)> + '_ {
        let lists = [
            (self.own.prefixes(), Origin::Own),
            (self.neighbours.prefixes(), Origin::Neighbour),
            (self.proxies.prefixes(), Origin::Proxy),
        ];
        let lists = lists
            .into_iter()
            .flat_map(|(list, origin)| list.iter().map(move |prefix| (*prefix, origin.clone())));
        self.entries(&self.ignoreip).chain(lists)
    }

    /// Why a ban of `prefix` is not made, if so.
    #[must_use]
    pub fn refusal(&self, prefix: &IpNet) -> Option<Refusal> {
        // Of a network that is not allowed as a whole, the entry says more.
        let address =
            |found: &IpNet| if prefix.contains(&found.addr()) { found.addr() } else { prefix.addr() };
        if let Some(own) = self.own.overlapping(prefix) {
            return Some(Refusal::Own(address(own)));
        }
        if prefix.addr().is_loopback() {
            return Some(Refusal::Own(prefix.addr()));
        }
        if let Some(neighbour) = self.neighbours.overlapping(prefix) {
            return Some(Refusal::Neighbour(address(neighbour)));
        }
        if unbannable(prefix.addr()) {
            return Some(Refusal::NotAHost(prefix.addr()));
        }
        let merged = *self.allow.overlapping(prefix)?;
        let (entry, origin) = self.entry(prefix).unwrap_or((merged, Origin::Ignoreip));
        Some(Refusal::Allowed { prefix: *prefix, entry, origin })
    }

    /// As [`Spared::refusal`] for one address; whether there is one costs less than why.
    #[must_use]
    pub fn spares(&self, address: IpAddr) -> bool {
        address.is_loopback()
            || unbannable(address)
            || self.lists().into_iter().any(|list| list.covering(address).is_some())
    }

    /// The entry that has all of `prefix` in it.
    pub(super) fn entry_around(&self, prefix: &IpNet) -> Option<(IpNet, Origin)> {
        let by_hand = self.by_hand.keys().map(|entry| (*entry, Origin::ByHand));
        by_hand.chain(self.configured()).find(|(entry, _)| entry.contains(prefix))
    }

    /// The entry of `ignoreip` or at run time that shares an address with `prefix`.
    fn entry(&self, prefix: &IpNet) -> Option<(IpNet, Origin)> {
        let shares = |entry: &IpNet| entry.contains(prefix) || prefix.contains(entry);
        let by_hand = self.by_hand.keys().copied().find(shares).map(|entry| (entry, Origin::ByHand));
        by_hand.or_else(|| self.entries(&self.ignoreip).find(|(entry, _)| shares(entry)))
    }
}
