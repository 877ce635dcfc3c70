//! Where the daemon's loop leaves what the fleet is to be told. It never waits.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ipnet::IpNet;
use tokio::sync::Notify;

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
    /// The last decision about each prefix.
    decisions: BTreeMap<IpNet, Decision>,
    /// There were too many of them, and none was kept.
    overrun: bool,
}

impl Waiting {
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

    /// To be published; it takes the place of what waits about the same prefix.
    pub fn decide(&self, decision: Decision) {
        self.lock().put(decision);
        self.told.notify_one();
    }

    /// Waits until something was told since this was last waited for.
    pub(super) async fn told(&self) {
        self.told.notified().await;
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

    /// At most `most` of the decisions that wait, and how many still do.
    pub(super) fn decisions(&self, most: usize) -> (Vec<Decision>, usize) {
        let mut waiting = self.lock();
        let mut taken = Vec::new();
        while taken.len() < most
            && let Some((_, decision)) = waiting.decisions.pop_first()
        {
            taken.push(decision);
        }
        (taken, waiting.decisions.len())
    }

    /// From now on decisions are kept again: what is in force is asked for.
    pub(super) fn begin_anew(&self) {
        self.lock().overrun = false;
    }

    /// Whether decisions were given up since [`Tap::begin_anew`]: what is in force has to be asked for.
    pub(super) fn is_overrun(&self) -> bool {
        self.lock().overrun
    }

    /// These could not be published: they wait again, unless something newer does.
    pub(super) fn put_back(&self, decisions: Vec<Decision>) {
        let mut waiting = self.lock();
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
        for (address, second) in [("192.0.2.1/32", 1), ("192.0.2.2/32", 2), ("192.0.2.1/32", 3)] {
            tap.decide(lifting(address, second));
        }
        let (taken, left) = tap.decisions(1);
        assert_eq!((taken.clone(), left), (vec![lifting("192.0.2.1/32", 3)], 1));
        tap.decide(lifting("192.0.2.1/32", 4));
        tap.put_back(taken);
        assert_eq!(tap.decisions(9).0, [lifting("192.0.2.1/32", 4), lifting("192.0.2.2/32", 2)]);
    }

    #[test]
    fn what_waits_is_bounded() {
        let tap = Tap::default();
        let number = |number: u32| IpNet::from(std::net::IpAddr::from(number.to_be_bytes()));
        for one in 0..u32::try_from(DECISIONS).unwrap() + 5 {
            tap.decide(Decision::lifting(number(one), None, Timestamp::UNIX_EPOCH));
        }
        assert_eq!((tap.decisions(9).0, tap.is_overrun()), (Vec::new(), true));
        tap.begin_anew();
        tap.decide(Decision::lifting(number(1), None, Timestamp::UNIX_EPOCH));
        assert_eq!((tap.decisions(9).0.len(), tap.is_overrun()), (1, false));
    }
}
