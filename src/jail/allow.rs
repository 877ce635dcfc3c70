//! Who is never banned: a set of prefixes, asked once for every failure.

use std::net::IpAddr;

use ipnet::IpNet;

/// Disjoint prefixes in ascending order, so that one binary search answers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Allow {
    prefixes: Vec<IpNet>,
}

impl Allow {
    /// Any prefixes: nested, adjacent and doubled ones are merged.
    #[must_use]
    pub fn new(prefixes: impl IntoIterator<Item = IpNet>) -> Self {
        let given: Vec<IpNet> = prefixes.into_iter().map(|prefix| prefix.trunc()).collect();
        let mut merged = IpNet::aggregate(&given);
        merged.sort_unstable_by_key(IpNet::network);
        Self { prefixes: merged }
    }

    /// The merged prefixes, ascending.
    #[must_use]
    pub fn prefixes(&self) -> &[IpNet] {
        &self.prefixes
    }

    /// The entry that covers `address`, if there is one.
    #[must_use]
    pub fn covering(&self, address: IpAddr) -> Option<&IpNet> {
        let behind = self.prefixes.partition_point(|prefix| prefix.network() <= address);
        self.prefixes.get(behind.checked_sub(1)?).filter(|prefix| prefix.contains(&address))
    }

    /// Whether every address of `prefix` is covered.
    #[must_use]
    pub fn covers(&self, prefix: &IpNet) -> bool {
        self.covering(prefix.network()).is_some_and(|entry| entry.contains(prefix))
    }

    /// An entry that shares an address with `prefix`, if there is one.
    #[must_use]
    pub fn overlapping(&self, prefix: &IpNet) -> Option<&IpNet> {
        self.covering(prefix.network()).or_else(|| {
            let behind = self.prefixes.partition_point(|entry| entry.network() < prefix.network());
            self.prefixes.get(behind).filter(|entry| prefix.contains(&entry.network()))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::net::Ipv4Addr;

    fn nets(texts: &[&str]) -> Vec<IpNet> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn nested_and_adjacent_entries_are_merged() {
        let allow =
            Allow::new(nets(&["10.0.0.0/8", "10.1.0.0/16", "192.0.2.0/25", "192.0.2.128/25", "::1/128"]));
        assert_eq!(allow.prefixes(), nets(&["10.0.0.0/8", "192.0.2.0/24", "::1/128"]));
    }

    #[test]
    fn a_prefix_is_covered_when_all_of_it_is() {
        let allow = Allow::new(nets(&["2001:db8::/48", "192.0.2.7/32"]));
        assert!(allow.covers(&"2001:db8:0:1::/64".parse().unwrap()));
        assert!(allow.covers(&"192.0.2.7/32".parse().unwrap()));
        assert!(!allow.covers(&"192.0.2.0/24".parse().unwrap()));
    }

    #[test]
    fn overlap_is_seen_from_both_sides() {
        let allow = Allow::new(nets(&["2001:db8::7/128", "198.51.100.0/24"]));
        assert!(allow.overlapping(&"2001:db8::/64".parse().unwrap()).is_some());
        assert!(allow.overlapping(&"198.51.100.9/32".parse().unwrap()).is_some());
        assert!(allow.overlapping(&"2001:db8:0:1::/64".parse().unwrap()).is_none());
        assert!(allow.overlapping(&"198.51.101.0/24".parse().unwrap()).is_none());
    }

    proptest! {
        #[test]
        fn the_search_agrees_with_asking_every_entry(
            entries in proptest::collection::vec((any::<u32>(), 4u8..=32), 0..20),
            address in any::<u32>(),
        ) {
            let nets: Vec<IpNet> = entries
                .iter()
                .map(|&(bits, len)| IpNet::new(IpAddr::V4(Ipv4Addr::from(bits)), len).unwrap().trunc())
                .collect();
            let address = IpAddr::V4(Ipv4Addr::from(address));
            let allow = Allow::new(nets.clone());
            prop_assert_eq!(allow.covering(address).is_some(), nets.iter().any(|net| net.contains(&address)));
            for net in &nets {
                prop_assert!(allow.covering(net.network()).is_some());
                prop_assert!(allow.overlapping(net).is_some());
            }
        }
    }
}
