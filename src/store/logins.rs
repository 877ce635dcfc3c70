//! Logins as rows, and back: so that an office is still trusted after an upgrade, and an administrator is not locked out.

use std::sync::Arc;

use rusqlite::{Connection, Row, Transaction, params};

use super::batch::Batch;
use super::rows;
use crate::jail::logins::Login;

/// So many are kept, the newest.
const MOST: i64 = 20_000;

/// Writes the logins of a batch.
pub(super) fn write(transaction: &Transaction<'_>, batch: &Batch) -> rusqlite::Result<()> {
    let mut put = transaction.prepare_cached("INSERT OR REPLACE INTO logins VALUES (?, ?, ?, ?)")?;
    for Login { jail, address, user, time } in &batch.logins {
        let user = user.as_deref().unwrap_or_default();
        put.execute(params![jail.as_ref(), address.to_string(), user, time.as_microsecond()])?;
    }
    Ok(())
}

/// Reads them, oldest first.
pub(super) fn read(database: &Connection) -> rusqlite::Result<Vec<Login>> {
    let mut find = database.prepare("SELECT jail, address, user, time FROM logins ORDER BY time")?;
    let mut found = find.query([])?;
    let mut logins = Vec::new();
    while let Some(row) = found.next()? {
        logins.extend(rows::readable(row, login(row))?);
    }
    Ok(logins)
}

fn login(row: &Row<'_>) -> rusqlite::Result<Login> {
    let address = row.get_ref(1)?.as_str()?;
    let user: String = row.get(2)?;
    Ok(Login {
        jail: Arc::from(row.get_ref(0)?.as_str()?),
        address: address.parse().map_err(|error: std::net::AddrParseError| rows::bad(1, error))?,
        user: Some(user).filter(|user| !user.is_empty()),
        time: rows::read_time(row, 3)?,
    })
}

/// Takes out those before `oldest`, in microseconds, and those that are too many. How many.
pub(super) fn forget(transaction: &Transaction<'_>, oldest: i64) -> rusqlite::Result<usize> {
    let old = transaction.execute("DELETE FROM logins WHERE time < ?", params![oldest])?;
    let count: i64 = transaction.query_row("SELECT count(*) FROM logins", [], |row| row.get(0))?;
    let too_many = "DELETE FROM logins WHERE (jail, address, user) IN
        (SELECT jail, address, user FROM logins ORDER BY time LIMIT ?)";
    Ok(old + if count > MOST { transaction.execute(too_many, params![count - MOST])? } else { 0 })
}

#[cfg(test)]
mod tests {
    use jiff::{SignedDuration, Timestamp};

    use super::*;
    use crate::store::{Limits, Store};

    #[test]
    fn the_last_login_of_each_is_remembered_until_it_is_old() {
        let dir = tempfile::tempdir().unwrap();
        let now = Timestamp::now();
        let login = |address: &str, user: Option<&str>, hours: i64| Login {
            jail: "sshd".into(),
            address: address.parse().unwrap(),
            user: user.map(str::to_owned),
            time: now.round(jiff::Unit::Second).unwrap() - SignedDuration::from_hours(hours),
        };
        let (mut store, memory) = Store::open(dir.path(), Limits::default()).unwrap();
        assert_eq!(memory.logins, []);
        for one in [
            login("203.0.113.9", Some("alice"), 9),
            login("203.0.113.9", Some("alice"), 3),
            login("203.0.113.9", Some("bob"), 4),
            login("2001:db8::1", None, 5),
            login("203.0.113.10", None, 24 * 100),
        ] {
            store.note_login(one);
        }
        store.close();
        let (store, memory) = Store::open(dir.path(), Limits::default()).unwrap();
        store.close();
        let kept = [
            login("203.0.113.10", None, 24 * 100),
            login("2001:db8::1", None, 5),
            login("203.0.113.9", Some("bob"), 4),
            login("203.0.113.9", Some("alice"), 3),
        ];
        assert_eq!(memory.logins, kept);
        let mut database = Connection::open(dir.path().join("kban.sqlite3")).unwrap();
        let transaction = database.transaction().unwrap();
        let oldest = (now - SignedDuration::from_hours(24 * 90)).as_microsecond();
        assert_eq!(forget(&transaction, oldest).unwrap(), 1);
        assert_eq!(read(&transaction).unwrap(), kept[1..]);
    }
}
