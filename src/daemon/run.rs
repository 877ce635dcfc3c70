//! The loop: blocks, requests, deadlines and signals, one at a time.

use std::path::Path;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;
use tokio::time::Interval;

use super::allowing;
use super::answer;
use super::feeds::Swaps;
use super::fleet;
use super::guard::Guard;
use super::lifts::Lifts;
use super::lookups::Lookups;
use super::manager;
use super::own;
use super::ownership;
use super::pipeline::Pipeline;
use super::recall::Recall;
use super::start::WIDTH;
use super::today::Today;
use crate::config::plan::{FeedPlan, FirewallPlan, LogPlan, Plan, StorePlan};
use crate::config::{self, Layout, Problem, Report, Setting, setting};
use crate::control::events::What;
use crate::control::server::Call;
use crate::feed::{Feeds, News};
use crate::firewall::{Firewall, FirewallError, Log, Options, Reply};
use crate::jail::engine::Engine;
use crate::source::syslog::Keeper;
use crate::source::{self, Block, Sources};
use crate::store::Limits;

/// How many blocks may wait between the sources and the pipeline.
const BLOCKS: usize = 4;
/// How many lists may wait to be put in place.
const LISTS: usize = 1;
/// When the sources have found their files, after a start.
const SETTLED: Duration = Duration::from_secs(1);
/// How often the daemon tidies up even if nothing happens.
const TIDY: Duration = Duration::from_secs(60);
/// How many counted addresses of each jail are looked at in one tidying.
const SWEPT: usize = 50_000;

/// The daemon at work.
pub(super) struct Daemon {
    pub(super) layout: Layout,
    pub(super) plan: Plan,
    pub(super) started: Timestamp,
    pub(super) pipeline: Pipeline,
    pub(super) sources: Sources,
    pub(super) blocks: mpsc::Receiver<Block>,
    pub(super) guard: Guard,
    pub(super) feeds: Feeds,
    pub(super) swaps: Swaps,
    pub(super) lifts: Lifts,
    pub(super) lookups: Lookups,
    pub(super) recall: Recall,
    pub(super) today: Today,
    pub(super) fleet: fleet::Part,
    lists: mpsc::Receiver<News>,
    /// Signs of life that the service manager waits for.
    pulse: Option<Interval>,
}

impl Daemon {
    /// Starts following the plan's sources and reading its lists, whose copies are in the directory `state`. `keeper` keeps
    /// sockets over a restart.
    pub(super) fn new(
        layout: Layout,
        state: &Path,
        plan: Plan,
        mut pipeline: Pipeline,
        guard: Guard,
        keeper: Keeper,
    ) -> Self {
        let (sender, blocks) = mpsc::channel(BLOCKS);
        let sources = source::spawn(pipeline.set_readers(&plan), sender, keeper);
        let (news, lists) = mpsc::channel(LISTS);
        let mut feeds = Feeds::new(state.to_owned(), news);
        feeds.configure(&plan.feeds, false);
        let mut lookups = Lookups::new(state);
        lookups.configure(&plan.lookups());
        let (started, recall) = (Timestamp::now(), Recall::default());
        let (swaps, lifts) = (Swaps::default(), Lifts::default());
        let mut fleet = fleet::Part::new(state);
        pipeline.outlet = fleet.configure(plan.fleet.as_ref(), plan.store.in_memory);
        Self {
            layout,
            plan,
            started,
            pipeline,
            sources,
            blocks,
            guard,
            feeds,
            swaps,
            lifts,
            lookups,
            recall,
            today: Today::new(started),
            fleet,
            lists,
            pulse: manager::pulse().map(tokio::time::interval),
        }
    }

    /// Works until SIGTERM or SIGINT.
    pub(super) async fn run(
        &mut self,
        signals: &mut Signals,
        mut calls: mpsc::Receiver<Call>,
    ) -> std::io::Result<()> {
        let Signals { term, int, hup } = signals;
        let mut tidy = tokio::time::interval_at(tokio::time::Instant::now() + SETTLED, TIDY);
        tidy.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        manager::ready();
        loop {
            let deadline = self.pipeline.until_deadline(Timestamp::now());
            tokio::select! {
                _ = term.recv() => return Ok(()),
                _ = int.recv() => return Ok(()),
                _ = hup.recv() => match self.try_reload() {
                    Ok(()) => tracing::info!("reloaded"),
                    Err(report) => tracing::error!("the running configuration stays, the new one has errors: {report}"),
                },
                Some(call) = calls.recv() => answer::answer(self, call, Timestamp::now()),
                Some(block) = self.blocks.recv() => self.pipeline.block(&block, Timestamp::now()),
                () = self.sources.died() => {
                    return Err(std::io::Error::other("reading the logs has ended unexpectedly"));
                }
                Some(news) = self.lists.recv(), if self.swaps.is_idle() => self.swaps.begin(news, &self.feeds),
                // Whoever else has something to say gets a turn between two slices.
                () = tokio::task::yield_now(), if !self.swaps.is_idle() => {
                    self.swaps.slice(&mut self.pipeline, Timestamp::now());
                }
                () = tokio::task::yield_now(), if !self.lifts.is_idle() => {
                    self.lifts.slice(&mut self.pipeline, Timestamp::now());
                }
                () = tokio::time::sleep(deadline.unwrap_or(TIDY)), if deadline.is_some() => self.expire(),
                news = self.fleet.heard() => fleet::take(self, news, Timestamp::now()),
                found = self.lookups.found() => allowing::take_found(self, found, Timestamp::now()),
                answer = self.pipeline.beside.answered() => self.pipeline.take_answer(answer, Timestamp::now()),
                () = tokio::task::yield_now(), if self.pipeline.has_work() => self.pipeline.work(Timestamp::now()),
                () = self.guard.heard() => {
                    let (pipeline, now) = (&mut self.pipeline, Timestamp::now());
                    if let Some((by, bans)) = self.guard.repair(&mut pipeline.effect, &pipeline.engine, now) {
                        pipeline.events.tell(now, || What::Restore { by, bans });
                    }
                }
                _ = tidy.tick() => self.tidy(),
                () = beat(&mut self.pulse) => manager::alive(),
            }
            let pipeline = &mut self.pipeline;
            pipeline.effect.follow_clocks(&pipeline.engine, Timestamp::now(), Instant::now());
            let writing = pipeline.effect.is_writing_many();
            let listens =
                self.guard.listen_unless(writing, &mut pipeline.effect, &pipeline.engine, Timestamp::now());
            if let Err(error) = listens {
                tracing::warn!("{error}");
            }
        }
    }

    /// Reads the configuration again. A bad one changes nothing; its report is returned, ready for a terminal.
    pub(super) fn reload(&mut self) -> Result<(), String> {
        self.try_reload().map_err(|report| report.render(false, WIDTH))
    }

    fn try_reload(&mut self) -> Result<(), Report> {
        manager::reloading();
        let reloaded = self.take_configuration();
        manager::ready();
        reloaded
    }

    fn take_configuration(&mut self) -> Result<(), Report> {
        let mut plan = config::load(&self.layout)?;
        self.note_beginnings();
        let now = Timestamp::now();
        // What has been read already is judged by the jails that it was read for.
        while let Ok(block) = self.blocks.try_recv() {
            self.pipeline.block(&block, now);
        }
        for lift in self.pipeline.engine.configure(&plan) {
            self.lifts.begin(lift, None, &mut self.pipeline, now);
        }
        self.pipeline.place_bans();
        self.allow();
        if plan.firewall != self.plan.firewall
            && let Err(error) = self.set_up_again(&plan.firewall, now)
        {
            let warning = Problem::warning(format!("the kernel's table stays as it was: {error}"));
            plan.warnings.push(warning.help("reload again"));
            plan.firewall = self.plan.firewall.clone();
            plan.settings = setting::keep(plan.settings, &self.plan.settings, |one| one.table == "firewall");
        }
        if plan.control != self.plan.control {
            let warning =
                Problem::warning("another [control] group takes effect when kband is started again");
            plan.warnings.push(warning);
            plan.settings = setting::keep(plan.settings, &self.plan.settings, |one| one.table == "control");
        }
        if plan.store.in_memory != self.plan.store.in_memory {
            let warning = Problem::warning("another [store] mode takes effect when kband is started again");
            plan.warnings.push(warning);
            plan.store.in_memory = self.plan.store.in_memory;
            let is_mode = |one: &Setting| one.table == "store" && one.key == "mode";
            plan.settings = setting::keep(plan.settings, &self.plan.settings, is_mode);
        }
        self.pipeline.store.set_limits(limits(&plan.store));
        self.pipeline.set_memory(&plan.store);
        for warning in &plan.warnings {
            tracing::warn!("{warning}");
        }
        self.sources.configure(self.pipeline.set_readers(&plan));
        self.feeds.configure(&plan.feeds, true);
        self.lookups.configure(&plan.lookups());
        self.pipeline.outlet = self.fleet.configure(plan.fleet.as_ref(), plan.store.in_memory);
        let gone = |feed: &&FeedPlan| plan.feeds.iter().all(|other| other.name != feed.name);
        self.swaps.reload(&self.feeds, self.plan.feeds.iter().filter(gone).map(|feed| &*feed.name));
        self.plan = plan;
        self.tidy();
        Ok(())
    }

    /// What is to be kept over a restart although nothing happened.
    pub(super) fn note_beginnings(&mut self) {
        self.pipeline.note_beginnings(&self.sources.statuses(), Timestamp::now());
    }

    /// What has ended by itself.
    fn expire(&mut self) {
        let now = Timestamp::now();
        if allowing::expire(&mut self.pipeline, now) {
            self.allow();
        }
        self.pipeline.expire(now);
    }

    fn tidy(&mut self) {
        self.note_beginnings();
        self.pipeline.engine.sweep(Timestamp::now(), SWEPT);
        let now = Timestamp::now();
        self.today.turn(&self.pipeline.engine, now);
        let neighbours = own::neighbours(&self.plan.firewall.protect);
        if let Some(lift) = self.pipeline.engine.set_own_addresses(own::addresses(), neighbours) {
            self.lifts.begin(lift, None, &mut self.pipeline, now);
            self.allow();
        }
        self.pipeline.tidy(now);
        let (jails, bans) = (self.plan.jails.len(), self.pipeline.engine.bans().len());
        manager::status(&format!("jails: {jails}, bans in force: {bans}"));
    }

    /// Makes the table what the plan says of it.
    fn set_up_again(&mut self, plan: &FirewallPlan, now: Timestamp) -> Result<(), FirewallError> {
        self.pipeline.follow_all(now);
        let effect = &mut self.pipeline.effect;
        let (owned, why_plain) = (effect.firewall.is_owned(), effect.why_plain);
        effect.firewall.set_options(options(plan));
        let done = count_if_possible(&mut effect.firewall)
            .and_then(|()| ownership::decide(&mut effect.firewall, plan.ownership))
            .and_then(|why_plain| {
                effect.why_plain = why_plain;
                effect.rebuild(&self.pipeline.engine, now)
            });
        if done.is_err() {
            effect.firewall.set_options(options(&self.plan.firewall));
            effect.firewall.set_owned(owned);
            effect.why_plain = why_plain;
        }
        ownership::hand_over(&effect.firewall);
        done
    }

    /// Tells the kernel who must never be dropped.
    pub(super) fn allow(&mut self) {
        let pipeline = &mut self.pipeline;
        if let Err(error) = pipeline.effect.allow(&pipeline.engine, Timestamp::now()) {
            tracing::error!("cannot renew the allow list in the kernel: {error}");
        }
    }
}

async fn beat(pulse: &mut Option<Interval>) {
    match pulse {
        Some(pulse) => {
            pulse.tick().await;
        }
        None => std::future::pending().await,
    }
}

/// The table as the plan wants it.
pub(super) fn options(plan: &FirewallPlan) -> Options {
    Options {
        set_size: plan.set_size,
        reply: if plan.reject { Reply::Reject } else { Reply::Drop },
        log: plan.log.clone().map(|LogPlan { group, prefix }| Log { group, prefix }),
        interfaces: plan.interfaces.clone(),
        cut_connections: plan.cut_connections,
        count: plan.count,
    }
}

/// What the administrator should know if the kernel cannot count.
pub(super) const NOT_COUNTED: &str = "[firewall] count = true cannot be had: this kernel has no counters in elements of sets (Linux 5.7 has); \
     bans hold, and do not count";

/// Has packets counted by ban only if the kernel can.
pub(super) fn count_if_possible(firewall: &mut Firewall) -> Result<(), FirewallError> {
    if firewall.counts() && !firewall.can_count()? {
        tracing::warn!("{NOT_COUNTED}");
        firewall.set_counts(false);
    }
    Ok(())
}

/// What the store keeps.
pub(super) fn limits(plan: &StorePlan) -> Limits {
    Limits { keep: plan.keep, max_size: plan.max_size }
}

/// An engine that knows the plan and the machine it runs on.
pub(super) fn engine(plan: &Plan) -> Engine {
    let mut engine = Engine::new();
    engine.set_own_addresses(own::addresses(), own::neighbours(&plan.firewall.protect));
    engine.configure(plan);
    engine
}

/// The signals that the daemon understands. From here on none of them ends it unasked.
pub(super) struct Signals {
    term: Signal,
    int: Signal,
    hup: Signal,
}

impl Signals {
    pub(super) fn take() -> std::io::Result<Self> {
        Ok(Self {
            term: signal(SignalKind::terminate())?,
            int: signal(SignalKind::interrupt())?,
            hup: signal(SignalKind::hangup())?,
        })
    }
}
