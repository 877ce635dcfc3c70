//! The last bytes before a place in a file, by which it is known again.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use crate::source::Print;

/// So many bytes tell a place from the same place in another file: two or three log lines, which have dates.
const LENGTH: usize = 256;

/// The last bytes before a place; all of them if there are fewer.
#[derive(Debug, Clone, Default)]
pub(super) struct Window(Vec<u8>);

impl Window {
    /// Those before `offset`.
    ///
    /// # Errors
    /// pread(2) failed, or the file is shorter than that.
    pub(super) fn before(file: &File, offset: u64) -> io::Result<Self> {
        let length = usize::try_from(offset).unwrap_or(usize::MAX).min(LENGTH);
        let mut bytes = vec![0; length];
        file.read_exact_at(&mut bytes, offset - length as u64)?;
        Ok(Self(bytes))
    }

    /// The place moves on behind these bytes.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        let newest = bytes.get(bytes.len().saturating_sub(LENGTH)..).unwrap_or_default();
        let over = (self.0.len() + newest.len()).saturating_sub(LENGTH);
        self.0.drain(..over);
        self.0.extend_from_slice(newest);
    }

    /// Whether these bytes still lie before `offset`.
    ///
    /// # Errors
    /// pread(2) failed.
    pub(super) fn is_before(&self, file: &File, offset: u64) -> io::Result<bool> {
        let mut there = [0; LENGTH];
        let (there, _) = there.split_at_mut(self.0.len());
        match file.read_exact_at(there, offset.saturating_sub(self.0.len() as u64)) {
            Ok(()) => Ok(*there == *self.0),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// The fingerprint for a position at `offset`; None if not all of the bytes could be read.
    pub(super) fn print(&self, offset: u64) -> Option<Print> {
        (self.0.len() as u64 == offset.min(LENGTH as u64)).then(|| Print::of(&self.0))
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
