//! The journal: one journalctl for each place that has one, whatever many jails want of it.
//!
//! - `matches`: which entries; `cursor`: where in the journal
//! - `export`: from bytes to entries; `entry`: from an entry to a line, if its service can have written it
//! - `child`: journalctl
//! - `subscriber` and `follow`: one list of matches within the task, and the task
//! - `past`: the same lines without a task, for `banctl test`
//!
//! Nothing but `child` and `follow` waits or does I/O of its own.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

mod child;
mod cursor;
mod entry;
mod export;
mod follow;
mod matches;
mod past;
mod subscriber;

pub use cursor::{Cursor, JournalPosition};
pub(super) use follow::follow;
pub use matches::{Alternative, Matches, NoMatch};
pub use past::Past;
pub(super) use subscriber::Subscriber;

/// Where journald keeps the machine's journal, below its root: on disk, and until the next start.
pub const PLACES: [&str; 2] = ["var/log/journal", "run/log/journal"];

/// Which journal.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// The machine's own.
    Machine,
    /// That of a namespace (`LogNamespace=`, systemd.exec(5)).
    Namespace(Arc<str>),
    /// What lies in this directory: received from other machines, say.
    Directory(PathBuf),
}

impl Place {
    /// Whether entries of several machines, and so of several boots at a time, are followed together.
    fn is_merged(&self) -> bool {
        matches!(self, Self::Directory(_))
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Machine => f.write_str("journal"),
            Self::Namespace(name) => write!(f, "journal:{name}"),
            Self::Directory(path) => write!(f, "journal:{}", path.display()),
        }
    }
}

/// Whether the machine below `root` has a journal, and a program that reads it.
#[must_use]
pub fn is_here(root: &Path) -> bool {
    child::is_here(root)
}
