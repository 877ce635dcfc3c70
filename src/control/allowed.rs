//! Rows of `banctl allow list`.

use std::fmt;

use ipnet::IpNet;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::protocol::seconds_left;
use crate::jail::shown;
use crate::jail::spared::{Allowance, Origin};

/// Somebody who is never banned, as `banctl allow list --json` shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AllowRow {
    /// The address, or the prefix if it is more than one address; `null` is a name or a file that has come to nothing.
    pub address: Option<String>,
    /// Where the entry comes from.
    pub origin: String,
    /// The jail that it holds for; `null` is all of them.
    pub jail: Option<String>,
    /// Since when, if that is known.
    pub since: Option<Timestamp>,
    /// Until when; `null` is until it is taken back.
    pub until: Option<Timestamp>,
    /// Whole seconds until then, rounded up.
    pub seconds_left: Option<u64>,
    /// Why.
    pub reason: String,
    /// Who allowed it at run time, if that is known.
    #[serde(default)]
    pub who: Option<String>,
}

impl AllowRow {
    /// The row of a configured entry.
    #[must_use]
    pub fn configured(prefix: &IpNet, origin: impl fmt::Display, jail: Option<&str>) -> Self {
        Self {
            address: Some(shown(prefix)),
            origin: origin.to_string(),
            jail: jail.map(str::to_owned),
            since: None,
            until: None,
            seconds_left: None,
            reason: String::new(),
            who: None,
        }
    }

    /// The row of an entry that has come to nothing.
    #[must_use]
    pub fn unknown(origin: impl fmt::Display, jail: Option<&str>) -> Self {
        Self { address: None, ..Self::configured(&IpNet::default(), origin, jail) }
    }

    /// The row of an entry at run time, seen at `now`.
    #[must_use]
    pub fn by_hand(entry: &Allowance, now: Timestamp) -> Self {
        Self {
            since: Some(entry.since),
            until: entry.until,
            seconds_left: entry.until.map(|until| seconds_left(until, now)),
            reason: entry.reason.to_string(),
            who: entry.who.as_ref().map(ToString::to_string),
            ..Self::configured(&entry.prefix, Origin::ByHand, None)
        }
    }
}
