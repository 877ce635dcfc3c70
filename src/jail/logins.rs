//! Logins: what is remembered of them over a restart, and from where administrators lately logged in, since a ban by hand of such
//! an address may lock them out.

use std::net::IpAddr;
use std::sync::Arc;

use indexmap::IndexMap;
use ipnet::IpNet;
use jiff::{SignedDuration, Timestamp};

/// For how long a login counts.
const LATELY: SignedDuration = SignedDuration::from_hours(24);
/// How many addresses are remembered. Only who has a password gets here.
const REMEMBERED: usize = 1000;

/// A login that is told again within this time is not worth another write to the disk.
const AGAIN: SignedDuration = SignedDuration::from_mins(5);

/// The last login of somebody from somewhere, as it is kept over a restart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Login {
    /// By which jail's log.
    pub jail: Arc<str>,
    /// From where.
    pub address: IpAddr,
    /// Who, if that is known and may be kept.
    pub user: Option<String>,
    /// When.
    pub time: Timestamp,
}

/// When something happened last, and when that was last worth keeping.
#[derive(Debug, Clone, Copy)]
pub(super) struct Last {
    pub(super) at: Timestamp,
    kept: Option<Timestamp>,
}

impl Last {
    pub(super) fn new(at: Timestamp) -> Self {
        Self { at, kept: None }
    }

    /// It happened at `time`. Whether that is worth keeping.
    pub(super) fn note(&mut self, time: Timestamp) -> bool {
        self.at = self.at.max(time);
        let news = self.kept.is_none_or(|kept| self.at.duration_since(kept) >= AGAIN);
        if news {
            self.kept = Some(self.at);
        }
        news
    }
}

/// The last login from each address.
#[derive(Debug, Default)]
pub(super) struct Logins(IndexMap<IpAddr, Last>);

impl Logins {
    /// Somebody logged in from `address` at `time`. Whether that is worth keeping.
    pub(super) fn note(&mut self, address: IpAddr, time: Timestamp) -> bool {
        // Whoever logged in last is at the end.
        let mut last = self.0.shift_remove(&address).unwrap_or(Last::new(time));
        if self.0.len() >= REMEMBERED {
            self.0.shift_remove_index(0);
        }
        let news = last.note(time);
        self.0.insert(address, last);
        news
    }

    /// The last login from an address of `prefix`, if it is not long ago.
    pub(super) fn within(&self, prefix: &IpNet, now: Timestamp) -> Option<(IpAddr, Timestamp)> {
        let lately = |last: &Last| now.duration_since(last.at) < LATELY;
        let found = self.0.iter().filter(|(address, last)| prefix.contains(*address) && lately(last));
        found.max_by_key(|(_, last)| last.at).map(|(address, last)| (*address, last.at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(hour: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + hour * 3600).unwrap()
    }

    #[test]
    fn a_login_that_is_told_again_and_again_is_kept_every_five_minutes() {
        let mut logins = Logins::default();
        let one: IpAddr = "203.0.113.9".parse().unwrap();
        let second = |second: i64| at(0) + SignedDuration::from_secs(second);
        let kept: Vec<i64> =
            (0..1_000).step_by(10).filter(|after| logins.note(one, second(*after))).collect();
        assert_eq!(kept, [0, 300, 600, 900]);
        assert!(!logins.note(one, second(5)), "an old one is none");
    }

    #[test]
    fn who_logged_in_a_day_ago_is_forgotten_and_so_are_the_oldest_of_many() {
        let mut logins = Logins::default();
        let (one, other): (IpAddr, IpAddr) =
            ("203.0.113.9".parse().unwrap(), "203.0.113.10".parse().unwrap());
        logins.note(one, at(0));
        logins.note(other, at(1));
        let network: IpNet = "203.0.113.0/24".parse().unwrap();
        assert_eq!(logins.within(&network, at(2)), Some((other, at(1))));
        assert_eq!(logins.within(&one.into(), at(23)), Some((one, at(0))));
        assert_eq!(logins.within(&one.into(), at(24)), None);
        assert_eq!(logins.within(&"198.51.100.0/24".parse().unwrap(), at(2)), None);
        logins.note(one, at(3));
        for number in 0..999_u32 {
            logins.note(IpAddr::from((0x0b00_0000 + number).to_be_bytes()), at(4));
        }
        assert_eq!(logins.within(&network, at(5)), Some((one, at(3))), "the other one was the oldest");
        assert_eq!(logins.0.len(), REMEMBERED);
    }
}
