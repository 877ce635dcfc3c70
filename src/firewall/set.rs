//! The sets of table `inet kban`, and which of them holds a target.
//!
//! Single addresses and networks of the usual lengths are in hash sets, where a lookup and a change cost the
//! same whatever the size; a network's hash set is looked up with a masked source address. Networks of other lengths,
//! which are few, and the allow lists, which are short, are in interval sets.

use std::fmt;

use ipnet::IpNet;

use super::Target;

/// One of the table's sets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Set {
    /// Banned IPv4 addresses.
    Host4,
    /// Banned IPv6 addresses.
    Host6,
    /// Banned IPv4 networks of 24 bits. This set and those that follow exist only while they are used.
    Net4x24,
    /// Banned IPv6 networks of 64 bits.
    Net6x64,
    /// Banned IPv6 networks of 56 bits.
    Net6x56,
    /// Banned IPv6 networks of 48 bits.
    Net6x48,
    /// IPv4 addresses that are banned from one port each.
    Port4,
    /// IPv4 networks of 24 bits that are banned from one port each.
    Port4x24,
    /// IPv6 addresses that are banned from one port each.
    Port6,
    /// IPv6 networks of 64 bits that are banned from one port each.
    Port6x64,
    /// IPv6 networks of 56 bits that are banned from one port each.
    Port6x56,
    /// IPv6 networks of 48 bits that are banned from one port each.
    Port6x48,
    /// Banned IPv4 networks of any other length.
    Any4,
    /// Banned IPv6 networks of any other length.
    Any6,
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

/// What distinguishes one set from another.
struct Traits {
    name: &'static str,
    family: Family,
    /// The length of every prefix, in bits; `None` where lengths differ.
    prefix_len: Option<u8>,
    /// Its elements name a service beside the prefix.
    service: bool,
}

impl Set {
    /// The sets of bans, in the order of their rules.
    pub const BANS: [Self; 14] = [
        Self::Host4,
        Self::Host6,
        Self::Net4x24,
        Self::Net6x64,
        Self::Net6x56,
        Self::Net6x48,
        Self::Port4,
        Self::Port4x24,
        Self::Port6,
        Self::Port6x64,
        Self::Port6x56,
        Self::Port6x48,
        Self::Any4,
        Self::Any6,
    ];
    /// The allow lists.
    pub const ALLOW: [Self; 2] = [Self::Allow4, Self::Allow6];

    fn traits(self) -> Traits {
        let (name, family, prefix_len, service) = match self {
            Self::Host4 => ("host4", Family::V4, Some(32), false),
            Self::Host6 => ("host6", Family::V6, Some(128), false),
            Self::Net4x24 => ("net4_24", Family::V4, Some(24), false),
            Self::Net6x64 => ("net6_64", Family::V6, Some(64), false),
            Self::Net6x56 => ("net6_56", Family::V6, Some(56), false),
            Self::Net6x48 => ("net6_48", Family::V6, Some(48), false),
            Self::Port4 => ("port4", Family::V4, Some(32), true),
            Self::Port4x24 => ("port4_24", Family::V4, Some(24), true),
            Self::Port6 => ("port6", Family::V6, Some(128), true),
            Self::Port6x64 => ("port6_64", Family::V6, Some(64), true),
            Self::Port6x56 => ("port6_56", Family::V6, Some(56), true),
            Self::Port6x48 => ("port6_48", Family::V6, Some(48), true),
            Self::Any4 => ("net4_any", Family::V4, None, false),
            Self::Any6 => ("net6_any", Family::V6, None, false),
            Self::Allow4 => ("allow4", Family::V4, None, false),
            Self::Allow6 => ("allow6", Family::V6, None, false),
        };
        Traits { name, family, prefix_len, service }
    }

    /// The set's name in the kernel.
    pub fn name(self) -> &'static str {
        self.traits().name
    }

    /// The set with this name.
    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::BANS.into_iter().chain(Self::ALLOW).find(|set| set.name() == name)
    }

    /// The set of bans that holds `target`, if one can.
    pub(crate) fn for_ban(target: Target) -> Option<Self> {
        let family = match target.prefix {
            IpNet::V4(_) => Family::V4,
            IpNet::V6(_) => Family::V6,
        };
        let length = target.prefix.prefix_len();
        let holds = |set: &Self| {
            let Traits { family: of, prefix_len, service, .. } = set.traits();
            of == family && service == target.service.is_some() && prefix_len.is_none_or(|len| len == length)
        };
        Self::BANS.into_iter().find(holds).filter(|_| length > 0)
    }

    pub(crate) fn family(self) -> Family {
        self.traits().family
    }

    /// The length of every prefix in a set of bans, in bits; `None` where lengths differ.
    pub(crate) fn prefix_len(self) -> Option<u8> {
        self.traits().prefix_len
    }

    /// Whether the set holds networks that are looked up with a masked address.
    pub(crate) fn is_masked(self) -> bool {
        self.prefix_len().is_some_and(|length| length < 8 * self.family().address_len())
    }

    /// Whether the set's elements name a service beside the prefix.
    pub(crate) fn has_service(self) -> bool {
        self.traits().service
    }

    /// Whether the set holds intervals: they may not overlap.
    pub fn is_interval(self) -> bool {
        self.prefix_len().is_none()
    }

    /// Whether the set holds bans.
    pub(crate) fn is_ban(self) -> bool {
        !Self::ALLOW.contains(&self)
    }

    /// Whether the set exists only while it is used.
    pub(crate) fn is_passing(self) -> bool {
        self.is_ban() && ![Self::Host4, Self::Host6].contains(&self)
    }

    /// The length of its keys, in bytes: each part of a key fills up 4 of them.
    pub(crate) fn key_len(self) -> u8 {
        self.family().address_len() + if self.has_service() { 8 } else { 0 }
    }
}

impl Family {
    /// Length of an address in bytes.
    pub(crate) fn address_len(self) -> u8 {
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

    fn of(prefix: &str, service: Option<&str>) -> Option<Set> {
        let service = service.map(|service| service.parse().unwrap());
        Set::for_ban(Target { prefix: prefix.parse().unwrap(), service })
    }

    #[test]
    fn a_target_belongs_to_the_set_of_its_kind_and_length() {
        assert_eq!(of("203.0.113.9/32", None), Some(Set::Host4));
        assert_eq!(of("2001:db8::1/128", None), Some(Set::Host6));
        assert_eq!(of("203.0.113.0/24", None), Some(Set::Net4x24));
        assert_eq!(of("2001:db8::/64", None), Some(Set::Net6x64));
        assert_eq!(of("2001:db8::/56", None), Some(Set::Net6x56));
        assert_eq!(of("2001:db8::/48", None), Some(Set::Net6x48));
        assert_eq!(of("203.0.112.0/23", None), Some(Set::Any4));
        assert_eq!(of("2001:db8::/32", None), Some(Set::Any6));
        assert_eq!(of("0.0.0.0/0", None), None);
        assert_eq!(of("203.0.113.9/32", Some("tcp/22")), Some(Set::Port4));
        assert_eq!(of("2001:db8::/64", Some("udp/53")), Some(Set::Port6x64));
        assert_eq!(of("203.0.112.0/23", Some("tcp/22")), None);
    }

    #[test]
    fn names_are_unique() {
        for set in Set::BANS.into_iter().chain(Set::ALLOW) {
            assert_eq!(Set::named(set.name()), Some(set));
        }
        assert_eq!(Set::named("host5"), None);
    }
}
