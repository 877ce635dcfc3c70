use super::*;
use crate::config::plan::{FeedSource, Plan};
use crate::jail::MANUAL;
use crate::jail::by_hand::ByHand;
use std::time::Duration;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + second).unwrap()
}

fn nets(texts: &[&str]) -> Vec<IpNet> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

fn plan(feeds: &[&str], ignoreip: &[&str]) -> Plan {
    let feed = |name: &&str| FeedPlan {
        name: (*name).into(),
        source: FeedSource::File("/list".into()),
        every: Duration::from_secs(60),
        bantime: None,
        max_entries: 1000,
    };
    Plan { feeds: feeds.iter().map(feed).collect(), ..Plan::of(Vec::new(), ignoreip) }
}

fn engine(ignoreip: &[&str]) -> Engine {
    let mut engine = Engine::new();
    engine.configure(&plan(&["x"], ignoreip));
    engine
}

/// Everything that a swap says, in slices of two verdicts.
fn swapped(engine: &mut Engine, mut swap: Swap) -> (Vec<String>, FeedTally) {
    let mut said = Vec::new();
    while !swap.is_done() {
        let verdicts = engine.swap(&mut swap, 2, at(0));
        assert!(verdicts.len() <= 2);
        said.extend(verdicts.iter().map(|verdict| match verdict {
            Verdict::Ban(ban) => format!("+{}", ban.prefix),
            Verdict::Unban(ban, ending) => format!("-{} {ending}", ban.prefix),
        }));
    }
    (said, *swap.tally())
}

fn listed(engine: &mut Engine, texts: &[&str]) -> (Vec<String>, FeedTally) {
    swapped(engine, Swap::new("x", nets(texts), None))
}

#[test]
fn how_far_a_list_is_counts_each_entry_once() {
    let mut engine = engine(&["192.0.2.2/32"]);
    let all = ["192.0.2.1/32", "192.0.2.2/32", "192.0.2.3/32", "198.51.100.0/24", "203.0.113.1/32"];
    let mut swap = Swap::new("x", nets(&all), None);
    let mut told = vec![swap.progress()];
    while !swap.is_done() {
        engine.swap(&mut swap, 1, at(0));
        told.push(swap.progress());
    }
    told.dedup();
    assert_eq!(told, [(0, 5), (1, 5), (3, 5), (4, 5), (5, 5)], "one is allowed, and the network comes last");
}

#[test]
fn only_the_difference_is_said_and_bans_come_before_lifts() {
    let mut engine = engine(&[]);
    let (said, _) =
        listed(&mut engine, &["192.0.2.1/32", "192.0.2.2/32", "198.51.100.0/24", "2001:db8::/48"]);
    assert_eq!(said, ["+192.0.2.1/32", "+192.0.2.2/32", "+198.51.100.0/24", "+2001:db8::/48"]);
    let (said, tally) = listed(&mut engine, &["192.0.2.2/32", "192.0.2.3/32", "2001:db8::/48"]);
    assert_eq!(
        said,
        ["+192.0.2.3/32", "-192.0.2.1/32 not listed any more", "-198.51.100.0/24 not listed any more"]
    );
    assert_eq!(tally, FeedTally { new: 1, gone: 2, ..FeedTally::default() });
    assert_eq!(listed(&mut engine, &["192.0.2.2/32", "192.0.2.3/32", "2001:db8::/48"]).0, [""; 0]);
    assert_eq!(engine.bans().count("feed.x"), 3);
}

#[test]
fn the_bans_of_others_stay() {
    let mut engine = engine(&[]);
    let wanted = ByHand { prefix: "192.0.2.1/32".parse().unwrap(), jail: None, bantime: None, reason: "" };
    engine.ban(&wanted, at(0)).unwrap();
    listed(&mut engine, &["192.0.2.1/32", "192.0.2.2/32"]);
    let (said, _) = swapped(&mut engine, Swap::end("x"));
    assert_eq!(said, ["-192.0.2.1/32 its jail is gone", "-192.0.2.2/32 its jail is gone"]);
    assert_eq!(engine.bans().iter().map(|ban| ban.jail).collect::<Vec<_>>(), [MANUAL.into()]);
}

#[test]
fn allowed_addresses_and_our_own_are_never_overridden() {
    let mut engine = engine(&["198.51.100.7/32"]);
    engine.set_own_addresses(["2001:db8::1".parse().unwrap()], []);
    let list = ["192.0.2.1/32", "198.51.100.0/24", "2001:db8::/32"];
    let (said, tally) = listed(&mut engine, &list);
    assert_eq!(said, ["+192.0.2.1/32"]);
    assert_eq!((tally.spared, tally.first_spared), (2, Some(nets(&["198.51.100.0/24"])[0])));
    assert_eq!(engine.feed_tally("x"), Some(tally));
    // Who is allowed later is spared from then on, and banned when that is over.
    let lifts = engine.configure(&plan(&["x"], &["192.0.2.0/24"]));
    assert_eq!(lifts.into_iter().map(|lift| engine.lift_all(lift).len()).sum::<usize>(), 1);
    assert_eq!(listed(&mut engine, &list).0, ["+198.51.100.0/24"]);
    engine.configure(&plan(&["x"], &[]));
    assert_eq!(listed(&mut engine, &list).0, ["+192.0.2.1/32"]);
}

#[test]
fn a_list_with_a_time_renews_it_while_it_is_read() {
    let mut engine = engine(&[]);
    let swap = |until| Swap::new("x", nets(&["192.0.2.1/32", "192.0.2.2/32"]), Some(at(until)));
    assert_eq!(swapped(&mut engine, swap(60)).0.len(), 2);
    let (said, tally) = swapped(&mut engine, swap(120));
    assert_eq!((said.len(), tally.new, tally.gone), (2, 0, 0));
    assert!(engine.expire_next(at(60)).is_none());
    assert!(engine.expire_next(at(120)).is_some());
}

#[test]
fn lists_leave_room_for_those_who_attack() {
    let mut engine = engine(&[]);
    let many: Vec<String> = (0..600).map(|n| format!("10.0.{}.{}/32", n / 256, n % 256)).collect();
    let mut list = nets(&many.iter().map(String::as_str).collect::<Vec<_>>());
    list.sort();
    // Plan::of has sets of 1000.
    let (_, tally) = swapped(&mut engine, Swap::new("x", list, None));
    assert_eq!((tally.new, tally.no_room), (500, 100));
    // Whoever goes makes room.
    let (said, tally) = listed(&mut engine, &["192.0.2.1/32"]);
    assert_eq!((said.last().unwrap().as_str(), said.len()), ("+192.0.2.1/32", 501));
    assert_eq!((tally.new, tally.no_room, tally.gone), (1, 0, 500));
}

#[test]
fn what_was_only_found_in_the_kernel_has_a_reason_now() {
    let mut engine = engine(&[]);
    let found = Ban {
        prefix: nets(&["192.0.2.1/32"])[0],
        jail: ADOPTED.into(),
        since: at(0),
        until: None,
        count: 1,
        source: "kernel".into(),
        reason: "".into(),
        services: None,
        renew: None,
    };
    engine.restore(found);
    listed(&mut engine, &["192.0.2.1/32"]);
    assert_eq!(engine.bans().len(), 1);
    listed(&mut engine, &[]);
    assert!(engine.bans().is_empty());
    assert_eq!(engine.bans().times_banned(&nets(&["192.0.2.1/32"])[0], &"feed.x".into()), 0);
}
