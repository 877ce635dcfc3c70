//! Starting and stopping: a recipe.

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;
use jiff::Timestamp;
use tokio::sync::mpsc;

use super::alone::{Alone, NotAlone};
use super::confine;
use super::effect::Effect;
use super::guard::Guard;
use super::intent;
use super::log;
use super::manager;
use super::options::Options;
use super::ownership;
use super::pipeline::Pipeline;
use super::restore::{adopt, doubtful, recall, remind};
use super::run::{Daemon, Signals, count_if_possible, engine, limits, options};
use super::trails::Trails;
use crate::config::{
    self,
    plan::{Plan, StorePlan},
};
use crate::control::events::Events;
use crate::control::server::{Place, Server, ServerError};
use crate::feed::Kept;
use crate::firewall::{FirewallError, Found};
use crate::source::syslog::Keeper;
use crate::store::{self, Memory, Recalling, Store};
use crate::words::counted;

/// sysexits.h: the configuration is wrong.
const EX_CONFIG: u8 = 78;
/// sysexits.h: not permitted.
const EX_NOPERM: u8 = 77;

/// How wide reports are, in columns.
pub(super) const WIDTH: usize = 100;

/// How many requests of `banctl` may wait.
const CALLS: usize = 16;

/// Why the daemon does not start.
#[derive(Debug, thiserror::Error)]
enum StartError {
    #[error("{0}")]
    Control(#[from] ServerError),
    #[error("{0}")]
    NotAlone(#[from] NotAlone),
    #[error("{0}")]
    Firewall(#[from] FirewallError),
    #[error("the system refused: {0}")]
    System(#[from] std::io::Error),
}

/// Runs `kband` with this process's arguments.
#[must_use]
pub fn main() -> ExitCode {
    let options = Options::parse();
    let plan = match config::load(&options.layout()) {
        Ok(plan) => plan,
        Err(report) => {
            let colour = std::io::IsTerminal::is_terminal(&std::io::stderr());
            // If nobody reads standard error, the exit code still says it.
            let _ = write!(anstream::stderr(), "{}", report.render(colour, WIDTH));
            return ExitCode::from(EX_CONFIG);
        }
    };
    if options.check {
        return ExitCode::SUCCESS;
    }
    log::init();
    if !options.unconfined {
        confine(&options, &plan);
    }
    let started = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(StartError::from)
        .and_then(|runtime| runtime.block_on(run(&options, plan)));
    match started {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error}");
            match error {
                StartError::Firewall(error) if error.is_permission() => ExitCode::from(EX_NOPERM),
                _ => ExitCode::FAILURE,
            }
        }
    }
}

async fn run(typed: &Options, plan: Plan) -> Result<(), StartError> {
    let mut signals = Signals::take()?;
    for warning in &plan.warnings {
        tracing::warn!("{warning}");
    }
    let (calls, requests) = mpsc::channel(CALLS);
    let events = Events::default();
    let mut kept = manager::Kept::take();
    let place = match kept.control.take() {
        Some(listener) => Place::Given(listener),
        None => Place::Path(typed.socket()),
    };
    let server = Server::start(place, &plan.control.group, calls, events.clone())?;

    let _alone = Alone::mark()?;
    let (mut store, memory, recalling) = open_store(typed, &plan.store);
    let mut engine = engine(&plan);
    let now = Timestamp::now();
    engine.restore_allowed(memory.allowed);
    memory.logins.into_iter().for_each(|login| engine.recall_login(login, now));
    let mut firewall = ownership::open(kept.table, options(&plan.firewall))?;
    engine.set_can_renew(firewall.can_renew()?);
    count_if_possible(&mut firewall)?;
    let why_plain = ownership::decide(&mut firewall, plan.firewall.ownership)?;
    // What is in a table that is there can only be judged when everything is known that should be.
    let is_new = !firewall.is_there()? && {
        let found = firewall.set_up_known(&engine.allowed(), |_| 0)?;
        !found.kept && found.elements.is_empty()
    };
    let mut effect = Effect::new(firewall);
    effect.why_plain = why_plain;
    let told = recall(&mut engine, recalling, is_new.then_some(&mut effect), now)?;
    if let Some(error) = told.broken {
        tracing::error!("{error}");
        store = Store::in_memory(limits(&plan.store));
    }
    remind(&mut engine, told.offenders, store.archive(), &plan, now);
    let lists = Kept::load(&typed.state_dir, &plan.feeds, now);
    for (feed, entries, until) in &lists.lists {
        engine.take_feed(feed, entries.clone(), *until, now);
    }
    let found = if is_new {
        effect.doubt(doubtful(&engine));
        let listed = lists.lists.iter().flat_map(|(_, entries, _)| entries);
        effect.add_bans_of(told.unwritten.into_iter().chain(listed.copied()).collect());
        Found::default()
    } else {
        let known = |set| intent::count_in(&engine, set);
        let found = effect.firewall.set_up_known(&engine.allowed(), known)?;
        effect.compare(&found);
        found
    };

    ownership::hand_over(&effect.firewall);

    let adopted = adopt(&mut engine, &found.elements, &told.ended, &lists.gone, now);
    tracing::info!(
        "kband {} protects {}; {} remembered, {} adopted from the kernel",
        env!("CARGO_PKG_VERSION"),
        counted(plan.jails.len(), "jail", "jails"),
        counted(told.bans, "ban", "bans"),
        adopted.bans
    );
    effect.doubt(adopted.unlisted);
    let trails = Trails::new(memory.readings, memory.stale);
    let mut pipeline = Pipeline::new(engine, effect, store, trails, events);
    pipeline.set_memory(&plan.store);
    adopted.renewed.iter().for_each(|ban| pipeline.store.note_moved(ban));
    pipeline.place_bans();
    pipeline.take(&told.ended, now);
    pipeline.work(now);
    pipeline.adopt_later(found.unlisted, lists.gone.clone());
    lists.settled();
    // Not before: a listener doubles what it costs to restore many bans. What it has missed is looked for soon.
    let guard = Guard::new(pipeline.effect.firewall.port())?;

    let keeper = Keeper::new(std::mem::take(&mut kept.syslog), manager::keep);
    let mut daemon = Daemon::new(typed.layout(), &typed.state_dir, plan, pipeline, guard, keeper);
    let ended = daemon.run(&mut signals, requests).await;

    tracing::info!("stopping");
    manager::stopping();
    daemon.note_beginnings();
    daemon.sources.end();
    drop(server);
    let mut pipeline = daemon.pipeline;
    let flushed = if typed.flush_on_exit { pipeline.flush(Timestamp::now()) } else { Ok(()) };
    pipeline.store.close();
    ended?;
    Ok(flushed?)
}

/// Only its own directories can be written from here on, by whatever it runs as well.
fn confine(options: &Options, plan: &Plan) {
    let mut own = vec![options.state_dir.clone(), options.runtime_dir.clone()];
    // Whoever cannot make them is told so when they are needed.
    let _ = store::make_directory(&options.state_dir);
    let _ = std::fs::create_dir_all(&options.runtime_dir);
    own.extend(confine::places(plan));
    match confine::to(&own) {
        Ok(true) => {}
        Ok(false) => {
            tracing::info!("this kernel has no Landlock: kband is confined by file permissions alone");
        }
        Err(error) => tracing::warn!("kband is confined by file permissions alone: {error}"),
    }
}

/// kband protects without a store rather than not at all.
fn open_store(options: &Options, plan: &StorePlan) -> (Store, Memory, Recalling) {
    let in_memory = || (Store::in_memory(limits(plan)), Memory::default(), Recalling::nothing());
    if plan.in_memory {
        return in_memory();
    }
    Store::begin(&options.state_dir, limits(plan)).unwrap_or_else(|error| {
        tracing::error!("{error}");
        in_memory()
    })
}
