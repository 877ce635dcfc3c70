//! The bans of a replay, and who logged in from where somebody was banned.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;
use jiff::Timestamp;
use smallvec::SmallVec;

use crate::filter::{Failure, Success};
use crate::jail::Ban;

/// So many bans are kept at most, and as many offenders and addresses; more are only counted.
pub(super) const MOST: usize = 100_000;
/// So many users are named for one ban or address, each with so many characters.
const USERS: usize = 4;
const LONGEST_USER: usize = 64;
/// A login is looked for in so many bans of its address, the latest first.
const LOOKED_AT: usize = 1_000;

/// Everything that a replay came to.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    pub(super) rows: Vec<Row>,
    pub(super) totals: Totals,
    /// Whose bans they were.
    pub(super) offenders: BTreeSet<IpNet>,
    /// Failures of each address since its last ban, by the jail that counted them.
    failures: Failures,
    /// The same of those who were quiet for longest; forgotten when there are too many.
    quiet: Failures,
    /// Who logged in so far.
    users: BTreeMap<IpAddr, Users>,
    /// The bans of each prefix, by their place.
    places: HashMap<IpNet, SmallVec<[usize; 1]>>,
    /// The lengths of these prefixes, of IPv4 and of IPv6.
    lengths: BTreeSet<(bool, u8)>,
}

type Failures = BTreeMap<(IpAddr, Arc<str>), u32>;

/// One ban.
#[derive(Debug, Clone)]
pub(super) struct Row {
    pub(super) prefix: IpNet,
    pub(super) jail: Arc<str>,
    pub(super) since: Timestamp,
    /// When it ended, or would have; `None` is permanent.
    pub(super) until: Option<Timestamp>,
    /// Which ban of the prefix by this jail it is, from 1.
    pub(super) times: u32,
    /// The jail's failures of these addresses since the ban before; none, where other bans led to this one.
    pub(super) failures: Option<u32>,
    pub(super) reason: Arc<str>,
    /// It closes the service of its jail, and leaves others open.
    partly: bool,
    pub(super) logins: Logins,
}

/// Logins from where somebody was banned.
#[derive(Debug, Clone, Default)]
pub(super) struct Logins {
    /// Somebody had logged in before the ban.
    pub(super) before: bool,
    /// How many would have been locked out.
    pub(super) during: u64,
    /// How many came after it, or to a service that it left open.
    pub(super) after: u64,
    pub(super) users: Users,
}

impl Logins {
    /// Whether somebody logged in from there after all.
    pub(super) fn later(&self) -> bool {
        self.during > 0 || self.after > 0
    }
}

/// The first few users.
pub(super) type Users = SmallVec<[String; 1]>;

/// What is counted even if it is not kept.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Totals {
    pub(super) bans: u64,
    /// Of these, for ever.
    pub(super) permanent: u64,
    /// How long the others last, in sum.
    pub(super) seconds: u64,
}

impl Ledger {
    /// A jail counts a failure.
    pub(super) fn failure(&mut self, jail: &Arc<str>, failure: &Failure) {
        let key = (failure.address, Arc::clone(jail));
        let before = self.quiet.remove(&key).unwrap_or_default();
        let known = self.failures.entry(key).or_default();
        *known = known.saturating_add(before).saturating_add(failure.attempts);
        if self.failures.len() > MOST / 2 {
            self.quiet = std::mem::take(&mut self.failures);
        }
    }

    /// Somebody is banned.
    pub(super) fn banned(&mut self, ban: &Ban) {
        self.totals.bans += 1;
        match ban.until {
            Some(until) => {
                self.totals.seconds = self.totals.seconds.saturating_add(seconds(ban.since, until));
            }
            None => self.totals.permanent += 1,
        }
        if self.offenders.len() < MOST {
            self.offenders.insert(ban.prefix);
        }
        let failures = self.take_failures(&ban.prefix, &ban.jail);
        if self.rows.len() >= MOST {
            return;
        }
        let before = self.users_of(&ban.prefix);
        let logins =
            Logins { before: before.is_some(), users: before.unwrap_or_default(), ..Logins::default() };
        self.places.entry(ban.prefix).or_default().push(self.rows.len());
        self.lengths.insert((ban.prefix.addr().is_ipv4(), ban.prefix.prefix_len()));
        self.rows.push(Row {
            prefix: ban.prefix,
            jail: Arc::clone(&ban.jail),
            since: ban.since,
            until: ban.until,
            times: ban.count,
            failures: (failures > 0).then_some(failures),
            reason: Arc::clone(&ban.reason),
            // What a jail that observes would close is not known, so it is everything.
            partly: ban.services.is_some() && !ban.is_observed(),
            logins,
        });
    }

    /// A ban ends before its time: a network's takes its place.
    pub(super) fn ended(&mut self, ban: &Ban, now: Timestamp) {
        if let Some(until) = ban.until {
            self.totals.seconds = self.totals.seconds.saturating_sub(seconds(now, until));
        } else {
            self.totals.permanent = self.totals.permanent.saturating_sub(1);
            self.totals.seconds = self.totals.seconds.saturating_add(seconds(ban.since, now));
        }
        let places = self.places.get(&ban.prefix).into_iter().flatten();
        let row = places.rev().find(|place| self.rows.get(**place).is_some_and(|row| row.jail == ban.jail));
        if let Some(row) = row.and_then(|place| self.rows.get_mut(*place)) {
            row.until = Some(now);
        }
    }

    /// Somebody logged in, as these jails heard.
    pub(super) fn login(&mut self, success: &Success, heard: &[&Arc<str>]) {
        let Success { time, address, user } = success;
        for (is_v4, length) in &self.lengths {
            let Some(prefix) = IpNet::new(*address, *length).ok().filter(|_| *is_v4 == address.is_ipv4())
            else {
                continue;
            };
            let places = self.places.get(&prefix.trunc()).into_iter().flatten();
            for place in places.rev().take(LOOKED_AT) {
                let Some(row) = self.rows.get_mut(*place) else { continue };
                let logins = &mut row.logins;
                if *time < row.since {
                    logins.before = true;
                } else if row.until.is_none_or(|until| *time < until)
                    && (!row.partly || heard.contains(&&row.jail))
                {
                    logins.during += 1;
                } else {
                    logins.after += 1;
                }
                note_user(&mut logins.users, user.as_deref());
            }
        }
        if self.users.len() < MOST || self.users.contains_key(address) {
            note_user(self.users.entry(*address).or_default(), user.as_deref());
        }
    }

    fn take_failures(&mut self, prefix: &IpNet, jail: &Arc<str>) -> u32 {
        let (first, last) = ((prefix.network(), Arc::from("")), prefix.broadcast());
        let mut sum = 0_u32;
        for failures in [&mut self.failures, &mut self.quiet] {
            let within = failures.range(first.clone()..).take_while(|((address, _), _)| *address <= last);
            let own = within.filter(|((_, own), _)| own == jail).map(|(key, _)| key.clone());
            for key in own.collect::<Vec<_>>() {
                sum = sum.saturating_add(failures.remove(&key).unwrap_or_default());
            }
        }
        sum
    }

    /// Who logged in from there; none, if nobody did.
    fn users_of(&self, prefix: &IpNet) -> Option<Users> {
        let mut within = self.users.range(prefix.network()..=prefix.broadcast()).map(|(_, users)| users);
        let mut all = within.next()?.clone();
        for users in within {
            for user in users {
                note_user(&mut all, Some(user));
            }
        }
        Some(all)
    }
}

fn note_user(users: &mut Users, user: Option<&str>) {
    let Some(user) = user.filter(|_| users.len() < USERS) else { return };
    let short: String = user.chars().take(LONGEST_USER).collect();
    if !users.contains(&short) {
        users.push(short);
    }
}

fn seconds(from: Timestamp, to: Timestamp) -> u64 {
    u64::try_from(to.duration_since(from).as_secs()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::{Protocol, Service};

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).unwrap()
    }

    fn ban(prefix: &str, since: i64, until: Option<i64>) -> Ban {
        Ban {
            prefix: prefix.parse().unwrap(),
            jail: "sshd".into(),
            since: at(since),
            until: until.map(at),
            count: 1,
            source: "x".into(),
            reason: "why".into(),
            services: None,
            renew: None,
        }
    }

    fn login(address: &str, user: &str, second: i64) -> Success {
        Success { time: at(second), address: address.parse().unwrap(), user: Some(user.to_owned()) }
    }

    #[test]
    fn logins_are_before_during_or_after_a_ban() {
        let mut ledger = Ledger::default();
        ledger.login(&login("192.0.2.1", "alice", 0), &[]);
        ledger.banned(&ban("192.0.2.1/32", 10, Some(20)));
        ledger.banned(&ban("198.51.100.0/24", 10, None));
        ledger.banned(&ban("2001:db8::/64", 10, Some(20)));
        for (address, second) in [
            ("192.0.2.1", 10),
            ("192.0.2.1", 19),
            ("192.0.2.1", 20),
            ("198.51.100.7", 9_999),
            ("2001:db8::5", 30),
            ("203.0.113.1", 15),
        ] {
            ledger.login(&login(address, "bob", second), &[]);
        }
        let seen: Vec<_> =
            ledger.rows.iter().map(|row| (row.logins.before, row.logins.during, row.logins.after)).collect();
        assert_eq!(seen, [(true, 2, 1), (false, 1, 0), (false, 0, 1)]);
        assert_eq!(ledger.rows[0].logins.users.to_vec(), ["alice", "bob"]);
        assert_eq!(ledger.totals, Totals { bans: 3, permanent: 1, seconds: 20 });
    }

    #[test]
    fn who_logs_in_to_another_service_is_not_locked_out() {
        let mut ledger = Ledger::default();
        let ssh = Service { protocol: Protocol::Tcp, port: 22 };
        for (address, services) in [("192.0.2.1/32", vec![ssh]), ("192.0.2.2/32", Vec::new())] {
            ledger.banned(&Ban { services: Some(services.into()), ..ban(address, 0, None) });
        }
        let (mail, sshd): (Arc<str>, Arc<str>) = ("mail".into(), "sshd".into());
        for heard in [&[][..], &[&mail], &[&mail, &sshd]] {
            ledger.login(&login("192.0.2.1", "alice", 5), heard);
            ledger.login(&login("192.0.2.2", "alice", 5), heard);
        }
        let seen: Vec<_> = ledger.rows.iter().map(|row| (row.logins.during, row.logins.after)).collect();
        assert_eq!(seen, [(1, 2), (3, 0)]);
    }

    #[test]
    fn a_ban_that_becomes_part_of_a_networks_ends_with_it() {
        let mut ledger = Ledger::default();
        let single = ban("192.0.2.1/32", 0, Some(100));
        ledger.banned(&single);
        ledger.ended(&single, at(30));
        assert_eq!((ledger.rows[0].until, ledger.totals.seconds), (Some(at(30)), 30));
    }

    #[test]
    fn failures_lead_to_the_ban_of_their_jail() {
        let mut ledger = Ledger::default();
        let failure = |address: &str| Failure {
            time: at(0),
            address: address.parse().unwrap(),
            prefix_len: None,
            pattern: 0,
            attempts: 2,
        };
        let (sshd, mail): (Arc<str>, Arc<str>) = ("sshd".into(), "mail".into());
        for address in ["192.0.2.1", "192.0.2.3", "192.0.3.1", "191.0.0.1"] {
            ledger.failure(&sshd, &failure(address));
        }
        ledger.failure(&mail, &failure("192.0.2.1"));
        ledger.banned(&ban("192.0.2.0/24", 1, None));
        ledger.banned(&ban("192.0.2.0/24", 2, None));
        let failures: Vec<_> = ledger.rows.iter().map(|row| row.failures).collect();
        assert_eq!(failures, [Some(4), None]);
    }

    #[test]
    fn what_attackers_write_fills_no_memory() {
        let mut ledger = Ledger::default();
        let long = "x".repeat(1_000);
        for number in 0..u32::try_from(MOST).unwrap() + 10 {
            let address = IpAddr::from(number.to_be_bytes());
            let failure = Failure { time: at(0), address, prefix_len: None, pattern: 0, attempts: 1 };
            ledger.failure(&"sshd".into(), &failure);
            ledger.banned(&Ban { prefix: address.into(), ..ban("192.0.2.1/32", 0, None) });
            ledger.login(&login("192.0.2.9", &format!("{number}{long}"), 0), &[]);
        }
        assert_eq!(ledger.totals.bans, 100_010);
        assert_eq!((ledger.rows.len(), ledger.offenders.len()), (MOST, MOST));
        for number in 0..u32::try_from(2 * MOST).unwrap() {
            let address = IpAddr::from(number.to_be_bytes());
            ledger.failure(
                &"mail".into(),
                &Failure { time: at(0), address, prefix_len: None, pattern: 0, attempts: 1 },
            );
        }
        assert!(ledger.failures.len() + ledger.quiet.len() <= MOST + 2);
        let users = &ledger.users[&"192.0.2.9".parse::<IpAddr>().unwrap()];
        assert!(users.len() == USERS && users.iter().all(|user| user.chars().count() == LONGEST_USER));
    }
}
