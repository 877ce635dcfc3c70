//! The other generations of a log, beside it in its directory: `auth.log.1`, `auth.log-20261121`.
//!
//! Two questions need them. Where is the file that was read when kband stopped? And which files stood at the path
//! between two looks at it, and were moved on before they could be opened?
//!
//! A file counts as a generation by its name: the log's name with a number or a date behind it, or before its
//! extension. Compressed generations, and copies under other names (`auth.log.bak`), are never read: their lines
//! were read already, or cannot be.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs::{self, DirEntry};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::DirEntryExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::open::Identity;

/// How many entries of a directory are looked at: a local user can fill one at will.
const MOST_ENTRIES: usize = 10_000;

/// How often a directory is listed again in which names change.
const ATTEMPTS: usize = 4;

/// For how many listings a file that is gone is remembered; a listing can miss a file that is renamed meanwhile.
const REMEMBERED_LISTINGS: u32 = 8;

/// The place of a generation among the others, the oldest first, as far as the name tells.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Generation {
    /// The name says nothing.
    Unknown,
    /// `.1` is newer than `.2`.
    Numbered(Reverse<u64>),
    /// `-20261121` is newer than `-20261114`.
    Dated(Vec<u8>),
    /// At the path itself.
    Current,
}

/// One generation of a log.
#[derive(Debug, Clone)]
pub(super) struct Sibling {
    /// Its name at the time of the listing.
    pub(super) path: PathBuf,
    /// Which file it is.
    pub(super) identity: Identity,
    /// Its size then, in bytes.
    pub(super) size: u64,
    /// When it was last written, by the clock of the file system.
    pub(super) modified: SystemTime,
    /// What its name says.
    pub(super) generation: Generation,
}

impl Sibling {
    /// Sorts the oldest first: by birth where the file system knows it, by the last change otherwise, and by name
    /// among those of one clock tick.
    pub(super) fn age(&self) -> (SystemTime, &Generation) {
        (self.identity.created.unwrap_or(self.modified), &self.generation)
    }
}

/// The uncompressed generations of the log at `path`, without the log itself, the oldest first.
///
/// A directory that cannot be listed has none.
pub(super) fn list(path: &Path) -> Vec<Sibling> {
    let mut siblings: Vec<Sibling> = beside(path).filter_map(|entry| sibling(path, &entry)).collect();
    siblings.sort_by(|a, b| a.age().cmp(&b.age()));
    siblings
}

/// The same while a rotation may be under way: a listing can miss a file that is renamed meanwhile, and a name be another
/// file's by then. So they are listed until twice the same is found.
pub(super) fn list_settled(path: &Path) -> Vec<Sibling> {
    let names = |all: &[Sibling]| all.iter().map(|it| (it.path.clone(), it.identity)).collect::<Vec<_>>();
    let mut listed = list(path);
    for _ in 0..ATTEMPTS {
        let before = std::mem::replace(&mut listed, list(path));
        if names(&before) == names(&listed) {
            break;
        }
    }
    listed
}

/// Looks for a file by its inode number under any name in the directory of `path`.
pub(super) fn find(path: &Path, inode: u64) -> Option<PathBuf> {
    beside(path).find(|entry| entry.ino() == inode).map(|entry| entry.path())
}

fn beside(path: &Path) -> impl Iterator<Item = DirEntry> {
    entries(directory(path)).into_iter().flatten()
}

/// What is in a directory, or the first 10,000 of it.
///
/// # Errors
/// It cannot be listed.
pub(super) fn entries(directory: &Path) -> io::Result<impl Iterator<Item = DirEntry> + use<>> {
    Ok(fs::read_dir(directory)?.take(MOST_ENTRIES).filter_map(Result::ok))
}

/// The directory of a path, `.` for a bare name.
pub(super) fn directory(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

fn sibling(path: &Path, entry: &DirEntry) -> Option<Sibling> {
    let generation = generation(path.file_name()?, &entry.file_name())?;
    // Not followed: a generation is a file that was renamed, never a symlink.
    let metadata = entry.metadata().ok().filter(fs::Metadata::is_file)?;
    Some(Sibling {
        path: entry.path(),
        identity: Identity::of(&metadata),
        size: metadata.len(),
        modified: metadata.modified().ok()?,
        generation,
    })
}

/// What `name` says about the age of a generation of `log`; None if it is not one.
pub(super) fn generation(log: &OsStr, name: &OsStr) -> Option<Generation> {
    let (log, name) = (log.as_bytes(), name.as_bytes());
    if let Some(suffix) = name.strip_prefix(log) {
        // Where the writer has made the log before logrotate could, logrotate moves it to auth.log-2026112106.backup.
        return match suffix.strip_suffix(b".backup") {
            Some(date) => mark(date).filter(|mark| matches!(mark, Generation::Dated(_))),
            None => mark(suffix),
        };
    }
    // logrotate's `extension`: auth-20261121.log or auth.1.log. A number after anything but a dot could be another
    // log (app.log and app-2.log).
    let dot = memchr::memrchr(b'.', log)?;
    let (stem, extension) = log.split_at(dot);
    let middle = name.strip_prefix(stem)?.strip_suffix(extension)?;
    mark(middle).filter(|mark| middle.starts_with(b".") || matches!(mark, Generation::Dated(_)))
}

/// Whether `name` is that of a generation of a log, whose name `is_log`.
pub(super) fn is_generation(name: &OsStr, is_log: impl Fn(&OsStr) -> bool) -> bool {
    let bytes = name.as_bytes();
    let extension = memchr::memrchr(b'.', bytes).and_then(|dot| bytes.get(dot..)).unwrap_or_default();
    let cuts = (1..bytes.len()).filter(|cut| bytes.get(*cut).is_some_and(|byte| b".-_".contains(byte)));
    let stems = cuts.filter_map(|cut| bytes.get(..cut));
    stems.flat_map(|stem| [stem.to_vec(), [stem, extension].concat()]).any(|log| {
        let log = OsStr::from_bytes(&log);
        generation(log, name).is_some() && is_log(log)
    })
}

fn mark(suffix: &[u8]) -> Option<Generation> {
    let separator = |byte: &u8| matches!(byte, b'.' | b'-' | b'_');
    let inside =
        |byte: &u8| byte.is_ascii_digit() || separator(byte) || matches!(byte, b'T' | b'Z' | b':' | b'+');
    let digits: Vec<u8> = suffix.iter().copied().filter(u8::is_ascii_digit).collect();
    if suffix.len() > 40
        || !suffix.first().is_some_and(separator)
        || !suffix.iter().all(inside)
        || digits.is_empty()
    {
        return None;
    }
    if digits.len() >= 8 {
        return Some(Generation::Dated(digits));
    }
    std::str::from_utf8(&digits).ok()?.parse().ok().map(|number| Generation::Numbered(Reverse(number)))
}

/// The files that need not be read again, and up to where they were read.
#[derive(Debug, Default)]
pub(super) struct Seen {
    files: HashMap<Identity, (u64, u32)>,
    listing: u32,
}

impl Seen {
    /// Everything up to `offset` was read, or was there before reading began.
    pub(super) fn insert(&mut self, identity: Identity, offset: u64) {
        self.files.insert(identity, (offset, self.listing));
    }

    /// The file is gone; its inode number may be given to another.
    pub(super) fn remove(&mut self, identity: &Identity) {
        self.files.remove(identity);
    }

    /// Whether the file was met before.
    pub(super) fn contains(&self, identity: &Identity) -> bool {
        self.files.contains_key(identity)
    }

    /// Where reading goes on in a file that came back to the path. Only where the birth of files is known: without
    /// it, this could be a new file under an old inode number.
    pub(super) fn offset(&self, identity: &Identity) -> Option<u64> {
        identity.created?;
        self.files.get(identity).map(|(offset, _)| *offset)
    }

    /// The siblings of one listing are there: they are remembered as long as they are listed, with their size if
    /// they were not known.
    pub(super) fn listed<'a>(&mut self, siblings: impl Iterator<Item = &'a Sibling>) {
        self.listing = self.listing.wrapping_add(1);
        let listing = self.listing;
        for sibling in siblings {
            self.files.entry(sibling.identity).or_insert((sibling.size, listing)).1 = listing;
        }
        self.files.retain(|_, (_, last)| listing.wrapping_sub(*last) < REMEMBERED_LISTINGS);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(log: &str, name: &str) -> Option<Generation> {
        generation(OsStr::new(log), OsStr::new(name))
    }

    #[test]
    fn names_of_generations() {
        for (log, name) in [
            ("auth.log", "auth.log.1"),
            ("auth.log", "auth.log-20261121"),
            ("auth.log", "auth.log.2026-11-21"),
            ("auth.log", "auth-20261121.log"),
            ("auth.log", "auth.1.log"),
            ("secure", "secure-20261121-1795234567"),
            ("auth.log", "auth.log-2026112106.backup"),
        ] {
            assert!(of(log, name).is_some(), "{name}");
            assert!(is_generation(OsStr::new(name), |it| it == log), "{name}");
        }
        for (log, name) in [
            ("auth.log", "auth.log"),
            ("auth.log", "auth.log.1.gz"),
            ("auth.log", "auth.log.bak"),
            ("auth.log", "auth.log.old"),
            ("auth.log", "auth.log1"),
            ("auth.log", "auth.log."),
            ("auth.log", "auth.log.1~"),
            ("auth.log", "auth.log.backup"),
            ("auth.log", "auth.log.1.backup"),
            ("app.log", "app-2.log"),
            ("app.log", "application.log"),
            ("auth.log", "auth.log.11111111111111111111111111111111111111111111"),
        ] {
            assert_eq!(of(log, name), None, "{name}");
            assert!(!is_generation(OsStr::new(name), |it| it == log), "{name}");
        }
    }

    #[test]
    fn names_order_generations() {
        assert!(of("l", "l.2") < of("l", "l.1"));
        assert!(of("l", "l.10") < of("l", "l.9"));
        assert!(of("l", "l-20261114") < of("l", "l-20261121"));
        assert!(of("l", "l.1") < Some(Generation::Current));
    }

    #[test]
    fn a_bare_name_lies_in_the_current_directory() {
        assert_eq!(directory(Path::new("auth.log")), Path::new("."));
        assert_eq!(directory(Path::new("/auth.log")), Path::new("/"));
    }
}
