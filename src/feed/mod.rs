//! Lists of addresses from elsewhere: a file, a program or a web server says who is banned.
//!
//! ```text
//! worker (one thread each): wait -> fetch -> list -> copy -> News -> the daemon's loop
//!                                   | command, http
//! ```
//!
//! Nothing here is waited for: a server that hangs delays its own list only. A list that fails or cannot be meant
//! changes nothing, the last good one stays.

mod command;
mod copy;
mod fetch;
mod http;
pub mod list;
mod worker;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};

use ipnet::IpNet;
use jiff::Timestamp;
use tokio::sync::{mpsc, watch};

pub use copy::{Kept, replace};
pub use fetch::file as text_of;

use crate::config::plan::{FeedPlan, FeedSource};
use command::Running;
use copy::Keeper;
use list::Notes;
use worker::Worker;

/// Tells a feed from one of the same name before a reload.
pub type Generation = u64;

/// A whole list, to be put in place of the one before.
#[derive(Debug)]
pub struct News {
    /// NAME in `[feed.NAME]`.
    pub feed: Arc<str>,
    /// Of which feed of this name.
    pub generation: Generation,
    /// Canonical, ascending, each once.
    pub entries: Vec<IpNet>,
    /// Until when they are banned; `None`: for as long as they are listed.
    pub until: Option<Timestamp>,
    /// To be told when they are in place; until then the feed hands over nothing else.
    pub done: Sender<()>,
}

/// How one feed is doing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FeedStatus {
    /// NAME in `[feed.NAME]`.
    pub name: Arc<str>,
    /// Where its list comes from.
    pub source: String,
    /// How many entries its list has.
    pub entries: usize,
    /// What is remarkable about its list.
    pub notes: Notes,
    /// When its list was last read, or seen to be unchanged.
    pub read: Option<Timestamp>,
    /// When it is read next; in the past: that goes on now.
    pub next: Option<Timestamp>,
    /// Why it could not be read the last time, with what to do.
    pub error: Option<String>,
    /// Why it will not survive a restart, if so.
    pub unkept: Option<String>,
}

/// The running feeds. Dropping it stops them.
#[derive(Debug)]
pub struct Feeds {
    state: PathBuf,
    news: mpsc::Sender<News>,
    running: Vec<Feed>,
    generation: Generation,
}

/// One running feed.
#[derive(Debug)]
struct Feed {
    plan: FeedPlan,
    generation: Generation,
    orders: Sender<()>,
    status: watch::Receiver<FeedStatus>,
    running: Running,
}

impl Drop for Feed {
    fn drop(&mut self) {
        self.running.kill();
    }
}

impl Feeds {
    /// No feeds yet. Copies are kept in the directory `state`; lists go to `news`.
    #[must_use]
    pub fn new(state: PathBuf, news: mpsc::Sender<News>) -> Self {
        Self { state, news, running: Vec::new(), generation: 0 }
    }

    /// Stops the feeds that are gone or have changed, starts those that are new, and has the files of the others
    /// read again. What has changed is read at once, `at_once` or not.
    pub fn configure(&mut self, plans: &[FeedPlan], at_once: bool) {
        self.running.retain(|feed| plans.contains(&feed.plan));
        for feed in self.running.iter().filter(|feed| matches!(feed.plan.source, FeedSource::File(_))) {
            // One that has ended has said why.
            let _ = feed.orders.send(());
        }
        for plan in plans {
            if !self.running.iter().any(|feed| feed.plan == *plan) {
                self.generation += 1;
                let feed = self.start(plan, at_once);
                self.running.push(feed);
            }
        }
        self.running.sort_by(|a, b| a.plan.name.cmp(&b.plan.name));
    }

    /// How each feed is doing at this moment, by name.
    #[must_use]
    pub fn statuses(&self) -> Vec<FeedStatus> {
        self.running.iter().map(|feed| feed.status.borrow().clone()).collect()
    }

    /// Whether the feed still runs.
    #[must_use]
    pub fn is_current(&self, generation: Generation) -> bool {
        self.running.iter().any(|feed| feed.generation == generation)
    }

    fn start(&self, plan: &FeedPlan, at_once: bool) -> Feed {
        let (status, seen) = watch::channel(FeedStatus {
            name: Arc::clone(&plan.name),
            source: plan.source.to_string(),
            entries: 0,
            notes: Notes::default(),
            read: None,
            next: None,
            error: None,
            unkept: None,
        });
        let (orders, taken) = channel();
        let running = Running::default();
        let worker = Worker {
            plan: plan.clone(),
            generation: self.generation,
            keeper: Keeper::new(&self.state, &plan.name),
            news: self.news.clone(),
            status,
            running: running.clone(),
            orders: taken,
            at_once,
        };
        let started = std::thread::Builder::new().name("feed".into()).spawn(move || worker.work());
        if let Err(error) = started {
            tracing::error!(
                "[feed.{}] its thread cannot be started: {error}: reload when there is memory",
                plan.name
            );
        }
        Feed { plan: plan.clone(), generation: self.generation, orders, status: seen, running }
    }
}
