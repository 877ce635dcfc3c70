//! Netlink attributes: written and read with every length checked.
//!
//! An attribute is a 16-bit length (header included), a 16-bit number, the value, and padding to
//! four bytes (`struct nlattr` in `linux/netlink.h`). nf_tables wants its integers big-endian.
//! The writer refuses what does not fit the length; the reader believes no length it is told.

use super::NetlinkError;
use super::constants::{NLA_F_NESTED, NLA_TYPE_MASK};

const HEADER: usize = 4;

/// Bytes that grow by whole attributes. A failed write leaves them as they were.
#[derive(Debug, Default)]
pub(crate) struct AttrWriter {
    bytes: Vec<u8>,
}

impl AttrWriter {
    /// Writes `value` as it is.
    pub(crate) fn bytes(&mut self, kind: u16, value: &[u8]) -> Result<(), NetlinkError> {
        self.parts(kind, &[value])
    }

    fn parts(&mut self, kind: u16, parts: &[&[u8]]) -> Result<(), NetlinkError> {
        let length = length_field(kind, parts.iter().map(|part| part.len()).sum())?;
        self.bytes.extend_from_slice(&length.to_ne_bytes());
        self.bytes.extend_from_slice(&kind.to_ne_bytes());
        parts.iter().for_each(|part| self.bytes.extend_from_slice(part));
        self.pad();
        Ok(())
    }

    /// Writes a big-endian 32-bit integer.
    pub(crate) fn be32(&mut self, kind: u16, value: u32) -> Result<(), NetlinkError> {
        self.bytes(kind, &value.to_be_bytes())
    }

    /// Writes a big-endian 64-bit integer.
    pub(crate) fn be64(&mut self, kind: u16, value: u64) -> Result<(), NetlinkError> {
        self.bytes(kind, &value.to_be_bytes())
    }

    /// Writes a name with the terminating zero the kernel expects (`NLA_NUL_STRING`).
    pub(crate) fn name(&mut self, kind: u16, value: &str) -> Result<(), NetlinkError> {
        self.parts(kind, &[value.as_bytes(), &[0]])
    }

    /// Writes an attribute that holds the attributes that `fill` writes.
    pub(crate) fn nest(
        &mut self,
        kind: u16,
        fill: impl FnOnce(&mut Self) -> Result<(), NetlinkError>,
    ) -> Result<(), NetlinkError> {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(&[0, 0]);
        self.bytes.extend_from_slice(&(kind | NLA_F_NESTED).to_ne_bytes());
        let written = fill(self).and_then(|()| length_field(kind, self.bytes.len() - start - HEADER));
        match written {
            Ok(length) => {
                self.overwrite(start, &length.to_ne_bytes());
                Ok(())
            }
            Err(error) => {
                self.bytes.truncate(start);
                Err(error)
            }
        }
    }

    /// Bytes written so far.
    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Appends bytes that are no attribute: a message's header.
    pub(super) fn raw(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// Replaces bytes that have been written: a length or flags that are known only afterwards.
    pub(super) fn overwrite(&mut self, at: usize, with: &[u8]) {
        if let Some(place) = self.bytes.get_mut(at..at + with.len()) {
            place.copy_from_slice(with);
        }
    }

    /// Forgets everything after the first `len` bytes.
    pub(super) fn truncate(&mut self, len: usize) {
        self.bytes.truncate(len);
    }

    pub(crate) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    fn pad(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }
}

fn length_field(kind: u16, payload: usize) -> Result<u16, NetlinkError> {
    let bytes = payload.saturating_add(HEADER);
    u16::try_from(bytes).map_err(|_| NetlinkError::TooLong { kind: kind & NLA_TYPE_MASK, bytes })
}

/// One attribute as it was read: its number without flags, and its value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Attr<'a> {
    pub(crate) kind: u16,
    pub(crate) value: &'a [u8],
}

/// The attributes in `bytes`, in order; ends at the first that is not well-formed, with the error.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Attrs<'a> {
    rest: &'a [u8],
}

impl<'a> Attrs<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// The value of the first attribute `kind`.
    pub(crate) fn find(self, kind: u16) -> Result<Option<&'a [u8]>, NetlinkError> {
        for attr in self {
            let attr = attr?;
            if attr.kind == kind {
                return Ok(Some(attr.value));
            }
        }
        Ok(None)
    }

    /// The attributes inside attribute `kind`; none if it is not there.
    pub(crate) fn nested(self, kind: u16) -> Result<Self, NetlinkError> {
        Ok(Self::new(self.find(kind)?.unwrap_or_default()))
    }

    /// A big-endian 32-bit integer.
    pub(crate) fn be32(self, kind: u16) -> Result<Option<u32>, NetlinkError> {
        self.find(kind)?.map(be32).transpose()
    }

    /// A big-endian 64-bit integer.
    pub(crate) fn be64(self, kind: u16) -> Result<Option<u64>, NetlinkError> {
        self.find(kind)?.map(be64).transpose()
    }

    /// A name, without its terminating zero.
    pub(crate) fn name(self, kind: u16) -> Result<Option<&'a str>, NetlinkError> {
        self.find(kind)?.map(name).transpose()
    }

    fn take(&mut self) -> Option<Attr<'a>> {
        let (length, after) = self.rest.split_first_chunk::<2>()?;
        let (kind, _) = after.split_first_chunk::<2>()?;
        let length = usize::from(u16::from_ne_bytes(*length));
        let value = self.rest.get(HEADER..length)?;
        // The last attribute of a message may come without its padding.
        self.rest = self.rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some(Attr { kind: u16::from_ne_bytes(*kind) & NLA_TYPE_MASK, value })
    }
}

impl<'a> Iterator for Attrs<'a> {
    type Item = Result<Attr<'a>, NetlinkError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let attr = self.take();
        if attr.is_none() {
            self.rest = &[];
        }
        Some(attr.ok_or(NetlinkError::Malformed))
    }
}

fn be32(value: &[u8]) -> Result<u32, NetlinkError> {
    value.try_into().map(u32::from_be_bytes).map_err(|_| NetlinkError::Malformed)
}

fn be64(value: &[u8]) -> Result<u64, NetlinkError> {
    value.try_into().map(u64::from_be_bytes).map_err(|_| NetlinkError::Malformed)
}

/// Reads a zero-terminated (or, from a forger, unterminated) name.
pub(super) fn name(value: &[u8]) -> Result<&str, NetlinkError> {
    let text = value.split(|byte| *byte == 0).next().unwrap_or_default();
    std::str::from_utf8(text).map_err(|_| NetlinkError::Malformed)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_longest_value_fits_and_one_byte_more_is_refused() {
        let mut writer = AttrWriter::default();
        writer.bytes(7, &vec![0; 65_535 - HEADER]).unwrap();
        assert_eq!(writer.len(), 65_536);
        let refused = writer.bytes(7, &vec![0; 65_536 - HEADER]);
        assert_eq!(refused, Err(NetlinkError::TooLong { kind: 7, bytes: 65_536 }));
        assert_eq!(writer.len(), 65_536, "a refused attribute leaves nothing behind");
    }

    #[test]
    fn a_nest_that_would_wrap_is_refused_and_taken_back() {
        let mut writer = AttrWriter::default();
        writer.be32(1, 2).unwrap();
        let refused = writer.nest(3, |list| {
            for _ in 0..2_500 {
                list.bytes(NLA_F_NESTED | 1, &[0; 36])?;
            }
            Ok(())
        });
        assert_eq!(refused, Err(NetlinkError::TooLong { kind: 3, bytes: 2_500 * 40 + HEADER }));
        assert_eq!(writer.len(), 8);
    }

    #[test]
    fn a_failing_fill_leaves_nothing_behind() {
        let mut writer = AttrWriter::default();
        let refused = writer.nest(3, |list| {
            list.be64(1, 1)?;
            Err(NetlinkError::Malformed)
        });
        assert_eq!(refused, Err(NetlinkError::Malformed));
        assert!(writer.into_bytes().is_empty());
    }

    #[test]
    fn attributes_are_the_kernels_bytes() {
        let mut writer = AttrWriter::default();
        writer.name(2, "host4").unwrap();
        writer.nest(9, |desc| desc.be32(1, 65_536)).unwrap();
        // As nft 1.0.6 sends them (little-endian machine).
        #[cfg(target_endian = "little")]
        assert_eq!(
            writer.into_bytes(),
            b"\x0a\x00\x02\x00host4\x00\x00\x00\x0c\x00\x09\x80\x08\x00\x01\x00\x00\x01\x00\x00"
        );
    }

    #[test]
    fn what_was_written_is_read() {
        let mut writer = AttrWriter::default();
        writer.name(1, "kban").unwrap();
        writer
            .nest(2, |nest| {
                nest.be32(1, 0xdead_beef)?;
                nest.be64(2, 1 << 40)
            })
            .unwrap();
        let bytes = writer.into_bytes();
        let attrs = Attrs::new(&bytes);
        assert_eq!(attrs.name(1), Ok(Some("kban")));
        let nest = attrs.nested(2).unwrap();
        assert_eq!(nest.be32(1), Ok(Some(0xdead_beef)));
        assert_eq!(nest.be64(2), Ok(Some(1 << 40)));
        assert_eq!(nest.be64(1), Err(NetlinkError::Malformed), "an integer of another width");
        assert_eq!(attrs.find(3), Ok(None));
        assert_eq!(attrs.nested(3).unwrap().count(), 0);
    }

    #[test]
    fn lengths_that_lie_end_the_reading() {
        for lie in [0_u16, 1, 3, 9, 0xffff] {
            let mut bytes = lie.to_ne_bytes().to_vec();
            bytes.extend_from_slice(&[1, 0, 0, 0, 0, 0]);
            let read: Vec<_> = Attrs::new(&bytes).collect();
            assert_eq!(read, [Err(NetlinkError::Malformed)], "length {lie}");
        }
    }

    proptest! {
        #[test]
        fn forged_bytes_never_panic_and_end(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let attrs = Attrs::new(&bytes);
            prop_assert!(attrs.count() <= bytes.len() / HEADER + 1);
            for kind in 0..8 {
                let _ = (attrs.be32(kind), attrs.be64(kind), attrs.name(kind));
                let _ = attrs.nested(kind).map(Iterator::count);
            }
        }
    }
}
