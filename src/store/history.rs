//! The history on disk: events go in at one end, and out at the other when they are old, or too many.

use std::net::IpAddr;
use std::time::Duration;

use ipnet::IpNet;
use jiff::Timestamp;
use rusqlite::{Connection, Row, Transaction, params};

use super::event::{Event, What};
use super::rows::{Names, bad, read_end, read_prefix, read_time, readable};
use super::{Limits, Offender, logins};

/// How many events one step of tidying takes out: some 50 ms.
const STEP: i64 = 5_000;
/// How many pages of the file one step gives back.
const PAGES: i64 = 2_000;
/// How many offenders are remembered.
const MOST_OFFENDERS: i64 = 100_000;

/// The columns that [`read`] reads.
pub(super) const COLUMNS: &str = "id, time, prefix, jail, what, until, count, source, reason, who";

/// Adds events.
pub(super) fn write<'a>(
    transaction: &Transaction<'_>,
    events: impl IntoIterator<Item = &'a Event>,
) -> rusqlite::Result<()> {
    let mut put = transaction.prepare_cached(
        "INSERT INTO history (time, prefix, network, jail, what, until, count, source, reason, who)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    )?;
    let mut count = transaction.prepare_cached(
        "INSERT INTO offenders VALUES (?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET
         count = max(count + 1, excluded.count), last = max(last, excluded.last), until = excluded.until",
    )?;
    let mut renew =
        transaction.prepare_cached("UPDATE offenders SET until = ? WHERE prefix = ? AND jail = ?")?;
    let mut put_line = transaction.prepare_cached("INSERT INTO evidence VALUES (?, ?, ?, ?)")?;
    for event in events {
        let id = put.insert(params![
            event.time.as_microsecond(),
            event.prefix.to_string(),
            network(event.prefix.network()),
            event.jail.as_ref(),
            event.what.name(),
            event.until.map(Timestamp::as_microsecond),
            event.count,
            event.source.as_ref(),
            event.reason.as_ref(),
            event.who.as_deref(),
        ])?;
        if event.what == What::Ban {
            let end = event.until.map(Timestamp::as_microsecond);
            let time = event.time.as_microsecond();
            count.execute(params![event.prefix.to_string(), event.jail.as_ref(), event.count, time, end])?;
        }
        if matches!(event.what, What::Unban(_)) {
            // Who knocked was banned for longer than it was to be at first.
            let end = event.until.map(Timestamp::as_microsecond);
            renew.execute(params![end, event.prefix.to_string(), event.jail.as_ref()])?;
        }
        for (number, line) in (0_i64..).zip(&event.lines) {
            put_line.execute(params![id, number, line.time.as_microsecond(), &*line.bytes])?;
        }
    }
    Ok(())
}

/// An event and its number; its lines are left out. None if the row means nothing.
pub(super) fn read(row: &Row<'_>, names: &mut Names) -> rusqlite::Result<Option<(i64, Event)>> {
    let read = |names: &mut Names| {
        let what = row.get_ref(4)?.as_str()?;
        let event = Event {
            time: read_time(row, 1)?,
            prefix: read_prefix(row, 2)?,
            jail: names.read(row, 3)?,
            what: What::named(what).ok_or_else(|| bad(4, format!("'{what}' never happens")))?,
            until: read_end(row, 5)?,
            count: row.get(6)?,
            source: names.read(row, 7)?,
            reason: names.read(row, 8)?,
            who: row.get::<_, Option<String>>(9)?.map(Into::into),
            lines: Vec::new(),
        };
        Ok((row.get(0)?, event))
    };
    readable(row, read(names))
}

/// What the index of prefixes has for one that begins with this address.
pub(super) fn network(first: IpAddr) -> Vec<u8> {
    match first {
        IpAddr::V4(first) => [&[4], &first.octets()[..]].concat(),
        IpAddr::V6(first) => [&[6], &first.octets()[..]].concat(),
    }
}

/// The prefix of so many bits that begins with what [`network`] gave, or with the first bytes of it.
pub(super) fn prefix(network: &[u8], bits: u8) -> Option<IpNet> {
    fn padded<const N: usize>(bytes: &[u8]) -> [u8; N] {
        std::array::from_fn(|at| bytes.get(at).copied().unwrap_or_default())
    }
    let (family, bytes) = network.split_first()?;
    let address = match family {
        4 => IpAddr::from(padded::<4>(bytes)),
        6 => IpAddr::from(padded::<16>(bytes)),
        _ => return None,
    };
    IpNet::new(address, bits).ok()
}

/// The latest time that the history has.
pub(super) fn newest(database: &Connection) -> rusqlite::Result<Option<Timestamp>> {
    database.query_row("SELECT max(time) FROM history", [], |row| read_end(row, 0))
}

/// Who was banned how often, and last no longer than `keep` before `now`.
pub(super) fn offenders(
    database: &Connection,
    keep: Duration,
    now: Timestamp,
) -> rusqlite::Result<Vec<Offender>> {
    let mut found = database.prepare(
        "SELECT prefix, jail, count, last, until FROM offenders WHERE last >= ? ORDER BY last DESC LIMIT ?",
    )?;
    let mut rows = found.query(params![oldest(keep, now), MOST_OFFENDERS])?;
    let (mut offenders, mut names) = (Vec::new(), Names::default());
    while let Some(row) = rows.next()? {
        let mut read = || {
            Ok(Offender {
                prefix: read_prefix(row, 0)?,
                jail: names.read(row, 1)?,
                count: row.get(2)?,
                last: read_time(row, 3)?,
                until: read_end(row, 4)?,
            })
        };
        offenders.extend(readable(row, read())?);
    }
    Ok(offenders)
}

/// The first moment that is kept, in microseconds.
fn oldest(keep: Duration, now: Timestamp) -> i64 {
    now.checked_sub(keep).map_or(i64::MIN, Timestamp::as_microsecond)
}

/// Takes out some of what is older than it may be, or too much, and gives room back to the file system. Whether there may be more.
///
/// What is of the future stays: the clock has gone back, and its time will come.
pub(super) fn purge(database: &mut Connection, limits: Limits, now: Timestamp) -> rusqlite::Result<bool> {
    let transaction = database.transaction()?;
    let oldest = oldest(limits.keep, now);
    let old = "SELECT id FROM history WHERE time < ?1 ORDER BY time LIMIT ?2";
    let mut gone = delete(&transaction, old, oldest)?;
    if gone == 0 && size(&transaction)? > limits.max_size {
        gone = delete(&transaction, "SELECT id FROM history WHERE ?1 = ?1 ORDER BY id LIMIT ?2", oldest)?;
    }
    gone += forget_offenders(&transaction, oldest)?;
    gone += logins::forget(&transaction, oldest)?;
    transaction.commit()?;
    let free = pragma(database, "freelist_count")?;
    if free > 0 {
        // It takes one page out with each step.
        let mut vacuum = database.prepare(&format!("PRAGMA incremental_vacuum({PAGES})"))?;
        let mut steps = vacuum.query([])?;
        while steps.next()?.is_some() {}
    }
    // It ends where it did until the log is played into it, which waits for readers.
    let waits = is_longer(database)? && {
        database.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()))?;
        is_longer(database)?
    };
    Ok(gone > 0 || free > PAGES || waits)
}

/// Whether the file is longer than what is in it.
fn is_longer(database: &Connection) -> rusqlite::Result<bool> {
    let file = database.path().and_then(|path| std::fs::metadata(path).ok());
    let pages = pragma(database, "page_count")? * pragma(database, "page_size")?;
    Ok(file.is_some_and(|file| file.len() > pages.unsigned_abs()))
}

/// Takes out some of those who were not banned for long, or are too many. How many.
fn forget_offenders(transaction: &Transaction<'_>, oldest: i64) -> rusqlite::Result<usize> {
    let count: i64 = transaction.query_row("SELECT count(*) FROM offenders", [], |row| row.get(0))?;
    let mut forget = transaction.prepare_cached(
        "DELETE FROM offenders WHERE (prefix, jail) IN
         (SELECT prefix, jail FROM offenders WHERE last < ? ORDER BY last LIMIT ?)",
    )?;
    let old = forget.execute(params![oldest, STEP])?;
    let too_many = (count - MOST_OFFENDERS).clamp(0, STEP);
    Ok(old + forget.execute(params![i64::MAX, too_many])?)
}

/// Takes out the events whose numbers `which` selects. How many.
fn delete(transaction: &Transaction<'_>, which: &str, oldest: i64) -> rusqlite::Result<usize> {
    let bounds = params![oldest, STEP];
    transaction.prepare_cached(&format!("DELETE FROM evidence WHERE event IN ({which})"))?.execute(bounds)?;
    transaction.prepare_cached(&format!("DELETE FROM history WHERE id IN ({which})"))?.execute(bounds)
}

/// How many bytes of the file are in use.
fn size(database: &Connection) -> rusqlite::Result<u64> {
    let pages = pragma(database, "page_count")? - pragma(database, "freelist_count")?;
    Ok((pages * pragma(database, "page_size")?).unsigned_abs())
}

fn pragma(database: &Connection, name: &str) -> rusqlite::Result<i64> {
    database.pragma_query_value(None, name, |row| row.get(0))
}
