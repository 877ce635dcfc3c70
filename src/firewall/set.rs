//! The sets of table `inet kban`, and which of them holds a target.
//!
//! Single addresses and networks of the usual lengths are in hash sets, where a lookup and a change cost the
//! same whatever the size; a network's hash set is looked up with a masked source address. Networks of other lengths,
//! which are few, and the allow lists, which are short, are in interval sets.
//!
//! Bans that the offender's own packets renew are in hash sets of the same kinds, one for each length of ban: the rule that
//! renews an element says how long it lives then, and knows nothing of what the element was added with.

use std::fmt;

use ipnet::IpNet;

use super::Target;
use crate::tier::Tier;

/// One of the table's sets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Set {
    /// The packets of those in it renew their elements for so long.
    tier: Option<Tier>,
    kind: Kind,
}

/// What a set holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Kind {
    /// Banned IPv4 addresses.
    Host4,
    /// Banned IPv6 addresses.
    Host6,
    /// Banned IPv4 networks of 24 bits.
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
    /// IPv4 networks of any other length that are banned from one port each.
    PortAny4,
    /// IPv6 networks of any other length that are banned from one port each.
    PortAny6,
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

/// What distinguishes one kind from another.
struct Traits {
    name: &'static str,
    /// How the names of such sets begin whose elements are renewed; `None`: there are none.
    renewed: Option<&'static str>,
    family: Family,
    /// The length of every prefix, in bits; `None` where lengths differ.
    prefix_len: Option<u8>,
    /// Its elements name a service beside the prefix.
    service: bool,
}

impl Kind {
    /// In the order of their rules.
    const BANS: [Self; 16] = [
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
        Self::PortAny4,
        Self::PortAny6,
    ];

    fn traits(self) -> Traits {
        let (name, renewed, family, prefix_len, service) = match self {
            Self::Host4 => ("host4", Some("renew4"), Family::V4, Some(32), false),
            Self::Host6 => ("host6", Some("renew6"), Family::V6, Some(128), false),
            Self::Net4x24 => ("net4_24", Some("renew4_24"), Family::V4, Some(24), false),
            Self::Net6x64 => ("net6_64", Some("renew6_64"), Family::V6, Some(64), false),
            Self::Net6x56 => ("net6_56", Some("renew6_56"), Family::V6, Some(56), false),
            Self::Net6x48 => ("net6_48", Some("renew6_48"), Family::V6, Some(48), false),
            Self::Port4 => ("port4", Some("renew_port4"), Family::V4, Some(32), true),
            Self::Port4x24 => ("port4_24", Some("renew_port4_24"), Family::V4, Some(24), true),
            Self::Port6 => ("port6", Some("renew_port6"), Family::V6, Some(128), true),
            Self::Port6x64 => ("port6_64", Some("renew_port6_64"), Family::V6, Some(64), true),
            Self::Port6x56 => ("port6_56", Some("renew_port6_56"), Family::V6, Some(56), true),
            Self::Port6x48 => ("port6_48", Some("renew_port6_48"), Family::V6, Some(48), true),
            Self::Any4 => ("net4_any", None, Family::V4, None, false),
            Self::Any6 => ("net6_any", None, Family::V6, None, false),
            Self::PortAny4 => ("port4_any", None, Family::V4, None, true),
            Self::PortAny6 => ("port6_any", None, Family::V6, None, true),
            Self::Allow4 => ("allow4", None, Family::V4, None, false),
            Self::Allow6 => ("allow6", None, Family::V6, None, false),
        };
        Traits { name, renewed, family, prefix_len, service }
    }
}

impl Set {
    /// Banned IPv4 addresses.
    pub const HOST4: Self = Self { tier: None, kind: Kind::Host4 };
    /// Banned IPv6 addresses.
    pub const HOST6: Self = Self { tier: None, kind: Kind::Host6 };
    /// Those of banned networks of unusual lengths: of IPv4 and IPv6, from everything and from one port each.
    pub const RANGES: [Self; 4] = [
        Self { tier: None, kind: Kind::Any4 },
        Self { tier: None, kind: Kind::Any6 },
        Self { tier: None, kind: Kind::PortAny4 },
        Self { tier: None, kind: Kind::PortAny6 },
    ];
    /// IPv4 networks that are never dropped.
    pub const ALLOW4: Self = Self { tier: None, kind: Kind::Allow4 };
    /// IPv6 networks that are never dropped.
    pub const ALLOW6: Self = Self { tier: None, kind: Kind::Allow6 };
    /// The allow lists.
    pub const ALLOW: [Self; 2] = [Self::ALLOW4, Self::ALLOW6];

    /// The sets of bans whose ends are fixed, in the order of their rules.
    pub(crate) fn fixed() -> impl Iterator<Item = Self> {
        Kind::BANS.into_iter().map(|kind| Self { tier: None, kind })
    }

    /// The set's name in the kernel.
    pub fn name(self) -> String {
        let Traits { name, renewed, .. } = self.kind.traits();
        match (self.tier, renewed) {
            (Some(tier), Some(renewed)) => format!("{renewed}_{tier}"),
            _ => name.to_owned(),
        }
    }

    /// The set with this name.
    pub(crate) fn named(name: &str) -> Option<Self> {
        let fixed = Self::fixed().chain(Self::ALLOW).find(|set| set.kind.traits().name == name);
        fixed.or_else(|| {
            let (renewed, tier) = name.rsplit_once('_')?;
            let kind = Kind::BANS.into_iter().find(|kind| kind.traits().renewed == Some(renewed))?;
            let set = Self { tier: Some(tier.parse().ok()?), kind };
            // Numbers can be written in more than one way.
            (set.name() == name).then_some(set)
        })
    }

    /// The set of bans that holds `target`, if one can.
    pub(crate) fn for_ban(target: Target) -> Option<Self> {
        let family = match target.prefix {
            IpNet::V4(_) => Family::V4,
            IpNet::V6(_) => Family::V6,
        };
        let length = target.prefix.prefix_len();
        let holds = |kind: &Kind| {
            let Traits { family: of, prefix_len, service, renewed, .. } = kind.traits();
            of == family
                && service == target.service.is_some()
                && prefix_len.is_none_or(|len| len == length)
                && (target.renew.is_none() || renewed.is_some())
        };
        let kind = Kind::BANS.into_iter().find(holds).filter(|_| length > 0)?;
        Some(Self { tier: target.renew, kind })
    }

    /// How long an element lives after each packet of those in it; `None`: packets change nothing.
    pub(crate) fn tier(self) -> Option<Tier> {
        self.tier
    }

    pub(crate) fn family(self) -> Family {
        self.kind.traits().family
    }

    /// The length of every prefix in a set of bans, in bits; `None` where lengths differ.
    pub(crate) fn prefix_len(self) -> Option<u8> {
        self.kind.traits().prefix_len
    }

    /// Whether the set holds networks that are looked up with a masked address.
    pub(crate) fn is_masked(self) -> bool {
        self.prefix_len().is_some_and(|length| length < 8 * self.family().address_len())
    }

    /// Whether the set's elements name a service beside the prefix.
    pub(crate) fn has_service(self) -> bool {
        self.kind.traits().service
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
        self.is_ban() && ![Self::HOST4, Self::HOST6].contains(&self)
    }

    /// Whether its elements may count packets: what no packet renews, by single addresses and the usual networks.
    pub(crate) fn can_count(self) -> bool {
        self.is_ban() && !self.is_interval() && self.tier.is_none()
    }

    /// The length of its keys, in bytes: each part of a key fills up 4 of them.
    pub(crate) fn key_len(self) -> u8 {
        self.family().address_len() + if self.has_service() { 8 } else { 0 }
    }

    /// The lengths of the parts of its keys in bytes, if each of its elements is an interval of keys of several parts.
    pub(crate) fn interval_parts(self) -> Option<[u8; 3]> {
        (self.is_interval() && self.has_service()).then(|| [self.family().address_len(), 1, 2])
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
        f.write_str(&self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(prefix: &str, service: Option<&str>, tier: Option<&str>) -> Option<String> {
        let service = service.map(|service| service.parse().unwrap());
        let renew = tier.map(|tier| tier.parse().unwrap());
        Set::for_ban(Target { prefix: prefix.parse().unwrap(), service, renew }).map(Set::name)
    }

    #[test]
    fn a_target_belongs_to_the_set_of_its_kind_and_length() {
        for (prefix, service, fixed, renewed) in [
            ("203.0.113.9/32", None, Some("host4"), Some("renew4_3600")),
            ("2001:db8::1/128", None, Some("host6"), Some("renew6_3600")),
            ("203.0.113.0/24", None, Some("net4_24"), Some("renew4_24_3600")),
            ("2001:db8::/64", None, Some("net6_64"), Some("renew6_64_3600")),
            ("2001:db8::/56", None, Some("net6_56"), Some("renew6_56_3600")),
            ("2001:db8::/48", None, Some("net6_48"), Some("renew6_48_3600")),
            ("203.0.112.0/23", None, Some("net4_any"), None),
            ("2001:db8::/32", None, Some("net6_any"), None),
            ("0.0.0.0/0", None, None, None),
            ("203.0.113.9/32", Some("tcp/22"), Some("port4"), Some("renew_port4_3600")),
            ("2001:db8::/64", Some("udp/53"), Some("port6_64"), Some("renew_port6_64_3600")),
            ("203.0.112.0/23", Some("tcp/22"), Some("port4_any"), None),
            ("2001:db8::/32", Some("udp/53"), Some("port6_any"), None),
            ("::/0", Some("tcp/22"), None, None),
        ] {
            assert_eq!(name(prefix, service, None).as_deref(), fixed, "{prefix}");
            assert_eq!(name(prefix, service, Some("3600")).as_deref(), renewed, "{prefix}");
        }
    }

    #[test]
    fn names_are_unique() {
        let renewed = ["1", "24", "64", "3600"]
            .into_iter()
            .flat_map(|tier| Kind::BANS.into_iter().map(move |kind| Set { tier: tier.parse().ok(), kind }));
        let renewed = renewed.filter(|set| set.kind.traits().renewed.is_some());
        for set in Set::fixed().chain(Set::ALLOW).chain(renewed) {
            assert_eq!(Set::named(&set.name()), Some(set));
        }
        for name in ["host5", "renew4", "renew4_0", "renew4_07", "renew4_+7", "net4_any_7", "renew4_64_x"] {
            assert_eq!(Set::named(name), None, "{name}");
        }
    }
}
