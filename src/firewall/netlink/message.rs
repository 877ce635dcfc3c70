//! Messages: a netlink header, nf_tables' own header, attributes; and batches of them.
//!
//! A change to nf_tables is a batch: a begin message, the changes, an end message, sent as one
//! datagram and done by the kernel as one transaction or not at all. Only the last change asks for
//! an acknowledgement: errors come for any message, and thousands of unread zeros would only
//! overrun the socket.

use super::NetlinkError;
use super::attr::AttrWriter;
use super::constants::{
    NFNL_BATCH_GENID, NFNL_MSG_BATCH_BEGIN, NFNL_MSG_BATCH_END, NFNL_SUBSYS_NFTABLES, NFPROTO_INET,
    NFPROTO_UNSPEC, NLM_F_ACK, NLM_F_REQUEST,
};

/// `sizeof(struct nlmsghdr)` of `linux/netlink.h`.
const HEADER: usize = 16;
/// `sizeof(struct nfgenmsg)` of `linux/netfilter/nfnetlink.h`.
const FAMILY_HEADER: usize = 4;
/// Where `nlmsg_flags` lies in `struct nlmsghdr`.
const FLAGS_AT: usize = 6;

/// One message that stands alone: a question.
#[derive(Debug)]
pub(crate) struct Request {
    pub(super) bytes: Vec<u8>,
    pub(super) sequence: u32,
}

impl Request {
    /// A question of type `kind` about family inet, with the attributes that `fill` writes.
    pub(crate) fn new(
        sequence: u32,
        kind: u16,
        flags: u16,
        fill: impl FnOnce(&mut AttrWriter) -> Result<(), NetlinkError>,
    ) -> Result<Self, NetlinkError> {
        let mut writer = AttrWriter::default();
        Self::write(&mut writer, sequence, kind, flags, fill)?;
        Ok(Self { bytes: writer.into_bytes(), sequence })
    }

    /// As [`Request::new`], behind others that go to the kernel with it.
    pub(super) fn write(
        writer: &mut AttrWriter,
        sequence: u32,
        kind: u16,
        flags: u16,
        fill: impl FnOnce(&mut AttrWriter) -> Result<(), NetlinkError>,
    ) -> Result<(), NetlinkError> {
        let head = Head { kind, flags: flags | NLM_F_REQUEST, sequence, family: NFPROTO_INET, resource: 0 };
        write_message(writer, head, fill)
    }
}

/// A transaction that is being written.
#[derive(Debug)]
pub(crate) struct Batch {
    writer: AttrWriter,
    first: u32,
    next: u32,
    /// Where the last change starts, and its flags.
    last: Option<(usize, u16)>,
}

impl Batch {
    /// Begins a batch whose messages are numbered from `first`. With a `generation` the kernel does
    /// it only if nothing has changed since that generation of the ruleset (else `ERESTART`).
    pub(crate) fn begin(first: u32, generation: Option<u32>) -> Result<Self, NetlinkError> {
        let mut writer = AttrWriter::default();
        write_message(&mut writer, Head::frame(NFNL_MSG_BATCH_BEGIN, first), |attrs| match generation {
            Some(generation) => attrs.be32(NFNL_BATCH_GENID, generation),
            None => Ok(()),
        })?;
        Ok(Self { writer, first, next: first.wrapping_add(1), last: None })
    }

    /// Adds a change and returns its sequence number.
    pub(crate) fn push(
        &mut self,
        kind: u16,
        flags: u16,
        fill: impl FnOnce(&mut AttrWriter) -> Result<(), NetlinkError>,
    ) -> Result<u32, NetlinkError> {
        let sequence = self.next;
        let start = self.writer.len();
        let flags = flags | NLM_F_REQUEST;
        let head = Head { kind, flags, sequence, family: NFPROTO_INET, resource: 0 };
        write_message(&mut self.writer, head, fill)?;
        self.last = Some((start, flags));
        self.next = sequence.wrapping_add(1);
        Ok(sequence)
    }

    /// Its length so far, in bytes.
    pub(crate) fn len(&self) -> usize {
        self.writer.len()
    }

    /// Ends the batch; `None` if it has no changes.
    pub(crate) fn end(mut self) -> Result<Option<FinishedBatch>, NetlinkError> {
        let Some((start, flags)) = self.last else { return Ok(None) };
        self.writer.overwrite(start + FLAGS_AT, &(flags | NLM_F_ACK).to_ne_bytes());
        write_message(&mut self.writer, Head::frame(NFNL_MSG_BATCH_END, self.next), |_| Ok(()))?;
        let last = self.next.wrapping_sub(1);
        Ok(Some(FinishedBatch { bytes: self.writer.into_bytes(), first: self.first, last }))
    }
}

/// A transaction that can be sent.
#[derive(Debug)]
pub(crate) struct FinishedBatch {
    pub(super) bytes: Vec<u8>,
    /// Sequence number of the begin message.
    pub(super) first: u32,
    /// Sequence number of the last change, the one that is acknowledged.
    pub(super) last: u32,
}

impl FinishedBatch {
    /// The bytes that are sent.
    #[cfg(test)]
    pub(crate) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// Whether a reply with this sequence number belongs to this batch (its end message included).
    pub(super) fn holds(&self, sequence: u32) -> bool {
        sequence.wrapping_sub(self.first) <= self.last.wrapping_sub(self.first).wrapping_add(1)
    }

    /// How many sequence numbers the batch uses.
    pub(super) fn numbers(&self) -> u32 {
        self.last.wrapping_sub(self.first).wrapping_add(2)
    }
}

#[derive(Clone, Copy)]
struct Head {
    kind: u16,
    flags: u16,
    sequence: u32,
    family: u8,
    resource: u16,
}

impl Head {
    /// The begin or end of a batch, which names the subsystem that the batch is for.
    fn frame(kind: u16, sequence: u32) -> Self {
        let resource = u16::from(NFNL_SUBSYS_NFTABLES);
        Self { kind, flags: NLM_F_REQUEST, sequence, family: NFPROTO_UNSPEC, resource }
    }
}

fn write_message(
    writer: &mut AttrWriter,
    head: Head,
    fill: impl FnOnce(&mut AttrWriter) -> Result<(), NetlinkError>,
) -> Result<(), NetlinkError> {
    let start = writer.len();
    let Head { kind, flags, sequence, family, resource } = head;
    writer.raw(&[0; 4]);
    writer.raw(&kind.to_ne_bytes());
    writer.raw(&flags.to_ne_bytes());
    writer.raw(&sequence.to_ne_bytes());
    writer.raw(&[0; 4]); // nlmsg_pid: the kernel knows the sender by its socket
    writer.raw(&[family, 0]);
    writer.raw(&resource.to_be_bytes());
    let written = fill(writer).and_then(|()| {
        let bytes = writer.len() - start;
        u32::try_from(bytes).map_err(|_| NetlinkError::TooLong { kind, bytes })
    });
    match written {
        Ok(length) => {
            writer.overwrite(start, &length.to_ne_bytes());
            Ok(())
        }
        Err(error) => {
            writer.truncate(start);
            Err(error)
        }
    }
}

/// One message as it was received.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Message<'a> {
    pub(crate) kind: u16,
    pub(crate) flags: u16,
    pub(crate) sequence: u32,
    /// The port that the message is about: ours, in what the kernel answers us; in what a listener hears, of whoever
    /// made the change.
    pub(crate) port: u32,
    /// Everything after the netlink header.
    pub(crate) payload: &'a [u8],
}

impl<'a> Message<'a> {
    /// The lower half of the number of the ruleset's generation that an nf_tables message is of
    /// (`res_id` of `struct nfgenmsg`).
    pub(crate) fn generation(&self) -> Result<u16, NetlinkError> {
        match self.payload {
            [_, _, high, low, ..] => Ok(u16::from_be_bytes([*high, *low])),
            _ => Err(NetlinkError::Malformed),
        }
    }

    /// The attributes of an nf_tables message.
    pub(crate) fn attributes(&self) -> Result<&'a [u8], NetlinkError> {
        self.payload.get(FAMILY_HEADER..).ok_or(NetlinkError::Malformed)
    }
}

/// The messages in one datagram; ends at the first that is not well-formed, with the error.
#[derive(Debug)]
pub(crate) struct Messages<'a> {
    rest: &'a [u8],
}

impl<'a> Messages<'a> {
    pub(crate) fn new(datagram: &'a [u8]) -> Self {
        Self { rest: datagram }
    }

    fn take(&mut self) -> Option<Message<'a>> {
        let (length, after) = self.rest.split_first_chunk::<4>()?;
        let (kind, after) = after.split_first_chunk::<2>()?;
        let (flags, after) = after.split_first_chunk::<2>()?;
        let (sequence, after) = after.split_first_chunk::<4>()?;
        let (port, _) = after.split_first_chunk::<4>()?;
        let length = usize::try_from(u32::from_ne_bytes(*length)).ok()?;
        let payload = self.rest.get(HEADER..length)?;
        self.rest = self.rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some(Message {
            kind: u16::from_ne_bytes(*kind),
            flags: u16::from_ne_bytes(*flags),
            sequence: u32::from_ne_bytes(*sequence),
            port: u32::from_ne_bytes(*port),
            payload,
        })
    }
}

impl<'a> Iterator for Messages<'a> {
    type Item = Result<Message<'a>, NetlinkError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let message = self.take();
        if message.is_none() {
            self.rest = &[];
        }
        Some(message.ok_or(NetlinkError::Malformed))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::firewall::netlink::constants::{NFT_MSG_DELTABLE, NFTA_TABLE_NAME};

    fn batch_of_two() -> FinishedBatch {
        let mut batch = Batch::begin(u32::MAX, None).unwrap();
        for _ in 0..2 {
            batch.push(NFT_MSG_DELTABLE, 0, |attrs| attrs.name(NFTA_TABLE_NAME, "kban")).unwrap();
        }
        batch.end().unwrap().unwrap()
    }

    #[test]
    #[cfg(target_endian = "little")]
    fn a_batch_is_the_kernels_bytes() {
        let mut batch = Batch::begin(1, Some(7)).unwrap();
        batch.push(NFT_MSG_DELTABLE, 0, |attrs| attrs.name(NFTA_TABLE_NAME, "kban")).unwrap();
        let bytes = batch.end().unwrap().unwrap().bytes;
        let expected = [
            // begin, sequence 1, family unspec, resource NFNL_SUBSYS_NFTABLES; generation 7
            &b"\x1c\0\0\0\x10\0\x01\0\x01\0\0\0\0\0\0\0\0\0\0\x0a\x08\0\x01\0\0\0\0\x07"[..],
            // delete table kban, sequence 2, acknowledged, family inet
            &b"\x20\0\0\0\x02\x0a\x05\0\x02\0\0\0\0\0\0\0\x01\0\0\0\x09\0\x01\0kban\0\0\0\0"[..],
            // end, sequence 3
            &b"\x14\0\0\0\x11\0\x01\0\x03\0\0\0\0\0\0\0\0\0\0\x0a"[..],
        ];
        assert_eq!(bytes, expected.concat());
    }

    #[test]
    fn only_the_last_change_is_acknowledged() {
        let batch = batch_of_two();
        let messages: Vec<_> = Messages::new(&batch.bytes).map(Result::unwrap).collect();
        let flags: Vec<_> = messages.iter().map(|message| message.flags).collect();
        assert_eq!(flags, [1, 1, 5, 1]);
        let sequences: Vec<_> = messages.iter().map(|message| message.sequence).collect();
        assert_eq!(sequences, [u32::MAX, 0, 1, 2], "numbers wrap without harm");
        assert_eq!(batch.last, 1);
        assert_eq!(batch.numbers(), 4);
        for sequence in [u32::MAX, 0, 1, 2] {
            assert!(batch.holds(sequence));
        }
        assert!(!batch.holds(3) && !batch.holds(u32::MAX - 1));
    }

    #[test]
    fn a_batch_without_changes_is_nothing_to_send() {
        assert!(Batch::begin(1, None).unwrap().end().unwrap().is_none());
    }

    #[test]
    fn a_change_that_cannot_be_written_is_taken_back() {
        let mut batch = Batch::begin(1, None).unwrap();
        let refused = batch.push(NFT_MSG_DELTABLE, 0, |attrs| attrs.bytes(1, &[0; 70_000]));
        assert_eq!(refused, Err(NetlinkError::TooLong { kind: 1, bytes: 70_004 }));
        assert!(batch.end().unwrap().is_none());
    }

    proptest! {
        #[test]
        fn forged_datagrams_never_panic_and_end(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            prop_assert!(Messages::new(&bytes).count() <= bytes.len() / HEADER + 1);
        }

        #[test]
        fn cut_datagrams_never_panic_and_end_in_an_error(cut in 1_usize..124) {
            let bytes = batch_of_two().bytes;
            let cut = &bytes[..bytes.len().saturating_sub(cut)];
            let read: Vec<_> = Messages::new(cut).collect();
            prop_assert!(read.iter().rev().skip(1).all(Result::is_ok));
        }
    }
}
