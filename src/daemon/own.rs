//! The machine's own addresses and the neighbours that it depends on, which are never banned.

use std::net::IpAddr;

use nix::ifaddrs::getifaddrs;
use nix::sys::socket::SockaddrStorage;

use crate::config::choices::Neighbour;

/// Where the resolvers stand.
const RESOLVERS: [&str; 2] = ["/etc/resolv.conf", "/run/systemd/resolve/resolv.conf"];

/// Every address of every interface (getifaddrs(3)); empty, with a warning, if the system will not say.
pub(super) fn addresses() -> Vec<IpAddr> {
    match getifaddrs() {
        Ok(interfaces) => interfaces.filter_map(|interface| ip(&interface.address?)).collect(),
        Err(errno) => {
            tracing::warn!(
                "cannot list this machine's own addresses ({errno}): only `ignoreip` protects them from a ban"
            );
            Vec::new()
        }
    }
}

fn ip(address: &SockaddrStorage) -> Option<IpAddr> {
    let v4 = address.as_sockaddr_in().map(|v4| IpAddr::V4(v4.ip()));
    v4.or_else(|| address.as_sockaddr_in6().map(|v6| IpAddr::V6(v6.ip())))
}

/// Gateways and resolvers, as far as `protect` names them. A drop before conntrack also eats the answers to what this
/// machine asks, so that one forged log line could cut off its DNS.
pub(super) fn neighbours(protect: &[Neighbour]) -> Vec<IpAddr> {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let mut found = Vec::new();
    if protect.contains(&Neighbour::Gateway) {
        found.extend(gateways4(&read("/proc/net/route")));
        found.extend(gateways6(&read("/proc/net/ipv6_route")));
    }
    if protect.contains(&Neighbour::Resolvers) {
        // The second is where systemd-resolved asks when the first names only itself.
        found.extend(RESOLVERS.iter().flat_map(|path| resolvers(&read(path))));
    }
    found.retain(|address| !address.is_unspecified() && !address.is_loopback());
    found.sort_unstable();
    found.dedup();
    found
}

/// The gateways of `/proc/net/route` (proc(5)): numbers in hexadecimal as the CPU stores them.
fn gateways4(routes: &str) -> Vec<IpAddr> {
    let gateway = |line: &str| {
        let number = u32::from_str_radix(line.split_whitespace().nth(2)?, 16).ok()?;
        Some(IpAddr::from(number.to_ne_bytes()))
    };
    routes.lines().skip(1).filter_map(gateway).collect()
}

/// The gateways of `/proc/net/ipv6_route` (net/ipv6/route.c, `rt6_info_route`): 32 hexadecimal digits.
fn gateways6(routes: &str) -> Vec<IpAddr> {
    let gateway = |line: &str| {
        let number = u128::from_str_radix(line.split_whitespace().nth(4)?, 16).ok()?;
        Some(IpAddr::from(number.to_be_bytes()))
    };
    routes.lines().filter_map(gateway).collect()
}

/// The name servers of a resolv.conf(5); a zone behind `%` belongs to no address.
fn resolvers(text: &str) -> Vec<IpAddr> {
    let server = |line: &str| {
        let mut words = line.split_whitespace();
        let address = words.next().filter(|key| *key == "nameserver").and_then(|_| words.next())?;
        address.split('%').next()?.parse().ok()
    };
    text.lines().filter_map(server).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_is_ours() {
        assert!(addresses().iter().any(IpAddr::is_loopback));
    }

    #[test]
    fn gateways_are_read_from_the_kernels_tables() {
        let number = u32::from_ne_bytes([192, 0, 2, 1]);
        let four = format!(
            "Iface Destination Gateway Flags\neth0 00000000 {number:08X} 0003 0 0 0 0\neth0 0 junk\n"
        );
        assert_eq!(gateways4(&four), ["192.0.2.1".parse::<IpAddr>().unwrap()]);
        let zero = "0".repeat(32);
        let six = format!("{zero} 00 {zero} 00 20010db8000000000000000000000001 00000400 0 0 3 eth0\n");
        assert_eq!(gateways6(&six), ["2001:db8::1".parse::<IpAddr>().unwrap()]);
    }

    #[test]
    fn resolvers_are_read_from_resolv_conf() {
        let text = "# c\nsearch example.org\nnameserver 192.0.2.53\nnameserver fe80::1%eth0\n nameserver 2001:db8::53\nnameserver x\n";
        let expected: Vec<IpAddr> =
            ["192.0.2.53", "fe80::1", "2001:db8::53"].map(|text| text.parse().unwrap()).into();
        assert_eq!(resolvers(text), expected);
    }
}
