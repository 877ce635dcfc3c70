//! One netlink socket to the kernel's netfilter subsystem.
//!
//! The socket is connected to port 0, the kernel: whatever another process sends to it is refused
//! before it gets here. The kernel answers while it is being asked (a request is handled inside
//! `send(2)`, a dump goes on inside `recv(2)`), so reading never waits: an empty queue means that
//! everything has been said. After a failure that may leave answers or half a dump behind, what is
//! left is read away before the next request: the socket stays the same, since it may own the table.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, RawFd};

use neli::consts::socket::{Msg, NlFamily};
use neli::socket::NlSocket;
use neli::utils::Groups;
use nix::errno::Errno;
use nix::libc;
use nix::sys::socket::sockopt::{RcvBuf, RcvBufForce, SndBuf, SndBufForce};
use nix::sys::socket::{NetlinkAddr, connect, getsockopt, setsockopt};
use nix::{getsockopt_impl, setsockopt_impl, sockopt_impl};

use super::ack::{Verdict, acknowledged};
use super::attr::AttrWriter;
use super::constants::{NLM_F_DUMP, NLM_F_DUMP_INTR, NLMSG_DONE, NLMSG_ERROR, NLMSG_NOOP, NLMSG_OVERRUN};
use super::message::{Batch, Message, Messages, Request};
use super::{NetlinkError, Step};

mod questions;
#[cfg(test)]
mod tests;

/// What the send buffer should hold, in bytes: a transaction of about 50,000 elements. It is a
/// limit, not an allocation. The kernel doubles it (`socket(7)`, `SO_SNDBUF`).
const SEND_BUFFER: usize = 4 << 20;
/// What the queue of replies should hold, in bytes.
const RECEIVE_BUFFER: usize = 1 << 20;
/// The kernel refuses messages of more than the send buffer less this (`netlink_sendmsg`).
const SEND_OVERHEAD: usize = 32;
/// Longer than any reply: the kernel makes dump messages of up to 32 KiB.
pub(super) const REPLY_ROOM: usize = 64 << 10;

sockopt_impl!(
    /// `NETLINK_CAP_ACK` of `netlink(7)`: an error does not echo the message that it is about.
    CapAck,
    SetOnly,
    libc::SOL_NETLINK,
    libc::NETLINK_CAP_ACK,
    bool
);

sockopt_impl!(
    /// `SO_PROTOCOL` of `socket(7)`.
    Protocol,
    GetOnly,
    libc::SOL_SOCKET,
    libc::SO_PROTOCOL,
    libc::c_int
);

/// A socket, numbered requests, and the answers that belong to them.
pub(crate) struct Socket {
    carrier: Carrier,
    port: u32,
    sequence: u32,
    send_limit: usize,
    commits: u32,
    buffer: Vec<u8>,
    stale: bool,
}

/// neli's socket, for options that neli does not know.
pub(super) struct Carrier(pub(super) NlSocket);

impl AsFd for Carrier {
    #[allow(unsafe_code)]
    fn as_fd(&self) -> BorrowedFd<'_> {
        // SAFETY: the descriptor is open for as long as the `NlSocket` lives (it closes it on drop),
        // and the borrow cannot outlive `&self`.
        unsafe { BorrowedFd::borrow_raw(self.0.as_raw_fd()) }
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.carrier.as_fd()
    }
}

impl Socket {
    /// Opens a socket of `NETLINK_NETFILTER`. This needs no privilege; using it does.
    pub(crate) fn open() -> Result<Self, NetlinkError> {
        let io = |step| move |error: std::io::Error| NetlinkError::io(step, &error);
        let os = |step| move |errno: Errno| NetlinkError::Io { step, errno };
        let socket = NlSocket::connect(NlFamily::Netfilter, None, Groups::empty()).map_err(io(Step::Open))?;
        connect(socket.as_raw_fd(), &NetlinkAddr::new(0, 0)).map_err(os(Step::Open))?;
        Self::made(socket)
    }

    /// Goes on with a socket that [`Socket::open`] has opened in an earlier process. `descriptor` is this process's
    /// own and nobody else's here: what a service manager passed on, taken once.
    ///
    /// # Errors
    /// `EPROTONOSUPPORT` if it is no such socket; it is closed then.
    #[allow(unsafe_code)]
    pub(crate) fn inherited(descriptor: RawFd) -> Result<Self, NetlinkError> {
        // SAFETY: the caller gives the descriptor away; that it is open is checked by the first call that uses it,
        // and a closed one only makes that fail.
        let socket = unsafe { NlSocket::from_raw_fd(descriptor) };
        let carrier = Carrier(socket);
        let protocol = getsockopt(&carrier, Protocol);
        if protocol != Ok(libc::NETLINK_NETFILTER) {
            let errno = protocol.err().unwrap_or(Errno::EPROTONOSUPPORT);
            return Err(NetlinkError::Io { step: Step::Open, errno });
        }
        // Answers that nobody has read may wait in it.
        Self::made(carrier.0).map(|socket| Self { stale: true, ..socket })
    }

    fn made(socket: NlSocket) -> Result<Self, NetlinkError> {
        let io = |step| move |error: std::io::Error| NetlinkError::io(step, &error);
        let os = |step| move |errno: Errno| NetlinkError::Io { step, errno };
        let port = socket.pid().map_err(io(Step::Open))?;
        socket.enable_ext_ack(true).map_err(io(Step::Option))?;
        let carrier = Carrier(socket);
        setsockopt(&carrier, CapAck, &true).map_err(os(Step::Option))?;
        // Both need CAP_NET_ADMIN in the first user namespace. Without it the ordinary limits hold,
        // and callers keep below `send_limit`.
        if setsockopt(&carrier, SndBufForce, &SEND_BUFFER).is_err() {
            setsockopt(&carrier, SndBuf, &SEND_BUFFER).map_err(os(Step::Option))?;
        }
        if setsockopt(&carrier, RcvBufForce, &RECEIVE_BUFFER).is_err() {
            setsockopt(&carrier, RcvBuf, &RECEIVE_BUFFER).map_err(os(Step::Option))?;
        }
        let granted = getsockopt(&carrier, SndBuf).map_err(os(Step::Option))?;
        Ok(Self {
            carrier,
            port,
            sequence: 1,
            commits: 0,
            send_limit: granted.saturating_sub(SEND_OVERHEAD),
            buffer: vec![0; REPLY_ROOM],
            stale: false,
        })
    }

    /// The most bytes that one batch can have.
    pub(crate) fn send_limit(&self) -> usize {
        self.send_limit
    }

    /// The socket's address.
    pub(crate) fn port(&self) -> u32 {
        self.port
    }

    /// How many transactions the kernel has taken from this socket; the number wraps.
    pub(crate) fn commits(&self) -> u32 {
        self.commits
    }

    /// As if the system granted a smaller send buffer.
    #[cfg(test)]
    pub(crate) fn limit_sending(&mut self, bytes: usize) {
        self.send_limit = bytes;
    }

    /// Begins a batch; see [`Batch::begin`].
    pub(crate) fn batch(&self, generation: Option<u32>) -> Result<Batch, NetlinkError> {
        Batch::begin(self.sequence, generation)
    }

    /// Sends a batch and hears every reply to it. An error means that nothing of it was done;
    /// except [`NetlinkError::Overrun`] and the other failures to read, which leave that open.
    pub(crate) fn commit(&mut self, batch: Batch) -> Result<(), NetlinkError> {
        let Some(batch) = batch.end()? else { return Ok(()) };
        self.sequence = self.sequence.wrapping_add(batch.numbers());
        self.send(&batch.bytes)?;
        let mut verdict = Verdict::default();
        let read = self.receive_all(|message| {
            verdict.hear(&batch, message);
            Ok(Flow::GoOn)
        });
        if let Err(error) = read {
            verdict.refuse(error);
        }
        verdict.close()?;
        self.commits = self.commits.wrapping_add(1);
        Ok(())
    }

    /// Asks for a list and gives the attributes of each answer to `each`. `None` if what should be
    /// listed is not there (`ENOENT`).
    pub(crate) fn dump(
        &mut self,
        kind: u16,
        fill: impl FnOnce(&mut AttrWriter) -> Result<(), NetlinkError>,
        mut each: impl FnMut(&[u8]) -> Result<(), NetlinkError>,
    ) -> Result<Option<Dump>, NetlinkError> {
        let request = self.request(kind, NLM_F_DUMP, fill)?;
        match self.walk(&request, |attrs| each(attrs).map(|()| Flow::GoOn)) {
            Ok(dump) => Ok(Some(dump)),
            Err(error) if is_absent(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Asks for a list only to know whether `found` is true of any of its messages, and gives up
    /// the socket: closing it ends a dump that would otherwise have to be read to its end.
    pub(crate) fn any(
        mut self,
        kind: u16,
        fill: impl FnOnce(&mut AttrWriter) -> Result<(), NetlinkError>,
        found: impl Fn(&[u8]) -> Result<bool, NetlinkError>,
    ) -> Result<Option<bool>, NetlinkError> {
        let request = self.request(kind, NLM_F_DUMP, fill)?;
        let mut any = false;
        let asked = self.walk(&request, |attrs| {
            any |= found(attrs)?;
            Ok(if any { Flow::Enough } else { Flow::GoOn })
        });
        match asked {
            Ok(Dump::Whole) => Ok(Some(any)),
            // A change can hide elements from a dump: say that there may be some.
            Ok(Dump::Disturbed) => Ok(Some(true)),
            Err(error) if is_absent(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn walk(
        &mut self,
        request: &Request,
        mut each: impl FnMut(&[u8]) -> Result<Flow, NetlinkError>,
    ) -> Result<Dump, NetlinkError> {
        self.send(&request.bytes)?;
        let mut done = false;
        let mut outcome = Dump::Whole;
        let mut generation = None;
        self.receive_all(|message| {
            if message.sequence != request.sequence {
                return Ok(Flow::GoOn);
            }
            if message.flags & NLM_F_DUMP_INTR != 0 {
                outcome = Dump::Disturbed;
            }
            if let NLMSG_DONE | NLMSG_ERROR = message.kind {
                // The end of a dump has the layout of an acknowledgement: first of all its errno.
                done = true;
                return acknowledged(message).map(|()| Flow::Enough);
            }
            // The flag was never seen on a dump of elements that had gaps (Linux 6.18); but each message
            // carries the ruleset's generation.
            let is = message.generation()?;
            if *generation.get_or_insert(is) != is {
                outcome = Dump::Disturbed;
            }
            let flow = each(message.attributes()?)?;
            done |= matches!(flow, Flow::Enough);
            Ok(flow)
        })?;
        if done { Ok(outcome) } else { Err(NetlinkError::Silent) }
    }

    fn request(
        &mut self,
        kind: u16,
        flags: u16,
        fill: impl FnOnce(&mut AttrWriter) -> Result<(), NetlinkError>,
    ) -> Result<Request, NetlinkError> {
        let request = Request::new(self.sequence, kind, flags, fill)?;
        self.sequence = self.sequence.wrapping_add(1);
        Ok(request)
    }

    fn send(&mut self, bytes: &[u8]) -> Result<(), NetlinkError> {
        if bytes.len() > self.send_limit {
            return Err(NetlinkError::TooBig { bytes: bytes.len(), limit: self.send_limit });
        }
        if self.stale {
            self.read_away()?;
        }
        loop {
            match self.carrier.0.send(bytes, Msg::empty()) {
                Ok(_) => return Ok(()),
                Err(error) => match NetlinkError::io(Step::Send, &error) {
                    NetlinkError::Io { errno: Errno::EINTR, .. } => {}
                    error => return Err(error),
                },
            }
        }
    }

    /// Reads what earlier requests have left, so that the next answer is that to the next request.
    fn read_away(&mut self) -> Result<(), NetlinkError> {
        loop {
            match receive(&self.carrier, &mut self.buffer) {
                Ok(None) => break,
                Ok(Some(_)) | Err(NetlinkError::Truncated { .. } | NetlinkError::Overrun) => {}
                Err(error) => return Err(error),
            }
        }
        self.stale = false;
        Ok(())
    }

    /// Gives every waiting message that is from the kernel and to this socket to `each`, until it
    /// has enough or nothing is left.
    fn receive_all(
        &mut self,
        mut each: impl FnMut(&Message<'_>) -> Result<Flow, NetlinkError>,
    ) -> Result<(), NetlinkError> {
        let outcome = self.receive_until(&mut each);
        self.stale |= outcome.as_ref().is_err_and(|error| !matches!(error, NetlinkError::Refused { .. }));
        outcome
    }

    fn receive_until(
        &mut self,
        each: &mut impl FnMut(&Message<'_>) -> Result<Flow, NetlinkError>,
    ) -> Result<(), NetlinkError> {
        while let Some(datagram) = receive(&self.carrier, &mut self.buffer)? {
            for message in Messages::new(datagram) {
                let message = message?;
                if message.port != self.port {
                    continue;
                }
                match message.kind {
                    NLMSG_NOOP => {}
                    NLMSG_OVERRUN => return Err(NetlinkError::Overrun),
                    _ => match each(&message)? {
                        Flow::GoOn => {}
                        Flow::Enough => return Ok(()),
                    },
                }
            }
        }
        Ok(())
    }
}

/// How a list was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dump {
    /// Without a change of the ruleset.
    Whole,
    /// The ruleset changed meanwhile: the list can have gaps and repetitions.
    Disturbed,
}

/// Whether a reader wants more.
enum Flow {
    GoOn,
    Enough,
}

fn is_absent(error: &NetlinkError) -> bool {
    matches!(error, NetlinkError::Refused { errno: Errno::ENOENT, .. })
}

/// The next datagram that waits, if one does.
pub(super) fn receive<'b>(carrier: &Carrier, buffer: &'b mut [u8]) -> Result<Option<&'b [u8]>, NetlinkError> {
    let room = buffer.len();
    loop {
        // With MSG_TRUNC the length is the datagram's own, also where it is longer than the buffer.
        match carrier.0.recv(&mut *buffer, Msg::DONTWAIT | Msg::TRUNC) {
            Ok((length, _)) => return buffer.get(..length).map(Some).ok_or(NetlinkError::Truncated { room }),
            Err(error) => match NetlinkError::io(Step::Receive, &error) {
                NetlinkError::Io { errno: Errno::EINTR, .. } => {}
                NetlinkError::Io { errno: Errno::EAGAIN, .. } => return Ok(None),
                NetlinkError::Io { errno: Errno::ENOBUFS, .. } => return Err(NetlinkError::Overrun),
                error => return Err(error),
            },
        }
    }
}
