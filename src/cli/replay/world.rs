//! The jails under one set of settings, while the logs go by: whom they would have banned.

use std::sync::Arc;

use jiff::Timestamp;

use super::ledger::Ledger;
use super::timeline::{Event, What};
use crate::config::plan::Plan;
use crate::filter::Filter;
use crate::jail::Verdict;
use crate::jail::engine::{Engine, Judgement};
use crate::jail::jails::JailId;

/// So many counted offenders are looked at with each failure, whether they can be forgotten.
const SWEPT: usize = 4;

/// An engine, and what it did.
pub(super) struct World {
    engine: Engine,
    /// The jails behind each filter.
    jails: Vec<Vec<JailId>>,
    /// The logs' own time.
    now: Timestamp,
    pub(super) ledger: Ledger,
}

impl World {
    /// A world in which nobody has failed. What the filters find has their place in the list.
    pub(super) fn new(plan: &Plan, filters: &[Arc<Filter>]) -> Self {
        let mut engine = Engine::new();
        engine.configure(plan);
        let jails = filters.iter().map(|filter| {
            let has_it =
                |jail: &Option<Arc<Filter>>| jail.as_ref().is_some_and(|own| Arc::ptr_eq(own, filter));
            let having = plan.jails.iter().enumerate().filter(|(_, jail)| has_it(&jail.filter));
            having.map(|(place, _)| JailId(place)).collect()
        });
        let jails = jails.collect();
        Self { engine, jails, now: Timestamp::MIN, ledger: Ledger::default() }
    }

    /// Judges what a log tells.
    pub(super) fn take(&mut self, event: &Event) {
        self.advance(self.now.max(event.time));
        let now = self.now;
        if let What::Success(success) = &event.what {
            let jails = self.jails.get(event.filter).into_iter().flatten();
            let heard: Vec<_> =
                jails.filter_map(|id| self.engine.jails().get(id.0)).map(|jail| &jail.name).collect();
            self.ledger.login(success, &heard);
        }
        for &jail in self.jails.get(event.filter).into_iter().flatten() {
            match &event.what {
                What::Success(success) => {
                    self.engine.succeeded(jail, success, now);
                }
                What::Failure(failure, user) => {
                    self.engine.sweep(now, SWEPT);
                    let before = self.passed_over(jail);
                    let user = user.as_deref().filter(|_| self.engine.asks_for_user(jail, failure, now));
                    let judgement = self.engine.observe(jail, failure, user, &event.source, now);
                    if self.passed_over(jail) == before
                        && let Some(jail) = self.engine.jails().get(jail.0)
                    {
                        self.ledger.failure(&jail.name, failure);
                    }
                    if let Judgement::Verdicts(verdicts) = judgement {
                        note(&mut self.ledger, &verdicts, now);
                    }
                }
            }
        }
    }

    /// Lets time go by: bans end, and whoever waits is banned, each when it is due.
    fn advance(&mut self, to: Timestamp) {
        loop {
            let due = [self.engine.bans().next_end(), self.engine.next_release(self.now)]
                .into_iter()
                .flatten()
                .min();
            let Some(due) = due.filter(|due| *due <= to) else { break };
            let at = due.max(self.now);
            while self.engine.expire_next(at).is_some() {}
            let released = self.engine.release(at);
            self.now = at;
            note(&mut self.ledger, &released, at);
        }
        self.now = to;
    }

    /// How many failures a jail heard of and did not count.
    fn passed_over(&self, jail: JailId) -> u64 {
        let tally = self.engine.jails().get(jail.0).map(|jail| jail.tally).unwrap_or_default();
        tally.ignored + tally.stale + tally.already_banned
    }

    /// How many offenders still wait for their ban.
    pub(super) fn waiting(&self) -> usize {
        self.engine.jails().iter().map(|jail| jail.waiting()).sum()
    }

    /// How many failures were of addresses that are never banned.
    pub(super) fn allowed(&self) -> u64 {
        self.engine.jails().iter().map(|jail| jail.tally.ignored).sum()
    }
}

fn note(ledger: &mut Ledger, verdicts: &[Verdict], now: Timestamp) {
    for verdict in verdicts {
        match verdict {
            Verdict::Ban(ban) => ledger.banned(ban),
            Verdict::Unban(ban, _) => ledger.ended(ban, now),
        }
    }
}
