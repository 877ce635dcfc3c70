//! What can go wrong between this process and the kernel's netlink socket.

use std::fmt;

use nix::errno::Errno;

/// A step of talking to the kernel that is a system call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// `socket(2)`, `bind(2)`, `connect(2)`.
    Open,
    /// `setsockopt(2)`, `getsockopt(2)`.
    Option,
    /// `send(2)`.
    Send,
    /// `recvfrom(2)`.
    Receive,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Open => "opening a netlink socket",
            Self::Option => "setting up the netlink socket",
            Self::Send => "sending to the kernel",
            Self::Receive => "reading the kernel's answer",
        })
    }
}

/// Why an exchange with the kernel did not do what was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NetlinkError {
    /// A system call failed.
    #[error("{step} failed: {}", .errno.desc())]
    Io {
        /// Which.
        step: Step,
        /// Its errno.
        errno: Errno,
    },
    /// The kernel answered a request with an error (`NLMSG_ERROR`).
    #[error("{}{}", .errno.desc(), in_kernels_words(.text.as_deref()))]
    Refused {
        /// The error.
        errno: Errno,
        /// The kernel's own words, where it had any (`NLMSGERR_ATTR_MSG`).
        text: Option<String>,
        /// The sequence number of the message that was refused.
        sequence: u32,
    },
    /// Replies were lost (`ENOBUFS`, `NLMSG_OVERRUN`): whether the request was done is not known.
    #[error("the kernel's answers overran the socket's buffer")]
    Overrun,
    /// A reply was longer than the buffer and was cut.
    #[error("the kernel's answer was cut: it is longer than {room} bytes")]
    Truncated {
        /// Size of the buffer in bytes.
        room: usize,
    },
    /// A reply is not well-formed netlink.
    #[error("the kernel's answer is not well-formed")]
    Malformed,
    /// An attribute or message does not fit the wire's length field.
    #[error("attribute {kind} of {bytes} bytes does not fit a netlink message")]
    TooLong {
        /// The attribute's number, without flags.
        kind: u16,
        /// Its length in bytes with its header.
        bytes: usize,
    },
    /// A whole request exceeds the socket's send buffer.
    #[error("a request of {bytes} bytes does not fit the send buffer of {limit} bytes")]
    TooBig {
        /// Length of the request in bytes.
        bytes: usize,
        /// The most that can be sent at once, in bytes.
        limit: usize,
    },
    /// The ruleset changed during every attempt to list it (`NLM_F_DUMP_INTR`).
    #[error("the firewall's tables kept changing while they were being listed")]
    Unsteady,
    /// No reply came to a request that must have one.
    #[error("the kernel did not answer")]
    Silent,
}

impl NetlinkError {
    /// The errno behind the failure, if there is one.
    pub fn errno(&self) -> Option<Errno> {
        match self {
            Self::Io { errno, .. } | Self::Refused { errno, .. } => Some(*errno),
            Self::Overrun => Some(Errno::ENOBUFS),
            _ => None,
        }
    }

    /// What the kernel says of an object that is not there.
    pub(crate) fn absent() -> Self {
        Self::Refused { errno: Errno::ENOENT, text: None, sequence: 0 }
    }

    pub(crate) fn io(step: Step, error: &std::io::Error) -> Self {
        Self::Io { step, errno: Errno::from_raw(error.raw_os_error().unwrap_or(0)) }
    }
}

fn in_kernels_words(text: Option<&str>) -> String {
    text.map(|text| format!(" (the kernel says: {text})")).unwrap_or_default()
}
