//! The daemon's side of renewed bans, with a kernel of its own and time as an argument. Packets are played by a second
//! program, which gives elements what packets would.

use std::time::Duration;

use super::*;
use crate::config::plan::{JailPlan, Plan};
use crate::control::events::Events;
use crate::daemon::effect::Effect;
use crate::daemon::trails::Trails;
use crate::firewall::{Change, Firewall, Options};
use crate::jail::MANUAL;
use crate::namespace::{in_namespace, nft};
use crate::service::Service;
use crate::store::{Limits, Store};
use crate::tier::Tier;

const MINUTE: Duration = Duration::from_secs(60);

/// Bans of an hour, made half an hour ago, of these hosts and services.
fn banned(bans: &[(&str, &[&str])], now: Timestamp) -> Pipeline {
    let mut engine = Engine::new();
    engine.set_can_renew(true);
    engine.configure(&Plan::of(Vec::new(), &[]));
    for (host, services) in bans {
        engine.restore(ban(host, services, now));
    }
    let mut firewall = Firewall::open(Options::sized(65_536)).unwrap();
    firewall.set_up(&[]).unwrap();
    let mut pipeline = Pipeline::new(
        engine,
        Effect::new(firewall),
        Store::in_memory(Limits::default()),
        Trails::default(),
        Events::default(),
    );
    pipeline.effect.tell(&pipeline.engine, Timestamp::now());
    pipeline.effect.look_for_drift(&pipeline.engine, Timestamp::now()).unwrap();
    pipeline
}

fn ban(host: &str, services: &[&str], now: Timestamp) -> Ban {
    let services: Vec<Service> = services.iter().map(|service| service.parse().unwrap()).collect();
    Ban {
        prefix: host.parse::<std::net::IpAddr>().unwrap().into(),
        jail: MANUAL.into(),
        since: now - 30 * MINUTE,
        until: Some(now + 30 * MINUTE),
        count: 1,
        source: "test".into(),
        reason: "".into(),
        services: (!services.is_empty()).then(|| services.into()),
        renew: Tier::of(60 * MINUTE),
    }
}

fn target(host: &str, service: Option<&str>) -> Target {
    let prefix: ipnet::IpNet = host.parse::<std::net::IpAddr>().unwrap().into();
    let service = service.map(|service| service.parse().unwrap());
    Target { service, renew: Tier::of(60 * MINUTE), ..prefix.into() }
}

/// As if a packet had come.
fn packet(target: Target, left: Duration) {
    let mut other = Firewall::open(Options::sized(65_536)).unwrap();
    assert_eq!(other.apply(&[Change::Ban { target, left: Some(left) }]).unwrap(), []);
}

fn minutes(pipeline: &mut Pipeline, target: Target) -> Option<u64> {
    let left = pipeline.effect.firewall.contains(target).unwrap()?.left.unwrap();
    Some((left + Duration::from_secs(30)).as_secs() / 60)
}

fn until(pipeline: &Pipeline, host: &str, now: Timestamp) -> i64 {
    let ban = pipeline.engine.bans().get(&target(host, None).prefix, MANUAL).unwrap();
    (ban.until.unwrap().duration_since(now).as_secs() + 30) / 60
}

#[test]
fn no_repair_shortens_what_packets_have_renewed() {
    in_namespace("daemon::renewal::tests::no_repair_shortens_what_packets_have_renewed", || {
        let now = Timestamp::now();
        let hosts = ["203.0.113.1", "203.0.113.2", "203.0.113.3", "203.0.113.4"];
        let mut pipeline = banned(&hosts.map(|host| (host, &[][..])), now);
        let [renewed, silent, gone, wrong] = hosts.map(|host| target(host, None));
        assert_eq!(minutes(&mut pipeline, renewed), Some(30));
        packet(renewed, 55 * MINUTE);
        nft("delete element inet kban renew4_3600 { 203.0.113.3, 203.0.113.4 }");
        nft("add element inet kban renew4_3600 { 203.0.113.4 timeout 9h }");
        pipeline.follow_all(Timestamp::now());
        assert_eq!(until(&pipeline, hosts[3], now), 30, "it was no packet");
        let Pipeline { effect, engine, .. } = &mut pipeline;
        effect.look_for_drift(engine, Timestamp::now()).unwrap();
        assert_eq!((effect.drift.repaired, effect.drift.restored), (2, 0), "one is gone, one is wrong");
        let all = [renewed, silent, gone, wrong];
        assert_eq!(
            all.map(|target| minutes(&mut pipeline, target)),
            [Some(55), Some(30), Some(30), Some(30)]
        );
        // Whatever is doubted: it is still heard, another jail has let go of it, the clock was slewed.
        pipeline.effect.doubt(all);
        pipeline.effect.settle(&pipeline.engine, Timestamp::now());
        pipeline.effect.tell(&pipeline.engine, Timestamp::now());
        assert_eq!(minutes(&mut pipeline, renewed), Some(55));
    });
}

#[test]
fn ends_are_followed_in_turn_and_the_ports_of_a_ban_stay_together() {
    in_namespace(
        "daemon::renewal::tests::ends_are_followed_in_turn_and_the_ports_of_a_ban_stay_together",
        || {
            let now = Timestamp::now();
            let mut pipeline = banned(&[("203.0.113.1", &["tcp/22", "tcp/23"]), ("203.0.113.2", &[])], now);
            let [knocked, other] = ["tcp/22", "tcp/23"].map(|service| target("203.0.113.1", Some(service)));
            packet(knocked, 50 * MINUTE);
            assert_eq!(until(&pipeline, "203.0.113.1", now), 30);
            pipeline.follow_some(now);
            assert_eq!(
                (until(&pipeline, "203.0.113.1", now), until(&pipeline, "203.0.113.2", now)),
                (50, 30)
            );
            assert_eq!([knocked, other].map(|target| minutes(&mut pipeline, target)), [Some(50), Some(50)]);
            assert_eq!(pipeline.renewal.after, None, "all were asked for");
            // Nothing has happened since.
            pipeline.follow_some(now);
            assert_eq!(until(&pipeline, "203.0.113.1", now), 50);
        },
    );
}

#[test]
fn who_is_due_ends_unless_packets_came() {
    in_namespace("daemon::renewal::tests::who_is_due_ends_unless_packets_came", || {
        let now = Timestamp::now();
        let mut pipeline =
            banned(&[("203.0.113.1", &[]), ("203.0.113.2", &["tcp/22"]), ("203.0.113.3", &[])], now);
        let [alive, over, lagging] =
            [target("203.0.113.1", None), target("203.0.113.2", Some("tcp/22")), target("203.0.113.3", None)];
        let due = now + 30 * MINUTE;
        packet(alive, 20 * MINUTE);
        packet(lagging, Duration::from_millis(900));
        nft("delete element inet kban renew_port4_3600 { 203.0.113.2 . tcp . 22 }");
        pipeline.expire(due - MINUTE);
        assert_eq!(pipeline.engine.bans().len(), 3);
        pipeline.expire(due);
        assert_eq!(pipeline.engine.bans().len(), 1);
        assert_eq!(until(&pipeline, "203.0.113.1", due), 20);
        assert_eq!(
            [alive, over, lagging].map(|target| minutes(&mut pipeline, target)),
            [Some(20), None, None]
        );
        // Long after its end, as after a restart.
        pipeline.expire(due + 600 * MINUTE);
        assert_eq!(until(&pipeline, "203.0.113.1", due + 600 * MINUTE), 20);
        // The kernel cannot be asked: what is intended counts.
        nft("delete table inet kban");
        pipeline.expire(due + 1_200 * MINUTE);
        assert_eq!(pipeline.engine.bans().len(), 0);
    });
}

#[test]
fn very_many_are_asked_for_in_slices() {
    in_namespace("daemon::renewal::tests::very_many_are_asked_for_in_slices", || {
        let now = Timestamp::now();
        let hosts: Vec<String> =
            (0..6_000_u32).map(|number| std::net::Ipv4Addr::from(0x0b00_0000 + number).to_string()).collect();
        let bans: Vec<(&str, &[&str])> = hosts.iter().map(|host| (host.as_str(), &[][..])).collect();
        let mut pipeline = banned(&bans, now);
        while pipeline.has_work() {
            pipeline.work(now);
        }
        let (first, last) = (&hosts[0], &hosts[5_999]);
        for host in [first, last] {
            packet(target(host, None), 50 * MINUTE);
        }
        pipeline.follow_some(now);
        assert_eq!((until(&pipeline, first, now), until(&pipeline, last, now)), (50, 30));
        pipeline.follow_some(now);
        assert_eq!((until(&pipeline, first, now), until(&pipeline, last, now)), (50, 50));
        packet(target(last, None), 58 * MINUTE);
        pipeline.follow_all(now);
        assert_eq!(until(&pipeline, last, now), 58);
        pipeline.expire(now + 40 * MINUTE);
        assert_eq!(pipeline.engine.bans().len(), 6_000, "the kernel holds them all, so they go on");
        pipeline.expire(now + 40 * MINUTE);
        assert_eq!(pipeline.engine.due(now + 40 * MINUTE), None);
    });
}

/// A jail that renews its bans from now on, or no longer: others get their turn while very many change sets.
#[test]
fn very_many_change_sets_in_slices() {
    in_namespace("daemon::renewal::tests::very_many_change_sets_in_slices", || {
        let now = Timestamp::now();
        let mut pipeline = banned(&[], now);
        let hosts: Vec<String> =
            (0..4_500_u32).map(|number| std::net::Ipv4Addr::from(0x0b00_0000 + number).to_string()).collect();
        for host in &hosts {
            pipeline.engine.restore(Ban { jail: "sshd".into(), renew: None, ..ban(host, &[], now) });
        }
        pipeline.effect.tell(&pipeline.engine, now);
        let held = |pipeline: &mut Pipeline| {
            let elements = pipeline.effect.firewall.elements().unwrap();
            let renewed = elements.iter().filter(|element| element.target.renew.is_some()).count();
            (elements.len() - renewed, renewed)
        };
        assert_eq!(held(&mut pipeline), (4_500, 0));
        for renew_on_contact in [true, false] {
            let sshd = JailPlan { renew_on_contact, ..JailPlan::named("sshd") };
            pipeline.engine.configure(&Plan::of(vec![sshd], &[]));
            pipeline.place_bans();
            let mut changed = Vec::new();
            while pipeline.has_work() {
                pipeline.work(now);
                changed.push(held(&mut pipeline));
            }
            let ways = [(2_500, 2_000), (500, 4_000), (0, 4_500)];
            let back = |(there, here)| if renew_on_contact { (there, here) } else { (here, there) };
            assert_eq!(changed, ways.map(back));
            assert_eq!(pipeline.engine.misplaced(None, 9).bans, []);
        }
        for host in [&hosts[0], &hosts[4_499]] {
            let kept = pipeline.engine.bans().of(&target(host, None).prefix)[0].until;
            let end = |until: Option<Timestamp>| until.map(Timestamp::as_microsecond);
            assert_eq!(end(kept), end(ban(host, &[], now).until));
        }
    });
}

#[test]
fn a_kernel_that_cannot_renew_is_told_and_its_bans_have_a_fixed_end() {
    in_namespace(
        "daemon::renewal::tests::a_kernel_that_cannot_renew_is_told_and_its_bans_have_a_fixed_end",
        || {
            let now = Timestamp::now();
            let mut pipeline = banned(&[], now);
            pipeline.engine.set_can_renew(false);
            let sshd = JailPlan { renew_on_contact: true, ..JailPlan::named("sshd") };
            pipeline.engine.configure(&Plan::of(vec![sshd], &[]));
            assert_eq!(warnings(&pipeline.engine).collect::<Vec<_>>(), [IN_VAIN]);
            // One was renewed by the kernel that ran before.
            pipeline.engine.restore(Ban { jail: "sshd".into(), ..ban("203.0.113.1", &[], now) });
            pipeline.place_bans();
            while pipeline.has_work() {
                pipeline.work(now);
            }
            let elements = pipeline.effect.firewall.elements().unwrap();
            let targets: Vec<String> = elements.iter().map(|element| element.target.to_string()).collect();
            assert_eq!(targets, ["203.0.113.1/32"]);
            let can = [true, false].map(|can| {
                pipeline.engine.set_can_renew(can);
                warnings(&pipeline.engine).count()
            });
            assert_eq!(can, [0, 1]);
        },
    );
}
