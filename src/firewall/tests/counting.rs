//! Counters in elements: what they count, and that everything else goes on as without them.

use super::packets::{arrives, loopback};
use super::*;
use crate::firewall::netlink::constants::{
    NFT_MSG_NEWSET, NFTA_EXPR_NAME, NFTA_SET_EXPR, NFTA_SET_ID, NFTA_SET_KEY_LEN, NFTA_SET_NAME,
    NFTA_SET_TABLE, NLM_F_CREATE,
};
use crate::namespace::{in_namespace, run_program};

/// A firewall that counts; none where the kernel cannot, and then one goes on without.
fn counting() -> Option<Firewall> {
    let mut firewall = Firewall::open(Options { count: true, ..Options::sized(65_536) }).unwrap();
    let can = firewall.can_count().unwrap();
    firewall.set_counts(can);
    assert_eq!(firewall.set_up(&[]).unwrap(), []);
    if can {
        return Some(firewall);
    }
    apply(&mut firewall, &[ban("127.0.0.2", HOUR)]);
    assert_eq!(packets(&mut firewall, "127.0.0.2"), None);
    assert!(!arrives("127.0.0.2", "127.0.0.1"), "it holds, and does not count");
    assert_eq!(firewall.dropped().unwrap().packets, 1);
    None
}

fn packets(firewall: &mut Firewall, prefix: &str) -> Option<u64> {
    firewall.contains(net(prefix).into()).unwrap().and_then(|element| element.packets)
}

#[test]
fn each_ban_counts_its_own_packets() {
    in_namespace("firewall::tests::counting::each_ban_counts_its_own_packets", || {
        loopback();
        let Some(mut firewall) = counting() else { return };
        apply(
            &mut firewall,
            &[ban("127.0.0.2", HOUR), ban("127.0.0.3", HOUR), ban("2001:db8:1:2::/64", HOUR)],
        );
        for from in ["127.0.0.2", "127.0.0.2", "127.0.0.3"] {
            assert!(!arrives(from, "127.0.0.1"));
        }
        assert!(!arrives("2001:db8:1:2::5", "::1"));
        let each =
            ["127.0.0.2", "127.0.0.3", "2001:db8:1:2::/64"].map(|prefix| packets(&mut firewall, prefix));
        assert_eq!(each, [Some(2), Some(1), Some(1)]);
        assert_eq!(packets(&mut firewall, "127.0.0.4"), None);
        assert_eq!(firewall.dropped().unwrap().packets, 4);
        // A ban that is told again begins again; the others go on, and so they do when everything is set up again.
        apply(&mut firewall, &[ban("127.0.0.2", HOUR)]);
        assert_eq!(firewall.set_up(&[]).unwrap().len(), 3);
        assert_eq!(packets(&mut firewall, "127.0.0.2"), Some(0));
        assert_eq!(packets(&mut firewall, "127.0.0.3"), Some(1));
    });
}

#[test]
fn counters_come_and_go_with_the_bans_that_are_there() {
    in_namespace("firewall::tests::counting::counters_come_and_go_with_the_bans_that_are_there", || {
        let mut firewall = ready();
        let can = firewall.can_count().unwrap();
        apply(&mut firewall, &[ban("127.0.0.2", HOUR)]);
        assert_eq!(packets(&mut firewall, "127.0.0.2"), None);
        for counts in [can, false] {
            firewall.set_counts(counts);
            assert_eq!(firewall.set_up(&[]).unwrap().len(), 1);
            assert_eq!(packets(&mut firewall, "127.0.0.2"), counts.then_some(0));
            assert_left(firewall.contains(net("127.0.0.2").into()).unwrap(), HOUR);
        }
    });
}

#[test]
fn what_nft_lists_of_it_loads_again() {
    in_namespace("firewall::tests::counting::what_nft_lists_of_it_loads_again", || {
        loopback();
        let Some(mut firewall) = counting() else { return };
        apply(&mut firewall, &[ban("127.0.0.2", HOUR), ban("2001:db8::1", HOUR)]);
        assert!(!arrives("127.0.0.2", "127.0.0.1"));
        let saved = nft("list table inet kban");
        assert!(saved.contains("counter packets 1 bytes 33"), "{saved}");
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), &saved).unwrap();
        nft("flush ruleset");
        run_program("nft", &["-f", file.path().to_str().unwrap()]);
        assert_eq!(packets(&mut firewall, "127.0.0.2"), Some(1));
        assert_eq!(firewall.set_up(&[]).unwrap().len(), 2, "it is taken for what it is");
        assert_eq!(packets(&mut firewall, "127.0.0.2"), Some(1));
    });
}

#[test]
fn renewed_bans_and_ranges_go_on_without() {
    in_namespace("firewall::tests::counting::renewed_bans_and_ranges_go_on_without", || {
        loopback();
        let Some(mut firewall) = counting() else { return };
        let renewed = Target { renew: crate::tier::Tier::of(HOUR), ..net("127.0.0.2").into() };
        apply(&mut firewall, &[Change::Ban { target: renewed, left: Some(HOUR / 2) }]);
        firewall.replace_ranges(&[(net("198.51.100.0/23").into(), Some(HOUR))]).unwrap();
        assert!(!arrives("127.0.0.2", "127.0.0.1"));
        let left = firewall.contains(renewed).unwrap().unwrap().left.unwrap();
        assert!(left > HOUR / 2 + Duration::from_secs(60), "{left:?}");
        assert_eq!(firewall.contains(renewed).unwrap().unwrap().packets, None);
        assert_eq!(firewall.dropped().unwrap().packets, 1);
        let all = ["renew4_3600", "net4_any"].map(|name| shown(name).len());
        assert_eq!(all, [1, 1]);
    });
}

/// What a kernel says that has no such thing, of an expression that none has.
#[test]
fn a_kernel_that_cannot_count_is_known_and_left_as_it_was() {
    in_namespace("firewall::tests::counting::a_kernel_that_cannot_count_is_known_and_left_as_it_was", || {
        let mut firewall = ready();
        let taken = firewall.takes(|batch| {
            let number = batch.push(NFT_MSG_NEWSET, NLM_F_CREATE, |attrs| {
                attrs.name(NFTA_SET_TABLE, "kban")?;
                attrs.name(NFTA_SET_NAME, "more4")?;
                attrs.be32(NFTA_SET_KEY_LEN, 4)?;
                attrs.be32(NFTA_SET_ID, 1)?;
                attrs.nest(NFTA_SET_EXPR, |expression| expression.name(NFTA_EXPR_NAME, "nothing"))
            });
            number.map(drop)
        });
        assert!(!taken.unwrap());
        assert!(!nft("list table inet kban").contains("more4"));
        apply(&mut firewall, &[ban("127.0.0.2", HOUR)]);
    });
}
