//! The kernel's sockets, listed and destroyed (`sock_diag(7)`, `linux/inet_diag.h`).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::AsRawFd;

use neli::consts::socket::{Msg, NlFamily};
use neli::socket::NlSocket;
use neli::utils::Groups;
use nix::errno::Errno;
use nix::sys::socket::{NetlinkAddr, connect};

use super::constants::{NLM_F_ACK, NLM_F_DUMP, NLM_F_REQUEST, NLMSG_DONE, NLMSG_ERROR};
use super::message::{Message, Messages};
use super::{NetlinkError, Step};

/// `SOCK_DIAG_BY_FAMILY` of `linux/sock_diag.h`.
const SOCK_DIAG_BY_FAMILY: u16 = 20;
/// `SOCK_DESTROY` of `linux/sock_diag.h`; since Linux 4.5, with `CONFIG_INET_DIAG_DESTROY`.
const SOCK_DESTROY: u16 = 21;
/// `AF_INET`, `AF_INET6`.
const FAMILIES: [u8; 2] = [2, 10];
/// `IPPROTO_TCP`.
const TCP: u8 = 6;
/// All states of `net/tcp_states.h` but `TIME_WAIT` (6), `CLOSE` (7) and `LISTEN` (10): connections.
const CONNECTED: u32 = 0b1_1011_0011_1110;
/// `struct nlmsghdr`.
const HEADER: usize = 16;
/// `struct inet_diag_sockid`, which names one socket.
const ID: usize = 48;
/// Longer than any reply.
const REPLY_ROOM: usize = 64 << 10;

/// One TCP connection of this network namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Connection {
    /// Whose other end it is; IPv4-mapped addresses folded.
    pub(crate) peer: IpAddr,
    /// The port at this end.
    pub(crate) port: u16,
    family: u8,
    id: [u8; ID],
}

/// A socket of `NETLINK_SOCK_DIAG`.
pub(crate) struct Diag {
    socket: NlSocket,
    sequence: u32,
    buffer: Vec<u8>,
}

impl Diag {
    pub(crate) fn open() -> Result<Self, NetlinkError> {
        let socket = NlSocket::connect(NlFamily::SockOrInetDiag, None, Groups::empty())
            .map_err(|error| NetlinkError::io(Step::Open, &error))?;
        // A connected socket takes nothing from anybody but the kernel.
        connect(socket.as_raw_fd(), &NetlinkAddr::new(0, 0))
            .map_err(|errno| NetlinkError::Io { step: Step::Open, errno })?;
        Ok(Self { socket, sequence: 0, buffer: vec![0; REPLY_ROOM] })
    }

    /// Every TCP connection for which `wanted` is true.
    pub(crate) fn connections(
        &mut self,
        wanted: impl Fn(&Connection) -> bool,
    ) -> Result<Vec<Connection>, NetlinkError> {
        let mut found = Vec::new();
        for family in FAMILIES {
            self.ask(SOCK_DIAG_BY_FAMILY, NLM_F_DUMP, family, &[0; ID], |message| {
                found.extend(read(message.payload).filter(&wanted));
            })?;
        }
        Ok(found)
    }

    /// Ends a connection: both sides see a reset. False if it had ended by itself.
    pub(crate) fn destroy(&mut self, connection: &Connection) -> Result<bool, NetlinkError> {
        match self.ask(SOCK_DESTROY, NLM_F_ACK, connection.family, &connection.id, |_| {}) {
            Ok(()) => Ok(true),
            Err(NetlinkError::Refused { errno: Errno::ENOENT, .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn ask(
        &mut self,
        kind: u16,
        flags: u16,
        family: u8,
        id: &[u8; ID],
        mut each: impl FnMut(&Message<'_>),
    ) -> Result<(), NetlinkError> {
        self.sequence = self.sequence.wrapping_add(1);
        let request = request(kind, flags, self.sequence, family, id);
        self.socket.send(&request, Msg::empty()).map_err(|error| NetlinkError::io(Step::Send, &error))?;
        loop {
            // The kernel has answered by now, or goes on with its answer in here: see `socket`.
            let received = self.socket.recv(self.buffer.as_mut_slice(), Msg::DONTWAIT);
            let (length, _) = received.map_err(|error| NetlinkError::io(Step::Receive, &error))?;
            let datagram = self.buffer.get(..length).ok_or(NetlinkError::Truncated { room: REPLY_ROOM })?;
            for message in Messages::new(datagram) {
                let message = message?;
                if message.sequence != self.sequence {
                    continue;
                }
                match message.kind {
                    NLMSG_DONE => return Ok(()),
                    NLMSG_ERROR => return super::ack::acknowledged(&message),
                    _ => each(&message),
                }
            }
        }
    }
}

/// A `struct inet_diag_req_v2` behind its header.
fn request(kind: u16, flags: u16, sequence: u32, family: u8, id: &[u8; ID]) -> Vec<u8> {
    let length = u32::try_from(HEADER + 8 + ID).unwrap_or(u32::MAX);
    let mut bytes = Vec::with_capacity(HEADER + 8 + ID);
    bytes.extend(length.to_ne_bytes());
    bytes.extend(kind.to_ne_bytes());
    bytes.extend((flags | NLM_F_REQUEST).to_ne_bytes());
    bytes.extend(sequence.to_ne_bytes());
    bytes.extend(0_u32.to_ne_bytes());
    bytes.extend([family, TCP, 0, 0]);
    bytes.extend(CONNECTED.to_ne_bytes());
    bytes.extend(id);
    bytes
}

/// A `struct inet_diag_msg`; none if it is shorter than that.
fn read(payload: &[u8]) -> impl Iterator<Item = Connection> {
    let connection = || {
        let (family, id) = (*payload.first()?, payload.get(4..4 + ID)?);
        let id: [u8; ID] = id.try_into().ok()?;
        let port = u16::from_be_bytes(id.get(..2)?.try_into().ok()?);
        let peer = id.get(20..36)?;
        let peer = match family {
            2 => IpAddr::from(Ipv4Addr::from(<[u8; 4]>::try_from(peer.get(..4)?).ok()?)),
            _ => IpAddr::from(Ipv6Addr::from(<[u8; 16]>::try_from(peer).ok()?)).to_canonical(),
        };
        Some(Connection { peer, port, family, id })
    };
    connection().into_iter()
}
