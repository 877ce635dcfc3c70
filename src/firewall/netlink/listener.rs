//! A socket that hears of every change to nf_tables in this network namespace, except one program's own.
//!
//! The kernel would tell a writer of each of its own elements, too: loading 100,000 bans would overrun the
//! queue. A filter in the kernel keeps what one port has sent from ever getting there.

use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use neli::consts::socket::NlFamily;
use neli::socket::NlSocket;
use neli::utils::Groups;
use nix::errno::Errno;
use nix::libc;
use nix::sys::socket::sockopt::{RcvBuf, RcvBufForce};
use nix::sys::socket::{NetlinkAddr, connect, setsockopt};
use nix::{setsockopt_impl, sockopt_impl};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::message::{Message, Messages};
use super::socket::{Carrier, REPLY_ROOM, receive};
use super::{NetlinkError, Step};

/// `NFNLGRP_NFTABLES` of `linux/netfilter/nfnetlink.h`.
const NFNLGRP_NFTABLES: u32 = 7;
/// What the queue should hold, in bytes: a foreign transaction of some 50,000 elements.
const RECEIVE_BUFFER: usize = 8 << 20;
/// Where `nlmsg_pid` lies in `struct nlmsghdr`: of a change that is told, the port that made it.
const PORT_AT: u32 = 12;

sockopt_impl!(
    /// `SO_ATTACH_FILTER` of `socket(7)`: a classic BPF program; another one replaces it.
    AttachFilter,
    SetOnly,
    libc::SOL_SOCKET,
    libc::SO_ATTACH_FILTER,
    libc::sock_fprog
);

/// A socket that is a member of the group that is told of changes.
pub(crate) struct Listener {
    carrier: Carrier,
    buffer: Vec<u8>,
    deaf_to: Option<u32>,
}

impl Listener {
    /// Opens the socket and joins the group. This needs CAP_NET_ADMIN.
    pub(crate) fn open() -> Result<Self, NetlinkError> {
        let io = |step| move |error: std::io::Error| NetlinkError::io(step, &error);
        let os = |step| move |errno: Errno| NetlinkError::Io { step, errno };
        let socket = NlSocket::connect(NlFamily::Netfilter, None, Groups::empty()).map_err(io(Step::Open))?;
        connect(socket.as_raw_fd(), &NetlinkAddr::new(0, 0)).map_err(os(Step::Open))?;
        let carrier = Carrier(socket);
        if setsockopt(&carrier, RcvBufForce, &RECEIVE_BUFFER).is_err() {
            setsockopt(&carrier, RcvBuf, &RECEIVE_BUFFER).map_err(os(Step::Option))?;
        }
        let listener = Self { carrier, buffer: vec![0; REPLY_ROOM], deaf_to: None };
        listener.join()?;
        Ok(listener)
    }

    /// Is told from now on.
    pub(crate) fn join(&self) -> Result<(), NetlinkError> {
        let joined = self.carrier.0.add_mcast_membership(Groups::new_groups(&[NFNLGRP_NFTABLES]));
        joined.map_err(|error| NetlinkError::io(Step::Option, &error))
    }

    /// Is told nothing from now on. Where nobody is told, the kernel does not write it down either, which is half of
    /// what an element costs.
    pub(crate) fn leave(&self) -> Result<(), NetlinkError> {
        let left = self.carrier.0.drop_mcast_membership(Groups::new_groups(&[NFNLGRP_NFTABLES]));
        left.map_err(|error| NetlinkError::io(Step::Option, &error))
    }

    /// Does not hear from now on what `port` does. What waits already is still heard.
    pub(crate) fn be_deaf_to(&mut self, port: u32) -> Result<(), NetlinkError> {
        if self.deaf_to == Some(port) {
            return Ok(());
        }
        // All messages of one datagram are of the same transaction. BPF reads big-endian.
        let mut program = [
            instruction(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, PORT_AT),
            instruction(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, 1, port.to_be()),
            instruction(libc::BPF_RET | libc::BPF_K, 0, u32::MAX),
            instruction(libc::BPF_RET | libc::BPF_K, 0, 0),
        ];
        let filter = libc::sock_fprog { len: 4, filter: program.as_mut_ptr() };
        setsockopt(&self.carrier, AttachFilter, &filter)
            .map_err(|errno| NetlinkError::Io { step: Step::Option, errno })?;
        self.deaf_to = Some(port);
        Ok(())
    }

    /// A descriptor of the same socket that the runtime watches.
    #[allow(unsafe_code)]
    pub(crate) fn readiness(&self) -> Result<AsyncFd<OwnedFd>, NetlinkError> {
        let io = |error: std::io::Error| NetlinkError::io(Step::Open, &error);
        let descriptor = self.carrier.as_fd().try_clone_to_owned().map_err(io)?;
        // SAFETY: an `OwnedFd` is open, and always the same descriptor, for as long as it lives.
        let watched = unsafe { AsyncFd::register_with_interest(descriptor, Interest::READABLE) };
        watched.map_err(|error| io(error.into()))
    }

    /// Gives the messages of the next datagram to `each`; `false` if none waits.
    ///
    /// # Errors
    /// [`NetlinkError::Overrun`] if something was lost before what comes next.
    pub(crate) fn next(
        &mut self,
        mut each: impl FnMut(&Message<'_>) -> Result<(), NetlinkError>,
    ) -> Result<bool, NetlinkError> {
        let Some(datagram) = receive(&self.carrier, &mut self.buffer)? else { return Ok(false) };
        for message in Messages::new(datagram) {
            let message = message?;
            if Some(message.port) != self.deaf_to {
                each(&message)?;
            }
        }
        Ok(true)
    }
}

/// An instruction of classic BPF; `skip` instructions are left out if a comparison is true.
fn instruction(code: u32, skip: u8, value: u32) -> libc::sock_filter {
    // Every code is a number below 256.
    libc::sock_filter { code: u16::try_from(code).unwrap_or(0), jt: skip, jf: 0, k: value }
}
