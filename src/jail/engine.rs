//! The judge: takes failures, counts them, and says who is banned until when.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use jiff::{SignedDuration, Timestamp};

use super::allow::Allow;
use super::asking::Case;
use super::bans::{Bans, End};
use super::breaker::Breaker;
use super::draw::Draw;
use super::feed::Feed;
use super::gathered::Gathered;
use super::jails::{Jail, JailId};
use super::lift::Lift;
use super::logins::{Login, Logins};
use super::spared::Spared;
use super::target::banned_as;
use super::votes::Votes;
use super::window::Counted;
use super::{ADOPTED, BY_HAND, Ban, Ending, MANUAL, Verdict};
use crate::config::duration::BanTime;
use crate::config::fleet::FLEET;
use crate::config::network::{Ignored, Lookup, folded};
use crate::config::peers::PEERS;
use crate::config::plan::Plan;
use crate::filter::{Failure, Success};
use crate::service::Service;
use crate::tier::Tier;

/// What one failure leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Judgement {
    /// Nothing.
    Nothing,
    /// It counts against this prefix, but there is no ban yet.
    Counted(IpNet),
    /// Bans, and the ends of others that they replace; never none.
    Verdicts(Vec<Verdict>),
    /// A ban, unless the jail's program says otherwise.
    Ask(Case),
    /// Somebody who is banned is still heard: the kernel may not drop them.
    StillHeard(IpNet),
}

/// How many bans may be in force however small the sets are.
const LEAST_CAPACITY: usize = 10_000;
/// Failures so long after their ban were not on their way when it began.
const LATE: SignedDuration = SignedDuration::from_secs(2);

/// A ban that is to be made.
pub(super) struct New {
    pub(super) prefix: IpNet,
    pub(super) jail: Arc<str>,
    pub(super) bantime: BanTime,
    pub(super) services: Option<Arc<[Service]>>,
    /// The offender's packets are to renew it.
    pub(super) renews: bool,
    pub(super) source: Arc<str>,
    pub(super) reason: Arc<str>,
}

/// All jails of a daemon and the bans in force.
#[derive(Debug, Default)]
pub struct Engine {
    pub(super) jails: Vec<Jail>,
    pub(super) feeds: Vec<Feed>,
    pub(super) bans: Bans,
    pub(super) spared: Spared,
    pub(super) logins: Logins,
    /// The length of a ban by hand that names neither a length nor a configured jail.
    pub(super) bantime: Option<BanTime>,
    /// The firewall of a fleet is followed here.
    follows: bool,
    /// What friends' fleets say.
    pub(super) votes: Votes,
    /// How many bans may be in force.
    pub(super) capacity: usize,
    /// How many of these feeds may make.
    pub(super) feed_capacity: usize,
    /// How many bans all jails may make in a minute.
    pub(super) breaker: Breaker,
    /// The jail whose breaker has tripped, until somebody takes note.
    pub(super) alarm: Option<Arc<str>>,
    pub(super) draw: Draw,
    /// Whether the kernel can renew bans.
    pub(super) can_renew: bool,
    /// See [`Engine::unrenewed`].
    pub(super) unrenewed: u64,
}

impl Engine {
    /// No jails, no bans.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes over a plan. Jails that stay keep what they have counted. What is to be lifted because of it is returned: the
    /// bans of jails that are gone, and those of addresses that are allowed now. Those of feeds that are gone end
    /// with [`super::feed::Swap::end`].
    pub fn configure(&mut self, plan: &Plan) -> Vec<Lift> {
        self.spared.keep_found(&plan.lookups());
        self.spared.set_ignoreip(plan.ignoreip.clone());
        self.spared.set_proxies(&plan.proxies);
        self.bantime = Some(plan.bantime);
        // IPv4 and IPv6 may both fill their sets, and some may wait for room.
        let set_size = usize::try_from(plan.firewall.set_size).unwrap_or(usize::MAX);
        self.capacity = set_size.saturating_mul(2).max(LEAST_CAPACITY);
        // However long the lists are, there is room for those who attack.
        self.feed_capacity = set_size / 2;
        self.breaker.set_limit(plan.firewall.max_bans_per_minute);
        let mut feeds = std::mem::take(&mut self.feeds);
        for plan in &plan.feeds {
            let configured = Feed::configured(plan, None);
            let known = feeds.iter().position(|feed| feed.jail() == configured.jail());
            let known = known.map(|place| feeds.swap_remove(place));
            self.feeds.push(Feed::configured(plan, known));
        }
        let mut before = std::mem::take(&mut self.jails);
        let mut lifts = Vec::new();
        for plan in &plan.jails {
            let known =
                before.iter().position(|jail| jail.name == plan.name).map(|place| before.swap_remove(place));
            let observed = known.as_ref().is_some_and(|jail| jail.observes);
            let jail = Jail::configured(plan, known, &self.spared);
            if observed && !jail.observes {
                lifts.push(Lift::observed(&jail.name));
            }
            self.jails.push(jail);
        }
        let follows = plan.fleet.as_ref().is_some_and(|fleet| fleet.edge);
        let left = std::mem::replace(&mut self.follows, follows) && !self.knows(FLEET);
        lifts.extend(left.then(|| Lift::jail_gone(FLEET)));
        if self.votes.configure(plan.fleet.as_ref().map(|fleet| &fleet.peers)) {
            lifts.push(if self.knows(PEERS) { Lift::unnamed() } else { Lift::jail_gone(PEERS) });
        }
        lifts.extend(before.iter().map(|gone| Lift::jail_gone(&gone.name)).chain([Lift::spared()]));
        lifts
    }

    /// Replaces the machine's own addresses and those of neighbours that it depends on, which are never banned. `None` if
    /// they are the same; otherwise what is to be lifted because of it.
    pub fn set_own_addresses(
        &mut self,
        own: impl IntoIterator<Item = IpAddr>,
        neighbours: impl IntoIterator<Item = IpAddr>,
    ) -> Option<Lift> {
        let own = Allow::new(own.into_iter().map(IpNet::from));
        let neighbours = Allow::new(neighbours.into_iter().map(IpNet::from));
        self.spared.set_own(own, neighbours).then(Lift::spared)
    }

    /// What the kernel must never drop: `[defaults] ignoreip`, entries at run time, the machine's own addresses, its
    /// gateways and resolvers.
    #[must_use]
    pub fn allowed(&self) -> Vec<IpNet> {
        let all = self.spared.passing().into_iter().flat_map(|list| list.prefixes());
        Allow::new(all.copied()).prefixes().to_vec()
    }

    /// Who is never banned by anyone.
    #[must_use]
    pub fn spared(&self) -> &Spared {
        &self.spared
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

    /// Whether bans can belong to a jail of this name: it is configured (a feed's, too) or reserved.
    #[must_use]
    pub fn knows(&self, jail: &str) -> bool {
        [MANUAL, ADOPTED].contains(&jail)
            || (self.follows && jail == FLEET)
            || (self.votes.are_wanted() && jail == PEERS)
            || self.feeds.iter().any(|feed| feed.jail() == jail)
            || self.jails.iter().any(|known| &*known.name == jail)
    }

    /// Whether a ban of `prefix` would hit an allowed address or one of this machine.
    #[must_use]
    pub fn spares(&self, prefix: &IpNet) -> bool {
        self.spared.overlaps(prefix)
    }

    /// Whether `ban` cannot go on: whom it bans is spared now. What an administrator banned by force goes on.
    #[must_use]
    pub fn forgives(&self, ban: &Ban) -> bool {
        if &*ban.source == BY_HAND {
            return self.spared.forbids(&ban.prefix);
        }
        let ignored = |jail: &Jail| jail.name == ban.jail && jail.allow.overlapping(&ban.prefix).is_some();
        self.spares(&ban.prefix) || self.jails.iter().any(ignored)
    }

    /// Takes in what a lookup of `ignoreip` has come to. `None` if nothing is new; otherwise what is to be lifted.
    pub fn take_found(&mut self, lookup: &Lookup, prefixes: Vec<IpNet>) -> Option<Lift> {
        let wants = |ignored: &Ignored| ignored.lookups.contains(lookup);
        let wanted = wants(self.spared.ignoreip()) || self.jails.iter().any(|jail| wants(&jail.ignoreip));
        if !wanted || !self.spared.set_found(lookup, prefixes) {
            return None;
        }
        for jail in self.jails.iter_mut().filter(|jail| wants(&jail.ignoreip)) {
            jail.look_up(&self.spared);
        }
        Some(Lift::spared())
    }

    /// Whether it matters who failed: the jail trusts the address.
    #[must_use]
    pub fn asks_for_user(&self, id: JailId, failure: &Failure, now: Timestamp) -> bool {
        let trusted = self.jails.get(id.0).and_then(|jail| jail.trusted.as_ref());
        trusted.is_some_and(|trusted| {
            self.offender(id, failure.logged()).is_some_and(|prefix| trusted.trusts(&prefix, now))
        })
    }

    /// Somebody logged in. Whether that is worth remembering over a restart: see [`Engine::recall_login`].
    pub fn succeeded(&mut self, id: JailId, success: &Success, now: Timestamp) -> bool {
        let time = success.time.min(now);
        let admits = self.jails.get(id.0).is_some_and(|jail| jail.admits);
        let news = admits && self.logins.note(success.address.to_canonical(), time);
        let Some(prefix) = self.offender(id, success.address.into()) else { return news };
        let trusted = self.jails.get_mut(id.0).and_then(|jail| jail.trusted.as_mut());
        trusted.is_some_and(|trusted| trusted.succeeded(prefix, success.user.as_deref(), time)) || news
    }

    /// Somebody had logged in before a restart.
    pub fn recall_login(&mut self, login: Login, now: Timestamp) {
        let Login { jail, address, user, time } = login;
        if let Some(id) = self.jails.iter().position(|known| known.name == jail) {
            self.succeeded(JailId(id), &Success { time, address, user }, now);
        }
    }

    /// One failure, found in `source` and read at `now`: at `maxretry` of them, a ban. The `user` matters where
    /// [`Engine::asks_for_user`] says so.
    pub fn observe(
        &mut self,
        id: JailId,
        failure: &Failure,
        user: Option<&str>,
        source: &Arc<str>,
        now: Timestamp,
    ) -> Judgement {
        let offender = self.offender(id, failure.logged());
        let Some(jail) = self.jails.get_mut(id.0) else { return Judgement::Nothing };
        jail.tally.failed(failure.time, now);
        let Some(prefix) = offender else {
            jail.tally.ignored += 1;
            let address = failure.address.to_canonical();
            if self.spared.is_proxy(address) {
                jail.tally.proxied += 1;
                jail.tally.last_proxy = Some(address);
            }
            return Judgement::Nothing;
        };
        let banned = self.banned_already(id, prefix);
        let Some(jail) = self.jails.get_mut(id.0) else { return Judgement::Nothing };
        if let Some((banned, since)) = banned {
            jail.tally.already_banned += 1;
            let late = failure.time.duration_since(since) > LATE && !jail.observes;
            return if late { Judgement::StillHeard(banned) } else { Judgement::Nothing };
        }
        if jail.queue.again(prefix, failure.attempts, now) {
            return Judgement::Counted(prefix);
        }
        let Failure { time, attempts, .. } = *failure;
        let counted = match jail.trusted.as_mut().filter(|trusted| trusted.trusts(&prefix, now)) {
            Some(trusted) => trusted.count(prefix, user, time, attempts, now),
            None => jail.window.count(prefix, time, attempts, now),
        };
        match counted {
            Counted::Stale => {
                jail.tally.stale += 1;
                Judgement::Nothing
            }
            Counted::Below(_) => Judgement::Counted(prefix),
            Counted::Reached(failures) => match jail.ignorecommand.clone() {
                Some(command) => {
                    let (jail, source) = (Arc::clone(&jail.name), Arc::clone(source));
                    let address = failure.address.to_canonical();
                    Judgement::Ask(Case { jail, prefix, address, source, failures, command })
                }
                None => match self.convict(id, prefix, source, failures, now) {
                    verdicts if verdicts.is_empty() => Judgement::Counted(prefix),
                    verdicts => Judgement::Verdicts(verdicts),
                },
            },
        }
    }

    /// A failure that was acted upon before a restart: it is counted, and leads to nothing. Against whom it was counted.
    pub fn recall(&mut self, id: JailId, failure: &Failure, now: Timestamp) -> Option<IpNet> {
        let prefix = self.offender(id, failure.logged())?;
        let jail = self.jails.get_mut(id.0).filter(|jail| self.bans.since(&prefix, &jail.name).is_none())?;
        jail.window.count(prefix, failure.time, failure.attempts, now);
        Some(prefix)
    }

    /// What a jail counts and bans for what was logged, an address or a network with the address in it; `None` if the
    /// address is spared.
    pub(super) fn offender(&self, id: JailId, logged: IpNet) -> Option<IpNet> {
        let (jail, logged) = (self.jails.get(id.0)?, folded(logged));
        let address = logged.addr();
        let spared = self.spared.spares(address) || jail.allow.covering(address).is_some();
        (!spared).then(|| self.counted_as(jail, logged))
    }

    /// The same, whether it is spared or not.
    pub(super) fn counted_as(&self, jail: &Jail, logged: IpNet) -> IpNet {
        let [allow, own, neighbours, proxies] = self.spared.lists();
        banned_as(logged, jail.ipv6_prefix, &[allow, own, neighbours, proxies, &jail.allow])
    }

    /// Takes back what was done to the bans of `prefix`: `rows` are in force again.
    pub fn put_back(&mut self, prefix: &IpNet, rows: impl IntoIterator<Item = Ban>) {
        self.bans.put_back(prefix, rows);
    }

    /// Takes in a ban that was in force before: from the store, or found in the kernel.
    pub fn restore(&mut self, ban: Ban) {
        self.bans.insert(ban);
    }

    /// Takes in all bans that were in force before; there are none yet.
    pub fn restore_all(&mut self, bans: Gathered) {
        self.bans = Bans::of_all(bans);
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

    /// How long the kernel is to drop what `prefix` sends to `service` from `now` on (see [`Bans::end`]): what the
    /// firewall has to make true.
    #[must_use]
    pub fn remaining(
        &self,
        prefix: &IpNet,
        service: Option<Service>,
        renew: Option<Tier>,
        now: Timestamp,
    ) -> Remaining {
        match self.bans.end(prefix, service, renew) {
            None => Remaining::Nothing,
            Some(End::Never) => Remaining::Forever,
            Some(End::At(until)) => match Duration::try_from(until.duration_since(now)) {
                Ok(left) if !left.is_zero() => Remaining::For(left),
                _ => Remaining::Nothing,
            },
        }
    }

    pub(super) fn insert(&mut self, new: New, now: Timestamp) -> Verdict {
        let New { prefix, jail, bantime, services, renews, source, reason } = new;
        let (until, renew) = match bantime {
            BanTime::For(length) => (
                Some(now.saturating_add(length).unwrap_or(Timestamp::MAX)),
                self.tier(&prefix, length, renews),
            ),
            BanTime::Permanent => (None, None),
        };
        self.supersede(&prefix, until, renew);
        let count = self.bans.times_banned(&prefix, &jail).saturating_add(1);
        let ban = Ban { prefix, jail, since: now, until, count, source, reason, services, renew };
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

#[cfg(test)]
#[path = "engine_tests.rs"]
mod tests;
