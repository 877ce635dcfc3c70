//! Where the daemon's loop leaves what the fleet is to be told. It never waits.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ipnet::IpNet;
use tokio::sync::Notify;

use super::audience::Audience;
use super::decision::Decision;
use super::report::Report;

/// So many reports wait for the fleet's thread, which keeps them on disk; of more, the oldest go.
const REPORTS: usize = 10_000;
/// So many decisions wait; with more, what is published is compared with what is in force instead.
const DECISIONS: usize = 100_000;

/// What waits for the fleet's thread.
#[derive(Debug, Default)]
struct Waiting {
    reports: VecDeque<Report>,
    /// Reports that had to go.
    lost: u64,
    for_edges: Outbox,
    for_peers: Outbox,
}

/// What waits for one audience.
#[derive(Debug)]
struct Outbox {
    /// The last decision about each prefix.
    decisions: BTreeMap<IpNet, Decision>,
    /// There were too many of them, or nobody has asked for any yet: none is kept.
    overrun: bool,
}

impl Default for Outbox {
    fn default() -> Self {
        Self { decisions: BTreeMap::new(), overrun: true }
    }
}

impl Waiting {
    fn of(&mut self, audience: Audience) -> &mut Outbox {
        match audience {
            Audience::Edges => &mut self.for_edges,
            Audience::Peers => &mut self.for_peers,
        }
    }
}

impl Outbox {
    fn put(&mut self, decision: Decision) {
        if self.decisions.len() >= DECISIONS {
            self.decisions.clear();
            self.overrun = true;
        }
        if !self.overrun {
            self.decisions.insert(decision.prefix, decision);
        }
    }
}

/// Both ends.
#[derive(Debug, Clone, Default)]
pub struct Tap {
    waiting: Arc<Mutex<Waiting>>,
    told: Arc<Notify>,
    told_peers: Arc<Notify>,
}

impl Tap {
    /// Whoever holds it only moves things in or out.
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// To be reported to the firewall.
    pub fn report(&self, report: Report) {
        let mut waiting = self.lock();
        if waiting.reports.len() >= REPORTS {
            waiting.reports.pop_front();
            waiting.lost += 1;
        }
        waiting.reports.push_back(report);
        drop(waiting);
        self.told.notify_one();
    }

    fn notify(&self, audience: Audience) -> &Notify {
        match audience {
            Audience::Edges => &self.told,
            Audience::Peers => &self.told_peers,
        }
    }

    /// Whether anything is published for `audience` at all.
    #[must_use]
    pub fn is_read_by(&self, audience: Audience) -> bool {
        !self.is_overrun(audience)
    }

    /// To be published; it takes the place of what waits about the same prefix.
    pub fn decide(&self, audience: Audience, decision: Decision) {
        self.lock().of(audience).put(decision);
        self.notify(audience).notify_one();
    }

    /// Waits until something was told since this was last waited for: by a host, or for edges.
    pub(super) async fn told(&self, audience: Audience) {
        self.notify(audience).notified().await;
    }

    /// Every report that waits, and how many had to go.
    pub(super) fn reports(&self) -> (Vec<Report>, u64) {
        let mut waiting = self.lock();
        (std::mem::take(&mut waiting.reports).into(), std::mem::take(&mut waiting.lost))
    }

    /// These reports could not be kept: they wait again, in front of those that came since.
    pub(super) fn put_back_reports(&self, reports: Vec<Report>) {
        let mut waiting = self.lock();
        for report in reports.into_iter().rev() {
            if waiting.reports.len() < REPORTS {
                waiting.reports.push_front(report);
            } else {
                waiting.lost += 1;
            }
        }
    }

    /// At most `most` of the decisions that wait for `audience`, and how many still do for any.
    pub(super) fn decisions(&self, audience: Audience, most: usize) -> (Vec<Decision>, usize) {
        let mut waiting = self.lock();
        let mut taken = Vec::new();
        while taken.len() < most
            && let Some((_, decision)) = waiting.of(audience).decisions.pop_first()
        {
            taken.push(decision);
        }
        (taken, waiting.for_edges.decisions.len() + waiting.for_peers.decisions.len())
    }

    /// From now on decisions are kept again: what is in force is asked for.
    pub(super) fn begin_anew(&self, audience: Audience) {
        self.lock().of(audience).overrun = false;
    }

    /// Whether decisions were given up since [`Tap::begin_anew`]: what is in force has to be asked for.
    pub(super) fn is_overrun(&self, audience: Audience) -> bool {
        self.lock().of(audience).overrun
    }

    /// These could not be published: they wait again, unless something newer does.
    pub(super) fn put_back(&self, audience: Audience, decisions: Vec<Decision>) {
        let mut waiting = self.lock();
        let waiting = waiting.of(audience);
        for decision in decisions {
            if !waiting.decisions.contains_key(&decision.prefix) {
                waiting.put(decision);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::Timestamp;

    #[test]
    fn the_newest_decision_of_a_prefix_counts() {
        let tap = Tap::default();
        let lifting = |address: &str, second| {
            let until = Timestamp::from_second(second).ok();
            Decision::lifting(address.parse().unwrap(), until, Timestamp::UNIX_EPOCH)
        };
        tap.begin_anew(Audience::Edges);
        for (address, second) in [("192.0.2.1/32", 1), ("192.0.2.2/32", 2), ("192.0.2.1/32", 3)] {
            tap.decide(Audience::Edges, lifting(address, second));
        }
        let (taken, left) = tap.decisions(Audience::Edges, 1);
        assert_eq!((taken.clone(), left), (vec![lifting("192.0.2.1/32", 3)], 1));
        tap.decide(Audience::Edges, lifting("192.0.2.1/32", 4));
        tap.put_back(Audience::Edges, taken);
        assert_eq!(
            tap.decisions(Audience::Edges, 9).0,
            [lifting("192.0.2.1/32", 4), lifting("192.0.2.2/32", 2)]
        );
    }

    #[test]
    fn what_waits_is_bounded() {
        let tap = Tap::default();
        let number = |number: u32| IpNet::from(std::net::IpAddr::from(number.to_be_bytes()));
        tap.begin_anew(Audience::Edges);
        for one in 0..u32::try_from(DECISIONS).unwrap() + 5 {
            tap.decide(Audience::Edges, Decision::lifting(number(one), None, Timestamp::UNIX_EPOCH));
        }
        assert_eq!(
            (tap.decisions(Audience::Edges, 9).0, tap.is_overrun(Audience::Edges)),
            (Vec::new(), true)
        );
        tap.begin_anew(Audience::Edges);
        tap.decide(Audience::Edges, Decision::lifting(number(1), None, Timestamp::UNIX_EPOCH));
        assert_eq!((tap.decisions(Audience::Edges, 9).0.len(), tap.is_overrun(Audience::Edges)), (1, false));
        tap.decide(Audience::Peers, Decision::lifting(number(1), None, Timestamp::UNIX_EPOCH));
        assert_eq!(tap.decisions(Audience::Peers, 9).0, [], "nobody asks for them");
    }
}
