//! What survives a restart: the bans in force, who was allowed at run time, who had logged in, how far each file was read, the history of
//! bans, and who was banned how often.
//!
//! A tap on the way the data goes: [`Store::commit`] never waits for the disk. One thread owns the
//! database; what it has not taken yet is merged in memory, where one newer row replaces the older.
//! Bans, positions and history that were recorded together are committed together, so that after a crash no
//! line is skipped whose failures were not acted upon, and none is told twice. [`Archive`] reads, beside it.

mod archive;
mod batch;
mod event;
mod history;
mod logins;
mod recall;
mod rows;
mod schema;
mod writer;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use ipnet::IpNet;
use jiff::Timestamp;

use crate::jail::logins::Login;
use crate::jail::spared::Allowance;
use crate::jail::{ADOPTED, Ban, FEED, Verdict};
use crate::source::{Reading, StreamKey};
use batch::{Batch, MOST_LOGINS, MOST_WAITING};
use recall::Teller;
use writer::Writer;

pub use archive::{Archive, Found, JailCount, NetworkCount, Place, Query, Stats};
pub use event::{Event, Line, What};
pub use recall::{Recalled, Recalling};

/// The state directory, unless `--state-dir` says otherwise.
pub const STATE_DIR: &str = "/var/lib/kban";
/// The database's name in the state directory.
const FILE: &str = "kban.sqlite3";
/// How many batches may be on their way to the thread before they are merged in memory. Each may be as large as any may be.
const QUEUE: usize = 2;
/// How long after a failed write the next attempt is made.
const RETRY: Duration = Duration::from_secs(5);
/// How long after a write the next one is made: what comes meanwhile is one transaction. Less than a second is lost with the power.
const EVERY: Duration = Duration::from_millis(500);
/// A store in memory keeps no more history than this, in bytes.
const MOST_IN_MEMORY: u64 = 32 << 20;

/// What is kept, and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// How long the history goes back.
    pub keep: Duration,
    /// How large the database may be, in bytes, before the oldest of the history goes. Bans and positions always have room.
    pub max_size: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { keep: Duration::from_secs(90 * 86_400), max_size: 256 << 20 }
    }
}

/// What the store remembered from the last run.
#[derive(Debug, Default)]
pub struct Memory {
    /// The bans that were in force, ended ones included; none while they are still told ([`Store::begin`]).
    pub bans: Vec<Ban>,
    /// Who was allowed at run time, ended entries included.
    pub allowed: Vec<Allowance>,
    /// Who had logged in, oldest first.
    pub logins: Vec<Login>,
    /// How far each stream was read.
    pub readings: BTreeMap<StreamKey, Reading>,
    /// Those of them that were last noted more than a week ago.
    pub stale: BTreeSet<StreamKey>,
    /// Who was banned last, and how often (see [`Recalled::Offenders`]); nobody while that is still told.
    pub offenders: Vec<Offender>,
}

/// How often somebody was banned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offender {
    /// Who.
    pub prefix: IpNet,
    /// By which jail.
    pub jail: Arc<str>,
    /// How many times; at least 1.
    pub count: u32,
    /// When the last one began.
    pub last: Timestamp,
    /// When that ended, or was to end; `None`: never.
    pub until: Option<Timestamp>,
}

/// Makes the state directory, if it is not there: what is in it is nobody else's business.
///
/// # Errors
/// What the file system says.
pub fn make_directory(directory: &Path) -> std::io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o750).create(directory)
}

/// Why the store cannot be used. kban protects on without it.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// SQLite or the file system said no.
    #[error("{path}: {error}: bans and positions will not survive a restart; check the directory's owner and free space", path = .path.display())]
    Database {
        /// The database file.
        path: PathBuf,
        /// What SQLite says.
        error: rusqlite::Error,
    },
    /// The directory cannot be made.
    #[error("cannot create {path}: {error}: name another with --state-dir", path = .path.display())]
    Directory {
        /// The state directory.
        path: PathBuf,
        /// What the file system says.
        error: std::io::Error,
    },
    /// A newer kban wrote it.
    #[error("{path} has format {found}, this kban knows up to {known}: install the newer kban again, or move the file away", path = .path.display())]
    Newer {
        /// The database file.
        path: PathBuf,
        /// The format that the file has.
        found: i64,
        /// The newest format that this version reads.
        known: i64,
    },
    /// The history cannot be read.
    #[error("cannot read the history in {path}: {error}", path = .path.display())]
    Unreadable {
        /// The database file.
        path: PathBuf,
        /// What SQLite says.
        error: rusqlite::Error,
    },
    /// An older kban wrote it, and nobody has opened it since.
    #[error("{path} has format {found}, which knows no history: start kband, which brings it up to date", path = .path.display())]
    Older {
        /// The database file.
        path: PathBuf,
        /// The format that the file has.
        found: i64,
    },
    /// The thread that writes could not be started.
    #[error("cannot start the store's thread: {0}")]
    Thread(std::io::Error),
}

/// The door to the thread that writes.
#[derive(Debug)]
pub struct Store {
    waiting: Batch,
    queue: Option<SyncSender<Batch>>,
    thread: Option<JoinHandle<()>>,
    /// Where the history can be read, if anywhere.
    archive: Option<Archive>,
    /// It ends with this process.
    in_memory: bool,
    /// Whether the last attempt to write failed; set by the thread.
    failing: Arc<AtomicBool>,
}

/// How fast the thread works.
#[derive(Debug, Clone, Copy)]
struct Pace {
    /// How long after a write the next one is made.
    every: Duration,
    /// How long after a failed one.
    retry: Duration,
}

const PACE: Pace = Pace { every: EVERY, retry: RETRY };

impl Store {
    /// A store that ends with this process: a read-only root, or a database that cannot be used.
    #[must_use]
    pub fn in_memory(limits: Limits) -> Self {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        // Connections of one process share a database of such a name (https://www.sqlite.org/src/doc/trunk/src/memdb.c).
        let name = format!("file:/kban-{}?vfs=memdb", NUMBER.fetch_add(1, Ordering::Relaxed));
        let limits = Limits { max_size: limits.max_size.min(MOST_IN_MEMORY), ..limits };
        match Self::start(Path::new(&name), limits, PACE) {
            Ok((store, ..)) => Self { in_memory: true, ..store },
            Err(error) => {
                tracing::error!("{error}");
                let waiting = Batch::default();
                Self {
                    waiting,
                    queue: None,
                    thread: None,
                    archive: None,
                    in_memory: true,
                    failing: Arc::default(),
                }
            }
        }
    }

    /// Opens or creates the database in `directory`, reads what it knows, and starts the thread that writes.
    ///
    /// A damaged file is set aside as `kban.sqlite3.damaged` and a new one begun.
    ///
    /// # Errors
    /// When there is no directory, no database, or one of a newer version.
    pub fn open(directory: &Path, limits: Limits) -> Result<(Self, Memory), StoreError> {
        Self::open_with(directory, limits, PACE)
    }

    /// As [`Store::open`], but bans and offenders are told while they are read.
    ///
    /// # Errors
    /// As [`Store::open`].
    pub fn begin(directory: &Path, limits: Limits) -> Result<(Self, Memory, Recalling), StoreError> {
        Self::begin_with(directory, limits, PACE)
    }

    fn open_with(directory: &Path, limits: Limits, pace: Pace) -> Result<(Self, Memory), StoreError> {
        let (store, mut memory, recalling) = Self::begin_with(directory, limits, pace)?;
        memory.complete(recalling)?;
        Ok((store, memory))
    }

    fn begin_with(
        directory: &Path,
        limits: Limits,
        pace: Pace,
    ) -> Result<(Self, Memory, Recalling), StoreError> {
        make_directory(directory)
            .map_err(|error| StoreError::Directory { path: directory.to_owned(), error })?;
        Self::start(&directory.join(FILE), limits, pace)
    }

    fn start(path: &Path, limits: Limits, pace: Pace) -> Result<(Self, Memory, Recalling), StoreError> {
        let (database, memory) = schema::open(path)?;
        let (teller, recalling) = Teller::new(path, limits);
        let (queue, batches) = sync_channel(QUEUE);
        let failing = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&failing);
        let work = move || {
            if let Some(database) = teller.tell(database) {
                Writer::new(database, limits, pace, told).work(&batches);
            }
        };
        let thread =
            std::thread::Builder::new().name("store".into()).spawn(work).map_err(StoreError::Thread)?;
        let store = Self {
            waiting: Batch::default(),
            queue: Some(queue),
            thread: Some(thread),
            archive: Some(Archive::at(path)),
            in_memory: false,
            failing,
        };
        Ok((store, memory, recalling))
    }

    /// Where the history can be read, if there is one.
    #[must_use]
    pub fn archive(&self) -> Option<&Archive> {
        self.archive.as_ref()
    }

    /// Changes what is kept from now on.
    pub fn set_limits(&mut self, limits: Limits) {
        let most = if self.in_memory { MOST_IN_MEMORY } else { u64::MAX };
        self.waiting.limits = Some(Limits { max_size: limits.max_size.min(most), ..limits });
        self.commit();
    }

    /// Whether what is noted now will survive a restart: there is a database, and the last write succeeded.
    #[must_use]
    pub fn is_durable(&self) -> bool {
        self.queue.is_some() && !self.in_memory && !self.failing.load(Ordering::Relaxed)
    }

    /// Whether so much waits for the disk that whoever has very many more is to wait as well.
    #[must_use]
    pub fn is_behind(&self) -> bool {
        self.waiting.is_much()
    }

    /// Notes a verdict of `now`, who asked for it, if anybody did, and the log lines that led to it; it reaches the disk with
    /// the next [`Store::commit`]. Those of feeds are left out: a feed keeps its whole list. The ends of bans of whose beginning
    /// nothing is known are history only if somebody brought them about, those of what was only observed are none.
    pub fn note(&mut self, verdict: &Verdict, now: Timestamp, who: Option<&Arc<str>>, lines: Vec<Line>) {
        let ban = verdict.ban();
        if self.queue.is_none() || ban.jail.starts_with(FEED) {
            return;
        }
        let begins = matches!(verdict, Verdict::Ban(_));
        self.waiting.bans.insert((ban.prefix, Arc::clone(&ban.jail)), begins.then(|| ban.clone()));
        let ends_nothing = !begins && ban.is_observed();
        if (who.is_some() || &*ban.jail != ADOPTED) && !ends_nothing {
            self.waiting.history.push(Event::new(verdict, now, who, lines));
        }
    }

    /// Notes a ban whose end was moved, by knocking or a reload; it reaches the disk with the next [`Store::commit`], and is no
    /// history.
    pub fn note_moved(&mut self, ban: &Ban) {
        if self.queue.is_some() && !ban.jail.starts_with(FEED) {
            self.waiting.bans.insert((ban.prefix, Arc::clone(&ban.jail)), Some(ban.clone()));
        }
    }

    /// Notes that somebody is allowed at run time; it reaches the disk with the next [`Store::commit`].
    pub fn note_allowed(&mut self, entry: &Allowance) {
        if self.queue.is_some() {
            self.waiting.allowed.insert(entry.prefix, Some(entry.clone()));
            let event = Event::of_entry(What::Allow, entry, entry.since, entry.who.as_ref());
            self.waiting.history.push(event);
        }
    }

    /// Notes that an entry at run time was taken back by somebody, or (`None`) its time is over; it reaches the disk with the
    /// next [`Store::commit`].
    pub fn note_disallowed(&mut self, entry: &Allowance, who: Option<&Arc<str>>, now: Timestamp) {
        if self.queue.is_some() {
            self.waiting.allowed.insert(entry.prefix, None);
            let what = if who.is_some() { What::Disallow } else { What::AllowOver };
            self.waiting.history.push(Event::of_entry(what, entry, now, who));
        }
    }

    /// Notes that somebody logged in; it reaches the disk with the next [`Store::commit`].
    pub fn note_login(&mut self, login: Login) {
        if self.queue.is_some() && self.waiting.logins.len() < MOST_LOGINS {
            self.waiting.logins.push(login);
        }
    }

    /// Notes how far something was read; it reaches the disk with the next [`Store::commit`].
    pub fn note_reading(&mut self, key: StreamKey, reading: Reading) {
        if self.queue.is_some() {
            self.waiting.readings.insert(key, Some(reading));
        }
    }

    /// Notes that what was read is gone for good; it reaches the disk with the next [`Store::commit`].
    pub fn forget_reading(&mut self, key: StreamKey) {
        if self.queue.is_some() {
            self.waiting.readings.insert(key, None);
        }
    }

    /// Hands everything noted to the thread that writes, as one transaction. If that is busy, the notes
    /// wait and are merged with the next ones.
    pub fn commit(&mut self) {
        let Some(queue) = &self.queue else { return };
        if self.waiting.is_empty() {
            return;
        }
        match queue.try_send(std::mem::take(&mut self.waiting)) {
            Ok(()) => {}
            Err(TrySendError::Full(batch)) if batch.is_too_much() => {
                tracing::error!(
                    "the disk has hung for more than {MOST_WAITING} bans: what is on it stays as it is; restart kband when it works"
                );
                self.queue = None;
            }
            Err(TrySendError::Full(batch)) => self.waiting = batch,
            Err(TrySendError::Disconnected(_)) => {
                tracing::error!(
                    "the store's thread has ended: bans, positions and history will not survive a restart"
                );
                self.queue = None;
            }
        }
    }

    /// Writes what is left and waits until it is on disk.
    pub fn close(mut self) {
        if let Some(queue) = self.queue.take()
            && !self.waiting.is_empty()
        {
            // The thread lives as long as the queue; if it died, it has said so.
            let _ = queue.send(std::mem::take(&mut self.waiting));
        }
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the store's thread has panicked");
        }
    }
}

#[cfg(test)]
mod tests;
