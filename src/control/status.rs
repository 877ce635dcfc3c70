//! How the daemon is, as it tells `banctl status`.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::fleet::FleetStatus;

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
    /// Since when `today` of the jails counts: midnight, or the daemon's start if that was later.
    #[serde(default)]
    pub today_since: Option<Timestamp>,
    /// This machine's part in a fleet, if it has one.
    #[serde(default)]
    pub fleet: Option<FleetStatus>,
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
    /// Of these, since [`Status::today_since`].
    #[serde(default)]
    pub today: TodayStatus,
}

/// What a jail has counted today.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TodayStatus {
    /// Failures found.
    pub failures: u64,
    /// Bans made.
    pub bans: u64,
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
    /// How far its new list is; none if none is on its way.
    #[serde(default)]
    pub loading: Option<Loading>,
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

/// How far a list is on its way into force.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Loading {
    /// How many of its entries are in force, or known not to come into force.
    pub settled: usize,
    /// How many it has.
    pub of: usize,
}

/// One log source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceRow {
    /// What is read: the path of a file; else kind, name and place of the source.
    pub path: String,
    /// Which source it belongs to: the path of a file, perhaps with wildcards; else its kind and name.
    #[serde(default)]
    pub source: String,
    /// It stands for all files that a path with wildcards means, each of which has a row of its own.
    #[serde(default)]
    pub whole: bool,
    /// `following`, `waiting` or `failed`.
    pub state: String,
    /// What is wrong, if anything.
    pub error: Option<String>,
    /// Lines read.
    pub lines: u64,
    /// Bytes read.
    pub bytes: u64,
    /// Lines read a second: the mean since the status was last asked for, or since at most a minute ago.
    #[serde(default)]
    pub lines_per_second: u64,
    /// Bytes read a second, likewise.
    #[serde(default)]
    pub bytes_per_second: u64,
    /// Bytes that are there and not read; none before the first look.
    #[serde(default)]
    pub lag: Option<u64>,
    /// Where reading goes on, as the store keeps it.
    #[serde(default)]
    pub position: Option<String>,
    /// Lines that are not in the format that the jail says, and were left out.
    #[serde(default)]
    pub lines_broken: u64,
    /// Lines that were too long and were cut.
    pub lines_cut: u64,
    /// Lines that matched but whose date could not be read.
    pub undated: u64,
    /// How often reading began anew.
    #[serde(default)]
    pub restarts: u64,
    /// Datagrams that the kernel had no room for.
    #[serde(default)]
    pub lost: u64,
    /// Datagrams and connections of senders that are not allowed.
    #[serde(default)]
    pub refused: u64,
    /// Messages that were not as their format has it.
    #[serde(default)]
    pub broken: u64,
    /// Connections that kband ended.
    #[serde(default)]
    pub closed: u64,
    /// Entries of the journal that matched, and that anybody could have written.
    #[serde(default)]
    pub untrusted: u64,
    /// How often entries of the journal were gone before they were read.
    #[serde(default)]
    pub gaps: u64,
    /// How old the last entry of the journal was when it was read, in milliseconds.
    #[serde(default)]
    pub behind_ms: Option<u64>,
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
    /// Whether the kernel can renew bans with the offender's packets; not known of an older kband.
    #[serde(default)]
    pub can_renew: Option<bool>,
    /// Whether the kernel can count packets by ban, where that is configured; not known otherwise, or of an older kband.
    #[serde(default)]
    pub can_count: Option<bool>,
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
