//! Keys: ed25519 in the form that nats-server reads (nkeys). Seeds never leave the machine that they were made on.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use nkeys::KeyPair;

/// Why a key cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The file cannot be read or written.
    #[error("{}: {error}", .path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What the file system says.
        error: io::Error,
    },
    /// The file does not hold a seed.
    #[error("{} holds no key: move it away, then join or init again", .path.display())]
    NoSeed {
        /// Which.
        path: PathBuf,
    },
    /// It is there already: what is signed or known by it would be lost.
    #[error("{} is there already: this machine is in a fleet; move the directory away to begin anew", .path.display())]
    IsThere {
        /// Which.
        path: PathBuf,
    },
}

/// Makes a key and keeps its seed in `path`, which must not exist: readable by its owner and its group only.
///
/// # Errors
/// The file is there, or cannot be written.
pub fn make(path: &Path) -> Result<KeyPair, KeyError> {
    let key = KeyPair::new_user();
    let failed = |error: io::Error| match error.kind() {
        io::ErrorKind::AlreadyExists => KeyError::IsThere { path: path.to_owned() },
        _ => KeyError::File { path: path.to_owned(), error },
    };
    let seed = key.seed().map_err(|_| KeyError::NoSeed { path: path.to_owned() })?;
    let mut file = File::options().write(true).create_new(true).mode(0o640).open(path).map_err(failed)?;
    file.write_all(format!("{seed}\n").as_bytes()).and_then(|()| file.sync_all()).map_err(failed)?;
    // Whatever the umask was.
    fs::set_permissions(path, fs::Permissions::from_mode(0o640)).map_err(failed)?;
    Ok(key)
}

/// Reads the seed in `path`.
///
/// # Errors
/// It cannot be read, or is none.
pub fn load(path: &Path) -> Result<KeyPair, KeyError> {
    let text = fs::read_to_string(path).map_err(|error| KeyError::File { path: path.to_owned(), error })?;
    KeyPair::from_seed(text.trim()).map_err(|_| KeyError::NoSeed { path: path.to_owned() })
}

/// Whether `text` is the public key of somebody who connects, its check sum included.
#[must_use]
pub fn is_public(text: &str) -> bool {
    text.starts_with('U') && KeyPair::from_public_key(text).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_made_once_and_its_seed_is_nobody_elses() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("host.seed");
        let made = make(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o640);
        assert_eq!(load(&path).unwrap().public_key(), made.public_key());
        assert!(matches!(make(&path), Err(KeyError::IsThere { .. })));
        assert!(is_public(&made.public_key()) && !is_public(&made.seed().unwrap()) && !is_public("U"));
        let mut wrong = made.public_key();
        wrong.replace_range(20..22, if &wrong[20..22] == "AA" { "BB" } else { "AA" });
        assert!(!is_public(&wrong), "the check sum");
        fs::write(&path, "secret\n").unwrap();
        assert!(matches!(load(&path), Err(KeyError::NoSeed { .. })));
    }
}
