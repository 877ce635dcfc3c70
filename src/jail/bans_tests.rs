//! What the bans in force promise.

use super::*;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + second).unwrap()
}

fn ban(prefix: &str, jail: &str, until: Option<i64>) -> Ban {
    Ban {
        prefix: prefix.parse().unwrap(),
        jail: jail.into(),
        since: at(0),
        until: until.map(at),
        count: 1,
        source: "test".into(),
        reason: "".into(),
        services: None,
        renew: None,
    }
}

#[test]
fn a_prefix_is_banned_until_the_last_jail_lets_go() {
    let mut bans = Bans::new();
    let one = "203.0.113.1/32".parse().unwrap();
    bans.insert(ban("203.0.113.1/32", "sshd", Some(60)));
    bans.insert(ban("203.0.113.1/32", "mail", Some(90)));
    assert_eq!(bans.end(&one, None, None), Some(End::At(at(90))));
    bans.insert(ban("203.0.113.1/32", "manual", None));
    assert_eq!(bans.end(&one, None, None), Some(End::Never));
    bans.remove(&one, "manual").unwrap();
    assert_eq!(bans.expire_next(at(60)).unwrap().jail, "sshd".into());
    assert_eq!(bans.expire_next(at(60)), None);
    assert_eq!(bans.end(&one, None, None), Some(End::At(at(90))));
    assert!(bans.expire_next(at(91)).is_some());
    assert_eq!((bans.end(&one, None, None), bans.len(), bans.next_end()), (None, 0, None));
}

#[test]
fn a_replaced_ban_ends_once() {
    let mut bans = Bans::new();
    bans.insert(ban("203.0.113.1/32", "sshd", Some(60)));
    bans.insert(ban("203.0.113.1/32", "sshd", Some(600)));
    assert_eq!(bans.len(), 1);
    assert_eq!(bans.expire_next(at(599)), None);
    assert!(bans.expire_next(at(600)).is_some());
    assert_eq!(bans.expire_next(at(9_999)), None);
}

#[test]
fn listing_goes_on_behind_the_last_row_seen() {
    let mut bans = Bans::new();
    for jail in ["a", "b", "c"] {
        bans.insert(ban("203.0.113.1/32", jail, None));
        bans.insert(ban("203.0.113.2/32", jail, None));
    }
    let mut seen = Vec::new();
    for _ in 0..6 {
        let after = seen.last().map(|ban: &Ban| (ban.prefix, Arc::clone(&ban.jail)));
        seen.extend(bans.iter_after(after.as_ref()).next());
    }
    assert_eq!(seen, bans.iter().collect::<Vec<_>>());
    assert_eq!(seen.len(), 6);
}

#[test]
fn who_was_banned_before_is_remembered() {
    let mut bans = Bans::new();
    bans.insert(ban("203.0.113.1/32", "sshd", Some(60)));
    bans.expire_next(at(61)).unwrap();
    let one = "203.0.113.1/32".parse().unwrap();
    assert_eq!(bans.times_banned(&one, &"sshd".into()), 1);
    assert_eq!(bans.times_banned(&one, &"mail".into()), 0);
}

#[test]
fn the_newest_offenders_are_remembered_however_many_there_were() {
    let mut bans = Bans::new();
    let prefix = |n: u32| IpNet::from(std::net::IpAddr::from(std::net::Ipv4Addr::from(n)));
    let last = u32::try_from(crate::jail::offenders::REMEMBERED).unwrap() + 5_000;
    for n in 0..last {
        bans.insert(Ban { prefix: prefix(n), ..ban("0.0.0.0/32", "sshd", None) });
        bans.remove(&prefix(n), "sshd").unwrap();
    }
    let remembered =
        (last - 1000..last).filter(|n| bans.times_banned(&prefix(*n), &"sshd".into()) > 0).count();
    assert!(remembered > 950, "{remembered} of the last thousand");
}

#[test]
fn what_is_put_back_is_as_it_was() {
    let mut bans = Bans::new();
    let one = "203.0.113.1/32".parse().unwrap();
    bans.insert(ban("203.0.113.1/32", "sshd", Some(60)));
    let rows = bans.of(&one);
    bans.insert(ban("203.0.113.1/32", "sshd", None));
    bans.insert(ban("203.0.113.1/32", "manual", None));
    bans.put_back(&one, rows.clone());
    assert_eq!(bans.of(&one), rows);
    assert_eq!((bans.len(), bans.next_end()), (1, Some(at(60))));
}

#[test]
fn the_bans_of_a_prefix_are_small() {
    assert_eq!(size_of::<Rows>(), size_of::<Row>());
}

#[test]
fn many_at_once_are_the_same_as_one_after_another() {
    let rows = vec![
        ban("203.0.113.1/32", "mail", Some(60)),
        ban("203.0.113.1/32", "sshd", Some(60)),
        ban("203.0.113.9/32", "sshd", None),
        ban("203.0.113.2/32", "sshd", Some(90)),
        ban("2001:db8::/64", "sshd", Some(30)),
    ];
    let mut one_by_one = Bans::new();
    rows.iter().cloned().for_each(|ban| one_by_one.insert(ban));
    // In whatever order they come.
    let mut at_once = Bans::of_all(rows.into_iter().rev().collect());
    assert_eq!(at_once.len(), 5);
    assert_eq!(at_once.shared().map(|prefix| prefix.to_string()).collect::<Vec<_>>(), ["203.0.113.1/32"]);
    assert!(at_once.iter().eq(one_by_one.iter()));
    while let Some(ban) = one_by_one.expire_next(at(99)) {
        assert_eq!(at_once.expire_next(at(99)), Some(ban));
    }
    assert_eq!((at_once.expire_next(at(99)), at_once.len(), at_once.next_end()), (None, 1, None));
}
