//! What becomes of packets.

use std::io::ErrorKind;
use std::net::UdpSocket;

use super::*;
use crate::firewall::netlink::socket::Socket;
use crate::namespace::{in_namespace, run_program};

/// Sends a packet over the loopback interface and says whether it arrives. What is sent there is
/// received or dropped before sending returns.
pub(super) fn arrives(from: &str, to: &str) -> bool {
    let receiver = UdpSocket::bind((to, 0)).unwrap();
    receiver.set_nonblocking(true).unwrap();
    let sender = UdpSocket::bind((from, 0)).unwrap();
    sender.send_to(b"knock", receiver.local_addr().unwrap()).unwrap();
    match receiver.recv(&mut [0; 16]) {
        Ok(_) => true,
        Err(error) if error.kind() == ErrorKind::WouldBlock => false,
        Err(error) => panic!("{error}"),
    }
}

pub(super) fn loopback() {
    run_program("ip", &["link", "set", "lo", "up"]);
    run_program("ip", &["-6", "address", "add", "2001:db8:1:2::5/128", "dev", "lo", "nodad"]);
}

#[test]
fn packets_of_the_banned_are_dropped_and_counted() {
    in_namespace("firewall::tests::packets::packets_of_the_banned_are_dropped_and_counted", || {
        loopback();
        let mut firewall = ready();
        assert!(arrives("127.0.0.2", "127.0.0.1") && arrives("2001:db8:1:2::5", "::1"));
        apply(&mut firewall, &[ban("127.0.0.2", HOUR)]);
        assert!(!arrives("127.0.0.2", "127.0.0.1"));
        assert!(arrives("127.0.0.3", "127.0.0.1") && arrives("2001:db8:1:2::5", "::1"));
        let once = firewall.dropped().unwrap();
        assert_eq!((once.packets, once.bytes), (1, 20 + 8 + 5));
        // Rules that come into use take the count along; so does a table that is made anew.
        apply(&mut firewall, &[ban("2001:db8:1:2::/64", HOUR)]);
        assert_eq!(firewall.dropped().unwrap(), once);
        assert!(!arrives("2001:db8:1:2::5", "::1"));
        assert!(arrives("::1", "::1"));
        let twice = firewall.dropped().unwrap();
        assert_eq!((twice.packets, twice.bytes), (2, once.bytes + 40 + 8 + 5));
        firewall.set_up(&[]).unwrap();
        Firewall::open(Options::sized(100)).unwrap().set_up(&[]).unwrap();
        assert_eq!(firewall.dropped().unwrap(), twice);
        apply(&mut firewall, &[lift("127.0.0.2"), lift("2001:db8:1:2::/64")]);
        assert!(arrives("127.0.0.2", "127.0.0.1") && arrives("2001:db8:1:2::5", "::1"));
    });
}

#[test]
fn a_ban_ends_by_itself() {
    in_namespace("firewall::tests::packets::a_ban_ends_by_itself", || {
        loopback();
        let mut firewall = ready();
        apply(&mut firewall, &[ban("127.0.0.2", Duration::from_secs(1))]);
        let arrived = arrives("127.0.0.2", "127.0.0.1");
        assert!(!arrived || firewall.contains(net("127.0.0.2").into()).unwrap().is_none());
        while firewall.contains(net("127.0.0.2").into()).unwrap().is_some() {
            std::thread::yield_now();
        }
        assert!(arrives("127.0.0.2", "127.0.0.1"));
    });
}

#[test]
fn networks_are_matched_by_their_length() {
    in_namespace("firewall::tests::packets::networks_are_matched_by_their_length", || {
        loopback();
        let mut firewall = ready();
        for (prefix, hit) in [
            ("2001:db8:1:2::/64", true),
            ("2001:db8:1:3::/64", false),
            ("2001:db8:1::/56", true),
            ("2001:db8:1:100::/56", false),
            ("2001:db8:1::/48", true),
            ("2001:db8:2::/48", false),
            ("2001:db8:1:2::5/128", true),
            ("2001:db8:1:2::6/128", false),
        ] {
            apply(&mut firewall, &[ban(prefix, HOUR)]);
            assert_eq!(arrives("2001:db8:1:2::5", "::1"), !hit, "{prefix}");
            apply(&mut firewall, &[lift(prefix)]);
        }
    });
}

#[test]
fn the_allowed_are_never_dropped() {
    in_namespace("firewall::tests::packets::the_allowed_are_never_dropped", || {
        loopback();
        let mut firewall = Firewall::open(Options::sized(65_536)).unwrap();
        firewall.set_up(&nets(&["127.0.0.2/31", "2001:db8:1::/48"])).unwrap();
        apply(
            &mut firewall,
            &[ban("127.0.0.2", HOUR), ban("127.0.0.4", HOUR), ban("2001:db8:1:2::/64", HOUR)],
        );
        assert!(arrives("127.0.0.2", "127.0.0.1") && arrives("2001:db8:1:2::5", "::1"));
        assert!(!arrives("127.0.0.4", "127.0.0.1"));
        firewall.set_allow(&nets(&["127.0.0.4"])).unwrap();
        assert!(!arrives("127.0.0.2", "127.0.0.1") && !arrives("2001:db8:1:2::5", "::1"));
        assert!(arrives("127.0.0.4", "127.0.0.1"));
        assert_eq!(firewall.dropped().unwrap().packets, 3);
    });
}

#[test]
fn nobody_but_the_kernel_can_answer() {
    in_namespace("firewall::tests::packets::nobody_but_the_kernel_can_answer", || {
        use neli::consts::socket::{Msg, NlFamily};
        use neli::socket::NlSocket;
        use neli::utils::Groups;
        use nix::sys::socket::{NetlinkAddr, connect};
        use std::os::fd::AsRawFd;

        let ours = Socket::open().unwrap();
        let forger = NlSocket::connect(NlFamily::Netfilter, None, Groups::empty()).unwrap();
        connect(forger.as_raw_fd(), &NetlinkAddr::new(ours.port(), 0)).unwrap();
        let refused = forger.send([0_u8; 36], Msg::empty()).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
    });
}
