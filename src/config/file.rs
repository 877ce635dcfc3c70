//! kban.toml as it is typed: the one definition of which tables and keys there are.
//!
//! Every key may be left out, because a file says only what differs from the file before it. What a missing key
//! means is decided in [`super::plan`], after [`super::merge`].

use std::collections::BTreeMap;

use serde::Deserialize;

use super::choices::{
    FirewallVerdict, Interface, LogFormat, LogPrefix, Neighbour, Ownership, StoreMode, UseDns,
};
use super::duration::{BanTime, Period};
use super::feed::{ListPath, ListUrl, Words};
use super::fleet::{FleetServer, MemberName, PublicKey, Roles};
use super::journalmatch::JournalMatches;
use super::judgement::{Counts, Escalate, Mode, Subnet, Switch, Trust};
use super::network::{Entries, Networks};
use super::ports::{Ports, Protocols};
use super::size::StoreSize;
use super::source::{Endpoints, JournalDirectory, Namespace, PipePath, Senders};
use super::value::{
    At, Count, FeedName, FilterName, GroupName, Ipv6Prefix, JailName, LogPaths, SourceName, SourceNames,
    Table,
};

/// Failures before a ban.
pub type MaxRetry = Count<1, 1_000_000>;
/// Addresses tracked at most.
pub type MaxTracked = Count<1, 10_000_000>;
/// Bans in a minute at most.
pub type MaxBans = Count<1, 1_000_000>;
/// Elements in a set at most.
pub type SetSize = Count<1, 16_777_216>;
/// Reports of a host in a minute at most.
pub type MaxReports = Count<1, 1_000_000>;
/// Offenders that a friend's fleet may name at most.
pub type MaxOffenders = Count<1, 1_000_000>;
/// How many fleets.
pub type Fleets = Count<1, 1_000>;
/// Entries of a feed at most.
pub type MaxEntries = Count<1, 2_000_000>;

/// Log lines that are kept of a ban.
pub type Evidence = Count<0, 100>;

/// A group of NFLOG.
pub type LogGroup = Count<0, 65_535>;

/// One whole file.
#[derive(Debug, Clone, Default, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct File {
    /// `[defaults]`: what every jail starts from.
    pub defaults: Table<Defaults>,
    /// `[jail.NAME]`.
    pub jail: BTreeMap<JailName, At<Table<Jail>>>,
    /// `[source.NAME]`.
    pub source: BTreeMap<SourceName, At<Table<Source>>>,
    /// `[feed.NAME]`.
    pub feed: BTreeMap<FeedName, At<Table<Feed>>>,
    /// `[firewall]`.
    pub firewall: Table<Firewall>,
    /// `[store]`.
    pub store: Table<Store>,
    /// `[control]`.
    pub control: Table<Control>,
    /// `[fleet]`.
    pub fleet: Table<Fleet>,
}

/// `[defaults]`.
#[derive(Debug, Clone, Default, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct Defaults {
    /// How long an offender is banned.
    pub bantime: Option<At<BanTime>>,
    /// The window in which failures are counted.
    pub findtime: Option<At<Period>>,
    /// Failures within `findtime` that lead to a ban.
    pub maxretry: Option<At<MaxRetry>>,
    /// Never banned, by any jail.
    pub ignoreip: Option<At<Entries>>,
    /// Proxies, never banned: whoever attacks is behind them.
    pub proxies: Option<At<Networks>>,
    /// A program that is asked before a ban: its path, and each argument.
    pub ignorecommand: Option<At<Words>>,
    /// How long a ban waits for it.
    pub ignorecommand_timeout: Option<At<Period>>,
    /// How many leading bits of an IPv6 address are counted and banned as one.
    pub ipv6_prefix: Option<At<Ipv6Prefix>>,
    /// How many addresses a jail tracks at most.
    pub max_tracked: Option<At<MaxTracked>>,
    /// The ports that are closed to an offender; left out, everything.
    pub port: Option<At<Ports>>,
    /// The protocols of these ports.
    pub protocol: Option<At<Protocols>>,
    /// What becomes of hosts of which the log has only the name.
    pub usedns: Option<At<UseDns>>,
    /// Whether bans of repeat offenders become longer, and how.
    pub escalate: Option<At<Switch<Escalate>>>,
    /// Whether networks in which many offend are banned as a whole, and when.
    pub subnet: Option<At<Switch<Subnet>>>,
    /// Whether an address from which somebody lately logged in has a higher limit, and which.
    pub trust: Option<At<Switch<Trust>>>,
    /// Whether offenders are banned, or only told of.
    pub mode: Option<At<Mode>>,
    /// A jail makes no more bans in a minute; left out, as many as there are offenders.
    pub max_bans_per_minute: Option<At<MaxBans>>,
    /// Whether a ban lasts `bantime` after the offender's last packet.
    pub renew_on_contact: Option<At<bool>>,
    /// How far back lines are read that were written while kband did not run; left out, as far as `findtime`.
    pub catch_up: Option<At<Period>>,
}

/// `[jail.NAME]`.
#[derive(Debug, Clone, Default, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct Jail {
    /// Whether it runs; left out, it does not.
    pub enabled: Option<At<bool>>,
    /// What its lines are matched with; left out, the jail's own name.
    pub filter: Option<At<FilterName>>,
    /// The log files; left out, the filter's own.
    pub logpath: Option<At<LogPaths>>,
    /// What else it reads: the NAMEs of `[source.NAME]`.
    pub source: Option<At<SourceNames>>,
    /// Which entries of the journal it reads; left out, the filter's own, if it reads the journal.
    pub journalmatch: Option<At<JournalMatches>>,
    /// As in `[defaults]`.
    pub bantime: Option<At<BanTime>>,
    /// As in `[defaults]`.
    pub findtime: Option<At<Period>>,
    /// As in `[defaults]`.
    pub maxretry: Option<At<MaxRetry>>,
    /// Never banned by this jail, in addition to `[defaults] ignoreip`.
    pub ignoreip: Option<At<Entries>>,
    /// In addition to those of `[defaults]`; no other jail bans them either.
    pub proxies: Option<At<Networks>>,
    /// As in `[defaults]`; an empty list is no program.
    pub ignorecommand: Option<At<Words>>,
    /// As in `[defaults]`.
    pub ignorecommand_timeout: Option<At<Period>>,
    /// As in `[defaults]`.
    pub ipv6_prefix: Option<At<Ipv6Prefix>>,
    /// As in `[defaults]`.
    pub max_tracked: Option<At<MaxTracked>>,
    /// As in `[defaults]`.
    pub port: Option<At<Ports>>,
    /// As in `[defaults]`.
    pub protocol: Option<At<Protocols>>,
    /// As in `[defaults]`.
    pub usedns: Option<At<UseDns>>,
    /// As in `[defaults]`.
    pub escalate: Option<At<Switch<Escalate>>>,
    /// As in `[defaults]`.
    pub subnet: Option<At<Switch<Subnet>>>,
    /// As in `[defaults]`.
    pub trust: Option<At<Switch<Trust>>>,
    /// As in `[defaults]`.
    pub mode: Option<At<Mode>>,
    /// As in `[defaults]`.
    pub max_bans_per_minute: Option<At<MaxBans>>,
    /// What it counts; left out, failures.
    pub counts: Option<At<Counts>>,
    /// As in `[defaults]`.
    pub renew_on_contact: Option<At<bool>>,
    /// As in `[defaults]`.
    pub catch_up: Option<At<Period>>,
    /// What is around each line of its logs; left out, nothing.
    pub format: Option<At<LogFormat>>,
    /// Whether its logs are looked at again and again; left out, the kernel tells when they change.
    pub poll: Option<At<bool>>,
}

impl Jail {
    /// Whether it is to run.
    #[must_use]
    pub fn is_enabled(&self) -> bool {
        self.enabled.as_ref().is_some_and(|enabled| enabled.value)
    }
}

/// `[source.NAME]`.
#[derive(Debug, Clone, Default, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct Source {
    /// Messages are received here: one place, or a list.
    pub syslog: Option<At<Endpoints>>,
    /// The hosts that may send them.
    pub allow: Option<At<Senders>>,
    /// The group that may write to the unix sockets, beside root.
    pub group: Option<At<GroupName>>,
    /// Lines are what is written into this named pipe.
    pub pipe: Option<At<PipePath>>,
    /// Lines are what this program writes: its name or path, and each argument.
    pub command: Option<At<Words>>,
    /// The journals in this directory, received from other machines.
    pub journal_directory: Option<At<JournalDirectory>>,
    /// The journal of this namespace.
    pub journal_namespace: Option<At<Namespace>>,
}

/// `[feed.NAME]`.
#[derive(Debug, Clone, Default, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct Feed {
    /// Whether it runs; left out, it does.
    pub enabled: Option<At<bool>>,
    /// The list lies in this file.
    pub file: Option<At<ListPath>>,
    /// The list is what this program writes: its path, and each argument.
    pub command: Option<At<Words>>,
    /// The list is fetched from here.
    pub url: Option<At<ListUrl>>,
    /// How often it is read.
    pub every: Option<At<Period>>,
    /// How long an entry is banned after it was last read; left out, for as long as it is listed.
    pub bantime: Option<At<BanTime>>,
    /// A list with more entries is refused.
    pub max_entries: Option<At<MaxEntries>>,
}

/// `[firewall]`.
#[derive(Debug, Clone, Default, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct Firewall {
    /// How many elements each set holds at most.
    pub set_size: Option<At<SetSize>>,
    /// What becomes of an offender's packets.
    pub verdict: Option<At<FirewallVerdict>>,
    /// Whether they are logged, so many a second at most.
    pub log: Option<At<bool>>,
    /// The NFLOG group that they are logged to; left out, the kernel's log.
    pub log_group: Option<At<LogGroup>>,
    /// How each entry begins.
    pub log_prefix: Option<At<LogPrefix>>,
    /// Only what arrives at these interfaces is looked at; left out, everything.
    pub interfaces: Option<At<Vec<Interface>>>,
    /// Whether an offender's TCP connections are ended with the ban.
    pub cut_connections: Option<At<bool>>,
    /// Whether each ban counts the packets that it drops.
    pub count: Option<At<bool>>,
    /// Neighbours that are never dropped.
    pub protect: Option<At<Vec<Neighbour>>>,
    /// Whether the table is to be kband's alone.
    pub ownership: Option<At<Ownership>>,
    /// All jails together make no more bans in a minute; left out, as many as there are offenders.
    pub max_bans_per_minute: Option<At<MaxBans>>,
}

/// `[store]`.
#[derive(Debug, Clone, Default, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct Store {
    /// Whether what is known survives a reboot.
    pub mode: Option<At<StoreMode>>,
    /// How far the history goes back.
    pub keep: Option<At<Period>>,
    /// How large the store may be before the oldest of the history goes.
    pub max_size: Option<At<StoreSize>>,
    /// How many log lines of a ban are kept.
    pub evidence: Option<At<Evidence>>,
    /// Whether user names are kept.
    pub keep_users: Option<At<bool>>,
}

/// `[control]`.
#[derive(Debug, Clone, Default, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct Control {
    /// Members of this group may use the control socket, beside root.
    pub group: Option<At<GroupName>>,
}

/// `[fleet]`.
#[derive(Debug, Clone, Default, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct Fleet {
    /// What this machine is among many; left out, it is alone.
    pub role: Option<At<Roles>>,
    /// Where the fleet's nats-server is.
    pub server: Option<At<FleetServer>>,
    /// What this machine is called.
    pub name: Option<At<MemberName>>,
    /// Where its keys and certificates are.
    pub directory: Option<At<ListPath>>,
    /// The key that the firewall signs its decisions with.
    pub signer: Option<At<PublicKey>>,
    /// How much a host keeps of what it could not report yet.
    pub spool: Option<At<StoreSize>>,
    /// Whether a host's reports have the offender's log lines in them.
    pub evidence: Option<At<bool>>,
    /// Whether a firewall takes reports of addresses that are only known in networks of one's own.
    pub private: Option<At<bool>>,
    /// A firewall takes no more reports of one host in a minute.
    pub max_reports_per_minute: Option<At<MaxReports>>,
    /// How many friends' fleets have to name an offender until it is banned here.
    pub needs: Option<At<Fleets>>,
    /// It is banned no longer than this after the last of them has banned it.
    pub bantime: Option<At<BanTime>>,
    /// No more offenders of one friend's fleet count at a time.
    pub max_offenders: Option<At<MaxOffenders>>,
    /// `[fleet.peer.NAME]`: a friend's fleet whose offenders are read.
    pub peer: BTreeMap<MemberName, At<Table<Peer>>>,
}

/// `[fleet.peer.NAME]`.
#[derive(Debug, Clone, Default, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct Peer {
    /// Where that fleet's nats-server is.
    pub server: Option<At<FleetServer>>,
    /// The key that its firewall signs with.
    pub signer: Option<At<PublicKey>>,
    /// What this machine is called there.
    pub name: Option<At<MemberName>>,
    /// How many fleets its word is worth.
    pub weight: Option<At<Fleets>>,
}
