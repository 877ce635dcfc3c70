//! One kband for one table: a second one, started by mistake with other directories, would fight the first.
//!
//! The mark is an abstract socket (unix(7)): like the table, there is one in each network namespace, and it vanishes with its
//! process. Its name is free for every user to take, so only the mark of root, or of the user that kband runs as, counts.

use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener};

use nix::sys::socket::sockopt::PeerCredentials;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, UnixAddr, connect, getsockopt, socket};
use nix::unistd::geteuid;

/// The mark's name.
const NAME: &[u8] = b"kban/inet kban";

/// Why there is no mark.
#[derive(Debug, thiserror::Error)]
pub(super) enum NotAlone {
    /// Another one is at work.
    #[error(
        "another kband already guards table inet kban (process {0}): stop it first (`systemctl stop kban`)"
    )]
    Another(i32),
    /// The system says no.
    #[error("cannot mark table inet kban as guarded: {0}")]
    System(#[from] io::Error),
}

/// The mark of this process; it holds for as long as this lives.
pub(super) struct Alone {
    answering: Option<tokio::task::JoinHandle<()>>,
}

impl Alone {
    /// Marks the table of this network namespace as guarded.
    ///
    /// # Errors
    /// When another kband guards it. A mark that somebody else has taken is told, and does not count.
    pub(super) fn mark() -> Result<Self, NotAlone> {
        let listener = match UnixListener::bind_addr(&SocketAddr::from_abstract_name(NAME)?) {
            Ok(listener) => listener,
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                return match owner() {
                    Ok((uid, pid)) if uid == 0 || uid == geteuid().as_raw() => Err(NotAlone::Another(pid)),
                    Ok((uid, pid)) => {
                        tracing::warn!(
                            "process {pid} of user {uid} has taken kband's mark: another kband would not be noticed"
                        );
                        Ok(Self { answering: None })
                    }
                    Err(error) => {
                        tracing::warn!(
                            "who has taken kband's mark cannot be told ({error}): another kband would not be noticed"
                        );
                        Ok(Self { answering: None })
                    }
                };
            }
            Err(error) => return Err(error.into()),
        };
        listener.set_nonblocking(true)?;
        let listener = tokio::net::UnixListener::from_std(listener)?;
        // Whoever asks only wants to know who answers.
        let answering = tokio::spawn(async move { while listener.accept().await.is_ok() {} });
        Ok(Self { answering: Some(answering) })
    }
}

impl Drop for Alone {
    fn drop(&mut self) {
        if let Some(answering) = &self.answering {
            answering.abort();
        }
    }
}

/// The user and process that hold the mark.
fn owner() -> io::Result<(u32, i32)> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let asking = socket(AddressFamily::Unix, SockType::Stream, flags, None)?;
    connect(std::os::fd::AsRawFd::as_raw_fd(&asking), &UnixAddr::new_abstract(NAME)?)?;
    let credentials = getsockopt(&asking, PeerCredentials)?;
    Ok((credentials.uid(), credentials.pid()))
}
