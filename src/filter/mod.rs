//! From a block of lines to failures: prefilter, patterns, dates, addresses.

use std::net::IpAddr;

use jiff::{Timestamp, tz::TimeZone};

/// The moment and the zone that undated or zoneless log lines are read with.
#[derive(Debug, Clone)]
pub struct Clock {
    /// Now.
    pub now: Timestamp,
    /// The zone of dates that name none.
    pub zone: TimeZone,
}

/// One failure that a log line tells of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Failure {
    /// When, by the log's own date; the clock's `now` for a line without one.
    pub time: Timestamp,
    /// Who: IPv4-mapped IPv6 is folded to IPv4.
    pub address: IpAddr,
    /// Which pattern of the filter, from 0.
    pub pattern: usize,
}

/// A compiled filter. Immutable; shared by jails and scanners.
#[derive(Debug)]
pub struct Filter {}
