//! Bans that packets renew: what becomes of elements when the banned knock, and when they do not.

use std::net::UdpSocket;
use std::sync::atomic::{AtomicBool, Ordering};

use super::choices::without_times;
use super::*;
use crate::namespace::{in_namespace, run_program};
use crate::service::Service;

fn loopback() {
    run_program("ip", &["link", "set", "lo", "up"]);
    run_program("ip", &["-6", "address", "add", "2001:db8:1:2::5/128", "dev", "lo", "nodad"]);
    run_program("ip", &["-6", "address", "add", "2001:db8:1:2::6/128", "dev", "lo", "nodad"]);
}

fn renewed(prefix: &str, service: Option<&str>, tier: Duration) -> Target {
    let service = service.map(|service| service.parse::<Service>().unwrap());
    Target { service, renew: crate::tier::Tier::of(tier), ..net(prefix).into() }
}

fn half(target: Target) -> Change {
    Change::Ban { target, left: target.renew.map(|tier| tier.length() / 2) }
}

/// One packet to a port of this machine; it is received or dropped before this returns.
fn knock(from: &str, port: u16) {
    let to = if from.contains(':') { "::1" } else { "127.0.0.1" };
    let sender = UdpSocket::bind((from, 0)).unwrap();
    // Nobody listens there: a refusal of an earlier packet may come back.
    let _ = sender.send_to(b"knock", (to, port));
}

fn left(firewall: &mut Firewall, target: Target) -> Option<Duration> {
    firewall.contains(target).unwrap().and_then(|element| element.left)
}

#[track_caller]
fn assert_renewed(firewall: &mut Firewall, target: Target) {
    let tier = target.renew.unwrap().length();
    let left = left(firewall, target).unwrap();
    assert!(left > tier / 2 + Duration::from_secs(60) && left <= tier, "{target}: {left:?}");
}

#[track_caller]
fn assert_not_renewed(firewall: &mut Firewall, target: Target) {
    let tier = target.renew.unwrap().length();
    let left = left(firewall, target).unwrap();
    assert!(left <= tier / 2 + Duration::from_millis(20), "{target}: {left:?}");
}

#[test]
fn whoever_knocks_stays_out_and_whoever_is_silent_does_not() {
    in_namespace("firewall::tests::renewal::whoever_knocks_stays_out_and_whoever_is_silent_does_not", || {
        loopback();
        let mut firewall = ready();
        let [knocks, silent] = ["127.0.0.2", "127.0.0.3"].map(|host| renewed(host, None, HOUR));
        apply(&mut firewall, &[half(knocks), half(silent)]);
        knock("127.0.0.2", 5300);
        knock("127.0.0.4", 5300);
        assert_renewed(&mut firewall, knocks);
        assert_not_renewed(&mut firewall, silent);
        assert_eq!(firewall.dropped().unwrap().packets, 1);
        assert_eq!(firewall.elements().unwrap().len(), 2, "whoever is not banned is not added");
        // A new end replaces the renewed one.
        apply(&mut firewall, &[half(knocks)]);
        assert_not_renewed(&mut firewall, knocks);
        // What is there is adopted with what the kernel has of it.
        knock("127.0.0.3", 5300);
        let adopted = Firewall::open(Options::sized(65_536)).unwrap().set_up(&[]).unwrap();
        let of = |target| adopted.iter().find(|element| element.target == target).unwrap().left.unwrap();
        assert!(of(silent) > HOUR / 2 + Duration::from_secs(60) && of(knocks) <= HOUR / 2);
        // So it is if the table has to be made anew.
        let mut other = Firewall::open(Options::sized(1_000)).unwrap();
        other.set_up(&[]).unwrap();
        assert_renewed(&mut other, silent);
        assert_not_renewed(&mut other, knocks);
    });
}

#[test]
fn networks_and_ports_are_renewed_as_they_are_banned() {
    in_namespace("firewall::tests::renewal::networks_and_ports_are_renewed_as_they_are_banned", || {
        loopback();
        let mut firewall = ready();
        let day = 24 * HOUR;
        let [v6, other6] =
            ["2001:db8:1:2::/64", "2001:db8:1:3::/64"].map(|prefix| renewed(prefix, None, HOUR));
        let wide: Vec<Target> = ["2001:db8:1::/56", "2001:db8:1::/48", "2001:db8:1:2::6/128"]
            .map(|prefix| renewed(prefix, None, day))
            .into();
        let v4 = renewed("127.0.2.0/24", None, HOUR);
        let [port, other_port] = ["udp/5300", "udp/5301"].map(|port| renewed("127.0.0.2", Some(port), HOUR));
        let [port6, tcp6] =
            ["udp/5300", "tcp/5300"].map(|port| renewed("2001:db8:1:2::/64", Some(port), HOUR));
        let all = [v6, other6, v4, port, other_port, port6, tcp6];
        let changes: Vec<Change> = all.iter().chain(&wide).map(|target| half(*target)).collect();
        apply(&mut firewall, &changes);
        for (host, port) in
            [("2001:db8:1:2::5", 5300), ("127.0.2.9", 9), ("127.0.0.2", 5300), ("127.0.0.2", 9)]
        {
            knock(host, port);
        }
        // All that a packet belongs to are renewed, whichever rule drops it.
        for target in [v6, v4, port, port6, wide[0], wide[1]] {
            assert_renewed(&mut firewall, target);
        }
        for target in [other6, other_port, tcp6, wide[2]] {
            assert_not_renewed(&mut firewall, target);
        }
        assert_eq!(firewall.dropped().unwrap().packets, 3, "port 9 is open to 127.0.0.2");
        apply(&mut firewall, &[half(v6)]);
        knock("2001:db8:1:2::6", 9);
        assert_renewed(&mut firewall, v6);
        assert_renewed(&mut firewall, wide[2]);
    });
}

/// An ordinary ban beside it drops the packet first.
#[test]
fn a_ban_is_renewed_whatever_drops_the_packet() {
    in_namespace("firewall::tests::renewal::a_ban_is_renewed_whatever_drops_the_packet", || {
        loopback();
        let mut firewall = ready();
        let [hour, day] = [HOUR, 24 * HOUR].map(|tier| renewed("127.0.0.2", None, tier));
        apply(&mut firewall, &[ban("127.0.0.2", HOUR), half(hour), half(day)]);
        knock("127.0.0.2", 5300);
        assert_renewed(&mut firewall, hour);
        assert_renewed(&mut firewall, day);
        assert_left(firewall.contains(net("127.0.0.2").into()).unwrap(), HOUR);
        assert_eq!(firewall.dropped().unwrap().packets, 1);
        apply(&mut firewall, &[Change::Lift { target: hour }, lift("127.0.0.2")]);
        knock("127.0.0.2", 5300);
        assert_eq!(firewall.dropped().unwrap().packets, 2);
        assert_eq!(left(&mut firewall, hour), None, "what was lifted does not come back");
    });
}

#[test]
fn the_allowed_are_neither_dropped_nor_renewed() {
    in_namespace("firewall::tests::renewal::the_allowed_are_neither_dropped_nor_renewed", || {
        loopback();
        let mut firewall = ready();
        let targets = ["127.0.0.2", "2001:db8:1:2::/64"].map(|prefix| renewed(prefix, None, HOUR));
        apply(&mut firewall, &targets.map(half));
        firewall.set_allow(&nets(&["127.0.0.2", "2001:db8:1:2::5"])).unwrap();
        knock("127.0.0.2", 5300);
        knock("2001:db8:1:2::5", 5300);
        assert_eq!(firewall.dropped().unwrap().packets, 0);
        for target in targets {
            assert_not_renewed(&mut firewall, target);
        }
        knock("2001:db8:1:2::6", 5300);
        assert_eq!(firewall.dropped().unwrap().packets, 1);
        assert_renewed(&mut firewall, targets[1]);
        firewall.set_allow(&[]).unwrap();
        knock("127.0.0.2", 5300);
        assert_renewed(&mut firewall, targets[0]);
    });
}

#[test]
fn nft_reads_renewed_sets_well_and_loads_them_again() {
    in_namespace("firewall::tests::renewal::nft_reads_renewed_sets_well_and_loads_them_again", || {
        loopback();
        let mut firewall =
            Firewall::open(Options { interfaces: vec!["lo".into()], ..Options::sized(65_536) }).unwrap();
        firewall.set_up(&nets(&["192.0.2.0/24"])).unwrap();
        let unused = nft("list table inet kban");
        let targets = [
            renewed("127.0.0.2", None, HOUR),
            renewed("127.0.0.2", None, Duration::from_secs(5_400)),
            renewed("2001:db8:1:2::/64", None, HOUR),
            renewed("127.0.3.0/24", Some("udp/5301"), HOUR),
            renewed("2001:db8:1:2::/64", Some("tcp/22"), HOUR),
        ];
        apply(&mut firewall, &targets.map(half));
        // Renewed: more is left than there was at first.
        knock("127.0.0.2", 5300);
        let listed = nft("list table inet kban");
        insta::assert_snapshot!(without_times(&listed));
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), &listed).unwrap();
        nft("flush ruleset");
        nft(&format!("-f {}", file.path().display()));
        assert_eq!(without_times(&nft("list table inet kban")), without_times(&listed));
        let mut adopted =
            Firewall::open(Options { interfaces: vec!["lo".into()], ..Options::sized(65_536) }).unwrap();
        assert_eq!(adopted.set_up(&nets(&["192.0.2.0/24"])).unwrap().len(), targets.len());
        assert_renewed(&mut adopted, targets[0]);
        assert_eq!(without_times(&nft("list table inet kban")), without_times(&listed), "nothing to change");
        apply(&mut adopted, &targets.map(|target| Change::Lift { target }));
        adopted.tidy().unwrap();
        assert_eq!(
            without_counts(&nft("list table inet kban")),
            without_counts(&unused),
            "sets and rules go"
        );
    });
}

fn without_counts(listing: &str) -> String {
    let lines = listing.lines().map(|line| line.split("counter").next().unwrap());
    lines.collect::<Vec<_>>().join("\n")
}

/// A rule that changes a set gives one without a size 65,535 elements.
#[test]
fn a_renewed_set_holds_as_many_as_any() {
    in_namespace("firewall::tests::renewal::a_renewed_set_holds_as_many_as_any", || {
        let mut firewall = Firewall::open(Options::sized(100_000)).unwrap();
        firewall.set_up(&[]).unwrap();
        let tier = crate::tier::Tier::of(HOUR);
        let bans = |numbers: std::ops::Range<u32>| -> Vec<Change> {
            let target = |number| Target { renew: tier, ..many(number).into() };
            numbers.map(|number| Change::Ban { target: target(number), left: Some(HOUR) }).collect()
        };
        apply(&mut firewall, &bans(0..70_000));
        assert!(nft("-t list set inet kban renew4_3600").contains("size 100000"));
        let rejected = firewall.apply(&bans(70_000..100_010)).unwrap();
        assert_eq!(rejected.len(), 10);
        assert!(rejected[0].error.to_string().starts_with("set renew4_3600 is full (100000 elements)"));
    });
}

/// Packets that are on their way while a ban is lifted.
#[test]
fn what_is_lifted_under_a_flood_is_lifted() {
    in_namespace("firewall::tests::renewal::what_is_lifted_under_a_flood_is_lifted", || {
        loopback();
        let mut firewall = ready();
        let target = renewed("127.0.0.2", None, HOUR);
        let over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    let sender = UdpSocket::bind(("127.0.0.2", 0)).unwrap();
                    while !over.load(Ordering::Relaxed) {
                        let _ = sender.send_to(b"knock", ("127.0.0.1", 9));
                    }
                });
            }
            let back = (0..500).filter(|number| {
                apply(&mut firewall, &[half(target)]);
                if number % 100 == 0 {
                    firewall.empty().unwrap();
                } else {
                    apply(&mut firewall, &[Change::Lift { target }]);
                }
                left(&mut firewall, target).is_some()
            });
            let back = back.count();
            over.store(true, Ordering::Relaxed);
            assert_eq!(back, 0);
        });
    });
}

#[test]
fn a_kernel_that_renews_says_so_and_nothing_is_left_of_the_trial() {
    in_namespace(
        "firewall::tests::renewal::a_kernel_that_renews_says_so_and_nothing_is_left_of_the_trial",
        || {
            let mut firewall = Firewall::open(Options::sized(1_000)).unwrap();
            assert!(firewall.can_renew().unwrap());
            assert_eq!(nft("list ruleset"), "");
        },
    );
}

/// Somebody takes away the rule that renews, or the one that drops: neither set is in use then.
#[test]
fn a_renewed_set_needs_both_its_rules() {
    in_namespace("firewall::tests::renewal::a_renewed_set_needs_both_its_rules", || {
        let mut firewall = ready();
        apply(&mut firewall, &[half(renewed("127.0.0.2", None, HOUR)), ban("127.0.0.3", HOUR)]);
        assert_eq!(firewall.ruled().unwrap().unwrap(), ["host4", "renew4_3600"].map(set).into());
        nft("flush chain inet kban offender");
        nft("add rule inet kban offender counter drop");
        assert_eq!(firewall.ruled().unwrap().unwrap(), ["host4"].map(set).into());
        firewall.set_up(&[]).unwrap();
        nft("flush chain inet kban prerouting");
        assert_eq!(firewall.ruled().unwrap().unwrap(), [].into());
    });
}
