//! The table as a whole: set up, adopted, repaired, tidied, removed.

use super::*;
use crate::firewall::Counter;
use crate::namespace::{in_namespace, without_privilege};

/// `nft list table inet kban` without the time that is left, which changes.
fn listing() -> String {
    let listed = nft("list table inet kban");
    let words = listed.split(' ').scan(false, |expires, word| {
        let skip = std::mem::replace(expires, word == "expires") || word == "expires";
        Some(if skip { "" } else { word })
    });
    words.filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
}

#[test]
fn nft_reads_the_table_well() {
    in_namespace("firewall::tests::table::nft_reads_the_table_well", || {
        let mut firewall = ready();
        firewall.set_allow(&nets(&["127.0.0.0/8", "::1"])).unwrap();
        apply(&mut firewall, &[ban("203.0.113.9", HOUR)]);
        apply(&mut firewall, &[ban("2001:db8:1:2::/64", HOUR)]);
        insta::assert_snapshot!(listing());
    });
}

#[test]
fn an_unused_table_has_no_rules_but_the_drop() {
    in_namespace("firewall::tests::table::an_unused_table_has_no_rules_but_the_drop", || {
        ready();
        insta::assert_snapshot!(listing());
    });
}

#[test]
fn setting_up_again_changes_nothing() {
    in_namespace("firewall::tests::table::setting_up_again_changes_nothing", || {
        let allow = nets(&["10.0.0.0/8", "10.1.0.0/16", "2001:db8::/32"]);
        let mut firewall = Firewall::open(Options::sized(65_536)).unwrap();
        firewall.set_up(&allow).unwrap();
        apply(&mut firewall, &[ban("203.0.113.9", HOUR), ban("2001:db8::7", HOUR)]);
        let before = listing();
        assert_eq!(firewall.set_up(&allow).unwrap().len(), 2);
        assert_eq!(listing(), before);
        assert_eq!(Firewall::open(Options::sized(65_536)).unwrap().set_up(&allow).unwrap().len(), 2);
        assert_eq!(listing(), before);
    });
}

#[test]
fn a_later_kband_adopts_what_is_there() {
    in_namespace("firewall::tests::table::a_later_kband_adopts_what_is_there", || {
        let permanent = Change::Ban { target: net("203.0.113.10").into(), left: None };
        apply(&mut ready(), &[ban("203.0.113.9", HOUR), permanent, ban("2001:db8::/56", 2 * HOUR)]);
        let mut adopted = Firewall::open(Options::sized(65_536)).unwrap().set_up(&[]).unwrap();
        adopted.sort_by_key(|element| element.target.prefix);
        let prefixes: Vec<_> = adopted.iter().map(|element| element.target.prefix).collect();
        assert_eq!(prefixes, nets(&["203.0.113.9/32", "203.0.113.10/32", "2001:db8::/56"]));
        assert_left(Some(adopted[0]), HOUR);
        assert_eq!(adopted[1].left, None);
        assert_left(Some(adopted[2]), 2 * HOUR);
    });
}

#[test]
fn another_set_size_keeps_bans_and_counter() {
    in_namespace("firewall::tests::table::another_set_size_keeps_bans_and_counter", || {
        let mut firewall = ready();
        apply(&mut firewall, &bans_of(0..3_000, HOUR));
        apply(&mut firewall, &[Change::Ban { target: net("2001:db8::/64").into(), left: None }]);
        let mut smaller = Firewall::open(Options::sized(5_000)).unwrap();
        assert_eq!(smaller.set_up(&[]).unwrap().len(), 3_001);
        assert_eq!(shown("host4").len(), 3_000);
        assert_eq!(shown("net6_64")["2001:db8::"], None);
        assert!(nft("list set inet kban host4").contains("size 5000"));
        // Fewer than there are bans: room for those is kept, and no more.
        let mut tiny = Firewall::open(Options::sized(10)).unwrap();
        assert_eq!(tiny.set_up(&[]).unwrap().len(), 3_001);
        assert!(nft("list set inet kban host4").contains("size 3000"));
        assert_eq!(tiny.set_up(&[]).unwrap().len(), 3_001);
        let rejected = tiny.apply(&bans_of(3_000..3_001, HOUR)).unwrap();
        assert!(rejected[0].error.is_full());
        assert!(rejected[0].error.to_string().starts_with("set host4 is full (3000 elements)"));
    });
}

#[test]
fn a_table_made_anew_may_need_several_transactions() {
    in_namespace("firewall::tests::table::a_table_made_anew_may_need_several_transactions", || {
        apply(&mut ready(), &bans_of(0..2_500, HOUR));
        let mut other = Firewall::open(Options::sized(10_000)).unwrap();
        other.socket.limit_sending(100_000);
        assert_eq!(other.set_up(&[]).unwrap().len(), 2_500);
        assert_eq!(shown("host4").len(), 2_500);
    });
}

#[test]
fn somebody_elses_table_of_that_name_is_made_ours() {
    in_namespace("firewall::tests::table::somebody_elses_table_of_that_name_is_made_ours", || {
        nft("add table inet kban");
        nft("add set inet kban host4 { type ipv6_addr ; flags interval ; }");
        nft("add set inet kban host6 { type ipv6_addr ; flags timeout,dynamic ; size 65536 ; }");
        nft("add element inet kban host6 { 2001:db8::9 }");
        nft("add chain inet kban prerouting { type filter hook prerouting priority 5 ; policy drop ; }");
        nft("add rule inet kban prerouting counter");
        let adopted = Firewall::open(Options::sized(65_536)).unwrap().set_up(&[]).unwrap();
        assert_eq!(adopted.len(), 1);
        let made = listing();
        nft("delete table inet kban");
        apply(&mut ready(), &[Change::Ban { target: net("2001:db8::9").into(), left: None }]);
        assert_eq!(made, listing());
    });
}

#[test]
fn a_table_that_is_gone_is_missed_and_made_again() {
    in_namespace("firewall::tests::table::a_table_that_is_gone_is_missed_and_made_again", || {
        let mut firewall = ready();
        apply(&mut firewall, &[ban("203.0.113.9", HOUR)]);
        nft("flush ruleset");
        assert!(firewall.apply(&[ban("203.0.113.10", HOUR)]).unwrap_err().is_missing());
        assert!(firewall.apply(&[lift("203.0.113.9")]).unwrap_err().is_missing());
        assert!(firewall.apply(&bans_of(0..2_000, HOUR)).unwrap_err().is_missing());
        assert!(firewall.elements().unwrap_err().is_missing());
        assert!(firewall.contains(net("203.0.113.9").into()).unwrap_err().is_missing());
        assert!(firewall.dropped().unwrap_err().is_missing());
        assert!(firewall.tidy().unwrap_err().is_missing());
        assert!(firewall.empty().unwrap_err().is_missing());
        assert!(firewall.set_allow(&[]).unwrap_err().is_missing());
        assert_eq!(firewall.set_up(&[]).unwrap(), []);
        apply(&mut firewall, &[ban("203.0.113.10", HOUR)]);
        assert_eq!(shown("host4").len(), 1);
    });
}

#[test]
fn a_rule_that_is_gone_comes_back_with_setting_up() {
    in_namespace("firewall::tests::table::a_rule_that_is_gone_comes_back_with_setting_up", || {
        let mut firewall = ready();
        apply(&mut firewall, &[ban("203.0.113.9", HOUR)]);
        let before = listing();
        nft("flush table inet kban");
        assert_ne!(listing(), before);
        firewall.set_up(&[]).unwrap();
        assert_eq!(listing(), before);
    });
}

#[test]
fn rules_come_and_go_with_their_sets() {
    in_namespace("firewall::tests::table::rules_come_and_go_with_their_sets", || {
        let mut firewall = ready();
        let unused = listing();
        apply(&mut firewall, &[ban("2001:db8::/48", HOUR), ban("203.0.113.9", HOUR)]);
        let used = listing();
        assert!(used.contains("ip6 saddr & ffff:ffff:ffff:: == @net6_48 goto offender"), "{used}");
        firewall.tidy().unwrap();
        assert_eq!(listing(), used, "what is used stays");
        apply(&mut firewall, &[lift("2001:db8::/48"), lift("203.0.113.9")]);
        firewall.tidy().unwrap();
        assert_eq!(listing(), unused);
        apply(&mut firewall, &[lift("2001:db8::/48")]);
        apply(&mut firewall, &[ban("203.0.113.9", HOUR)]);
        assert!(listing().contains("ip saddr @host4 goto offender"));
    });
}

#[test]
fn an_empty_set_of_networks_goes_with_setting_up() {
    in_namespace("firewall::tests::table::an_empty_set_of_networks_goes_with_setting_up", || {
        let mut firewall = ready();
        apply(&mut firewall, &[ban("2001:db8::/48", HOUR)]);
        apply(&mut firewall, &[lift("2001:db8::/48")]);
        assert!(listing().contains("net6_48"));
        firewall.set_up(&[]).unwrap();
        assert!(!listing().contains("net6_48"));
        apply(&mut firewall, &[ban("2001:db8::/48", HOUR)]);
        assert_eq!(shown("net6_48").len(), 1);
    });
}

#[test]
fn another_process_sees_the_rules_that_are_there() {
    in_namespace("firewall::tests::table::another_process_sees_the_rules_that_are_there", || {
        apply(&mut ready(), &[ban("203.0.113.9", HOUR)]);
        let mut other = Firewall::open(Options::sized(65_536)).unwrap();
        apply(&mut other, &[lift("203.0.113.9"), ban("2001:db8::1", HOUR)]);
        let listed = listing();
        assert!(listed.contains("@host4 goto") && listed.contains("@host6 goto"), "{listed}");
    });
}

#[test]
fn allow_lists_are_merged_and_replaced() {
    in_namespace("firewall::tests::table::allow_lists_are_merged_and_replaced", || {
        let mut firewall = ready();
        let all = ["10.0.0.0/24", "10.0.1.0/25", "10.0.0.0/25", "10.0.0.7", "255.255.255.0/24", "0.0.0.0/8"];
        firewall.set_allow(&nets(&all)).unwrap();
        let listed = nft("list set inet kban allow4");
        for prefix in ["10.0.0.0/24", "10.0.1.0/25", "255.255.255.0/24", "0.0.0.0/8"] {
            assert!(listed.contains(prefix), "{prefix} in {listed}");
        }
        assert_eq!(shown("allow4").len(), 4, "{listed}");
        firewall.set_allow(&nets(&["10.0.0.0/9", "10.128.0.0/9", "192.0.2.1", "::1", "ff00::/8"])).unwrap();
        assert_eq!(shown("allow4").into_keys().collect::<Vec<_>>(), ["10.0.0.0/8", "192.0.2.1"]);
        assert_eq!(shown("allow6").into_keys().collect::<Vec<_>>(), ["::1", "ff00::/8"]);
        firewall.set_allow(&nets(&["0.0.0.0/0", "::/0"])).unwrap();
        assert_eq!(shown("allow4").into_keys().collect::<Vec<_>>(), ["0.0.0.0/0"]);
        assert_eq!(shown("allow6").into_keys().collect::<Vec<_>>(), ["::/0"]);
        let thousand: Vec<_> = (0..1_000).map(|number| many(2 * number)).collect();
        firewall.set_allow(&thousand).unwrap();
        assert_eq!(shown("allow4").len(), 1_000);
        assert!(listing().contains("@allow4 accept") && !listing().contains("@allow6 accept"));
        firewall.set_allow(&[]).unwrap();
        assert!(!listing().contains("accept;\n\t\tip saddr @allow4"), "{}", listing());
        assert!(!listing().contains("@allow4 accept"));
    });
}

#[test]
fn emptied_and_removed() {
    in_namespace("firewall::tests::table::emptied_and_removed", || {
        let mut firewall = ready();
        apply(&mut firewall, &bans_of(0..2_000, HOUR));
        apply(&mut firewall, &[ban("2001:db8::/64", HOUR)]);
        assert_eq!(firewall.elements().unwrap().len(), 2_001);
        firewall.empty().unwrap();
        assert_eq!(firewall.elements().unwrap(), []);
        assert_eq!(firewall.dropped().unwrap(), Counter::default());
        firewall.remove_table().unwrap();
        assert_eq!(nft("list ruleset"), "");
        firewall.remove_table().unwrap();
    });
}

#[test]
fn a_dump_is_whole_while_others_write() {
    in_namespace("firewall::tests::table::a_dump_is_whole_while_others_write", || {
        let mut firewall = ready();
        apply(&mut firewall, &bans_of(0..3_000, HOUR));
        let writer = std::thread::spawn(|| {
            let mut writer = Firewall::open(Options::sized(65_536)).unwrap();
            for number in 5_000..5_400 {
                apply(&mut writer, &bans_of(number..number + 1, HOUR));
                std::thread::sleep(Duration::from_millis(3));
            }
        });
        while !writer.is_finished() {
            let mut found: Vec<_> =
                firewall.elements().unwrap().into_iter().map(|element| element.target.prefix).collect();
            found.sort();
            found.dedup();
            assert!(found.len() >= 3_000, "{}", found.len());
            firewall.set_up(&[]).unwrap();
        }
        writer.join().unwrap();
        assert_eq!(firewall.elements().unwrap().len(), 3_400);
    });
}

#[test]
fn without_the_capability_it_is_not_permitted() {
    without_privilege("firewall::tests::table::without_the_capability_it_is_not_permitted", || {
        let mut firewall = Firewall::open(Options::sized(65_536)).unwrap();
        assert!(firewall.set_up(&[]).unwrap_err().is_permission());
        assert!(firewall.apply(&bans_of(0..5_000, HOUR)).unwrap_err().is_permission());
        assert!(firewall.elements().unwrap_err().is_permission());
        let error = firewall.remove_table().unwrap_err();
        assert!(error.is_permission());
        assert!(error.to_string().contains("CAP_NET_ADMIN"), "{error}");
    });
}
