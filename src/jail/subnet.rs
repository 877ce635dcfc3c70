//! Networks in which many were banned: each step wider when so many members of it offended within the time.
//!
//! IPv4 networks have 24 bits; IPv6 networks 64, 56, then 48, as far as the administrator allows. Networks that are
//! kept count of are bounded; when there are too many, one with the fewest members of a few drawn leaves.

use indexmap::IndexMap;
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use jiff::Timestamp;
use smallvec::SmallVec;

use super::draw::Draw;
use crate::config::duration::Period;
use crate::config::judgement::Subnet;

/// How many networks a jail keeps count of.
const CAPACITY: usize = 10_000;
/// The steps of IPv6 networks, in bits.
const IPV6_STEPS: [u8; 3] = [64, 56, 48];
/// The only step of IPv4 networks, in bits.
const IPV4_STEP: u8 = 24;

/// The members of networks that were banned lately.
#[derive(Debug)]
pub(super) struct Subnets {
    rule: Subnet,
    tracked: IndexMap<IpNet, SmallVec<[(IpNet, Timestamp); 4]>>,
    draw: Draw,
}

impl Subnets {
    pub(super) fn new(rule: Subnet) -> Self {
        Self { rule, tracked: IndexMap::new(), draw: Draw::default() }
    }

    /// Another rule for what is already counted.
    pub(super) fn set_rule(&mut self, rule: Subnet) {
        self.rule = rule;
    }

    /// The rule.
    pub(super) fn rule(&self) -> &Subnet {
        &self.rule
    }

    /// `member` was banned at `now`: the network that is to be banned because of it, if one is.
    pub(super) fn offended(&mut self, member: IpNet, now: Timestamp) -> Option<IpNet> {
        let network = self.networks(member).next()?;
        if !self.tracked.contains_key(&network) && self.tracked.len() >= CAPACITY {
            self.draw.drop_least(&mut self.tracked, |members| members.len());
        }
        let within = self.rule.within.map(Period::get).unwrap_or_default();
        let after = usize::try_from(self.rule.after.0).unwrap_or(usize::MAX);
        let members = self.tracked.entry(network).or_default();
        // A time after now is from before the clock was set back.
        let lately = |time: Timestamp| time <= now && time.saturating_add(within).is_ok_and(|end| end > now);
        members.retain(|(known, time)| *known != member && lately(*time));
        members.push((member, now));
        if members.len() < after {
            return None;
        }
        self.tracked.swap_remove(&network);
        Some(network)
    }

    /// The networks around `member` that may be banned, each wider than the one before.
    pub(super) fn networks(&self, member: IpNet) -> impl Iterator<Item = IpNet> + use<> {
        let (address, length, widest) = (member.network(), member.prefix_len(), self.rule.widest_ipv6.0);
        let wider = IPV6_STEPS.into_iter().filter(move |step| (widest..length).contains(step));
        let wider = wider.filter_map(move |step| match address {
            std::net::IpAddr::V6(address) => Ipv6Net::new(address, step).ok().map(|net| net.trunc().into()),
            std::net::IpAddr::V4(_) => None,
        });
        let ipv4 = match address {
            std::net::IpAddr::V4(address) if length > IPV4_STEP => Ipv4Net::new(address, IPV4_STEP).ok(),
            _ => None,
        };
        ipv4.map(|net| IpNet::from(net.trunc())).into_iter().chain(wider)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::judgement::Widest;
    use crate::config::value::Count;
    use std::time::Duration;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).unwrap()
    }

    fn subnets(after: u32, widest_ipv6: u8) -> Subnets {
        let within = Period::new(Duration::from_secs(60));
        Subnets::new(Subnet { after: Count(after), within, widest_ipv6: Widest(widest_ipv6) })
    }

    fn net(text: &str) -> IpNet {
        text.parse().unwrap()
    }

    #[test]
    fn enough_members_within_the_time_make_a_network() {
        let mut subnets = subnets(3, 48);
        assert_eq!(subnets.offended(net("203.0.113.1/32"), at(0)), None);
        assert_eq!(subnets.offended(net("203.0.113.1/32"), at(1)), None, "the same one again");
        assert_eq!(subnets.offended(net("203.0.113.2/32"), at(2)), None);
        assert_eq!(subnets.offended(net("203.0.112.3/32"), at(3)), None, "of another network");
        assert_eq!(subnets.offended(net("203.0.113.3/32"), at(62)), None, "the first are over");
        assert_eq!(subnets.offended(net("203.0.113.4/32"), at(63)), None);
        assert_eq!(subnets.offended(net("203.0.113.5/32"), at(64)), Some(net("203.0.113.0/24")));
        assert_eq!(subnets.offended(net("203.0.113.0/24"), at(65)), None, "nothing is wider");
    }

    #[test]
    fn ipv6_networks_become_wider_step_by_step_and_never_wider_than_allowed() {
        let steps = |widest, member: &str| {
            let networks = subnets(3, widest).networks(net(member));
            networks.map(|net| net.to_string()).collect::<Vec<_>>()
        };
        assert_eq!(
            steps(48, "2001:db8:0:1234::1/128"),
            ["2001:db8:0:1234::/64", "2001:db8:0:1200::/56", "2001:db8::/48"]
        );
        assert_eq!(steps(56, "2001:db8:0:1234::/64"), ["2001:db8:0:1200::/56"]);
        assert!(steps(64, "2001:db8:0:1234::/64").is_empty());
    }

    #[test]
    fn a_flood_of_networks_fills_no_memory_and_leaves_those_that_grow() {
        let mut subnets = subnets(200, 48);
        for last in 0..100_u8 {
            subnets.offended(IpNet::from(std::net::IpAddr::from([203, 0, 113, last])), at(0));
        }
        for number in 0..50_000_u32 {
            subnets.offended(IpNet::from(std::net::IpAddr::from((number << 8).to_be_bytes())), at(1));
        }
        assert_eq!(subnets.tracked.len(), CAPACITY);
        assert_eq!(subnets.tracked.get(&net("203.0.113.0/24")).map(|members| members.len()), Some(100));
    }
}
