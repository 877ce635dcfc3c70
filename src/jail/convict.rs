//! From an offender to bans: how long, which network with it, who else counts it, and whether it has to wait.

use std::sync::Arc;

use ipnet::IpNet;
use jiff::{SignedDuration, Timestamp};

use super::breaker::Held;
use super::engine::{Engine, New};
use super::escalation;
use super::jails::{Jail, JailId};
use super::offenders::Past;
use super::subnet::Subnets;
use super::target::unbannable;
use super::window::Counted;
use super::{Ban, Ending, Verdict};
use crate::config::duration::BanTime;
use crate::config::judgement::Counts;

/// How many bans become part of one network's at once; what is left ends by itself.
const PARTS: usize = 20_000;

impl Engine {
    /// `prefix` has reached `maxretry`: its ban, and what follows from that; nothing if it has to wait.
    pub(super) fn convict(
        &mut self,
        id: JailId,
        prefix: IpNet,
        source: &Arc<str>,
        failures: u32,
        now: Timestamp,
    ) -> Vec<Verdict> {
        let Some(jail) = self.jails.get_mut(id.0) else { return Vec::new() };
        if self.bans.len() >= self.capacity {
            jail.tally.no_room += 1;
            return Vec::new();
        }
        if !self.may_ban(id, now) {
            self.hold(
                id,
                prefix,
                Held { failures, last: now, source: Arc::clone(source), is_network: false },
            );
            return Vec::new();
        }
        self.sentence(id, prefix, source, now)
    }

    /// The ban by which a jail holds `prefix`, its own or that of a network around it, and since when.
    pub(super) fn banned_already(&self, id: JailId, prefix: IpNet) -> Option<(IpNet, Timestamp)> {
        let jail = self.jails.get(id.0)?;
        let networks = jail.subnets.iter().flat_map(|subnets| subnets.networks(prefix));
        let mut bans = [prefix].into_iter().chain(networks);
        bans.find_map(|prefix| Some((prefix, self.bans.since(&prefix, &jail.name)?)))
    }

    /// Whether the breakers let a jail make one more ban.
    fn may_ban(&mut self, id: JailId, now: Timestamp) -> bool {
        let Some(jail) = self.jails.get_mut(id.0) else { return false };
        jail.observes || (jail.breaker.allows(now) && self.breaker.allows(now))
    }

    /// A ban has to wait.
    fn hold(&mut self, id: JailId, prefix: IpNet, held: Held) {
        let Some(jail) = self.jails.get_mut(id.0) else { return };
        if jail.queue.is_empty() {
            self.alarm = Some(Arc::clone(&jail.name));
        }
        jail.tally.held += 1;
        jail.queue.push(prefix, held);
    }

    /// Bans of those who had to wait, now that more may be made; the worst first.
    pub fn release(&mut self, now: Timestamp) -> Vec<Verdict> {
        let mut verdicts = Vec::new();
        for id in (0..self.jails.len()).map(JailId) {
            while self.jails.get(id.0).is_some_and(|jail| !jail.queue.is_empty()) && self.may_ban(id, now) {
                let Some(jail) = self.jails.get_mut(id.0) else { break };
                let findtime = jail.window.findtime();
                let Some((prefix, held)) = jail.queue.pop_worst() else { break };
                // Whoever has been quiet since, is allowed now, or was banned with a network, is let off.
                let quiet = now.duration_since(held.last) > SignedDuration::from_secs(findtime.into());
                let ignored = jail.allow.overlapping(&prefix).is_some();
                let sheltered = held.is_network && self.shelters(id, &prefix, now);
                if quiet || ignored || sheltered || self.spares(&prefix) || self.bans.len() >= self.capacity {
                    continue;
                }
                if self.banned_already(id, prefix).is_none() {
                    verdicts.extend(match held.is_network {
                        true => self.close(id, prefix, &held.source, now),
                        false => self.sentence(id, prefix, &held.source, now),
                    });
                }
            }
        }
        verdicts
    }

    /// When somebody who waits may be banned, seen at `now`, if anybody does.
    #[must_use]
    pub fn next_release(&self, now: Timestamp) -> Option<Timestamp> {
        let waiting = self.jails.iter().filter(|jail| !jail.queue.is_empty());
        let free = waiting.map(|jail| jail.breaker.next(now).max(self.breaker.next(now)));
        free.map(|free| free.unwrap_or(Timestamp::MIN)).min()
    }

    /// The jail whose breaker has tripped since this was last asked.
    pub fn take_alarm(&mut self) -> Option<Arc<str>> {
        self.alarm.take()
    }

    /// How long the next ban of `prefix` by a jail lasts (without the part that is left to chance). A single address that is
    /// banned as the network that it is in (IPv6) is known by that as well.
    #[must_use]
    pub fn next_bantime(&self, jail: &Jail, prefix: &IpNet, now: Timestamp) -> BanTime {
        let Some(escalate) = &jail.escalate else { return jail.bantime };
        let mut known = self.bans.known(prefix);
        let whole = self.counted_as(jail, *prefix);
        if prefix.prefix_len() == prefix.max_prefix_len() && whole != *prefix {
            known.extend(self.bans.known(&whole));
        }
        let previous = escalation::previous(escalate, &jail.name, known.iter(), now);
        escalation::length(escalate, jail.bantime, previous)
    }

    fn sentence(&mut self, id: JailId, prefix: IpNet, source: &Arc<str>, now: Timestamp) -> Vec<Verdict> {
        let Some(jail) = self.jails.get(id.0) else { return Vec::new() };
        let reason = Arc::clone(&jail.reason);
        let (observes, counts_bans) = (jail.observes, jail.counts == Counts::Bans);
        let mut verdicts: Vec<Verdict> = self.imprison(id, prefix, source, reason, now).into_iter().collect();
        verdicts.extend(self.widen(id, prefix, source, now));
        if !observes && !counts_bans {
            verdicts.extend(self.repeated(prefix, source, now));
        }
        verdicts
    }

    fn imprison(
        &mut self,
        id: JailId,
        prefix: IpNet,
        source: &Arc<str>,
        reason: Arc<str>,
        now: Timestamp,
    ) -> Option<Verdict> {
        let mut bantime = self.next_bantime(self.jails.get(id.0)?, &prefix, now);
        let jail = self.jails.get_mut(id.0)?;
        // The last packet sets the end of a renewed ban: what chance would add to it is gone with the first one, and
        // lengths that differ by chance would each need a set.
        let renews = jail.renews && !jail.observes;
        if let Some(escalate) = &jail.escalate
            && !renews
        {
            bantime = escalation::with_jitter(escalate, bantime, jail.bantime, &mut self.draw);
        }
        if !jail.observes {
            jail.breaker.made(now);
            self.breaker.made(now);
        }
        jail.tally.bans += 1;
        let (jail, services) = (Arc::clone(&jail.name), jail.closes());
        let new = New { prefix, jail, bantime, services, renews, source: Arc::clone(source), reason };
        Some(self.insert(new, now))
    }

    /// `member` is banned: what becomes of the network that it is in.
    fn widen(&mut self, id: JailId, member: IpNet, source: &Arc<str>, now: Timestamp) -> Vec<Verdict> {
        let Some(jail) = self.jails.get_mut(id.0) else { return Vec::new() };
        let Some(subnets) = &mut jail.subnets else { return Vec::new() };
        let waits = subnets.networks(member).next().is_some_and(|network| jail.queue.again(network, 1, now));
        let Some(network) = (!waits).then(|| subnets.offended(member, now)).flatten() else {
            return Vec::new();
        };
        let members = subnets.rule().after.0;
        if self.shelters(id, &network, now) {
            return Vec::new();
        }
        if !self.may_ban(id, now) {
            let held = Held { failures: members, last: now, source: Arc::clone(source), is_network: true };
            self.hold(id, network, held);
            return Vec::new();
        }
        self.close(id, network, source, now)
    }

    /// Whether there is somebody in `network` who must not be banned for what their neighbours do: whoever is never banned, has
    /// lately logged in, or was spared by the jail's `ignorecommand`.
    fn shelters(&self, id: JailId, network: &IpNet, now: Timestamp) -> bool {
        let Some(jail) = self.jails.get(id.0) else { return true };
        let trusting = self.jails.iter().filter_map(|jail| jail.trusted.as_ref());
        jail.allow.overlapping(network).is_some()
            || unbannable(network.network())
            || self.spares(network)
            || self.logins.within(network, now).is_some()
            || jail.vouched.within(network, now).is_some()
            || trusting.into_iter().any(|trusted| trusted.trusts_within(network, now))
    }

    /// The ban of a network because of its members, the end of those bans that are parts of it now, and what becomes of the
    /// network around it.
    fn close(&mut self, id: JailId, network: IpNet, source: &Arc<str>, now: Timestamp) -> Vec<Verdict> {
        let Some(jail) = self.jails.get(id.0) else { return Vec::new() };
        let Some(rule) = jail.subnets.as_ref().map(Subnets::rule) else { return Vec::new() };
        let within = rule.within.map_or(BanTime::Permanent, |within| BanTime::For(within.get()));
        let reason = format!("{} of its members were banned within {within}", rule.after.0);
        let name = Arc::clone(&jail.name);
        let Some(verdict) = self.imprison(id, network, source, reason.into(), now) else { return Vec::new() };
        let until = verdict.ban().until;
        // Whoever is banned for longer than the network stays banned by itself.
        let part = |ban: &Ban| {
            ban.jail == name
                && ban.prefix != network
                && until.is_none_or(|until| ban.until.is_some_and(|end| end <= until))
        };
        let parts: Vec<IpNet> =
            self.bans.within(&network).take(PARTS).filter(part).map(|ban| ban.prefix).collect();
        let absorbed = parts.iter().filter_map(|prefix| self.bans.remove(prefix, &name));
        let absorbed = absorbed.map(|ban| Verdict::Unban(ban, Ending::Widened));
        let mut verdicts: Vec<Verdict> = [verdict].into_iter().chain(absorbed).collect();
        verdicts.extend(self.widen(id, network, source, now));
        verdicts
    }

    /// Bans by those jails that count bans.
    fn repeated(&mut self, prefix: IpNet, source: &Arc<str>, now: Timestamp) -> Vec<Verdict> {
        let mut verdicts = Vec::new();
        for id in (0..self.jails.len()).map(JailId) {
            if let Some(bans) = self.count_ban(id, prefix, now, now) {
                verdicts.extend(self.convict(id, prefix, source, bans, now));
            }
        }
        verdicts
    }

    /// What a jail had against `prefix` before a restart. To be told once the bans in force are known.
    pub fn recall_offender(&mut self, prefix: IpNet, past: Past) {
        self.bans.recall(prefix, past);
    }

    /// A ban by another jail that was made at `time`, before a restart: it is counted, and leads to nothing.
    pub fn recall_ban(&mut self, prefix: IpNet, time: Timestamp, now: Timestamp) {
        for id in (0..self.jails.len()).map(JailId) {
            self.count_ban(id, prefix, time, now);
        }
    }

    /// A ban that `jail` made at `time`, before a restart: its networks count it, and so do the breakers. To be told oldest first.
    pub fn recall_made(&mut self, jail: &str, prefix: IpNet, time: Timestamp) {
        let Some(jail) = self.jails.iter_mut().find(|known| *known.name == *jail) else { return };
        jail.breaker.made(time);
        self.breaker.made(time);
        if let Some(subnets) = &mut jail.subnets {
            // What was to come of it came of it then.
            subnets.offended(prefix, time);
        }
    }

    /// If the jail counts bans, counts one more of `prefix`; how many there are, if they are enough.
    fn count_ban(&mut self, id: JailId, prefix: IpNet, time: Timestamp, now: Timestamp) -> Option<u32> {
        let jail = self.jails.get_mut(id.0).filter(|jail| jail.counts == Counts::Bans)?;
        jail.tally.failures += 1;
        if jail.allow.overlapping(&prefix).is_some() {
            jail.tally.ignored += 1;
            return None;
        }
        if self.bans.since(&prefix, &jail.name).is_some() {
            jail.tally.already_banned += 1;
            return None;
        }
        match jail.window.count(prefix, time, 1, now) {
            Counted::Reached(bans) => Some(bans),
            Counted::Stale | Counted::Below(_) => None,
        }
    }
}

#[cfg(test)]
#[path = "convict_tests.rs"]
mod tests;
