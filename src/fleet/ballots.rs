//! What each friend's fleet has said last of whom: on disk, so that an older message is known as such, and a fleet that is away
//! keeps its votes over a restart.
//!
//! One SQLite file, `peers.sqlite3` in the state directory. A power cut may cost the last moments; they are asked for again.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use ipnet::IpNet;
use jiff::Timestamp;
use rusqlite::{OptionalExtension, params};

use super::disk::{Disk, DiskError};
use crate::jail::votes::{Named, Vote};

/// The file's name in the state directory.
const FILE: &str = "peers.sqlite3";
const TABLES: &str = "
CREATE TABLE IF NOT EXISTS said (
    peer TEXT NOT NULL, prefix TEXT NOT NULL, serial INTEGER NOT NULL, jail TEXT, since INTEGER NOT NULL, until INTEGER,
    PRIMARY KEY (peer, prefix)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS said_until ON said (peer, until);
";

/// What one fleet has said of somebody.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ballot {
    /// The number of the message.
    pub serial: u64,
    /// The vote, or that it was taken back.
    pub vote: Vote,
    /// Until when it matters, times taken back as well; `None`: until something else is said.
    pub until: Option<Timestamp>,
}

/// What all of them have said.
#[derive(Debug)]
pub struct Ballots(Disk);

impl Ballots {
    /// Opens or makes the file in `directory`; with none, what is said ends with this process.
    ///
    /// # Errors
    /// It cannot be opened, or is none of ours.
    pub fn open(directory: Option<&Path>) -> Result<Self, DiskError> {
        Disk::open(directory, FILE, TABLES).map(Self)
    }

    /// How many offenders `peer` has said something about that still matters.
    ///
    /// # Errors
    /// The disk is gone.
    pub fn count(&self, peer: &str) -> Result<u64, DiskError> {
        self.0.ask(|database| {
            let mut count = database.prepare_cached("SELECT COUNT(*) FROM said WHERE peer = ?")?;
            count.query_row(params![peer], |row| row.get::<_, i64>(0)).map(i64::unsigned_abs)
        })
    }

    /// The number of what `peer` has said last of `prefix`, if anything.
    ///
    /// # Errors
    /// The disk is gone.
    pub fn last_serial(&self, peer: &str, prefix: &IpNet) -> Result<Option<u64>, DiskError> {
        self.0.ask(|database| {
            let mut find =
                database.prepare_cached("SELECT serial FROM said WHERE peer = ? AND prefix = ?")?;
            let row = |row: &rusqlite::Row<'_>| row.get::<_, i64>(0).map(i64::unsigned_abs);
            find.query_row(params![peer, prefix.to_string()], row).optional()
        })
    }

    /// Keeps what `peer` has said, in place of what it said before of the same.
    ///
    /// # Errors
    /// The disk is full, or gone.
    pub fn keep(&mut self, peer: &str, ballots: &[Ballot]) -> Result<(), DiskError> {
        self.0.change(|transaction| {
            let mut put =
                transaction.prepare_cached("INSERT OR REPLACE INTO said VALUES (?, ?, ?, ?, ?, ?)")?;
            for Ballot { serial, vote: Vote { prefix, named }, until } in ballots {
                let serial = i64::try_from(*serial).unwrap_or(i64::MAX);
                let since = named.as_ref().map_or(0, |named| named.since.as_microsecond());
                let jail = named.as_ref().map(|named| &*named.jail);
                let until = until.map(Timestamp::as_microsecond);
                put.execute(params![peer, prefix.to_string(), serial, jail, since, until])?;
            }
            Ok(())
        })
    }

    /// Forgets what matters no more at `now`. Of whom `peer` had said it.
    ///
    /// # Errors
    /// The disk is gone.
    pub fn forget_over(&self, peer: &str, now: Timestamp) -> Result<Vec<IpNet>, DiskError> {
        let over: Vec<String> = self.0.ask(|database| {
            let mut forget =
                database.prepare_cached("DELETE FROM said WHERE peer = ? AND until <= ? RETURNING prefix")?;
            forget.query_map(params![peer, now.as_microsecond()], |row| row.get(0))?.collect()
        })?;
        Ok(over.iter().filter_map(|prefix| prefix.parse().ok()).collect())
    }

    /// Forgets what fleets have said that are not among `peers`.
    ///
    /// # Errors
    /// The disk is gone.
    pub fn forget_others<T>(&self, peers: &BTreeMap<Arc<str>, T>) -> Result<(), DiskError> {
        self.0.ask(|database| {
            let mut find = database.prepare("SELECT DISTINCT peer FROM said")?;
            let known: Vec<String> = find.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
            for gone in known.iter().filter(|peer| !peers.contains_key(peer.as_str())) {
                database.execute("DELETE FROM said WHERE peer = ?", params![gone])?;
            }
            Ok(())
        })
    }

    /// At most `most` votes of `peer` behind `after`, by the text of their prefix.
    ///
    /// # Errors
    /// The disk is gone.
    pub fn votes(&self, peer: &str, after: Option<&IpNet>, most: u32) -> Result<Vec<Vote>, DiskError> {
        type Row = (String, String, i64, Option<i64>);
        let rows: Vec<Row> = self.0.ask(|database| {
            let mut find = database.prepare_cached(
                "SELECT prefix, jail, since, until FROM said
                 WHERE peer = ? AND prefix > ? AND jail IS NOT NULL ORDER BY prefix LIMIT ?",
            )?;
            let after = after.map(ToString::to_string).unwrap_or_default();
            let row = |row: &rusqlite::Row<'_>| Row::try_from(row);
            find.query_map(params![peer, after, most], row)?.collect()
        })?;
        let votes = rows.into_iter().filter_map(|(prefix, jail, since, until)| {
            let time = |microsecond| Timestamp::from_microsecond(microsecond).ok();
            let named = Named { jail: jail.into(), since: time(since)?, until: until.and_then(time) };
            Some(Vote { prefix: prefix.parse().ok()?, named: Some(named) })
        });
        Ok(votes.collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).unwrap()
    }

    fn ballot(prefix: &str, serial: u64, until: Option<i64>, named: bool) -> Ballot {
        let until = until.map(at);
        let named = named.then(|| Named { jail: "sshd".into(), since: at(0), until });
        Ballot { serial, vote: Vote { prefix: prefix.parse().unwrap(), named }, until }
    }

    #[test]
    fn what_was_said_last_is_known_until_it_is_over() {
        let dir = tempfile::tempdir().unwrap();
        let (one, two) = ("203.0.113.9/32", "2001:db8::/64");
        let mut ballots = Ballots::open(Some(dir.path())).unwrap();
        ballots.keep("a", &[ballot(one, 7, Some(60), true), ballot(two, 8, None, true)]).unwrap();
        ballots.keep("b", &[ballot(one, 3, Some(60), false)]).unwrap();
        drop(ballots);
        let mut ballots = Ballots::open(Some(dir.path())).unwrap();
        let prefix = one.parse().unwrap();
        assert_eq!(ballots.last_serial("a", &prefix).unwrap(), Some(7));
        assert_eq!(ballots.last_serial("b", &prefix).unwrap(), Some(3));
        assert_eq!(ballots.last_serial("b", &two.parse().unwrap()).unwrap(), None);
        let first = ballots.votes("a", None, 1).unwrap();
        assert_eq!(first, [ballot(two, 8, None, true).vote]);
        let second = ballots.votes("a", Some(&first[0].prefix), 9).unwrap();
        assert_eq!(second, [ballot(one, 7, Some(60), true).vote]);
        assert_eq!(ballots.votes("b", None, 9).unwrap(), [], "it was taken back");
        ballots.keep("a", &[ballot(one, 9, Some(60), false)]).unwrap();
        assert_eq!((ballots.count("a").unwrap(), ballots.votes("a", None, 9).unwrap().len()), (2, 1));
        assert_eq!(ballots.forget_over("a", at(60)).unwrap(), [prefix]);
        assert_eq!((ballots.count("a").unwrap(), ballots.count("b").unwrap()), (1, 1));
        ballots.forget_others(&BTreeMap::from([("a".into(), ())])).unwrap();
        assert_eq!((ballots.count("a").unwrap(), ballots.count("b").unwrap()), (1, 0));
    }
}
