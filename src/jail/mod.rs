//! From failures to verdicts: counting, exceptions, and the bans that are in force.
//!
//! Nothing here does I/O or asks for the time: every function that needs `now` takes it, so that the
//! daemon, `banctl test` and the tests see the same behaviour. [`engine`] is the door, [`by_hand`] the one for administrators,
//! [`feed`] the one for lists, [`reports`], [`decided`] and [`votes`] those for a fleet, [`lift`] the way out; [`window`] counts, [`jails`] are the jails, `convict` makes bans of
//! offenders (`escalation`, `subnet`, `breaker`), `trust` and `logins` know who lately logged in, [`spared`] who is never banned and why
//! ([`allowance`] changes that at run time), [`asking`] waits for a program, [`standing`] tells what keeps somebody from their ban, [`target`] says what is banned for an address,
//! [`renewal`] which bans last for as long as the offender knocks, [`bans`] holds the intent that the firewall makes true
//! ([`gathered`] at start).

pub mod allow;
pub mod allowance;
pub mod asking;
pub mod bans;
mod breaker;
pub mod by_hand;
mod convict;
pub mod decided;
mod draw;
pub mod engine;
mod escalation;
mod faint;
pub mod feed;
pub mod gathered;
pub mod jails;
pub mod lift;
pub mod logins;
pub mod offenders;
pub mod renewal;
pub mod reports;
mod row;
pub mod spared;
pub mod standing;
mod subnet;
pub mod target;
mod trust;
pub mod votes;
pub mod window;

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;
use jiff::Timestamp;

use crate::service::Service;
use crate::tier::Tier;

/// The jail of bans made by hand without `--jail`.
pub const MANUAL: &str = "manual";
/// The jail of elements that were found in the kernel and of which nothing is known.
pub const ADOPTED: &str = "adopted";
/// The source of bans by hand.
pub const BY_HAND: &str = "banctl";
/// How the jails of imported lists begin.
pub const FEED: &str = "feed.";

/// One ban: one row per prefix and jail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ban {
    /// Whose packets are dropped; canonical (no host bits).
    pub prefix: IpNet,
    /// On whose behalf.
    pub jail: Arc<str>,
    /// When it began.
    pub since: Timestamp,
    /// When it ends by itself; `None` is permanent.
    pub until: Option<Timestamp>,
    /// How many times this jail has banned this prefix, this ban included; at least 1.
    pub count: u32,
    /// Where it came from: a log file's path, `banctl`, `kernel`.
    pub source: Arc<str>,
    /// Why, in a short sentence; empty if nobody said.
    pub reason: Arc<str>,
    /// The services that are closed; `None`: everything; none of them: the jail only observes.
    pub services: Option<Arc<[Service]>>,
    /// Each packet of the offender renews the ban for so long, so that `until` may be later than was last heard; `None`: it
    /// ends at `until` whatever comes.
    pub renew: Option<Tier>,
}

impl Ban {
    /// Each service that is closed, `None` for everything: what the kernel has one element for.
    pub fn closes(&self) -> impl Iterator<Item = Option<Service>> + '_ {
        let everything = self.services.is_none().then_some(None);
        everything.into_iter().chain(self.services.iter().flat_map(|list| list.iter().copied().map(Some)))
    }

    /// Whether the jail only says that it would ban: nothing is closed.
    #[must_use]
    pub fn is_observed(&self) -> bool {
        self.services.as_deref().is_some_and(<[Service]>::is_empty)
    }
}

/// What the jails decided: the input of the firewall, and of everything that listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// A ban begins, or its end changes.
    Ban(Ban),
    /// A ban ends.
    Unban(Ban, Ending),
}

impl Verdict {
    /// The ban that this is about.
    #[must_use]
    pub fn ban(&self) -> &Ban {
        match self {
            Self::Ban(ban) | Self::Unban(ban, _) => ban,
        }
    }
}

/// Why a ban ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// Its time was over; the kernel has dropped the element by itself.
    Expired,
    /// Somebody lifted it.
    ByHand,
    /// Its jail is no longer configured.
    JailGone,
    /// The list that it was on has it no more.
    Unlisted,
    /// It is allowed now, or has an address of this machine in it.
    Allowed,
    /// The network that it is in is banned.
    Widened,
    /// Its jail has only observed, and bans now.
    Observed,
    /// The firewall of the fleet has lifted it, or friends' fleets have.
    Withdrawn,
}

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Expired => "expired",
            Self::ByHand => "lifted by hand",
            Self::JailGone => "its jail is gone",
            Self::Unlisted => "not listed any more",
            Self::Allowed => "it is allowed now",
            Self::Widened => "its network is banned",
            Self::Observed => "it was only observed",
            Self::Withdrawn => "whoever decided it has lifted it",
        })
    }
}

/// What people write: an address, or a prefix. The bits behind its length are those that were written.
#[must_use]
pub fn written(text: &str) -> Option<IpNet> {
    text.parse::<IpAddr>().map(IpNet::from).or_else(|_| text.parse()).ok()
}

/// A prefix as people write it: without its length if it is a single address.
#[must_use]
pub fn shown(prefix: &IpNet) -> String {
    if prefix.prefix_len() == prefix.max_prefix_len() {
        prefix.addr().to_string()
    } else {
        prefix.to_string()
    }
}
