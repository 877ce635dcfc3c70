//! On a firewall: reports that have been counted and have not led to a ban yet, over a restart. The server has forgotten them.
//!
//! In the file of `spool.rs`. Of each host one for each offender; those of an offender who is banned are forgotten.

use std::path::Path;

use jiff::{SignedDuration, Timestamp};
use rusqlite::params;

use super::disk::{Disk, DiskError, FLEET, key};
use super::report::{Report, Taken};

const TABLE: &str = "
CREATE TABLE IF NOT EXISTS counted
    (prefix BLOB, host TEXT, time INTEGER NOT NULL, report BLOB NOT NULL, PRIMARY KEY (prefix, host)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS counted_time ON counted (time);
";
/// So many are kept: as many as a jail knows.
const MOST: u32 = 200_000;
/// No longer than the server keeps what waits.
const LONGEST: SignedDuration = SignedDuration::from_hours(24);

/// What was counted.
#[derive(Debug)]
pub(super) struct Counted(Disk);

impl Counted {
    /// Those in `directory`; with none, they end with this process.
    pub(super) fn open(directory: Option<&Path>) -> Result<Self, DiskError> {
        Disk::open(directory, FLEET, TABLE).map(Self)
    }

    /// Those that may still count at `now`, oldest first: when each was counted, and the report.
    pub(super) fn all(&self, now: Timestamp) -> Result<Vec<(Timestamp, Vec<u8>)>, DiskError> {
        self.0.ask(|database| {
            let since = now - LONGEST;
            database.execute("DELETE FROM counted WHERE time < ?", params![since.as_microsecond()])?;
            let mut find = database.prepare("SELECT time, report FROM counted ORDER BY time")?;
            let row = |row: &rusqlite::Row<'_>| {
                let time = Timestamp::from_microsecond(row.get(0)?).unwrap_or(now);
                Ok((time.min(now), row.get(1)?))
            };
            find.query_map([], row)?.collect()
        })
    }

    /// Reports were judged; `open` says of each whether its offender is not banned after that.
    pub(super) fn judged(&self, reports: &[(Taken, bool)]) -> Result<(), DiskError> {
        self.0.change(|transaction| {
            let mut put =
                transaction.prepare_cached("INSERT OR REPLACE INTO counted VALUES (?, ?, ?, ?)")?;
            let mut delete = transaction.prepare_cached("DELETE FROM counted WHERE prefix = ?")?;
            for (Taken { host, prefix, time, report, .. }, open) in reports {
                if *open {
                    // Without the lines: the last of them would be the only one that is told.
                    let report = Report {
                        lines: report.lines.last().cloned().into_iter().collect(),
                        ..report.clone()
                    };
                    put.execute(params![key(prefix), &**host, time.as_microsecond(), report.encoded()])?;
                } else {
                    delete.execute(params![key(prefix)])?;
                }
            }
            let count: u32 = transaction.query_row("SELECT COUNT(*) FROM counted", [], |row| row.get(0))?;
            if count > MOST {
                let oldest = "DELETE FROM counted WHERE (prefix, host) IN (SELECT prefix, host FROM counted ORDER BY time LIMIT ?)";
                transaction.execute(oldest, params![count - MOST])?;
            }
            Ok(())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).unwrap()
    }

    fn taken(host: &str, address: &str, second: i64) -> Taken {
        let report = Report {
            v: 1,
            host: host.into(),
            address: address.into(),
            jail: "sshd".into(),
            time: at(second),
            until: None,
            count: 1,
            ports: None,
            lines: Vec::new(),
        };
        Taken {
            host: host.into(),
            weight: 1,
            prefix: format!("{address}/32").parse().unwrap(),
            time: at(second),
            report,
        }
    }

    #[test]
    fn what_was_counted_is_known_until_its_offender_is_banned_or_a_day_is_over() {
        let dir = tempfile::tempdir().unwrap();
        let counted = Counted::open(Some(dir.path())).unwrap();
        let (one, two) = ("203.0.113.1", "203.0.113.2");
        counted
            .judged(&[
                (taken("web1", one, 2), true),
                (taken("web1", two, 1), true),
                (taken("web2", two, 3), true),
            ])
            .unwrap();
        counted.judged(&[(taken("web1", two, 4), true)]).unwrap();
        drop(counted);
        let counted = Counted::open(Some(dir.path())).unwrap();
        let times = |counted: &Counted, now| {
            counted.all(now).unwrap().iter().map(|(time, _)| *time).collect::<Vec<_>>()
        };
        assert_eq!(times(&counted, at(5)), [at(2), at(3), at(4)], "one of each host");
        counted.judged(&[(taken("web3", two, 5), false)]).unwrap();
        assert_eq!(times(&counted, at(5)), [at(2)]);
        assert_eq!(times(&counted, at(86_403)), Vec::new());
    }
}
