//! What can go wrong with a log file, in the words that the administrator reads.
//!
//! Paths are shown escaped: the names in a directory can be a local user's.

use std::io;
use std::path::PathBuf;

/// Why a file cannot be read or watched.
#[derive(Debug, thiserror::Error)]
pub(super) enum FileError {
    /// `EACCES` or `EPERM`.
    #[error(
        "permission to read {path:?} is denied: let kband run in the group that owns it (often adm); \
         where only root may read it, add the drop-in root-logs.conf to kban.service"
    )]
    Denied {
        /// The file.
        path: PathBuf,
    },
    /// A directory, device, fifo or socket: opening it could block or do something.
    #[error("{path:?} is {kind} and not a log file: name a regular file")]
    NotRegular {
        /// What was named.
        path: PathBuf,
        /// What it is, with its article.
        kind: &'static str,
    },
    /// open(2) or stat(2) failed for another reason.
    #[error("{path:?} cannot be opened ({source}): check the path and its file system")]
    Open {
        /// The file.
        path: PathBuf,
        /// errno.
        source: io::Error,
    },
    /// pread(2) or fstat(2) failed.
    #[error(
        "reading {path:?} failed ({source}): check the disk and its file system; kband tries again by itself"
    )]
    Read {
        /// The file.
        path: PathBuf,
        /// errno.
        source: io::Error,
    },
    /// `ENOSPC` from inotify_add_watch(2).
    #[error(
        "{path:?} cannot be watched, the limit of inotify watches is reached, and is looked at every 2 s instead: \
         raise it with `sysctl fs.inotify.max_user_watches=524288`"
    )]
    WatchLimit {
        /// The file or directory.
        path: PathBuf,
    },
    /// inotify_add_watch(2) failed for another reason.
    #[error(
        "{path:?} cannot be watched ({source}) and is looked at every 2 s instead: \
         check that kband may read the directory and that /proc is mounted"
    )]
    Unwatched {
        /// The file or directory.
        path: PathBuf,
        /// errno.
        source: io::Error,
    },
    /// inotify_init1(2) failed, mostly because the user has too many instances (`EMFILE`).
    #[error(
        "inotify is not available ({source}) and log files are looked at every 2 s instead: \
         raise `fs.inotify.max_user_instances`"
    )]
    NoInotify {
        /// errno.
        source: io::Error,
    },
}
