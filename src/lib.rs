//! kban: a kernel-native ban manager.
//!
//! kban watches logs, finds the addresses that attack, and writes them straight into
//! timeout-bearing nftables sets over netlink. The kernel drops their packets and expires the bans.
//!
//! # The way data goes
//!
//! ```text
//! source -> Block -> filter -> Failure -> jail -> Verdict -> firewall -> kernel
//!   | position                              | bans             | result
//!   +------------> store <------------------+------------------+     control, fleet: taps
//! ```
//!
//! One direction. A stage knows the type it receives and nothing else of the stage before it.
//! The middle ([`filter`], [`jail`]) is synchronous, does no I/O and takes time as an argument, so
//! that the daemon, `banctl test` and the benches all call the same functions.
//!
//! The modules below stand in the order in which data meets them.

// Words that several rooms share, and how they all run programs.
pub mod program;
pub mod service;
mod syslog;
pub mod tier;
pub mod words;

// Blank lines keep this order: it is that of the diagram.
pub mod config;

pub mod source;

pub mod filter;

pub mod feed;

pub mod jail;

pub mod firewall;

pub mod store;

#[cfg(feature = "fleet")]
pub mod fleet;

pub mod control;

pub mod daemon;

pub mod cli;

#[cfg(test)]
mod namespace;
