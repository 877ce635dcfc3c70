//! Elements of the sets of bans, as messages and back.
//!
//! A timed element always carries both its timeout and its expiration, or the kernel would keep the
//! remaining time of an element that is already there. A permanent one carries neither.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use ipnet::IpNet;
use smallvec::SmallVec;

use super::counting::read_packets;
use super::netlink::NetlinkError;
use super::netlink::attr::{AttrWriter, Attrs};
use super::netlink::constants::{
    NFT_MSG_DELSETELEM, NFT_MSG_NEWSETELEM, NFT_SET_ELEM_INTERVAL_END, NFTA_DATA_VALUE, NFTA_LIST_ELEM,
    NFTA_SET_ELEM_EXPIRATION, NFTA_SET_ELEM_FLAGS, NFTA_SET_ELEM_KEY, NFTA_SET_ELEM_KEY_END,
    NFTA_SET_ELEM_LIST_ELEMENTS, NFTA_SET_ELEM_LIST_SET, NFTA_SET_ELEM_LIST_TABLE, NFTA_SET_ELEM_TIMEOUT,
    NLM_F_CREATE, NLM_F_EXCL,
};
use super::netlink::message::Batch;
use super::ruleset::TABLE;
use super::{Element, Set, Target};
use crate::service::{Protocol, Service};
use crate::tier::Tier;

/// The most elements in one message: 900 of the longest are 54,000 bytes of the 65,535 that an
/// attribute can have.
pub(crate) const PER_MESSAGE: usize = 900;
/// The most bytes that one timed element takes in a message.
pub(crate) const ELEMENT_MAX: usize = 60;
/// The kernel counts in ticks of 1 to 10 ms. A timeout that it rounds down to zero ticks would be a
/// permanent ban; Linux 6.18 rounds up, but older kernels are not relied upon to.
const SHORTEST: Duration = Duration::from_millis(20);

/// What a message does with its elements.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    /// Adds; an element that is already there is no error and, before Linux 6.12, not changed.
    Add,
    /// Adds; an element that is already there is `EEXIST`.
    AddNew,
    /// Deletes; an element that is not there is `ENOENT`.
    Delete,
}

/// An element to be written: whom, and for how long (`None`: until removed).
pub(crate) type Entry = (Target, Option<Duration>);

/// Writes `entries` of `set` into as many messages as they need, and calls `written` with the
/// sequence number of each.
pub(crate) fn write_elements(
    batch: &mut Batch,
    action: Action,
    set: Set,
    entries: &[Entry],
    mut written: impl FnMut(u32),
) -> Result<(), NetlinkError> {
    let (kind, flags) = match action {
        Action::Add => (NFT_MSG_NEWSETELEM, NLM_F_CREATE),
        Action::AddNew => (NFT_MSG_NEWSETELEM, NLM_F_CREATE | NLM_F_EXCL),
        Action::Delete => (NFT_MSG_DELSETELEM, 0),
    };
    for entries in entries.chunks(PER_MESSAGE) {
        written(batch.push(kind, flags, |attrs| {
            name_set(attrs, set)?;
            attrs.nest(NFTA_SET_ELEM_LIST_ELEMENTS, |list| {
                entries.iter().try_for_each(|(target, left)| match action {
                    Action::Delete => write_element(list, *target, None),
                    Action::Add | Action::AddNew => {
                        write_element(list, *target, left.map(|left| Time::of(set, left)))
                    }
                })
            })
        })?);
    }
    Ok(())
}

/// Writes a message that removes every element of `set`.
pub(crate) fn flush(batch: &mut Batch, set: Set) -> Result<(), NetlinkError> {
    batch.push(NFT_MSG_DELSETELEM, 0, |attrs| name_set(attrs, set)).map(drop)
}

/// Writes the attributes that ask for all elements of `set`.
pub(crate) fn name_set(attrs: &mut AttrWriter, set: Set) -> Result<(), NetlinkError> {
    attrs.name(NFTA_SET_ELEM_LIST_TABLE, TABLE)?;
    attrs.name(NFTA_SET_ELEM_LIST_SET, &set.name())
}

/// Writes the attributes that ask for one element of `set`.
pub(crate) fn name_element(attrs: &mut AttrWriter, set: Set, target: Target) -> Result<(), NetlinkError> {
    name_set(attrs, set)?;
    attrs.nest(NFTA_SET_ELEM_LIST_ELEMENTS, |list| write_element(list, target, None))
}

fn write_element(list: &mut AttrWriter, target: Target, time: Option<Time>) -> Result<(), NetlinkError> {
    list.nest(NFTA_LIST_ELEM, |element| {
        write_key(element, NFTA_SET_ELEM_KEY, target.prefix.network(), target.service)?;
        write_time(element, time)
    })
}

/// The time of an element, in milliseconds.
#[derive(Debug, Clone, Copy)]
struct Time {
    timeout: u64,
    left: u64,
}

impl Time {
    /// What is left is never more than the timeout. A packet may give a renewed element as much as its tier, so that
    /// is its timeout from the beginning: `nft list` would otherwise print what `nft -f` refuses.
    fn of(set: Set, left: Duration) -> Self {
        match set.tier().map(Tier::length) {
            Some(tier) => Self { timeout: milliseconds(tier), left: milliseconds(left.min(tier)) },
            None => Self::once(left),
        }
    }

    fn once(left: Duration) -> Self {
        Self { timeout: milliseconds(left), left: milliseconds(left) }
    }
}

/// Addresses on one service, the first and the last included, and for how long (`None`: until removed).
#[derive(Debug, Clone, Copy)]
pub(crate) struct Interval {
    pub(crate) first: IpAddr,
    pub(crate) last: IpAddr,
    pub(crate) service: Service,
    pub(crate) left: Option<Duration>,
}

/// Writes an interval as one element.
pub(crate) fn write_interval(list: &mut AttrWriter, interval: Interval) -> Result<(), NetlinkError> {
    let Interval { first, last, service, left } = interval;
    list.nest(NFTA_LIST_ELEM, |element| {
        write_key(element, NFTA_SET_ELEM_KEY, first, Some(service))?;
        write_key(element, NFTA_SET_ELEM_KEY_END, last, Some(service))?;
        write_time(element, left.map(Time::once))
    })
}

/// Writes one end of an interval: its first address with its time, or the first one after it (`None`), which may
/// carry none.
pub(crate) fn write_bound(
    list: &mut AttrWriter,
    key: IpAddr,
    begins: Option<Option<Duration>>,
) -> Result<(), NetlinkError> {
    list.nest(NFTA_LIST_ELEM, |element| {
        if begins.is_none() {
            element.be32(NFTA_SET_ELEM_FLAGS, NFT_SET_ELEM_INTERVAL_END)?;
        }
        write_key(element, NFTA_SET_ELEM_KEY, key, None)?;
        write_time(element, begins.flatten().map(Time::once))
    })
}

fn write_time(element: &mut AttrWriter, time: Option<Time>) -> Result<(), NetlinkError> {
    let Some(Time { timeout, left }) = time else { return Ok(()) };
    element.be64(NFTA_SET_ELEM_TIMEOUT, timeout)?;
    element.be64(NFTA_SET_ELEM_EXPIRATION, left)
}

/// Writes an address, and the service behind it if there is one: each part fills up 4 bytes.
fn write_key(
    element: &mut AttrWriter,
    kind: u16,
    key: IpAddr,
    service: Option<Service>,
) -> Result<(), NetlinkError> {
    let mut bytes: SmallVec<[u8; 24]> = match key {
        IpAddr::V4(key) => key.octets().into_iter().collect(),
        IpAddr::V6(key) => key.octets().into_iter().collect(),
    };
    if let Some(Service { protocol, port }) = service {
        let [high, low] = port.to_be_bytes();
        bytes.extend([protocol.number(), 0, 0, 0, high, low, 0, 0]);
    }
    element.nest(kind, |data| data.bytes(NFTA_DATA_VALUE, &bytes))
}

/// Rounds up: a ban must not end early, and never become nothing.
fn milliseconds(left: Duration) -> u64 {
    let rounded = left.max(SHORTEST).as_nanos().div_ceil(1_000_000);
    u64::try_from(rounded).unwrap_or(u64::MAX)
}

/// Reads the elements of one message about `set` and adds them to `found`.
pub(crate) fn read_elements(set: Set, attrs: &[u8], found: &mut Vec<Element>) -> Result<(), NetlinkError> {
    for element in Attrs::new(attrs).nested(NFTA_SET_ELEM_LIST_ELEMENTS)? {
        found.extend(read_element(set, Attrs::new(element?.value))?);
    }
    Ok(())
}

/// Reads of the one element that was asked for the time that is left to it, and the packets that it has counted.
pub(crate) fn read_one(attrs: &[u8]) -> Result<(Option<Duration>, Option<u64>), NetlinkError> {
    let element = Attrs::new(attrs).nested(NFTA_SET_ELEM_LIST_ELEMENTS)?.next();
    let element = Attrs::new(element.ok_or(NetlinkError::Malformed)??.value);
    let (_, left) = read_key(element)?;
    Ok((left, read_packets(element)?))
}

/// One element; none if somebody else put in a protocol that has no ports.
fn read_element(set: Set, element: Attrs<'_>) -> Result<Option<Element>, NetlinkError> {
    let malformed = || NetlinkError::Malformed;
    let (key, left) = read_key(element)?;
    let Some((address, service)) = read_parts(set, key)? else { return Ok(None) };
    let length = set.prefix_len().ok_or_else(malformed)?;
    let prefix = IpNet::new(address, length).map_err(|_| malformed())?;
    let target = Target { prefix, service, renew: set.tier() };
    Ok(Some(Element { target, left, packets: read_packets(element)? }))
}

/// The parts of a key of `set`; none if somebody else put in a protocol that has no ports.
fn read_parts(set: Set, key: &[u8]) -> Result<Option<(IpAddr, Option<Service>)>, NetlinkError> {
    let malformed = || NetlinkError::Malformed;
    let (host, rest) = key.split_at_checked(set.family().address_len().into()).ok_or_else(malformed)?;
    let service = match (set.has_service(), rest) {
        (false, []) => None,
        (true, [protocol, _, _, _, high, low, _, _]) => {
            let Some(protocol) = Protocol::numbered(*protocol) else { return Ok(None) };
            Some(Service { protocol, port: u16::from_be_bytes([*high, *low]) })
        }
        _ => return Err(malformed()),
    };
    Ok(Some((address(host).ok_or_else(malformed)?, service)))
}

/// One interval; none if somebody else put in a protocol that has no ports.
pub(crate) fn read_interval(set: Set, element: Attrs<'_>) -> Result<Option<Interval>, NetlinkError> {
    let (key, left) = read_key(element)?;
    // An interval of one key may have no end.
    let end = element.nested(NFTA_SET_ELEM_KEY_END)?.find(NFTA_DATA_VALUE)?.unwrap_or(key);
    Ok(match (read_parts(set, key)?, read_parts(set, end)?) {
        (Some((first, Some(service))), Some((last, _))) => Some(Interval { first, last, service, left }),
        _ => None,
    })
}

/// An element's key and the time that is left to it.
pub(crate) fn read_key(element: Attrs<'_>) -> Result<(&[u8], Option<Duration>), NetlinkError> {
    let key = element.nested(NFTA_SET_ELEM_KEY)?.find(NFTA_DATA_VALUE)?.ok_or(NetlinkError::Malformed)?;
    Ok((key, element.be64(NFTA_SET_ELEM_EXPIRATION)?.map(Duration::from_millis)))
}

pub(crate) fn address(key: &[u8]) -> Option<IpAddr> {
    if let Ok(octets) = <[u8; 4]>::try_from(key) {
        return Some(Ipv4Addr::from(octets).into());
    }
    <[u8; 16]>::try_from(key).ok().map(|octets| Ipv6Addr::from(octets).into())
}
