//! The bans in force by fail2ban's account: what its database has of them.

use std::path::Path;

use jiff::Timestamp;
use rusqlite::{Connection, OpenFlags, Row};

use crate::cli::exit::{Exit, Failure};
use crate::cli::output;
use crate::control::moved::{Moved, SCHEMA};

/// Where fail2ban keeps it if nobody says otherwise.
pub(in crate::cli) const DATABASE: &str = "/var/lib/fail2ban/fail2ban.sqlite3";
/// The newest ban of each address and jail; since fail2ban 0.11.
const BANS: &str = "SELECT ip, jail, timeofban, bantime, bancount FROM bips ORDER BY jail, ip";
/// How many bans are taken over at most.
const MOST: usize = 1_000_000;

/// Every ban that is not over at `now`.
pub(in crate::cli) fn read(path: &Path, now: Timestamp) -> Result<Vec<Moved>, Failure> {
    let failed = |error: rusqlite::Error| {
        let message = format!(
            "cannot read fail2ban's bans from {}: {error}; name its database (dbfile in fail2ban.conf)",
            path.display()
        );
        Failure::new(Exit::Usage, output::harmless(&message))
    };
    let database = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY).map_err(failed)?;
    let mut bans = database.prepare(BANS).map_err(failed)?;
    let rows = bans.query_map([], |row| ban(row, now)).map_err(failed)?;
    let found: Result<Vec<Option<Moved>>, _> = rows.take(MOST).collect();
    Ok(found.map_err(failed)?.into_iter().flatten().collect())
}

fn ban(row: &Row<'_>, now: Timestamp) -> rusqlite::Result<Option<Moved>> {
    let (began, bantime): (i64, i64) = (row.get(2)?, row.get(3)?);
    let left = began.saturating_add(bantime).saturating_sub(now.as_second());
    // -1 is for ever.
    let seconds_left = if bantime < 0 { None } else { Some(u64::try_from(left).unwrap_or(0)) };
    if seconds_left == Some(0) {
        return Ok(None);
    }
    Ok(Some(Moved {
        schema: SCHEMA,
        address: row.get(0)?,
        jail: row.get(1)?,
        since: Timestamp::from_second(began).unwrap_or(now),
        seconds_left,
        count: row.get(4)?,
        ports: None,
        source: "fail2ban".into(),
        reason: "banned by fail2ban".into(),
    }))
}
