//! The thread that writes: a batch that the disk refuses is kept, merged with what follows, and tried again.
//!
//! Nothing is written past a failed batch. So a position is never ahead of its bans on disk, whatever fails.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use rusqlite::Connection;

use super::{Batch, MOST_WAITING, schema};

/// The database, and what it has refused so far.
pub(super) struct Writer {
    database: Connection,
    /// How long after a failed write the next attempt is made.
    retry: Duration,
    /// What the database does not have yet.
    pending: Batch,
    /// When the last write failed; `None` if it did not.
    failed: Option<Instant>,
    /// The same, for everybody else.
    failing: Arc<AtomicBool>,
}

impl Writer {
    pub(super) fn new(database: Connection, retry: Duration, failing: Arc<AtomicBool>) -> Self {
        Self { database, retry, pending: Batch::default(), failed: None, failing }
    }

    /// Writes until the other end hangs up, or until more waits than memory should hold.
    pub(super) fn work(&mut self, batches: &Receiver<Batch>) {
        loop {
            match self.next(batches) {
                Ok(batch) => self.pending.merge(batch),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => {
                    self.finish();
                    return;
                }
            }
            if self.patience().is_none_or(|left| left.is_zero()) {
                self.write();
            }
            if self.failed.is_some() && self.pending.is_too_much() {
                tracing::error!(
                    "more than {MOST_WAITING} bans wait for the store: given up, what is on disk stays as it is; restart kband when it can be written"
                );
                return;
            }
        }
    }

    /// One last attempt.
    fn finish(&mut self) {
        if self.failed.is_some() {
            self.write();
        }
        if self.failed.is_some() {
            let (bans, files) = (self.pending.bans.len(), self.pending.readings.len());
            let allowed = self.pending.allowed.len();
            tracing::error!(
                "the store still cannot be written: it forgets {bans} changes of bans and {allowed} of who is allowed, and how far {files} files were read"
            );
        }
    }

    fn next(&self, batches: &Receiver<Batch>) -> Result<Batch, RecvTimeoutError> {
        match self.patience() {
            Some(left) => batches.recv_timeout(left),
            None => batches.recv().map_err(|_| RecvTimeoutError::Disconnected),
        }
    }

    /// How long until a failed write is tried again.
    fn patience(&self) -> Option<Duration> {
        self.failed.map(|failed| self.retry.saturating_sub(failed.elapsed()))
    }

    /// Tries to write all that is pending. Says when it begins to fail and when it works again, not in between.
    fn write(&mut self) {
        match schema::write(&mut self.database, &self.pending) {
            Ok(()) => {
                self.pending = Batch::default();
                if self.failed.take().is_some() {
                    tracing::info!("the store can be written again: nothing was lost");
                }
            }
            Err(error) => {
                if self.failed.replace(Instant::now()).is_none() {
                    tracing::error!("{error}; until then they are kept in memory and tried again");
                }
            }
        }
        self.failing.store(self.failed.is_some(), Ordering::Relaxed);
    }
}
