//! One open file, read forward in whole lines.
//!
//! The position is behind the last line that was handed over, never inside one, however long it is; so a restart in the
//! middle of a line neither splits nor doubles it.
//!
//! A file is truncated if it is shorter than what was read of it, or if other bytes lie where the last ones were read:
//! then it has grown again before it was looked at. What a writer without `O_APPEND` leaves behind after that, a hole
//! as long as the old file, is passed over.
//!
//! NUL bytes at the end of a file are not read yet: room was made there, or what was sent over a network in pieces is not
//! complete, and the lines are written into them later. They are read as soon as something else lies behind them.

use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::time::SystemTime;

use memchr::memrchr;

use super::container::{self, Unwrapped};
use super::open::{Identity, Opened};
use super::since::{self, Between};
use super::window::Window;
use crate::source::lines::Lines;
use crate::source::{BLOCK_BYTES, FilePosition, Runtime};

/// Whole lines out of one file.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Portion {
    /// Each ended by `\n`.
    pub(super) bytes: Vec<u8>,
    /// How many of them were cut.
    pub(super) cut: u64,
    /// How many lines of the file are left out because they are not what a container's runtime writes.
    pub(super) broken: u64,
    /// They all lie in the part of the file that was acted upon before this process.
    pub(super) again: bool,
}

/// What one read found.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Whole lines.
    Lines(Portion),
    /// Bytes, and no newline among them.
    Unfinished,
    /// The file does not hold what was read of it any more. Nothing more comes until [`Tail::begin_anew`].
    Truncated,
    /// Nothing new.
    End,
}

/// One open file and how far it was read.
#[derive(Debug)]
pub(super) struct Tail {
    file: File,
    identity: Identity,
    /// Bytes that were read, from its start.
    read: u64,
    lines: Lines,
    /// Whose wrapping is taken off.
    runtime: Option<Runtime>,
    /// Lines cut and broken that were not told of yet.
    marred: (u64, u64),
    /// How it begins, as far as it was read, or seen before that.
    head: Window,
    /// What was read last.
    near: Window,
    /// What was handed over last.
    behind: Window,
    /// After that: noted when it changes, since it is asked for more often.
    position: FilePosition,
    /// The last line of the file as it was before it was truncated, if that is still to be handed over.
    kept: Option<Portion>,
    /// Nothing but NUL was read since the file was truncated.
    hollow: bool,
    /// Up to here no NUL is one at the file's end, in bytes from the start.
    written: u64,
    /// What was not read is NUL up to here, in bytes from the start.
    empty: u64,
    /// What lies before was acted upon before this process, in bytes from the start.
    known: u64,
    /// The file's size when it was last looked at.
    size: u64,
}

impl Tail {
    /// Reads on from `offset`, or from the start if the file has become shorter than that.
    pub(super) fn new(opened: Opened, offset: u64) -> Self {
        let (identity, size) = (opened.identity(), opened.metadata.len());
        let offset = if offset > size { 0 } else { offset };
        // Without it, only a file that has become shorter is seen to be truncated.
        let near = Window::before(&opened.file, offset).unwrap_or_default();
        let head = Window::first(&opened.file, offset).unwrap_or_default();
        Self {
            file: opened.file,
            identity,
            read: offset,
            lines: Lines::new(),
            runtime: None,
            marred: (0, 0),
            behind: near,
            head,
            near,
            position: place(&identity, offset, &near),
            kept: None,
            hollow: offset == 0,
            written: 0,
            empty: 0,
            known: 0,
            size,
        }
    }

    /// Its lines are wrapped.
    pub(super) fn unwrapping(self, runtime: Option<Runtime>) -> Self {
        Self { runtime, ..self }
    }

    /// Begins anew at the start of the file. The line that had no newline yet will not get it any more: with `keeping`, it is
    /// handed over next.
    pub(super) fn begin_anew(&mut self, keeping: bool) {
        // Wrapped lines that are under way are not held, and their file is gone.
        if self.runtime.is_none() {
            let last = self.finish();
            self.kept = self.kept.take().or(Some(last)).filter(|last| keeping && !last.bytes.is_empty());
        }
        (self.read, self.known, self.hollow, self.written, self.empty) = (0, 0, true, 0, 0);
        (self.head, self.near) = (Window::default(), Window::default());
        self.reached_whole_line();
    }

    /// What lies before `known` was acted upon before this process: no portion crosses it.
    pub(super) fn known_until(self, known: u64) -> Self {
        Self { known, ..self }
    }

    /// Reads what is added behind the first `size` bytes, and the line that they end in as a whole.
    ///
    /// # Errors
    /// pread(2) failed.
    pub(super) fn after(opened: Opened, size: u64) -> io::Result<Self> {
        let end = since::written_end(&opened.file, size.min(opened.metadata.len()))?;
        let start = since::line_start(&opened.file, end)?;
        Ok(Self::new(opened, start))
    }

    /// Passes over what was written before `oldest`, as far as that can be told without reading it: so many bytes.
    pub(super) fn skip_older(
        &mut self,
        oldest: SystemTime,
        date_of: &dyn Fn(&[u8]) -> Option<SystemTime>,
    ) -> u64 {
        let before = self.read;
        if let Ok(end) = since::written_end(&self.file, self.size)
            && let Ok(first) = since::first(&self.file, before, end, oldest, date_of)
            && first > before
            && let Ok(near) = Window::before(&self.file, first)
        {
            (self.read, self.hollow, self.near) = (first, false, near);
            self.reached_whole_line();
        }
        self.read - before
    }

    /// Reads at most 256 KiB. `scratch` is only a place to read into.
    ///
    /// # Errors
    /// fstat(2) or pread(2) failed; what was handed over so far stays counted.
    pub(super) fn read(&mut self, scratch: &mut [u8]) -> io::Result<Step> {
        if let Some(kept) = self.kept.take() {
            return Ok(Step::Lines(kept));
        }
        self.size = self.file.metadata()?.len();
        let at = self.read;
        if self.size < at {
            return Ok(Step::Truncated);
        }
        let end = if at < self.known { self.size.min(self.known) } else { self.size };
        let wanted = usize::try_from(end - at).unwrap_or(usize::MAX).min(BLOCK_BYTES).min(scratch.len());
        let (scratch, _) = scratch.split_at_mut(wanted);
        let length = match self.file.read_at(scratch, at) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(Step::Unfinished),
            other => other?,
        };
        // Asked last, so that what was read belongs to what was read before.
        if self.is_truncated()? {
            return Ok(Step::Truncated);
        }
        let length = match self.written(scratch.get(..length).unwrap_or_default())? {
            Some(0) => return Ok(Step::End),
            Some(length) => length,
            None => return Ok(Step::Unfinished),
        };
        let (fresh, _) = scratch.split_at(length);
        self.head.fill(at, fresh);
        let bytes = match self.runtime {
            // What is under way will not be longer than this, or ends where the known part does.
            Some(runtime) => {
                let last = length >= BLOCK_BYTES || at + length as u64 == self.known;
                let bytes = self.unwrap(runtime, fresh, last);
                if self.read == at {
                    return Ok(Step::End);
                }
                bytes
            }
            None => self.take(fresh),
        };
        let nothing = bytes.is_empty() && self.marred == (0, 0);
        Ok(if nothing { Step::Unfinished } else { Step::Lines(self.portion(bytes)) })
    }

    /// How many of the bytes that come next are written: NUL up to the end of the file is not, as far as anyone can tell.
    /// `None`: it takes longer to find out.
    fn written(&mut self, fresh: &[u8]) -> io::Result<Option<usize>> {
        let end = self.read + fresh.len() as u64;
        if let Some(last) = fresh.iter().rposition(|byte| *byte != 0) {
            self.written = self.written.max(self.read + last as u64 + 1);
        }
        if self.written <= self.read && !fresh.is_empty() {
            match since::written_between(&self.file, self.empty.clamp(end, self.size.max(end)), self.size)? {
                Between::Written(behind) => self.written = behind,
                Between::Empty(until) => {
                    self.empty = until.max(end);
                    return Ok((self.empty >= self.size).then_some(0));
                }
            }
        }
        let length = self.written.saturating_sub(self.read);
        Ok(Some(usize::try_from(length).unwrap_or(usize::MAX).min(fresh.len())))
    }

    /// Whole lines out of what was read next.
    fn take(&mut self, fresh: &[u8]) -> Vec<u8> {
        let hole = if self.hollow { fresh.iter().take_while(|byte| **byte == 0).count() } else { 0 };
        self.hollow &= hole == fresh.len();
        let (_, text) = fresh.split_at(hole);
        let mut bytes = Vec::with_capacity(text.len());
        self.lines.take(text, &mut bytes);
        self.read += fresh.len() as u64;
        // A line that was given up unended, and has got its end meanwhile: it is not handed over in one piece now.
        if self.read == self.known && self.size > self.known {
            self.lines.end(&mut bytes);
        }
        let newline = memrchr(b'\n', fresh);
        if let Some(newline) = newline.filter(|_| self.lines.is_holding()) {
            self.behind = self.near;
            self.behind.push(fresh.get(..=newline).unwrap_or_default());
            self.position = place(&self.identity, self.read - self.lines.pending(), &self.behind);
        }
        self.near.push(fresh);
        if !self.lines.is_holding() {
            self.reached_whole_line();
        }
        bytes
    }

    /// All that was read is whole lines.
    fn reached_whole_line(&mut self) {
        self.behind = self.near;
        self.position = place(&self.identity, self.read, &self.near);
    }

    /// Whether the file does not hold what was read of it any more.
    ///
    /// # Errors
    /// pread(2) failed.
    pub(super) fn is_truncated(&self) -> io::Result<bool> {
        let (window, offset) = self.known_by();
        window.is_before(&self.file, offset).map(|same| !same)
    }

    /// Looks at how a file begins of which nothing was read yet, since others are read first: without that, nobody could
    /// tell that it was truncated meanwhile. What cannot be seen now, or is not written yet, is seen when it is read.
    pub(super) fn glimpse(&mut self) {
        if self.read == 0
            && self.head.length() == 0
            && let Ok(metadata) = self.file.metadata()
            && let Ok(head) = Window::first(&self.file, metadata.len())
            && !head.bytes().contains(&0)
        {
            self.head = head;
        }
    }

    /// By what the file is known, and where that ends: what was read last, or how it begins if nothing was.
    fn known_by(&self) -> (&Window, u64) {
        if self.read == 0 { (&self.head, self.head.length()) } else { (&self.near, self.read) }
    }

    /// Whether another file is a copy of this one, complete or not, made now or before this one was truncated.
    pub(super) fn is_copied_by(&self, other: &Opened) -> bool {
        let was_copied = || holds(&other.file, other.metadata.len(), &self.reached());
        is_copy(other, &self.file) || (self.is_truncated().unwrap_or(false) && was_copied())
    }

    /// Whether another file is a copy of this one as it was before it was truncated, and holds less than what was read of it:
    /// so all of it was read.
    pub(super) fn was_copied_by(&self, other: &Opened) -> bool {
        let size = other.metadata.len();
        size < self.read && self.head.is_first(&other.file, size).unwrap_or(false)
    }

    /// Whether what was before the position is here, whichever file that was.
    pub(super) fn holds(&self, position: &FilePosition) -> bool {
        holds(&self.file, self.size, position)
    }

    /// The line that never got its newline, when no more will come; nothing if there is none.
    pub(super) fn finish(&mut self) -> Portion {
        let mut bytes = Vec::new();
        if let Some(runtime) = self.runtime {
            let mut rest = vec![0; BLOCK_BYTES];
            let length = self.file.read_at(&mut rest, self.read).unwrap_or_default();
            bytes = self.unwrap(runtime, rest.get(..length).unwrap_or_default(), true);
        }
        self.lines.end(&mut bytes);
        self.reached_whole_line();
        self.portion(bytes)
    }

    /// Lines out of their wrapping. Those that are under way are not counted as read.
    fn unwrap(&mut self, runtime: Runtime, fresh: &[u8], last: bool) -> Vec<u8> {
        let Unwrapped { bytes, consumed, cut, broken } = container::unwrap(runtime, fresh, last);
        self.read += consumed as u64;
        if consumed > 0 {
            self.near.push(fresh.get(..consumed).unwrap_or_default());
            self.reached_whole_line();
        }
        self.marred = (self.marred.0 + cut, self.marred.1 + broken);
        bytes
    }

    /// Which file it is.
    pub(super) fn identity(&self) -> Identity {
        self.identity
    }

    /// The open file, to be watched.
    pub(super) fn file(&self) -> &File {
        &self.file
    }

    /// After the last line handed over.
    pub(super) fn position(&self) -> FilePosition {
        self.position
    }

    /// After the last byte that was read, or seen if none was read.
    pub(super) fn reached(&self) -> FilePosition {
        let (window, offset) = self.known_by();
        place(&self.identity, offset, window)
    }

    /// The file's size when it was last looked at.
    pub(super) fn size(&self) -> u64 {
        self.size
    }

    /// Bytes that were written and not read when the file was last looked at.
    pub(super) fn lag(&self) -> u64 {
        if self.written <= self.read && self.empty >= self.size {
            return 0;
        }
        self.size.saturating_sub(self.read)
    }

    /// Whether the file has no name any more, and lives only as long as it is open.
    pub(super) fn is_unlinked(&self) -> bool {
        self.file.metadata().is_ok_and(|metadata| metadata.nlink() == 0)
    }

    fn portion(&mut self, bytes: Vec<u8>) -> Portion {
        let again = self.position().offset <= self.known;
        let (cut, broken) = std::mem::take(&mut self.marred);
        Portion { bytes, cut: cut + self.lines.take_cut(), broken, again }
    }
}

/// Whether a file of this size has, before a place, what was there when the position was noted; whichever file it was.
pub(super) fn holds(file: &File, size: u64, position: &FilePosition) -> bool {
    let same = |print| {
        Window::before(file, position.offset).is_ok_and(|it| it.print(position.offset) == Some(print))
    };
    size >= position.offset && position.print.is_none_or(same)
}

/// Whether a file is a copy of another, complete or not: it ends as the same part of the other does. A copy is never
/// longer than what it was made of, and logs may begin alike.
pub(super) fn is_copy(copy: &Opened, of: &File) -> bool {
    let size = copy.metadata.len();
    let alike = || Window::before(&copy.file, size).and_then(|window| window.is_before(of, size));
    let fits = of.metadata().is_ok_and(|original| size <= original.len());
    size > 0 && fits && alike().unwrap_or(false)
}

fn place(Identity { device, inode, .. }: &Identity, offset: u64, before: &Window) -> FilePosition {
    FilePosition { device: *device, inode: *inode, offset, print: before.print(offset) }
}

#[cfg(test)]
mod tests;
