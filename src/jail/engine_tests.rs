//! What the engine promises, with time as an argument.

use super::*;
use crate::config::network::Ignored;
use crate::config::plan::{JailPlan, Plan};
use crate::jail::by_hand::{ByHand, Refusal};
use crate::jail::jails::Tally;
use crate::jail::{MANUAL, shown};

const HOUR: Duration = Duration::from_secs(3600);

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + second).unwrap()
}

fn jail(name: &str, maxretry: u32) -> JailPlan {
    let ignoreip = Ignored { networks: vec!["198.51.100.0/24".parse().unwrap()], lookups: Vec::new() };
    JailPlan { maxretry, ignoreip, max_tracked: 100, ..JailPlan::named(name) }
}

fn engine(maxretry: u32) -> Engine {
    let mut engine = Engine::new();
    engine.configure(&Plan::of(vec![jail("sshd", maxretry), jail("mail", maxretry)], &["192.0.2.0/24"]));
    engine.set_own_addresses(["203.0.113.254".parse().unwrap(), "2001:db8:1::1".parse().unwrap()], []);
    engine
}

fn fail(engine: &mut Engine, address: &str, second: i64) -> Option<Verdict> {
    let failure = Failure::of(address, at(second));
    match engine.observe(JailId(0), &failure, None, &"auth.log".into(), at(second)) {
        Judgement::Verdicts(verdicts) => verdicts.into_iter().next(),
        Judgement::Nothing | Judgement::Counted(_) | Judgement::Ask(_) | Judgement::StillHeard(_) => None,
    }
}

fn prefix(text: &str) -> IpNet {
    crate::jail::written(text).unwrap()
}

#[test]
fn maxretry_failures_ban_for_bantime() {
    let mut engine = engine(3);
    assert_eq!(fail(&mut engine, "203.0.113.9", 0), None);
    assert_eq!(fail(&mut engine, "203.0.113.9", 1), None);
    let verdict = fail(&mut engine, "203.0.113.9", 2).unwrap();
    assert_eq!(verdict.ban().until, Some(at(3602)));
    assert_eq!(&*verdict.ban().reason, "3 failures within 10m");
    assert_eq!(engine.remaining(&prefix("203.0.113.9/32"), None, None, at(2)), Remaining::For(HOUR));
}

#[test]
fn nobody_who_is_allowed_is_banned() {
    let mut engine = engine(1);
    for address in
        ["192.0.2.7", "198.51.100.1", "203.0.113.254", "::ffff:192.0.2.7", "0.0.0.0", "ff02::1", "127.0.0.53"]
    {
        assert_eq!(fail(&mut engine, address, 0), None, "{address}");
    }
    assert_eq!(engine.jails()[0].tally.ignored, 7);
    assert!(engine.bans().is_empty());
}

#[test]
fn mapped_addresses_are_the_ipv4_address() {
    let mut engine = engine(2);
    fail(&mut engine, "::ffff:203.0.113.9", 0);
    assert_eq!(fail(&mut engine, "203.0.113.9", 0).unwrap().ban().prefix, prefix("203.0.113.9/32"));
}

#[test]
fn ipv6_is_counted_and_banned_by_network() {
    let mut engine = engine(2);
    fail(&mut engine, "2001:db8:2::1", 0);
    assert_eq!(fail(&mut engine, "2001:db8:2::2", 0).unwrap().ban().prefix, prefix("2001:db8:2::/64"));
}

#[test]
fn a_network_of_ours_and_the_local_link_are_never_banned_whole() {
    let mut engine = engine(1);
    assert_eq!(fail(&mut engine, "2001:db8:1::66", 0).unwrap().ban().prefix, prefix("2001:db8:1::66/128"));
    assert_eq!(fail(&mut engine, "fe80::66", 0).unwrap().ban().prefix, prefix("fe80::66/128"));
}

#[test]
fn who_is_banned_is_not_counted_again() {
    let mut engine = engine(1);
    assert!(fail(&mut engine, "203.0.113.9", 0).is_some());
    assert_eq!(fail(&mut engine, "203.0.113.9", 1), None);
    assert_eq!(
        engine.jails()[0].tally,
        Tally { failures: 2, already_banned: 1, bans: 1, ..Tally::default() }
    );
}

#[test]
fn a_network_that_the_log_names_is_counted_and_banned_whole_unless_it_may_not_be() {
    let mut engine = engine(2);
    let mut of_network = |address: &str, length: u8, second| {
        let (address, prefix_len) = (address.parse().unwrap(), Some(length));
        let failure = Failure { time: at(second), address, prefix_len, pattern: 0, attempts: 1 };
        engine.observe(JailId(0), &failure, None, &"auth.log".into(), at(second))
    };
    assert_eq!(of_network("203.0.112.9", 24, 0), Judgement::Counted(prefix("203.0.112.0/24")));
    let Judgement::Verdicts(verdicts) = of_network("203.0.112.77", 24, 1) else { panic!("no ban") };
    assert_eq!(verdicts[0].ban().prefix, prefix("203.0.112.0/24"));
    for (address, length, counted) in [
        ("203.0.111.9", 0, "203.0.111.9"),
        ("2001:db8:2::9", 48, "2001:db8:2::/48"),
        ("2001:db8:2::9", 1, "2001:db8:2::/64"),
        // The machine's own 203.0.113.254, 198.51.100.0/24 of the jail's ignoreip, 192.0.2.0/24 of everybody's.
        ("203.0.113.9", 24, "203.0.113.9"),
        ("198.51.101.9", 23, "198.51.101.9"),
        ("192.0.3.9", 23, "192.0.3.9"),
    ] {
        assert_eq!(of_network(address, length, 2), Judgement::Counted(prefix(counted)), "{address}/{length}");
    }
    assert_eq!(of_network("192.0.2.9", 16, 3), Judgement::Nothing, "itself is allowed");
}

#[test]
fn old_lines_never_ban() {
    let mut engine = engine(1);
    let failure = Failure {
        time: at(0),
        address: "203.0.113.9".parse().unwrap(),
        prefix_len: None,
        pattern: 0,
        attempts: 1,
    };
    assert_eq!(engine.observe(JailId(0), &failure, None, &"auth.log".into(), at(601)), Judgement::Nothing);
    assert_eq!(engine.jails()[0].tally.stale, 1);
}

#[test]
fn bans_end_by_themselves_and_are_counted_when_they_come_back() {
    let mut engine = engine(1);
    fail(&mut engine, "203.0.113.9", 0);
    assert_eq!(engine.expire_next(at(3599)), None);
    assert!(matches!(engine.expire_next(at(3600)), Some(Verdict::Unban(_, Ending::Expired))));
    assert_eq!(fail(&mut engine, "203.0.113.9", 4000).unwrap().ban().count, 2);
}

#[test]
fn a_ban_by_hand_is_exact_and_names_its_jail() {
    let mut engine = engine(3);
    let v6 = engine
        .ban(&ByHand { prefix: prefix("2001:db8:2::1"), jail: None, bantime: None, reason: "spam" }, at(0))
        .unwrap();
    assert_eq!((v6.ban().prefix, &*v6.ban().jail), (prefix("2001:db8:2::1/128"), MANUAL));
    let v4 = engine
        .ban(
            &ByHand {
                prefix: prefix("203.0.113.9"),
                jail: Some("sshd"),
                bantime: Some(BanTime::Permanent),
                reason: "",
            },
            at(0),
        )
        .unwrap();
    assert_eq!((v4.ban().until, &*v4.ban().jail), (None, "sshd"));
    let refused = engine
        .ban(&ByHand { prefix: prefix("192.0.2.1"), jail: None, bantime: None, reason: "" }, at(0))
        .unwrap_err();
    assert!(matches!(refused, Refusal::Allowed { .. }));
    assert!(matches!(
        engine.ban(&ByHand { prefix: prefix("203.0.113.254"), jail: None, bantime: None, reason: "" }, at(0)),
        Err(Refusal::Own(_))
    ));
}

#[test]
fn reload_keeps_counts_and_ends_the_bans_of_jails_that_go() {
    let mut engine = engine(3);
    fail(&mut engine, "203.0.113.9", 0);
    fail(&mut engine, "203.0.113.9", 0);
    engine
        .ban(&ByHand { prefix: prefix("203.0.113.1"), jail: Some("mail"), bantime: None, reason: "" }, at(0))
        .unwrap();
    engine
        .ban(&ByHand { prefix: prefix("203.0.113.2"), jail: None, bantime: None, reason: "" }, at(0))
        .unwrap();
    let lifts = engine.configure(&Plan::of(vec![jail("sshd", 3)], &[]));
    let ended: Vec<Verdict> = lifts.into_iter().flat_map(|lift| engine.lift_all(lift)).collect();
    assert_eq!(
        ended.iter().map(|verdict| verdict.ban().prefix).collect::<Vec<_>>(),
        [prefix("203.0.113.1/32")]
    );
    assert_eq!(engine.bans().len(), 1, "bans by hand stay");
    assert!(fail(&mut engine, "203.0.113.9", 1).is_some(), "two failures were counted before the reload");
}

#[test]
fn who_is_allowed_by_a_reload_is_let_in_at_once() {
    let mut engine = engine(1);
    fail(&mut engine, "203.0.113.9", 0);
    fail(&mut engine, "203.0.113.200", 0);
    let lifts = engine.configure(&Plan::of(vec![jail("sshd", 1), jail("mail", 1)], &["203.0.113.128/25"]));
    let ended: Vec<Verdict> = lifts.into_iter().flat_map(|lift| engine.lift_all(lift)).collect();
    assert_eq!(ended.len(), 1);
    assert!(
        matches!(&ended[0], Verdict::Unban(ban, Ending::Allowed) if ban.prefix == prefix("203.0.113.200/32"))
    );
}

#[test]
fn unban_of_one_jail_keeps_the_others() {
    let mut engine = engine(3);
    let prefix = prefix("203.0.113.9");
    engine.ban(&ByHand { prefix, jail: Some("sshd"), bantime: None, reason: "" }, at(0)).unwrap();
    engine
        .ban(&ByHand { prefix, jail: Some("mail"), bantime: Some(BanTime::Permanent), reason: "" }, at(0))
        .unwrap();
    let lifted = engine.lift_all(Lift::by_hand(Some("mail"), None));
    assert_eq!(lifted.len(), 1);
    assert_eq!(engine.remaining(&prefix, None, None, at(0)), Remaining::For(Duration::from_secs(3600)));
}

#[test]
fn what_was_acted_upon_before_a_restart_is_counted_and_leads_to_nothing() {
    let mut engine = engine(3);
    let failure = |second| Failure {
        time: at(second),
        address: "203.0.113.9".parse().unwrap(),
        prefix_len: None,
        pattern: 0,
        attempts: 1,
    };
    for second in 0..5 {
        engine.recall(JailId(0), &failure(second), at(10));
    }
    assert!(engine.bans().is_empty(), "three of the five had led to a ban");
    assert!(fail(&mut engine, "203.0.113.9", 11).is_some(), "the other two still count");
    assert_eq!(engine.jails()[0].tally.failures, 1);
}

#[test]
fn what_was_found_in_the_kernel_is_replaced_once_it_has_a_reason() {
    let mut engine = engine(1);
    let adopted = |prefix: &str, until| Ban {
        prefix: prefix.parse().unwrap(),
        jail: ADOPTED.into(),
        since: at(0),
        until,
        count: 1,
        source: "kernel".into(),
        reason: "".into(),
        services: None,
        renew: None,
    };
    engine.restore(adopted("203.0.113.9/32", Some(at(60))));
    engine.restore(adopted("203.0.113.10/32", None));
    fail(&mut engine, "203.0.113.9", 0);
    fail(&mut engine, "203.0.113.10", 0);
    let rows: Vec<_> = engine.bans().iter().map(|ban| (shown(&ban.prefix), ban.jail.to_string())).collect();
    let row = |address: &str, jail: &str| (address.to_owned(), jail.to_owned());
    assert_eq!(rows, [row("203.0.113.9", "sshd"), row("203.0.113.10", ADOPTED), row("203.0.113.10", "sshd")]);
}

#[test]
fn who_is_banned_and_still_heard_is_told_apart_from_what_was_on_its_way() {
    let mut engine = engine(1);
    fail(&mut engine, "203.0.113.9", 0);
    let mut observe = |second| {
        let address = "203.0.113.9".parse().unwrap();
        let failure = Failure { time: at(second), address, prefix_len: None, pattern: 0, attempts: 1 };
        engine.observe(JailId(0), &failure, None, &"auth.log".into(), at(second))
    };
    assert_eq!(observe(1), Judgement::Nothing);
    assert_eq!(observe(5), Judgement::StillHeard(prefix("203.0.113.9/32")));
}

#[test]
fn an_address_of_our_own_that_comes_later_lets_its_network_in() {
    let mut engine = engine(1);
    fail(&mut engine, "2001:db8:7::66", 0);
    fail(&mut engine, "203.0.113.9", 0);
    let lift = engine.set_own_addresses(["2001:db8:7::1".parse().unwrap()], []).unwrap();
    let ended = engine.lift_all(lift);
    assert_eq!(
        ended.iter().map(|verdict| verdict.ban().prefix).collect::<Vec<_>>(),
        [prefix("2001:db8:7::/64")]
    );
    assert!(engine.set_own_addresses(["2001:db8:7::1".parse().unwrap()], []).is_none(), "nothing new");
}

#[test]
fn the_bans_in_force_are_bounded() {
    let mut engine = engine(1);
    for n in 0..10_100_u32 {
        fail(&mut engine, &std::net::Ipv4Addr::from(0x0a00_0000 + n).to_string(), 0);
    }
    assert_eq!((engine.bans().len(), engine.jails()[0].tally.no_room), (10_000, 100));
    let refused = engine
        .ban(&ByHand { prefix: prefix("203.0.113.9"), jail: None, bantime: None, reason: "" }, at(0))
        .unwrap_err();
    assert!(refused.to_string().contains("set_size"));
}

#[test]
fn a_ban_by_hand_lasts_as_long_as_the_defaults_say() {
    let mut engine = engine(1);
    let ban = engine
        .ban(&ByHand { prefix: prefix("203.0.113.9"), jail: None, bantime: None, reason: "" }, at(0))
        .unwrap();
    assert_eq!(ban.ban().until, Some(at(12 * 3600)));
}
