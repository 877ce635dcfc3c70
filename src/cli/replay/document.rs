//! What `banctl replay` found, as `--json` prints it.

use std::collections::BTreeSet;

use ipnet::IpNet;
use jiff::Timestamp;
use serde::Serialize;

use super::ledger::{Ledger, MOST, Row};
use super::world::World;
use crate::config::duration::BanTime;
use crate::config::plan::Plan;
use crate::jail::shown;

/// `{"schema":1,...}`.
#[derive(Serialize)]
pub(super) struct Document {
    pub(super) files: Vec<String>,
    pub(super) notes: Vec<String>,
    pub(super) lines: u64,
    pub(super) failures: u64,
    /// Different ones of them.
    pub(super) addresses: Bounded,
    /// Successful logins; `null` if no filter recognises any.
    pub(super) logins: Option<u64>,
    pub(super) from: Option<Timestamp>,
    pub(super) to: Option<Timestamp>,
    /// Jails whose filters recognise no logins.
    pub(super) blind: Vec<String>,
    /// What `--set` says.
    pub(super) set: Vec<String>,
    pub(super) current: Outcome,
    /// Under what `--set` says, if it says anything.
    pub(super) changed: Option<Outcome>,
    pub(super) difference: Option<Difference>,
}

/// A number that is not followed for ever.
#[derive(Debug, Clone, Copy, Serialize)]
pub(super) struct Bounded {
    pub(super) count: usize,
    /// There are more.
    pub(super) more: bool,
}

impl Bounded {
    pub(super) fn of(count: usize) -> Self {
        Self { count, more: count >= MOST }
    }
}

/// What became of the logs under one set of settings.
#[derive(Serialize)]
pub(super) struct Outcome {
    pub(super) jails: Vec<JailSettings>,
    pub(super) bans: u64,
    /// Of these, so many are not in `rows`.
    pub(super) not_listed: u64,
    pub(super) offenders: Bounded,
    pub(super) permanent: u64,
    /// How long all but the permanent ones last, in sum.
    pub(super) seconds: u64,
    /// Offenders that still waited for their ban at the end (`max_bans_per_minute`).
    pub(super) waiting: usize,
    /// Failures of addresses that are never banned.
    pub(super) allowed: u64,
    /// Bans of addresses from which somebody logged in during the ban or later; `null` if no filter recognises logins. So
    /// are the three below.
    pub(super) false_positives: Option<u64>,
    /// Of these, during the ban: somebody would have been locked out.
    pub(super) locked_out: Option<u64>,
    /// Of these, only after it, or to a service that it left open.
    pub(super) came_later: Option<u64>,
    /// Bans of addresses from which somebody had logged in before.
    pub(super) known_before: Option<u64>,
    pub(super) rows: Vec<BanRow>,
}

#[derive(Serialize)]
pub(super) struct JailSettings {
    pub(super) jail: String,
    pub(super) maxretry: u32,
    pub(super) findtime_seconds: u64,
    /// `null` is permanent.
    pub(super) bantime_seconds: Option<u64>,
}

#[derive(Serialize)]
pub(super) struct BanRow {
    pub(super) address: String,
    pub(super) jail: String,
    pub(super) since: Timestamp,
    /// `null` is permanent.
    pub(super) until: Option<Timestamp>,
    pub(super) seconds: Option<u64>,
    pub(super) times: u32,
    /// `null`: other bans led to it.
    pub(super) failures: Option<u32>,
    pub(super) reason: String,
    pub(super) logins: Option<LoginRow>,
}

#[derive(Serialize)]
pub(super) struct LoginRow {
    pub(super) before: bool,
    pub(super) during: u64,
    pub(super) after: u64,
    /// The first few; left out with `--no-users`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) users: Option<Vec<String>>,
}

/// Whom only one of two sets of settings bans; `null` where the other one's offenders are too many to be known.
#[derive(Serialize)]
pub(super) struct Difference {
    pub(super) only_current: Option<Vec<String>>,
    pub(super) only_changed: Option<Vec<String>>,
}

impl Outcome {
    /// `sees`: somebody who logs in is seen. `users`: and named.
    pub(super) fn new(plan: &Plan, world: &World, sees: bool, users: bool) -> Self {
        let Ledger { rows, totals, offenders, .. } = &world.ledger;
        let count = |is: &dyn Fn(&Row) -> bool| {
            sees.then(|| u64::try_from(rows.iter().filter(|row| is(row)).count()).unwrap_or(u64::MAX))
        };
        Self {
            jails: plan
                .jails
                .iter()
                .map(|jail| JailSettings {
                    jail: jail.name.to_string(),
                    maxretry: jail.maxretry,
                    findtime_seconds: jail.findtime.as_secs(),
                    bantime_seconds: match jail.bantime {
                        BanTime::For(length) => Some(length.as_secs()),
                        BanTime::Permanent => None,
                    },
                })
                .collect(),
            bans: totals.bans,
            not_listed: totals.bans.saturating_sub(u64::try_from(rows.len()).unwrap_or(u64::MAX)),
            offenders: Bounded::of(offenders.len()),
            permanent: totals.permanent,
            seconds: totals.seconds,
            waiting: world.waiting(),
            allowed: world.allowed(),
            false_positives: count(&|row| row.logins.later()),
            locked_out: count(&|row| row.logins.during > 0),
            came_later: count(&|row| row.logins.during == 0 && row.logins.after > 0),
            known_before: count(&|row| row.logins.before),
            rows: rows.iter().map(|row| ban_row(row, sees, users)).collect(),
        }
    }
}

fn ban_row(row: &Row, sees: bool, users: bool) -> BanRow {
    let logins = &row.logins;
    BanRow {
        address: shown(&row.prefix),
        jail: row.jail.to_string(),
        since: row.since,
        until: row.until,
        seconds: row.until.and_then(|until| u64::try_from(until.duration_since(row.since).as_secs()).ok()),
        times: row.times,
        failures: row.failures,
        reason: row.reason.to_string(),
        logins: sees.then(|| LoginRow {
            before: logins.before,
            during: logins.during,
            after: logins.after,
            users: users.then(|| logins.users.to_vec()),
        }),
    }
}

impl Difference {
    /// Of these offenders.
    pub(super) fn new(current: &BTreeSet<IpNet>, changed: &BTreeSet<IpNet>) -> Self {
        let only = |one: &BTreeSet<IpNet>, other: &BTreeSet<IpNet>| {
            (!Bounded::of(other.len()).more).then(|| one.difference(other).map(shown).collect())
        };
        Self { only_current: only(current, changed), only_changed: only(changed, current) }
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;

    #[test]
    fn nothing_is_said_of_whom_one_of_too_many_was() {
        let prefixes = |count: usize| -> BTreeSet<IpNet> {
            let address = |number: usize| IpAddr::from(u32::try_from(number).unwrap().to_be_bytes());
            (0..count).map(|number| address(number).into()).collect()
        };
        let few = Difference::new(&prefixes(3), &prefixes(2));
        assert_eq!(
            (few.only_current, few.only_changed),
            (Some(vec!["0.0.0.2".to_owned()]), Some(Vec::new()))
        );
        let many = Difference::new(&prefixes(MOST), &prefixes(2));
        assert!(many.only_current.is_some_and(|only| only.len() == MOST - 2) && many.only_changed.is_none());
    }
}
