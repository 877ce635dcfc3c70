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
//! - Left off in a file that was copied and truncated (`copytruncate`): the rest of the copy, found by the bytes before
//!   the position, then the generations after it, then the file at the path from its beginning. If more was read than was
//!   copied, no copy holds the position: then what was copied later while nobody read is not found either.
//!
//! A file is the one in which reading was left off if the same bytes lie before the position: inode numbers are given
//! out again, and a truncated file may have grown past the position.
//!
//! Device numbers of some file systems (btrfs, NFS, device mapper) change when the machine restarts; so if nothing else
//! fits, the inode number alone is taken for the file at the path.

use std::iter;
use std::mem::discriminant;
use std::path::Path;

use super::error::FileError;
use super::open::{self, Identity, Opened};
use super::siblings::{self, Generation, Sibling};
use super::tail::{self, Tail};
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
    let mut beginning = open_from(path, reading.from, reading.from.offset, listed)?;
    if !beginning.holds(&reading.until) {
        // Old generations are compressed or deleted before newer ones.
        let newer = open_from(path, reading.until, 0, listed)?;
        if newer.holds(&reading.until) {
            beginning = newer;
        }
    }
    beginning.divide(reading);
    Ok(beginning)
}

impl Beginning {
    fn holds(&self, position: &FilePosition) -> bool {
        self.place(position).is_some()
    }

    /// Which of the tails holds the position: the file itself, else a copy of it.
    fn place(&self, position: &FilePosition) -> Option<usize> {
        let itself = |tail: &Tail| is_at(&tail.identity(), position) && tail.holds(position);
        let copy = |tail: &Tail| position.offset > 0 && position.print.is_some() && tail.holds(position);
        self.tails.iter().position(itself).or_else(|| self.tails.iter().position(copy))
    }

    /// Tells each tail how much of it was acted upon already.
    fn divide(&mut self, Reading { from, until }: Reading<FilePosition>) {
        let last = self.tails.len().saturating_sub(1);
        let place = self.place(&until);
        let left_off =
            place.or_else(|| self.tails.iter().position(|tail| is_at(&tail.identity(), &until))).or_else(
                || self.tails.get(last).filter(|tail| tail.identity().inode == until.inode).map(|_| last),
            );
        for (index, mut tail) in std::mem::take(&mut self.tails).into_iter().enumerate() {
            let known = match left_off {
                Some(place) if index == place && !tail.holds(&until) => {
                    self.restarted = true;
                    tail.begin_anew(false);
                    0
                }
                Some(place) if index == place => until.offset,
                Some(place) if index < place => tail.size(),
                None if is_at(&tail.identity(), &from) => tail.size(),
                _ => 0,
            };
            self.tails.push(tail.known_until(known));
        }
    }
}

/// Looks for the file that holds `position`, begins there at `start`, and goes on with the generations after it.
fn open_from(
    path: &Path,
    position: FilePosition,
    start: u64,
    listed: &[Sibling],
) -> Result<Beginning, FileError> {
    let current = match open::open(path)? {
        Some(opened) if is_at(&opened.identity(), &position) && holds(&opened, &position) => {
            return Ok(Beginning { tails: vec![Tail::new(opened, start)], ..Beginning::default() });
        }
        other => other,
    };
    if let Some((old, generation)) = find(path, position, listed).or_else(|| copy(&position, listed.iter())) {
        let skip = [current.as_ref().map(Opened::identity), Some(old.identity())];
        let is_later = |it: &&Sibling| !skip.contains(&Some(it.identity)) && is_after(it, &old, &generation);
        let mut later: Vec<&Sibling> = listed.iter().filter(is_later).collect();
        later.sort_by(|a, b| a.generation.cmp(&b.generation));
        let mut tails = vec![Tail::new(old, start)];
        let mut unopened = Vec::new();
        for sibling in later {
            match reopen(sibling) {
                Some(opened) => tails.push(Tail::new(opened, 0)),
                None => unopened.push(sibling.identity),
            }
        }
        tails.extend(current.map(|opened| Tail::new(opened, 0)));
        return Ok(Beginning { tails, unopened, restarted: true });
    }
    let Some(current) = current else { return Ok(Beginning::default()) };
    let moved = current.identity().inode == position.inode && holds(&current, &position);
    let start = if moved { start } else { 0 };
    Ok(Beginning { tails: vec![Tail::new(current, start)], restarted: !moved, ..Beginning::default() })
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
        listed.iter().find(|sibling| is_at(&sibling.identity, &position)).map(|sibling| sibling.path.clone());
    let mut names = known.into_iter().chain(iter::from_fn(|| siblings::find(path, position.inode)));
    names.by_ref().take(ATTEMPTS).find_map(|name| {
        let opened = open::open(&name).ok().flatten()?;
        let generation =
            siblings::generation(path.file_name()?, name.file_name()?).unwrap_or(Generation::Unknown);
        let fits = is_at(&opened.identity(), &position) && holds(&opened, &position);
        fits.then_some((opened, generation))
    })
}

/// Looks for a copy of the file at a position that was truncated since: the newest file with the same bytes before it.
pub(super) fn copy<'s>(
    position: &FilePosition,
    listed: impl DoubleEndedIterator<Item = &'s Sibling>,
) -> Option<(Opened, Generation)> {
    let known = position.offset > 0 && position.print.is_some();
    listed.rev().filter(|_| known).find_map(|sibling| {
        let opened = reopen(sibling).filter(|opened| holds(opened, position))?;
        Some((opened, sibling.generation.clone()))
    })
}

/// Whether a sibling came after an older file that has this name now. Names tell it where they can: a copy is born after
/// the log that it was made of, and yet what is in it came before what is in the log since. What was not written to
/// since then has nothing new, whatever its name.
pub(super) fn is_after(sibling: &Sibling, old: &Opened, generation: &Generation) -> bool {
    if discriminant(&sibling.generation) == discriminant(generation) {
        return sibling.generation > *generation && Some(sibling.modified) >= old.metadata.modified().ok();
    }
    let born = old.identity().created.or(old.metadata.modified().ok());
    Some(sibling.age().0) >= born
}

/// Whether the file at a path is the one that the position lies in.
pub(super) fn is_in(path: &Path, position: &FilePosition) -> bool {
    let here = |opened: &Opened| is_at(&opened.identity(), position) && holds(opened, position);
    open::open(path).ok().flatten().is_some_and(|opened| here(&opened))
}

fn is_at(identity: &Identity, position: &FilePosition) -> bool {
    (identity.device, identity.inode) == (position.device, position.inode)
}

fn holds(opened: &Opened, position: &FilePosition) -> bool {
    tail::holds(&opened.file, opened.metadata.len(), position)
}
