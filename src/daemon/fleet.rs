//! What the loop has to do with a fleet: verdicts are left at its tap, reports are judged by the jails that count them, what
//! the firewall has decided is followed, and friends' fleets have their votes counted.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use ipnet::IpNet;
use jiff::Timestamp;

use super::judged::Judged;
use super::pipeline::Pipeline;
use super::run::Daemon;
use crate::config::fleet::FLEET;
use crate::config::peers::PEERS;
use crate::config::plan::FleetPlan;
use crate::control::events::What;
use crate::control::fleet::FleetStatus;
use crate::fleet::audience::Audience;
use crate::fleet::decision::Decision;
use crate::fleet::report::{LINES, LONGEST_LINE, Report, Taken};
use crate::fleet::tap::Tap;
use crate::fleet::{Followed, News, Page, Running};
use crate::jail::bans::Bans;
use crate::jail::by_hand::Refusal;
use crate::jail::lift::Lift;
use crate::jail::reports::{Reported, is_private};
use crate::jail::votes::Vote;
use crate::jail::{ADOPTED, Ban, Ending, FEED, MANUAL, Verdict, shown};
use crate::store::Line;

/// How many bans are looked at for one page of what is in force.
const PAGE: usize = 2_000;

/// This machine's part in a fleet, if it has one.
#[derive(Default)]
pub(super) struct Part {
    /// Where the fleet's thread keeps what waits; with a store in memory, it keeps nothing.
    state: PathBuf,
    running: Option<Running>,
    /// Why there is no thread although there should be.
    error: Option<String>,
}

/// Where verdicts are left, and what of them matters.
pub(super) struct Outlet {
    tap: Tap,
    plan: FleetPlan,
}

impl Part {
    pub(super) fn new(state: &Path) -> Self {
        Self { state: state.to_owned(), ..Self::default() }
    }

    /// Takes part as the plan says from now on. Where verdicts are to be left, if anywhere.
    pub(super) fn configure(&mut self, plan: Option<&FleetPlan>, in_memory: bool) -> Option<Outlet> {
        let Some(plan) = plan else {
            *self = Self::new(&self.state);
            return None;
        };
        let same = self.running.as_ref().filter(|running| running.plan() == plan);
        if let Some(Err(error)) = same.map(Running::reload) {
            tracing::error!("[fleet] {error}");
            self.error = Some(error.to_string());
        } else if same.is_some() {
            self.error = None;
        } else {
            // The one before has to be gone: it holds the same files.
            self.running = None;
            let started = Running::start(plan, (!in_memory).then_some(&*self.state));
            self.error = started.as_ref().err().map(ToString::to_string);
            if let Some(error) = &self.error {
                tracing::error!("[fleet] {error}");
            }
            self.running = started.ok();
        }
        let tap = self.running.as_ref()?.tap().clone();
        Some(Outlet { tap, plan: plan.clone() })
    }

    /// The next news. To be dropped and called again at any time.
    pub(super) async fn heard(&mut self) -> News {
        match &mut self.running {
            Some(running) => running.heard().await,
            None => std::future::pending().await,
        }
    }

    /// How it is doing.
    pub(super) fn status(&self) -> Option<FleetStatus> {
        self.running.as_ref().map(Running::status)
    }

    /// What the administrator should know first, when this is how it is doing.
    pub(super) fn warnings(&self, status: Option<&FleetStatus>) -> Vec<String> {
        let mut told: Vec<String> = self.error.iter().map(|error| format!("fleet: {error}")).collect();
        told.extend(status.into_iter().flat_map(FleetStatus::warnings));
        told
    }
}

impl Outlet {
    /// A verdict, after it was made true, with the log lines that led to it.
    pub(super) fn tell(&self, verdict: &Verdict, lines: &[Line], bans: &Bans, now: Timestamp) {
        let ban = verdict.ban();
        for audience in [Audience::Edges, Audience::Peers] {
            if !self.plan.firewall || !is_for(audience, ban) || !self.tap.is_read_by(audience) {
                continue;
            }
            let lifted = !matches!(verdict, Verdict::Ban(_) | Verdict::Unban(_, Ending::Expired));
            match decision(audience, bans, &ban.prefix) {
                Some(decision) => self.tap.decide(audience, decision),
                None if lifted => {
                    self.tap.decide(audience, Decision::lifting(ban.prefix, ban.until, now));
                }
                None => {}
            }
        }
        let reports =
            self.plan.host && matches!(verdict, Verdict::Ban(_)) && &*ban.jail != MANUAL && is_ours(ban);
        if reports && &*ban.jail != FLEET && !ban.is_observed() && Report::is_of_one(&ban.prefix) {
            let wanted = if self.plan.evidence { LINES } else { 0 };
            let text = |line: &Line| {
                let bytes = line.bytes.get(..LONGEST_LINE).unwrap_or(&line.bytes);
                String::from_utf8_lossy(bytes).into_owned()
            };
            let skipped = lines.len().saturating_sub(wanted);
            self.tap.report(Report::new(
                &self.plan.name,
                ban,
                lines.iter().skip(skipped).map(text).collect(),
            ));
        }
    }
}

/// Lists come from where they come from, and what was found in the kernel has no reason.
fn is_ours(ban: &Ban) -> bool {
    !ban.jail.starts_with(FEED) && &*ban.jail != ADOPTED
}

/// Whether a ban is published for them: for edges all of them, for friends' fleets offenders that this one's own jails have
/// found. What a friend has said goes to nobody but edges, so that it never comes back as if it were known here.
fn is_for(audience: Audience, ban: &Ban) -> bool {
    let found = || {
        ![MANUAL, PEERS].contains(&&*ban.jail)
            && Report::is_of_one(&ban.prefix)
            && !is_private(ban.prefix.addr())
    };
    is_ours(ban) && (audience == Audience::Edges || found())
}

/// What is published of a prefix, if anything.
fn decision(audience: Audience, bans: &Bans, prefix: &IpNet) -> Option<Decision> {
    let rows: Vec<Ban> = bans.of(prefix).into_iter().filter(|ban| is_for(audience, ban)).collect();
    match audience {
        Audience::Edges => Decision::of(&rows),
        Audience::Peers => Decision::naming(&rows),
    }
}

/// Acts upon what the fleet's thread has said. Whoever does not wait any more has ended.
pub(super) fn take(daemon: &mut Daemon, news: News, now: Timestamp) {
    let pipeline = &mut daemon.pipeline;
    match news {
        News::Reports { reports, done } => {
            judge(pipeline, &reports, now);
            let bans = pipeline.engine.bans();
            let _ = done.send(reports.iter().map(|one| bans.of(&one.prefix).is_empty()).collect());
        }
        News::Intent { audience, after, reply } => {
            let _ = reply.send(page(audience, pipeline.engine.bans(), after.as_ref()));
        }
        News::Votes { peer, votes, recalled, done } => {
            let _ = done.send(count(pipeline, &peer, votes, recalled, now));
        }
        News::Recalled { done } => {
            daemon.lifts.begin(Lift::unnamed(), None, pipeline, now);
            let _ = done.send(());
        }
        News::Decisions { decisions, done } => {
            let (verdicts, spared) = follow(pipeline, &decisions);
            pipeline.take(&verdicts, now);
            let _ = done.send(Followed { spared, behind: pipeline.store.is_behind() });
        }
        News::InForce { after, upto, decisions, done } => {
            let mut verdicts = no_longer_in_force(pipeline, after, upto, &decisions);
            let (more, spared) = follow(pipeline, &decisions);
            verdicts.extend(more);
            // They are a list, which has one line in the log for all.
            pipeline.doubt(&verdicts);
            pipeline.effect.settle_in_turn(&pipeline.engine, now);
            pipeline.note(&verdicts, None, now);
            let _ = done.send(Followed { spared, behind: pipeline.store.is_behind() });
        }
    }
}

/// What follows from what the firewall has decided, and how many of it are spared here.
fn follow(pipeline: &mut Pipeline, decisions: &[Decision]) -> (Vec<Verdict>, u64) {
    let (mut verdicts, mut spared) = (Vec::new(), 0);
    for decision in decisions {
        if decision.lifted {
            verdicts.extend(pipeline.engine.withdraw_decision(&decision.prefix));
            continue;
        }
        let followed = decision.decided().map(|decided| pipeline.engine.follow_decision(decided));
        match followed {
            Ok(Ok(verdict)) => verdicts.extend(verdict),
            Ok(Err(refusal)) => {
                spared += 1;
                tracing::debug!("[fleet] a decision is not followed: {refusal}");
            }
            Err(distrust) => tracing::warn!("[fleet] a decision is not followed: {distrust}"),
        }
    }
    (verdicts, spared)
}

/// Ends what was followed of a range of prefixes and is not among the `decisions` in force, which are in order.
fn no_longer_in_force(
    pipeline: &mut Pipeline,
    after: Option<IpNet>,
    upto: Option<IpNet>,
    decisions: &[Decision],
) -> Vec<Verdict> {
    let after = after.map(|prefix| (prefix, Arc::from(FLEET)));
    let bans = pipeline.engine.bans().iter_after(after.as_ref());
    let followed =
        bans.take_while(|ban| upto.is_none_or(|upto| ban.prefix <= upto)).filter(|ban| &*ban.jail == FLEET);
    let is_over = |prefix: &IpNet| decisions.binary_search_by_key(prefix, |one| one.prefix).is_err();
    let over: Vec<IpNet> = followed.map(|ban| ban.prefix).filter(is_over).collect();
    over.iter().filter_map(|prefix| pipeline.engine.withdraw_decision(prefix)).collect()
}

/// Votes go to the jail of friends' fleets; what each of them said is the evidence of a ban.
fn count(
    pipeline: &mut Pipeline,
    peer: &Arc<str>,
    votes: Vec<Vote>,
    recalled: bool,
    now: Timestamp,
) -> Followed {
    let (mut verdicts, mut spared, mut no_room) = (Vec::new(), 0, None);
    for vote in votes {
        match pipeline.engine.vote(peer, vote, recalled, now) {
            Ok(verdict) => verdicts.extend(verdict),
            Err(refusal) => {
                spared += 1;
                no_room = no_room.or(Some(refusal).filter(|why| matches!(why, Refusal::NoRoom(_))));
            }
        }
    }
    if let Some(refusal) = no_room {
        tracing::warn!("[fleet] not everybody whom friends' fleets name is banned: {refusal}");
    }
    let told = if pipeline.evidence.is_wanted() { &verdicts[..] } else { &[] };
    for ban in told.iter().map(Verdict::ban) {
        for (time, line) in pipeline.engine.voters(ban) {
            pipeline.evidence.note(ban.prefix, &ban.jail, time, line.as_bytes());
        }
    }
    pipeline.take(&verdicts, now);
    Followed { spared, behind: pipeline.store.is_behind() }
}

/// Reports go the way of failures, in each jail that counts them.
fn judge(pipeline: &mut Pipeline, reports: &[Taken], now: Timestamp) {
    for id in pipeline.engine.reporting() {
        let Some(jail) = pipeline.engine.jails().get(id.0).map(|jail| Arc::clone(&jail.name)) else {
            continue;
        };
        let mut judged = Judged::default();
        for Taken { host, weight, prefix, time, report } in reports {
            pipeline.events.tell(now, || What::Failure {
                jail: jail.to_string(),
                address: shown(prefix),
                source: host.to_string(),
                logged: report.time,
                attempts: *weight,
            });
            let reported = Reported { host, weight: *weight, prefix: *prefix, time: *time };
            let counted = judged.take(pipeline.engine.reported(id, &reported, now));
            if let (Some(prefix), true) = (counted, pipeline.evidence.is_wanted()) {
                pipeline.evidence.note(prefix, &jail, report.time, report.told().as_bytes());
            }
        }
        pipeline.execute(judged, now);
    }
}

/// What is in force behind a row.
fn page(audience: Audience, bans: &Bans, after: Option<&(IpNet, Arc<str>)>) -> Page {
    let slice = bans.slice(after, PAGE, |ban| is_for(audience, ban));
    let mut prefixes: Vec<IpNet> = slice.bans.iter().map(|ban| ban.prefix).collect();
    prefixes.dedup();
    let decisions = prefixes.iter().filter_map(|prefix| decision(audience, bans, prefix)).collect();
    Page { decisions, next: slice.next }
}
