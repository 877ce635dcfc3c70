//! The machine's own addresses, which are never banned.

use std::net::IpAddr;

use nix::ifaddrs::getifaddrs;
use nix::sys::socket::SockaddrStorage;

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_is_ours() {
        assert!(addresses().iter().any(IpAddr::is_loopback));
    }
}
