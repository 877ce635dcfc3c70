//! Trying the kernel out, which must leave nothing behind and take nothing away.

use super::*;
use crate::namespace::{in_namespace, without_privilege};

#[test]
fn a_trial_leaves_nothing_behind() {
    in_namespace("firewall::tests::trial::a_trial_leaves_nothing_behind", || {
        nft("add table inet other");
        let before = nft("list ruleset");
        assert_eq!(Firewall::open_existing().unwrap().try_out(), Ok(()));
        assert_eq!(nft("list ruleset"), before);
    });
}

#[test]
fn a_trial_takes_nothing_away() {
    in_namespace("firewall::tests::trial::a_trial_takes_nothing_away", || {
        let mut firewall = ready();
        apply(&mut firewall, &[ban("203.0.113.9", HOUR)]);
        let before = nft("list ruleset");
        assert_eq!(Firewall::open_existing().unwrap().try_out(), Ok(()));
        let listed = |text: &str| text.lines().filter(|line| !line.contains("expires")).count();
        assert_eq!(listed(&nft("list ruleset")), listed(&before));
        assert_eq!(firewall.elements().unwrap().len(), 1);
    });
}

#[test]
fn whoever_may_not_is_told() {
    without_privilege("firewall::tests::trial::whoever_may_not_is_told", || {
        assert!(Firewall::open_existing().unwrap().try_out().unwrap_err().is_permission());
    });
}
