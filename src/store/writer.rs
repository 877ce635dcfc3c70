//! The thread that writes: a batch that the disk refuses is kept, merged with what follows, and tried again.
//!
//! Nothing is written past a failed batch. So a position is never ahead of its bans on disk, whatever fails.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use rusqlite::Connection;

use jiff::Timestamp;

use super::batch::{Batch, MOST_WAITING};
use super::{Limits, Pace, history, schema};

/// How often the history is looked at while nothing is written.
const TIDY: Duration = Duration::from_secs(3600);

/// The database, and what it has refused so far.
pub(super) struct Writer {
    database: Connection,
    limits: Limits,
    pace: Pace,
    /// What the database does not have yet.
    pending: Batch,
    /// When the last write was tried.
    tried: Option<Instant>,
    /// It failed.
    failed: bool,
    /// The same, for everybody else.
    failing: Arc<AtomicBool>,
    /// When the history was last tidied.
    tidied: Instant,
    /// There is something to tidy, as far as is known.
    untidy: bool,
    /// Tidying failed, and it was said.
    stuck: bool,
}

impl Writer {
    pub(super) fn new(database: Connection, limits: Limits, pace: Pace, failing: Arc<AtomicBool>) -> Self {
        Self {
            database,
            limits,
            pace,
            pending: Batch::default(),
            tried: None,
            failed: false,
            failing,
            tidied: Instant::now(),
            untidy: true,
            stuck: false,
        }
    }

    /// Writes until the other end hangs up, or until more waits than memory should hold.
    pub(super) fn work(&mut self, batches: &Receiver<Batch>) {
        loop {
            match batches.recv_timeout(self.patience()) {
                Ok(batch) => {
                    self.take(batch);
                    while !self.pending.is_much()
                        && let Ok(batch) = batches.try_recv()
                    {
                        self.take(batch);
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => {
                    self.finish();
                    return;
                }
            }
            if self.until_write().is_some_and(|left| left.is_zero()) {
                self.write();
            }
            if self.until_tidy().is_some_and(|left| left.is_zero()) {
                self.tidy();
            }
            if self.failed && self.pending.is_too_much() {
                tracing::error!(
                    "more than {MOST_WAITING} bans wait for the store: given up, what is on disk stays as it is; restart kband when it can be written"
                );
                return;
            }
        }
    }

    fn take(&mut self, batch: Batch) {
        self.pending.merge(batch);
        if let Some(limits) = self.pending.limits.take() {
            self.limits = limits;
            self.untidy = true;
        }
    }

    /// One last attempt.
    fn finish(&mut self) {
        if !self.pending.is_empty() {
            self.write();
        }
        if self.failed {
            let (bans, files) = (self.pending.bans.len(), self.pending.readings.len());
            let (events, allowed) = (self.pending.history.events.len(), self.pending.allowed.len());
            tracing::error!(
                "the store still cannot be written: it forgets {bans} changes of bans and {allowed} of who is allowed, how far {files} files were read, and {events} entries of the history"
            );
        }
    }

    /// How long until there is something to do.
    fn patience(&self) -> Duration {
        [self.until_write(), self.until_tidy()].into_iter().flatten().min().unwrap_or(TIDY)
    }

    /// How long until what is pending may be written.
    fn until_write(&self) -> Option<Duration> {
        let rest = match (self.failed, self.pending.is_much()) {
            (true, _) => self.pace.retry,
            // What waits longer is lost.
            (false, true) => Duration::ZERO,
            (false, false) => self.pace.every,
        };
        let left = self.tried.map_or(Duration::ZERO, |tried| rest.saturating_sub(tried.elapsed()));
        (!self.pending.is_empty()).then_some(left)
    }

    /// How long until the history may be tidied: not while the disk has other troubles.
    fn until_tidy(&self) -> Option<Duration> {
        let rest = if self.untidy { self.pace.every } else { TIDY };
        (!self.failed).then(|| rest.saturating_sub(self.tidied.elapsed()))
    }

    /// Tries to write all that is pending. Says when it begins to fail and when it works again, not in between.
    fn write(&mut self) {
        let written = schema::write(&mut self.database, &self.pending);
        self.tried = Some(Instant::now());
        match written {
            Ok(()) => {
                let lost = std::mem::take(&mut self.pending).history.lost;
                self.untidy = true;
                if std::mem::take(&mut self.failed) {
                    tracing::info!("the store can be written again: no ban was lost");
                }
                if lost > 0 {
                    tracing::warn!("{lost} entries of the history were lost: the disk was too slow for them");
                }
            }
            Err(error) => {
                if !std::mem::replace(&mut self.failed, true) {
                    tracing::error!("{error}; until then they are kept in memory and tried again");
                }
            }
        }
        self.failing.store(self.failed, Ordering::Relaxed);
    }

    /// Takes a step towards what is to be kept.
    fn tidy(&mut self) {
        let more = history::purge(&mut self.database, self.limits, Timestamp::now());
        self.tidied = Instant::now();
        self.untidy = matches!(more, Ok(true));
        let failed = more.err();
        if let (Some(error), false) = (&failed, self.stuck) {
            tracing::warn!("what is older than [store] keep stays in the history for now: {error}");
        }
        self.stuck = failed.is_some();
    }
}
