//! What a host has not been able to report yet, on disk: bounded, the oldest goes first and is counted. On an edge, the same
//! file remembers which decision of each prefix was the last one.
//!
//! A table each in `fleet.sqlite3`.

use std::collections::HashMap;
use std::path::Path;

use ipnet::IpNet;
use jiff::{SignedDuration, Timestamp};
use rusqlite::{OptionalExtension, params};

use super::disk::{Disk, DiskError, FLEET, key};

const TABLES: &str = "
CREATE TABLE IF NOT EXISTS spool (id INTEGER PRIMARY KEY AUTOINCREMENT, payload BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS known (prefix BLOB PRIMARY KEY, serial INTEGER NOT NULL, until INTEGER) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS floor (one INTEGER PRIMARY KEY CHECK (one = 1), serial INTEGER NOT NULL);
";
/// How often decisions that say nothing any more are looked for: an index for it would cost more than they do.
const FORGET: SignedDuration = SignedDuration::from_hours(1);
/// What a row takes beside its payload, about.
const ROW: u64 = 16;

/// Reports that wait, and decisions that are known.
#[derive(Debug)]
pub struct Spool {
    disk: Disk,
    /// So many bytes may wait.
    most: u64,
    bytes: u64,
    waiting: u64,
    /// When decisions were last forgotten.
    forgotten: Timestamp,
}

impl Spool {
    /// Opens or makes the file in `directory`; with none, what is kept ends with this process. `most` bytes of reports may wait.
    ///
    /// # Errors
    /// It cannot be opened, or is none of ours.
    pub fn open(directory: Option<&Path>, most: u64) -> Result<Self, DiskError> {
        let disk = Disk::open(directory, FLEET, TABLES)?;
        let (waiting, payload) = disk.ask(|database| {
            let all = "SELECT COUNT(*), COALESCE(SUM(LENGTH(payload)), 0) FROM spool";
            database.query_row(all, [], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?)))
        })?;
        let waiting = waiting.unsigned_abs();
        let bytes = payload.unsigned_abs() + waiting * ROW;
        Ok(Self { disk, most, bytes, waiting, forgotten: Timestamp::MIN })
    }

    /// How many reports wait.
    #[must_use]
    pub fn waiting(&self) -> u64 {
        self.waiting
    }

    /// Keeps reports until they are [`Spool::taken`]. How many of the oldest had to go for them.
    ///
    /// # Errors
    /// The disk is full, or gone.
    pub fn keep(&mut self, reports: &[Vec<u8>]) -> Result<u64, DiskError> {
        let most = self.most;
        let weight = |payload: &[u8]| payload.len() as u64 + ROW;
        let mut bytes = self.bytes;
        let gone = self.disk.change(|transaction| {
            let (mut gone, mut put) =
                (0, transaction.prepare_cached("INSERT INTO spool (payload) VALUES (?)")?);
            for report in reports {
                put.execute(params![report])?;
                bytes += weight(report);
            }
            let mut oldest =
                transaction.prepare_cached("SELECT id, LENGTH(payload) FROM spool ORDER BY id LIMIT 1")?;
            let mut delete = transaction.prepare_cached("DELETE FROM spool WHERE id = ?")?;
            while bytes > most {
                let row = |row: &rusqlite::Row<'_>| Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?));
                let Some((id, length)) = oldest.query_row([], row).optional()? else { break };
                delete.execute(params![id])?;
                bytes = bytes.saturating_sub(length.unsigned_abs() + ROW);
                gone += 1;
            }
            Ok(gone)
        })?;
        self.bytes = bytes;
        self.waiting = (self.waiting + reports.len() as u64).saturating_sub(gone);
        Ok(gone)
    }

    /// At most `most` reports behind `after`, oldest first, each with its number.
    ///
    /// # Errors
    /// The disk is gone.
    pub fn read(&self, after: i64, most: u32) -> Result<Vec<(i64, Vec<u8>)>, DiskError> {
        self.disk.ask(|database| {
            let mut find =
                database.prepare_cached("SELECT id, payload FROM spool WHERE id > ? ORDER BY id LIMIT ?")?;
            find.query_map(params![after, most], |row| Ok((row.get(0)?, row.get(1)?)))?.collect()
        })
    }

    /// These have arrived.
    ///
    /// # Errors
    /// The disk is gone: they will be reported again.
    pub fn taken(&mut self, ids: &[i64]) -> Result<(), DiskError> {
        let (rows, bytes): (u64, u64) = self.disk.change(|transaction| {
            let (mut rows, mut bytes) = (0, 0);
            let mut find =
                transaction.prepare_cached("DELETE FROM spool WHERE id = ? RETURNING LENGTH(payload)")?;
            for id in ids {
                if let Some(length) = find.query_row(params![id], |row| row.get::<_, i64>(0)).optional()? {
                    rows += 1;
                    bytes += length.unsigned_abs() + ROW;
                }
            }
            Ok((rows, bytes))
        })?;
        self.waiting = self.waiting.saturating_sub(rows);
        self.bytes = self.bytes.saturating_sub(bytes);
        Ok(())
    }

    /// The serials of the last decisions about `prefixes` that are known.
    ///
    /// # Errors
    /// The disk is gone.
    pub fn last_serials(
        &self,
        prefixes: impl IntoIterator<Item = IpNet>,
    ) -> Result<HashMap<IpNet, u64>, DiskError> {
        // Alone, each of them would lock the file.
        self.disk.change(|transaction| {
            let mut find = transaction.prepare_cached("SELECT serial FROM known WHERE prefix = ?")?;
            let mut found = HashMap::new();
            for prefix in prefixes {
                let serial = find.query_row(params![key(&prefix)], |row| row.get::<_, i64>(0)).optional()?;
                found.extend(serial.map(|serial| (prefix, serial.unsigned_abs())));
            }
            Ok(found)
        })
    }

    /// Remembers decisions: prefix, serial, and until when they say anything. Those that say nothing any more at `now` are
    /// forgotten, once an hour.
    ///
    /// # Errors
    /// The disk is full, or gone.
    pub fn know(
        &mut self,
        decisions: &[(IpNet, u64, Option<Timestamp>)],
        now: Timestamp,
    ) -> Result<(), DiskError> {
        let forget = now.duration_since(self.forgotten).abs() >= FORGET;
        self.disk.change(|transaction| {
            let mut put = transaction.prepare_cached("INSERT OR REPLACE INTO known VALUES (?, ?, ?)")?;
            for (prefix, serial, until) in decisions {
                let serial = i64::try_from(*serial).unwrap_or(i64::MAX);
                put.execute(params![key(prefix), serial, until.map(Timestamp::as_microsecond)])?;
            }
            if forget {
                transaction.execute("DELETE FROM known WHERE until <= ?", params![now.as_microsecond()])?;
            }
            Ok(())
        })?;
        if forget {
            self.forgotten = now;
        }
        Ok(())
    }

    /// Everything that was in force is known, and with it every decision up to the serial number `floor`.
    ///
    /// # Errors
    /// The disk is full, or gone.
    pub fn know_all(&mut self, floor: u64) -> Result<(), DiskError> {
        self.disk.change(|transaction| {
            transaction.execute("DELETE FROM known", [])?;
            let serial = i64::try_from(floor).unwrap_or(i64::MAX);
            transaction.execute("INSERT OR REPLACE INTO floor VALUES (1, ?)", params![serial]).map(drop)
        })
    }

    /// Up to which serial number every decision is known; `None` if this machine knows nothing.
    ///
    /// # Errors
    /// The disk is gone.
    pub fn floor(&self) -> Result<Option<u64>, DiskError> {
        let read = |row: &rusqlite::Row<'_>| row.get::<_, i64>(0);
        let serial =
            self.disk.ask(|database| database.query_row("SELECT serial FROM floor", [], read).optional())?;
        Ok(serial.map(i64::unsigned_abs))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_go_first_and_the_rest_survives() {
        let dir = tempfile::tempdir().unwrap();
        let report = |number: u32| format!("{number:0984}").into_bytes();
        let mut spool = Spool::open(Some(dir.path()), 10_000).unwrap();
        assert_eq!(spool.keep(&[report(0), report(1)]).unwrap(), 0);
        let all: Vec<Vec<u8>> = (2..25).map(report).collect();
        assert_eq!(spool.keep(&all).unwrap(), 15);
        assert_eq!(spool.waiting(), 10);
        drop(spool);
        let mut spool = Spool::open(Some(dir.path()), 10_000).unwrap();
        assert_eq!(spool.waiting(), 10);
        let first = spool.read(0, 3).unwrap();
        assert_eq!(
            first.iter().map(|(_, payload)| payload.clone()).collect::<Vec<_>>(),
            [report(15), report(16), report(17)]
        );
        spool.taken(&[first[0].0, first[2].0, 4_000]).unwrap();
        assert_eq!((spool.waiting(), spool.read(first[0].0, 1).unwrap()[0].1.clone()), (8, report(16)));
        assert_eq!(spool.keep(&[report(30), report(31)]).unwrap(), 0, "there is room again");
        assert_eq!(spool.keep(&[report(32)]).unwrap(), 1);
    }

    #[test]
    fn the_last_decision_is_known_until_it_is_over() {
        let at = |second: i64| Timestamp::from_second(1_800_000_000 + second).unwrap();
        let (one, two): (IpNet, IpNet) =
            ("203.0.113.9/32".parse().unwrap(), "2001:db8::/64".parse().unwrap());
        let mut spool = Spool::open(None, 1_000).unwrap();
        assert_eq!(spool.floor().unwrap(), None);
        spool.know(&[(one, 7, Some(at(60))), (two, 8, None)], at(0)).unwrap();
        spool.know(&[(one, 9, Some(at(60)))], at(0)).unwrap();
        let known = |spool: &Spool| spool.last_serials([one, two]).unwrap();
        assert_eq!(known(&spool), [(one, 9), (two, 8)].into());
        spool.know(&[], at(60)).unwrap();
        assert_eq!(known(&spool).len(), 2, "not yet");
        spool.know(&[], at(3_600)).unwrap();
        assert_eq!(known(&spool), [(two, 8)].into());
        for floor in [20, 30] {
            spool.know_all(floor).unwrap();
            assert_eq!((spool.floor().unwrap(), known(&spool).len()), (Some(floor), 0));
        }
    }
}
