//! From a block of lines to failures: prefilter, patterns, dates, addresses.
//!
//! A [`Definition`] is a filter as written, a [`Filter`] is one mode of it compiled, and a [`Scanner`]
//! runs the filters of one source over its blocks. Nothing here does I/O but [`Filter::load`], which
//! reads the filter's file.

use std::net::IpAddr;

use ipnet::IpNet;
use jiff::{Timestamp, tz::TimeZone};

mod automata;
mod backlog;
mod bare;
pub mod catalogue;
mod connection;
mod date;
mod definition;
mod error;
pub mod examples;
pub mod explain;
mod fail2ban;
mod fields;
mod host;
mod matcher;
mod opening;
mod own;
mod pattern;
mod prefilter;
mod prefix;
mod recent;
mod record;
mod reference;
mod scanner;
mod tags;
mod tail;
#[cfg(test)]
mod tests;
mod users;

pub use bare::Bare;
pub use date::date_of;
pub use definition::{Connection, Definition, Example, Mode, NORMAL, Port};
pub use error::{Fault, FaultKind, FilterError, closest};
pub use fail2ban::{JailConf, Place};
pub use matcher::{Field, Filter, LineMatch, LineVerdict};
pub use prefix::date_shape;
pub use reference::for_journal;
pub use scanner::{Counters, Scanner, Told};

/// Lines of this many bytes or more never match. A source cuts them somewhere, and whoever wrote the line
/// would choose where it seems to end.
pub const LONGEST_LINE: usize = 64 * 1024;

/// What the lazy automata of all filters in fail2ban's dialect may take together, in bytes.
const DIALECT_BUDGET: usize = 4 << 20;

/// How many bytes the lazy automata of all filters in fail2ban's dialect hold now: 4 MiB at most.
#[must_use]
pub fn dialect_cache_bytes() -> usize {
    fail2ban::taken()
}

/// The moment and the zone that undated or zoneless log lines are read with.
#[derive(Debug, Clone)]
pub struct Clock {
    /// Now.
    pub now: Timestamp,
    /// The zone of dates that name none.
    pub zone: TimeZone,
}

/// A failure of a host of which the log has only a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    /// The name as it was logged: fully qualified, but chosen by whoever owns the address's reverse zone.
    pub name: String,
    /// When, as in [`Failure`].
    pub time: Timestamp,
    /// Which pattern of the filter, from 0.
    pub pattern: usize,
    /// How many failures the line stands for, at least 1.
    pub attempts: u32,
}

#[cfg(test)]
impl Failure {
    /// One of this address.
    pub(crate) fn of(address: &str, time: Timestamp) -> Self {
        Self { time, address: address.parse().unwrap(), prefix_len: None, pattern: 0, attempts: 1 }
    }
}

/// One success that a log line tells of: somebody logged in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Success {
    /// When, as that of a [`Failure`].
    pub time: Timestamp,
    /// From where.
    pub address: IpAddr,
    /// Who, if the line says it.
    pub user: Option<String>,
}

/// One failure that a log line tells of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Failure {
    /// When, by the log's own date; the clock's `now` for a line without one.
    pub time: Timestamp,
    /// Who: IPv4-mapped IPv6 is folded to IPv4.
    pub address: IpAddr,
    /// The length of the network around the address, if the line names one (`<SUBNET>`, `<CIDR>`): 0 to 31, of IPv6 0 to 127.
    /// Whoever writes the log may have chosen it.
    pub prefix_len: Option<u8>,
    /// Which pattern of the filter, from 0.
    pub pattern: usize,
    /// How many failures the line stands for, at least 1.
    pub attempts: u32,
}

impl Failure {
    /// The network that the line names, with the address in it as it was logged; or the address alone.
    #[must_use]
    pub fn logged(&self) -> IpNet {
        let network = self.prefix_len.and_then(|length| IpNet::new(self.address, length).ok());
        network.unwrap_or_else(|| IpNet::from(self.address))
    }
}
