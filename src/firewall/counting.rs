//! How many packets of each offender were dropped: a counter in each element.
//!
//! A set that names a counter gives one to each element that is added, and the look-up that finds the element counts. That
//! costs memory and time (see `docs/benchmarks.md`), so it is done only if the administrator wishes it. Elements that
//! packets renew have none: two rules look each packet of theirs up.

use super::netlink::NetlinkError;
use super::netlink::attr::{AttrWriter, Attrs};
use super::netlink::constants::{
    NFT_MSG_GETSETELEM, NFTA_COUNTER_BYTES, NFTA_COUNTER_PACKETS, NFTA_EXPR_DATA, NFTA_EXPR_NAME,
    NFTA_LIST_ELEM, NFTA_SET_ELEM_EXPR, NFTA_SET_ELEM_LIST_ELEMENTS, NFTA_SET_EXPR,
};
use super::owner::TRIAL;
use super::{Attempt, Counter, Firewall, FirewallError, Set, Target, elements, ruleset};

/// nft's name for the expression.
const COUNTER: &str = "counter";

impl Firewall {
    /// Whether packets are counted by element.
    #[must_use]
    pub fn counts(&self) -> bool {
        self.options.count
    }

    /// Counts packets by element, or not, when the table is set up the next time.
    pub fn set_counts(&mut self, counts: bool) {
        self.options.count = counts;
    }

    /// Whether the kernel can count packets by element.
    ///
    /// # Errors
    /// Anything but a kernel that cannot.
    pub fn can_count(&mut self) -> Result<bool, FirewallError> {
        self.takes(|batch| {
            ruleset::add_named_table(batch, TRIAL, 0)?;
            for set in ["host4", "port6_64"].into_iter().filter_map(Set::named) {
                ruleset::add_named_set(batch, TRIAL, set, 1, true)?;
            }
            ruleset::delete_named_table(batch, TRIAL)
        })
    }

    /// How many packets the element of exactly `target` has counted since it was last written; `None` if there is none, or it
    /// does not count.
    ///
    /// # Errors
    /// [`FirewallError::NoSet`], or a kernel that does not answer.
    pub fn packets(&mut self, target: Target) -> Result<Option<u64>, FirewallError> {
        let target = target.trunc();
        let set = Self::set_for(target)?;
        let ask = |attrs: &mut AttrWriter| elements::name_element(attrs, set, target);
        let packets = self.socket.get(NFT_MSG_GETSETELEM, ask, read_packets);
        packets.map(Option::flatten).map_err(|reason| FirewallError::of(Attempt::Ask(target), reason))
    }
}

/// Writes the attribute by which a set gives each of its elements a counter.
pub(super) fn give_counters(set: &mut AttrWriter) -> Result<(), NetlinkError> {
    set.nest(NFTA_SET_EXPR, |expression| write_counter(expression, Counter::default()))
}

/// Writes a counter that goes on from there.
pub(super) fn write_counter(expression: &mut AttrWriter, from: Counter) -> Result<(), NetlinkError> {
    expression.name(NFTA_EXPR_NAME, COUNTER)?;
    expression.nest(NFTA_EXPR_DATA, |data| {
        data.be64(NFTA_COUNTER_BYTES, from.bytes)?;
        data.be64(NFTA_COUNTER_PACKETS, from.packets)
    })
}

/// Whether a set gives its elements counters.
pub(super) fn gives_counters(set: Attrs<'_>) -> Result<bool, NetlinkError> {
    Ok(set.nested(NFTA_SET_EXPR)?.name(NFTA_EXPR_NAME)? == Some(COUNTER))
}

/// What the one element that was asked for has counted.
fn read_packets(attrs: &[u8]) -> Result<Option<u64>, NetlinkError> {
    let Some(element) = Attrs::new(attrs).nested(NFTA_SET_ELEM_LIST_ELEMENTS)?.find(NFTA_LIST_ELEM)? else {
        return Ok(None);
    };
    let counter = Attrs::new(element).nested(NFTA_SET_ELEM_EXPR)?;
    match counter.name(NFTA_EXPR_NAME)? {
        Some(COUNTER) => counter.nested(NFTA_EXPR_DATA)?.be64(NFTA_COUNTER_PACKETS),
        _ => Ok(None),
    }
}
