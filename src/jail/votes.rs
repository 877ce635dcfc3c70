//! Friends' fleets name offenders, and take that back: each of them is a vote. Whom enough of them name is banned in the jail
//! `peers`, for as long as enough of them do, but no longer than `bantime` after the last of them has banned it.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use ipnet::IpNet;
use jiff::{SignedDuration, Timestamp};

use super::by_hand::Refusal;
use super::decided::Decided;
use super::engine::Engine;
use super::{Ban, Verdict};
use crate::config::peers::PEERS;
use crate::config::plan::PeersPlan;

/// What a friend's fleet says of an offender, as long as its own ban holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    /// The jail there.
    pub jail: Arc<str>,
    /// Since when it is banned there.
    pub since: Timestamp,
    /// Until when; `None`: until it says otherwise.
    pub until: Option<Timestamp>,
}

impl Named {
    /// The line that a ban keeps as its evidence.
    #[must_use]
    pub fn told(&self, peer: &str) -> String {
        format!("{peer}: banned by {} at {:.0}", self.jail, self.since)
    }

    fn end(&self) -> Timestamp {
        self.until.unwrap_or(Timestamp::MAX)
    }
}

/// One vote, or that it is taken back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Vote {
    /// On whom.
    pub prefix: IpNet,
    /// What is said; `None`: nothing any more.
    pub named: Option<Named>,
}

/// Who names whom.
#[derive(Debug, Default)]
pub(super) struct Votes {
    plan: PeersPlan,
    known: HashMap<IpNet, BTreeMap<Arc<str>, Named>>,
}

impl Votes {
    /// Takes over a plan: fleets that are gone have no votes. Whether anything else counts now than before.
    pub(super) fn configure(&mut self, plan: Option<&PeersPlan>) -> bool {
        let plan = plan.cloned().unwrap_or_default();
        if plan == self.plan {
            return false;
        }
        self.plan = plan;
        self.known.retain(|_, voters| {
            voters.retain(|peer, _| self.plan.peers.contains_key(peer));
            !voters.is_empty()
        });
        true
    }

    /// Whether there is anybody to listen to.
    pub(super) fn are_wanted(&self) -> bool {
        !self.plan.peers.is_empty()
    }

    /// Whether enough fleets name `prefix`, whether their bans hold or not.
    pub(super) fn suffice(&self, prefix: &IpNet) -> bool {
        let voters = self.known.get(prefix).into_iter().flatten();
        self.are_wanted() && voters.map(|(peer, _)| self.weight(peer)).sum::<u32>() >= self.plan.needs
    }

    fn weight(&self, peer: &Arc<str>) -> u32 {
        self.plan.peers.get(peer).map_or(0, |peer| peer.weight)
    }

    fn put(&mut self, peer: &Arc<str>, Vote { prefix, named }: Vote) {
        let voters = self.known.entry(prefix).or_default();
        match named {
            Some(named) => voters.insert(Arc::clone(peer), named),
            None => voters.remove(peer),
        };
        if voters.is_empty() {
            self.known.remove(&prefix);
        }
    }

    /// The ban that comes of it, if any.
    fn outcome(&self, prefix: IpNet, now: Timestamp) -> Option<Decided> {
        let voters = self.known.get(&prefix)?.iter().filter(|(_, named)| named.end() > now);
        let mut voters: Vec<(&Arc<str>, &Named)> = voters.collect();
        let names: Vec<&str> = voters.iter().map(|(peer, _)| &***peer).collect();
        let reason = format!("named by {}", names.join(", ")).into();
        let since = voters.iter().map(|(_, named)| named.since).max()?;
        voters.sort_by_key(|(_, named)| std::cmp::Reverse(named.end()));
        let mut together = 0;
        let last = voters.iter().find(|(peer, _)| {
            together += self.weight(peer);
            together >= self.plan.needs
        });
        let capped = self.plan.bantime.map(|longest| {
            let longest = SignedDuration::try_from(longest).unwrap_or(SignedDuration::MAX);
            since.saturating_add(longest).unwrap_or(Timestamp::MAX)
        });
        let until = [last?.1.until, capped].into_iter().flatten().min();
        until.is_none_or(|until| until > now).then_some(Decided {
            prefix,
            since,
            until,
            services: None,
            reason,
        })
    }
}

impl Engine {
    /// Counts a vote of `peer`, and does what all of them come to. What was only `recalled` after a restart does not ban whom
    /// the jail had banned before: that ban was over, or lifted by hand.
    ///
    /// # Errors
    /// As [`Engine::take_over`]: enough fleets name whom nobody may ban here.
    pub fn vote(
        &mut self,
        peer: &Arc<str>,
        vote: Vote,
        recalled: bool,
        now: Timestamp,
    ) -> Result<Option<Verdict>, Refusal> {
        let prefix = vote.prefix;
        if !self.votes.plan.peers.contains_key(peer) {
            return Ok(None);
        }
        self.votes.put(peer, vote);
        let Some(decided) = self.votes.outcome(prefix, now) else {
            return Ok(self.end_decided(PEERS, &prefix));
        };
        if self.bans.since(&prefix, PEERS).is_none() {
            if recalled && self.bans.times_banned(&prefix, &PEERS.into()) > 0 {
                return Ok(None);
            }
            // However much friends have to tell, there is room for those who attack.
            if self.bans.count(PEERS) >= self.feed_capacity {
                return Err(Refusal::NoRoom(self.feed_capacity));
            }
        }
        self.take_decided(PEERS, decided)
    }

    /// Who names `ban`'s prefix, if friends' fleets have made it: a line for each, with its time.
    #[must_use]
    pub fn voters(&self, ban: &Ban) -> Vec<(Timestamp, String)> {
        let voters = self.votes.known.get(&ban.prefix).filter(|_| &*ban.jail == PEERS);
        voters.into_iter().flatten().map(|(peer, named)| (named.since, named.told(peer))).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::config::plan::{FleetPlan, JailPlan, PeerPlan, Plan};
    use crate::jail::Ending;
    use crate::jail::lift::Lift;

    const OFFENDER: &str = "203.0.113.9/32";

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).unwrap()
    }

    fn plan(needs: u32, peers: &[(&str, u32)]) -> Plan {
        let peer = |(name, weight): &(&str, u32)| {
            let plan =
                PeerPlan { server: "fw:1".into(), signer: "U".into(), name: "us".into(), weight: *weight };
            (Arc::from(*name), plan)
        };
        let peers = PeersPlan {
            needs,
            bantime: Some(Duration::from_secs(100)),
            max_offenders: 9,
            peers: peers.iter().map(peer).collect(),
        };
        let fleet = FleetPlan {
            firewall: true,
            host: false,
            edge: false,
            server: "fw:1".into(),
            name: "fleet".into(),
            directory: "/".into(),
            signer: None,
            spool: 1,
            evidence: false,
            private: false,
            max_reports_per_minute: 1,
            peers,
        };
        Plan { fleet: Some(fleet), ..Plan::of(vec![JailPlan::named("sshd")], &["192.0.2.0/24"]) }
    }

    fn engine(needs: u32, peers: &[(&str, u32)]) -> Engine {
        let mut engine = Engine::new();
        engine.configure(&plan(needs, peers));
        engine
    }

    fn vote(prefix: &str, since: i64, until: Option<i64>) -> Vote {
        let named = Named { jail: "sshd".into(), since: at(since), until: until.map(at) };
        Vote { prefix: prefix.parse().unwrap(), named: Some(named) }
    }

    fn cast(engine: &mut Engine, peer: &str, vote: Vote, now: i64) -> Option<(Option<Timestamp>, String)> {
        let verdict = engine.vote(&peer.into(), vote, false, at(now)).unwrap()?;
        let reason = match &verdict {
            Verdict::Ban(ban) => ban.reason.to_string(),
            Verdict::Unban(_, Ending::Withdrawn) => "withdrawn".to_owned(),
            other => panic!("{other:?}"),
        };
        Some((verdict.ban().until, reason))
    }

    fn taken_back(prefix: &str) -> Vote {
        Vote { prefix: prefix.parse().unwrap(), named: None }
    }

    #[test]
    fn so_many_fleets_as_are_needed_and_no_longer_than_enough_of_them_say() {
        let mut engine = engine(2, &[("a", 1), ("b", 1), ("c", 1)]);
        assert_eq!(cast(&mut engine, "a", vote(OFFENDER, 0, Some(50)), 1), None);
        assert_eq!(cast(&mut engine, "a", vote(OFFENDER, 0, Some(60)), 1), None, "one is one");
        let two = (Some(at(60)), "named by a, b".to_owned());
        assert_eq!(cast(&mut engine, "b", vote(OFFENDER, 1, None), 2), Some(two.clone()));
        assert_eq!(cast(&mut engine, "b", vote(OFFENDER, 1, None), 2), None, "it is known");
        // The limit counts from the last of them.
        let three = (Some(at(110)), "named by a, b, c".to_owned());
        assert_eq!(cast(&mut engine, "c", vote(OFFENDER, 10, Some(500)), 11), Some(three));
        assert_eq!(cast(&mut engine, "c", taken_back(OFFENDER), 12), Some(two));
        let withdrawn = Some((Some(at(60)), "withdrawn".to_owned()));
        assert_eq!(cast(&mut engine, "a", taken_back(OFFENDER), 13), withdrawn);
        assert_eq!(cast(&mut engine, "a", taken_back(OFFENDER), 13), None);
        // What is over counts no more, nor does what nobody was asked about.
        assert_eq!(cast(&mut engine, "a", vote(OFFENDER, 0, Some(20)), 21), None);
        assert_eq!(cast(&mut engine, "nobody", vote(OFFENDER, 20, None), 21), None);
        assert_eq!(cast(&mut engine, "a", vote(OFFENDER, 0, None), 102), None, "both bans are old");
    }

    #[test]
    fn a_trusted_fleet_alone_is_enough_and_whoever_is_spared_is_spared() {
        let mut engine = engine(2, &[("a", 2), ("b", 1)]);
        assert!(cast(&mut engine, "a", vote(OFFENDER, 0, None), 1).is_some());
        for spared in ["192.0.2.7/32", "127.0.0.1/32", "0.0.0.0/0"] {
            assert!(engine.vote(&"a".into(), vote(spared, 0, None), false, at(1)).is_err(), "{spared}");
        }
        let ban = engine.bans().get(&OFFENDER.parse().unwrap(), PEERS).unwrap();
        assert_eq!(engine.voters(&ban), [(at(0), "a: banned by sshd at 2027-01-15T08:00:00Z".to_owned())]);
    }

    #[test]
    fn an_unban_by_hand_outlives_a_restart_and_a_fleet_that_is_left_has_no_voice() {
        let peers = [("a", 1), ("b", 1)];
        let mut engine = engine(1, &peers);
        cast(&mut engine, "a", vote(OFFENDER, 0, None), 1).unwrap();
        engine.lift_all(Lift::by_hand(None, None));
        let mut recalled =
            |peer: &str| engine.vote(&peer.into(), vote(OFFENDER, 0, None), true, at(2)).unwrap();
        assert_eq!(recalled("a"), None, "it is not banned again by what is known");
        assert!(cast(&mut engine, "b", vote(OFFENDER, 2, None), 3).is_some(), "but by what is new");
        cast(&mut engine, "b", vote("203.0.113.10/32", 2, None), 3).unwrap();
        let lifts = engine.configure(&plan(1, &[("a", 1)]));
        let lifted: Vec<Verdict> = lifts.into_iter().flat_map(|lift| engine.lift_all(lift)).collect();
        assert!(
            matches!(&lifted[..], [Verdict::Unban(ban, Ending::Withdrawn)] if ban.prefix.to_string() == "203.0.113.10/32"),
            "{lifted:?}"
        );
        let lifts = engine.configure(&Plan::of(vec![], &[]));
        let lifted: Vec<Verdict> = lifts.into_iter().flat_map(|lift| engine.lift_all(lift)).collect();
        assert!(matches!(&lifted[..], [Verdict::Unban(_, Ending::JailGone)]), "{lifted:?}");
    }

    #[test]
    fn friends_leave_room_for_those_who_attack() {
        let mut engine = engine(1, &[("a", 1)]);
        let most = engine.feed_capacity;
        let prefix = |number: usize| format!("198.18.{}.{}/32", number / 256, number % 256);
        for number in 0..most {
            assert!(cast(&mut engine, "a", vote(&prefix(number), 0, None), 1).is_some());
        }
        let refused = engine.vote(&"a".into(), vote(&prefix(most), 0, None), false, at(1));
        assert_eq!(refused, Err(Refusal::NoRoom(most)));
    }
}
