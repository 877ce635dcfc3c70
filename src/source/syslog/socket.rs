//! Opening the sockets.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::sys::socket::sockopt::{Ipv6V6Only, KeepAlive, RcvBuf, RcvBufForce, ReuseAddr};
use nix::sys::socket::{AddressFamily, Backlog, SockFlag, SockType, SockaddrStorage, UnixAddr};
use nix::sys::socket::{bind, getsockopt, listen, setsockopt, socket};
use nix::sys::stat::{Mode, fchmod};
use nix::unistd::{Group, chown};
use tokio::net::TcpStream;

use super::endpoint::Endpoint;

/// What waits in the kernel for kband, in bytes; what is more is lost.
const BUFFER: usize = 8 << 20;
/// How many connections may wait to be accepted.
const WAITING: i32 = 1024;

/// Why there is no socket. Paths are shown escaped.
#[derive(Debug, thiserror::Error)]
pub(super) enum SocketError {
    #[error("somebody else listens there: end that program, or name another place")]
    InUse,
    #[error(
        "kband may not listen there: for the network it needs the drop-in network.conf, for ports below 1024 low-ports.conf; \
         its own directory for sockets is /run/kban"
    )]
    Denied,
    #[error("this machine does not have that address (yet): name one of its own, or 0.0.0.0 or [::] for all")]
    NoAddress,
    #[error("{0:?} is there and no socket: name another path")]
    Occupied(PathBuf),
    #[error("the directory of {0:?} is missing: make it, or name another path")]
    NoDirectory(PathBuf),
    #[error("there is no group {0:?}: name one of this machine")]
    NoGroup(String),
    #[error(
        "kband may not give its socket to group {0:?}: it has to be one of its own (SupplementaryGroups=)"
    )]
    NotItsGroup(String),
    #[error("listening failed ({0}); it is tried again")]
    Failed(io::Error),
}

impl From<io::Error> for SocketError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::AddrInUse => Self::InUse,
            io::ErrorKind::PermissionDenied => Self::Denied,
            io::ErrorKind::AddrNotAvailable => Self::NoAddress,
            _ => Self::Failed(error),
        }
    }
}

impl From<Errno> for SocketError {
    fn from(errno: Errno) -> Self {
        io::Error::from(errno).into()
    }
}

const FLAGS: SockFlag = SockFlag::SOCK_CLOEXEC.union(SockFlag::SOCK_NONBLOCK);

/// The socket that is wanted. `only6`: IPv4 has one of its own. `group`: that of a unix socket.
pub(super) fn open(endpoint: &Endpoint, only6: bool, group: Option<&str>) -> Result<OwnedFd, SocketError> {
    match endpoint {
        Endpoint::Udp(address) => udp(*address, only6),
        Endpoint::Tcp(address) => tcp(*address, only6),
        Endpoint::Unix(path) => unix(path, group),
    }
}

/// Whether a socket that was kept is still what is wanted: its place was told apart by its name, and what else is chosen when
/// it is opened may have changed.
pub(super) fn is_as_wanted(kept: &OwnedFd, endpoint: &Endpoint, only6: bool, group: Option<&str>) -> bool {
    match endpoint {
        Endpoint::Udp(address) | Endpoint::Tcp(address) => {
            address.is_ipv4() || getsockopt(kept, Ipv6V6Only).is_ok_and(|is| is == only6)
        }
        Endpoint::Unix(path) => {
            let gid = group.and_then(|name| Some(Group::from_name(name).ok()??.gid.as_raw()));
            let is_so = fs::symlink_metadata(path).is_ok_and(|found| {
                let for_group = found.mode() & Mode::S_IRWXG.bits() != 0;
                found.file_type().is_socket()
                    && for_group == group.is_some()
                    && gid.is_none_or(|gid| gid == found.gid())
            });
            if !is_so {
                // Whoever keeps it still holds it open: it does not look stale.
                let _ = fs::remove_file(path);
            }
            is_so
        }
    }
}

fn udp(address: SocketAddr, only6: bool) -> Result<OwnedFd, SocketError> {
    let socket = internet(SockType::Datagram, address, only6)?;
    // Without CAP_NET_ADMIN it is what net.core.rmem_max allows.
    if setsockopt(&socket, RcvBufForce, &BUFFER).is_err() {
        let _ = setsockopt(&socket, RcvBuf, &BUFFER);
    }
    Ok(socket)
}

fn tcp(address: SocketAddr, only6: bool) -> Result<OwnedFd, SocketError> {
    let socket = internet(SockType::Stream, address, only6)?;
    listen(&socket, Backlog::new(WAITING)?)?;
    Ok(socket)
}

/// A sender that is gone without a word is noticed in time.
pub(super) fn keep_alive(stream: &TcpStream) {
    // Where it fails, the limit of connections is still there.
    let _ = setsockopt(stream, KeepAlive, &true);
}

fn internet(kind: SockType, address: SocketAddr, only6: bool) -> Result<OwnedFd, SocketError> {
    let family = if address.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
    let socket = socket(family, kind, FLAGS, None)?;
    if kind == SockType::Stream {
        setsockopt(&socket, ReuseAddr, &true)?;
    }
    if address.is_ipv6() {
        setsockopt(&socket, Ipv6V6Only, &only6)?;
    }
    bind(socket.as_raw_fd(), &SockaddrStorage::from(address))?;
    Ok(socket)
}

/// A socket of datagrams that root and, if there is one, `group` may write to: who writes there decides who is banned.
pub(super) fn unix(path: &Path, group: Option<&str>) -> Result<OwnedFd, SocketError> {
    let gid = group.map(|name| match Group::from_name(name) {
        Ok(Some(group)) => Ok(group.gid),
        _ => Err(SocketError::NoGroup(name.to_owned())),
    });
    let gid = gid.transpose()?;
    remove_stale(path)?;
    let socket = socket(AddressFamily::Unix, SockType::Datagram, FLAGS, None)?;
    // The path gets these when it is made: nobody else can write to it for a moment.
    let mode = Mode::S_IRUSR | Mode::S_IWUSR;
    fchmod(&socket, if gid.is_some() { mode | Mode::S_IRGRP | Mode::S_IWGRP } else { mode })?;
    bind(socket.as_raw_fd(), &UnixAddr::new(path)?).map_err(|errno| match errno {
        Errno::ENOENT | Errno::ENOTDIR => SocketError::NoDirectory(path.to_owned()),
        other => other.into(),
    })?;
    if let (Some(gid), Some(name)) = (gid, group) {
        chown(path, None, Some(gid)).map_err(|_| SocketError::NotItsGroup(name.to_owned()))?;
    }
    Ok(socket)
}

/// Removes a socket that nobody listens on any more, and nothing else.
fn remove_stale(path: &Path) -> Result<(), SocketError> {
    let Ok(found) = fs::symlink_metadata(path) else { return Ok(()) };
    if !found.file_type().is_socket() {
        return Err(SocketError::Occupied(path.to_owned()));
    }
    match std::os::unix::net::UnixDatagram::unbound()?.connect(path) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Ok(fs::remove_file(path)?),
        // EPROTOTYPE: a stream socket with a listener.
        _ => Err(SocketError::InUse),
    }
}
