//! What was remembered, told piece by piece: the store's thread reads, while whoever listens acts upon it.

use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};

use jiff::Timestamp;
use rusqlite::Connection;

use super::{Limits, Memory, Offender, StoreError, history, rows, schema};
use crate::jail::Ban;

/// How many bans are told at once: some 2 MB.
const AT_ONCE: usize = 10_000;
/// How many pieces may wait for whoever listens.
const WAITING: usize = 2;

/// A piece of what was remembered.
#[derive(Debug)]
pub enum Recalled {
    /// Some of the bans that were in force, ended ones included, in no order.
    Bans(Vec<Ban>),
    /// Who was banned last, and how often: newest first, 100,000 at most, none whose last ban is older than what is kept.
    Offenders(Vec<Offender>),
    /// The database is damaged and was set aside: what was told of it so far is void.
    Damaged,
    /// No more can be read, and nothing will be written.
    Failed(StoreError),
}

/// All that was remembered: an iterator that ends when everything has been told.
#[derive(Debug)]
pub struct Recalling(Receiver<Recalled>);

impl Recalling {
    /// Nothing was remembered.
    #[must_use]
    pub fn nothing() -> Self {
        Self(sync_channel(0).1)
    }

    /// The next piece. Until it is there, `meanwhile` may do one thing after another; it says whether it had one to do.
    pub fn next_while(&mut self, mut meanwhile: impl FnMut() -> bool) -> Option<Recalled> {
        loop {
            match self.0.try_recv() {
                Ok(piece) => return Some(piece),
                Err(TryRecvError::Disconnected) => return None,
                Err(TryRecvError::Empty) if meanwhile() => {}
                Err(TryRecvError::Empty) => return self.next(),
            }
        }
    }
}

impl Iterator for Recalling {
    type Item = Recalled;

    fn next(&mut self) -> Option<Recalled> {
        self.0.recv().ok()
    }
}

impl Memory {
    /// Takes in everything.
    pub(super) fn complete(&mut self, recalling: Recalling) -> Result<(), StoreError> {
        for piece in recalling {
            match piece {
                Recalled::Bans(bans) => self.bans.extend(bans),
                Recalled::Offenders(offenders) => self.offenders = offenders,
                Recalled::Damaged => self.bans.clear(),
                Recalled::Failed(error) => return Err(error),
            }
        }
        self.bans.sort_by(|a, b| (a.prefix, &a.jail).cmp(&(b.prefix, &b.jail)));
        Ok(())
    }
}

/// Tells what a database remembers.
pub(super) struct Teller {
    path: PathBuf,
    limits: Limits,
    pieces: SyncSender<Recalled>,
}

impl Teller {
    pub(super) fn new(path: &Path, limits: Limits) -> (Self, Recalling) {
        let (pieces, told) = sync_channel(WAITING);
        (Self { path: path.to_owned(), limits, pieces }, Recalling(told))
    }

    /// Tells everything. Returns the database that is to be written: a new one if this was damaged, none if there is none.
    pub(super) fn tell(self, database: Connection) -> Option<Connection> {
        let (database, end) = match self.read(&database).and_then(|()| schema::settle(&database)) {
            Ok(()) => (Some(database), None),
            Err(error) if schema::is_damage(&error) => {
                drop(database);
                match schema::begin_anew(&self.path, &error) {
                    Ok(database) => (Some(database), Some(Recalled::Damaged)),
                    Err(error) => (None, Some(Recalled::Failed(error))),
                }
            }
            Err(error) => {
                let path = self.path.clone();
                (None, Some(Recalled::Failed(StoreError::Database { path, error })))
            }
        };
        // Whoever does not listen need not know.
        end.into_iter().for_each(|end| drop(self.pieces.send(end)));
        database
    }

    fn read(&self, database: &Connection) -> rusqlite::Result<()> {
        let now = Timestamp::now();
        let mut bans = Vec::with_capacity(AT_ONCE);
        rows::each_ban(database, |ban| {
            bans.push(ban);
            if bans.len() == AT_ONCE {
                let full = std::mem::replace(&mut bans, Vec::with_capacity(AT_ONCE));
                drop(self.pieces.send(Recalled::Bans(full)));
            }
        })?;
        drop(self.pieces.send(Recalled::Bans(bans)));
        if let Some(ahead) = history::newest(database)?.filter(|newest| *newest > now) {
            tracing::warn!(
                "the clock went back: the history goes up to {ahead:.0}, and it is {now:.0}; nothing is lost, and new entries stand before those"
            );
        }
        let offenders = history::offenders(database, self.limits.keep, now)?;
        drop(self.pieces.send(Recalled::Offenders(offenders)));
        Ok(())
    }
}
