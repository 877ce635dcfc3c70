//! Banned networks of unusual lengths: intervals that may touch, but not overlap.
//!
//! The kernel refuses overlapping intervals, or merges them and keeps the longest time for all (`auto-merge`). So
//! overlapping bans are cut here into pieces that do not overlap, each with the time of the longest ban on it, and the
//! sets, which are small, are written anew in one transaction. Those with ports are cut for each service by itself: the kernel
//! keeps them as intervals of keys of several parts.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use ipnet::{IpNet, Ipv4Subnets, Ipv6Subnets};
use nix::errno::Errno;

use super::elements::{
    Interval, address, flush, name_set, read_interval, read_key, write_bound, write_interval,
};
use super::netlink::NetlinkError;
use super::netlink::attr::{AttrWriter, Attrs};
use super::netlink::constants::{
    NFT_MSG_GETSETELEM, NFT_MSG_NEWSETELEM, NFT_SET_ELEM_INTERVAL_END, NFTA_SET_ELEM_FLAGS,
    NFTA_SET_ELEM_LIST_ELEMENTS, NLM_F_CREATE,
};
use super::netlink::message::Batch;
use super::set::Family;
use super::{Attempt, Element, Firewall, FirewallError, Set, Target, rules, ruleset};
use crate::service::Service;

/// An interval of IPv6 addresses with times is 136 bytes: 450 of them stay below what an attribute can have.
const INTERVALS_PER_MESSAGE: usize = 450;

/// A place between addresses: the address behind it as a number; `Err` is behind the last address of all.
type Place = Result<u128, ()>;

/// From one place to another, for so long (`None`: until removed).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Piece {
    first: u128,
    after: Place,
    left: Option<Duration>,
}

impl Firewall {
    /// Makes `bans` the only ones of networks of unusual lengths (see [`Set::RANGES`]), in one transaction. Prefixes may
    /// be nested; where they are, the longest time counts for each service.
    ///
    /// # Errors
    /// As [`Firewall::apply`]; none of it is done then.
    pub fn replace_ranges(&mut self, bans: &[(Target, Option<Duration>)]) -> Result<(), FirewallError> {
        let attempt = Attempt::Ranges;
        let mut table = self.table(attempt)?;
        let counter = self.dropped()?;
        let size = self.options.set_size.saturating_mul(2);
        let [mut written, ..] = Set::RANGES;
        let mut write = || {
            let mut batch = self.socket.batch(None)?;
            let mut gone = Vec::new();
            for set in Set::RANGES {
                let pieces = pieces_of(set, bans);
                if pieces.is_empty() {
                    table.used.remove(&set);
                    gone.extend(table.sizes.remove(&set).map(|_| set));
                    continue;
                }
                written = set;
                if table.sizes.insert(set, size).is_none() {
                    ruleset::add_set(&mut batch, set, size, false)?;
                }
                flush(&mut batch, set)?;
                write_pieces(&mut batch, set, &pieces)?;
                table.used.insert(set);
            }
            rules::write_rules(&mut batch, &self.options, table.used.iter().copied(), counter)?;
            gone.into_iter().try_for_each(|set| ruleset::delete_set(&mut batch, set))?;
            self.socket.commit(batch)
        };
        match write() {
            Err(reason) if reason.errno() == Some(Errno::ENFILE) => {
                Err(FirewallError::Full { set: written, size: self.options.set_size, attempt })
            }
            written => self.remember(table, attempt, written),
        }
    }

    /// The networks that an interval set holds, in the fewest prefixes.
    pub(super) fn list_ranges(&mut self, set: Set) -> Result<Vec<Element>, NetlinkError> {
        if set.has_service() {
            return self.list_with_services(set);
        }
        let mut bounds: Vec<(u128, bool, Option<Duration>)> = Vec::new();
        self.socket.dump(
            NFT_MSG_GETSETELEM,
            |attrs| name_set(attrs, set),
            |attrs| {
                for element in Attrs::new(attrs).nested(NFTA_SET_ELEM_LIST_ELEMENTS)? {
                    let element = Attrs::new(element?.value);
                    let (key, left) = read_key(element)?;
                    let flags = element.be32(NFTA_SET_ELEM_FLAGS)?.unwrap_or(0);
                    let at = number(address(key).ok_or(NetlinkError::Malformed)?);
                    bounds.push((at, flags & NFT_SET_ELEM_INTERVAL_END == 0, left));
                }
                Ok(())
            },
        )?;
        // The end of one interval comes before the beginning of the next at the same place.
        bounds.sort_unstable_by_key(|(at, begins, _)| (*at, *begins));
        let last = last_of(set.family());
        let mut found = Vec::new();
        for (index, (first, begins, left)) in bounds.iter().enumerate() {
            if *begins {
                let until = bounds.get(index + 1).map_or(last, |(after, _, _)| after.saturating_sub(1));
                found.extend(elements(set.family(), (*first, until), None, *left));
            }
        }
        Ok(found)
    }

    fn list_with_services(&mut self, set: Set) -> Result<Vec<Element>, NetlinkError> {
        let mut found = Vec::new();
        self.socket.dump(
            NFT_MSG_GETSETELEM,
            |attrs| name_set(attrs, set),
            |attrs| {
                for element in Attrs::new(attrs).nested(NFTA_SET_ELEM_LIST_ELEMENTS)? {
                    if let Some(interval) = read_interval(set, Attrs::new(element?.value))? {
                        let Interval { first, last, service, left } = interval;
                        let ends = (number(first), number(last));
                        found.extend(elements(set.family(), ends, Some(service), left));
                    }
                }
                Ok(())
            },
        )?;
        Ok(found)
    }
}

/// The fewest elements that stand for an interval, both its ends included.
fn elements(
    family: Family,
    (first, last): (u128, u128),
    service: Option<Service>,
    left: Option<Duration>,
) -> impl Iterator<Item = Element> {
    let target = move |prefix| Target { service, ..Target::from(prefix) };
    prefixes(family, first, last).map(move |prefix| Element { target: target(prefix), left, packets: None })
}

fn write_pieces(
    batch: &mut Batch,
    set: Set,
    pieces: &[(Option<Service>, Piece)],
) -> Result<(), NetlinkError> {
    for pieces in pieces.chunks(INTERVALS_PER_MESSAGE) {
        batch.push(NFT_MSG_NEWSETELEM, NLM_F_CREATE, |attrs| {
            name_set(attrs, set)?;
            attrs.nest(NFTA_SET_ELEM_LIST_ELEMENTS, |list| {
                pieces
                    .iter()
                    .try_for_each(|(service, piece)| write_piece(list, set.family(), *service, piece))
            })
        })?;
    }
    Ok(())
}

fn write_piece(
    list: &mut AttrWriter,
    family: Family,
    service: Option<Service>,
    piece: &Piece,
) -> Result<(), NetlinkError> {
    let first = host(family, piece.first);
    if let Some(service) = service {
        let last = piece.after.map_or_else(|()| last_of(family), |after| after.saturating_sub(1));
        let interval = Interval { first, last: host(family, last), service, left: piece.left };
        return write_interval(list, interval);
    }
    write_bound(list, first, Some(piece.left))?;
    piece.after.map_or(Ok(()), |after| write_bound(list, host(family, after), None))
}

/// What `set` is to hold of `bans`.
fn pieces_of(set: Set, bans: &[(Target, Option<Duration>)]) -> Vec<(Option<Service>, Piece)> {
    let mut by_service = BTreeMap::<Option<Service>, Vec<(IpNet, Option<Duration>)>>::new();
    for (target, left) in bans.iter().filter(|(target, _)| Set::for_ban(*target) == Some(set)) {
        by_service.entry(target.service).or_default().push((target.prefix, *left));
    }
    let cut = |(service, bans): (Option<Service>, Vec<_>)| {
        pieces(bans.iter()).into_iter().map(move |piece| (service, piece))
    };
    by_service.into_iter().flat_map(cut).collect()
}

/// Cuts nested prefixes into pieces that do not overlap; neighbours with the same time are one. Two prefixes are nested or
/// have nothing in common, so one walk over them in order does it.
fn pieces<'b>(bans: impl Iterator<Item = &'b (IpNet, Option<Duration>)>) -> Vec<Piece> {
    let mut bans: Vec<(u128, Place, Option<Duration>)> =
        bans.map(|(prefix, left)| (number(prefix.network()), after(prefix), *left)).collect();
    bans.sort_unstable_by_key(|(first, after, _)| (*first, std::cmp::Reverse(*after)));
    let mut pieces: Vec<Piece> = Vec::new();
    let mut add = |from: Place, to: Place, left: Option<Duration>| match (from, pieces.last_mut()) {
        (Ok(from), Some(before)) if from_to(from, to) && before.after == Ok(from) && before.left == left => {
            before.after = to;
        }
        (Ok(from), _) if from_to(from, to) => pieces.push(Piece { first: from, after: to, left }),
        _ => {}
    };
    // The bans around where the walk is, the innermost last: where each ends, and the longest time up to it.
    let mut around: Vec<(Place, Option<Duration>)> = Vec::new();
    let mut at: Place = Ok(0);
    for (first, after, left) in bans {
        while let Some((end, left)) = around.pop_if(|(end, _)| *end <= Ok(first)) {
            add(at, end, left);
            at = end;
        }
        let outer = around.last().map(|(_, left)| *left);
        if let Some(left) = outer {
            add(at, Ok(first), left);
        }
        at = Ok(first);
        let longest = outer.map_or(left, |outer| longer(outer, left));
        around.push((after, longest));
    }
    while let Some((end, left)) = around.pop() {
        add(at, end, left);
        at = end;
    }
    pieces
}

fn from_to(from: u128, to: Place) -> bool {
    Ok(from) < to
}

/// `None` is for ever.
fn longer(a: Option<Duration>, b: Option<Duration>) -> Option<Duration> {
    a.zip(b).map(|(a, b)| a.max(b))
}

fn last_of(family: Family) -> u128 {
    if family == Family::V4 { u128::from(u32::MAX) } else { u128::MAX }
}

/// The place behind a prefix. Numbers of IPv4 addresses are those of their 32 bits.
fn after(prefix: &IpNet) -> Place {
    let last = number(prefix.broadcast());
    let all = last_of(if matches!(prefix, IpNet::V4(_)) { Family::V4 } else { Family::V6 });
    if last == all { Err(()) } else { Ok(last + 1) }
}

fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => u32::from(address).into(),
        IpAddr::V6(address) => address.into(),
    }
}

fn host(family: Family, number: u128) -> IpAddr {
    match family {
        Family::V4 => Ipv4Addr::from(u32::try_from(number).unwrap_or(u32::MAX)).into(),
        Family::V6 => Ipv6Addr::from(number).into(),
    }
}

/// The fewest prefixes from one address to another, both included.
fn prefixes(family: Family, first: u128, last: u128) -> Box<dyn Iterator<Item = IpNet>> {
    match (host(family, first), host(family, last)) {
        (IpAddr::V4(first), IpAddr::V4(last)) => Box::new(Ipv4Subnets::new(first, last, 0).map(IpNet::V4)),
        (IpAddr::V6(first), IpAddr::V6(last)) => Box::new(Ipv6Subnets::new(first, last, 0).map(IpNet::V6)),
        _ => Box::new(std::iter::empty()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn cut(bans: &[(&str, Option<u64>)]) -> Vec<(String, String, Option<u64>)> {
        let bans: Vec<(IpNet, Option<Duration>)> = bans
            .iter()
            .map(|(prefix, left)| (prefix.parse().unwrap(), left.map(Duration::from_secs)))
            .collect();
        let family = if bans[0].0.addr().is_ipv4() { Family::V4 } else { Family::V6 };
        let shown = |piece: Piece| {
            let after = piece.after.map_or("end".to_owned(), |after| host(family, after).to_string());
            (host(family, piece.first).to_string(), after, piece.left.map(|left| left.as_secs()))
        };
        pieces(bans.iter()).into_iter().map(shown).collect()
    }

    fn piece(first: &str, after: &str, left: Option<u64>) -> (String, String, Option<u64>) {
        (first.into(), after.into(), left)
    }

    #[test]
    fn nested_bans_become_pieces_with_the_longest_time() {
        assert_eq!(
            cut(&[("10.0.0.0/16", Some(60)), ("10.0.4.0/22", Some(90)), ("10.0.8.0/22", Some(30))]),
            [
                piece("10.0.0.0", "10.0.4.0", Some(60)),
                piece("10.0.4.0", "10.0.8.0", Some(90)),
                piece("10.0.8.0", "10.1.0.0", Some(60)),
            ]
        );
        assert_eq!(
            cut(&[("10.0.0.0/22", None), ("10.0.4.0/22", None), ("10.0.0.0/23", Some(5))]),
            [piece("10.0.0.0", "10.0.8.0", None)]
        );
    }

    proptest! {
        /// As if for each address every ban were asked.
        #[test]
        fn each_address_has_the_longest_time_of_its_bans(
            bans in proptest::collection::vec((0_u32..64, 26_u8..=32, proptest::option::of(1_u64..5)), 1..12),
        ) {
            let bans: Vec<(IpNet, Option<Duration>)> = bans
                .into_iter()
                .map(|(host, length, left)| {
                    let net = IpNet::new(Ipv4Addr::from(0x0a00_0000 + host).into(), length).unwrap().trunc();
                    (net, left.map(Duration::from_secs))
                })
                .collect();
            let pieces = pieces(bans.iter());
            for pair in pieces.windows(2) {
                prop_assert!(pair[0].after <= Ok(pair[1].first), "{pieces:?}");
            }
            for host in 0x09ff_fff0_u32..0x0a00_0060 {
                let address = IpAddr::from(Ipv4Addr::from(host));
                let times = bans.iter().filter(|(net, _)| net.contains(&address)).map(|(_, left)| *left);
                let held = pieces.iter().filter(|piece| {
                    piece.first <= number(address) && Ok(number(address)) < piece.after
                });
                let held: Vec<Option<Duration>> = held.map(|piece| piece.left).collect();
                prop_assert_eq!(held, times.reduce(longer).into_iter().collect::<Vec<_>>());
            }
        }
    }

    #[test]
    fn the_last_address_of_all_has_none_behind_it() {
        assert_eq!(cut(&[("224.0.0.0/3", None)]), [piece("224.0.0.0", "end", None)]);
        assert_eq!(cut(&[("8000::/1", Some(1))]), [piece("8000::", "end", Some(1))]);
    }
}
