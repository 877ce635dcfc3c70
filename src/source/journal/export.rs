//! systemd's Journal Export Format, as it comes: fields as `NAME=VALUE` lines, or, where a value has bytes that no line
//! can have, as a name, eight bytes of length and the value; a blank line ends an entry.
//!
//! Constant memory, whatever comes: of a value only what a line may hold is kept, and of an entry only so many fields.

use std::ops::Range;

use memchr::memchr;

use super::matches::{LONGEST_NAME, is_field};
use crate::source::lines::LONGEST_LINE;

/// Of a value so many bytes are kept: one more than a line may have, so that it is seen to be cut.
const KEPT: usize = LONGEST_LINE + 1;
/// What journald takes: `DATA_SIZE_MAX`, 768 MiB.
const LONGEST_VALUE: u64 = 768 << 20;
/// Of an entry, so many fields and bytes are kept. Asked is for a dozen, but a field may be there several times.
const MOST_FIELDS: usize = 128;
const MOST_BYTES: usize = 4 * KEPT;

/// One entry: its fields in the order in which they were written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Entry {
    bytes: Vec<u8>,
    /// Where names and values are in it.
    fields: Vec<(Range<usize>, Range<usize>)>,
}

impl Entry {
    /// The values of a field.
    pub(super) fn values<'e>(&'e self, name: &'e str) -> impl Iterator<Item = &'e [u8]> {
        let named = move |name_at: &Range<usize>| self.bytes.get(name_at.clone()) == Some(name.as_bytes());
        self.fields.iter().filter(move |(at, _)| named(at)).filter_map(|(_, at)| self.bytes.get(at.clone()))
    }

    /// The first value of a field.
    pub(super) fn value<'e>(&'e self, name: &'e str) -> Option<&'e [u8]> {
        self.values(name).next()
    }

    /// The same as text.
    pub(super) fn text<'e>(&'e self, name: &'e str) -> Option<&'e str> {
        std::str::from_utf8(self.value(name)?).ok()
    }

    #[cfg(test)]
    pub(super) fn of(fields: &[(&str, &[u8])]) -> Self {
        let mut entry = Self::default();
        for (name, value) in fields {
            let start = entry.bytes.len();
            entry.bytes.extend_from_slice(name.as_bytes());
            let end = entry.bytes.len();
            entry.bytes.extend_from_slice(value);
            entry.fields.push((start..end, end..entry.bytes.len()));
        }
        entry
    }
}

/// What came is not in the format.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("what journalctl writes is not systemd's export format ({0})")]
pub(super) struct Broken(&'static str);

impl Broken {
    /// An entry has no cursor, or one that means nothing.
    pub(super) const NAMELESS: Self = Self("an entry has no cursor that kban knows");
}

/// Where the next byte belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// In a line: a field, or only its name.
    Line,
    /// In the length of a value; so many of its bytes have come.
    Length { had: u8, length: u64 },
    /// In a value that is so much longer.
    Value { left: u64 },
    /// Behind a value, where a line feed ends it.
    End,
}

/// Takes the format apart, in whatever pieces it comes.
#[derive(Debug)]
pub(super) struct Export {
    place: Place,
    entry: Entry,
    /// Where the field that is under way begins in the entry's bytes.
    start: usize,
    /// Where its value does, once the name is known.
    value: Option<usize>,
    /// The line is not blank, whatever was kept of it.
    started: bool,
}

impl Export {
    /// Nothing has come yet.
    pub(super) fn new() -> Self {
        Self { place: Place::Line, entry: Entry::default(), start: 0, value: None, started: false }
    }

    /// Takes the next bytes, and tells of each entry that is whole now.
    ///
    /// # Errors
    /// They are something else. What follows has no meaning any more.
    pub(super) fn take(
        &mut self,
        mut bytes: &[u8],
        on_entry: &mut dyn FnMut(&Entry) -> Result<(), Broken>,
    ) -> Result<(), Broken> {
        while let Some((first, rest)) = bytes.split_first() {
            bytes = match self.place {
                Place::Line => match memchr(b'\n', bytes) {
                    Some(end) => {
                        let (line, after) = bytes.split_at(end);
                        self.line(line)?;
                        if self.end_line()? {
                            on_entry(&self.entry)?;
                            self.entry.bytes.clear();
                            self.entry.fields.clear();
                            self.start = 0;
                        }
                        after.get(1..).unwrap_or_default()
                    }
                    None => {
                        self.line(bytes)?;
                        &[]
                    }
                },
                Place::Length { had, length } => {
                    let length = length | u64::from(*first) << (8 * had);
                    self.place = match had {
                        7 if length > LONGEST_VALUE => return Err(Broken("a value has an absurd length")),
                        7 if length == 0 => Place::End,
                        7 => Place::Value { left: length },
                        _ => Place::Length { had: had + 1, length },
                    };
                    rest
                }
                Place::Value { left } => {
                    let here = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
                    let (part, after) = bytes.split_at(here);
                    self.keep(part);
                    let left = left - here as u64;
                    self.place = if left == 0 { Place::End } else { Place::Value { left } };
                    after
                }
                Place::End if *first == b'\n' => {
                    self.end_field();
                    self.place = Place::Line;
                    rest
                }
                Place::End => return Err(Broken("a value does not end where it should")),
            };
        }
        Ok(())
    }

    /// A part of a line.
    fn line(&mut self, mut part: &[u8]) -> Result<(), Broken> {
        self.started |= !part.is_empty();
        if self.value.is_none() {
            let end = memchr(b'=', part);
            let (name, rest) = part.split_at(end.unwrap_or(part.len()));
            if self.entry.bytes.len() - self.start + name.len() > LONGEST_NAME {
                return Err(Broken("a field has too long a name"));
            }
            self.entry.bytes.extend_from_slice(name);
            if end.is_none() {
                return Ok(());
            }
            self.end_name()?;
            part = rest.get(1..).unwrap_or_default();
        }
        self.keep(part);
        Ok(())
    }

    /// The line feed: whether it ends the entry.
    fn end_line(&mut self) -> Result<bool, Broken> {
        if !std::mem::take(&mut self.started) {
            return Ok(!self.entry.fields.is_empty());
        }
        match self.value {
            Some(_) => self.end_field(),
            None => {
                self.end_name()?;
                self.place = Place::Length { had: 0, length: 0 };
                self.started = false;
            }
        }
        Ok(false)
    }

    fn end_name(&mut self) -> Result<(), Broken> {
        let name = self.entry.bytes.get(self.start..).and_then(|name| std::str::from_utf8(name).ok());
        if !name.is_some_and(is_field) {
            return Err(Broken("a field has no name"));
        }
        self.value = Some(self.entry.bytes.len());
        Ok(())
    }

    /// A part of a value.
    fn keep(&mut self, part: &[u8]) {
        let Some(value) = self.value else { return };
        let room = KEPT.saturating_sub(self.entry.bytes.len() - value);
        let room = room.min(MOST_BYTES.saturating_sub(self.entry.bytes.len()));
        self.entry.bytes.extend_from_slice(part.get(..room).unwrap_or(part));
    }

    fn end_field(&mut self) {
        let end = self.entry.bytes.len();
        if let Some(value) = self.value.take() {
            if self.entry.fields.len() < MOST_FIELDS {
                self.entry.fields.push((self.start..value, value..end));
            } else {
                self.entry.bytes.truncate(self.start);
            }
        }
        self.start = self.entry.bytes.len();
        self.started = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    type Fields = Vec<(String, Vec<u8>)>;

    fn fields(entry: &Entry) -> Fields {
        let part = |at: &Range<usize>| entry.bytes[at.clone()].to_vec();
        entry
            .fields
            .iter()
            .map(|(name, value)| (String::from_utf8(part(name)).unwrap(), part(value)))
            .collect()
    }

    fn in_pieces(bytes: &[u8], piece: usize) -> Result<Vec<Fields>, Broken> {
        let (mut export, mut all) = (Export::new(), Vec::new());
        for piece in bytes.chunks(piece) {
            export.take(piece, &mut |entry| {
                all.push(fields(entry));
                Ok(())
            })?;
            assert!(export.entry.bytes.len() <= MOST_BYTES + LONGEST_NAME * MOST_FIELDS);
        }
        Ok(all)
    }

    /// As journalctl writes an entry.
    fn written(entry: &[(String, Vec<u8>)]) -> Vec<u8> {
        let field = |(name, value): &(String, Vec<u8>)| {
            let name = name.as_bytes();
            match value.iter().any(|byte| *byte < b' ' && *byte != b'\t') {
                true => [name, b"\n", &(value.len() as u64).to_le_bytes(), value, b"\n"].concat(),
                false => [name, b"=", value, b"\n"].concat(),
            }
        };
        [entry.iter().map(field).collect::<Vec<_>>().concat(), b"\n".to_vec()].concat()
    }

    #[test]
    fn what_journalctl_wrote_is_read() {
        let recorded = b"__CURSOR=s=d0;i=163;b=83;m=5a;t=66;x=51\n__REALTIME_TIMESTAMP=1795290402964155\n\
            _UID=0\nMESSAGE\n\x0c\0\0\0\0\0\0\0two\nlines\xff\0x\nSYSLOG_IDENTIFIER=py\n_TRANSPORT=journal\n\n\
            __CURSOR=s=d0;i=164;b=83;m=5b;t=67;x=52\nMESSAGE=\n\n";
        for piece in [1, 2, 7, 1000] {
            let entries = in_pieces(recorded, piece).unwrap();
            assert_eq!(entries.len(), 2);
            let entry = Entry::of(&[("A", b"1"), ("B", b"2"), ("A", b"3")]);
            assert_eq!(entry.values("A").collect::<Vec<_>>(), [b"1", b"3"]);
            assert_eq!(
                (entry.value("B"), entry.value("C"), entry.text("B")),
                (Some(&b"2"[..]), None, Some("2"))
            );
            assert_eq!(entries[0][3], ("MESSAGE".to_owned(), b"two\nlines\xff\0x".to_vec()));
            assert_eq!(entries[0][4], ("SYSLOG_IDENTIFIER".to_owned(), b"py".to_vec()));
            assert_eq!(entries[1][1], ("MESSAGE".to_owned(), Vec::new()));
        }
    }

    #[test]
    fn broken_streams_are_told() {
        let absurd = [b"MESSAGE\n".as_slice(), &u64::MAX.to_le_bytes(), b"x"].concat();
        let gigabyte = [b"MESSAGE\n".as_slice(), &(1u64 << 30).to_le_bytes(), b"x"].concat();
        let unended = [b"MESSAGE\n".as_slice(), &2u64.to_le_bytes(), b"xyz\n"].concat();
        let broken: [&[u8]; 7] =
            [&absurd, &gigabyte, &unended, b"=x\n", b"-- No entries --\n", b"lower=x\n", &[b'A'; 100]];
        for bytes in broken {
            assert!(in_pieces(bytes, 3).is_err(), "{:?}", bytes.escape_ascii().to_string());
        }
        for truncated in
            [b"A=1\nMESSAGE=unfinis".as_slice(), b"MESSAGE\n\x05\0\0", b"MESSAGE\n\x05\0\0\0\0\0\0\0ab"]
        {
            assert_eq!(in_pieces(truncated, 3), Ok(Vec::new()), "no entry, and no error until more comes");
        }
        assert_eq!(in_pieces(b"\n\n\nA=1\n\n\n", 1), Ok(vec![vec![("A".to_owned(), b"1".to_vec())]]));
    }

    #[test]
    fn long_values_and_many_fields_cost_no_memory() {
        let long = vec![b'x'; 8 << 20];
        let as_line = [b"A=".as_slice(), &long, b"\nB=2\n\n"].concat();
        let as_value = [b"A\n".as_slice(), &(long.len() as u64).to_le_bytes(), &long, b"\nB=2\n\n"].concat();
        for bytes in [as_line, as_value] {
            let entries = in_pieces(&bytes, 65_536).unwrap();
            assert_eq!((entries[0][0].1.len(), entries[0][1].1.as_slice()), (KEPT, b"2".as_slice()));
        }
        let many: Vec<u8> = [b"A=1\n".repeat(100_000), b"\nB=2\n\n".to_vec()].concat();
        let entries = in_pieces(&many, 65_536).unwrap();
        assert_eq!((entries[0].len(), entries[1].len()), (MOST_FIELDS, 1));
        let heavy = [[b"A=".to_vec(), vec![b'x'; KEPT], b"\n".to_vec()].concat().repeat(100), b"\n".to_vec()]
            .concat();
        assert_eq!(in_pieces(&heavy, 65_536).unwrap().len(), 1);
    }

    proptest! {
        #[test]
        fn pieces_and_bytes_make_no_difference(
            entries in prop::collection::vec(
                prop::collection::vec(("[A-Z_][A-Z0-9_]{0,9}", prop::collection::vec(any::<u8>(), 0..40)), 1..6), 0..5),
            piece in 1usize..40,
        ) {
            let bytes: Vec<u8> = entries.iter().flat_map(|entry| written(entry)).collect();
            prop_assert_eq!(in_pieces(&bytes, piece), Ok(entries));
        }

        #[test]
        fn anything_may_come(bytes in prop::collection::vec(any::<u8>(), 0..400), piece in 1usize..40) {
            let _ = in_pieces(&bytes, piece);
        }
    }
}
