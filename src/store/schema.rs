//! The database: its file, its tables, its formats.
//!
//! Readable with `sqlite3`: prefixes as text, times as microseconds since 1970 (UTC), log lines as the
//! bytes that they are. `network` is what the index of `prefix` needs: 4 or 6, and the bytes of its first address.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode};

use super::batch::Batch;
use super::{Memory, StoreError, history, logins, rows};

/// The format that this version writes, kept in SQLite's `user_version`.
pub(super) const FORMAT: i64 = 6;
/// How long the write-ahead log stays on disk, in bytes; while much is written it may be longer.
const LONGEST_LOG: i64 = 4 << 20;
/// How long is waited for whoever else is using the database: a reader in memory, `sqlite3`.
pub(super) const BUSY: Duration = Duration::from_secs(5);

/// A damaged file's log is kept: closing must neither play it in nor remove it.
const KEEP_LOG: DbConfig = DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE;

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
        reason TEXT NOT NULL,
        who    TEXT
    ) WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS logins (
        jail    TEXT NOT NULL,
        address TEXT NOT NULL,
        user    TEXT NOT NULL,
        time    INTEGER NOT NULL,
        PRIMARY KEY (jail, address, user)
    ) WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS readings (
        source TEXT NOT NULL,
        stream BLOB NOT NULL,
        start  TEXT NOT NULL,
        until  TEXT NOT NULL,
        noted  INTEGER NOT NULL,
        PRIMARY KEY (source, stream)
    ) WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS history (
        id      INTEGER PRIMARY KEY,
        time    INTEGER NOT NULL,
        prefix  TEXT NOT NULL,
        network BLOB NOT NULL,
        jail    TEXT NOT NULL,
        what    TEXT NOT NULL,
        until   INTEGER,
        count   INTEGER NOT NULL,
        source  TEXT NOT NULL,
        reason  TEXT NOT NULL,
        who     TEXT
    );
    CREATE INDEX IF NOT EXISTS history_time ON history (time);
    CREATE INDEX IF NOT EXISTS history_network ON history (network);
    CREATE TABLE IF NOT EXISTS offenders (
        prefix TEXT NOT NULL,
        jail   TEXT NOT NULL,
        count  INTEGER NOT NULL,
        last   INTEGER NOT NULL,
        until  INTEGER,
        PRIMARY KEY (prefix, jail)
    ) WITHOUT ROWID;
    CREATE INDEX IF NOT EXISTS offenders_last ON offenders (last);
    CREATE TABLE IF NOT EXISTS evidence (
        event  INTEGER NOT NULL,
        number INTEGER NOT NULL,
        time   INTEGER NOT NULL,
        line   BLOB NOT NULL,
        PRIMARY KEY (event, number)
    ) WITHOUT ROWID;
";

/// Up to format 4, only files were read.
const POSITIONS: &str = "
    INSERT INTO readings
        SELECT CAST(path AS TEXT), path,
            printf('file %lld %lld %lld', from_device, from_inode, from_offset),
            printf('file %lld %lld %lld', device, inode, offset), CAST(strftime('%s', 'now') AS INTEGER) * 1000000
        FROM positions;
    DROP TABLE positions;
";

/// Opens the database and reads what is short; one that SQLite cannot read is set aside first. To be settled when all of it
/// has been read.
pub(super) fn open(path: &Path) -> Result<(Connection, Memory), StoreError> {
    match try_open(path) {
        Err(StoreError::Database { error, .. }) if is_damage(&error) => {
            begin_anew(path, &error).map(|database| (database, Memory::default()))
        }
        result => result,
    }
}

/// Sets a damaged database aside and begins another; nobody may have the damaged one open.
pub(super) fn begin_anew(path: &Path, error: &rusqlite::Error) -> Result<Connection, StoreError> {
    let aside = path.with_extension("sqlite3.damaged");
    tracing::error!("{}: {error}: set aside as {}", path.display(), aside.display());
    set_aside(path, &aside).map_err(|error| StoreError::Directory { path: aside.clone(), error })?;
    let (database, _) = try_open(path)?;
    settle(&database).map_err(|error| StoreError::Database { path: path.to_owned(), error })?;
    Ok(database)
}

/// The database can be read.
pub(super) fn settle(database: &Connection) -> rusqlite::Result<()> {
    database.set_db_config(KEEP_LOG, false).map(drop)
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
    database.set_db_config(KEEP_LOG, true).map_err(failed)?;
    let found = format(&database).map_err(failed)?;
    known(found, path)?;
    prepare(&database, found).map_err(failed)?;
    let memory = rows::read_short(&database).map_err(failed)?;
    let logins = logins::read(&database).map_err(failed)?;
    Ok((database, Memory { logins, ..memory }))
}

/// The format of a database; 0 of an empty one.
pub(super) fn format(database: &Connection) -> rusqlite::Result<i64> {
    database.pragma_query_value(None, "user_version", |row| row.get(0))
}

/// Refuses a format of the future.
pub(super) fn known(found: i64, path: &Path) -> Result<(), StoreError> {
    if found > FORMAT {
        return Err(StoreError::Newer { path: path.to_owned(), found, known: FORMAT });
    }
    Ok(())
}

/// Brings the format that was `found` to this version's.
fn prepare(database: &Connection, found: i64) -> rusqlite::Result<()> {
    // Only a database without tables takes this at once.
    database.pragma_update(None, "auto_vacuum", "INCREMENTAL")?;
    database.pragma_update(None, "journal_mode", "WAL")?;
    // A power cut costs what was not committed yet, and no more.
    database.pragma_update(None, "synchronous", "FULL")?;
    database.pragma_update(None, "journal_size_limit", LONGEST_LOG)?;
    database.busy_timeout(BUSY)?;
    // All of it or nothing: whoever is killed half-way begins again.
    let change = database.unchecked_transaction()?;
    database.execute_batch(TABLES)?;
    if (1..2).contains(&found) {
        database.execute_batch("ALTER TABLE bans ADD COLUMN services TEXT")?;
    }
    if (1..3).contains(&found) {
        database.execute_batch("ALTER TABLE bans ADD COLUMN renew INTEGER")?;
    }
    if (1..5).contains(&found) {
        database.execute_batch(POSITIONS)?;
    }
    // Who allowed somebody is known since format 6.
    let named = "SELECT count(*) FROM pragma_table_info('allowed') WHERE name = 'who'";
    if database.query_row(named, [], |row| row.get::<_, i64>(0))? == 0 {
        database.execute_batch("ALTER TABLE allowed ADD COLUMN who TEXT")?;
    }
    database.pragma_update(None, "user_version", FORMAT)?;
    change.commit()?;
    if (1..FORMAT).contains(&found)
        && let Err(error) = database.execute_batch("VACUUM")
    {
        tracing::warn!("the store was brought to format {FORMAT}, but its file will not shrink: {error}");
    }
    Ok(())
}

/// One batch, one transaction.
pub(super) fn write(database: &mut Connection, batch: &Batch) -> Result<(), StoreError> {
    let failed = |error, database: &Connection| StoreError::Database {
        path: database.path().unwrap_or_default().into(),
        error,
    };
    let write = |database: &mut Connection| {
        let transaction = database.transaction()?;
        rows::write(&transaction, batch)?;
        logins::write(&transaction, batch)?;
        history::write(&transaction, &batch.history.events)?;
        transaction.commit()
    };
    write(database).map_err(|error| failed(error, database))
}

pub(super) fn is_damage(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt))
}
