//! One jail at work: its limits, and what it has counted.

use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;
use jiff::{SignedDuration, Timestamp};

use super::allow::Allow;
use super::asking::Asked;
use super::breaker::{Breaker, Queue};
use super::logins::Logins;
use super::reports::Heard;
use super::spared::Spared;
use super::subnet::Subnets;
use super::trust::Trusted;
use super::window::Window;
use crate::config::duration::BanTime;
use crate::config::ignorecommand::IgnoreCommand;
use crate::config::judgement::{Counts, Escalate, Mode};
use crate::config::network::Ignored;
use crate::config::plan::JailPlan;
use crate::service::Service;
use crate::words::counted;

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
    pub(super) ignoreip: Ignored,
    /// What that has come to.
    pub(super) allow: Allow,
    /// Asked before a ban.
    pub(super) ignorecommand: Option<Arc<IgnoreCommand>>,
    /// What came of that.
    pub asked: Asked,
    /// Whom it spared lately.
    pub(super) vouched: Logins,
    pub(super) bantime: BanTime,
    pub(super) escalate: Option<Escalate>,
    /// What bans by hand close; its own do so unless it observes.
    pub(super) services: Option<Arc<[Service]>>,
    /// Its bans last for as long as the offender knocks.
    pub(super) renews: bool,
    /// It only says whom it would ban.
    pub(super) observes: bool,
    pub(super) ipv6_prefix: u8,
    /// Its successes are logins to this machine.
    pub(super) admits: bool,
    /// What it counts.
    pub(super) counts: Counts,
    pub(super) window: Window,
    pub(super) subnets: Option<Subnets>,
    pub(super) trusted: Option<Trusted>,
    pub(super) breaker: Breaker,
    pub(super) queue: Queue,
    /// Which hosts have reported whom.
    pub(super) heard: Heard,
    pub(super) reason: Arc<str>,
}

/// Counters of one jail, since the daemon's start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Failures that the filter found.
    pub failures: u64,
    /// Of these, from addresses that are never banned.
    pub ignored: u64,
    /// Of these, from proxies.
    pub proxied: u64,
    /// The last of these.
    pub last_proxy: Option<IpAddr>,
    /// Of the failures, older than `findtime`.
    pub stale: u64,
    /// Of the failures, dated later than they were read; they count as of then.
    pub ahead: u64,
    /// By how much the last of these was.
    pub last_ahead: SignedDuration,
    /// Of these, from addresses already banned.
    pub already_banned: u64,
    /// Bans.
    pub bans: u64,
    /// Bans that were not made, because too many are in force.
    pub no_room: u64,
    /// Bans that had to wait, because too many were made in a minute.
    pub held: u64,
}

/// Clocks differ a little, and a log is read a moment later.
const AHEAD: SignedDuration = SignedDuration::from_secs(60);

impl Tally {
    /// One more failure, dated `time` and read at `now`.
    pub(super) fn failed(&mut self, time: Timestamp, now: Timestamp) {
        self.failures += 1;
        let ahead = time.duration_since(now);
        if ahead > AHEAD {
            self.ahead += 1;
            self.last_ahead = ahead;
        }
    }
}

/// The filters of servers that administrators log in to.
const ADMITTING: [&str; 2] = ["sshd", "dropbear"];
/// What an observed ban closes.
const NOTHING: [Service; 0] = [];

impl Jail {
    /// The entry of its own `ignoreip` by which it never bans `address`, if there is one.
    #[must_use]
    pub fn excepts(&self, address: IpAddr) -> Option<&IpNet> {
        self.allow.covering(address)
    }

    /// How many prefixes have failures counted against them.
    #[must_use]
    pub fn tracked(&self) -> usize {
        self.window.len()
    }

    /// How many offenders wait for their ban.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.queue.len()
    }

    /// Who is never banned by this jail, in addition to [`Spared`].
    #[must_use]
    pub fn ignoreip(&self) -> &Ignored {
        &self.ignoreip
    }

    /// Takes in what the names and files of its `ignoreip` have come to.
    pub(super) fn look_up(&mut self, spared: &Spared) {
        self.allow = Allow::new(spared.entries(&self.ignoreip).map(|(prefix, _)| prefix));
    }

    pub(super) fn configured(plan: &JailPlan, mut known: Option<Self>, spared: &Spared) -> Self {
        let asked = known.as_mut().map(|jail| std::mem::take(&mut jail.asked)).unwrap_or_default();
        let vouched = known.as_mut().filter(|jail| jail.ignorecommand == plan.ignorecommand);
        let vouched = vouched.map(|jail| std::mem::take(&mut jail.vouched)).unwrap_or_default();
        let heard = known.as_mut().map(|jail| std::mem::take(&mut jail.heard)).unwrap_or_default();
        let known =
            known.map(|jail| (jail.tally, jail.window, jail.subnets, jail.trusted, jail.breaker, jail.queue));
        let (tally, mut window, subnets, trusted, mut breaker, queue) = known.unwrap_or_else(|| {
            let window = Window::new(plan.findtime, plan.maxretry, plan.max_tracked);
            (Tally::default(), window, None, None, Breaker::default(), Queue::default())
        });
        window.set_limits(plan.findtime, plan.maxretry, plan.max_tracked);
        breaker.set_limit(plan.max_bans_per_minute);
        let subnets = plan.subnet.clone().map(|rule| match subnets {
            Some(mut known) => {
                known.set_rule(rule);
                known
            }
            None => Subnets::new(rule),
        });
        let trusted = plan.trust.clone().map(|rule| match trusted {
            Some(mut known) => {
                known.set_rule(rule, plan.findtime);
                known
            }
            None => Trusted::new(rule, plan.findtime),
        });
        let (one, many) = match plan.counts {
            Counts::Failures => ("failure", "failures"),
            Counts::Bans => ("ban", "bans"),
            Counts::Reports => ("report", "reports"),
        };
        let mut jail = Self {
            name: Arc::clone(&plan.name),
            tally,
            ignoreip: plan.ignoreip.clone(),
            allow: Allow::default(),
            ignorecommand: plan.ignorecommand.clone(),
            asked,
            vouched,
            bantime: plan.bantime,
            escalate: plan.escalate.clone(),
            services: plan.services.clone(),
            renews: plan.renew_on_contact,
            observes: plan.mode == Mode::Observe,
            ipv6_prefix: plan.ipv6_prefix,
            admits: plan.filter.as_ref().is_some_and(|filter| ADMITTING.contains(&filter.name())),
            counts: plan.counts,
            window,
            subnets,
            trusted,
            breaker,
            queue,
            heard,
            reason: format!("{} within {}", counted(plan.maxretry, one, many), BanTime::For(plan.findtime))
                .into(),
        };
        jail.look_up(spared);
        jail
    }

    /// What its bans close.
    pub(super) fn closes(&self) -> Option<Arc<[Service]>> {
        if self.observes { Some(NOTHING.into()) } else { self.services.clone() }
    }
}
