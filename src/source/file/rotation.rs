//! One log through all its rotations: the files that are or were at its path, each read to its end.
//!
//! The files form a chain, the oldest first, the one at the path last. A turn of reading goes through the chain from the
//! oldest, so a file is only read once the files before it have nothing new. A file that left the path stays
//! open and is followed until nothing was written to it for [`GRACE`]: its writer may not have noticed yet.
//! Its last line is handed over even without a newline when it is closed.
//!
//! Several rotations between two looks lose nothing as long as the files in between still exist, uncompressed and in
//! the same directory: they are found as [`siblings`] that were not there before. Out of reach are a file that was
//! created and deleted between two looks, and what is written to a file later than the grace allows.
//!
//! What was in a file when it was truncated before it was read is read in the copy that was made of it before, if
//! there is one beside it: a sibling that was not there before, and holds the bytes that were read last.
//!
//! Nothing here waits or knows of inotify: whoever calls says when to look, and at what instant. Only the times of files are
//! compared with the clock.

use std::collections::VecDeque;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use super::error::FileError;
use super::open::Identity;
use super::siblings::Seen;
use super::tail::{Portion, Step, Tail};
use crate::source::{FilePosition, Manner, Reading, Runtime};

mod copies;
mod look;

/// How long a file that left the path is followed after the last write to it.
pub(super) const GRACE: Duration = Duration::from_secs(60);

/// How many files of one log are open at most. The oldest one is closed early, read to its end, when more are needed.
const MOST_OPEN: usize = 32;

/// One file of the chain.
#[derive(Debug)]
struct Link {
    tail: Tail,
    /// Lines of it were handed over, or were before this process: no restart may begin in an older file any more.
    begun: bool,
    /// Since when it is away from the path and nothing was written to it.
    quiet_since: Option<Instant>,
    /// To be closed when its end is reached.
    closing: bool,
}

/// What a look at the path found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Look {
    /// A file is at the path.
    pub(super) present: bool,
    /// Everything that was found is open. If not: read what is open, then look again.
    pub(super) settled: bool,
}

/// What one turn of reading gave.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// Whole lines, and where reading goes on after them; none, if all of them are broken.
    Lines(Portion, FilePosition),
    /// Nothing yet; another turn may give something.
    Unfinished,
    /// Everything is read.
    Idle,
}

/// Follows the log at one path.
#[derive(Debug)]
pub(super) struct Follower {
    path: PathBuf,
    style: Style,
    chain: VecDeque<Link>,
    seen: Seen,
    /// No file of interest was last written before this, by the clock of the file system.
    since: Option<SystemTime>,
    /// Its path is not one of those that are to be read any more.
    leaving: bool,
    first: Option<First>,
    restarts: u64,
    revision: u64,
}

/// How a log is read.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Style {
    /// Whose wrapping is taken off its lines.
    pub(super) runtime: Option<Runtime>,
    /// As it is configured.
    pub(super) manner: Manner,
}

/// Where reading begins.
#[derive(Debug, Clone, Copy)]
pub(super) enum Start {
    /// At the end of what is there when it is looked at first.
    End,
    /// At the beginning of what is there.
    Beginning,
    /// Where an earlier process, or another log of the same pattern, left off.
    At(Reading<FilePosition>),
}

/// Before the first look that could tell what is at the path.
#[derive(Debug)]
struct First {
    start: Start,
    /// The file that was there but could not be opened, and its size when it was first met.
    noted: Option<(Identity, u64)>,
}

impl Follower {
    /// Opens nothing yet; the first [`check`](Self::check) does.
    pub(super) fn new(path: PathBuf, start: Start, style: Style) -> Self {
        let first = Some(First { start, noted: None });
        let (chain, seen) = (VecDeque::new(), Seen::default());
        Self { path, style, chain, seen, since: None, leaving: false, first, restarts: 0, revision: 0 }
    }

    /// Looks at what is at the path now: opens what is new, and begins to take leave of what is no longer there.
    ///
    /// # Errors
    /// What is at the path cannot be read. Files that are open already are still followed.
    pub(super) fn check(&mut self, now: Instant) -> Result<Look, FileError> {
        let look = self.look(now);
        self.retire(look.as_ref().is_ok_and(|look| look.present), now);
        look
    }

    /// Reads one block, the oldest file first. `scratch` is only a place to read into.
    ///
    /// # Errors
    /// A file cannot be read. It is closed, and found again by the next [`check`](Self::check).
    pub(super) fn read(&mut self, scratch: &mut [u8], now: Instant) -> Result<Turn, FileError> {
        self.chain.iter_mut().for_each(|link| link.tail.glimpse());
        let mut index = 0;
        while let Some(link) = self.chain.get_mut(index) {
            let step = match link.tail.read(scratch) {
                Ok(step) => step,
                Err(source) => {
                    self.close(index);
                    return Err(FileError::Read { path: self.path.clone(), source });
                }
            };
            if step != Step::End {
                link.quiet_since = link.quiet_since.map(|_| now);
            }
            link.begun |= matches!(step, Step::Lines(_));
            match step {
                Step::Lines(lines) => return Ok(self.turn(lines, index)),
                Step::Unfinished => return Ok(Turn::Unfinished),
                Step::Truncated => {
                    self.truncated(index, now);
                    return Ok(Turn::Unfinished);
                }
                Step::End if link.closing => {
                    let last = link.tail.finish();
                    let turn = self.turn(last, index);
                    self.close(index);
                    return Ok(turn);
                }
                Step::End => index += 1,
            }
        }
        Ok(Turn::Idle)
    }

    /// Files whose grace is over are closed when their end is reached: by the next turns of [`read`](Self::read).
    pub(super) fn expire(&mut self, now: Instant) {
        for link in &mut self.chain {
            link.closing |= link.quiet_since.is_some_and(|since| since + GRACE <= now);
        }
    }

    /// When [`expire`](Self::expire) will have something to do.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let waiting = self.chain.iter().filter(|link| !link.closing);
        waiting.filter_map(|link| link.quiet_since).min().map(|since| since + GRACE)
    }

    /// Where reading would go on after a restart; None while nothing is open.
    pub(super) fn position(&self) -> Option<FilePosition> {
        self.position_from(0)
    }

    /// Bytes that were in the open files and not read when they were last looked at.
    pub(super) fn lag(&self) -> u64 {
        self.chain.iter().map(|link| link.tail.lag()).sum()
    }

    /// The newest file, and how long it was when it was last looked at.
    pub(super) fn seen(&self) -> Option<FilePosition> {
        let newest = &self.chain.back()?.tail;
        let Identity { device, inode, .. } = newest.identity();
        Some(FilePosition { device, inode, offset: newest.size(), print: None })
    }

    /// How often reading began anew.
    pub(super) fn restarts(&self) -> u64 {
        self.restarts
    }

    /// The open files, to be watched.
    pub(super) fn files(&self) -> impl Iterator<Item = &File> {
        self.chain.iter().map(|link| link.tail.file())
    }

    /// Changes whenever [`files`](Self::files) does.
    pub(super) fn revision(&self) -> u64 {
        self.revision
    }

    /// From now on, files that are not at the path are not followed for longer than the grace, even if they have another
    /// name; or else as long as they have one. Whether that is news.
    pub(super) fn set_leaving(&mut self, leaving: bool) -> bool {
        std::mem::replace(&mut self.leaving, leaving) != leaving
    }

    /// Whether it is leaving, and nothing is open any more.
    pub(super) fn has_left(&self) -> bool {
        self.leaving && self.chain.is_empty()
    }

    /// Lets go of a file that another log is to read on: where. None if it is not open.
    pub(super) fn release(&mut self, file: &Identity) -> Option<FilePosition> {
        let index = self.chain.iter().position(|link| link.tail.identity() == *file)?;
        let position = self.chain.remove(index)?.tail.position();
        self.revision += 1;
        Some(position)
    }

    /// The log's path.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    fn push(&mut self, tail: Tail) {
        self.revision += 1;
        let link = self.link(tail, None);
        self.chain.push_back(link);
    }

    fn link(&self, tail: Tail, quiet_since: Option<Instant>) -> Link {
        let begun = tail.position().offset > 0;
        Link { tail: tail.unwrapping(self.style.runtime), begun, quiet_since, closing: false }
    }

    fn close_oldest(&mut self) {
        if let Some(oldest) = self.chain.front_mut() {
            oldest.closing = true;
        }
    }

    fn close(&mut self, index: usize) {
        let Some(link) = self.chain.remove(index) else { return };
        self.revision += 1;
        let identity = link.tail.identity();
        if link.tail.is_unlinked() {
            self.seen.remove(&identity);
        } else {
            self.seen.insert(identity, link.tail.position().offset);
        }
    }

    fn turn(&self, lines: Portion, index: usize) -> Turn {
        match self.position_from(index) {
            Some(position) if !lines.bytes.is_empty() || lines.broken > 0 => Turn::Lines(lines, position),
            _ => Turn::Unfinished,
        }
    }

    /// Where reading goes on after a block from the file at `index`. Once a newer file was read from, it is there, even
    /// for a late block from an older file: starting in the older one again would double the newer one's lines.
    fn position_from(&self, index: usize) -> Option<FilePosition> {
        let newest_begun = self.chain.iter().skip(index).rev().find(|link| link.begun);
        newest_begun.or(self.chain.get(index)).map(|link| link.tail.position())
    }
}

#[cfg(test)]
mod tests;
