//! What `banctl` and `kband` say to each other, one JSON document a line.
//!
//! First each side says [`Hello`], the client first; a daemon that does not speak the client's protocol
//! answers with a refusal that names both versions. Then each [`Request`] gets one [`Answer`]. Long lists
//! come in pages that the client asks for one by one, so the daemon never holds more than one of them.

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;

use ipnet::IpNet;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

pub use super::status::{
    AskedStatus, FeedRow, FirewallStatus, ForeignChange, JailStatus, Loading, SourceRow, Status, TodayStatus,
};

use super::allowed::AllowRow;
use super::moved::Moved;
use super::recall::{EventCursor, EventRow, Stats, Why};
use crate::config::Setting;
use crate::config::duration::BanTime;
use crate::jail::{Ban, shown};

/// The version of this protocol. It changes when an older peer could misunderstand a newer one.
pub const PROTOCOL: u32 = 1;
/// The longest request line, in bytes.
pub const LONGEST_REQUEST: usize = 64 * 1024;
/// The longest `reason` of a ban by hand, in bytes.
pub const LONGEST_REASON: usize = 200;
/// How many bans one page holds at most.
pub const PAGE: usize = 1000;

/// The first line of each side.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// The protocol that this side speaks.
    pub protocol: u32,
    /// Name and version, for the administrator.
    pub program: String,
}

impl Hello {
    /// This program's own.
    #[must_use]
    pub fn of(program: &str) -> Self {
        Self { protocol: PROTOCOL, program: format!("{program} {}", env!("CARGO_PKG_VERSION")) }
    }
}

/// What a client wants.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "request", rename_all = "snake_case", deny_unknown_fields)]
pub enum Request {
    /// How the daemon is.
    Status,
    /// One page of the bans in force.
    List {
        /// Only this jail's.
        jail: Option<String>,
        /// Only prefixes within this one, or that contain it.
        within: Option<IpNet>,
        /// Go on behind this row.
        after: Option<Cursor>,
    },
    /// A ban by hand.
    Ban {
        /// Whom.
        prefix: IpNet,
        /// On behalf of which jail; `manual` if not given.
        jail: Option<String>,
        /// How long; the jail's own bantime if not given.
        bantime: Option<BanTime>,
        /// Why; at most [`LONGEST_REASON`] bytes.
        reason: Option<String>,
        /// Also somebody whom one had better not ban.
        #[serde(default)]
        force: bool,
        /// From where whoever wants it is logged in, if that can be seen.
        #[serde(default)]
        caller: Option<IpAddr>,
    },
    /// Lift bans: those within `within`, of `jail`, or both; all of them if neither is given.
    Unban {
        /// Only prefixes within this one.
        within: Option<IpNet>,
        /// Only this jail's.
        jail: Option<String>,
    },
    /// Allow somebody at run time; bans that are in the way are lifted.
    Allow {
        /// Whom.
        prefix: IpNet,
        /// How long; until it is taken back if not given.
        time: Option<BanTime>,
        /// Why; at most [`LONGEST_REASON`] bytes.
        reason: Option<String>,
        /// Also if it is a large part of the Internet.
        force: bool,
    },
    /// Take back what was allowed at run time.
    Disallow {
        /// Whom.
        prefix: IpNet,
    },
    /// Who is never banned.
    Allowed {
        /// Only entries within this prefix, or that contain it.
        within: Option<IpNet>,
    },
    /// All that is known of an address or prefix.
    Why {
        /// Whom.
        address: IpNet,
    },
    /// One page of what happened to bans, newest first.
    History {
        /// Only prefixes within this one, or that contain it.
        within: Option<IpNet>,
        /// Only this jail's.
        jail: Option<String>,
        /// Only from then on.
        since: Option<Timestamp>,
        /// Go on behind this event.
        after: Option<EventCursor>,
    },
    /// What the history adds up to.
    Stats {
        /// Only from then on.
        since: Option<Timestamp>,
    },
    /// Take over bans from elsewhere; those that are in force here for as long stay as they are.
    Load {
        /// With the time that is left to them.
        bans: Vec<Moved>,
        /// As that of a ban.
        #[serde(default)]
        force: bool,
        /// As that of a ban.
        #[serde(default)]
        caller: Option<IpAddr>,
    },
    /// Read the configuration again.
    Reload,
    /// The configuration in effect.
    Config,
    /// Lift every ban, and empty the kernel's sets of whatever else is in them.
    Flush,
    /// Tell what happens from now on, one event a line, until this side hangs up.
    Watch,
}

impl Request {
    /// Whether it changes bans or who is allowed: the history has who did.
    #[must_use]
    pub fn changes(&self) -> bool {
        let bans = matches!(self, Self::Ban { .. } | Self::Unban { .. } | Self::Load { .. } | Self::Flush);
        bans || matches!(self, Self::Allow { .. } | Self::Disallow { .. })
    }
}

/// A row of the list, to go on behind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cursor {
    /// The row's prefix.
    pub prefix: IpNet,
    /// The row's jail.
    pub jail: String,
}

/// What the daemon answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "snake_case")]
pub enum Answer {
    /// To [`Request::Status`].
    Status(Box<Status>),
    /// To [`Request::List`].
    Page(Page),
    /// To [`Request::Ban`].
    Banned(BanRow),
    /// To [`Request::Unban`], [`Request::Flush`] and [`Request::Allow`].
    Lifted {
        /// How many bans.
        bans: usize,
    },
    /// To [`Request::Disallow`].
    Disallowed,
    /// To [`Request::Allowed`].
    Spared {
        /// The entries.
        allowed: Vec<AllowRow>,
    },
    /// To [`Request::Why`].
    Why(Box<Why>),
    /// To [`Request::History`].
    History {
        /// The events, newest first.
        events: Vec<EventRow>,
        /// Whether to ask again, behind this event.
        next: Option<EventCursor>,
    },
    /// To [`Request::Stats`].
    Stats(Box<Stats>),
    /// To [`Request::Load`].
    Loaded {
        /// How many are in force now.
        loaded: usize,
        /// How many were in force already, for as long.
        known: usize,
        /// How many of those loaded belong to `manual`, because their jail is not configured here.
        other_jail: usize,
        /// Those that may not be banned.
        refused: Vec<Unloaded>,
    },
    /// To [`Request::Reload`].
    Reloaded {
        /// Sentences that are no errors.
        warnings: Vec<String>,
    },
    /// To [`Request::Config`].
    Config {
        /// Where the daemon reads it: what is given to `--config`.
        read_from: PathBuf,
        /// As it was read, without what could not be put into effect.
        settings: Vec<Setting>,
    },
    /// To [`Request::Watch`]; lines of [`super::events::Event`] follow.
    Watching,
    /// It was not done.
    Refused(Refused),
}

/// A part of a list of bans.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Page {
    /// The rows, in order.
    pub bans: Vec<BanRow>,
    /// Whether to ask again, behind the last row.
    pub next: Option<Cursor>,
}

impl Answer {
    /// Reads an answer. A page is read as what it is at once: to find out what an answer is takes serde as long again as to
    /// read it.
    ///
    /// # Errors
    /// When it is none.
    pub fn read(line: &str) -> serde_json::Result<Self> {
        if line.starts_with(r#"{"answer":"page","#) {
            return serde_json::from_str(line).map(Self::Page);
        }
        serde_json::from_str(line)
    }
}

/// A ban from elsewhere that was not taken over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unloaded {
    /// Whose it was.
    pub address: String,
    /// Why not.
    pub why: String,
}

/// Why something was not done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refused {
    /// What kind of no it is.
    pub kind: Kind,
    /// The sentence for the administrator.
    pub message: String,
}

/// The kinds of no, each with an exit code of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Not banned, or the configuration has errors.
    No,
    /// The request makes no sense.
    Usage,
    /// Whoever asks may not.
    Permission,
    /// The allow list forbids it.
    Allowed,
    /// The kernel refused.
    Kernel,
}

impl Refused {
    /// A refusal with its sentence.
    pub fn new(kind: Kind, message: impl fmt::Display) -> Self {
        Self { kind, message: message.to_string() }
    }
}

/// One ban, as `banctl list --json` shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BanRow {
    /// The address, or the prefix if it is more than one address.
    pub address: String,
    /// The jail that banned it.
    pub jail: String,
    /// When it began.
    pub since: Timestamp,
    /// When it ends; `null` is never.
    pub until: Option<Timestamp>,
    /// Whole seconds until then, rounded up.
    pub seconds_left: Option<u64>,
    /// How many times this jail has banned it.
    pub count: u32,
    /// The ports that are closed to it; `null` is all of them, an empty list says that the jail only observes.
    pub ports: Option<Vec<String>>,
    /// Where the ban came from.
    pub source: String,
    /// Why.
    pub reason: String,
    /// Whether the kernel's set holds it now.
    pub in_kernel: bool,
    /// Whether each packet of the offender begins the time anew.
    pub renews: bool,
    /// How many packets the kernel has dropped by it since it was last told of it; `null` if that is not counted.
    pub packets: Option<u64>,
}

impl BanRow {
    /// The row of a ban, seen at `now`; of packets nothing is known.
    #[must_use]
    pub fn new(ban: &Ban, now: Timestamp, in_kernel: bool) -> Self {
        Self {
            address: shown(&ban.prefix),
            jail: ban.jail.to_string(),
            since: ban.since,
            until: ban.until,
            seconds_left: ban.until.map(|until| seconds_left(until, now)),
            count: ban.count,
            ports: ban.services.as_ref().map(|list| list.iter().map(ToString::to_string).collect()),
            source: ban.source.to_string(),
            reason: ban.reason.to_string(),
            in_kernel,
            renews: ban.renew.is_some(),
            packets: None,
        }
    }
}

/// Whole seconds from `now` to `until`, rounded up.
pub(super) fn seconds_left(until: Timestamp, now: Timestamp) -> u64 {
    let milliseconds = until.duration_since(now).as_millis().max(0).unsigned_abs();
    u64::try_from(milliseconds.div_ceil(1000)).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
