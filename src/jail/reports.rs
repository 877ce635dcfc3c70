//! Reports of other hosts: they are counted like failures, each host once for each offender.
//!
//! What a report says goes the way of a log line: exceptions, limits, `ignorecommand`, breaker and escalation are those of the
//! jail that counts reports. A host may say the same as often as it likes; it is one host, of one weight.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;
use jiff::{SignedDuration, Timestamp};

use super::engine::{Engine, Judgement};
use super::jails::JailId;
use crate::config::judgement::Counts;
use crate::filter::Failure;

/// So many reports that still count are known for each jail; of more, the oldest is forgotten, and may count again.
const MOST: usize = 200_000;

/// One report.
#[derive(Debug, Clone, Copy)]
pub struct Reported<'a> {
    /// Whose it is.
    pub host: &'a Arc<str>,
    /// As many failures as it stands for; at least 1.
    pub weight: u32,
    /// The offender: a single address, or of IPv6 the network of one host.
    pub prefix: IpNet,
    /// When the host banned it, not after now.
    pub time: Timestamp,
}

/// Which hosts have reported whom, until that counts no more.
#[derive(Debug, Default)]
pub(super) struct Heard {
    known: HashMap<IpNet, Vec<(Arc<str>, Timestamp)>>,
    order: VecDeque<(Timestamp, IpNet)>,
}

impl Heard {
    /// Whether `host` says so of `offender` for the first time within `findtime`.
    fn is_new(&mut self, offender: IpNet, host: &Arc<str>, findtime: SignedDuration, now: Timestamp) -> bool {
        while let Some((since, old)) = self.order.front()
            && (now.duration_since(*since) > findtime || self.order.len() >= MOST)
        {
            if let Some(hosts) = self.known.get_mut(old) {
                hosts.retain(|(_, heard)| heard > since);
                if hosts.is_empty() {
                    self.known.remove(old);
                }
            }
            self.order.pop_front();
        }
        let hosts = self.known.entry(offender).or_default();
        if hosts.iter().any(|(known, _)| known == host) {
            return false;
        }
        hosts.push((Arc::clone(host), now));
        self.order.push_back((now, offender));
        true
    }
}

impl Engine {
    /// The jails that count reports.
    #[must_use]
    pub fn reporting(&self) -> Vec<JailId> {
        let jails = self.jails.iter().enumerate();
        jails.filter(|(_, jail)| jail.counts == Counts::Reports).map(|(place, _)| JailId(place)).collect()
    }

    /// One report, judged by the jail like a failure in a log.
    pub fn reported(&mut self, id: JailId, report: &Reported<'_>, now: Timestamp) -> Judgement {
        let offender = self.offender(id, report.prefix);
        let Some(jail) = self.jails.get_mut(id.0).filter(|jail| jail.counts == Counts::Reports) else {
            return Judgement::Nothing;
        };
        let findtime = SignedDuration::from_secs(jail.window.findtime().into());
        if let Some(offender) = offender
            && !jail.heard.is_new(offender, report.host, findtime, now)
        {
            jail.tally.failures += 1;
            return Judgement::Nothing;
        }
        let single = report.prefix.prefix_len() == report.prefix.max_prefix_len();
        let failure = Failure {
            time: report.time,
            address: report.prefix.addr(),
            prefix_len: (!single).then(|| report.prefix.prefix_len()),
            pattern: 0,
            attempts: report.weight.max(1),
        };
        let judged = self.observe(id, &failure, None, report.host, now);
        // With a ban, or without any effect, everybody begins anew: what happens again is said again.
        if !matches!(judged, Judgement::Counted(_))
            && let (Some(offender), Some(jail)) = (offender, self.jails.get_mut(id.0))
        {
            jail.heard.known.remove(&offender);
        }
        judged
    }
}

/// Whether an address means anything beyond the network that it is used in: those of private use (RFC 1918, RFC 4193), shared
/// by carriers (RFC 6598) and of the local link (RFC 3927, RFC 4291) do not.
#[must_use]
pub fn is_private(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => {
            let [first, second, ..] = address.octets();
            address.is_private() || address.is_link_local() || (first == 100 && second & 0xc0 == 64)
        }
        IpAddr::V6(address) => address.is_unique_local() || address.is_unicast_link_local(),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::config::plan::{JailPlan, Plan};
    use crate::jail::Verdict;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).unwrap()
    }

    fn engine(maxretry: u32) -> Engine {
        let fleet = JailPlan {
            counts: Counts::Reports,
            filter: None,
            maxretry,
            findtime: Duration::from_secs(600),
            ..JailPlan::named("fleet")
        };
        let mut engine = Engine::new();
        engine.configure(&Plan::of(vec![JailPlan::named("sshd"), fleet], &["203.0.113.7/32"]));
        engine
    }

    fn report(engine: &mut Engine, host: &str, prefix: &str, weight: u32, time: i64, now: i64) -> Judgement {
        let (host, prefix) = (Arc::from(host), crate::jail::written(prefix).unwrap());
        let report = Reported { host: &host, weight, prefix, time: at(time) };
        let jails = engine.reporting();
        assert_eq!(jails, [JailId(1)]);
        engine.reported(jails[0], &report, at(now))
    }

    fn banned(judgement: &Judgement) -> Option<String> {
        let Judgement::Verdicts(verdicts) = judgement else { return None };
        let Verdict::Ban(ban) = &verdicts[0] else { panic!("{verdicts:?}") };
        assert_eq!((&*ban.jail, ban.count), ("fleet", 1));
        Some(format!("{} by {}", crate::jail::shown(&ban.prefix), ban.source))
    }

    #[test]
    fn one_host_is_one_however_often_it_says_so() {
        let mut engine = engine(2);
        for second in 0..50 {
            assert_eq!(banned(&report(&mut engine, "web1", "203.0.113.9", 1, second, second)), None);
        }
        let second = report(&mut engine, "web2", "203.0.113.9", 1, 51, 51);
        assert_eq!(banned(&second).unwrap(), "203.0.113.9 by web2");
        assert_eq!(banned(&report(&mut engine, "web1", "2001:db8::9", 1, 52, 52)), None);
        assert_eq!(
            banned(&report(&mut engine, "web1", "2001:db8::10", 1, 52, 52)),
            None,
            "the same offender"
        );
        assert_eq!(
            banned(&report(&mut engine, "web2", "2001:db8::/64", 1, 52, 52)).unwrap(),
            "2001:db8::/64 by web2"
        );
        assert_eq!(
            banned(&report(&mut engine, "web1", "203.0.113.10", 2, 52, 52)).unwrap(),
            "203.0.113.10 by web1"
        );
        // When the ban is over, both may say so again.
        engine.withdraw_decision(&"203.0.113.9/32".parse().unwrap()).unwrap();
        report(&mut engine, "web1", "203.0.113.9", 1, 53, 53);
        let again = report(&mut engine, "web2", "203.0.113.9", 1, 53, 53);
        assert!(matches!(again, Judgement::Verdicts(_)), "{again:?}");
    }

    #[test]
    fn who_is_spared_is_spared_and_what_is_old_does_not_count() {
        let mut engine = engine(1);
        for (prefix, time) in [("203.0.113.7", 0), ("127.0.0.1", 0), ("203.0.113.9", -700)] {
            assert_eq!(banned(&report(&mut engine, "web1", prefix, 1, time, 0)), None, "{prefix}");
        }
        let tally = engine.jails()[1].tally;
        assert_eq!((tally.failures, tally.ignored, tally.stale), (3, 2, 1));
        assert!(
            banned(&report(&mut engine, "web1", "203.0.113.9", 1, 0, 0)).is_some(),
            "it was not kept from saying so anew"
        );
    }

    #[test]
    fn what_one_host_said_long_ago_is_over() {
        let mut engine = engine(2);
        report(&mut engine, "web1", "203.0.113.9", 1, 0, 0);
        assert_eq!(banned(&report(&mut engine, "web2", "203.0.113.9", 1, 700, 700)), None);
        assert!(banned(&report(&mut engine, "web1", "203.0.113.9", 1, 701, 701)).is_some());
    }

    #[test]
    fn addresses_of_private_networks_are_known() {
        for (address, private) in [
            ("10.1.2.3", true),
            ("100.64.0.1", true),
            ("100.128.0.1", false),
            ("169.254.1.1", true),
            ("fd00::1", true),
            ("fe80::1", true),
            ("203.0.113.9", false),
            ("2001:db8::1", false),
        ] {
            assert_eq!(is_private(address.parse().unwrap()), private, "{address}");
        }
    }
}
