//! Places in the journal.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use jiff::Timestamp;

use crate::source::NoPosition;

/// A place in the journal, between two entries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JournalPosition {
    /// Right behind the entry with this cursor, which need not be there any more.
    Behind(Cursor),
    /// Before whatever was logged then or later.
    Since(Timestamp),
}

/// The name of an entry: systemd's journal file format, as `__CURSOR` writes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cursor {
    text: Arc<str>,
    /// Which series of numbers (`s`), and its number there (`i`).
    series: u128,
    number: u64,
    /// Which boot (`b`), and when in it (`m`), in microseconds.
    boot: u128,
    since_boot: u64,
    /// When (`t`), in microseconds since 1970.
    time: u64,
}

impl Cursor {
    /// As journalctl takes and writes it.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// In which boot it was received, as journalctl names it.
    pub(super) fn boot(&self) -> String {
        format!("{:032x}", self.boot)
    }

    /// When the entry was received.
    pub(super) fn time(&self) -> Timestamp {
        timestamp(self.time)
    }

    /// Whether it came later, compared as journalctl does when it interleaves files.
    fn is_after(&self, other: &Self) -> bool {
        if self.series == other.series {
            return self.number > other.number;
        }
        if self.boot == other.boot && self.since_boot != other.since_boot {
            return self.since_boot > other.since_boot;
        }
        self.time >= other.time && self.text != other.text
    }
}

impl FromStr for Cursor {
    type Err = NoPosition;

    fn from_str(text: &str) -> Result<Self, NoPosition> {
        let part = |name: &str| {
            let mut parts = text.split(';');
            parts.find_map(|part| part.strip_prefix(name)?.strip_prefix('=')).ok_or(NoPosition)
        };
        let wide = |name| u128::from_str_radix(part(name)?, 16).map_err(|_| NoPosition);
        let number = |name| u64::from_str_radix(part(name)?, 16).map_err(|_| NoPosition);
        if text.len() > LONGEST || text.contains(|c: char| !c.is_ascii_graphic()) {
            return Err(NoPosition);
        }
        Ok(Self {
            text: text.into(),
            series: wide("s")?,
            number: number("i")?,
            boot: wide("b")?,
            since_boot: number("m")?,
            time: number("t")?,
        })
    }
}

/// A cursor has six numbers of at most 32 digits; one of another version may have a few more.
const LONGEST: usize = 512;

impl JournalPosition {
    /// Whether the entry lies behind this place.
    pub(super) fn is_before(&self, entry: &Cursor) -> bool {
        match self {
            Self::Behind(cursor) => entry.is_after(cursor),
            Self::Since(time) => entry.time() >= *time,
        }
    }

    /// The one of two places that comes first in time.
    pub(super) fn earlier<'p>(&'p self, other: &'p Self) -> &'p Self {
        let first = match (self, other) {
            (_, Self::Behind(cursor)) => self.is_before(cursor),
            (Self::Behind(cursor), Self::Since(time)) => cursor.time() < *time,
            (Self::Since(time), Self::Since(other)) => time <= other,
        };
        if first { self } else { other }
    }
}

impl fmt::Display for JournalPosition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Behind(cursor) => f.write_str(&cursor.text),
            Self::Since(time) => write!(f, "@{}", time.as_microsecond()),
        }
    }
}

impl FromStr for JournalPosition {
    type Err = NoPosition;

    fn from_str(text: &str) -> Result<Self, NoPosition> {
        match text.strip_prefix('@') {
            None => text.parse().map(Self::Behind),
            Some(number) => {
                let number = number.parse().map_err(|_| NoPosition)?;
                Timestamp::from_microsecond(number).map(Self::Since).map_err(|_| NoPosition)
            }
        }
    }
}

/// Of microseconds since 1970; what no calendar has is the end of time.
pub(super) fn timestamp(microseconds: u64) -> Timestamp {
    let signed = i64::try_from(microseconds).unwrap_or(i64::MAX);
    Timestamp::from_microsecond(signed).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::source::journal) fn cursor(series: u8, number: u64, boot: u8, time: u64) -> Cursor {
        format!("s={series:032x};i={number:x};b={boot:032x};m={time:x};t={time:x};x=77").parse().unwrap()
    }

    #[test]
    fn entries_are_ordered_as_journalctl_orders_them() {
        let before = |a: &Cursor, b: &Cursor| JournalPosition::Behind(a.clone()).is_before(b);
        let one = cursor(1, 10, 1, 5_000);
        assert!(!before(&one, &one));
        assert!(before(&one, &cursor(1, 11, 1, 4_000)), "the clock was set back");
        assert!(!before(&one, &cursor(1, 9, 1, 6_000)));
        assert!(before(&one, &cursor(2, 1, 1, 6_000)), "journald began to count anew");
        assert!(!before(&one, &cursor(2, 1, 1, 4_000)));
        assert!(before(&one, &cursor(2, 1, 2, 6_000)) && !before(&one, &cursor(2, 1, 2, 4_000)));
        let since = JournalPosition::Since(timestamp(5_000));
        assert!(since.is_before(&one) && !since.is_before(&cursor(1, 1, 1, 4_999)));
    }

    #[test]
    fn the_earlier_place_is_found() {
        let behind = |time| JournalPosition::Behind(cursor(1, time, 1, time));
        let since = |time| JournalPosition::Since(timestamp(time));
        for (first, second) in
            [(behind(1), behind(2)), (since(1), behind(2)), (behind(1), since(2)), (since(1), since(2))]
        {
            assert_eq!((first.earlier(&second), second.earlier(&first)), (&first, &first));
        }
    }

    #[test]
    fn broken_cursors_are_none() {
        for bad in ["", "s=1", "s=1;i=2;b=3;m=4;t=x", "s=1;i=2;b=3;m=4;t=5\n--file=x", "@", "@x"] {
            assert_eq!(bad.parse::<JournalPosition>(), Err(NoPosition), "{bad}");
        }
    }
}
