//! What becomes of offenders, with time as an argument.

use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use jiff::Timestamp;

use crate::config::duration::{BanTime, Period};
use crate::config::ignorecommand::IgnoreCommand;
use crate::config::judgement::{Counts, Escalate, Mode, Subnet, Widest};
use crate::config::judgement::{Factor, Trust};
use crate::config::plan::{JailPlan, Plan};
use crate::config::value::Count;
use crate::filter::{Failure, Success};
use crate::jail::asking::Advice;
use crate::jail::by_hand::ByHand;
use crate::jail::engine::{Engine, Judgement};
use crate::jail::jails::JailId;
use crate::jail::{Ending, Verdict, shown};

const HOUR: Duration = Duration::from_secs(3600);

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + second).unwrap()
}

fn engine(jails: Vec<JailPlan>) -> Engine {
    let mut engine = Engine::new();
    engine.configure(&Plan::of(jails, &["192.0.2.77/32"]));
    engine
}

/// `+` for a ban, `-` for its end, with the jail and its hours where they matter.
fn said(verdicts: &[Verdict]) -> Vec<String> {
    let one = |verdict: &Verdict| {
        let ban = verdict.ban();
        let address = shown(&ban.prefix);
        match (verdict, ban.until) {
            (Verdict::Unban(_, ending), _) => format!("-{address} {ending}"),
            (Verdict::Ban(_), None) => format!("+{address} {} for good", ban.jail),
            (Verdict::Ban(_), Some(until)) => {
                format!("+{address} {} {}h", ban.jail, until.duration_since(ban.since).as_hours())
            }
        }
    };
    verdicts.iter().map(one).collect()
}

fn fail(engine: &mut Engine, id: usize, address: &str, second: i64) -> Vec<String> {
    let failure = Failure::of(address, at(second));
    match engine.observe(JailId(id), &failure, None, &"auth.log".into(), at(second)) {
        Judgement::Verdicts(verdicts) => said(&verdicts),
        Judgement::Nothing | Judgement::Counted(_) | Judgement::Ask(_) => Vec::new(),
        Judgement::StillHeard(prefix) => vec![format!("heard {prefix}")],
    }
}

fn expire(engine: &mut Engine, second: i64) {
    while engine.expire_next(at(second)).is_some() {}
}

#[test]
fn who_comes_again_is_banned_for_longer() {
    let escalate = Escalate { permanent_after: Some(Count(3)), ..Escalate::default() };
    let mut engine = engine(vec![
        JailPlan { escalate: Some(escalate), ..JailPlan::named("sshd") },
        JailPlan::named("mail"),
    ]);
    let day = 86_400;
    for (round, expected) in ["1h", "2h", "4h", "for good"].into_iter().enumerate() {
        let second = i64::try_from(round).unwrap() * day;
        expire(&mut engine, second);
        assert_eq!(fail(&mut engine, 0, "203.0.113.9", second), [format!("+203.0.113.9 sshd {expected}")]);
    }
    assert_eq!(fail(&mut engine, 0, "203.0.113.8", 4 * day), ["+203.0.113.8 sshd 1h"]);
    expire(&mut engine, 40 * day);
    assert_eq!(fail(&mut engine, 0, "203.0.113.8", 40 * day), ["+203.0.113.8 sshd 1h"], "forgotten");
    assert_eq!(fail(&mut engine, 1, "203.0.113.8", 40 * day), ["+203.0.113.8 mail 1h"]);
}

#[test]
fn a_ban_by_hand_grows_as_the_jails_own_unless_its_length_is_given() {
    let mut engine =
        engine(vec![JailPlan { escalate: Some(Escalate::default()), ..JailPlan::named("sshd") }]);
    fail(&mut engine, 0, "203.0.113.9", 0);
    expire(&mut engine, 3_600);
    let prefix: IpNet = "203.0.113.9/32".parse().unwrap();
    let mut by_hand = |bantime| {
        let wanted = ByHand { prefix, jail: Some("sshd"), bantime, reason: "" };
        said(&[engine.ban(&wanted, at(3_600)).unwrap()])
    };
    assert_eq!(by_hand(None), ["+203.0.113.9 sshd 2h"]);
    assert_eq!(by_hand(Some(BanTime::For(HOUR))), ["+203.0.113.9 sshd 1h"]);
}

#[test]
fn bans_of_other_jails_count_across_jails() {
    let all = Escalate { across_jails: true, ..Escalate::default() };
    let mut engine = engine(vec![
        JailPlan { escalate: Some(all), ..JailPlan::named("sshd") },
        JailPlan::named("mail"),
        JailPlan::named("web"),
    ]);
    fail(&mut engine, 1, "203.0.113.9", 0);
    expire(&mut engine, 3_600);
    fail(&mut engine, 2, "203.0.113.9", 3_600);
    assert_eq!(
        fail(&mut engine, 0, "203.0.113.9", 3_601),
        ["+203.0.113.9 sshd 4h"],
        "one over, one in force"
    );
}

#[test]
fn a_jail_that_counts_bans_needs_no_log() {
    let recidive = JailPlan {
        counts: Counts::Bans,
        filter: None,
        maxretry: 3,
        findtime: 24 * HOUR,
        bantime: BanTime::For(168 * HOUR),
        ..JailPlan::named("recidive")
    };
    let mut engine = engine(vec![recidive, JailPlan::named("sshd"), JailPlan::named("mail")]);
    let hour = 3_600;
    assert_eq!(fail(&mut engine, 1, "203.0.113.9", 0), ["+203.0.113.9 sshd 1h"]);
    assert_eq!(fail(&mut engine, 2, "203.0.113.9", 1), ["+203.0.113.9 mail 1h"]);
    expire(&mut engine, 2 * hour);
    let third = fail(&mut engine, 1, "203.0.113.9", 2 * hour);
    assert_eq!(third, ["+203.0.113.9 sshd 1h", "+203.0.113.9 recidive 168h"]);
    expire(&mut engine, 4 * hour);
    assert_eq!(fail(&mut engine, 1, "203.0.113.9", 4 * hour), ["+203.0.113.9 sshd 1h"], "banned already");

    // What was counted before a restart counts on.
    engine.recall_ban("203.0.113.5/32".parse().unwrap(), at(hour), at(4 * hour));
    engine.recall_ban("203.0.113.5/32".parse().unwrap(), at(2 * hour), at(4 * hour));
    assert_eq!(fail(&mut engine, 1, "203.0.113.5", 4 * hour).len(), 2);
}

fn subnet(after: u32) -> Option<Subnet> {
    Some(Subnet { after: Count(after), within: Period::new(HOUR), widest_ipv6: Widest(48) })
}

#[test]
fn many_of_one_network_become_one_ban() {
    let mut engine =
        engine(vec![JailPlan { subnet: subnet(3), ..JailPlan::named("sshd") }, JailPlan::named("mail")]);
    fail(&mut engine, 0, "203.0.113.1", 0);
    fail(&mut engine, 1, "203.0.113.1", 0);
    let for_good = ByHand {
        prefix: "203.0.113.50/32".parse().unwrap(),
        jail: Some("sshd"),
        bantime: Some(BanTime::Permanent),
        reason: "",
    };
    engine.ban(&for_good, at(0)).unwrap();
    fail(&mut engine, 0, "203.0.113.2", 1);
    let third = fail(&mut engine, 0, "203.0.113.3", 2);
    let ended = |address: &str| format!("-{address} its network is banned");
    assert_eq!(
        third,
        [
            "+203.0.113.3 sshd 1h".to_owned(),
            "+203.0.113.0/24 sshd 1h".to_owned(),
            ended("203.0.113.1"),
            ended("203.0.113.2"),
            ended("203.0.113.3"),
        ]
    );
    let left: Vec<String> =
        engine.bans().iter().map(|ban| format!("{} {}", shown(&ban.prefix), ban.jail)).collect();
    assert_eq!(left, ["203.0.113.0/24 sshd", "203.0.113.1 mail", "203.0.113.50 sshd"]);
    assert!(fail(&mut engine, 0, "203.0.113.4", 3).is_empty(), "it is banned with its network");
    assert_eq!(fail(&mut engine, 0, "203.0.113.4", 9), ["heard 203.0.113.0/24"]);
}

#[test]
fn ipv6_networks_widen_step_by_step() {
    let mut engine = engine(vec![JailPlan { subnet: subnet(2), ..JailPlan::named("sshd") }]);
    assert_eq!(fail(&mut engine, 0, "2001:db8:0:100::1", 0), ["+2001:db8:0:100::/64 sshd 1h"]);
    let second = fail(&mut engine, 0, "2001:db8:0:101::1", 0);
    assert!(second.contains(&"+2001:db8:0:100::/56 sshd 1h".to_owned()), "{second:?}");
    fail(&mut engine, 0, "2001:db8:0:200::1", 1);
    let fourth = fail(&mut engine, 0, "2001:db8:0:201::1", 1);
    assert!(fourth.contains(&"+2001:db8::/48 sshd 1h".to_owned()), "{fourth:?}");
    assert_eq!(engine.bans().iter().map(|ban| ban.prefix.to_string()).collect::<Vec<_>>(), ["2001:db8::/48"]);
}

#[test]
fn no_network_is_banned_over_somebody_who_is_allowed() {
    let mut engine = engine(vec![JailPlan { subnet: subnet(2), ..JailPlan::named("sshd") }]);
    for last in 1..10 {
        let said = fail(&mut engine, 0, &format!("192.0.2.{last}"), 0);
        assert_eq!(said, [format!("+192.0.2.{last} sshd 1h")]);
    }
}

#[test]
fn who_only_observes_closes_nothing_and_says_it_once() {
    let observe =
        |mode| vec![JailPlan { mode, escalate: Some(Escalate::default()), ..JailPlan::named("sshd") }];
    let mut engine = engine(observe(Mode::Observe));
    assert_eq!(fail(&mut engine, 0, "203.0.113.9", 0), ["+203.0.113.9 sshd 1h"]);
    assert!(fail(&mut engine, 0, "203.0.113.9", 60).is_empty());
    let ban = engine.bans().iter().next().unwrap();
    assert!(ban.is_observed() && ban.closes().next().is_none());
    let lifts = engine.configure(&Plan::of(observe(Mode::Ban), &[]));
    let lifted: Vec<Verdict> = lifts.into_iter().flat_map(|lift| engine.lift_all(lift)).collect();
    assert!(matches!(&lifted[..], [Verdict::Unban(_, Ending::Observed)]), "{lifted:?}");
    assert_eq!(fail(&mut engine, 0, "203.0.113.9", 61), ["+203.0.113.9 sshd 1h"], "it does not count");
}

#[test]
fn past_the_breaker_the_worst_are_banned_first() {
    let limited = JailPlan { max_bans_per_minute: Some(2), ..JailPlan::named("sshd") };
    let mut engine = engine(vec![limited, JailPlan::named("mail")]);
    for last in 1..=2 {
        assert_eq!(fail(&mut engine, 0, &format!("203.0.113.{last}"), 0).len(), 1);
    }
    assert_eq!(engine.take_alarm(), None);
    for last in 3..=9 {
        assert!(fail(&mut engine, 0, &format!("203.0.113.{last}"), 1).is_empty());
    }
    assert_eq!(engine.take_alarm().as_deref(), Some("sshd"));
    assert_eq!(engine.take_alarm(), None, "told once");
    assert_eq!(fail(&mut engine, 1, "203.0.113.200", 1).len(), 1, "other jails go on");
    for _ in 0..5 {
        fail(&mut engine, 0, "203.0.113.7", 2);
    }
    fail(&mut engine, 0, "203.0.113.8", 3);
    assert_eq!((engine.jails()[0].waiting(), engine.next_release(at(3))), (7, Some(at(60))));
    assert!(engine.release(at(59)).is_empty());
    assert_eq!(said(&engine.release(at(60))), ["+203.0.113.7 sshd 1h", "+203.0.113.8 sshd 1h"]);
    assert!(engine.release(at(700)).is_empty(), "the others were quiet for longer than findtime");
    assert_eq!((engine.jails()[0].waiting(), engine.next_release(at(700))), (0, None));
}

#[test]
fn the_breaker_of_all_jails_holds_each_of_them() {
    let mut plan = Plan::of(vec![JailPlan::named("sshd"), JailPlan::named("mail")], &[]);
    plan.firewall.max_bans_per_minute = Some(1);
    let mut engine = Engine::new();
    engine.configure(&plan);
    assert_eq!(fail(&mut engine, 0, "203.0.113.1", 0).len(), 1);
    assert!(fail(&mut engine, 1, "203.0.113.2", 0).is_empty());
    assert_eq!(said(&engine.release(at(60))), ["+203.0.113.2 mail 1h"]);
}

#[test]
fn the_breaker_holds_networks_too() {
    let limited = JailPlan { max_bans_per_minute: Some(3), subnet: subnet(3), ..JailPlan::named("sshd") };
    let mut engine = engine(vec![limited]);
    for last in 1..=3 {
        let own = format!("203.0.113.{last}");
        assert_eq!(fail(&mut engine, 0, &own, 0), [format!("+{own} sshd 1h")]);
    }
    assert_eq!(engine.take_alarm().as_deref(), Some("sshd"));
    assert!(fail(&mut engine, 0, "198.51.100.9", 1).is_empty());
    assert_eq!(engine.jails()[0].waiting(), 2);
    assert!(engine.release(at(59)).is_empty());
    let released = said(&engine.release(at(60)));
    assert_eq!(released.first().map(String::as_str), Some("+203.0.113.0/24 sshd 1h"), "{released:?}");
    assert_eq!(released.iter().filter(|one| one.ends_with("its network is banned")).count(), 3);
    assert_eq!(released.last().map(String::as_str), Some("+198.51.100.9 sshd 1h"), "{released:?}");
    let network = engine.bans().iter().find(|ban| ban.prefix.prefix_len() == 24).unwrap();
    assert_eq!(&*network.reason, "3 of its members were banned within 1h");
}

#[test]
fn a_single_address_of_ipv6_is_known_by_its_network() {
    let mut engine =
        engine(vec![JailPlan { escalate: Some(Escalate::default()), ..JailPlan::named("sshd") }]);
    assert_eq!(fail(&mut engine, 0, "2001:db8::1", 0), ["+2001:db8::/64 sshd 1h"]);
    expire(&mut engine, 3_600);
    let prefix: IpNet = "2001:db8::2/128".parse().unwrap();
    let next = engine.next_bantime(&engine.jails()[0], &prefix, at(3_600));
    assert_eq!(next, BanTime::For(2 * HOUR));
    let wanted = ByHand { prefix, jail: Some("sshd"), bantime: None, reason: "" };
    assert_eq!(said(&[engine.ban(&wanted, at(3_600)).unwrap()]), ["+2001:db8::2 sshd 2h"]);
    expire(&mut engine, 5 * 3_600);
    let next = engine.next_bantime(&engine.jails()[0], &prefix, at(5 * 3_600));
    assert_eq!(next, BanTime::For(4 * HOUR), "that one counts as well");
}

fn success(address: &str, second: i64) -> Success {
    Success { time: at(second), address: address.parse().unwrap(), user: None }
}

#[test]
fn no_network_is_banned_over_somebody_who_logged_in_or_was_spared() {
    let networked = JailPlan { subnet: subnet(2), ..JailPlan::named("sshd") };
    let mail = JailPlan {
        filter: None,
        trust: Some(Trust::default()),
        subnet: subnet(2),
        ..JailPlan::named("mail")
    };
    let command = IgnoreCommand { words: vec!["/bin/true".into(), "<ip>".into()], limit: HOUR };
    let asking =
        JailPlan { ignorecommand: Some(Arc::new(command)), subnet: subnet(2), ..JailPlan::named("web") };
    let mut engine = engine(vec![networked, mail, asking]);
    engine.succeeded(JailId(0), &success("203.0.113.200", 0), at(0));
    engine.succeeded(JailId(1), &success("198.51.100.200", 0), at(0));
    let ask = |engine: &mut Engine, address: &str, advice: Advice| {
        let failure = Failure::of(address, at(1));
        let judged = engine.observe(JailId(2), &failure, None, &"web.log".into(), at(1));
        let Judgement::Ask(case) = judged else { panic!("{judged:?}") };
        said(&engine.follow(&case, &advice, at(1)))
    };
    assert!(ask(&mut engine, "198.18.5.200", Advice::Spare).is_empty());
    for last in 1..=4 {
        for (id, network) in [(0, "203.0.113"), (1, "198.51.100"), (0, "198.51.100")] {
            let said = fail(&mut engine, id, &format!("{network}.{last}"), 1);
            assert_eq!(said.len(), 1, "{said:?}");
        }
        assert_eq!(ask(&mut engine, &format!("198.18.5.{last}"), Advice::Ban).len(), 1);
    }
    let day = 86_400;
    expire(&mut engine, day);
    for last in 11..=12 {
        for (id, network) in [(0, "203.0.113"), (1, "198.51.100")] {
            let said = fail(&mut engine, id, &format!("{network}.{last}"), day + 1);
            assert_eq!(said.len() > 1, last == 12, "it is long ago: {said:?}");
        }
    }
}

#[test]
fn who_waits_does_not_wait_for_longer_when_the_clock_is_set_back() {
    let limited = JailPlan { max_bans_per_minute: Some(1), ..JailPlan::named("sshd") };
    let mut engine = engine(vec![limited]);
    fail(&mut engine, 0, "203.0.113.1", 3_600);
    assert!(fail(&mut engine, 0, "203.0.113.2", 3_601).is_empty());
    assert_eq!(engine.next_release(at(3_601)), Some(at(3_660)));
    assert!(engine.next_release(at(1)).is_some_and(|free| free <= at(1)));
    assert_eq!(said(&engine.release(at(1))), ["+203.0.113.2 sshd 1h"]);
}

#[test]
fn a_reload_that_changes_trust_and_escalation_keeps_what_is_known() {
    let plan = |failures, factor| {
        let trust = Trust { failures: Count(failures), ..Trust::default() };
        let escalate = Escalate { factor: Factor(factor), ..Escalate::default() };
        let jail = JailPlan { trust: Some(trust), escalate: Some(escalate), ..JailPlan::named("sshd") };
        Plan::of(vec![jail], &[])
    };
    let mut engine = Engine::new();
    engine.configure(&plan(30, 2.0));
    engine.succeeded(JailId(0), &success("203.0.113.9", 0), at(0));
    assert_eq!(fail(&mut engine, 0, "203.0.113.1", 0), ["+203.0.113.1 sshd 1h"]);
    assert!(fail(&mut engine, 0, "203.0.113.9", 1).is_empty());
    engine.configure(&plan(3, 5.0));
    assert!(fail(&mut engine, 0, "203.0.113.9", 2).is_empty(), "it is trusted still");
    assert_eq!(
        fail(&mut engine, 0, "203.0.113.9", 3),
        ["+203.0.113.9 sshd 1h"],
        "the third, by the new rule"
    );
    expire(&mut engine, 3_600);
    assert_eq!(fail(&mut engine, 0, "203.0.113.1", 3_600), ["+203.0.113.1 sshd 5h"], "it is no new offender");
}

#[test]
fn bans_of_before_a_restart_count_for_networks_and_breakers() {
    let jail = JailPlan { max_bans_per_minute: Some(3), subnet: subnet(3), ..JailPlan::named("sshd") };
    let mut engine = engine(vec![jail]);
    for (last, second) in [(1, 0), (2, 50)] {
        engine.recall_made("sshd", format!("203.0.113.{last}/32").parse().unwrap(), at(second));
    }
    engine.recall_made("gone", "203.0.113.9/32".parse().unwrap(), at(51));
    assert_eq!(fail(&mut engine, 0, "203.0.113.3", 55), ["+203.0.113.3 sshd 1h"], "one of three is left");
    assert_eq!((engine.jails()[0].waiting(), engine.next_release(at(55))), (1, Some(at(60))));
    assert_eq!(said(&engine.release(at(60)))[0], "+203.0.113.0/24 sshd 1h");
}
