//! Whose the table is. Those that begin with [`owned`] need a kernel that keeps owned tables (Linux 6.9); where it does
//! not, they fail and say so, and `scripts/test-kernels` names them. What is true of every kernel is
//! `what_is_probed_is_what_the_kernel_does`.

use std::os::fd::IntoRawFd;
use std::process::Command;

use super::*;
use crate::firewall::FirewallError;
use crate::namespace::{in_namespace, without_privilege};

/// A table that is ours alone.
fn owned() -> Firewall {
    let mut firewall = Firewall::open(Options::sized(65_536)).unwrap();
    assert!(firewall.can_own().unwrap(), "this kernel keeps no owned table: use Linux 6.9 or later");
    firewall.set_owned(true);
    firewall.set_up(&[]).unwrap();
    firewall
}

/// What nft says if it does not succeed.
fn refused(command: &str) -> Option<String> {
    let output = Command::new("nft").args(command.split(' ')).output().unwrap();
    (!output.status.success()).then(|| String::from_utf8(output.stderr).unwrap())
}

fn held(firewall: &mut Firewall) -> usize {
    firewall.elements().unwrap().len()
}

#[test]
fn what_is_probed_is_what_the_kernel_does() {
    in_namespace("firewall::tests::owner::what_is_probed_is_what_the_kernel_does", || {
        let mut firewall = Firewall::open(Options::sized(65_536)).unwrap();
        let can = firewall.can_own().unwrap();
        assert_eq!(nft("list ruleset"), "", "trying leaves nothing behind");
        firewall.set_owned(true);
        let made = firewall.set_up(&[]);
        drop(firewall);
        assert_eq!(made.is_ok(), can, "{made:?}");
        assert_eq!(
            nft("list tables").contains("table inet kban"),
            can,
            "it outlives its owner or is not made"
        );
        // Plain works wherever owned does not.
        let mut plain = ready();
        apply(&mut plain, &[ban("203.0.113.9", HOUR)]);
        assert_eq!(shown_flags(), None);
    });
}

#[test]
fn what_is_owned_is_passed_by() {
    in_namespace("firewall::tests::owner::what_is_owned_is_passed_by", || {
        let mut firewall = owned();
        apply(&mut firewall, &bans_of(0..1_000, HOUR));
        nft("flush ruleset");
        assert_eq!(held(&mut firewall), 1_000, "its flusher sees success, and it is still there");
        for command in [
            "delete table inet kban",
            "flush table inet kban",
            "add element inet kban host4 { 203.0.113.9 }",
            "delete element inet kban host4 { 11.0.0.1 }",
        ] {
            assert!(refused(command).unwrap().contains("Operation not permitted"), "{command}");
        }
        assert_eq!(held(&mut firewall), 1_000);
    });
}

#[test]
fn a_plain_table_is_flushed_and_made_anew_whole() {
    in_namespace("firewall::tests::owner::a_plain_table_is_flushed_and_made_anew_whole", || {
        let mut firewall = ready();
        let allow = nets(&["10.0.0.0/8"]);
        firewall.set_allow(&allow).unwrap();
        apply(&mut firewall, &bans_of(0..1_000, HOUR));
        let bans = firewall.elements().unwrap();
        let whole = nft("list table inet kban").lines().filter(|line| !line.contains("expires")).count();
        nft("flush ruleset");
        assert_eq!(firewall.make_anew(&allow, &bans, &[]).unwrap(), []);
        assert_eq!(shown("host4").len(), 1_000);
        let again = nft("list table inet kban").lines().filter(|line| !line.contains("expires")).count();
        assert_eq!(again, whole);
        // Also when nobody took it away, and with nobody in it.
        nft("flush chain inet kban prerouting");
        assert_eq!(firewall.make_anew(&allow, &[], &[]).unwrap(), []);
        assert_eq!(held(&mut firewall), 0);
        apply(&mut firewall, &[ban("203.0.113.9", HOUR)]);
        assert!(nft("list chain inet kban prerouting").contains("@host4"));
    });
}

#[test]
fn an_orphan_keeps_its_bans_is_anybodys_and_is_claimed() {
    in_namespace("firewall::tests::owner::an_orphan_keeps_its_bans_is_anybodys_and_is_claimed", || {
        let mut firewall = owned();
        apply(&mut firewall, &bans_of(0..1_000, HOUR));
        drop(firewall);
        // As banctl does without a daemon.
        let mut without_daemon = Firewall::open_existing().unwrap();
        assert_eq!(held(&mut without_daemon), 1_000);
        apply(&mut without_daemon, &[Change::Lift { target: many(0).into() }]);
        let mut next = Firewall::open(Options::sized(65_536)).unwrap();
        next.set_owned(true);
        assert_eq!(next.set_up(&[]).unwrap().len(), 999);
        nft("flush ruleset");
        assert_eq!(held(&mut next), 999);
        let error = without_daemon.apply(&[Change::Lift { target: many(1).into() }]).unwrap_err();
        assert_eq!(
            error,
            FirewallError::Owned {
                attempt: crate::firewall::Attempt::Change { first: 1, last: 1, of: 1 },
                port: next.port(),
            }
        );
        assert!(matches!(without_daemon.remove_table(), Err(FirewallError::Owned { .. })));
        drop(next);
        without_daemon.remove_table().unwrap();
        assert!(without_daemon.elements().unwrap_err().is_missing());
    });
}

#[test]
fn a_second_owner_is_refused() {
    in_namespace("firewall::tests::owner::a_second_owner_is_refused", || {
        let mut first = owned();
        apply(&mut first, &bans_of(0..10, HOUR));
        for owned in [false, true] {
            let mut second = Firewall::open(Options::sized(65_536)).unwrap();
            second.set_owned(owned);
            let error = second.set_up(&[]).unwrap_err();
            assert!(error.to_string().contains("another program owns the table"), "{error}");
            let error = second.make_anew(&[], &[], &[]).unwrap_err();
            assert!(error.to_string().contains("another program owns the table"), "{error}");
        }
        assert_eq!(held(&mut first), 10);
    });
}

#[test]
fn a_table_becomes_owned_and_plain_again_with_its_bans() {
    in_namespace("firewall::tests::owner::a_table_becomes_owned_and_plain_again_with_its_bans", || {
        let mut firewall = ready();
        apply(&mut firewall, &bans_of(0..3_000, HOUR));
        for owned in [true, false, true] {
            firewall.set_owned(owned);
            assert_eq!(firewall.set_up(&[]).unwrap().len(), 3_000);
            // Owner and persist, or nothing: owner alone would lose every ban with its owner.
            assert_eq!(shown_flags(), owned.then_some(2 | 4));
            assert_eq!(held(&mut firewall), 3_000);
        }
        drop(firewall);
        // What an owned table leaves behind is no plain table, and becomes one.
        let mut plain = Firewall::open(Options::sized(65_536)).unwrap();
        assert_eq!(plain.set_up(&[]).unwrap().len(), 3_000);
        assert_eq!(shown_flags(), None);
        assert_eq!(held(&mut plain), 3_000);
    });
}

/// The flags that the table has, as the kernel says.
fn shown_flags() -> Option<u32> {
    let mut socket = crate::firewall::netlink::socket::Socket::open().unwrap();
    let (flags, _) = crate::firewall::ruleset::read_head(&mut socket).unwrap().unwrap();
    (flags != 0).then_some(flags)
}

#[test]
fn a_socket_that_was_kept_still_owns_the_table() {
    in_namespace("firewall::tests::owner::a_socket_that_was_kept_still_owns_the_table", || {
        let mut firewall = owned();
        apply(&mut firewall, &bans_of(0..1_000, HOUR));
        let kept = firewall.descriptor().try_clone_to_owned().unwrap();
        drop(firewall);
        nft("flush ruleset");
        let mut next = Firewall::inherit(kept.into_raw_fd(), Options::sized(65_536)).unwrap();
        next.set_owned(true);
        assert_eq!(next.set_up(&[]).unwrap().len(), 1_000);
        nft("flush ruleset");
        apply(&mut next, &bans_of(1_000..1_001, HOUR));
        assert_eq!(held(&mut next), 1_001);
    });
}

#[test]
fn what_is_no_socket_to_the_firewall_is_not_taken() {
    let file = tempfile::tempfile().unwrap();
    let error = Firewall::inherit(file.into_raw_fd(), Options::sized(10)).err().unwrap();
    assert!(error.to_string().starts_with("opening a socket to the kernel's firewall failed"), "{error}");
    let (socket, _other) = std::os::unix::net::UnixStream::pair().unwrap();
    assert!(Firewall::inherit(socket.into_raw_fd(), Options::sized(10)).is_err());
}

#[test]
fn the_socket_stays_the_same_after_a_failure() {
    in_namespace("firewall::tests::owner::the_socket_stays_the_same_after_a_failure", || {
        let mut firewall = owned();
        apply(&mut firewall, &bans_of(0..5_000, HOUR));
        let port = firewall.port();
        // A list that is given up in the middle leaves the rest of it in the socket.
        let given_up = firewall.socket.dump(
            crate::firewall::netlink::constants::NFT_MSG_GETSETELEM,
            |attrs| crate::firewall::elements::name_set(attrs, Set::HOST4),
            |_| Err(crate::firewall::NetlinkError::Malformed),
        );
        assert!(given_up.is_err());
        assert_eq!(held(&mut firewall), 5_000);
        assert_eq!(firewall.port(), port);
        nft("flush ruleset");
        assert_eq!(held(&mut firewall), 5_000, "it still owns the table");
    });
}

#[test]
fn others_commits_are_told_from_ours() {
    in_namespace("firewall::tests::owner::others_commits_are_told_from_ours", || {
        let mut firewall = ready();
        assert!(firewall.others_committed().unwrap(), "not known yet");
        assert!(!firewall.others_committed().unwrap());
        apply(&mut firewall, &bans_of(0..10, HOUR));
        apply(&mut firewall, &[Change::Lift { target: many(3).into() }]);
        assert!(!firewall.others_committed().unwrap(), "it was us");
        nft("add table inet other");
        assert!(firewall.others_committed().unwrap());
        assert!(!firewall.others_committed().unwrap());
    });
}

#[test]
fn whether_the_kernel_can_is_not_asked_without_privilege() {
    without_privilege(
        "firewall::tests::owner::whether_the_kernel_can_is_not_asked_without_privilege",
        || {
            assert!(Firewall::open(Options::sized(10)).unwrap().can_own().unwrap_err().is_permission());
        },
    );
}
