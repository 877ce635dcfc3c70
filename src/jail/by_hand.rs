//! Bans that an administrator wants, and why some are refused.

use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;
use jiff::Timestamp;

use super::engine::{Engine, New};
use super::spared::Origin;
use super::{BY_HAND, Ban, MANUAL, Verdict, shown};
use crate::config::duration::BanTime;
use crate::config::network::folded;

/// Wider networks are not banned by hand: a slip of the pen would cut off half the world.
const WIDEST: u8 = 8;

/// Why somebody cannot be banned.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Allowed, or with an allowed address in it.
    #[error("{} is allowed by {} ({origin}): {}", shown(.prefix), shown(.entry), .origin.remedy(.entry))]
    Allowed {
        /// Who was to be banned.
        prefix: IpNet,
        /// The entry.
        entry: IpNet,
        /// Where it comes from.
        origin: Origin,
    },
    /// The machine itself.
    #[error("{0} is an address of this machine: a ban would cut off its own traffic")]
    Own(IpAddr),
    /// A gateway or resolver.
    #[error(
        "{0} is a gateway or resolver of this machine, which [firewall] protect spares: a ban would cut it off"
    )]
    Neighbour(IpAddr),
    /// Whoever asks for the ban, or a network with them in it.
    #[error(
        "{0} is where your own SSH session comes from: a ban would lock you out; say --force if it is meant"
    )]
    Caller(IpAddr),
    /// Somebody who lately logged in, or a network with them in it.
    #[error(
        "somebody logged in from {address} at {time:.0}: a ban may lock you or a colleague out; say --force if it is meant"
    )]
    LoggedIn {
        /// From where.
        address: IpAddr,
        /// When.
        time: Timestamp,
    },
    /// A proxy, or a network with one in it.
    #[error(
        "{} is or has a proxy ({}): a ban would cut off everybody behind it; have the service log the real client, \
         or say --force",
        shown(.prefix), shown(.proxy)
    )]
    Proxy {
        /// Who was to be banned.
        prefix: IpNet,
        /// The entry of `proxies`.
        proxy: IpNet,
    },
    /// Too many bans are in force.
    #[error("there are {0} bans already: lift some, or raise [firewall] set_size")]
    NoRoom(usize),
    /// Not the address of a single remote host.
    #[error("{0} is not the address of one remote host and cannot be banned")]
    NotAHost(IpAddr),
}

/// A ban that somebody wants.
#[derive(Debug, Clone, Copy)]
pub struct ByHand<'a> {
    /// Whom.
    pub prefix: IpNet,
    /// On behalf of which jail, closing its ports and renewed as its bans are; `manual`, which closes everything and ends
    /// when it was said to, if not given.
    pub jail: Option<&'a str>,
    /// How long; the jail's own bantime if not given.
    pub bantime: Option<BanTime>,
    /// Why; may be empty.
    pub reason: &'a str,
}

impl ByHand<'_> {
    /// The prefix as it is banned: without the bits behind its length, IPv4-mapped ones folded to IPv4.
    #[must_use]
    pub fn folded(&self) -> IpNet {
        folded(self.prefix.trunc())
    }
}

impl Engine {
    /// A ban by hand of exactly this address or network.
    ///
    /// # Errors
    /// When it is allowed, the machine's own, or no host's address, or has such an address in it.
    pub fn ban(&mut self, wanted: &ByHand<'_>, now: Timestamp) -> Result<Verdict, Refusal> {
        let ByHand { jail, bantime, reason, .. } = *wanted;
        let prefix = wanted.folded();
        if let Some(refusal) = self.refuses(&prefix) {
            return Err(refusal);
        }
        let name: Arc<str> = jail.unwrap_or(MANUAL).into();
        let configured = self.jails.iter().find(|jail| jail.name == name);
        let services = configured.and_then(|jail| jail.services.clone());
        let of_jail = configured.map(|jail| self.next_bantime(jail, &prefix, now));
        let bantime = bantime.or(of_jail).or(self.bantime);
        let renews = configured.is_some_and(|jail| jail.renews);
        if self.bans.len() >= self.capacity {
            return Err(Refusal::NoRoom(self.capacity));
        }
        let new = New {
            prefix,
            jail: name,
            bantime: bantime.unwrap_or(BanTime::Permanent),
            services,
            renews,
            source: BY_HAND.into(),
            reason: reason.into(),
        };
        Ok(self.insert(new, now))
    }

    /// Why somebody bans `prefix` by force only, if so. The `caller` is where whoever wants it is logged in from.
    #[must_use]
    pub fn doubt(&self, prefix: IpNet, caller: Option<IpAddr>, now: Timestamp) -> Option<Refusal> {
        let prefix = folded(prefix.trunc());
        if let Some(caller) =
            caller.map(|caller| caller.to_canonical()).filter(|caller| prefix.contains(caller))
        {
            return Some(Refusal::Caller(caller));
        }
        if let Some((address, time)) = self.logins.within(&prefix, now) {
            return Some(Refusal::LoggedIn { address, time });
        }
        self.spared.doubt(&prefix)
    }

    /// A ban that was in force elsewhere. `None` if it is here, for as long.
    ///
    /// # Errors
    /// As [`Engine::ban`].
    pub fn take_over(&mut self, ban: Ban) -> Result<Option<Verdict>, Refusal> {
        let ban = Ban { prefix: folded(ban.prefix.trunc()), ..ban };
        let by_force = &*ban.source == BY_HAND;
        let doubt = || self.spared.doubt(&ban.prefix).filter(|_| !by_force);
        if let Some(refusal) = self.refuses(&ban.prefix).or_else(doubt) {
            return Err(refusal);
        }
        let known = self.bans.get(&ban.prefix, &ban.jail);
        let as_long = |known: &Ban| match (known.until, ban.until) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(known), Some(until)) => known >= until,
        };
        if known.as_ref().is_some_and(as_long) {
            return Ok(None);
        }
        if self.bans.len() >= self.capacity {
            return Err(Refusal::NoRoom(self.capacity));
        }
        let ban = Ban { renew: self.tier_of(&ban), ..ban };
        self.supersede(&ban.prefix, ban.until, ban.renew);
        self.bans.insert(ban.clone());
        Ok(Some(Verdict::Ban(ban)))
    }

    /// Why a ban of `prefix` is not made by hand, if so.
    fn refuses(&self, prefix: &IpNet) -> Option<Refusal> {
        if prefix.prefix_len() < WIDEST {
            return Some(Refusal::NotAHost(prefix.network()));
        }
        self.spared.refusal(prefix)
    }
}
