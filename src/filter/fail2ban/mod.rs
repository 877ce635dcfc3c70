//! Filters in fail2ban's dialect: its .conf files, run as fail2ban runs them.
//!
//! `conf` reads the files, `regex` translates Python's regular expressions, `date` finds dates; [`Rules`] is a compiled
//! filter, and [`Memory`] what it knows of the lines of one source. The dialect is for reading: filters of our own are TOML.
//!
//! Read from fail2ban's documentation and behaviour; none of its code or patterns is here.

mod conf;
mod connection;
mod date;
mod explain;
mod groups;
mod host;
mod judge;
mod lines;
mod numbers;
mod regex;
mod rules;
mod tags;
#[cfg(test)]
mod tests;

pub use conf::{JailConf, Place};
pub(super) use explain::{Seen, Seer, Tree};
pub(super) use judge::{Ignored, Memory};
pub(super) use regex::taken;
pub(super) use rules::Rules;
