//! The sets of table `inet kban`, and which of them holds a prefix.
//!
//! Single addresses and aggregated networks are in hash sets, where a lookup and a change cost the
//! same whatever the size; a network's hash set is looked up with a masked source address. Only the
//! allow lists, which are short, are interval sets.

use std::fmt;

use ipnet::IpNet;

/// One of the table's sets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Set {
    /// Banned IPv4 addresses.
    Host4,
    /// Banned IPv6 addresses.
    Host6,
    /// Banned IPv6 networks of 64 bits. The sets of networks exist only while they are used.
    Net6x64,
    /// Banned IPv6 networks of 56 bits.
    Net6x56,
    /// Banned IPv6 networks of 48 bits.
    Net6x48,
    /// IPv4 networks that are never dropped.
    Allow4,
    /// IPv6 networks that are never dropped.
    Allow6,
}

/// IPv4 or IPv6, as far as rules and sets differ by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Family {
    V4,
    V6,
}

impl Set {
    /// The sets of bans, in the order of their rules.
    pub const BANS: [Self; 5] = [Self::Host4, Self::Host6, Self::Net6x64, Self::Net6x56, Self::Net6x48];
    /// The allow lists.
    pub const ALLOW: [Self; 2] = [Self::Allow4, Self::Allow6];

    /// The set's name in the kernel.
    pub fn name(self) -> &'static str {
        match self {
            Self::Host4 => "host4",
            Self::Host6 => "host6",
            Self::Net6x64 => "net6_64",
            Self::Net6x56 => "net6_56",
            Self::Net6x48 => "net6_48",
            Self::Allow4 => "allow4",
            Self::Allow6 => "allow6",
        }
    }

    /// The set with this name.
    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::BANS.into_iter().chain(Self::ALLOW).find(|set| set.name() == name)
    }

    /// The set of bans that holds `prefix`, if one can.
    pub(crate) fn for_ban(prefix: IpNet) -> Option<Self> {
        let family = match prefix {
            IpNet::V4(_) => Family::V4,
            IpNet::V6(_) => Family::V6,
        };
        Self::BANS
            .into_iter()
            .find(|set| set.family() == family && set.prefix_len() == Some(prefix.prefix_len()))
    }

    pub(crate) fn family(self) -> Family {
        match self {
            Self::Host4 | Self::Allow4 => Family::V4,
            Self::Host6 | Self::Net6x64 | Self::Net6x56 | Self::Net6x48 | Self::Allow6 => Family::V6,
        }
    }

    /// The length of every prefix in a set of bans, in bits; `None` where lengths differ.
    pub(crate) fn prefix_len(self) -> Option<u8> {
        match self {
            Self::Host4 => Some(32),
            Self::Host6 => Some(128),
            Self::Net6x64 => Some(64),
            Self::Net6x56 => Some(56),
            Self::Net6x48 => Some(48),
            Self::Allow4 | Self::Allow6 => None,
        }
    }

    /// Whether the set holds networks that are looked up with a masked address.
    pub(crate) fn is_masked(self) -> bool {
        matches!(self, Self::Net6x64 | Self::Net6x56 | Self::Net6x48)
    }

    /// Whether the set holds bans.
    pub(crate) fn is_ban(self) -> bool {
        self.prefix_len().is_some()
    }
}

impl Family {
    /// Length of an address in bytes.
    pub(crate) fn key_len(self) -> u8 {
        match self {
            Self::V4 => 4,
            Self::V6 => 16,
        }
    }
}

impl fmt::Display for Set {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(prefix: &str) -> Option<Set> {
        Set::for_ban(prefix.parse().unwrap())
    }

    #[test]
    fn a_prefix_belongs_to_the_set_of_its_length() {
        assert_eq!(of("203.0.113.9/32"), Some(Set::Host4));
        assert_eq!(of("2001:db8::1/128"), Some(Set::Host6));
        assert_eq!(of("2001:db8::/64"), Some(Set::Net6x64));
        assert_eq!(of("2001:db8::/56"), Some(Set::Net6x56));
        assert_eq!(of("2001:db8::/48"), Some(Set::Net6x48));
        assert_eq!(of("203.0.113.0/24"), None);
        assert_eq!(of("2001:db8::/32"), None);
        assert_eq!(of("2001::/63"), None);
    }

    #[test]
    fn names_are_unique() {
        for set in Set::BANS.into_iter().chain(Set::ALLOW) {
            assert_eq!(Set::named(set.name()), Some(set));
        }
        assert_eq!(Set::named("host5"), None);
    }
}
