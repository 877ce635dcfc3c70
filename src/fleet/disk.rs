//! The fleet's files in the state directory: SQLite, opened, changed and complained about in one way.
//!
//! A power cut may cost the last moments; a crash costs nothing.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ipnet::IpNet;
use rusqlite::{Connection, Transaction};

/// What a host has not reported yet, what an edge knows, and what a firewall has counted.
pub(super) const FLEET: &str = "fleet.sqlite3";
/// How long one of several who use a file waits for another.
const PATIENCE: Duration = Duration::from_secs(5);

/// A file cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{}: {error}: check the directory's owner and free space", .path.display())]
pub struct DiskError {
    path: PathBuf,
    error: rusqlite::Error,
}

/// An open file.
#[derive(Debug)]
pub(super) struct Disk {
    database: Connection,
    path: PathBuf,
}

impl Disk {
    /// Opens or makes `file` in `directory`, with these tables; with no directory, all of it ends with this process.
    ///
    /// # Errors
    /// It cannot be opened, or is none of ours.
    pub(super) fn open(directory: Option<&Path>, file: &str, tables: &str) -> Result<Self, DiskError> {
        let path = directory.map(|directory| directory.join(file));
        let opened = path.as_ref().map_or_else(Connection::open_in_memory, Connection::open);
        let path = path.unwrap_or_else(|| PathBuf::from("memory"));
        let begin = |database: Connection| {
            database.pragma_update(None, "journal_mode", "WAL")?;
            database.pragma_update(None, "synchronous", "NORMAL")?;
            database.busy_timeout(PATIENCE)?;
            database.execute_batch(tables)?;
            Ok(database)
        };
        match opened.and_then(begin) {
            Ok(database) => Ok(Self { database, path }),
            Err(error) => Err(DiskError { path, error }),
        }
    }

    /// What `work` finds.
    ///
    /// # Errors
    /// The disk is gone.
    pub(super) fn ask<T>(
        &self,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, DiskError> {
        work(&self.database).map_err(|error| DiskError { path: self.path.clone(), error })
    }

    /// All that `work` does, or nothing of it.
    ///
    /// # Errors
    /// The disk is full, or gone.
    pub(super) fn change<T>(
        &self,
        work: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T>,
    ) -> Result<T, DiskError> {
        self.ask(|database| {
            // Nobody else has this connection, and `work` has nothing to begin another with.
            let transaction = database.unchecked_transaction()?;
            let done = work(&transaction)?;
            transaction.commit()?;
            Ok(done)
        })
    }
}

/// As the tables have it: the address, and the length of the prefix.
pub(super) fn key(prefix: &IpNet) -> Vec<u8> {
    let mut key = match prefix.addr() {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    };
    key.push(prefix.prefix_len());
    key
}
