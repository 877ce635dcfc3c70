//! Networks of unusual lengths.

use super::choices::arrives;
use super::packets::loopback;
use super::*;
use crate::namespace::{in_namespace, run_program};

fn held(firewall: &mut Firewall) -> Vec<(String, Option<u64>)> {
    let elements = firewall.elements().unwrap();
    let shown = |element: &Element| {
        (
            element.target.prefix.to_string(),
            element.left.map(|left| (left + Duration::from_millis(500)).as_secs()),
        )
    };
    elements.iter().map(shown).collect()
}

fn replace(firewall: &mut Firewall, bans: &[(&str, Option<u64>)]) {
    let bans: Vec<_> =
        bans.iter().map(|(prefix, left)| (net(prefix).into(), left.map(Duration::from_secs))).collect();
    firewall.replace_ranges(&bans).unwrap();
}

fn held_as(ranges: &[(&str, Option<u64>)]) -> Vec<(String, Option<u64>)> {
    ranges.iter().map(|(prefix, left)| ((*prefix).to_owned(), *left)).collect()
}

#[test]
fn nested_and_neighbouring_ranges_each_keep_their_time() {
    in_namespace("firewall::tests::ranges::nested_and_neighbouring_ranges_each_keep_their_time", || {
        let mut firewall = ready();
        replace(
            &mut firewall,
            &[
                ("10.0.0.0/16", Some(3_600)),
                ("10.0.4.0/22", Some(7_200)),
                ("10.1.0.0/16", None),
                ("224.0.0.0/3", Some(60)),
                ("2001:db8::/32", Some(3_600)),
                ("8000::/1", None),
            ],
        );
        assert_eq!(
            held(&mut firewall),
            held_as(&[
                ("10.0.0.0/22", Some(3_600)),
                ("10.0.4.0/22", Some(7_200)),
                ("10.0.8.0/21", Some(3_600)),
                ("10.0.16.0/20", Some(3_600)),
                ("10.0.32.0/19", Some(3_600)),
                ("10.0.64.0/18", Some(3_600)),
                ("10.0.128.0/17", Some(3_600)),
                ("10.1.0.0/16", None),
                ("224.0.0.0/3", Some(60)),
                ("2001:db8::/32", Some(3_600)),
                ("8000::/1", None),
            ])
        );
        let inside = firewall.contains(net("10.0.4.0/23").into()).unwrap();
        assert_left(inside, 2 * HOUR);
        let amid_a_piece = firewall.contains(net("10.0.130.0/23").into()).unwrap();
        assert_left(amid_a_piece, HOUR);
        assert_eq!(firewall.contains(net("11.0.0.0/16").into()).unwrap(), None);
        replace(&mut firewall, &[("10.0.0.0/15", Some(60))]);
        assert_eq!(held(&mut firewall), held_as(&[("10.0.0.0/15", Some(60))]));
        replace(&mut firewall, &[]);
        assert_eq!(held(&mut firewall), []);
        firewall.tidy().unwrap();
        insta::assert_snapshot!(nft("list table inet kban"));
    });
}

#[test]
fn ranges_stay_when_the_table_is_set_up_again() {
    in_namespace("firewall::tests::ranges::ranges_stay_when_the_table_is_set_up_again", || {
        let mut firewall = ready();
        replace(&mut firewall, &[("10.0.0.0/15", Some(3_600))]);
        let mut other = Firewall::open(Options::sized(65_536)).unwrap();
        let found = other.set_up(&[]).unwrap();
        assert_eq!(found.len(), 1);
        assert_eq!(held(&mut other), held_as(&[("10.0.0.0/15", Some(3_600))]));
        assert!(nft("list table inet kban").contains("@net4_any goto offender"));
        replace(&mut other, &[("10.0.0.0/14", None)]);
        assert_eq!(held(&mut other), held_as(&[("10.0.0.0/14", None)]));
    });
}

#[test]
fn many_ranges_are_written_in_several_messages() {
    in_namespace("firewall::tests::ranges::many_ranges_are_written_in_several_messages", || {
        let mut firewall = ready();
        let bans: Vec<_> = (0..2_000_u32)
            .map(|number| (net(&format!("{}.{}.0.0/23", 11 + number / 250, number % 250)).into(), Some(HOUR)))
            .collect();
        firewall.replace_ranges(&bans).unwrap();
        assert_eq!(firewall.elements().unwrap().len(), 2_000);
    });
}

/// Whether this machine's nft can load such a set of its own: nft 1.0.6 turns the byte of the protocol round as if it were two,
/// which newer kernels refuse (6.12.117 does, 6.18.44 does not).
fn nft_loads_such_sets() -> bool {
    let file = tempfile::NamedTempFile::new().unwrap();
    let table = "table inet trial { set s { type ipv4_addr . inet_proto . inet_service; flags interval; }
        chain c { ip saddr . meta l4proto . th dport @s drop; }; }; delete table inet trial";
    std::fs::write(file.path(), table).unwrap();
    std::process::Command::new("nft").arg("-f").arg(file.path()).status().unwrap().success()
}

#[test]
fn networks_of_any_length_are_banned_from_single_ports() {
    in_namespace("firewall::tests::ranges::networks_of_any_length_are_banned_from_single_ports", || {
        loopback();
        let on = |prefix: &str, service: &str| Target {
            service: Some(service.parse().unwrap()),
            ..net(prefix).into()
        };
        let mut firewall = ready();
        let bans = [
            (on("127.0.0.0/20", "udp/5300"), Some(HOUR)),
            (on("127.0.4.0/22", "udp/5300"), Some(2 * HOUR)),
            (on("127.0.4.0/22", "udp/5301"), None),
            (on("2001:db8::/32", "tcp/22"), Some(HOUR)),
        ];
        firewall.replace_ranges(&bans).unwrap();
        assert!(!arrives("127.0.4.9", 5300) && !arrives("127.0.15.255", 5300) && arrives("127.0.16.0", 5300));
        assert!(!arrives("127.0.7.255", 5301) && arrives("127.0.3.255", 5301) && arrives("127.0.4.9", 5302));
        let cut = [
            "127.0.0.0/22 on udp/5300",
            "127.0.4.0/22 on udp/5300",
            "127.0.4.0/22 on udp/5301",
            "127.0.8.0/21 on udp/5300",
            "2001:db8::/32 on tcp/22",
        ];
        let held = |firewall: &mut Firewall| {
            let mut elements = firewall.elements().unwrap();
            elements.sort_by_key(|element| element.target);
            elements.iter().map(|element| element.target.to_string()).collect::<Vec<_>>()
        };
        assert_eq!(held(&mut firewall), cut);
        assert_left(firewall.contains(on("127.0.4.0/23", "udp/5300")).unwrap(), 2 * HOUR);
        assert_eq!(firewall.contains(on("127.0.4.0/22", "udp/5301")).unwrap().unwrap().left, None);
        assert_eq!(firewall.contains(on("127.0.4.0/22", "udp/5302")).unwrap(), None);
        assert_eq!(firewall.contains(net("127.0.4.0/22").into()).unwrap(), None);

        // They stay when the table is set up again, and what nft prints of them loads again.
        let mut other = Firewall::open(Options::sized(65_536)).unwrap();
        assert_eq!(other.set_up(&[]).unwrap().len(), cut.len());
        assert!(!arrives("127.0.4.9", 5300));
        let listed = nft("list table inet kban");
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), &listed).unwrap();
        if nft_loads_such_sets() {
            nft("flush ruleset");
            run_program("nft", &["-f", file.path().to_str().unwrap()]);
        }
        assert_eq!(other.set_up(&[]).unwrap().len(), cut.len(), "it is taken for what it is");
        assert!(!arrives("127.0.4.9", 5300));
        other.replace_ranges(&bans[2..3]).unwrap();
        assert_eq!(held(&mut other), cut[2..3]);
        assert!(arrives("127.0.4.9", 5300) && !arrives("127.0.4.9", 5301));
        insta::assert_snapshot!(nft("list table inet kban"));
        other.replace_ranges(&[]).unwrap();
        assert!(!nft("list table inet kban").contains("port4_any"));
    });
}
