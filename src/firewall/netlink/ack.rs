//! What the kernel says about a request: an errno, and sometimes a sentence of its own.
//!
//! A batch is all or nothing, but its replies come one by one: an acknowledgement with zero says
//! nothing while an error for another message of the batch may still follow. So a [`Verdict`]
//! listens to all replies before it judges, and the first error is the one that counts: later ones
//! are often its consequences.

use nix::errno::Errno;

use super::NetlinkError;
use super::attr::{Attrs, name};
use super::constants::{NLM_F_ACK_TLVS, NLM_F_CAPPED, NLMSG_ERROR, NLMSGERR_ATTR_MSG};
use super::message::{FinishedBatch, Message};

/// `sizeof(struct nlmsghdr)`, which the kernel echoes in each error.
const ECHOED_HEADER: usize = 16;
/// The kernel's own words are kept to this many characters.
const TEXT_MAX: usize = 160;

/// Reads an `NLMSG_ERROR` message: `Ok` is an acknowledgement.
pub(super) fn acknowledged(message: &Message<'_>) -> Result<(), NetlinkError> {
    let (code, after) = message.payload.split_first_chunk::<4>().ok_or(NetlinkError::Malformed)?;
    match i32::from_ne_bytes(*code) {
        0 => Ok(()),
        negative => Err(NetlinkError::Refused {
            errno: Errno::from_raw(negative.wrapping_neg()),
            text: words(message.flags, after),
            sequence: message.sequence,
        }),
    }
}

/// The kernel's words about an error; none rather than an error of our own if they cannot be read.
fn words(flags: u16, echo: &[u8]) -> Option<String> {
    if flags & NLM_F_ACK_TLVS == 0 {
        return None;
    }
    let echoed = if flags & NLM_F_CAPPED != 0 {
        ECHOED_HEADER
    } else {
        let (length, _) = echo.split_first_chunk::<4>()?;
        usize::try_from(u32::from_ne_bytes(*length)).ok()?.max(ECHOED_HEADER).checked_next_multiple_of(4)?
    };
    let text = Attrs::new(echo.get(echoed..)?).find(NLMSGERR_ATTR_MSG).ok()??;
    let printable = name(text).ok()?.chars().filter(|char| !char.is_control());
    Some(printable.take(TEXT_MAX).collect())
}

/// The outcome of a batch, heard reply by reply.
#[derive(Debug, Default)]
pub(super) struct Verdict {
    acknowledged: bool,
    refused: Option<NetlinkError>,
}

impl Verdict {
    /// Takes a message into account if it is a reply to `batch`.
    pub(super) fn hear(&mut self, batch: &FinishedBatch, message: &Message<'_>) {
        if message.kind != NLMSG_ERROR || !batch.holds(message.sequence) {
            return;
        }
        match acknowledged(message) {
            Ok(()) => self.acknowledged |= message.sequence == batch.last,
            Err(error) => self.refuse(error),
        }
    }

    /// Counts a failure to read the replies as the batch's failure, unless there was an earlier one.
    pub(super) fn refuse(&mut self, error: NetlinkError) {
        self.refused.get_or_insert(error);
    }

    /// Judges, when no more replies are to come.
    pub(super) fn close(self) -> Result<(), NetlinkError> {
        match self.refused {
            Some(error) => Err(error),
            None if self.acknowledged => Ok(()),
            None => Err(NetlinkError::Silent),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::message::Batch;
    use super::*;
    use crate::firewall::netlink::constants::NFT_MSG_DELTABLE;

    fn batch() -> FinishedBatch {
        let mut batch = Batch::begin(10, None).unwrap();
        batch.push(NFT_MSG_DELTABLE, 0, |_| Ok(())).unwrap();
        batch.push(NFT_MSG_DELTABLE, 0, |_| Ok(())).unwrap();
        batch.end().unwrap().unwrap()
    }

    fn payload(errno: i32) -> Vec<u8> {
        [(-errno).to_ne_bytes().as_slice(), &[0; 16]].concat()
    }

    fn hear(replies: &[(u32, i32)]) -> Result<(), NetlinkError> {
        let mut verdict = Verdict::default();
        for (sequence, errno) in replies {
            let payload = payload(*errno);
            let message =
                Message { kind: NLMSG_ERROR, flags: 0, sequence: *sequence, port: 0, payload: &payload };
            verdict.hear(&batch(), &message);
        }
        verdict.close()
    }

    fn refused(errno: Errno, sequence: u32) -> Result<(), NetlinkError> {
        Err(NetlinkError::Refused { errno, text: None, sequence })
    }

    #[test]
    fn a_batch_is_done_when_its_last_change_is_acknowledged_and_nothing_failed() {
        assert_eq!(hear(&[(12, 0)]), Ok(()));
        assert_eq!(hear(&[]), Err(NetlinkError::Silent));
        assert_eq!(hear(&[(11, 0)]), Err(NetlinkError::Silent));
    }

    #[test]
    fn an_error_undoes_an_acknowledgement_whichever_comes_first() {
        assert_eq!(hear(&[(12, 0), (11, 17)]), refused(Errno::EEXIST, 11));
        assert_eq!(hear(&[(11, 17), (12, 0)]), refused(Errno::EEXIST, 11));
        assert_eq!(hear(&[(11, 23), (12, 2)]), refused(Errno::ENFILE, 11), "the first error counts");
        assert_eq!(hear(&[(10, 1)]), refused(Errno::EPERM, 10), "an error for the whole batch");
    }

    #[test]
    fn replies_to_other_requests_are_not_heard() {
        assert_eq!(hear(&[(9, 1), (14, 1), (12, 0)]), Ok(()));
    }

    #[test]
    fn the_kernels_words_are_read_and_made_printable() {
        let mut payload = payload(22);
        payload.extend_from_slice(b"\x0c\0\x01\0no\x1b set\0");
        let flags = NLM_F_CAPPED | NLM_F_ACK_TLVS;
        let message = Message { kind: NLMSG_ERROR, flags, sequence: 11, port: 0, payload: &payload };
        let text = Some("no set".to_owned());
        assert_eq!(
            acknowledged(&message),
            Err(NetlinkError::Refused { errno: Errno::EINVAL, text, sequence: 11 })
        );
    }

    proptest! {
        #[test]
        fn forged_errors_never_panic(flags: u16, payload in proptest::collection::vec(any::<u8>(), 0..80)) {
            let message = Message { kind: NLMSG_ERROR, flags, sequence: 11, port: 0, payload: &payload };
            let _ = acknowledged(&message);
        }
    }
}
