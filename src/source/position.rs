//! Places in what is read, by which reading goes on after a restart.
//!
//! Their text is what the store keeps, readable with `sqlite3`: `file DEVICE INODE OFFSET PRINT` (older versions stored
//! no PRINT), `journal CURSOR`, or `journal @MICROSECONDS` since 1970.

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
    /// Of the bytes before it: a file that has been truncated and has grown past it, and another file under
    /// the same inode number, differ in them. None: not known.
    pub print: Option<Print>,
}

impl FilePosition {
    /// In no file: it says of a pattern that its files have been looked for.
    pub(super) const OF_PATTERN: Self = Self { device: 0, inode: 0, offset: 0, print: None };
}

/// A fingerprint of some bytes: 64 bits of FNV-1a, the same on every machine and in every version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Print(u64);

impl Print {
    /// The fingerprint of these bytes.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        // The constants of http://www.isthe.com/chongo/tech/comp/fnv/.
        let step = |sum: u64, byte: &u8| (sum ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        Self(bytes.iter().fold(0xcbf2_9ce4_8422_2325, step))
    }
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
            Self::File(FilePosition { device, inode, offset, print }) => {
                write!(f, "file {device} {inode} {offset}")?;
                print.map_or(Ok(()), |Print(print)| write!(f, " {print:016x}"))
            }
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
        let mut words = place.split(' ');
        let mut number = || words.next()?.parse().ok();
        let (device, inode, offset) = (number(), number(), number());
        let (Some(device), Some(inode), Some(offset)) = (device, inode, offset) else {
            return Err(NoPosition);
        };
        let print = words.next().map(|word| u64::from_str_radix(word, 16).map(Print));
        let print = print.transpose().map_err(|_| NoPosition)?;
        words
            .next()
            .map_or(Ok(Self::File(FilePosition { device, inode, offset, print })), |_| Err(NoPosition))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_stored_is_read_again() {
        for print in [None, Some(Print::of(b"before")), Some(Print(0)), Some(Print(u64::MAX))] {
            let place = Position::File(FilePosition { device: u64::MAX, inode: 2, offset: 77, print });
            assert_eq!(place.to_string().parse(), Ok(place));
        }
        for place in ["journal s=d0;i=163;b=83;m=5a21;t=660c;x=51", "journal @1795290402964155"] {
            assert_eq!(place.parse::<Position>().unwrap().to_string(), place);
        }
        for bad in [
            "",
            "file",
            "file 1 2",
            "file 1 2 3 x",
            "file 1 2 3 4 5",
            "file 1 2 -3",
            "fifo 1 2 3",
            "1 2 3",
            "journal",
            "journal 7",
        ] {
            assert_eq!(bad.parse::<Position>(), Err(NoPosition), "{bad}");
        }
    }

    #[test]
    fn a_fingerprint_is_the_same_in_every_version() {
        // Test vectors of http://www.isthe.com/chongo/src/fnv/test_fnv.c.
        for (bytes, sum) in
            [("", 0xcbf2_9ce4_8422_2325), ("a", 0xaf63_dc4c_8601_ec8c), ("foobar", 0x8594_4171_f739_67e8)]
        {
            assert_eq!(Print::of(bytes.as_bytes()), Print(sum));
        }
    }
}
