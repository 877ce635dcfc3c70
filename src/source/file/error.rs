//! What can go wrong with a log file, in the words that the administrator reads.
//!
//! Paths are shown escaped: the names in a directory can be a local user's.

use std::io;
use std::path::{Path, PathBuf};

/// Whether a path leads where a service with `ProtectHome=yes` sees nothing (systemd.exec(5)).
#[must_use]
pub fn is_below_a_home(path: &Path) -> bool {
    ["/home", "/root", "/run/user"].iter().any(|home| path.starts_with(home))
}

fn let_it_read(path: &Path) -> &'static str {
    if is_below_a_home(path) {
        "give kban.service the drop-in home-logs.conf, and root-logs.conf where only its owner may read it"
    } else {
        "let kband run in the group that owns it (often adm), \
         or give kban.service the drop-in root-logs.conf where only root may read it"
    }
}

/// Why a file cannot be read or watched.
#[derive(Debug, thiserror::Error)]
pub(super) enum FileError {
    /// `EACCES` or `EPERM`.
    #[error("permission to read {path:?} is denied: {remedy}", remedy = let_it_read(path))]
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_below_a_home_is_given_the_drop_in_for_homes() {
        for (path, remedy) in [
            (
                "/var/log/secure",
                "or give kban.service the drop-in root-logs.conf where only root may read it",
            ),
            (
                "/home/ann/.vnc/h.log",
                "give kban.service the drop-in home-logs.conf, and root-logs.conf where",
            ),
            ("/root/.vnc/h.log", "drop-in home-logs.conf"),
            ("/rootless/h.log", "drop-in root-logs.conf"),
        ] {
            let told = FileError::Denied { path: path.into() }.to_string();
            assert!(told.contains(remedy), "{told}");
        }
    }
}
