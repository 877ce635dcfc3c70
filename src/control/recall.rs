//! What the store remembers, as answers: for the daemon, and for `banctl` where none runs.

use std::collections::BTreeMap;

use ipnet::IpNet;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

use super::protocol::{Answer, BanRow, Kind, PAGE, Refused, Request};
use crate::jail::{Ending, shown};
use crate::store::{Archive, Event, Line, Place, Query, StoreError, What};

/// How many events `why` tells at most.
const TOLD: u32 = 20;

/// The place of an event, to go on behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventCursor {
    /// Its time.
    pub time: Timestamp,
    /// Its number.
    pub id: i64,
}

/// One event, as `banctl history --json` shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventRow {
    /// When.
    pub time: Timestamp,
    /// `ban`, `would_ban` (by a jail that only observes) or `unban`; of entries at run time, `allow` or `disallow`.
    pub event: String,
    /// How a ban ended, or an entry at run time (by the first two): `expired`, `by_hand`, `jail_gone`, `unlisted`, `allowed`,
    /// `widened` (the network that it is in is banned) or `withdrawn` (the firewall of the fleet has lifted it).
    pub ending: Option<String>,
    /// The address, or the prefix if it is more than one address.
    pub address: String,
    /// The jail; empty for an entry at run time, which holds for all.
    pub jail: String,
    /// When it was to end; `null` is never.
    pub until: Option<Timestamp>,
    /// How many times the jail had banned it.
    pub count: u32,
    /// Where the ban came from.
    pub source: String,
    /// Why.
    pub reason: String,
    /// Who did it, if it was done by hand.
    pub who: Option<String>,
    /// The log lines that led to a ban, oldest first; only `why` has them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lines: Vec<LineRow>,
}

/// One log line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LineRow {
    /// When its failure was.
    pub time: Timestamp,
    /// The line; bytes that are no UTF-8 are written as `\xff`.
    pub line: String,
}

/// What the history adds up to, as `banctl stats --json` shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stats {
    /// Since when; `null`: all that is kept.
    pub since: Option<Timestamp>,
    /// Bans that began.
    pub bans: u64,
    /// For each jail.
    pub jails: Vec<JailRow>,
    /// For each day that had any, oldest first; days as they are where kband runs.
    pub days: Vec<DayRow>,
    /// The networks with the most bans: /24 of IPv4, /48 of IPv6.
    pub networks: Vec<NetworkRow>,
}

/// One jail's part.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JailRow {
    /// Its name.
    pub jail: String,
    /// Bans that began.
    pub bans: u32,
    /// Bans that ended.
    pub unbans: u32,
    /// Addresses or prefixes that were banned.
    pub offenders: u32,
}

/// One day's part.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DayRow {
    /// The day: `2026-11-21`.
    pub day: String,
    /// Bans that began.
    pub bans: u32,
}

/// One network's part.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkRow {
    /// The network.
    pub network: String,
    /// Bans that began.
    pub bans: u32,
    /// Addresses or prefixes that were banned.
    pub offenders: u32,
}

/// All that is known of an address or prefix.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Why {
    /// Whom it is about.
    pub address: String,
    /// Whether a ban of it is in force.
    pub banned: bool,
    /// The bans in force, of it or of a network that it is in.
    pub bans: Vec<BanRow>,
    /// Whether the kernel drops it; `null`: the kernel could not be asked.
    pub in_kernel: Option<bool>,
    /// Why it is not banned by whom, where that is so.
    pub allowed: Vec<String>,
    /// What else is to be known: which jail trusts it, was told to spare it, or has it wait.
    #[serde(default)]
    pub notes: Vec<String>,
    /// How long each jail would ban it next.
    pub next: Vec<NextRow>,
    /// The log lines of failures that are not enough for a ban yet.
    pub failures: Vec<FailureRow>,
    /// What happened to it, newest first, and the log lines that led to bans.
    pub history: Vec<EventRow>,
    /// Why there is no history, if it cannot be told.
    pub history_error: Option<String>,
}

/// How long a jail would ban somebody next.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NextRow {
    /// The jail.
    pub jail: String,
    /// In seconds; `null` is permanently.
    pub seconds: Option<u64>,
}

/// Failures that count.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailureRow {
    /// The jail that counts them.
    pub jail: String,
    /// The last of their log lines, oldest first.
    pub lines: Vec<LineRow>,
}

/// Answers what only the history is needed for; `None` to every other request.
#[must_use]
pub fn answer(archive: &Archive, request: &Request) -> Option<Answer> {
    let answered = match request {
        Request::History { within, jail, since, after } => {
            let query = Query {
                within: *within,
                jail: jail.clone(),
                since: *since,
                after: after.map(|EventCursor { time, id }| Place { time, id }),
                most: u32::try_from(PAGE).unwrap_or(u32::MAX),
            };
            history(archive, &query)
        }
        Request::Stats { since } => stats(archive, *since),
        _ => return None,
    };
    Some(answered.unwrap_or_else(|error| Answer::Refused(Refused::new(Kind::No, error))))
}

fn history(archive: &Archive, query: &Query) -> Result<Answer, StoreError> {
    let found = archive.history(query)?;
    let next = found.next.map(|Place { time, id }| EventCursor { time, id });
    Ok(Answer::History { events: found.events.iter().map(|(_, event)| EventRow::new(event)).collect(), next })
}

fn stats(archive: &Archive, since: Option<Timestamp>) -> Result<Answer, StoreError> {
    let found = archive.stats(since)?;
    let (zone, mut days) = (TimeZone::system(), BTreeMap::<_, u32>::new());
    for (time, bans) in &found.quarters {
        *days.entry(time.to_zoned(zone.clone()).date()).or_default() += bans;
    }
    let jail = |jail: &crate::store::JailCount| JailRow {
        jail: jail.jail.to_string(),
        bans: jail.bans,
        unbans: jail.unbans,
        offenders: jail.offenders,
    };
    let network = |network: &crate::store::NetworkCount| NetworkRow {
        network: network.network.to_string(),
        bans: network.bans,
        offenders: network.offenders,
    };
    Ok(Answer::Stats(Box::new(Stats {
        since,
        bans: found.jails.iter().map(|jail| u64::from(jail.bans)).sum(),
        jails: found.jails.iter().map(jail).collect(),
        days: days.into_iter().map(|(day, bans)| DayRow { day: day.to_string(), bans }).collect(),
        networks: found.networks.iter().map(network).collect(),
    })))
}

impl Why {
    /// With what the history knows of `prefix`.
    #[must_use]
    pub fn with_history(mut self, archive: &Archive, prefix: IpNet) -> Self {
        match past(archive, prefix) {
            Ok(history) => self.history = history,
            Err(error) => self.history_error = Some(error.to_string()),
        }
        self
    }
}

fn past(archive: &Archive, prefix: IpNet) -> Result<Vec<EventRow>, StoreError> {
    let found = archive.history(&Query { within: Some(prefix), most: TOLD, ..Query::default() })?;
    let row = |(place, event): &(Place, Event)| {
        let lines = archive.lines(*place)?;
        Ok(EventRow { lines: lines.iter().map(LineRow::new).collect(), ..EventRow::new(event) })
    };
    found.events.iter().map(row).collect()
}

impl EventRow {
    fn new(event: &Event) -> Self {
        let (name, ending) = match event.what {
            What::Unban(_) => ("unban", Some(event.what)),
            What::Disallow => ("disallow", Some(What::Unban(Ending::ByHand))),
            What::AllowOver => ("disallow", Some(What::Unban(Ending::Expired))),
            What::Ban | What::WouldBan | What::Allow => (event.what.name(), None),
        };
        Self {
            time: event.time,
            event: name.into(),
            ending: ending.map(|ending| ending.name().to_owned()),
            address: shown(&event.prefix),
            jail: event.jail.to_string(),
            until: event.until,
            count: event.count,
            source: event.source.to_string(),
            reason: event.reason.to_string(),
            who: event.who.as_ref().map(ToString::to_string),
            lines: Vec::new(),
        }
    }
}

impl LineRow {
    /// A line, as text.
    #[must_use]
    pub fn new(line: &Line) -> Self {
        let mut text = String::with_capacity(line.bytes.len());
        for chunk in line.bytes.utf8_chunks() {
            text.push_str(chunk.valid());
            text.extend(chunk.invalid().iter().flat_map(|byte| byte.escape_ascii()).map(char::from));
        }
        Self { time: line.time, line: text }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_that_are_no_text_can_still_be_read() {
        let line = Line { time: Timestamp::UNIX_EPOCH, bytes: (*b"user \xff\xc3\xa4\x1b").into() };
        assert_eq!(LineRow::new(&line).line, "user \\xffä\u{1b}");
    }
}
