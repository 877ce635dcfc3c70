//! What is counted and banned for one address: itself, or the network that one host can choose addresses from.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv6Net};

use super::allow::Allow;

/// IPv6 networks in which no part is one host's, so that only single addresses are banned: NAT64 and SIIT (RFC 6052, RFC
/// 8215), Teredo (RFC 4380), and the local link (RFC 4291, 2.5.6), where one /64 holds many.
const SHARED: [Ipv6Net; 4] = [
    Ipv6Net::new_assert(Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, 0, 0), 96),
    Ipv6Net::new_assert(Ipv6Addr::new(0x64, 0xff9b, 1, 0, 0, 0, 0, 0), 48),
    Ipv6Net::new_assert(Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 32),
    Ipv6Net::new_assert(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0), 10),
];
/// The shortest prefix of an IPv4 network that is banned because a log names it.
const WIDEST_IPV4: u8 = 16;
/// That of an IPv6 network: what a provider has.
const WIDEST_IPV6: u8 = 32;

/// Addresses that never name one remote host: a ban of them would harm this machine's own traffic.
#[must_use]
pub fn unbannable(address: IpAddr) -> bool {
    let of_this_machine = address.is_loopback() || address.is_unspecified() || address.is_multicast();
    of_this_machine || address == IpAddr::V4(Ipv4Addr::BROADCAST)
}

/// What is banned for what a log has of an offender, an address or a network with the address in it, when IPv6 counts by
/// `ipv6_prefix` bits: a network is counted whole, unless it is wider than anybody who fails a login has (16 bits of IPv4,
/// 32 of IPv6), since whoever writes the log may have chosen its length.
///
/// A network that holds an address of `spared` is never banned whole, nor one that holds an address of no single host, nor
/// the local link (`fe80::/64`): the routers of this machine live there.
#[must_use]
pub fn banned_as(logged: IpNet, ipv6_prefix: u8, spared: &[&Allow]) -> IpNet {
    let address = logged.addr();
    let (by_host, widest) = if address.is_ipv4() { (32, WIDEST_IPV4) } else { (ipv6_prefix, WIDEST_IPV6) };
    let named = Some(logged.prefix_len().min(by_host)).filter(|length| *length >= widest);
    let networks = named.into_iter().chain([by_host]).filter_map(|length| IpNet::new(address, length).ok());
    let mut whole =
        networks.map(|network| network.trunc()).filter(|network| is_one_offender(network, spared));
    whole.next().unwrap_or_else(|| IpNet::from(address))
}

fn is_one_offender(network: &IpNet, spared: &[&Allow]) -> bool {
    let touches = |other: &IpNet| network.contains(other) || other.contains(network);
    let is_single = network.prefix_len() == network.max_prefix_len();
    let names_nobody = unbannable(network.network()) || unbannable(network.broadcast());
    is_single
        || !names_nobody
            && !SHARED.iter().any(|shared| touches(&IpNet::V6(*shared)))
            && spared.iter().all(|allow| allow.overlapping(network).is_none())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn banned(logged: &str) -> String {
        let logged = crate::jail::written(logged).unwrap();
        let own = Allow::new(["2001:db8:1::1/128".parse().unwrap(), "198.51.100.7/32".parse().unwrap()]);
        banned_as(logged, 64, &[&own]).to_string()
    }

    #[test]
    fn networks_of_one_host_are_banned_and_no_others() {
        assert_eq!(banned("203.0.113.9"), "203.0.113.9/32");
        assert_eq!(banned("2001:db8:2::9"), "2001:db8:2::/64");
        for single in ["2001:db8:1::66", "fe80::66", "64:ff9b::cb00:7109", "64:ff9b:1::9", "2001:0:1:2::9"] {
            assert!(banned(single).ends_with("/128"), "{single}");
        }
    }

    #[test]
    fn networks_that_a_log_names_are_banned_whole_within_bounds() {
        for (logged, whole) in [
            ("203.0.113.9/24", "203.0.113.0/24"),
            ("203.0.113.9/16", "203.0.0.0/16"),
            ("2001:db8:2::9/48", "2001:db8:2::/48"),
            ("2001:db9::9/32", "2001:db9::/32"),
            ("2001:db8:2::9/96", "2001:db8:2::/64"),
        ] {
            assert_eq!(banned(logged), whole);
        }
        for (logged, instead) in [
            ("203.0.113.9/15", "203.0.113.9/32"),
            ("203.0.113.9/0", "203.0.113.9/32"),
            ("2001:db9::9/31", "2001:db9::/64"),
            ("2001:db9::9/0", "2001:db9::/64"),
            ("198.51.100.9/24", "198.51.100.9/32"),
            ("2001:db8:1:2::9/48", "2001:db8:1:2::/64"),
            ("2001:db8:1::9/48", "2001:db8:1::9/128"),
            ("0.0.9.9/16", "0.0.9.9/32"),
            ("255.255.9.9/16", "255.255.9.9/32"),
            ("0:0:9::9/32", "0:0:9::/64"),
            ("64:ff9b:2::9/32", "64:ff9b:2::/64"),
            ("64:ff9b::cb00:7109/120", "64:ff9b::cb00:7109/128"),
            ("2001:0:1:2::9/48", "2001:0:1:2::9/128"),
            ("fe80::9/32", "fe80::9/128"),
        ] {
            assert_eq!(banned(logged), instead, "{logged}");
        }
    }

    #[test]
    fn this_machine_is_never_a_host() {
        for address in
            ["127.0.0.1", "127.0.0.53", "::1", "0.0.0.0", "::", "255.255.255.255", "224.0.0.1", "ff02::1"]
        {
            assert!(unbannable(address.parse().unwrap()), "{address}");
        }
        assert!(!unbannable("203.0.113.9".parse().unwrap()));
    }
}
