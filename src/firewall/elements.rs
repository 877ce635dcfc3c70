//! Elements of the sets of bans, as messages and back.
//!
//! A timed element always carries both its timeout and its expiration, or the kernel would keep the
//! remaining time of an element that is already there. A permanent one carries neither.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use ipnet::IpNet;

use super::netlink::NetlinkError;
use super::netlink::attr::{AttrWriter, Attrs};
use super::netlink::constants::{
    NFT_MSG_DELSETELEM, NFT_MSG_NEWSETELEM, NFT_SET_ELEM_INTERVAL_END, NFTA_DATA_VALUE, NFTA_LIST_ELEM,
    NFTA_SET_ELEM_EXPIRATION, NFTA_SET_ELEM_FLAGS, NFTA_SET_ELEM_KEY, NFTA_SET_ELEM_LIST_ELEMENTS,
    NFTA_SET_ELEM_LIST_SET, NFTA_SET_ELEM_LIST_TABLE, NFTA_SET_ELEM_TIMEOUT, NLM_F_CREATE,
};
use super::netlink::message::Batch;
use super::ruleset::TABLE;
use super::{Element, Set};

/// The most elements in one message: 900 of the longest are 46,800 bytes of the 65,535 that an
/// attribute can have.
pub(crate) const PER_MESSAGE: usize = 900;
/// The most bytes that one timed element takes in a message.
pub(crate) const ELEMENT_MAX: usize = 52;
/// The kernel counts in ticks of 1 to 10 ms. A timeout that it rounds down to zero ticks would be a
/// permanent ban; Linux 6.18 rounds up, but older kernels are not relied upon to.
const SHORTEST: Duration = Duration::from_millis(20);

/// What a message does with its elements.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    /// Adds; an element that is already there is no error and, before Linux 6.12, not changed.
    Add,
    /// Deletes; an element that is not there is `ENOENT`.
    Delete,
}

/// An element to be written: whom, and for how long (`None`: until removed).
pub(crate) type Entry = (IpNet, Option<Duration>);

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
        Action::Delete => (NFT_MSG_DELSETELEM, 0),
    };
    for entries in entries.chunks(PER_MESSAGE) {
        written(batch.push(kind, flags, |attrs| {
            name_set(attrs, set)?;
            attrs.nest(NFTA_SET_ELEM_LIST_ELEMENTS, |list| {
                entries.iter().try_for_each(|(prefix, left)| match action {
                    Action::Delete => write_element(list, prefix.network(), None),
                    Action::Add => write_element(list, prefix.network(), *left),
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
    attrs.name(NFTA_SET_ELEM_LIST_SET, set.name())
}

/// Writes the attributes that ask for one element of `set`.
pub(crate) fn name_element(attrs: &mut AttrWriter, set: Set, prefix: IpNet) -> Result<(), NetlinkError> {
    name_set(attrs, set)?;
    attrs.nest(NFTA_SET_ELEM_LIST_ELEMENTS, |list| write_element(list, prefix.network(), None))
}

fn write_element(list: &mut AttrWriter, key: IpAddr, left: Option<Duration>) -> Result<(), NetlinkError> {
    list.nest(NFTA_LIST_ELEM, |element| {
        write_key(element, key)?;
        if let Some(left) = left {
            let left = milliseconds(left);
            element.be64(NFTA_SET_ELEM_TIMEOUT, left)?;
            element.be64(NFTA_SET_ELEM_EXPIRATION, left)?;
        }
        Ok(())
    })
}

/// Writes one end of an interval: its first address, or the first one after it.
pub(crate) fn write_bound(list: &mut AttrWriter, key: IpAddr, ends: bool) -> Result<(), NetlinkError> {
    list.nest(NFTA_LIST_ELEM, |element| {
        if ends {
            element.be32(NFTA_SET_ELEM_FLAGS, NFT_SET_ELEM_INTERVAL_END)?;
        }
        write_key(element, key)
    })
}

fn write_key(element: &mut AttrWriter, key: IpAddr) -> Result<(), NetlinkError> {
    element.nest(NFTA_SET_ELEM_KEY, |data| match key {
        IpAddr::V4(key) => data.bytes(NFTA_DATA_VALUE, &key.octets()),
        IpAddr::V6(key) => data.bytes(NFTA_DATA_VALUE, &key.octets()),
    })
}

/// Rounds up: a ban must not end early, and never become nothing.
fn milliseconds(left: Duration) -> u64 {
    let rounded = left.max(SHORTEST).as_nanos().div_ceil(1_000_000);
    u64::try_from(rounded).unwrap_or(u64::MAX)
}

/// Reads the elements of one message about `set` and adds them to `found`.
pub(crate) fn read_elements(set: Set, attrs: &[u8], found: &mut Vec<Element>) -> Result<(), NetlinkError> {
    for element in Attrs::new(attrs).nested(NFTA_SET_ELEM_LIST_ELEMENTS)? {
        found.push(read_element(set, Attrs::new(element?.value))?);
    }
    Ok(())
}

fn read_element(set: Set, element: Attrs<'_>) -> Result<Element, NetlinkError> {
    let key = element.nested(NFTA_SET_ELEM_KEY)?.find(NFTA_DATA_VALUE)?.ok_or(NetlinkError::Malformed)?;
    let address = address(key).ok_or(NetlinkError::Malformed)?;
    let length = set.prefix_len().ok_or(NetlinkError::Malformed)?;
    let prefix = IpNet::new(address, length).map_err(|_| NetlinkError::Malformed)?;
    let left = element.be64(NFTA_SET_ELEM_EXPIRATION)?.map(Duration::from_millis);
    Ok(Element { prefix, left })
}

fn address(key: &[u8]) -> Option<IpAddr> {
    if let Ok(octets) = <[u8; 4]>::try_from(key) {
        return Some(Ipv4Addr::from(octets).into());
    }
    <[u8; 16]>::try_from(key).ok().map(|octets| Ipv6Addr::from(octets).into())
}
