//! What is counted and banned for one address: itself, or the network that one host can choose addresses from.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv6Net};

use super::allow::Allow;

/// IPv6 networks in which one /64 holds many hosts, so that only single addresses are banned: NAT64 and SIIT
/// (RFC 6052, RFC 8215), Teredo (RFC 4380).
const SHARED: [(Ipv6Addr, u8); 3] = [
    (Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, 0, 0), 96),
    (Ipv6Addr::new(0x64, 0xff9b, 1, 0, 0, 0, 0, 0), 48),
    (Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 32),
];

/// An IPv4 address that came as IPv6 (`::ffff:192.0.2.1`, RFC 4291 2.5.5.2) is that IPv4 address.
#[must_use]
pub fn folded(address: IpAddr) -> IpAddr {
    address.to_canonical()
}

/// Addresses that never name one remote host: a ban of them would harm this machine's own traffic.
#[must_use]
pub fn unbannable(address: IpAddr) -> bool {
    let of_this_machine = address.is_loopback() || address.is_unspecified() || address.is_multicast();
    of_this_machine || address == IpAddr::V4(Ipv4Addr::BROADCAST)
}

/// What is banned for `address` when IPv6 counts by `ipv6_prefix` bits.
///
/// A network that holds an address of `spared` is never banned whole, nor is the local link (`fe80::/64`): the
/// routers of this machine live there.
#[must_use]
pub fn banned_as(address: IpAddr, ipv6_prefix: u8, spared: &[&Allow]) -> IpNet {
    let single = IpNet::from(address);
    let IpAddr::V6(v6) = address else { return single };
    let Ok(network) = Ipv6Net::new(v6, ipv6_prefix) else { return single };
    let network = IpNet::V6(network.trunc());
    let touches_ours = spared.iter().any(|allow| allow.overlapping(&network).is_some());
    if v6.is_unicast_link_local() || is_shared(v6) || touches_ours { single } else { network }
}

fn is_shared(address: Ipv6Addr) -> bool {
    SHARED
        .iter()
        .any(|&(network, length)| Ipv6Net::new(network, length).is_ok_and(|net| net.contains(&address)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn banned(address: &str) -> String {
        let own = Allow::new(["2001:db8:1::1/128".parse().unwrap()]);
        banned_as(address.parse().unwrap(), 64, &[&own]).to_string()
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
    fn this_machine_is_never_a_host() {
        for address in
            ["127.0.0.1", "127.0.0.53", "::1", "0.0.0.0", "::", "255.255.255.255", "224.0.0.1", "ff02::1"]
        {
            assert!(unbannable(address.parse().unwrap()), "{address}");
        }
        assert!(!unbannable("203.0.113.9".parse().unwrap()));
    }
}
