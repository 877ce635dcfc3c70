//! What is heard of others.

use super::*;
use crate::firewall::{Deed, Intrusion, Monitor};
use crate::namespace::in_namespace;

fn listening(firewall: &Firewall) -> Monitor {
    let mut monitor = Monitor::open().unwrap();
    monitor.ignore(firewall.port()).unwrap();
    monitor
}

/// The only thing that was done, and by nft.
fn deed(monitor: &mut Monitor) -> Deed {
    let heard = monitor.heard().unwrap();
    let [Intrusion { by: Some(by), deed }] = &heard[..] else { panic!("{heard:?}") };
    assert_eq!(by.name, "nft");
    assert!(by.to_string().starts_with("nft (pid "), "{by}");
    deed.clone()
}

#[test]
fn each_deed_of_others_is_heard_with_who_did_it() {
    in_namespace("firewall::tests::monitor::each_deed_of_others_is_heard_with_who_did_it", || {
        let mut firewall = ready();
        apply(
            &mut firewall,
            &[ban("203.0.113.9", HOUR), ban("203.0.113.10", HOUR), ban("2001:db8::9", HOUR)],
        );
        let mut monitor = listening(&firewall);
        let bans = |prefixes: &[&str]| Deed::Bans(nets(prefixes).into_iter().map(Target::from).collect());
        for (command, expected) in [
            ("add element inet kban host4 { 203.0.113.11 }", bans(&["203.0.113.11"])),
            ("delete element inet kban host4 { 203.0.113.9 }", bans(&["203.0.113.9"])),
            ("flush set inet kban host6", bans(&["2001:db8::9"])),
            ("flush chain inet kban prerouting", Deed::Parts),
            ("add rule inet kban prerouting accept", Deed::Parts),
            ("add element inet kban allow4 { 203.0.113.10 }", Deed::Parts),
            ("add chain inet kban more", Deed::Parts),
            ("add set inet kban more4 { type ipv4_addr ; }", Deed::Parts),
            ("flush table inet kban", Deed::Parts),
            ("delete table inet kban", Deed::Removed),
        ] {
            nft(command);
            assert_eq!(deed(&mut monitor), expected, "{command}");
            assert_eq!(monitor.heard().unwrap(), []);
        }
        firewall.set_up(&[]).unwrap();
        nft("flush ruleset");
        assert_eq!(deed(&mut monitor), Deed::Removed);
    });
}

#[test]
fn neither_our_own_changes_nor_other_tables_are_heard() {
    in_namespace("firewall::tests::monitor::neither_our_own_changes_nor_other_tables_are_heard", || {
        let mut firewall = ready();
        let mut monitor = listening(&firewall);
        // What is heard of so many would not fit the queue.
        apply(&mut firewall, &bans_of(0..65_000, HOUR));
        firewall.empty().unwrap();
        firewall.set_allow(&nets(&["10.0.0.0/8"])).unwrap();
        nft("add table inet other");
        nft("add table ip kban");
        nft("delete table ip kban");
        nft("add set inet other host4 { type ipv4_addr ; }");
        nft("add element inet other host4 { 203.0.113.9 }");
        assert_eq!(monitor.heard().unwrap(), []);
    });
}

#[test]
fn without_the_filter_our_own_changes_would_overrun_the_queue() {
    in_namespace(
        "firewall::tests::monitor::without_the_filter_our_own_changes_would_overrun_the_queue",
        || {
            let mut monitor = Monitor::open().unwrap();
            let mut firewall = ready();
            apply(&mut firewall, &bans_of(0..65_000, HOUR));
            let heard = monitor.heard().unwrap();
            assert!(heard.iter().any(|intrusion| intrusion.deed == Deed::Unknown), "lost, and said so");
            assert!(monitor.heard().unwrap().is_empty());
            nft("delete table inet kban");
            assert_eq!(deed(&mut monitor), Deed::Removed, "it goes on to hear");
        },
    );
}

#[test]
fn bans_that_end_by_themselves_are_no_intrusion() {
    in_namespace("firewall::tests::monitor::bans_that_end_by_themselves_are_no_intrusion", || {
        let mut firewall = ready();
        let mut monitor = listening(&firewall);
        apply(&mut firewall, &[ban("203.0.113.9", Duration::from_millis(50))]);
        while firewall.contains(net("203.0.113.9").into()).unwrap().is_some() {
            std::thread::yield_now();
        }
        // Beyond the kernel's own clearing away.
        apply(&mut firewall, &[ban("203.0.113.10", HOUR)]);
        assert_eq!(monitor.heard().unwrap(), []);
    });
}

#[test]
fn what_is_done_during_a_pause_is_not_heard_but_shows() {
    in_namespace("firewall::tests::monitor::what_is_done_during_a_pause_is_not_heard_but_shows", || {
        let mut firewall = ready();
        let mut monitor = listening(&firewall);
        monitor.pause().unwrap();
        firewall.others_committed().unwrap();
        apply(&mut firewall, &bans_of(0..100, HOUR));
        assert!(!firewall.others_committed().unwrap());
        nft("delete element inet kban host4 { 11.0.0.1 }");
        monitor.resume().unwrap();
        assert_eq!(monitor.heard().unwrap(), []);
        assert!(firewall.others_committed().unwrap());
        nft("delete element inet kban host4 { 11.0.0.2 }");
        assert!(matches!(deed(&mut monitor), Deed::Bans(_)));
    });
}
