//! What the firewall cannot do, in the sentences an administrator reads.

use std::fmt;

use nix::errno::Errno;

use super::netlink::NetlinkError;
use super::{Set, Target};

/// What was being done when an error came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attempt {
    /// Opening the socket.
    Open,
    /// Reading what the table has.
    Read,
    /// Creating or repairing the table.
    SetUp,
    /// Writing bans and lifts: `first` to `last` of `of` changes, counted from 1.
    Change {
        /// The first change of the transaction that failed.
        first: usize,
        /// The last.
        last: usize,
        /// How many were to be written in all.
        of: usize,
    },
    /// Replacing the allow lists.
    Allow,
    /// Listing the elements of a set.
    List(Set),
    /// Asking for one element.
    Ask(Target),
    /// Removing the rules of sets that have become empty.
    Tidy,
    /// Removing all bans.
    Empty,
    /// Writing bans of networks of unusual lengths.
    Ranges,
    /// Ending connections of offenders.
    Cut,
    /// Removing the table.
    Remove,
    /// Listening to what others do to the table.
    Listen,
}

impl fmt::Display for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Open => write!(f, "opening a socket to the kernel's firewall"),
            Self::Read => write!(f, "reading table inet kban"),
            Self::SetUp => write!(f, "setting up table inet kban"),
            Self::Change { first, last, of } if first == last => {
                write!(f, "writing change {first} of {of} to table inet kban")
            }
            Self::Change { first, last, of } => {
                write!(f, "writing changes {first} to {last} of {of} to table inet kban")
            }
            Self::Allow => write!(f, "replacing the allow lists in table inet kban"),
            Self::List(set) => write!(f, "listing set {set} of table inet kban"),
            Self::Ask(target) => write!(f, "asking for {target} in table inet kban"),
            Self::Tidy => write!(f, "removing unused rules from table inet kban"),
            Self::Empty => write!(f, "removing all bans from table inet kban"),
            Self::Ranges => write!(f, "writing the ranges of table inet kban"),
            Self::Cut => write!(f, "ending the connections of offenders"),
            Self::Remove => write!(f, "removing table inet kban"),
            Self::Listen => write!(f, "listening to what others do to table inet kban"),
        }
    }
}

/// Why the kernel's firewall does not have what it should have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FirewallError {
    /// `EPERM`, `EACCES`.
    #[error(
        "{attempt} is not permitted: this needs the capability CAP_NET_ADMIN, and a table that no other \
         program owns; run as root, or start kband through its service unit"
    )]
    Permission {
        /// What was being done.
        attempt: Attempt,
    },
    /// The table is another socket's.
    #[error(
        "{attempt} is refused by the kernel: another program owns the table (netlink port {port}); a kband that \
         runs is asked with banctl (without --kernel), and a second one is not started beside it"
    )]
    Owned {
        /// What was being done.
        attempt: Attempt,
        /// The owner's netlink port; mostly the process id under which it was opened.
        port: u32,
    },
    /// `ENFILE`: the set has as many elements as it may have.
    #[error("set {set} is full ({size} elements): raise [firewall] set_size")]
    Full {
        /// Which set.
        set: Set,
        /// Its limit, in elements.
        size: u32,
        /// What was being done.
        attempt: Attempt,
    },
    /// `ENOENT`: the table, or a part of it that is always there, is gone.
    #[error(
        "{attempt} failed: the table, or a part of it, is not there; start or reload kband, which creates it"
    )]
    Missing {
        /// What was being done.
        attempt: Attempt,
    },
    /// The kernel has no nf_tables, or not this part of it.
    #[error(
        "{attempt} failed: this kernel does not support it ({}); load the module nf_tables, or use a kernel \
         with CONFIG_NF_TABLES and CONFIG_NF_TABLES_INET",
        .errno.desc()
    )]
    Unsupported {
        /// What was being done.
        attempt: Attempt,
        /// What the kernel said.
        errno: Errno,
    },
    /// The kernel cannot list or end connections: `EOPNOTSUPP` without `CONFIG_INET_DIAG_DESTROY`, `ENOENT` without
    /// `CONFIG_INET_TCP_DIAG`.
    #[error(
        "{} failed: this kernel cannot do it ({}), though their packets are dropped; load the module tcp_diag, use \
         a kernel with CONFIG_INET_DIAG_DESTROY, or set [firewall] cut_connections = false",
        Attempt::Cut,
        .errno.desc()
    )]
    CannotCut {
        /// What the kernel said.
        errno: Errno,
    },
    /// `ERANGE`: the kernel cannot count that far.
    #[error("{attempt} failed: a ban is longer than the kernel can count (584 years); make it permanent")]
    TooLong {
        /// What was being done.
        attempt: Attempt,
    },
    /// No set holds such a target.
    #[error(
        "{target} cannot be banned: single ports can be closed to IPv4 addresses and networks of /24, and to IPv6 \
         addresses and networks of /64, /56 and /48; everything is too much in any case"
    )]
    NoSet {
        /// Which target.
        target: Target,
    },
    /// The kernel refused for another reason.
    #[error(
        "{attempt} was refused by the kernel: {reason}; compare `nft list table inet kban` with the kernel's \
         log"
    )]
    Refused {
        /// What was being done.
        attempt: Attempt,
        /// The kernel's errno and words.
        reason: NetlinkError,
    },
    /// The talk with the kernel itself failed; what was asked may or may not have been done.
    #[error("{attempt} failed: {reason}; try again, and restart kband if it does not end")]
    Carrier {
        /// What was being done.
        attempt: Attempt,
        /// What went wrong.
        reason: NetlinkError,
    },
}

impl FirewallError {
    /// Whether a privilege is missing.
    pub fn is_permission(&self) -> bool {
        matches!(self, Self::Permission { .. })
    }

    /// Whether a set is full.
    pub fn is_full(&self) -> bool {
        matches!(self, Self::Full { .. })
    }

    /// Whether the table, or a part of it, is not there: set it up (again).
    pub fn is_missing(&self) -> bool {
        matches!(self, Self::Missing { .. })
    }

    /// Whether other changes fail in the same way, so that trying them one by one is of no use.
    pub(crate) fn concerns_all(&self) -> bool {
        match self {
            Self::Permission { .. }
            | Self::Owned { .. }
            | Self::Missing { .. }
            | Self::Unsupported { .. }
            | Self::CannotCut { .. } => true,
            Self::Full { .. } | Self::TooLong { .. } | Self::NoSet { .. } | Self::Refused { .. } => false,
            // Fewer changes at a time need smaller buffers.
            Self::Carrier { reason, .. } => {
                !matches!(reason, NetlinkError::Overrun | NetlinkError::TooBig { .. })
            }
        }
    }

    /// Turns what the socket says into a sentence.
    pub(crate) fn of(attempt: Attempt, reason: NetlinkError) -> Self {
        match reason.errno() {
            Some(errno @ (Errno::EOPNOTSUPP | Errno::EPROTONOSUPPORT | Errno::ENOENT))
                if attempt == Attempt::Cut =>
            {
                Self::CannotCut { errno }
            }
            Some(Errno::EPERM | Errno::EACCES) => Self::Permission { attempt },
            Some(Errno::ENOENT) => Self::Missing { attempt },
            Some(Errno::ERANGE) => Self::TooLong { attempt },
            Some(errno @ (Errno::EOPNOTSUPP | Errno::EPROTONOSUPPORT | Errno::EAFNOSUPPORT)) => {
                Self::Unsupported { attempt, errno }
            }
            // Memory for a whole transaction: the kernel refuses none of its parts.
            Some(Errno::ENOMEM | Errno::ENOBUFS) => Self::Carrier { attempt, reason: NetlinkError::Overrun },
            _ => match reason {
                NetlinkError::Refused { .. } => Self::Refused { attempt, reason },
                _ => Self::Carrier { attempt, reason },
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(errno: Errno) -> FirewallError {
        let text = Some("what it is".to_owned());
        FirewallError::of(Attempt::SetUp, NetlinkError::Refused { errno, text, sequence: 1 })
    }

    #[test]
    fn each_errno_has_its_sentence() {
        let full = FirewallError::Full { set: Set::HOST4, size: 10, attempt: Attempt::Open };
        let change = Attempt::Change { first: 901, last: 1_800, of: 2_500 };
        let lost = FirewallError::of(change, NetlinkError::Silent);
        let cannot =
            |errno| FirewallError::of(Attempt::Cut, NetlinkError::Refused { errno, text: None, sequence: 1 });
        assert_eq!(cannot(Errno::ENOENT), FirewallError::CannotCut { errno: Errno::ENOENT });
        let sentences: Vec<String> =
            [Errno::EPERM, Errno::ENOENT, Errno::EOPNOTSUPP, Errno::ERANGE, Errno::EINVAL]
                .into_iter()
                .map(refused)
                .chain([
                    full,
                    FirewallError::NoSet { target: "0.0.0.0/0".parse::<ipnet::IpNet>().unwrap().into() },
                    lost,
                    cannot(Errno::EOPNOTSUPP),
                    FirewallError::of(Attempt::Read, NetlinkError::Overrun),
                    FirewallError::of(Attempt::Read, NetlinkError::Malformed),
                    FirewallError::of(Attempt::Read, NetlinkError::Truncated { room: 65_536 }),
                ])
                .map(|error| error.to_string())
                .collect();
        insta::assert_snapshot!(sentences.join("\n"));
    }

    #[test]
    fn questions_about_errors() {
        assert!(refused(Errno::EPERM).is_permission());
        assert!(refused(Errno::ENOENT).is_missing());
        assert!(refused(Errno::ENOENT).concerns_all());
        assert!(!refused(Errno::EINVAL).concerns_all());
        assert!(!refused(Errno::ENOMEM).concerns_all(), "fewer at a time may do");
    }
}
