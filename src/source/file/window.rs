//! The last bytes before a place in a file, by which it is known again; and its first.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use crate::source::Print;

/// So many bytes tell a place from the same place in another file: two or three log lines, which have dates.
const LENGTH: usize = 256;

/// The last bytes before a place; all of them if there are fewer.
#[derive(Debug, Clone, Copy)]
pub(super) struct Window {
    bytes: [u8; LENGTH],
    /// So many of them, from the first on.
    length: usize,
}

impl Default for Window {
    fn default() -> Self {
        Self { bytes: [0; LENGTH], length: 0 }
    }
}

impl Window {
    /// Those before `offset`.
    ///
    /// # Errors
    /// pread(2) failed, or the file is shorter than that.
    pub(super) fn before(file: &File, offset: u64) -> io::Result<Self> {
        let length = usize::try_from(offset).unwrap_or(usize::MAX).min(LENGTH);
        let mut window = Self { length, ..Self::default() };
        let (bytes, _) = window.bytes.split_at_mut(length);
        file.read_exact_at(bytes, offset - length as u64)?;
        Ok(window)
    }

    /// The first bytes of a file, as far as it reaches to `end`.
    ///
    /// # Errors
    /// pread(2) failed, or the file is shorter than that.
    pub(super) fn first(file: &File, end: u64) -> io::Result<Self> {
        Self::before(file, end.min(LENGTH as u64))
    }

    /// These bytes lie at `offset`: where they go on with the first ones, they are taken in.
    pub(super) fn fill(&mut self, offset: u64, bytes: &[u8]) {
        let had = usize::try_from(offset).ok().and_then(|offset| self.length.checked_sub(offset));
        if let Some(new) = had.and_then(|had| bytes.get(had..)) {
            self.push(new.get(..LENGTH - self.length).unwrap_or(new));
        }
    }

    /// How many they are.
    pub(super) fn length(&self) -> u64 {
        self.length as u64
    }

    /// Whether another file of this size begins so.
    ///
    /// # Errors
    /// pread(2) failed.
    pub(super) fn is_first(&self, file: &File, size: u64) -> io::Result<bool> {
        let first = Self::first(file, size)?;
        let both = first.length.min(self.length);
        Ok(first.bytes().get(..both) == self.bytes().get(..both))
    }

    /// The place moves on behind these bytes.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        let newest = bytes.get(bytes.len().saturating_sub(LENGTH)..).unwrap_or_default();
        let stays = self.length.min(LENGTH - newest.len());
        self.bytes.copy_within(self.length - stays..self.length, 0);
        let (_, free) = self.bytes.split_at_mut(stays);
        free.iter_mut().zip(newest).for_each(|(place, byte)| *place = *byte);
        self.length = stays + newest.len();
    }

    /// They themselves.
    pub(super) fn bytes(&self) -> &[u8] {
        self.bytes.split_at(self.length).0
    }

    /// Whether these bytes still lie before `offset`.
    ///
    /// # Errors
    /// pread(2) failed.
    pub(super) fn is_before(&self, file: &File, offset: u64) -> io::Result<bool> {
        let mut there = [0; LENGTH];
        let (there, _) = there.split_at_mut(self.length);
        match file.read_exact_at(there, offset.saturating_sub(self.length as u64)) {
            Ok(()) => Ok(*there == *self.bytes()),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// The fingerprint for a position at `offset`; None if not all of the bytes could be read.
    pub(super) fn print(&self, offset: u64) -> Option<Print> {
        (self.length as u64 == offset.min(LENGTH as u64)).then(|| Print::of(self.bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::io::Write;

    proptest! {
        #[test]
        fn a_window_that_was_pushed_is_the_one_that_is_read(
            parts in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..400), 0..8)
        ) {
            let mut file = tempfile::tempfile().unwrap();
            let (mut pushed, mut offset) = (Window::default(), 0);
            for part in &parts {
                file.write_all(part).unwrap();
                pushed.push(part);
                offset += part.len() as u64;
                prop_assert!(pushed.is_before(&file, offset).unwrap());
                let read = Window::before(&file, offset).unwrap();
                prop_assert_eq!(read.print(offset), pushed.print(offset));
                prop_assert!(pushed.print(offset).is_some() && Window::default().print(offset + 1).is_none());
                prop_assert!(Window::before(&file, offset + 1).is_err());
            }
        }
    }
}
