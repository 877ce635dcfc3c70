//! What a host says of an offender: the format, and what a firewall does not even look at.
//!
//! One JSON document, published on `ban.report.HOST`. The server lets a host publish on its own subject only, so the name in
//! the subject is proven; the one in the document has to be the same.

use std::sync::Arc;

use ipnet::IpNet;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::config::network::folded;
use crate::jail::reports::is_private;
use crate::jail::target::unbannable;
use crate::jail::{shown, written};

/// The version of the document.
const VERSION: u32 = 1;
/// No report is longer, in bytes.
pub const LONGEST: usize = 8 * 1024;
/// So many log lines go with one, at most.
pub const LINES: usize = 5;
/// So many bytes of each.
pub const LONGEST_LINE: usize = 400;
/// How far the clock of a host may be ahead.
const AHEAD: SignedDuration = SignedDuration::from_mins(5);
/// The shortest prefix of IPv6 that is one offender.
const WIDEST_IPV6: u8 = 48;
/// No name is longer, in bytes.
const LONGEST_NAME: usize = 64;

/// One report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Report {
    /// The version of this document: 1.
    pub v: u32,
    /// Who says so.
    pub host: Arc<str>,
    /// Of whom: an address, of IPv6 also the network of one host.
    pub address: String,
    /// The jail there that has banned it.
    pub jail: String,
    /// When that was.
    pub time: Timestamp,
    /// When its ban there ends; `null`: never.
    pub until: Option<Timestamp>,
    /// How many times that jail has banned it.
    pub count: u32,
    /// The ports that were closed to it there; `null`: all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ports: Option<Vec<String>>,
    /// The log lines that led to it, if the host tells them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lines: Vec<String>,
}

/// What has come from a host, looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Taken {
    /// The host.
    pub host: Arc<str>,
    /// How much its word weighs.
    pub weight: u32,
    /// The offender.
    pub prefix: IpNet,
    /// What it counts as of: now, as long as the host's own ban holds; otherwise when that was made.
    pub time: Timestamp,
    /// The report itself.
    pub report: Report,
}

/// Why a report is not looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum Refusal {
    /// More than [`LONGEST`] bytes.
    #[error("longer than 8 KiB")]
    TooLong,
    /// Not UTF-8, no JSON, or not this document.
    #[error("not a report")]
    Unreadable,
    /// Of another version of kban.
    #[error("of a version that this kban does not know")]
    Version,
    /// The document names another host than its subject.
    #[error("in another host's name")]
    Forged,
    /// No such host was invited, or it was revoked.
    #[error("of a host that does not belong to the fleet")]
    Stranger,
    /// No address, a network, or what is no remote host.
    #[error("of no single remote host")]
    NotAHost,
    /// Known in a network of one's own only.
    #[error("of a private address")]
    Private,
    /// Its time lies ahead.
    #[error("from the future: is its clock right?")]
    Future,
    /// More than `max_reports_per_minute`.
    #[error("more than max_reports_per_minute")]
    TooMany,
}

impl Refusal {
    /// Every reason, in order.
    pub const ALL: [Self; 9] = [
        Self::TooLong,
        Self::Unreadable,
        Self::Version,
        Self::Forged,
        Self::Stranger,
        Self::NotAHost,
        Self::Private,
        Self::Future,
        Self::TooMany,
    ];
}

impl Report {
    /// Of an offender that a jail of `host` has banned.
    #[must_use]
    pub fn new(host: &Arc<str>, ban: &crate::jail::Ban, lines: Vec<String>) -> Self {
        Self {
            v: VERSION,
            host: Arc::clone(host),
            address: shown(&ban.prefix),
            jail: ban.jail.to_string(),
            time: ban.since,
            until: ban.until,
            count: ban.count,
            ports: ban.services.as_ref().map(|list| list.iter().map(ToString::to_string).collect()),
            lines,
        }
    }

    /// Whether a host can report a ban of `prefix`: it is one offender. Networks are for the firewall to ban.
    #[must_use]
    pub fn is_of_one(prefix: &IpNet) -> bool {
        match prefix {
            IpNet::V4(prefix) => prefix.prefix_len() == 32,
            IpNet::V6(prefix) => prefix.prefix_len() >= WIDEST_IPV6,
        }
    }

    /// The bytes to publish.
    #[must_use]
    pub fn encoded(&self) -> Vec<u8> {
        // A struct of strings and numbers can always be written.
        let whole = serde_json::to_vec(self).unwrap_or_default();
        if whole.len() <= LONGEST || self.lines.is_empty() {
            return whole;
        }
        // Lines of nothing but control characters grow on their way.
        Self { lines: Vec::new(), ..self.clone() }.encoded()
    }

    /// The line that a ban keeps as its evidence: who, when, which jail.
    #[must_use]
    pub fn told(&self) -> String {
        let Self { host, jail, time, count, lines, .. } = self;
        let times = if *count > 1 { format!(", for the {count}. time") } else { String::new() };
        let said = lines.last().map(|line| format!(": {line}")).unwrap_or_default();
        format!("{host}: banned by {jail} at {time:.0}{times}{said}")
    }
}

/// Whose a report is by its own words.
#[must_use]
pub fn host(payload: &[u8]) -> Option<Arc<str>> {
    serde_json::from_slice::<Report>(payload).ok().map(|report| report.host)
}

/// Reads what came on the subject of `host` at `now`; private addresses count if `private`.
///
/// # Errors
/// Why it does not count.
pub fn read(
    payload: &[u8],
    host: &str,
    private: bool,
    now: Timestamp,
) -> Result<(Report, IpNet, Timestamp), Refusal> {
    /// What every version has.
    #[derive(Deserialize)]
    struct Versioned {
        v: u32,
    }
    if payload.len() > LONGEST {
        return Err(Refusal::TooLong);
    }
    let Versioned { v } = serde_json::from_slice(payload).map_err(|_| Refusal::Unreadable)?;
    if v != VERSION {
        return Err(Refusal::Version);
    }
    let report: Report = serde_json::from_slice(payload).map_err(|_| Refusal::Unreadable)?;
    if &*report.host != host {
        return Err(Refusal::Forged);
    }
    if report.jail.is_empty() || report.jail.len() > LONGEST_NAME || report.lines.len() > LINES {
        return Err(Refusal::Unreadable);
    }
    let prefix = written(&report.address).map(|prefix| folded(prefix.trunc())).ok_or(Refusal::NotAHost)?;
    is_offender(&prefix, private)?;
    is_past(report.time, now)?;
    let holds = report.until.is_none_or(|until| until > now);
    let time = if holds { now } else { report.time.min(now) };
    Ok((report, prefix, time))
}

/// Whether somebody else may say something of `prefix`: it is one remote host, known beyond its own network unless `private`.
///
/// # Errors
/// It is none.
pub(super) fn is_offender(prefix: &IpNet, private: bool) -> Result<(), Refusal> {
    if !Report::is_of_one(prefix) || unbannable(prefix.addr()) {
        return Err(Refusal::NotAHost);
    }
    if !private && is_private(prefix.addr()) {
        return Err(Refusal::Private);
    }
    Ok(())
}

/// Whether something can have happened at `time`.
///
/// # Errors
/// It lies further ahead than clocks differ.
pub(super) fn is_past(time: Timestamp, now: Timestamp) -> Result<(), Refusal> {
    if time.duration_since(now) > AHEAD { Err(Refusal::Future) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: &str = "2027-01-15T08:00:00Z";

    fn said(change: &str) -> Result<(Report, IpNet, Timestamp), Refusal> {
        let mut report: serde_json::Value = serde_json::from_str(
            r#"{"v":1,"host":"web1","address":"203.0.113.9","jail":"sshd","time":"2027-01-15T07:59:00Z","until":"2027-01-15T08:09:00Z","count":1}"#,
        )
        .unwrap();
        let change: serde_json::Value = serde_json::from_str(change).unwrap();
        report.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        read(report.to_string().as_bytes(), "web1", false, NOW.parse().unwrap())
    }

    #[test]
    fn a_report_is_of_one_offender_and_in_ones_own_name() {
        let now: Timestamp = NOW.parse().unwrap();
        let (report, prefix, time) = said("{}").unwrap();
        assert_eq!((prefix, time), ("203.0.113.9/32".parse().unwrap(), now), "its ban holds");
        assert_eq!(report.told(), "web1: banned by sshd at 2027-01-15T07:59:00Z");
        assert_eq!(read(&report.encoded(), "web1", false, now).unwrap().0, report);
        let over = said(r#"{"until":"2027-01-15T07:59:30Z"}"#).unwrap();
        assert_eq!(over.2, over.0.time, "its ban is over: it counts as of then");
        assert_eq!(said(r#"{"time":"2027-01-15T08:04:00Z"}"#).unwrap().2, now, "minutes ahead");
        assert_eq!(said(r#"{"address":"::ffff:203.0.113.9"}"#).unwrap().1, prefix);
        assert_eq!(said(r#"{"address":"2001:db8::/56"}"#).unwrap().1.to_string(), "2001:db8::/56");
        for (change, refusal) in [
            (r#"{"v":2,"new":"key"}"#, Refusal::Version),
            (r#"{"host":"web2"}"#, Refusal::Forged),
            (r#"{"more":1}"#, Refusal::Unreadable),
            (r#"{"count":-1}"#, Refusal::Unreadable),
            (r#"{"time":"yesterday"}"#, Refusal::Unreadable),
            (r#"{"lines":["","","","","",""]}"#, Refusal::Unreadable),
            (r#"{"time":"2027-01-15T08:05:01Z"}"#, Refusal::Future),
            (r#"{"address":"0.0.0.0/0"}"#, Refusal::NotAHost),
            (r#"{"address":"::/0"}"#, Refusal::NotAHost),
            (r#"{"address":"203.0.113.0/24"}"#, Refusal::NotAHost),
            (r#"{"address":"2001:db8::/47"}"#, Refusal::NotAHost),
            (r#"{"address":"127.0.0.1"}"#, Refusal::NotAHost),
            (r#"{"address":"attacker.example"}"#, Refusal::NotAHost),
            (r#"{"address":"10.0.0.1"}"#, Refusal::Private),
            (r#"{"address":"::ffff:192.168.0.1"}"#, Refusal::Private),
        ] {
            assert_eq!(said(change).unwrap_err(), refusal, "{change}");
        }
        assert_eq!(read(&[b' '; LONGEST + 1], "web1", false, now), Err(Refusal::TooLong));
        assert_eq!(read(b"\xff\xfe", "web1", false, now), Err(Refusal::Unreadable));
        assert_eq!(read(br#"{"stream":"REPORTS", "seq":5}"#, "web1", false, now), Err(Refusal::Unreadable));
        assert_eq!(Refusal::ALL.iter().collect::<std::collections::BTreeSet<_>>().len(), Refusal::ALL.len());
    }
}
