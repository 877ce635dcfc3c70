//! What survives a restart: the bans in force, who was allowed at run time, and how far each file was read.
//!
//! A tap on the way the data goes: [`Store::commit`] never waits for the disk. One thread owns the
//! database; what it has not taken yet is merged in memory, where one newer row replaces the older.
//! Bans and positions that were recorded together are committed together, so that after a crash no
//! line is skipped whose failures were not acted upon.

mod schema;
mod writer;

use std::collections::BTreeMap;
use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use ipnet::IpNet;

use crate::jail::spared::Allowance;
use crate::jail::{Ban, FEED, Verdict};
use crate::source::Reading;
use writer::Writer;

/// The database's name in the state directory.
const FILE: &str = "kban.sqlite3";
/// How many batches may wait for the disk before they are merged in memory.
const QUEUE: usize = 64;
/// How long after a failed write the next attempt is made.
const RETRY: Duration = Duration::from_secs(5);
/// How many bans may wait for a disk that cannot be written (some 50 MB). Bans come and go for as long as it
/// fails, so merging rows by name alone would not bound them.
const MOST_WAITING: usize = 200_000;

/// What the store remembered from the last run.
#[derive(Debug, Default)]
pub struct Memory {
    /// The bans that were in force, ended ones included.
    pub bans: Vec<Ban>,
    /// Who was allowed at run time, ended entries included.
    pub allowed: Vec<Allowance>,
    /// How far each file was read.
    pub readings: BTreeMap<PathBuf, Reading>,
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
    /// The thread that writes could not be started.
    #[error("cannot start the store's thread: {0}")]
    Thread(std::io::Error),
}

/// Rows to write, the newest of each kind and name.
#[derive(Debug, Default)]
struct Batch {
    bans: BTreeMap<(IpNet, Arc<str>), Option<Ban>>,
    allowed: BTreeMap<IpNet, Option<Allowance>>,
    readings: BTreeMap<PathBuf, Reading>,
}

impl Batch {
    fn is_empty(&self) -> bool {
        self.bans.is_empty() && self.allowed.is_empty() && self.readings.is_empty()
    }

    /// Takes in what was noted later.
    fn merge(&mut self, later: Self) {
        self.bans.extend(later.bans);
        self.allowed.extend(later.allowed);
        self.readings.extend(later.readings);
    }

    fn is_too_much(&self) -> bool {
        self.bans.len() > MOST_WAITING
    }
}

/// The door to the thread that writes.
#[derive(Debug)]
pub struct Store {
    waiting: Batch,
    queue: Option<SyncSender<Batch>>,
    thread: Option<JoinHandle<()>>,
    /// Whether the last attempt to write failed; set by the thread.
    failing: Arc<AtomicBool>,
}

impl Store {
    /// A store that forgets everything: a read-only root, or a database that cannot be used.
    #[must_use]
    pub fn in_memory() -> Self {
        Self { waiting: Batch::default(), queue: None, thread: None, failing: Arc::default() }
    }

    /// Opens or creates the database in `directory`, reads what it knows, and starts the thread that writes.
    ///
    /// A damaged file is set aside as `kban.sqlite3.damaged` and a new one begun.
    ///
    /// # Errors
    /// When there is no directory, no database, or one of a newer version.
    pub fn open(directory: &Path) -> Result<(Self, Memory), StoreError> {
        Self::open_with(directory, RETRY)
    }

    fn open_with(directory: &Path, retry: Duration) -> Result<(Self, Memory), StoreError> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o750)
            .create(directory)
            .map_err(|error| StoreError::Directory { path: directory.to_owned(), error })?;
        let (database, memory) = schema::open(&directory.join(FILE))?;
        let (queue, batches) = sync_channel(QUEUE);
        let failing = Arc::new(AtomicBool::new(false));
        let mut writer = Writer::new(database, retry, Arc::clone(&failing));
        let thread = std::thread::Builder::new()
            .name("store".into())
            .spawn(move || writer.work(&batches))
            .map_err(StoreError::Thread)?;
        Ok((Self { waiting: Batch::default(), queue: Some(queue), thread: Some(thread), failing }, memory))
    }

    /// Whether what is noted now will survive a restart: there is a database, and the last write succeeded.
    #[must_use]
    pub fn is_durable(&self) -> bool {
        self.queue.is_some() && !self.failing.load(Ordering::Relaxed)
    }

    /// Notes verdicts; they reach the disk with the next [`Store::commit`]. Those of feeds are left out: a feed keeps its
    /// whole list.
    pub fn note_verdicts<'a>(&mut self, verdicts: impl IntoIterator<Item = &'a Verdict>) {
        if self.queue.is_some() {
            let of_jails = verdicts.into_iter().filter(|verdict| !verdict.ban().jail.starts_with(FEED));
            self.waiting.bans.extend(of_jails.map(|verdict| {
                let ban = verdict.ban();
                let row = matches!(verdict, Verdict::Ban(_)).then(|| ban.clone());
                ((ban.prefix, Arc::clone(&ban.jail)), row)
            }));
        }
    }

    /// Notes that `prefix` is allowed at run time, or (`None`) no longer; it reaches the disk with the next [`Store::commit`].
    pub fn note_allowed(&mut self, prefix: IpNet, allowance: Option<Allowance>) {
        if self.queue.is_some() {
            self.waiting.allowed.insert(prefix, allowance);
        }
    }

    /// Notes how far a file was read; it reaches the disk with the next [`Store::commit`].
    pub fn note_reading(&mut self, path: &Path, reading: Reading) {
        if self.queue.is_none() {
            return;
        }
        match self.waiting.readings.get_mut(path) {
            Some(known) => *known = reading,
            None => {
                self.waiting.readings.insert(path.to_owned(), reading);
            }
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
                    "the store's thread has ended: bans and positions will not survive a restart"
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
mod tests {
    use super::*;
    use crate::source::Position;
    use jiff::Timestamp;
    use std::net::{IpAddr, Ipv4Addr};

    fn ban(prefix: &str, until: Option<i64>) -> Ban {
        Ban {
            prefix: prefix.parse().unwrap(),
            jail: "sshd".into(),
            since: "2026-11-21T06:00:00.25Z".parse().unwrap(),
            until: until.map(|second| Timestamp::from_second(second).unwrap()),
            count: 3,
            source: "/var/log/auth.log".into(),
            reason: "because".into(),
            services: None,
            renew: None,
        }
    }

    #[test]
    fn what_was_committed_is_there_after_reopening() {
        let directory = tempfile::tempdir().unwrap();
        let (mut store, memory) = Store::open(directory.path()).unwrap();
        assert!(memory.bans.is_empty() && memory.readings.is_empty());
        let renew = crate::tier::Tier::of(Duration::from_secs(u64::from(u32::MAX)));
        let kept = [Ban { renew, ..ban("192.0.2.1/32", Some(1_900_000_000)) }, ban("2001:db8::/64", None)];
        store.note_verdicts(&[Verdict::Ban(ban("192.0.2.9/32", None))]);
        store.note_verdicts(&kept.clone().map(Verdict::Ban));
        store.commit();
        store.note_verdicts(&[Verdict::Unban(ban("192.0.2.9/32", None), crate::jail::Ending::Expired)]);
        let from = Position { device: u64::MAX, inode: 2, offset: 77 };
        let reading = Reading { from, until: Position { offset: 99, ..from } };
        store.note_reading(Path::new("/var/log/auth.log"), reading);
        let [ban, other] = kept.clone();
        let allowed =
            Allowance { prefix: ban.prefix, since: ban.since, until: ban.until, reason: "x".into() };
        let gone = Allowance { prefix: other.prefix, until: None, ..allowed.clone() };
        store.note_allowed(allowed.prefix, Some(allowed.clone()));
        store.note_allowed(gone.prefix, Some(gone.clone()));
        store.commit();
        store.note_allowed(gone.prefix, None);
        store.close();

        let (store, memory) = Store::open(directory.path()).unwrap();
        store.close();
        assert_eq!(memory.bans, kept);
        assert_eq!(memory.allowed, [allowed]);
        assert_eq!(memory.readings.into_iter().collect::<Vec<_>>(), [("/var/log/auth.log".into(), reading)]);
    }

    /// A trigger stands for a full disk: the statement fails, and works again when the trigger is gone.
    #[test]
    fn a_failed_write_is_said_kept_and_made_good() {
        let directory = tempfile::tempdir().unwrap();
        let (mut store, _) = Store::open_with(directory.path(), Duration::from_millis(5)).unwrap();
        let beside = rusqlite::Connection::open(directory.path().join(FILE)).unwrap();
        beside
            .execute_batch(
                "CREATE TRIGGER full BEFORE INSERT ON bans BEGIN SELECT RAISE(FAIL, 'disk is full'); END",
            )
            .unwrap();
        store.note_verdicts(&[
            Verdict::Ban(ban("192.0.2.1/32", None)),
            Verdict::Ban(ban("192.0.2.2/32", Some(1_900_000_000))),
        ]);
        store.commit();
        until(|| !store.is_durable());
        // What comes meanwhile is kept as well, and the newer row replaces the older.
        let position = Position { device: 1, inode: 2, offset: 99 };
        store.note_reading(Path::new("/var/log/auth.log"), Reading { from: position, until: position });
        store.note_verdicts(&[Verdict::Ban(ban("192.0.2.2/32", None))]);
        store.commit();
        let rows = |table: &str| -> i64 {
            beside.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0)).unwrap()
        };
        assert_eq!((rows("bans"), rows("positions")), (0, 0), "a position never moves on without its bans");

        beside.execute_batch("DROP TRIGGER full").unwrap();
        until(|| store.is_durable());
        store.close();
        let (store, memory) = Store::open(directory.path()).unwrap();
        store.close();
        assert_eq!(memory.bans, [ban("192.0.2.1/32", None), ban("192.0.2.2/32", None)]);
        assert_eq!(memory.readings.len(), 1);
    }

    #[test]
    fn what_failed_is_tried_once_more_at_the_end() {
        let directory = tempfile::tempdir().unwrap();
        let (mut store, _) = Store::open_with(directory.path(), Duration::MAX).unwrap();
        let beside = rusqlite::Connection::open(directory.path().join(FILE)).unwrap();
        beside
            .execute_batch("CREATE TRIGGER full BEFORE INSERT ON bans BEGIN SELECT RAISE(FAIL, 'full'); END")
            .unwrap();
        store.note_verdicts(&[Verdict::Ban(ban("192.0.2.1/32", None))]);
        store.commit();
        until(|| !store.is_durable());
        beside.execute_batch("DROP TRIGGER full").unwrap();
        store.close();
        assert_eq!(Store::open(directory.path()).unwrap().1.bans, [ban("192.0.2.1/32", None)]);
    }

    #[test]
    fn a_disk_that_fails_for_long_fills_no_memory() {
        let mut waiting = Batch::default();
        let row = |n: usize| {
            ((IpNet::from(IpAddr::from(Ipv4Addr::from_bits(u32::try_from(n).unwrap()))), "j".into()), None)
        };
        waiting.merge(Batch { bans: (0..MOST_WAITING).map(row).collect(), ..Batch::default() });
        waiting.merge(Batch { bans: (0..MOST_WAITING).map(row).collect(), ..Batch::default() });
        assert!(!waiting.is_too_much(), "rows of one name are one row");
        waiting.merge(Batch { bans: [row(MOST_WAITING)].into(), ..Batch::default() });
        assert!(waiting.is_too_much());
    }

    fn until(so: impl Fn() -> bool) {
        let begin = std::time::Instant::now();
        while !so() {
            assert!(begin.elapsed() < Duration::from_secs(60), "it never came to pass");
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    #[test]
    fn a_damaged_file_is_set_aside() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join(FILE), vec![7; 4096]).unwrap();
        let (store, memory) = Store::open(directory.path()).unwrap();
        assert!(store.is_durable() && memory.bans.is_empty());
        store.close();
        assert_eq!(std::fs::read(directory.path().join("kban.sqlite3.damaged")).unwrap(), vec![7; 4096]);
    }

    #[test]
    fn a_damaged_file_takes_its_log_with_it() {
        let directory = tempfile::tempdir().unwrap();
        let write = |name: &str, bytes: &[u8]| std::fs::write(directory.path().join(name), bytes).unwrap();
        write(FILE, &[7; 4096]);
        write("kban.sqlite3-wal", b"log");
        write("kban.sqlite3.damaged-shm", b"of an earlier accident");
        Store::open(directory.path()).unwrap().0.close();
        let read = |name: &str| std::fs::read(directory.path().join(name)).ok();
        assert_eq!(read("kban.sqlite3.damaged-wal").as_deref(), Some(&b"log"[..]));
        assert_ne!(read("kban.sqlite3.damaged-shm").as_deref(), Some(&b"of an earlier accident"[..]));
    }

    #[test]
    fn a_row_that_makes_no_sense_is_skipped() {
        let directory = tempfile::tempdir().unwrap();
        let (mut store, _) = Store::open(directory.path()).unwrap();
        store.note_verdicts(&[Verdict::Ban(ban("192.0.2.1/32", None))]);
        store.close();
        let database = rusqlite::Connection::open(directory.path().join(FILE)).unwrap();
        database
            .execute_batch(
                "INSERT INTO bans VALUES ('192.0.2.300', 'sshd', 1, NULL, 1, '', '', NULL, NULL);
                 INSERT INTO bans VALUES ('192.0.2.3', 'sshd', 'today', NULL, 1, '', '', NULL, NULL);
                 INSERT INTO bans VALUES ('192.0.2.4', 'sshd', 1, NULL, -1, '', '', NULL, NULL);
                 INSERT INTO positions VALUES ('/var/log/x', 'here', 1, 1, 1, 1, 1);",
            )
            .unwrap();
        drop(database);
        let (store, memory) = Store::open(directory.path()).unwrap();
        store.close();
        assert_eq!(memory.bans, [ban("192.0.2.1/32", None)]);
        assert!(memory.readings.is_empty());
        assert!(!directory.path().join("kban.sqlite3.damaged").exists());
    }

    #[test]
    fn the_format_before_is_brought_up_to_date() {
        let directory = tempfile::tempdir().unwrap();
        let database = rusqlite::Connection::open(directory.path().join(FILE)).unwrap();
        database
            .execute_batch(
                "CREATE TABLE bans (prefix TEXT, jail TEXT, since INTEGER, until INTEGER, count INTEGER, source TEXT,
                    reason TEXT, services TEXT, PRIMARY KEY (prefix, jail)) WITHOUT ROWID;
                 INSERT INTO bans VALUES ('192.0.2.3', 'sshd', 1, NULL, 1, '', '', 'tcp/22');
                 PRAGMA user_version = 2;",
            )
            .unwrap();
        drop(database);
        for known in 1..=2 {
            let (mut store, memory) = Store::open(directory.path()).unwrap();
            assert_eq!(memory.bans.len(), known);
            store.note_verdicts(&[Verdict::Ban(ban("192.0.2.9/32", None))]);
            store.close();
        }
    }

    #[test]
    fn a_newer_format_is_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        let database = rusqlite::Connection::open(directory.path().join(FILE)).unwrap();
        database.pragma_update(None, "user_version", 99).unwrap();
        drop(database);
        assert!(matches!(Store::open(directory.path()), Err(StoreError::Newer { found: 99, .. })));
    }
}
