//! What `banctl` and `kband` say to each other, one JSON document a line.
//!
//! First each side says [`Hello`], the client first; a daemon that does not speak the client's protocol
//! answers with a refusal that names both versions. Then each [`Request`] gets one [`Answer`]. Long lists
//! come in pages that the client asks for one by one, so the daemon never holds more than one of them.

use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::allowed::AllowRow;
use super::moved::Moved;
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
    /// Take over bans from elsewhere; those that are in force here for as long stay as they are.
    Load {
        /// With the time that is left to them.
        bans: Vec<Moved>,
    },
    /// Read the configuration again.
    Reload,
    /// Lift every ban, and empty the kernel's sets of whatever else is in them.
    Flush,
    /// Tell what happens from now on, one event a line, until this side hangs up.
    Watch,
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
    Page {
        /// The rows, in order.
        bans: Vec<BanRow>,
        /// Whether to ask again, behind the last row.
        next: Option<Cursor>,
    },
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
    /// To [`Request::Watch`]; lines of [`super::events::Event`] follow.
    Watching,
    /// It was not done.
    Refused(Refused),
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
}

impl BanRow {
    /// The row of a ban, seen at `now`.
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
        }
    }
}

/// Whole seconds from `now` to `until`, rounded up.
pub(super) fn seconds_left(until: Timestamp, now: Timestamp) -> u64 {
    let milliseconds = until.duration_since(now).as_millis().max(0).unsigned_abs();
    u64::try_from(milliseconds.div_ceil(1000)).unwrap_or(u64::MAX)
}

/// How the daemon is: `banctl status --json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// The daemon's version.
    pub version: String,
    /// When it started.
    pub started: Timestamp,
    /// What the administrator should know first.
    pub warnings: Vec<String>,
    /// Bans in force, all jails together.
    pub bans: usize,
    /// The enabled jails.
    pub jails: Vec<JailStatus>,
    /// The lists from elsewhere.
    pub feeds: Vec<FeedRow>,
    /// What is read.
    pub sources: Vec<SourceRow>,
    /// What the kernel does.
    pub firewall: FirewallStatus,
    /// Whether bans and positions survive a restart.
    pub durable: bool,
}

impl Status {
    /// The warning that goes with a status that is not `durable`.
    pub const NOT_DURABLE: &str =
        "bans and positions will not survive a restart: the store cannot be written";
}

/// One jail, since the daemon's start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JailStatus {
    /// Its name.
    pub name: String,
    /// The filter that it uses.
    pub filter: String,
    /// Failures found.
    pub failures: u64,
    /// Of these, from addresses that are never banned.
    pub ignored: u64,
    /// Of these, from proxies.
    #[serde(default)]
    pub proxied: u64,
    /// Of the failures, older than `findtime`.
    pub stale: u64,
    /// Of these, from addresses already banned.
    pub already_banned: u64,
    /// Bans made.
    pub banned_total: u64,
    /// Bans in force.
    pub banned: usize,
    /// What its `ignorecommand` said.
    #[serde(default)]
    pub asked: AskedStatus,
    /// Addresses with failures counted against them.
    pub tracked: usize,
    /// Offenders that wait for their ban, because too many were made in a minute.
    pub waiting: usize,
}

/// What came of asking a jail's `ignorecommand`, since the daemon's start.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AskedStatus {
    /// How often it was asked.
    pub times: u64,
    /// How often somebody was not banned because of it.
    pub spared: u64,
    /// How often there was no answer, and the ban went ahead.
    pub failed: u64,
}

/// One list from elsewhere.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FeedRow {
    /// Its name; its bans belong to the jail `feed.NAME`.
    pub name: String,
    /// Where its list comes from.
    pub source: String,
    /// How many entries its list has.
    pub entries: usize,
    /// Bans in force.
    pub banned: usize,
    /// Entries left out: spared, without room, unreadable, or of no host.
    pub skipped: usize,
    /// Of these, with an allowed address or one of this machine in them.
    pub spared: usize,
    /// Of these, without room.
    pub no_room: usize,
    /// Of these, lines that cannot be read.
    pub unreadable: usize,
    /// Of these, what no remote host can have.
    pub no_hosts: usize,
    /// Entries with bits behind their prefix length, taken as the network that they lie in.
    pub rounded: usize,
    /// When its list was last read, or seen to be unchanged.
    pub read: Option<Timestamp>,
    /// When it is read next.
    pub next: Option<Timestamp>,
    /// What was wrong the last time, if anything.
    pub error: Option<String>,
}

/// One log source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceRow {
    /// What is read.
    pub path: String,
    /// `following`, `waiting` or `failed`.
    pub state: String,
    /// What is wrong, if anything.
    pub error: Option<String>,
    /// Lines read.
    pub lines: u64,
    /// Bytes read.
    pub bytes: u64,
    /// Lines that were too long and were cut.
    pub lines_cut: u64,
    /// Lines that matched but whose date could not be read.
    pub undated: u64,
    /// Failures whose hosts are names that no jail asks for.
    #[serde(default)]
    pub named: u64,
}

/// What somebody else has done to the table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ForeignChange {
    /// When it was put right.
    pub at: Timestamp,
    /// Who did what, as a sentence.
    pub what: String,
}

/// The kernel's side.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FirewallStatus {
    /// Packets dropped since the table was made.
    pub packets: Option<u64>,
    /// Bytes of these.
    pub bytes: Option<u64>,
    /// Changes that the kernel has not taken yet.
    pub pending: usize,
    /// Whether the table is kband's alone.
    pub owned: bool,
    /// Why it is not, as half a sentence.
    #[serde(default)]
    pub why_plain: Option<String>,
    /// How many times others have changed the table.
    pub changed_by_others: u64,
    /// The last of these changes.
    #[serde(default)]
    pub last_change: Option<ForeignChange>,
    /// How many times the whole table was made again.
    pub restored: u64,
    /// Bans that were not in the kernel as intended, and were put right.
    pub repaired: u64,
    /// What is wrong, if anything.
    pub error: Option<String>,
}

#[cfg(test)]
#[path = "protocol_tests.rs"]
mod tests;
