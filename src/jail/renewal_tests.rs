//! Which bans are renewed, and how their ends follow the kernel's, with time as an argument.

use super::*;
use crate::config::duration::{BanTime, Period};
use crate::config::judgement::{Escalate, Mode};
use crate::config::plan::{JailPlan, Plan};
use crate::filter::Failure;
use crate::jail::ADOPTED;
use crate::jail::by_hand::ByHand;
use crate::jail::engine::{Judgement, Remaining};
use crate::jail::jails::JailId;
use crate::jail::lift::Lift;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + second).unwrap()
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Jails of which each bans at once, for so many seconds, renewed or not.
fn engine(jails: &[(&str, u64, bool)]) -> Engine {
    let mut engine = Engine::new();
    engine.set_can_renew(true);
    engine.configure(&plan(jails));
    engine
}

fn plan(jails: &[(&str, u64, bool)]) -> Plan {
    let jail = |(name, bantime, renews): &(&str, u64, bool)| JailPlan {
        bantime: BanTime::For(seconds(*bantime)),
        renew_on_contact: *renews,
        ..JailPlan::named(name)
    };
    Plan::of(jails.iter().map(jail).collect(), &[])
}

fn ban(engine: &mut Engine, jail: usize, address: &str, second: i64) -> Ban {
    let failure = Failure::of(address, at(second));
    match engine.observe(JailId(jail), &failure, None, &"auth.log".into(), at(second)) {
        Judgement::Verdicts(verdicts) => verdicts[0].ban().clone(),
        other => panic!("{other:?}"),
    }
}

fn tier(length: u64) -> Option<Tier> {
    Tier::of(seconds(length))
}

#[test]
fn a_jail_that_renews_bans_in_the_tier_of_its_bantime() {
    let mut engine = engine(&[("sshd", 3_600, true), ("mail", 3_600, false)]);
    let renewed = ban(&mut engine, 0, "2001:db8::9", 0);
    assert_eq!((renewed.renew, renewed.until), (tier(3_600), Some(at(3_600))));
    assert_eq!(ban(&mut engine, 1, "2001:db8::9", 0).renew, None);
    let prefix = renewed.prefix;
    // Two elements of the kernel, each with its own end.
    engine.renewed(&prefix, None, tier(3_600).unwrap(), at(5_000));
    assert_eq!(engine.remaining(&prefix, None, tier(3_600), at(0)), Remaining::For(seconds(5_000)));
    assert_eq!(engine.remaining(&prefix, None, None, at(0)), Remaining::For(seconds(3_600)));
    assert_eq!(engine.remaining(&prefix, None, tier(60), at(0)), Remaining::Nothing);
    let hand = |engine: &mut Engine, prefix: &str, bantime, jail| {
        let prefix = prefix.parse().unwrap();
        let wanted = ByHand { prefix, jail, bantime: Some(bantime), reason: "" };
        engine.ban(&wanted, at(0)).unwrap().ban().renew
    };
    let hour = BanTime::For(seconds(7_200));
    assert_eq!(hand(&mut engine, "203.0.113.1/32", hour, Some("sshd")), tier(7_200));
    assert_eq!(hand(&mut engine, "203.0.113.0/24", hour, Some("sshd")), tier(7_200));
    assert_eq!(hand(&mut engine, "203.0.112.0/23", hour, Some("sshd")), None, "held as an interval");
    assert_eq!(hand(&mut engine, "203.0.113.2/32", hour, None), None, "by hand: as long as was said");
    assert_eq!(hand(&mut engine, "203.0.113.3/32", BanTime::Permanent, Some("sshd")), None);
    engine.set_can_renew(false);
    assert!(engine.wants_renewal_in_vain());
    assert_eq!(hand(&mut engine, "203.0.113.4/32", hour, Some("sshd")), None);
}

#[test]
fn ends_follow_the_kernel_and_never_go_back() {
    let mut engine = engine(&[("sshd", 60, true), ("mail", 60, true), ("web", 90, true)]);
    let prefix = ban(&mut engine, 0, "203.0.113.9", 0).prefix;
    ban(&mut engine, 1, "203.0.113.9", 10);
    ban(&mut engine, 2, "203.0.113.9", 0);
    let mut renew = |until| {
        let rows = engine.renewed(&prefix, None, tier(60).unwrap(), until);
        rows.iter().map(|ban| ban.jail.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(renew(at(61)), [""; 0], "a second is nothing");
    assert_eq!(renew(at(65)), ["sshd"]);
    assert_eq!(renew(at(100)), ["mail", "sshd"], "both have the same element");
    assert_eq!(renew(at(80)), [""; 0]);
    assert_eq!(engine.due(at(89)), None);
    assert_eq!(&*engine.due(at(90)).unwrap().jail, "web", "of another tier");
    assert_eq!(engine.expire_next(at(99)).unwrap().ban().prefix, prefix);
    assert_eq!(engine.expire_next(at(99)), None);
    assert_eq!(engine.expire_next(at(100)).unwrap().ban().until, Some(at(100)));
}

#[test]
fn beyond_sixteen_lengths_the_next_longer_one_is_used_or_none() {
    let mut engine = engine(&[("sshd", 60, true)]);
    let mut ban = |length: u64, host: u64| {
        let prefix = format!("203.0.113.{host}/32").parse().unwrap();
        let bantime = Some(BanTime::For(seconds(length)));
        let wanted = ByHand { prefix, jail: Some("sshd"), bantime, reason: "" };
        (engine.ban(&wanted, at(0)).unwrap().ban().renew, engine.unrenewed())
    };
    for number in 1..=16 {
        assert_eq!(ban(100 * number, number), (tier(100 * number), 0));
    }
    assert_eq!(ban(150, 20), (tier(200), 0), "the next longer one");
    assert_eq!(ban(300, 21), (tier(300), 0));
    assert_eq!(ban(1_601, 22), (None, 1), "an ordinary ban");
    let gone: IpNet = "203.0.113.5/32".parse().unwrap();
    assert_eq!(engine.lift_all(Lift::by_hand(None, Some(gone))).len(), 1);
    let wanted =
        ByHand { prefix: gone, jail: Some("sshd"), bantime: Some(BanTime::For(seconds(1_601))), reason: "" };
    assert_eq!(engine.ban(&wanted, at(0)).unwrap().ban().renew, tier(1_601), "there is room again");
}

#[test]
fn a_key_that_is_switched_counts_for_bans_in_force() {
    let mut engine = engine(&[("sshd", 60, true), ("mail", 90, false)]);
    let was = ban(&mut engine, 0, "203.0.113.9", 0);
    let will = ban(&mut engine, 1, "203.0.113.9", 0);
    assert_eq!(engine.misplaced(None, 9).bans, []);
    engine.configure(&plan(&[("sshd", 60, false), ("mail", 90, true)]));
    assert_eq!(engine.misplaced(None, 9).bans, [will.clone(), was.clone()]);
    assert_eq!(engine.place(&was), Some(Ban { renew: None, ..was.clone() }));
    assert_eq!(engine.place(&will), Some(Ban { renew: tier(90), ..will.clone() }));
    assert_eq!(engine.misplaced(None, 9).bans, []);
    let renewed: Vec<Ban> = engine.bans().renewed_after(None).collect();
    assert_eq!(renewed, [Ban { renew: tier(90), ..will }]);
    engine.set_can_renew(false);
    assert_eq!(engine.misplaced(None, 9).bans, renewed);
}

#[test]
fn bans_from_elsewhere_are_renewed_if_their_jail_is() {
    let mut engine = engine(&[("sshd", 60, true), ("mail", 60, false)]);
    for (jail, expected) in [("sshd", tier(90)), ("mail", None)] {
        let ban = Ban {
            prefix: "203.0.113.9/32".parse().unwrap(),
            jail: jail.into(),
            since: at(-50),
            until: Some(at(40)),
            count: 1,
            source: "fail2ban".into(),
            reason: "".into(),
            services: None,
            renew: None,
        };
        assert_eq!(engine.take_over(ban).unwrap().unwrap().ban().renew, expected);
    }
    assert_eq!(engine.misplaced(None, 9).bans, []);
}

/// What chance adds to a ban is gone with the first packet, and would need a set for each length.
#[test]
fn bans_that_grow_are_renewed_for_their_own_length_and_observed_ones_are_not() {
    let mut engine = Engine::new();
    engine.set_can_renew(true);
    let mut plan = plan(&[("sshd", 60, true), ("web", 60, true)]);
    let jitter = Period::new(seconds(3_600));
    plan.jails[0].escalate = Some(Escalate { jitter, ..Escalate::default() });
    plan.jails[1].mode = Mode::Observe;
    engine.configure(&plan);
    for length in [60, 120, 240] {
        let ban = ban(&mut engine, 0, "203.0.113.9", 0);
        assert_eq!((ban.renew, ban.until), (tier(length), Some(at(length.try_into().unwrap()))));
        engine.lift_all(Lift::by_hand(Some("sshd"), None));
    }
    assert_eq!(ban(&mut engine, 1, "203.0.113.9", 0).renew, None);
    assert_eq!(engine.misplaced(None, 9).bans, []);
}

#[test]
fn what_was_found_in_the_kernel_is_not_forgotten_while_packets_renew_it() {
    let mut engine = engine(&[("sshd", 60, true)]);
    let prefix: IpNet = "203.0.113.9/32".parse().unwrap();
    let adopted = |length| Ban {
        prefix,
        jail: ADOPTED.into(),
        since: at(0),
        until: Some(at(30)),
        count: 1,
        source: "kernel".into(),
        reason: "".into(),
        services: None,
        renew: tier(length),
    };
    engine.restore(adopted(90));
    ban(&mut engine, 0, "203.0.113.9", 0);
    assert!(engine.bans().get(&prefix, ADOPTED).is_some(), "another element");
    engine.restore(adopted(60));
    engine.lift_all(Lift::by_hand(Some("sshd"), None));
    ban(&mut engine, 0, "203.0.113.9", 1);
    assert!(engine.bans().get(&prefix, ADOPTED).is_none(), "the same");
}
