//! Banned networks of unusual lengths: intervals that may touch, but not overlap.
//!
//! The kernel refuses overlapping intervals, or merges them and keeps the longest time for all (`auto-merge`). So
//! overlapping bans are cut here into pieces that do not overlap, each with the time of the longest ban on it, and the
//! sets, which are small, are written anew in one transaction.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use ipnet::{IpNet, Ipv4Subnets, Ipv6Subnets};
use nix::errno::Errno;

use super::elements::{address, flush, name_set, read_key, write_bound};
use super::netlink::NetlinkError;
use super::netlink::attr::Attrs;
use super::netlink::constants::{
    NFT_MSG_GETSETELEM, NFT_MSG_NEWSETELEM, NFT_SET_ELEM_INTERVAL_END, NFTA_SET_ELEM_FLAGS,
    NFTA_SET_ELEM_LIST_ELEMENTS, NLM_F_CREATE,
};
use super::netlink::message::Batch;
use super::set::Family;
use super::{Attempt, Element, Firewall, FirewallError, Set, Target, rules, ruleset};

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
    /// Makes `bans` the only ones of networks of unusual lengths (see [`Set::ANY4`]), in one transaction. Prefixes may
    /// be nested; where they are, the longest time counts.
    ///
    /// # Errors
    /// As [`Firewall::apply`]; none of it is done then.
    pub fn replace_ranges(&mut self, bans: &[(IpNet, Option<Duration>)]) -> Result<(), FirewallError> {
        let attempt = Attempt::Ranges;
        let mut table = self.table(attempt)?;
        let counter = self.dropped()?;
        let size = self.options.set_size.saturating_mul(2);
        let mut written = Set::ANY4;
        let mut write = || {
            let mut batch = self.socket.batch(None)?;
            let mut gone = Vec::new();
            for (set, family) in [(Set::ANY4, Family::V4), (Set::ANY6, Family::V6)] {
                let pieces = pieces(bans.iter().filter(|(prefix, _)| is_of(prefix, family)));
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
        let last = if set.family() == Family::V4 { u128::from(u32::MAX) } else { u128::MAX };
        let mut found = Vec::new();
        for (index, (first, begins, left)) in bounds.iter().enumerate() {
            if *begins {
                let until = bounds.get(index + 1).map_or(last, |(after, _, _)| after.saturating_sub(1));
                found.extend(prefixes(set.family(), *first, until).map(|prefix| Element {
                    target: Target::from(prefix),
                    left: *left,
                    packets: None,
                }));
            }
        }
        Ok(found)
    }
}

fn write_pieces(batch: &mut Batch, set: Set, pieces: &[Piece]) -> Result<(), NetlinkError> {
    for pieces in pieces.chunks(INTERVALS_PER_MESSAGE) {
        batch.push(NFT_MSG_NEWSETELEM, NLM_F_CREATE, |attrs| {
            name_set(attrs, set)?;
            attrs.nest(NFTA_SET_ELEM_LIST_ELEMENTS, |list| {
                for piece in pieces {
                    write_bound(list, host(set.family(), piece.first), Some(piece.left))?;
                    if let Ok(after) = piece.after {
                        write_bound(list, host(set.family(), after), None)?;
                    }
                }
                Ok(())
            })
        })?;
    }
    Ok(())
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

fn is_of(prefix: &IpNet, family: Family) -> bool {
    matches!((prefix, family), (IpNet::V4(_), Family::V4) | (IpNet::V6(_), Family::V6))
}

/// The place behind a prefix. Numbers of IPv4 addresses are those of their 32 bits.
fn after(prefix: &IpNet) -> Place {
    let last = number(prefix.broadcast());
    let all = if matches!(prefix, IpNet::V4(_)) { u128::from(u32::MAX) } else { u128::MAX };
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
        let family = if is_of(&bans[0].0, Family::V4) { Family::V4 } else { Family::V6 };
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
