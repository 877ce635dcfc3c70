//! The database: its tables, and how rows go in and out.
//!
//! Readable with `sqlite3`: prefixes as text, times as microseconds since 1970 (UTC).

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::io;
use std::net::IpAddr;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use jiff::Timestamp;
use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, Row, params};

use super::{Batch, Memory, StoreError};
use crate::jail::Ban;
use crate::jail::spared::Allowance;
use crate::service::Service;
use crate::source::{Position, Reading};
use crate::tier::Tier;

/// The format that this version writes, kept in SQLite's `user_version`.
const FORMAT: i64 = 3;

const TABLES: &str = "
    CREATE TABLE IF NOT EXISTS bans (
        prefix TEXT NOT NULL,
        jail   TEXT NOT NULL,
        since  INTEGER NOT NULL,
        until  INTEGER,
        count  INTEGER NOT NULL,
        source TEXT NOT NULL,
        reason TEXT NOT NULL,
        services TEXT,
        renew  INTEGER,
        PRIMARY KEY (prefix, jail)
    ) WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS allowed (
        prefix TEXT PRIMARY KEY,
        since  INTEGER NOT NULL,
        until  INTEGER,
        reason TEXT NOT NULL
    ) WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS positions (
        path        BLOB PRIMARY KEY,
        device      INTEGER NOT NULL,
        inode       INTEGER NOT NULL,
        offset      INTEGER NOT NULL,
        from_device INTEGER NOT NULL,
        from_inode  INTEGER NOT NULL,
        from_offset INTEGER NOT NULL
    ) WITHOUT ROWID;
";

/// Opens the database and reads it; one that SQLite cannot read is set aside first.
pub(super) fn open(path: &Path) -> Result<(Connection, Memory), StoreError> {
    match try_open(path) {
        Err(StoreError::Database { error, .. }) if is_damage(&error) => {
            let aside = path.with_extension("sqlite3.damaged");
            tracing::error!("{}: {error}: set aside as {}", path.display(), aside.display());
            set_aside(path, &aside).map_err(|error| StoreError::Directory { path: aside.clone(), error })?;
            try_open(path)
        }
        result => result,
    }
}

/// Renames the database with its log and its index (<https://www.sqlite.org/walformat.html>): left behind, they would be
/// played into the new one, and what they hold would be missing from the old one.
fn set_aside(path: &Path, aside: &Path) -> io::Result<()> {
    let with = |path: &Path, suffix| {
        let mut name = path.as_os_str().to_owned();
        name.push(suffix);
        PathBuf::from(name)
    };
    let unless_missing = |result: io::Result<()>| match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result,
    };
    for suffix in ["-wal", "-shm"] {
        // One of an earlier accident does not belong to this file.
        unless_missing(std::fs::remove_file(with(aside, suffix)))?;
        unless_missing(std::fs::rename(with(path, suffix), with(aside, suffix)))?;
    }
    std::fs::rename(path, aside)
}

fn try_open(path: &Path) -> Result<(Connection, Memory), StoreError> {
    let failed = |error| StoreError::Database { path: path.to_owned(), error };
    let database = Connection::open(path).map_err(failed)?;
    // A damaged file's log is kept: closing must neither play it in nor remove it.
    let keep_log = DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE;
    database.set_db_config(keep_log, true).map_err(failed)?;
    let found: i64 = database.pragma_query_value(None, "user_version", |row| row.get(0)).map_err(failed)?;
    if found > FORMAT {
        return Err(StoreError::Newer { path: path.to_owned(), found, known: FORMAT });
    }
    let memory = prepare(&database, found).map_err(failed)?;
    database.set_db_config(keep_log, false).map_err(failed)?;
    Ok((database, memory))
}

/// Brings the format that was `found` to this version's, and reads everything.
fn prepare(database: &Connection, found: i64) -> rusqlite::Result<Memory> {
    database.pragma_update(None, "journal_mode", "WAL")?;
    database.pragma_update(None, "synchronous", "NORMAL")?;
    // All of it or nothing: whoever is killed half-way begins again.
    let change = database.unchecked_transaction()?;
    database.execute_batch(TABLES)?;
    if (1..2).contains(&found) {
        database.execute_batch("ALTER TABLE bans ADD COLUMN services TEXT")?;
    }
    if (1..3).contains(&found) {
        database.execute_batch("ALTER TABLE bans ADD COLUMN renew INTEGER")?;
    }
    database.pragma_update(None, "user_version", FORMAT)?;
    change.commit()?;
    let mut memory = Memory::default();
    let mut bans = database
        .prepare("SELECT prefix, jail, since, until, count, source, reason, services, renew FROM bans")?;
    let mut rows = bans.query([])?;
    let mut names = Names::default();
    while let Some(row) = rows.next()? {
        memory.bans.extend(readable(row, read_ban(row, &mut names))?);
    }
    memory.bans.sort_by(|a, b| (a.prefix, &a.jail).cmp(&(b.prefix, &b.jail)));
    let mut allowed = database.prepare("SELECT prefix, since, until, reason FROM allowed")?;
    let mut rows = allowed.query([])?;
    while let Some(row) = rows.next()? {
        memory.allowed.extend(readable(row, read_allowance(row))?);
    }
    let mut readings = database
        .prepare("SELECT path, device, inode, offset, from_device, from_inode, from_offset FROM positions")?;
    let mut rows = readings.query([])?;
    while let Some(row) = rows.next()? {
        memory.readings.extend(readable(row, read_reading(row))?);
    }
    Ok(memory)
}

/// A row that somebody wrote by hand and not well is skipped; the others count.
fn readable<T>(row: &Row<'_>, read: rusqlite::Result<T>) -> rusqlite::Result<Option<T>> {
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

/// One batch, one transaction.
pub(super) fn write(database: &mut Connection, batch: &Batch) -> Result<(), StoreError> {
    write_rows(database, batch)
        .map_err(|error| StoreError::Database { path: database.path().unwrap_or_default().into(), error })
}

fn write_rows(database: &mut Connection, batch: &Batch) -> rusqlite::Result<()> {
    let transaction = database.transaction()?;
    {
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
        let mut put = transaction.prepare_cached("INSERT OR REPLACE INTO allowed VALUES (?, ?, ?, ?)")?;
        let mut delete = transaction.prepare_cached("DELETE FROM allowed WHERE prefix = ?")?;
        for (prefix, allowance) in &batch.allowed {
            match allowance {
                Some(allowance) => put.execute(params![
                    prefix.to_string(),
                    allowance.since.as_microsecond(),
                    allowance.until.map(Timestamp::as_microsecond),
                    allowance.reason.as_ref(),
                ])?,
                None => delete.execute(params![prefix.to_string()])?,
            };
        }
        let mut put =
            transaction.prepare_cached("INSERT OR REPLACE INTO positions VALUES (?, ?, ?, ?, ?, ?, ?)")?;
        for (path, Reading { from, until }) in &batch.readings {
            put.execute(params![
                path.as_os_str().as_bytes(),
                until.device.cast_signed(),
                until.inode.cast_signed(),
                until.offset.cast_signed(),
                from.device.cast_signed(),
                from.inode.cast_signed(),
                from.offset.cast_signed(),
            ])?;
        }
    }
    transaction.commit()
}

/// Texts that many rows share, each once.
#[derive(Default)]
struct Names(BTreeSet<Arc<str>>);

impl Names {
    fn read(&mut self, row: &Row<'_>, column: usize) -> rusqlite::Result<Arc<str>> {
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
        prefix: read_prefix(row)?,
        jail: names.read(row, 1)?,
        since: read_time(2, row.get(2)?)?,
        until: row.get::<_, Option<i64>>(3)?.map(|value| read_time(3, value)).transpose()?,
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
        prefix: read_prefix(row)?,
        since: read_time(1, row.get(1)?)?,
        until: row.get::<_, Option<i64>>(2)?.map(|value| read_time(2, value)).transpose()?,
        reason: row.get_ref(3)?.as_str()?.into(),
    })
}

/// The prefix or address in the first column.
fn read_prefix(row: &Row<'_>) -> rusqlite::Result<IpNet> {
    let prefix = row.get_ref(0)?.as_str()?;
    let read = prefix.parse().or_else(|_| prefix.parse::<IpAddr>().map(IpNet::from));
    read.map(|prefix: IpNet| prefix.trunc()).map_err(|error| bad(0, error.into()))
}

fn read_time(column: usize, value: i64) -> rusqlite::Result<Timestamp> {
    Timestamp::from_microsecond(value).map_err(|error| bad(column, error.into()))
}

fn bad(column: usize, error: Box<dyn std::error::Error + Send + Sync>) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(column, rusqlite::types::Type::Text, error)
}

/// `tcp/22 udp/53`.
fn written(services: &[Service]) -> String {
    services.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
}

fn services(list: &str) -> Option<Arc<[Service]>> {
    list.split(' ').map(|service| service.parse().ok()).collect()
}

fn unreadable(list: &str) -> rusqlite::Error {
    bad(7, format!("'{list}' is no list of services such as tcp/22 udp/53").into())
}

fn read_reading(row: &Row<'_>) -> rusqlite::Result<(PathBuf, Reading)> {
    let number = |column| row.get::<_, i64>(column).map(i64::cast_unsigned);
    let position = |first| {
        Ok::<_, rusqlite::Error>(Position {
            device: number(first)?,
            inode: number(first + 1)?,
            offset: number(first + 2)?,
        })
    };
    let path = OsString::from_vec(row.get(0)?);
    Ok((path.into(), Reading { until: position(1)?, from: position(4)? }))
}

fn is_damage(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt))
}
