//! Bans, who is allowed, and positions as rows, and back.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use jiff::Timestamp;
use rusqlite::types::Type;
use rusqlite::{Connection, Row, Transaction, params};

use super::Memory;
use super::batch::Batch;
use crate::jail::spared::Allowance;
use crate::jail::{self, Ban};
use crate::service::Service;
use crate::source::{Position, Reading, StreamKey};
use crate::tier::Tier;

/// A place that was not noted for so long is old: what it is in may be gone.
const OLD: Duration = Duration::from_secs(7 * 86_400);

/// Writes the bans, the allowed and the positions of a batch.
pub(super) fn write(transaction: &Transaction<'_>, batch: &Batch) -> rusqlite::Result<()> {
    let mut put =
        transaction.prepare_cached("INSERT OR REPLACE INTO bans VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)")?;
    let mut delete = transaction.prepare_cached("DELETE FROM bans WHERE prefix = ? AND jail = ?")?;
    for ((prefix, jail), ban) in &batch.bans {
        match ban {
            Some(ban) => put.execute(params![
                prefix.to_string(),
                jail.as_ref(),
                ban.since.as_microsecond(),
                ban.until.map(Timestamp::as_microsecond),
                ban.count,
                ban.source.as_ref(),
                ban.reason.as_ref(),
                ban.services.as_deref().map(written),
                ban.renew.map(Tier::seconds),
            ])?,
            None => delete.execute(params![prefix.to_string(), jail.as_ref()])?,
        };
    }
    let mut put = transaction.prepare_cached("INSERT OR REPLACE INTO allowed VALUES (?, ?, ?, ?, ?)")?;
    let mut delete = transaction.prepare_cached("DELETE FROM allowed WHERE prefix = ?")?;
    for (prefix, allowance) in &batch.allowed {
        match allowance {
            Some(allowance) => put.execute(params![
                prefix.to_string(),
                allowance.since.as_microsecond(),
                allowance.until.map(Timestamp::as_microsecond),
                allowance.reason.as_ref(),
                allowance.who.as_deref(),
            ])?,
            None => delete.execute(params![prefix.to_string()])?,
        };
    }
    let mut put = transaction.prepare_cached("INSERT OR REPLACE INTO readings VALUES (?, ?, ?, ?, ?)")?;
    let noted = Timestamp::now().as_microsecond();
    let mut delete = transaction.prepare_cached("DELETE FROM readings WHERE source = ? AND stream = ?")?;
    for (StreamKey { source, stream }, reading) in &batch.readings {
        let (source, stream) = (source.as_ref(), stream.as_bytes());
        match reading {
            Some(Reading { from, until }) => {
                put.execute(params![source, stream, from.to_string(), until.to_string(), noted])?
            }
            None => delete.execute(params![source, stream])?,
        };
    }
    Ok(())
}

/// Reads what there is little of: who is allowed, and the positions.
pub(super) fn read_short(database: &Connection) -> rusqlite::Result<Memory> {
    let mut memory = Memory::default();
    let mut allowed = database.prepare("SELECT prefix, since, until, reason, who FROM allowed")?;
    let mut rows = allowed.query([])?;
    while let Some(row) = rows.next()? {
        memory.allowed.extend(readable(row, read_allowance(row))?);
    }
    let old = Timestamp::now().checked_sub(OLD).map_or(i64::MIN, Timestamp::as_microsecond);
    let mut readings = database.prepare("SELECT source, stream, start, until, noted FROM readings")?;
    let mut rows = readings.query([])?;
    while let Some(row) = rows.next()? {
        if let Some((key, reading)) = readable(row, read_reading(row))? {
            if row.get::<_, i64>(4)? < old {
                memory.stale.insert(key.clone());
            }
            memory.readings.insert(key, reading);
        }
    }
    Ok(memory)
}

/// Reads all bans.
pub(super) fn read_bans(database: &Connection) -> rusqlite::Result<Vec<Ban>> {
    let mut all = Vec::new();
    each_ban(database, |ban| all.push(ban))?;
    Ok(all)
}

/// Reads bans one by one.
pub(super) fn each_ban(database: &Connection, mut take: impl FnMut(Ban)) -> rusqlite::Result<()> {
    let mut bans = database
        .prepare("SELECT prefix, jail, since, until, count, source, reason, services, renew FROM bans")?;
    let mut rows = bans.query([])?;
    let mut names = Names::default();
    while let Some(row) = rows.next()? {
        if let Some(ban) = readable(row, read_ban(row, &mut names))? {
            take(ban);
        }
    }
    Ok(())
}

/// A row that somebody wrote by hand and not well is skipped; the others count.
pub(super) fn readable<T>(row: &Row<'_>, read: rusqlite::Result<T>) -> rusqlite::Result<Option<T>> {
    use rusqlite::Error::{FromSqlConversionFailure, IntegralValueOutOfRange, InvalidColumnType};
    match read {
        Ok(value) => Ok(Some(value)),
        Err(error @ (FromSqlConversionFailure(..) | InvalidColumnType(..) | IntegralValueOutOfRange(..))) => {
            let name: rusqlite::types::Value = row.get(0)?;
            tracing::warn!(
                "the store has a row that cannot be read, of {name:?}: skipped ({error}); correct it with sqlite3, or delete it"
            );
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// Texts that many rows share, each once.
#[derive(Default)]
pub(super) struct Names(BTreeSet<Arc<str>>);

impl Names {
    pub(super) fn read(&mut self, row: &Row<'_>, column: usize) -> rusqlite::Result<Arc<str>> {
        let text = row.get_ref(column)?.as_str()?;
        if let Some(known) = self.0.get(text) {
            return Ok(Arc::clone(known));
        }
        let name: Arc<str> = text.into();
        self.0.insert(Arc::clone(&name));
        Ok(name)
    }
}

fn read_ban(row: &Row<'_>, names: &mut Names) -> rusqlite::Result<Ban> {
    Ok(Ban {
        prefix: read_prefix(row, 0)?,
        jail: names.read(row, 1)?,
        since: read_time(row, 2)?,
        until: read_end(row, 3)?,
        count: row.get(4)?,
        source: names.read(row, 5)?,
        reason: names.read(row, 6)?,
        services: row
            .get::<_, Option<String>>(7)?
            .map(|list| services(&list).ok_or_else(|| unreadable(&list)))
            .transpose()?,
        renew: row
            .get::<_, Option<u32>>(8)?
            .and_then(|seconds| Tier::of(Duration::from_secs(seconds.into()))),
    })
}

fn read_allowance(row: &Row<'_>) -> rusqlite::Result<Allowance> {
    Ok(Allowance {
        prefix: read_prefix(row, 0)?,
        since: read_time(row, 1)?,
        until: read_end(row, 2)?,
        reason: row.get_ref(3)?.as_str()?.into(),
        who: row.get::<_, Option<String>>(4)?.map(Into::into),
    })
}

/// A column with a prefix, or an address.
pub(super) fn read_prefix(row: &Row<'_>, column: usize) -> rusqlite::Result<IpNet> {
    let text = row.get_ref(column)?.as_str()?;
    let no_prefix = || bad(column, format!("'{text}' is neither an address nor a prefix"));
    jail::written(text).map(|prefix| prefix.trunc()).ok_or_else(no_prefix)
}

/// A column with a time.
pub(super) fn read_time(row: &Row<'_>, column: usize) -> rusqlite::Result<Timestamp> {
    Timestamp::from_microsecond(row.get(column)?).map_err(|error| bad(column, error))
}

/// A column with a time, or none.
pub(super) fn read_end(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<Timestamp>> {
    row.get::<_, Option<i64>>(column)?.map(|_| read_time(row, column)).transpose()
}

/// What is in this column means nothing.
pub(super) fn bad(
    column: usize,
    error: impl Into<Box<dyn std::error::Error + Send + Sync>>,
) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(column, Type::Text, error.into())
}

/// `tcp/22 udp/53`.
fn written(services: &[Service]) -> String {
    services.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
}

fn services(list: &str) -> Option<Arc<[Service]>> {
    list.split(' ').map(|service| service.parse().ok()).collect()
}

fn unreadable(list: &str) -> rusqlite::Error {
    let error = format!("'{list}' is no list of services such as tcp/22 udp/53");
    bad(7, error)
}

fn read_reading(row: &Row<'_>) -> rusqlite::Result<(StreamKey, Reading)> {
    let position = |column| {
        let text: String = row.get(column)?;
        text.parse::<Position>().map_err(|error| bad(column, error))
    };
    let source: String = row.get(0)?;
    let stream = OsString::from_vec(row.get(1)?);
    let key = StreamKey { source: source.into(), stream: stream.into() };
    Ok((key, Reading { from: position(2)?, until: position(3)? }))
}
