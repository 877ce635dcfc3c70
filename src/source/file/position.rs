//! Where reading begins when a log is met for the first time in the life of this process.
//!
//! - Never seen before: at the end of what is there. A log that appears later is read from its beginning.
//! - Left off in the file that is at the path: there, if the file is still as long; it was truncated otherwise, and
//!   is read from its beginning.
//! - Left off in a file that was rotated away meanwhile: the rest of that file, found by its inode number in the same
//!   directory, then the generations after it, then the file at the path.
//! - Left off in a file that cannot be found (compressed, deleted, moved to another directory): the whole file at
//!   the path. Its lines came later than those that were read.
//! - What was acted upon already is read again from where its window begins. If that place cannot be found, from the
//!   start of the file in which reading was left off. In the files before that one, everything is known; in
//!   that one, what lies before the place; if it is shorter than that, it was truncated and is all new.
//!
//! Device numbers of some file systems (btrfs, NFS, device mapper) change when the machine restarts; so if nothing else
//! fits, the inode number alone is taken for the file at the path.
//!
//! Two things cannot be told apart from inode and size alone: a file that was truncated and has grown past
//! the stored offset, and a new file with the inode number of the old one that is already longer than it.

use std::iter;
use std::mem::discriminant;
use std::path::Path;
use std::time::SystemTime;

use super::error::FileError;
use super::open::{self, Identity, Opened};
use super::siblings::{self, Generation, Sibling};
use super::tail::Tail;
use crate::source::{FilePosition, Reading};

/// How often a file is looked for that is renamed meanwhile.
const ATTEMPTS: usize = 4;

/// What is open when reading begins.
#[derive(Debug, Default)]
pub(super) struct Beginning {
    /// To be read in this order; the last one is the file at the path if there is one.
    pub(super) tails: Vec<Tail>,
    /// To be read as well, but renamed before they could be opened: to be looked for again.
    pub(super) unopened: Vec<Identity>,
    /// The stored position could not be used as it was.
    pub(super) restarted: bool,
}

/// Begins at the end of what is there. `noted` keeps what was found first, in case it cannot be opened until later.
///
/// # Errors
/// The file at the path cannot be opened or read.
pub(super) fn at_end(path: &Path, noted: &mut Option<(Identity, u64)>) -> Result<Option<Tail>, FileError> {
    let Some(metadata) = open::inspect(path)? else { return Ok(None) };
    let (identity, size) = *noted.get_or_insert((Identity::of(&metadata), metadata.len()));
    let Some(opened) = open::open(path)? else { return Ok(None) };
    if opened.identity() != identity {
        return Ok(Some(Tail::new(opened, 0)));
    }
    let tail =
        Tail::after(opened, size).map_err(|source| FileError::Read { path: path.to_owned(), source })?;
    Ok(Some(tail))
}

/// Begins where an earlier process left off, and tells what is known from what is new.
///
/// # Errors
/// The file at the path cannot be opened.
pub(super) fn resume(
    path: &Path,
    reading: Reading<FilePosition>,
    listed: &[Sibling],
) -> Result<Beginning, FileError> {
    let mut beginning = open_from(path, reading.from, listed)?;
    if !beginning.holds(reading.until) {
        // Old generations are compressed or deleted before newer ones.
        let newer = open_from(path, FilePosition { offset: 0, ..reading.until }, listed)?;
        if newer.holds(reading.until) {
            beginning = newer;
        }
    }
    beginning.divide(reading);
    Ok(beginning)
}

impl Beginning {
    fn holds(&self, position: FilePosition) -> bool {
        self.tails.iter().any(|tail| is_at(&tail.identity(), position))
    }

    /// Tells each tail how much of it was acted upon already.
    fn divide(&mut self, Reading { from, until }: Reading<FilePosition>) {
        let last = self.tails.len().saturating_sub(1);
        let by_inode = !self.holds(until);
        let left_off = self.tails.iter().enumerate().position(|(index, tail)| {
            is_at(&tail.identity(), until)
                || (by_inode && index == last && tail.identity().inode == until.inode)
        });
        for (index, mut tail) in std::mem::take(&mut self.tails).into_iter().enumerate() {
            let size = tail.size();
            let known = match left_off {
                Some(place) if index == place && size < until.offset => {
                    self.restarted = true;
                    tail = tail.rewound();
                    0
                }
                Some(place) if index == place => until.offset,
                Some(place) if index < place => size,
                None if is_at(&tail.identity(), from) => size,
                _ => 0,
            };
            self.tails.push(tail.known_until(known));
        }
    }
}

/// Begins at `position`, and goes on with the generations after it.
fn open_from(path: &Path, position: FilePosition, listed: &[Sibling]) -> Result<Beginning, FileError> {
    let current = open::open(path)?;
    let current = match current {
        Some(opened) if same_file(&opened, position) => {
            let restarted = opened.metadata.len() < position.offset;
            let tails = vec![Tail::new(opened, position.offset)];
            return Ok(Beginning { tails, restarted, ..Beginning::default() });
        }
        other => other,
    };
    if let Some((old, generation)) = find(path, position, listed) {
        let born = old.identity().created.or(old.metadata.modified().ok());
        let skip = [current.as_ref().map(Opened::identity), Some(old.identity())];
        let mut tails = vec![Tail::new(old, position.offset)];
        let mut unopened = Vec::new();
        for sibling in listed.iter().filter(|it| !skip.contains(&Some(it.identity))) {
            if !is_after(sibling, born, &generation) {
                continue;
            }
            match reopen(sibling) {
                Some(opened) => tails.push(Tail::new(opened, 0)),
                None => unopened.push(sibling.identity),
            }
        }
        tails.extend(current.map(|opened| Tail::new(opened, 0)));
        return Ok(Beginning { tails, unopened, restarted: true });
    }
    let Some(current) = current else { return Ok(Beginning::default()) };
    let moved = current.metadata.len() >= position.offset && current.identity().inode == position.inode;
    let offset = if moved { position.offset } else { 0 };
    Ok(Beginning { tails: vec![Tail::new(current, offset)], restarted: !moved, ..Beginning::default() })
}

/// Opens a sibling under the name that it had when it was listed. None: another file has that name now, or it cannot
/// be read, which must not keep the log itself from being read.
pub(super) fn reopen(sibling: &Sibling) -> Option<Opened> {
    open::open(&sibling.path).ok().flatten().filter(|opened| opened.identity() == sibling.identity)
}

/// Looks for the file at a position under the names of its generations, then under any name, and again if it was
/// renamed meanwhile.
fn find(path: &Path, position: FilePosition, listed: &[Sibling]) -> Option<(Opened, Generation)> {
    let known =
        listed.iter().find(|sibling| is_at(&sibling.identity, position)).map(|sibling| sibling.path.clone());
    let mut names = known.into_iter().chain(iter::from_fn(|| siblings::find(path, position.inode)));
    names.by_ref().take(ATTEMPTS).find_map(|name| {
        let opened = open::open(&name).ok().flatten()?;
        let generation =
            siblings::generation(path.file_name()?, name.file_name()?).unwrap_or(Generation::Unknown);
        let fits = same_file(&opened, position) && opened.metadata.len() >= position.offset;
        fits.then_some((opened, generation))
    })
}

/// Whether a sibling came after the file that was born then and has this name now. Birth and name have to agree: the
/// copies that copytruncate leaves are born after the log itself, but their names are those of older generations.
fn is_after(sibling: &Sibling, born: Option<SystemTime>, generation: &Generation) -> bool {
    let comparable = discriminant(&sibling.generation) == discriminant(generation);
    let (sibling_born, sibling_generation) = sibling.age();
    Some(sibling_born) >= born && (!comparable || sibling_generation > generation)
}

fn same_file(opened: &Opened, position: FilePosition) -> bool {
    is_at(&opened.identity(), position)
}

fn is_at(identity: &Identity, position: FilePosition) -> bool {
    (identity.device, identity.inode) == (position.device, position.inode)
}
