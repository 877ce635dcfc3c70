//! One feed at work, on a thread of its own: waits, gets its list, judges it, keeps it, and hands it over.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, TryRecvError, channel};
use std::time::{Duration, Instant, SystemTime};

use ipnet::IpNet;
use jiff::Timestamp;
use tokio::sync::{mpsc, watch};

use super::command::Running;
use super::copy::{Copy, Head, Keeper};
use super::fetch::{Fetched, Tag, fetch};
use super::list::{List, ListError, Notes};
use super::{FeedStatus, Generation, News};
use crate::config::plan::{FeedPlan, FeedSource};

/// How soon after a failure a list is asked for again; doubled each time, up to `every`.
const RETRY: Duration = Duration::from_secs(60);
/// How often it is looked whether a file has changed.
const LOOK: Duration = Duration::from_secs(2);
/// A file that was written to so recently may not be whole yet.
const WRITTEN: Duration = Duration::from_secs(1);

/// What the thread needs.
pub(super) struct Worker {
    pub(super) plan: FeedPlan,
    pub(super) generation: Generation,
    pub(super) keeper: Keeper,
    pub(super) news: mpsc::Sender<News>,
    pub(super) status: watch::Sender<FeedStatus>,
    pub(super) running: Running,
    /// A word means: look at once. Closed, it means: stop.
    pub(super) orders: Receiver<()>,
    /// Read the list at once, however young the copy is.
    pub(super) at_once: bool,
}

/// The feed was stopped.
struct Stopped;

/// Names one state of a file.
type Stamp = Option<(u64, u64, u64, SystemTime)>;

impl Worker {
    /// Works until the feed is stopped.
    pub(super) fn work(self) {
        // Stopped: whoever stopped it knows.
        let _ = self.work_on();
    }

    fn work_on(&self) -> Result<(), Stopped> {
        let copy = self.keeper.load().filter(|copy| copy.entries.len() <= self.plan.max_entries);
        let mut wait = copy.as_ref().map_or(Duration::ZERO, |copy| self.wait_after(copy));
        if let Some(copy) = copy {
            self.status.send_modify(|status| status.read = Some(copy.read));
            self.hand_over(copy.entries, copy.read)?;
        }
        let (mut failures, mut stamp) = (0, None);
        loop {
            let next = Timestamp::now().saturating_add(wait).unwrap_or(Timestamp::MAX);
            self.status.send_modify(|status| status.next = Some(next));
            self.wait(wait, stamp)?;
            stamp = self.stamp();
            match self.update() {
                Ok(Ok(())) => {
                    failures = 0;
                    wait = self.plan.every;
                }
                Ok(Err(error)) => {
                    self.failed(error);
                    wait = RETRY.saturating_mul(1 << failures.min(10)).min(self.plan.every);
                    failures += 1;
                }
                Err(stopped) => return Err(stopped),
            }
        }
    }

    /// How long a copy is young enough.
    fn wait_after(&self, copy: &Copy) -> Duration {
        // Reading a file again asks nobody for anything.
        let remote = !matches!(self.plan.source, FeedSource::File(_));
        if self.at_once || !remote || copy.head.source != self.plan.source.to_string() {
            return Duration::ZERO;
        }
        let age = Duration::try_from(Timestamp::now().duration_since(copy.read));
        age.map_or(Duration::ZERO, |age| self.plan.every.saturating_sub(age))
    }

    /// Until it is time, somebody wants it now, or the file has changed.
    fn wait(&self, wait: Duration, stamp: Stamp) -> Result<(), Stopped> {
        let deadline = Instant::now() + wait;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let is_file = matches!(self.plan.source, FeedSource::File(_));
            let look = if is_file { left.min(LOOK) } else { left };
            match self.orders.recv_timeout(look) {
                Ok(()) => return Ok(()),
                Err(RecvTimeoutError::Disconnected) => return Err(Stopped),
                Err(RecvTimeoutError::Timeout) if look == left => return Ok(()),
                Err(RecvTimeoutError::Timeout) => {
                    let now = self.stamp();
                    let written = now.and_then(|(.., written)| written.elapsed().ok());
                    if now != stamp && written.is_none_or(|ago| ago >= WRITTEN) {
                        return Ok(());
                    }
                }
            }
        }
    }

    fn stamp(&self) -> Stamp {
        let FeedSource::File(path) = &self.plan.source else { return None };
        let metadata = fs::metadata(path).ok()?;
        Some((metadata.dev(), metadata.ino(), metadata.len(), metadata.modified().ok()?))
    }

    /// Gets, judges, keeps and hands over the list; or says why not.
    fn update(&self) -> Result<Result<(), String>, Stopped> {
        let before = self.keeper.load();
        let source = self.plan.source.to_string();
        let known = match &before {
            Some(Copy { head, .. }) if head.source == source => head.tag.clone(),
            _ => Tag::default(),
        };
        let fetched = match fetch(&self.plan.source, &known, &self.running) {
            Ok(fetched) => fetched,
            Err(error) => return self.still_wanted().map(|()| Err(error.to_string())),
        };
        self.still_wanted()?;
        let (entries, tag, notes) = match (fetched, &before) {
            (Fetched::Text(text, tag), _) => match self.judge(&text, before.as_ref()) {
                Ok(List { entries, notes }) => (entries, tag, Some(notes)),
                Err(error) => return Ok(Err(format!("{source}: {error}"))),
            },
            (Fetched::Unchanged, Some(copy)) => (copy.entries.clone(), known, None),
            (Fetched::Unchanged, None) => {
                return Ok(Err(format!("{source}: nothing is known of it: reload")));
            }
        };
        let head = Head { source, tag };
        let same = before.is_some_and(|copy| copy.entries == entries && copy.head == head);
        let kept = if same { self.keeper.touch() } else { self.keeper.save(&head, &entries) };
        let unkept = kept.err().map(|error| {
            format!("its list cannot be kept over a restart: {error}; check the state directory's owner and free space")
        });
        self.told(notes, unkept);
        self.hand_over(entries, Timestamp::now()).map(Ok)
    }

    fn judge(&self, text: &[u8], before: Option<&Copy>) -> Result<List, ListError> {
        let list = List::read(text, self.plan.max_entries)?;
        let had = before.map_or_else(|| self.status.borrow().entries, |copy| copy.entries.len());
        if list.entries.is_empty() && had > 0 {
            return Err(ListError::Emptied { before: had });
        }
        Ok(list)
    }

    /// Gives the list to the daemon, and waits until it is in the kernel.
    fn hand_over(&self, entries: Vec<IpNet>, read: Timestamp) -> Result<(), Stopped> {
        let until = self.plan.until(read);
        if until.is_some_and(|until| until <= Timestamp::now()) {
            return Ok(());
        }
        let count = entries.len();
        let (done, is_done) = channel();
        let news =
            News { feed: Arc::clone(&self.plan.name), generation: self.generation, entries, until, done };
        self.news.blocking_send(news).map_err(|_| Stopped)?;
        is_done.recv().map_err(|_| Stopped)?;
        self.keeper.settled();
        self.status.send_modify(|status| status.entries = count);
        Ok(())
    }

    /// Whoever was stopped must not write over what its successor keeps.
    fn still_wanted(&self) -> Result<(), Stopped> {
        match self.orders.try_recv() {
            Err(TryRecvError::Disconnected) => Err(Stopped),
            _ => Ok(()),
        }
    }

    fn told(&self, notes: Option<Notes>, unkept: Option<String>) {
        if let Some(unkept) =
            unkept.as_ref().filter(|unkept| self.status.borrow().unkept.as_ref() != Some(unkept))
        {
            tracing::warn!("[feed.{}] {unkept}", self.plan.name);
        }
        self.status.send_modify(|status| {
            status.notes = notes.unwrap_or_else(|| std::mem::take(&mut status.notes));
            status.read = Some(Timestamp::now());
            status.error = None;
            status.unkept = unkept;
        });
    }

    /// Said once for as long as it is the same.
    fn failed(&self, error: String) {
        let status = self.status.borrow().clone();
        if status.error.as_ref() != Some(&error) {
            let last = match status.read {
                Some(read) => format!("the list of {read:.0} stays in force"),
                None => "it bans nobody yet".to_owned(),
            };
            tracing::error!("[feed.{}] {error}; {last}", self.plan.name);
            self.status.send_modify(|status| status.error = Some(error));
        }
    }
}
