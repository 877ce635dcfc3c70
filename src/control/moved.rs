//! Bans on their way to another kban: what `banctl export` writes and `banctl load` reads, one JSON document a line.
//!
//! Times are what is left rather than dates, so that they mean the same wherever they are loaded.

use std::sync::Arc;

use ipnet::IpNet;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::jail::Ban;
use crate::service::Service;

/// The version of the documents.
pub const SCHEMA: u32 = 1;

/// One ban.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moved {
    /// The version of this document.
    pub schema: u32,
    /// The address, or the prefix if it is more than one.
    pub address: String,
    /// The jail.
    pub jail: String,
    /// When it began.
    pub since: Timestamp,
    /// Whole seconds until it ends; `null` is never.
    pub seconds_left: Option<u64>,
    /// How many times the jail has banned it.
    pub count: u32,
    /// The ports that are closed; `null` is all of them.
    #[serde(default)]
    pub ports: Option<Vec<Service>>,
    /// Where the ban came from.
    #[serde(default)]
    pub source: String,
    /// Why.
    #[serde(default)]
    pub reason: String,
}

impl Moved {
    /// The ban of `prefix` that this is, from `now` on, on behalf of `jail`.
    #[must_use]
    pub fn ban(&self, prefix: IpNet, jail: &str, now: Timestamp) -> Ban {
        let until = |seconds: u64| {
            now.saturating_add(std::time::Duration::from_secs(seconds)).unwrap_or(Timestamp::MAX)
        };
        Ban {
            prefix,
            jail: jail.into(),
            since: self.since.min(now),
            until: self.seconds_left.map(until),
            count: self.count.max(1),
            source: self.source.as_str().into(),
            reason: self.reason.as_str().into(),
            services: self.ports.as_ref().map(|ports| Arc::from(ports.as_slice())),
            // Its jail decides.
            renew: None,
        }
    }
}
