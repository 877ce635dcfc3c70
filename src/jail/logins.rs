//! From where administrators lately logged in: a ban by hand of such an address may lock them out.

use std::net::IpAddr;

use indexmap::IndexMap;
use ipnet::IpNet;
use jiff::{SignedDuration, Timestamp};

/// For how long a login counts.
const LATELY: SignedDuration = SignedDuration::from_hours(24);
/// How many addresses are remembered. Only who has a password gets here.
const REMEMBERED: usize = 1000;

/// The last login from each address.
#[derive(Debug, Default)]
pub(super) struct Logins(IndexMap<IpAddr, Timestamp>);

impl Logins {
    /// Somebody logged in from `address` at `time`.
    pub(super) fn note(&mut self, address: IpAddr, time: Timestamp) {
        let last = self.0.get(&address).map_or(time, |known| time.max(*known));
        // Whoever logged in last is at the end.
        self.0.shift_remove(&address);
        if self.0.len() >= REMEMBERED {
            self.0.shift_remove_index(0);
        }
        self.0.insert(address, last);
    }

    /// The last login from an address of `prefix`, if it is not long ago.
    pub(super) fn within(&self, prefix: &IpNet, now: Timestamp) -> Option<(IpAddr, Timestamp)> {
        let lately = |time: &Timestamp| now.duration_since(*time) < LATELY;
        let found = self.0.iter().filter(|(address, time)| prefix.contains(*address) && lately(time));
        found.max_by_key(|(_, time)| **time).map(|(address, time)| (*address, *time))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(hour: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + hour * 3600).unwrap()
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
