//! Who was banned before: how often, by which jail, and until when. Of those whose bans have ended, so many are remembered
//! as memory allows; bans in force remember it themselves.

use std::sync::Arc;

use indexmap::IndexMap;
use ipnet::IpNet;
use jiff::Timestamp;
use smallvec::SmallVec;

use super::draw::Draw;

/// How many past offenders are remembered.
pub(super) const REMEMBERED: usize = 100_000;

/// What one jail had against one prefix.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Past {
    /// Which jail.
    pub jail: Arc<str>,
    /// How many times it banned it.
    pub count: u32,
    /// When the last of these bans ended, or would have.
    pub until: Timestamp,
}

/// Past offenders.
#[derive(Debug, Default)]
pub(super) struct Offenders {
    past: IndexMap<IpNet, SmallVec<[Past; 1]>>,
    draw: Draw,
}

impl Offenders {
    /// Notes what a jail had against `prefix`, in place of what was known before.
    pub(super) fn note(&mut self, prefix: IpNet, past: Past) {
        self.draw.make_room(&mut self.past, &prefix, REMEMBERED);
        let known = self.past.entry(prefix).or_default();
        match known.iter_mut().find(|known| known.jail == past.jail) {
            Some(known) => *known = past,
            None => known.push(past),
        }
    }

    /// What any jail had against `prefix`.
    pub(super) fn of(&self, prefix: &IpNet) -> &[Past] {
        self.past.get(prefix).map_or(&[], |past| past)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn past(jail: &str, count: u32) -> Past {
        Past { jail: jail.into(), count, until: Timestamp::UNIX_EPOCH }
    }

    #[test]
    fn each_jail_has_its_own_count() {
        let mut offenders = Offenders::default();
        let prefix: IpNet = "203.0.113.9/32".parse().unwrap();
        for (jail, count) in [("sshd", 1), ("mail", 1), ("sshd", 2)] {
            offenders.note(prefix, past(jail, count));
        }
        assert_eq!(offenders.of(&prefix), [past("sshd", 2), past("mail", 1)]);
        assert_eq!(offenders.of(&"203.0.113.8/32".parse().unwrap()), []);
    }

    #[test]
    fn a_flood_of_offenders_fills_no_memory() {
        let mut offenders = Offenders::default();
        for number in 0..u32::try_from(REMEMBERED).unwrap() + 10 {
            let address = std::net::IpAddr::from(number.to_be_bytes());
            offenders.note(address.into(), past("sshd", 1));
        }
        assert_eq!(offenders.past.len(), REMEMBERED);
    }
}
