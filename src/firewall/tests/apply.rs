//! Changes: that each ends as it should, whatever was there before.

use nix::sys::socket::setsockopt;
use nix::sys::socket::sockopt::SndBuf;

use super::*;
use crate::firewall::{Attempt, FirewallError};
use crate::namespace::{in_namespace, nft};

#[test]
fn the_kernel_holds_what_was_banned() {
    in_namespace("firewall::tests::apply::the_kernel_holds_what_was_banned", || {
        let mut firewall = ready();
        let permanent = Change::Ban { target: net("203.0.113.10").into(), left: None };
        apply(&mut firewall, &[ban("203.0.113.9", HOUR), permanent, ban("2001:db8::1", 3 * HOUR)]);
        let host4 = shown("host4");
        assert_eq!(host4["203.0.113.9"].unwrap().0, 3_600);
        assert!((3_590..=3_600).contains(&host4["203.0.113.9"].unwrap().1));
        assert_eq!(host4["203.0.113.10"], None);
        assert_eq!(shown("host6")["2001:db8::1"].unwrap().0, 3 * 3_600);
        assert_left(firewall.contains(net("203.0.113.9").into()).unwrap(), HOUR);
        assert_eq!(firewall.contains(net("203.0.113.11").into()).unwrap(), None);
        assert_eq!(
            firewall.contains(net("2001:db8::/64").into()).unwrap(),
            None,
            "a set that does not exist"
        );
        assert_eq!(firewall.elements().unwrap().len(), 3);
    });
}

#[test]
fn a_ban_ends_with_the_time_it_was_given() {
    in_namespace("firewall::tests::apply::a_ban_ends_with_the_time_it_was_given", || {
        let mut firewall = ready();
        let permanent = Change::Ban { target: net("203.0.113.9").into(), left: None };
        let times = [HOUR, HOUR, 5 * HOUR, HOUR / 2];
        for (last, left) in times.into_iter().enumerate() {
            apply(&mut firewall, &[ban("203.0.113.9", left)]);
            let (timeout, expires) = shown("host4")["203.0.113.9"].unwrap();
            assert_eq!(timeout, left.as_secs(), "time {last}");
            assert!(expires + 10 > timeout && expires <= timeout);
        }
        apply(&mut firewall, &[permanent]);
        assert_eq!(shown("host4")["203.0.113.9"], None);
        apply(&mut firewall, &[ban("203.0.113.9", HOUR)]);
        assert_eq!(shown("host4")["203.0.113.9"].unwrap().0, 3_600);
    });
}

#[test]
fn old_and_new_bans_go_together() {
    in_namespace("firewall::tests::apply::old_and_new_bans_go_together", || {
        let mut firewall = ready();
        apply(&mut firewall, &bans_of(0..1_000, HOUR));
        apply(&mut firewall, &bans_of(500..2_500, 2 * HOUR));
        let host4 = shown("host4");
        assert_eq!(host4.len(), 2_500);
        let twice = host4.values().filter(|times| times.unwrap().0 == 7_200).count();
        assert_eq!(twice, 2_000);
    });
}

#[test]
fn whoever_was_taken_for_new_and_was_not_gets_the_new_time_all_the_same() {
    in_namespace(
        "firewall::tests::apply::whoever_was_taken_for_new_and_was_not_gets_the_new_time_all_the_same",
        || {
            let mut firewall = ready();
            let long = Duration::from_secs(3_600);
            apply(&mut firewall, &[ban("192.0.2.7", Duration::from_secs(60))]);
            let changes = [
                ban("192.0.2.6", long),
                ban("192.0.2.7", long),
                ban("2001:db8::/64", long),
                lift("192.0.2.8"),
            ];
            let new = changes.iter().map(Change::target).collect();
            for round in ["one was there", "all were there"] {
                assert_eq!(firewall.apply_guessing(&changes, &new).unwrap(), [], "{round}");
                for change in &changes[..3] {
                    assert_left(firewall.contains(change.target()).unwrap(), long);
                }
                assert_eq!(firewall.contains(changes[3].target()).unwrap(), None);
            }
        },
    );
}

/// What `nft monitor` prints while `deed` is done.
fn heard_of(deed: impl FnOnce()) -> String {
    let file = std::env::temp_dir().join(format!("kban-heard-{}", std::process::id()));
    let output = std::fs::File::create(&file).unwrap();
    let mut monitor = std::process::Command::new("nft").arg("monitor").stdout(output).spawn().unwrap();
    let heard = || std::fs::read_to_string(&file).unwrap();
    let says = |name: &str| {
        while !heard().contains(name) {
            nft(&format!("add table inet {name}"));
            nft(&format!("delete table inet {name}"));
            std::thread::sleep(Duration::from_millis(20));
        }
    };
    says("begin");
    deed();
    says("over");
    monitor.kill().unwrap();
    monitor.wait().unwrap();
    let heard = heard();
    std::fs::remove_file(&file).unwrap();
    heard
}

/// Whoever listens to the table hears one word of a new offender, where it hears three of one whose time is changed.
#[test]
fn whoever_is_new_is_only_added() {
    in_namespace("firewall::tests::apply::whoever_is_new_is_only_added", || {
        let mut firewall = ready();
        let heard = heard_of(|| {
            let changes = bans_of(0..2, Duration::from_secs(60));
            let new = changes.iter().map(Change::target).collect();
            assert_eq!(firewall.apply_guessing(&changes, &new).unwrap(), []);
        });
        // "create" or, of an older kernel, "add".
        assert_eq!(heard.matches(" element").count(), 2, "{heard}");
    });
}

#[test]
fn the_last_change_of_a_prefix_counts() {
    in_namespace("firewall::tests::apply::the_last_change_of_a_prefix_counts", || {
        let mut firewall = ready();
        apply(
            &mut firewall,
            &[
                ban("203.0.113.9", HOUR),
                lift("203.0.113.10"),
                ban("203.0.113.9", 2 * HOUR),
                ban("203.0.113.10", HOUR),
                ban("203.0.113.11", HOUR),
                lift("203.0.113.11"),
            ],
        );
        let host4 = shown("host4");
        assert_eq!(host4["203.0.113.9"].unwrap().0, 7_200);
        assert_eq!(host4.into_keys().collect::<Vec<_>>(), ["203.0.113.10", "203.0.113.9"]);
        apply(&mut firewall, &[]);
    });
}

#[test]
fn what_is_not_there_is_lifted() {
    in_namespace("firewall::tests::apply::what_is_not_there_is_lifted", || {
        let mut firewall = ready();
        apply(&mut firewall, &[ban("203.0.113.9", HOUR)]);
        apply(&mut firewall, &[lift("203.0.113.10"), lift("203.0.113.9"), lift("2001:db8::/64")]);
        assert_eq!(firewall.elements().unwrap(), []);
        let lifts: Vec<_> = (0..2_000).map(|number| Change::Lift { target: many(number).into() }).collect();
        apply(&mut firewall, &lifts);
        assert_eq!(firewall.elements().unwrap(), []);
    });
}

#[test]
fn a_ban_that_expired_is_lifted_and_can_come_back() {
    in_namespace("firewall::tests::apply::a_ban_that_expired_is_lifted_and_can_come_back", || {
        let mut firewall = ready();
        // The shortest ban must end, not become permanent.
        apply(&mut firewall, &[ban("203.0.113.9", Duration::ZERO), ban("203.0.113.10", Duration::ZERO)]);
        while firewall.contains(net("203.0.113.9").into()).unwrap().is_some() {
            std::thread::yield_now();
        }
        apply(&mut firewall, &[lift("203.0.113.9"), ban("203.0.113.10", HOUR)]);
        assert_left(firewall.contains(net("203.0.113.10").into()).unwrap(), HOUR);
    });
}

#[test]
fn thousands_all_arrive() {
    in_namespace("firewall::tests::apply::thousands_all_arrive", || {
        let mut firewall = ready();
        // 2,500 elements in one message are where a 16-bit length wraps unnoticed.
        apply(&mut firewall, &bans_of(0..2_500, HOUR));
        assert_eq!(shown("host4").len(), 2_500);
        apply(&mut firewall, &bans_of(2_500..12_500, HOUR));
        assert_eq!(firewall.elements().unwrap().len(), 12_500);
        assert_eq!(shown("host4").len(), 12_500);
    });
}

#[test]
fn many_are_asked_for_together_and_each_is_answered() {
    in_namespace("firewall::tests::apply::many_are_asked_for_together_and_each_is_answered", || {
        let mut firewall = ready();
        apply(&mut firewall, &bans_of(0..500, HOUR));
        let lifts = (0..500).step_by(3).map(|number| Change::Lift { target: many(number).into() });
        apply(&mut firewall, &lifts.collect::<Vec<_>>());
        let targets: Vec<Target> = (0..500).map(|number| many(number).into()).collect();
        let held = firewall.contains_each(&targets).unwrap();
        assert_eq!(held.len(), 500);
        for (number, (held, target)) in held.iter().zip(&targets).enumerate() {
            assert_eq!(held.map(|element| element.target), (number % 3 != 0).then_some(*target), "{number}");
        }
        assert_eq!(firewall.contains_each(&[]).unwrap(), []);
        assert_left(firewall.contains(many(1).into()).unwrap(), HOUR);
        nft("flush ruleset");
        assert!(firewall.contains_each(&targets).unwrap_err().is_missing());
    });
}

#[test]
fn a_small_send_buffer_makes_smaller_transactions() {
    in_namespace("firewall::tests::apply::a_small_send_buffer_makes_smaller_transactions", || {
        let mut firewall = ready();
        firewall.socket.limit_sending(50_000);
        apply(&mut firewall, &bans_of(0..2_500, HOUR));
        apply(&mut firewall, &bans_of(0..5_000, 2 * HOUR));
        let host4 = shown("host4");
        assert_eq!(host4.len(), 5_000);
        assert!(host4.values().all(|times| times.unwrap().0 == 7_200));
    });
}

#[test]
fn the_bits_behind_a_prefix_make_no_difference() {
    in_namespace("firewall::tests::apply::the_bits_behind_a_prefix_make_no_difference", || {
        let mut firewall = ready();
        apply(&mut firewall, &[ban("203.0.113.77/24", HOUR), ban("2001:db8::1:2:3:4/64", HOUR)]);
        apply(&mut firewall, &[ban("203.0.113.78/24", 2 * HOUR)]);
        assert_eq!(shown("net4_24").into_keys().collect::<Vec<_>>(), ["203.0.113.0"]);
        assert_eq!(shown("net6_64").into_keys().collect::<Vec<_>>(), ["2001:db8::"]);
        assert_left(firewall.contains(net("203.0.113.79/24").into()).unwrap(), 2 * HOUR);
        apply(&mut firewall, &[lift("203.0.113.80/24"), lift("2001:db8::5/64")]);
        assert_eq!(firewall.elements().unwrap(), []);
    });
}

#[test]
fn what_the_kernel_grants_by_default_is_enough() {
    in_namespace("firewall::tests::apply::what_the_kernel_grants_by_default_is_enough", || {
        let mut firewall = ready();
        // `net.core.wmem_max` as the kernel has it, which nobody exceeds from a user namespace.
        setsockopt(&firewall.socket, SndBuf, &(212_992 / 2)).unwrap();
        firewall.socket.limit_sending(212_992 - 32);
        let room = firewall.changes_per_batch();
        let bans = u32::try_from(2 * room + 1).unwrap();
        let before = firewall.socket.commits();
        apply(&mut firewall, &bans_of(0..bans, HOUR));
        assert_eq!(firewall.socket.commits() - before, 3);
        assert_eq!(shown("host4").len(), 2 * room + 1);
    });
}

#[test]
fn a_full_set_takes_what_it_can() {
    in_namespace("firewall::tests::apply::a_full_set_takes_what_it_can", || {
        let mut firewall = Firewall::open(Options::sized(1_000)).unwrap();
        firewall.set_up(&[]).unwrap();
        apply(&mut firewall, &bans_of(0..700, HOUR));
        let mut changes = bans_of(600..1_500, 2 * HOUR);
        changes.extend([
            ban("2001:db8::1", HOUR),
            lift("203.0.113.9"),
            Change::Lift { target: many(1).into() },
        ]);
        let rejected = firewall.apply(&changes).unwrap();
        // 699 are left, 600 to 699 are known, and 301 of the other 800 have room.
        assert_eq!(rejected.len(), 499);
        for rejected in &rejected {
            assert!(rejected.error.is_full(), "{}", rejected.error);
            assert_eq!(firewall.contains(rejected.change.target()).unwrap(), None);
        }
        let host4 = shown("host4");
        assert_eq!(host4.len(), 1_000);
        assert_eq!(host4.values().filter(|times| times.unwrap().0 == 7_200).count(), 401);
        assert_eq!(shown("host6").len(), 1, "the other set is not full");
        // A full set can still be changed and emptied.
        apply(&mut firewall, &bans_of(650..700, 3 * HOUR));
        assert_left(firewall.contains(many(650).into()).unwrap(), 3 * HOUR);
        apply(&mut firewall, &[lift("203.0.113.9"), Change::Lift { target: many(650).into() }]);
        assert_eq!(shown("host4").len(), 999);
    });
}

#[test]
fn one_bad_change_does_not_keep_back_the_others() {
    in_namespace("firewall::tests::apply::one_bad_change_does_not_keep_back_the_others", || {
        let mut firewall = ready();
        let mut changes = bans_of(0..899, HOUR);
        let endless = ban("203.0.113.9", Duration::from_secs(600 * 366 * 24 * 3_600));
        changes.insert(300, endless);
        changes.push(ban("10.0.0.0/8", HOUR));
        let rejected = firewall.apply(&changes).unwrap();
        let prefixes: Vec<_> = rejected.iter().map(|rejected| rejected.change).collect();
        assert_eq!(prefixes, [ban("10.0.0.0/8", HOUR), endless]);
        assert_eq!(rejected[0].error, FirewallError::NoSet { target: net("10.0.0.0/8").into() });
        let attempt = Attempt::Change { first: 301, last: 301, of: 900 };
        assert_eq!(rejected[1].error, FirewallError::TooLong { attempt });
        assert_eq!(shown("host4").len(), 899);
    });
}
