//! The validated plan: everything the daemon needs, with nothing left to check.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use jiff::Timestamp;

use super::choices::{Neighbour, Ownership, UseDns};
use super::duration::BanTime;
use super::ignorecommand::IgnoreCommand;
use super::judgement::{Counts, Escalate, Mode, Subnet, Trust};
use super::network::{Ignored, Lookup};
use super::report::Problem;
use super::setting::Setting;
use crate::filter::Filter;
use crate::service::Service;
use crate::source::Input;

/// What one daemon does, after merging and validating every file.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The enabled jails, by name.
    pub jails: Vec<JailPlan>,
    /// The enabled feeds, by name.
    pub feeds: Vec<FeedPlan>,
    /// `[firewall]`.
    pub firewall: FirewallPlan,
    /// `[store]`.
    pub store: StorePlan,
    /// `[control]`.
    pub control: ControlPlan,
    /// `[fleet]`, if this machine is in one.
    pub fleet: Option<FleetPlan>,
    /// `[defaults] bantime`: of bans by hand that belong to no configured jail.
    pub bantime: BanTime,
    /// `[defaults] ignoreip`: never banned by any jail, and never dropped by the kernel.
    pub ignoreip: Ignored,
    /// Proxies, of `[defaults]` and of every enabled jail: never banned by any jail.
    pub proxies: Vec<IpNet>,
    /// Sentences for the administrator that are no errors ("no jail is enabled"), with their places.
    pub warnings: Vec<Problem>,
    /// What the files said, key by key.
    pub settings: Vec<Setting>,
}

impl Plan {
    /// Everything that has to be looked up because somebody is allowed by it.
    #[must_use]
    pub fn lookups(&self) -> BTreeSet<Lookup> {
        let jails = self.jails.iter().flat_map(|jail| &jail.ignoreip.lookups);
        self.ignoreip.lookups.iter().chain(jails).cloned().collect()
    }
}

/// One enabled jail.
#[derive(Debug, Clone)]
pub struct JailPlan {
    /// Its name, as in `[jail.NAME]`.
    pub name: Arc<str>,
    /// What it counts.
    pub counts: Counts,
    /// What its lines are matched with; `None`: it counts no failures.
    pub filter: Option<Arc<Filter>>,
    /// What it reads.
    pub sources: Vec<Input>,
    /// How far back lines of its logs are read that were written while kband did not run.
    pub catch_up: Duration,
    /// Whether its logs are looked at again and again, because the kernel may not tell of their changes.
    pub poll: bool,
    /// Failures within `findtime` that lead to a ban; at least 1.
    pub maxretry: u32,
    /// The window in which failures are counted, by the log's own time.
    pub findtime: Duration,
    /// How long an offender is banned.
    pub bantime: BanTime,
    /// The jail's own exceptions, checked before counting (in addition to [`Plan::ignoreip`]).
    pub ignoreip: Ignored,
    /// Asked before a ban.
    pub ignorecommand: Option<Arc<IgnoreCommand>>,
    /// How many leading bits of an IPv6 address are counted and banned as one (128, 64, 56 or 48).
    pub ipv6_prefix: u8,
    /// How many addresses are tracked at most before a ban; the least suspicious leaves first.
    pub max_tracked: usize,
    /// What becomes of hosts of which the log has only the name.
    pub usedns: UseDns,
    /// The services that are closed to an offender; `None`: everything.
    pub services: Option<Arc<[Service]>>,
    /// Whether and how bans of repeat offenders become longer.
    pub escalate: Option<Escalate>,
    /// Whether and when whole networks are banned.
    pub subnet: Option<Subnet>,
    /// Whether and how long an address is trusted from which somebody logged in.
    pub trust: Option<Trust>,
    /// Whether it bans.
    pub mode: Mode,
    /// How many bans it makes in a minute at most.
    pub max_bans_per_minute: Option<u32>,
    /// A ban lasts `bantime` after the offender's last packet, not after the ban.
    pub renew_on_contact: bool,
}

/// One enabled feed: a list of addresses that are banned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FeedPlan {
    /// Its name, as in `[feed.NAME]`.
    pub name: Arc<str>,
    /// Where its list comes from.
    pub source: FeedSource,
    /// How often its list is read; at least a minute.
    pub every: Duration,
    /// How long an entry is banned after it was last read; `None`: for as long as it is listed.
    pub bantime: Option<Duration>,
    /// A list with more entries is refused.
    pub max_entries: usize,
}

/// Where the list of a feed comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FeedSource {
    /// It lies there.
    File(PathBuf),
    /// A program writes it: its path, and its arguments. Never empty.
    Command(Vec<String>),
    /// It is fetched over HTTP.
    Url(String),
}

impl FeedPlan {
    /// Until when the entries of a list are banned that was `read` then; `None`: for as long as they are listed.
    #[must_use]
    pub fn until(&self, read: Timestamp) -> Option<Timestamp> {
        self.bantime.map(|bantime| read.saturating_add(bantime).unwrap_or(Timestamp::MAX))
    }
}

impl fmt::Display for FeedSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(f),
            Self::Command(words) => f.write_str(&words.join(" ")),
            Self::Url(url) => f.write_str(url),
        }
    }
}

/// `[firewall]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FirewallPlan {
    /// How many elements each set holds at most.
    pub set_size: u32,
    /// Offenders' packets are answered with a reset or an ICMP message; otherwise nothing comes back.
    pub reject: bool,
    /// Where offenders' packets are logged, if so.
    pub log: Option<LogPlan>,
    /// Only what arrives at these interfaces is looked at; empty: everything. A name may end in `*`.
    pub interfaces: Vec<String>,
    /// An offender's TCP connections are ended with the ban.
    pub cut_connections: bool,
    /// Each ban counts the packets that it drops.
    pub count: bool,
    /// Neighbours that are never dropped.
    pub protect: Vec<Neighbour>,
    /// Whether the table is to be kband's alone.
    pub ownership: Ownership,
    /// How many bans all jails make in a minute at most.
    pub max_bans_per_minute: Option<u32>,
}

/// Where packets are logged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogPlan {
    /// An NFLOG group; `None`: the kernel's log.
    pub group: Option<u16>,
    /// How each entry begins.
    pub prefix: String,
}

impl FirewallPlan {
    /// Sets of this size, and otherwise what is usual.
    #[must_use]
    pub fn sized(set_size: u32) -> Self {
        Self {
            set_size,
            reject: false,
            log: None,
            interfaces: Vec::new(),
            cut_connections: false,
            count: false,
            protect: Vec::new(),
            ownership: Ownership::Auto,
            max_bans_per_minute: None,
        }
    }
}

/// `[store]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StorePlan {
    /// What is known ends with the daemon.
    pub in_memory: bool,
    /// How far the history goes back.
    pub keep: Duration,
    /// How large the store may be, in bytes, before the oldest of the history goes.
    pub max_size: u64,
    /// How many log lines of a ban are kept.
    pub evidence: usize,
    /// Whether user names are kept.
    pub keep_users: bool,
}

impl StorePlan {
    /// One that keeps little, and nothing on disk.
    #[must_use]
    pub fn in_memory() -> Self {
        let keep = Duration::from_secs(86_400);
        Self { in_memory: true, keep, max_size: 1 << 20, evidence: 0, keep_users: false }
    }
}

/// `[control]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ControlPlan {
    /// Members of this group may use the control socket, beside root.
    pub group: String,
}

/// `[fleet]`: what this machine is among many.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FleetPlan {
    /// It takes reports, decides, and tells what it has decided.
    pub firewall: bool,
    /// It reports whom its jails ban.
    pub host: bool,
    /// It bans whom the firewall has decided to ban.
    pub edge: bool,
    /// Where the nats-server is: HOST:PORT; empty for whoever only reads friends' offenders.
    pub server: String,
    /// What this machine is called.
    pub name: Arc<str>,
    /// Where its keys and certificates are.
    pub directory: PathBuf,
    /// The key that decisions are signed with; an edge has one.
    pub signer: Option<String>,
    /// How many bytes of reports are kept until they are taken.
    pub spool: u64,
    /// Reports have the offender's log lines in them.
    pub evidence: bool,
    /// Reports of addresses of private networks are taken.
    pub private: bool,
    /// How many reports of one host are taken in a minute.
    pub max_reports_per_minute: u32,
    /// What friends' fleets may have banned here.
    pub peers: PeersPlan,
}

/// What friends' fleets may have banned here.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PeersPlan {
    /// How many of them have to name an offender, each by its weight.
    pub needs: u32,
    /// The ban lasts no longer than this after the last of them has banned it; `None`: no shorter than theirs.
    pub bantime: Option<Duration>,
    /// How many offenders each of them may name.
    pub max_offenders: u32,
    /// By their names.
    pub peers: BTreeMap<Arc<str>, PeerPlan>,
}

/// `[fleet.peer.NAME]`: a friend's fleet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerPlan {
    /// Where its nats-server is: HOST:PORT.
    pub server: String,
    /// The key that its firewall signs with.
    pub signer: String,
    /// What this machine is called there.
    pub name: String,
    /// How many fleets its word is worth.
    pub weight: u32,
}

#[cfg(test)]
impl JailPlan {
    /// A jail with the sshd filter that bans at the first failure, for an hour.
    pub(crate) fn named(name: &str) -> Self {
        Self {
            name: name.into(),
            counts: Counts::Failures,
            filter: Some(Arc::new(Filter::load("sshd", &[]).unwrap())),
            sources: Vec::new(),
            catch_up: Duration::from_secs(600),
            poll: false,
            maxretry: 1,
            findtime: Duration::from_secs(600),
            bantime: BanTime::For(Duration::from_secs(3600)),
            ignoreip: Ignored::default(),
            ignorecommand: None,
            ipv6_prefix: 64,
            max_tracked: 1_000,
            services: None,
            usedns: UseDns::No,
            escalate: None,
            subnet: None,
            trust: None,
            mode: Mode::Ban,
            renew_on_contact: false,
            max_bans_per_minute: None,
        }
    }
}

#[cfg(test)]
impl Plan {
    /// These jails, and defaults.
    pub(crate) fn of(jails: Vec<JailPlan>, ignoreip: &[&str]) -> Self {
        Self {
            jails,
            feeds: Vec::new(),
            firewall: FirewallPlan::sized(1000),
            store: StorePlan::in_memory(),
            control: ControlPlan { group: "kban".into() },
            fleet: None,
            bantime: BanTime::For(Duration::from_secs(12 * 3600)),
            ignoreip: Ignored {
                networks: ignoreip.iter().map(|entry| entry.parse().unwrap()).collect(),
                lookups: Vec::new(),
            },
            proxies: Vec::new(),
            warnings: Vec::new(),
            settings: Vec::new(),
        }
    }
}
