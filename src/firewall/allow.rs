//! The allow lists: what is never dropped, as intervals that do not touch.
//!
//! The kernel refuses overlapping intervals, so nested and overlapping prefixes are merged here
//! first. Each interval is two elements: its first address, and the first address after it.

use std::net::IpAddr;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::Set;
use super::elements::{flush, name_set, write_bound};
use super::netlink::NetlinkError;
use super::netlink::constants::{NFT_MSG_NEWSETELEM, NFTA_SET_ELEM_LIST_ELEMENTS, NLM_F_CREATE};
use super::netlink::message::Batch;

/// An interval of IPv6 addresses is 88 bytes: 450 of them stay below what an attribute can have.
const INTERVALS_PER_MESSAGE: usize = 450;

/// What is never dropped: prefixes that neither overlap nor could be one prefix.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct AllowLists {
    v4: Vec<Ipv4Net>,
    v6: Vec<Ipv6Net>,
}

impl AllowLists {
    /// Merges prefixes in any order, nested or overlapping.
    pub(crate) fn new(prefixes: &[IpNet]) -> Self {
        let (mut v4, mut v6) = (Vec::new(), Vec::new());
        for prefix in prefixes {
            match prefix.trunc() {
                IpNet::V4(net) => v4.push(net),
                IpNet::V6(net) => v6.push(net),
            }
        }
        Self { v4: Ipv4Net::aggregate(&v4), v6: Ipv6Net::aggregate(&v6) }
    }

    /// The lists that have anything in them, and so a rule.
    pub(crate) fn used(&self) -> impl Iterator<Item = Set> {
        let v4 = (!self.v4.is_empty()).then_some(Set::ALLOW4);
        let v6 = (!self.v6.is_empty()).then_some(Set::ALLOW6);
        v4.into_iter().chain(v6)
    }

    /// Writes the messages that empty both sets and fill them with these lists.
    pub(crate) fn write(&self, batch: &mut Batch) -> Result<(), NetlinkError> {
        let v4: Vec<Interval> = self.v4.iter().map(Interval::of_v4).collect();
        let v6: Vec<Interval> = self.v6.iter().map(Interval::of_v6).collect();
        for (set, intervals) in [(Set::ALLOW4, v4), (Set::ALLOW6, v6)] {
            flush(batch, set)?;
            for intervals in intervals.chunks(INTERVALS_PER_MESSAGE) {
                batch.push(NFT_MSG_NEWSETELEM, NLM_F_CREATE, |attrs| {
                    name_set(attrs, set)?;
                    attrs.nest(NFTA_SET_ELEM_LIST_ELEMENTS, |list| {
                        for interval in intervals {
                            write_bound(list, interval.first, Some(None))?;
                            if let Some(after) = interval.after {
                                write_bound(list, after, None)?;
                            }
                        }
                        Ok(())
                    })
                })?;
            }
        }
        Ok(())
    }
}

/// From `first` up to the address before `after`; up to the last of all if there is none after.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Interval {
    first: IpAddr,
    after: Option<IpAddr>,
}

impl Interval {
    fn of_v4(net: &Ipv4Net) -> Self {
        let after = u32::from(net.broadcast()).checked_add(1).map(|bits| IpAddr::from(bits.to_be_bytes()));
        Self { first: net.network().into(), after }
    }

    fn of_v6(net: &Ipv6Net) -> Self {
        let after = u128::from(net.broadcast()).checked_add(1).map(|bits| IpAddr::from(bits.to_be_bytes()));
        Self { first: net.network().into(), after }
    }
}
