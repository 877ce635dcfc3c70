//! Ports, networks, verdicts, logs and interfaces: what the administrator can choose, by what becomes of packets.

use std::io::ErrorKind;
use std::net::{TcpListener, TcpStream, UdpSocket};

use super::*;
use crate::namespace::{in_namespace, run_program};

fn loopback() {
    run_program("ip", &["link", "set", "lo", "up"]);
}

fn on(prefix: &str, service: &str) -> Change {
    let target = Target { service: Some(service.parse().unwrap()), ..net(prefix).into() };
    Change::Ban { target, left: Some(HOUR) }
}

fn with(options: Options) -> Firewall {
    let mut firewall = Firewall::open(options).unwrap();
    firewall.set_up(&[]).unwrap();
    firewall
}

/// Whether a datagram to `port` arrives.
pub(super) fn arrives(from: &str, port: u16) -> bool {
    let receiver = UdpSocket::bind(("127.0.0.1", port)).unwrap();
    receiver.set_nonblocking(true).unwrap();
    let sender = UdpSocket::bind((from, 0)).unwrap();
    sender.send_to(b"knock", ("127.0.0.1", port)).unwrap();
    match receiver.recv(&mut [0; 16]) {
        Ok(_) => true,
        Err(error) if error.kind() == ErrorKind::WouldBlock => false,
        Err(error) => panic!("{error}"),
    }
}

#[test]
fn one_port_is_closed_and_the_others_are_not() {
    in_namespace("firewall::tests::choices::one_port_is_closed_and_the_others_are_not", || {
        loopback();
        let mut firewall = ready();
        apply(
            &mut firewall,
            &[on("127.0.0.2", "udp/5300"), on("127.0.3.0/24", "udp/5301"), on("2001:db8::/64", "tcp/22")],
        );
        assert!(!arrives("127.0.0.2", 5300) && arrives("127.0.0.2", 5301) && arrives("127.0.0.3", 5300));
        assert!(!arrives("127.0.3.9", 5301) && arrives("127.0.3.9", 5300) && arrives("127.0.4.9", 5301));
        assert_eq!(firewall.dropped().unwrap().packets, 2);
        let both = Target { service: Some("udp/5300".parse().unwrap()), ..net("127.0.0.2").into() };
        assert_left(firewall.contains(both).unwrap(), HOUR);
        assert_eq!(firewall.contains(net("127.0.0.2").into()).unwrap(), None);
        // All ports and one port are two elements: lifting one leaves the other.
        apply(&mut firewall, &[ban("127.0.0.2", HOUR)]);
        assert!(!arrives("127.0.0.2", 5301));
        apply(&mut firewall, &[lift("127.0.0.2")]);
        assert!(!arrives("127.0.0.2", 5300) && arrives("127.0.0.2", 5301));
        let mut adopted = Firewall::open(Options::sized(65_536)).unwrap().set_up(&[]).unwrap();
        adopted.sort_by_key(|element| element.target);
        let targets: Vec<String> = adopted.iter().map(|element| element.target.to_string()).collect();
        assert_eq!(
            targets,
            ["127.0.0.2/32 on udp/5300", "127.0.3.0/24 on udp/5301", "2001:db8::/64 on tcp/22"]
        );
        insta::assert_snapshot!(without_times(&nft("list table inet kban")));
        let lifts: Vec<Change> =
            targets_of(&adopted).into_iter().map(|target| Change::Lift { target }).collect();
        apply(&mut firewall, &lifts);
        firewall.tidy().unwrap();
        assert!(!nft("list table inet kban").contains("set port"), "unused sets go");
    });
}

fn targets_of(elements: &[Element]) -> Vec<Target> {
    elements.iter().map(|element| element.target).collect()
}

pub(super) fn without_times(listing: &str) -> String {
    let mut words = listing.split(' ');
    let mut kept = Vec::new();
    while let Some(word) = words.next() {
        if word == "expires" {
            let left = words.next().unwrap_or_default();
            kept.extend(left.find(['\n', ',']).map(|at| &left[at..]));
        } else {
            kept.push(word);
        }
    }
    kept.join(" ")
}

#[test]
fn networks_of_24_bits_have_a_hash_set() {
    in_namespace("firewall::tests::choices::networks_of_24_bits_have_a_hash_set", || {
        loopback();
        let mut firewall = ready();
        apply(&mut firewall, &[ban("127.0.3.0/24", HOUR)]);
        assert!(!arrives("127.0.3.1", 5300) && !arrives("127.0.3.255", 5300) && arrives("127.0.4.0", 5300));
        assert_eq!(shown("net4_24").len(), 1);
    });
}

#[test]
fn whoever_is_rejected_hears_it() {
    in_namespace("firewall::tests::choices::whoever_is_rejected_hears_it", || {
        loopback();
        let mut firewall = with(Options { reply: Reply::Reject, ..Options::sized(1000) });
        // The answer comes from another address than the offender's.
        run_program("ip", &["address", "add", "192.0.2.1/32", "dev", "lo"]);
        run_program(
            "ip",
            &["route", "replace", "local", "192.0.2.7", "dev", "lo", "src", "192.0.2.1", "table", "local"],
        );
        let listener = TcpListener::bind("0.0.0.0:0").unwrap();
        let address = (std::net::Ipv4Addr::new(192, 0, 2, 7), listener.local_addr().unwrap().port()).into();
        TcpStream::connect(address).unwrap();
        apply(&mut firewall, &[ban("192.0.2.1", HOUR)]);
        let refused = TcpStream::connect_timeout(&address, Duration::from_secs(5)).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
        let sender = UdpSocket::bind("192.0.2.1:0").unwrap();
        sender.connect(("192.0.2.7", 5300)).unwrap();
        sender.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        sender.send(b"knock").unwrap();
        let refused = sender.recv(&mut [0; 16]).unwrap_err();
        assert_ne!(refused.kind(), ErrorKind::WouldBlock, "the refusal is heard");
        assert!(firewall.dropped().unwrap().packets >= 2);
        // Going back to drop keeps the bans and the count.
        let mut firewall = with(Options::sized(1000));
        assert!(
            TcpStream::connect_timeout(&address, Duration::from_millis(200)).unwrap_err().kind()
                == ErrorKind::TimedOut
        );
        assert!(firewall.dropped().unwrap().packets >= 3);
    });
}

#[test]
fn only_the_named_interfaces_are_guarded() {
    in_namespace("firewall::tests::choices::only_the_named_interfaces_are_guarded", || {
        loopback();
        let named = |names: &[&str]| Options {
            interfaces: names.iter().map(|name| (*name).to_owned()).collect(),
            ..Options::sized(1000)
        };
        let mut firewall = with(named(&["wan0", "ppp*"]));
        apply(&mut firewall, &[ban("127.0.0.2", HOUR)]);
        assert!(arrives("127.0.0.2", 5300), "lo is not named");
        for names in [&["wan0", "l*"][..], &["lo"], &[]] {
            let mut firewall = with(named(names));
            assert!(!arrives("127.0.0.2", 5300), "{names:?}");
            firewall.tidy().unwrap();
            assert_eq!(nft("list table inet kban").contains("chain source"), !names.is_empty());
        }
        let mut firewall = with(named(&["lo0"]));
        assert!(arrives("127.0.0.2", 5300), "lo0 is another interface than lo");
        firewall.remove_table().unwrap();
    });
}

#[test]
fn nft_shows_every_choice() {
    in_namespace("firewall::tests::choices::nft_shows_every_choice", || {
        let log = Some(Log { group: Some(5), prefix: "kban: ".into() });
        let mut firewall = with(Options {
            reply: Reply::Reject,
            log,
            interfaces: vec!["wan0".into(), "ppp*".into()],
            ..Options::sized(1000)
        });
        apply(&mut firewall, &[ban("203.0.113.9", HOUR), on("203.0.113.9", "tcp/22")]);
        insta::assert_snapshot!(without_times(&nft("list table inet kban")));
        with(Options { log: Some(Log { group: None, prefix: "kban: ".into() }), ..Options::sized(1000) });
        insta::assert_snapshot!(without_times(&nft("list table inet kban")));
    });
}

#[test]
fn what_an_offender_has_open_is_cut() {
    in_namespace("firewall::tests::choices::what_an_offender_has_open_is_cut", || {
        loopback();
        let firewall = with(Options { cut_connections: true, ..Options::sized(1000) });
        let listener = TcpListener::bind("[::]:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let open = |address: &str| {
            let client = TcpStream::connect((address, port)).unwrap();
            let (server, _) = listener.accept().unwrap();
            server.set_nonblocking(true).unwrap();
            (client, server)
        };
        // The server sees the first as IPv4-mapped, with the client's address 127.0.0.1.
        let (four, six) = (open("127.0.0.1"), open("::1"));
        let is_open = |(_, server): &(TcpStream, TcpStream)| {
            use std::io::Read;
            let mut server = server;
            matches!(server.read(&mut [0; 1]), Err(error) if error.kind() == ErrorKind::WouldBlock)
        };
        let target = |prefix: &str, service: Option<u16>| Target {
            service: service.map(|port| format!("tcp/{port}").parse().unwrap()),
            ..net(prefix).into()
        };
        let cut = |target| firewall.cut_connections(&[target].into()).unwrap();
        assert_eq!(cut(target("127.0.0.9", None)), 0);
        assert_eq!(cut(target("127.0.0.1", Some(port ^ 1))), 0);
        assert!(is_open(&four) && is_open(&six));
        assert_eq!(cut(target("127.0.0.0/24", Some(port))), 1, "the server's side, whose port it is");
        assert!(!is_open(&four) && is_open(&six));
        assert!(cut(target("::1", None)) >= 1);
        assert!(!is_open(&six));
        let off = Firewall::open(Options::sized(1000)).unwrap();
        let another = open("127.0.0.1");
        assert_eq!(off.cut_connections(&[target("127.0.0.1", None)].into()).unwrap(), 0);
        assert!(is_open(&another));
    });
}
