//! Places in what is read, by which reading goes on after a restart.
//!
//! Their text is what the store keeps, readable with `sqlite3`: `file DEVICE INODE OFFSET`, `journal CURSOR`, or
//! `journal @MICROSECONDS` since 1970.

use std::fmt;
use std::str::FromStr;

use super::journal::JournalPosition;

/// A place in a source that survives a restart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Position {
    /// In a file.
    File(FilePosition),
    /// In the journal.
    Journal(JournalPosition),
}

/// A place in a file that survives renames.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FilePosition {
    /// `st_dev` of the file.
    pub device: u64,
    /// `st_ino` of the file.
    pub inode: u64,
    /// Bytes from its start.
    pub offset: u64,
}

/// How far something has been dealt with: what is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reading<P = Position> {
    /// Where a restart begins, so that failures that are still counted are counted again.
    pub from: P,
    /// What lies before it has been acted upon.
    pub until: P,
}

/// The text is no position.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a position such as `file 2049 1234 5678`")]
pub struct NoPosition;

impl Position {
    /// Whether what was there `before` begins anew at this place: the same file, truncated.
    #[must_use]
    pub fn rewinds(&self, before: &Self) -> bool {
        let (Self::File(place), Self::File(before)) = (self, before) else { return false };
        (place.device, place.inode) == (before.device, before.inode) && place.offset < before.offset
    }
}

impl Reading {
    /// The reading of a file; `None`: it was something else that had this name.
    pub(super) fn of_file(&self) -> Option<Reading<FilePosition>> {
        let (Position::File(from), Position::File(until)) = (&self.from, &self.until) else { return None };
        Some(Reading { from: *from, until: *until })
    }

    /// The reading of a journal; `None`: it was something else that had this name.
    pub(super) fn of_journal(&self) -> Option<Reading<JournalPosition>> {
        let (Position::Journal(from), Position::Journal(until)) = (&self.from, &self.until) else {
            return None;
        };
        Some(Reading { from: from.clone(), until: until.clone() })
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(FilePosition { device, inode, offset }) => write!(f, "file {device} {inode} {offset}"),
            Self::Journal(position) => write!(f, "journal {position}"),
        }
    }
}

impl FromStr for Position {
    type Err = NoPosition;

    fn from_str(text: &str) -> Result<Self, NoPosition> {
        let (kind, place) = text.split_once(' ').ok_or(NoPosition)?;
        match kind {
            "file" => {}
            "journal" => return place.parse().map(Self::Journal),
            _ => return Err(NoPosition),
        }
        let numbers: Result<Vec<u64>, _> = place.split(' ').map(str::parse).collect();
        match numbers.as_deref() {
            Ok([device, inode, offset]) => {
                Ok(Self::File(FilePosition { device: *device, inode: *inode, offset: *offset }))
            }
            _ => Err(NoPosition),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_stored_is_read_again() {
        let place = Position::File(FilePosition { device: u64::MAX, inode: 2, offset: 77 });
        assert_eq!(place.to_string().parse(), Ok(place));
        for place in ["journal s=d0;i=163;b=83;m=5a21;t=660c;x=51", "journal @1795290402964155"] {
            assert_eq!(place.parse::<Position>().unwrap().to_string(), place);
        }
        for bad in [
            "",
            "file",
            "file 1 2",
            "file 1 2 3 4",
            "file 1 2 -3",
            "fifo 1 2 3",
            "1 2 3",
            "journal",
            "journal 7",
        ] {
            assert_eq!(bad.parse::<Position>(), Err(NoPosition), "{bad}");
        }
    }
}
