//! Questions with one answer each: one of them, or many together.

use super::super::NetlinkError;
use super::super::ack::acknowledged;
use super::super::attr::AttrWriter;
use super::super::constants::NLMSG_ERROR;
use super::super::message::Request;
use super::{Flow, Socket, is_absent};

/// How many questions go into one datagram. All answers wait while it is sent; with a page of memory for each they still
/// fit into what a process without privileges gets (`net.core.rmem_max`, 212,992 bytes, doubled).
pub(super) const QUESTIONS: usize = 64;
impl Socket {
    /// Asks for one object and gives the attributes of the answer to `read`; `None` if the kernel
    /// has no such object (`ENOENT`).
    pub(crate) fn get<T>(
        &mut self,
        kind: u16,
        fill: impl Fn(&mut AttrWriter) -> Result<(), NetlinkError>,
        read: impl Fn(&[u8]) -> Result<T, NetlinkError>,
    ) -> Result<Option<T>, NetlinkError> {
        let mut answers = self.get_each(kind, &[()], |attrs, ()| fill(attrs), read)?;
        answers.pop().ok_or(NetlinkError::Silent)
    }

    /// As [`Socket::get`], of many objects, an answer for each of `questions` and in their order. The kernel takes the
    /// messages of a datagram one by one (`netlink_rcv_skb`), and says to each the one thing that there is to say.
    pub(crate) fn get_each<Q, T>(
        &mut self,
        kind: u16,
        questions: &[Q],
        fill: impl Fn(&mut AttrWriter, &Q) -> Result<(), NetlinkError>,
        read: impl Fn(&[u8]) -> Result<T, NetlinkError>,
    ) -> Result<Vec<Option<T>>, NetlinkError> {
        let mut answers = Vec::with_capacity(questions.len());
        for questions in questions.chunks(QUESTIONS) {
            let (first, mut writer) = (self.sequence, AttrWriter::default());
            for question in questions {
                Request::write(&mut writer, self.sequence, kind, 0, |attrs| fill(attrs, question))?;
                self.sequence = self.sequence.wrapping_add(1);
            }
            self.send(&writer.into_bytes())?;
            let mut said: Vec<Option<Option<T>>> = questions.iter().map(|_| None).collect();
            let mut missing = said.len();
            let heard = self.receive_all(|message| {
                let number = usize::try_from(message.sequence.wrapping_sub(first)).unwrap_or(usize::MAX);
                let Some(place @ None) = said.get_mut(number) else { return Ok(Flow::GoOn) };
                *place = Some(match message.kind {
                    NLMSG_ERROR => match acknowledged(message) {
                        Err(error) if is_absent(&error) => None,
                        Err(error) => return Err(error),
                        Ok(()) => return Ok(Flow::GoOn),
                    },
                    _ => Some(read(message.attributes()?)?),
                });
                missing -= 1;
                Ok(if missing == 0 { Flow::Enough } else { Flow::GoOn })
            });
            // What is said to the others is still to come.
            self.stale |= heard.is_err();
            heard?;
            for answer in said {
                answers.push(answer.ok_or(NetlinkError::Silent)?);
            }
        }
        Ok(answers)
    }
}
