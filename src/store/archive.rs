//! The history, read: beside the thread that writes, over a connection of its own, and never for long.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ipnet::IpNet;
use jiff::Timestamp;
use rusqlite::types::Value;
use rusqlite::{Connection, OpenFlags, params, params_from_iter};

use super::event::{Event, Line};
use super::history::{COLUMNS, network, prefix, read};
use super::rows::{self, Names, bad, read_prefix, read_time, readable};
use super::{FILE, StoreError, schema};
use crate::jail::Ban;

/// How many networks are counted.
const MOST_NETWORKS: i64 = 10;
/// How many bans are told at a start.
const MOST_MADE: i64 = 100_000;
/// Bans are counted by quarters of an hour: every zone's days begin with one.
const QUARTER: i64 = 15 * 60 * 1_000_000;

/// Where the history is.
#[derive(Debug, Clone)]
pub struct Archive {
    path: PathBuf,
}

/// Which events are wanted, newest first.
#[derive(Debug, Clone, Default)]
pub struct Query {
    /// Only those of prefixes within this one, or that contain it.
    pub within: Option<IpNet>,
    /// Only this jail's.
    pub jail: Option<String>,
    /// Only those from then on.
    pub since: Option<Timestamp>,
    /// Only those that come behind this one.
    pub after: Option<Place>,
    /// So many at most.
    pub most: u32,
}

/// The place of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Its time.
    pub time: Timestamp,
    /// Its number.
    pub id: i64,
}

/// Some of the events that were wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// They, newest first, without their lines.
    pub events: Vec<(Place, Event)>,
    /// Where to go on, if there may be more.
    pub next: Option<Place>,
}

/// What the history adds up to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stats {
    /// For each jail, by name.
    pub jails: Vec<JailCount>,
    /// How many bans began in each quarter of an hour (of UTC) that had any, oldest first.
    pub quarters: Vec<(Timestamp, u32)>,
    /// The networks with the most bans: /24 of IPv4, /48 of IPv6.
    pub networks: Vec<NetworkCount>,
}

/// One jail's part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JailCount {
    /// Its name.
    pub jail: Arc<str>,
    /// Bans that began.
    pub bans: u32,
    /// Bans that ended.
    pub unbans: u32,
    /// Addresses (or prefixes) that were banned.
    pub offenders: u32,
}

/// One network's part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NetworkCount {
    /// The network.
    pub network: IpNet,
    /// Bans that began.
    pub bans: u32,
    /// Addresses (or prefixes) that were banned.
    pub offenders: u32,
}

impl Archive {
    /// The database in a state directory.
    #[must_use]
    pub fn of(directory: &Path) -> Self {
        Self::at(&directory.join(FILE))
    }

    pub(super) fn at(path: &Path) -> Self {
        Self { path: path.to_owned() }
    }

    /// Whether there is a history that can be read.
    ///
    /// # Errors
    /// Why there is none.
    pub fn check(&self) -> Result<(), StoreError> {
        self.read(|_| Ok(()))
    }

    /// Some of the events that are wanted.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn history(&self, query: &Query) -> Result<Found, StoreError> {
        self.read(|database| history(database, query))
    }

    /// The log lines of an event, oldest first.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn lines(&self, place: Place) -> Result<Vec<Line>, StoreError> {
        self.read(|database| {
            let mut lines =
                database.prepare("SELECT time, line FROM evidence WHERE event = ? ORDER BY number")?;
            let line = |row: &rusqlite::Row<'_>| {
                Ok(Line { time: read_time(row, 0)?, bytes: row.get::<_, Vec<u8>>(1)?.into() })
            };
            lines.query_map([place.id], line)?.collect()
        })
    }

    /// The last bans that jails made from then on: who, by which jail, and when, oldest first.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn made(&self, since: Timestamp) -> Result<Vec<(IpNet, Arc<str>, Timestamp)>, StoreError> {
        let mut made = self.read(|database| made(database, since.as_microsecond()))?;
        made.reverse();
        Ok(made)
    }

    /// The bans of `prefix`, or of what contains it, that were in force when they were last written.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn bans(&self, prefix: IpNet) -> Result<Vec<Ban>, StoreError> {
        let bans = self.read(rows::read_bans)?;
        Ok(bans.into_iter().filter(|ban| ban.prefix.contains(&prefix)).collect())
    }

    /// What the history since then adds up to; all of it, if not given.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn stats(&self, since: Option<Timestamp>) -> Result<Stats, StoreError> {
        let since = since.map_or(i64::MIN, Timestamp::as_microsecond);
        self.read(|database| {
            Ok(Stats {
                jails: jails(database, since)?,
                quarters: quarters(database, since)?,
                networks: networks(database, since)?,
            })
        })
    }

    fn read<T>(&self, read: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T, StoreError> {
        let failed = |error| StoreError::Unreadable { path: self.path.clone(), error };
        let flags =
            OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_URI;
        let database = Connection::open_with_flags(&self.path, flags).map_err(failed)?;
        database.busy_timeout(schema::BUSY).map_err(failed)?;
        let format = schema::format(&database).map_err(failed)?;
        schema::known(format, &self.path)?;
        if format < schema::FORMAT {
            return Err(StoreError::Older { path: self.path.clone(), found: format });
        }
        read(&database).map_err(failed)
    }
}

fn history(database: &Connection, query: &Query) -> rusqlite::Result<Found> {
    let (time, id) =
        query.after.map_or((i64::MAX, i64::MAX), |place| (place.time.as_microsecond(), place.id));
    let mut values = vec![
        Value::from(query.since.map_or(i64::MIN, Timestamp::as_microsecond)),
        time.into(),
        id.into(),
        query.jail.clone().into(),
        i64::from(query.most).into(),
    ];
    // With a plus, a column's index is not used: those of a prefix are few, and found by its own.
    let (plus, within) = match query.within {
        None => ("", String::new()),
        Some(within) => {
            let keys = around(within);
            let marks = vec!["?"; keys.len() - 2].join(", ");
            values.extend(keys.into_iter().map(Value::from));
            ("+", format!("AND (network BETWEEN ?6 AND ?7 OR network IN ({marks}))"))
        }
    };
    let mut found = database.prepare(&format!(
        "SELECT {COLUMNS} FROM history
         WHERE {plus}time >= ?1 AND ({plus}time, id) < (?2, ?3) AND (?4 IS NULL OR jail = ?4) {within}
         ORDER BY {plus}time DESC, id DESC LIMIT ?5"
    ))?;
    let mut rows = found.query(params_from_iter(values))?;
    let (mut events, mut names, mut last, mut seen) = (Vec::new(), Names::default(), None, 0);
    while let Some(row) = rows.next()? {
        seen += 1;
        let Some((id, event)) = read(row, &mut names)? else { continue };
        let place = Place { time: event.time, id };
        last = Some(place);
        let wanted = |within: IpNet| within.contains(&event.prefix) || event.prefix.contains(&within);
        if query.within.is_none_or(wanted) {
            events.push((place, event));
        }
    }
    Ok(Found { events, next: last.filter(|_| seen >= query.most) })
}

/// What the index has for the first and the last address of a prefix, then for each prefix that contains it.
fn around(within: IpNet) -> Vec<Vec<u8>> {
    let ends = [within.network(), within.broadcast()];
    let wider = (0..=within.prefix_len()).filter_map(|bits| IpNet::new(within.network(), bits).ok());
    let mut wider: Vec<IpAddr> = wider.map(|wider| wider.network()).collect();
    wider.dedup();
    ends.into_iter().chain(wider).map(network).collect()
}

fn made(database: &Connection, since: i64) -> rusqlite::Result<Vec<(IpNet, Arc<str>, Timestamp)>> {
    let mut found = database.prepare(
        "SELECT prefix, jail, time FROM history WHERE time >= ? AND what = 'ban' AND who IS NULL
         ORDER BY time DESC, id DESC LIMIT ?",
    )?;
    let mut rows = found.query(params![since, MOST_MADE])?;
    let (mut made, mut names) = (Vec::new(), Names::default());
    while let Some(row) = rows.next()? {
        let mut read = || Ok((read_prefix(row, 0)?, names.read(row, 1)?, read_time(row, 2)?));
        made.extend(readable(row, read())?);
    }
    Ok(made)
}

fn jails(database: &Connection, since: i64) -> rusqlite::Result<Vec<JailCount>> {
    let mut counted = database.prepare(
        "SELECT jail, sum(what = 'ban'), sum(what NOT IN ('ban', 'would_ban')), count(DISTINCT iif(what = 'ban', prefix, NULL))
         FROM history WHERE time >= ? AND jail <> '' GROUP BY jail ORDER BY jail",
    )?;
    let count = |row: &rusqlite::Row<'_>| {
        let jail: String = row.get(0)?;
        Ok(JailCount { jail: jail.into(), bans: row.get(1)?, unbans: row.get(2)?, offenders: row.get(3)? })
    };
    counted.query_map([since], count)?.collect()
}

fn quarters(database: &Connection, since: i64) -> rusqlite::Result<Vec<(Timestamp, u32)>> {
    let mut counted = database.prepare(
        "SELECT time / ?2 * ?2, count(*) FROM history WHERE time >= ?1 AND what = 'ban' GROUP BY 1 ORDER BY 1",
    )?;
    counted.query_map([since, QUARTER], |row| Ok((read_time(row, 0)?, row.get(1)?)))?.collect()
}

fn networks(database: &Connection, since: i64) -> rusqlite::Result<Vec<NetworkCount>> {
    let mut counted = database.prepare(
        "SELECT substr(network, 1, iif(length(network) = 5, 4, 7)) AS start, count(*), count(DISTINCT prefix)
         FROM history WHERE time >= ? AND what = 'ban' GROUP BY start ORDER BY 2 DESC, start LIMIT ?",
    )?;
    let count = |row: &rusqlite::Row<'_>| {
        let start: Vec<u8> = row.get(0)?;
        let bits = if start.len() == 4 { 24 } else { 48 };
        let network = prefix(&start, bits).ok_or_else(|| bad(0, "no network begins so"))?;
        Ok(NetworkCount { network, bans: row.get(1)?, offenders: row.get(2)? })
    };
    counted.query_map(params![since, MOST_NETWORKS], count)?.collect()
}
