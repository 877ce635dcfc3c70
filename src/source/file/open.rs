//! Opening a log file without side effects, and telling files apart.
//!
//! A path from a configuration can lead to anything. It is looked at before it is opened, because opening alone can
//! already do something (a watchdog starts, a tape rewinds, a fifo blocks), and once more afterwards, because it
//! can have changed in between.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::time::SystemTime;

use nix::fcntl::OFlag;

use super::error::FileError;

/// Which file it is, whatever its name at the moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Identity {
    /// `st_dev`.
    pub(super) device: u64,
    /// `st_ino`.
    pub(super) inode: u64,
    /// When it was born, where the file system knows: inode numbers are given out again.
    pub(super) created: Option<SystemTime>,
}

impl Identity {
    /// The identity of the file that these are the metadata of.
    pub(super) fn of(metadata: &Metadata) -> Self {
        Self { device: metadata.dev(), inode: metadata.ino(), created: metadata.created().ok() }
    }
}

/// A regular file, opened for reading.
#[derive(Debug)]
pub(super) struct Opened {
    /// The file.
    pub(super) file: File,
    /// As it was right after opening.
    pub(super) metadata: Metadata,
}

impl Opened {
    /// Which file it is.
    pub(super) fn identity(&self) -> Identity {
        Identity::of(&self.metadata)
    }
}

/// Looks at a path without opening it. `Ok(None)`: nothing is there.
///
/// # Errors
/// It is not a regular file, or stat(2) failed.
pub(super) fn inspect(path: &Path) -> Result<Option<Metadata>, FileError> {
    match fs::metadata(path) {
        Ok(metadata) => regular(path, metadata).map(Some),
        Err(error) => absent_or(path, error),
    }
}

/// Opens a regular file for reading. `Ok(None)`: nothing is there.
///
/// # Errors
/// It is not a regular file, or open(2) failed.
pub(super) fn open(path: &Path) -> Result<Option<Opened>, FileError> {
    if inspect(path)?.is_none() {
        return Ok(None);
    }
    // O_CLOEXEC is added by the standard library.
    let flags = OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
    match OpenOptions::new().read(true).custom_flags(flags.bits()).open(path) {
        Ok(file) => {
            let metadata = file
                .metadata()
                .map_err(|source| FileError::Open { path: path.to_owned(), source })
                .and_then(|metadata| regular(path, metadata))?;
            Ok(Some(Opened { file, metadata }))
        }
        Err(error) => absent_or(path, error),
    }
}

fn absent_or<T>(path: &Path, source: io::Error) -> Result<Option<T>, FileError> {
    match source.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => Ok(None),
        io::ErrorKind::PermissionDenied => Err(FileError::Denied { path: path.to_owned() }),
        _ => Err(FileError::Open { path: path.to_owned(), source }),
    }
}

fn regular(path: &Path, metadata: Metadata) -> Result<Metadata, FileError> {
    let kind = metadata.file_type();
    if kind.is_file() {
        return Ok(metadata);
    }
    let kind = if kind.is_dir() {
        "a directory"
    } else if kind.is_fifo() {
        "a fifo"
    } else if kind.is_socket() {
        "a socket"
    } else {
        "a device"
    };
    Err(FileError::NotRegular { path: path.to_owned(), kind })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_regular_files_are_opened() {
        let dir = tempfile::tempdir().unwrap();
        let fifo = dir.path().join("fifo");
        nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
        for (path, kind) in
            [(dir.path(), "a directory"), (&fifo, "a fifo"), (Path::new("/dev/zero"), "a device")]
        {
            match open(path) {
                Err(FileError::NotRegular { kind: told, .. }) => assert_eq!(told, kind),
                other => panic!("{path:?}: {other:?}"),
            }
        }
    }

    #[test]
    fn what_is_not_there_is_no_error() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("file"), "").unwrap();
        assert!(open(&dir.path().join("none")).unwrap().is_none());
        assert!(open(&dir.path().join("file/below")).unwrap().is_none());
    }

    #[test]
    fn a_symlink_loop_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let link = dir.path().join("loop");
        std::os::unix::fs::symlink(&link, &link).unwrap();
        assert!(matches!(open(&link), Err(FileError::Open { .. })));
    }
}
