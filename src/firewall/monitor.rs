//! What others do to the table: heard from the kernel, with who did it.
//!
//! The kernel tells of every change in every table, in the order of the transactions, and ends each transaction with
//! its new generation and the program that made it. Elements that end by themselves are not told. The socket is one
//! of its own: the one that owns the table is a member of no group, so that nothing can fill its queue.

use std::collections::BTreeSet;
use std::fmt;
use std::os::fd::OwnedFd;

use tokio::io::unix::AsyncFd;

use super::elements::read_elements;
use super::netlink::NetlinkError;
use super::netlink::attr::Attrs;
use super::netlink::constants::{
    NFPROTO_INET, NFT_MSG_DELSETELEM, NFT_MSG_DELTABLE, NFT_MSG_NEWGEN, NFT_MSG_NEWSETELEM, NFT_MSG_NEWTABLE,
    NFTA_GEN_PROC_NAME, NFTA_GEN_PROC_PID, NFTA_SET_ELEM_LIST_SET, NFTA_TABLE_NAME,
};
use super::netlink::listener::Listener;
use super::netlink::message::Message;
use super::ruleset::TABLE;
use super::{Attempt, FirewallError, Set, Target};

/// The most elements of one transaction that are remembered one by one; of more, only that there were many.
const MOST: usize = 10_000;
/// A program's name has 15 bytes at most (`TASK_COMM_LEN`).
const NAME_MAX: usize = 15;

/// Who changed the table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Program {
    /// Its process id, as the kernel's first namespace counts.
    pub pid: u32,
    /// Its name, printable.
    pub name: String,
}

impl fmt::Display for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (pid {})", self.name, self.pid)
    }
}

/// What was done to the table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Deed {
    /// Bans were added or removed, and nothing else: these.
    Bans(BTreeSet<Target>),
    /// Anything else, short of removing the table: rules, chains, sets, allow lists, ranges, or very many bans.
    Parts,
    /// The table was removed, and perhaps made again.
    Removed,
    /// Something was done, or not: the kernel had more to tell than the queue holds.
    Unknown,
}

/// One transaction of somebody else's that changed the table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Intrusion {
    /// Who did it, if the kernel says.
    pub by: Option<Program>,
    /// What.
    pub deed: Deed,
}

/// Hears of every change of the table that is not made by [`Monitor::ignore`]'s port.
pub struct Monitor {
    listener: Listener,
    /// What of a transaction has been heard so far.
    open: Option<Deed>,
}

impl Monitor {
    /// Begins to listen.
    ///
    /// # Errors
    /// When a privilege or a descriptor is missing.
    pub fn open() -> Result<Self, FirewallError> {
        let listener = Listener::open().map_err(|reason| FirewallError::of(Attempt::Listen, reason))?;
        Ok(Self { listener, open: None })
    }

    /// Does not hear from now on of what the socket with this port does.
    ///
    /// # Errors
    /// When the kernel refuses the filter.
    pub fn ignore(&mut self, port: u32) -> Result<(), FirewallError> {
        self.listener.be_deaf_to(port).map_err(|reason| FirewallError::of(Attempt::Listen, reason))
    }

    /// Does not listen until [`Monitor::resume`]: a large transaction takes half the time then.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn pause(&mut self) -> Result<(), FirewallError> {
        self.listener.leave().map_err(|reason| FirewallError::of(Attempt::Listen, reason))
    }

    /// Listens again. What was done since [`Monitor::pause`] is not heard; [`super::Firewall::others_committed`] tells
    /// whether anything was.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn resume(&mut self) -> Result<(), FirewallError> {
        self.listener.join().map_err(|reason| FirewallError::of(Attempt::Listen, reason))
    }

    /// For the runtime: readable as soon as there is something to hear. To be called inside the runtime.
    ///
    /// # Errors
    /// When descriptors are used up.
    pub fn readiness(&self) -> Result<AsyncFd<OwnedFd>, FirewallError> {
        self.listener.readiness().map_err(|reason| FirewallError::of(Attempt::Listen, reason))
    }

    /// What was done since this was last asked, oldest first. Does not wait.
    ///
    /// # Errors
    /// When the socket fails; whatever happened since is not known.
    pub fn heard(&mut self) -> Result<Vec<Intrusion>, FirewallError> {
        let mut intrusions = Vec::new();
        loop {
            let open = &mut self.open;
            match self.listener.next(|message| hear(message, open, &mut intrusions)) {
                Ok(true) => {}
                Ok(false) => return Ok(intrusions),
                Err(NetlinkError::Overrun | NetlinkError::Truncated { .. } | NetlinkError::Malformed) => {
                    *open = None;
                    intrusions.push(Intrusion { by: None, deed: Deed::Unknown });
                }
                Err(reason) => return Err(FirewallError::of(Attempt::Listen, reason)),
            }
        }
    }
}

/// Takes one message into account.
fn hear(
    message: &Message<'_>,
    open: &mut Option<Deed>,
    intrusions: &mut Vec<Intrusion>,
) -> Result<(), NetlinkError> {
    let attrs = Attrs::new(message.attributes()?);
    if message.kind == NFT_MSG_NEWGEN {
        if let Some(deed) = open.take() {
            intrusions.push(Intrusion { by: program(attrs)?, deed });
        }
        return Ok(());
    }
    // In every message about a part of a table, the table's name is attribute 1.
    let ours = message.kind >> 8 == NFT_MSG_NEWTABLE >> 8
        && message.payload.first() == Some(&NFPROTO_INET)
        && attrs.name(NFTA_TABLE_NAME)? == Some(TABLE);
    if ours {
        let deed = deed(message, attrs)?;
        *open = Some(match open.take() {
            Some(before) => before.and(deed),
            None => deed,
        });
    }
    Ok(())
}

fn deed(message: &Message<'_>, attrs: Attrs<'_>) -> Result<Deed, NetlinkError> {
    match message.kind {
        NFT_MSG_DELTABLE => Ok(Deed::Removed),
        NFT_MSG_NEWSETELEM | NFT_MSG_DELSETELEM => {
            let set = attrs.name(NFTA_SET_ELEM_LIST_SET)?.and_then(Set::named);
            // Of ranges the kernel tells bounds, which are no bans by themselves; they are few.
            let Some(set) = set.filter(|set| set.is_ban() && !set.is_interval()) else {
                return Ok(Deed::Parts);
            };
            let mut found = Vec::new();
            read_elements(set, message.attributes()?, &mut found)?;
            Ok(Deed::Bans(found.into_iter().map(|element| element.target).collect()))
        }
        _ => Ok(Deed::Parts),
    }
}

impl Deed {
    /// Both.
    fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Unknown, _) | (_, Self::Unknown) => Self::Unknown,
            (Self::Removed, _) | (_, Self::Removed) => Self::Removed,
            (Self::Parts, _) | (_, Self::Parts) => Self::Parts,
            (Self::Bans(mut these), Self::Bans(those)) => {
                these.extend(those);
                if these.len() > MOST { Self::Parts } else { Self::Bans(these) }
            }
        }
    }
}

fn program(attrs: Attrs<'_>) -> Result<Option<Program>, NetlinkError> {
    let Some(pid) = attrs.be32(NFTA_GEN_PROC_PID)? else { return Ok(None) };
    // A program gives itself its name.
    let name = attrs.name(NFTA_GEN_PROC_NAME).ok().flatten().unwrap_or_default();
    let name = name.chars().filter(|char| !char.is_control()).take(NAME_MAX).collect();
    Ok(Some(Program { pid, name }))
}
