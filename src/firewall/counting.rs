//! How many packets of each offender were dropped: a counter in each element.
//!
//! A set that names a counter gives one to each element that is added, and the look-up that finds the element counts. That
//! costs memory and time (see `docs/benchmarks.md`), so it is done only if the administrator wishes it. Elements that
//! packets renew have none: two rules look each packet of theirs up.

use super::netlink::NetlinkError;
use super::netlink::attr::{AttrWriter, Attrs};
use super::netlink::constants::{
    NFTA_COUNTER_BYTES, NFTA_COUNTER_PACKETS, NFTA_EXPR_DATA, NFTA_EXPR_NAME, NFTA_SET_ELEM_EXPR,
    NFTA_SET_EXPR,
};
use super::owner::TRIAL;
use super::{Counter, Firewall, FirewallError, Set, ruleset};

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

/// What an element has counted; `None`: it does not count.
pub(super) fn read_packets(element: Attrs<'_>) -> Result<Option<u64>, NetlinkError> {
    let counter = element.nested(NFTA_SET_ELEM_EXPR)?;
    match counter.name(NFTA_EXPR_NAME)? {
        Some(COUNTER) => counter.nested(NFTA_EXPR_DATA)?.be64(NFTA_COUNTER_PACKETS),
        _ => Ok(None),
    }
}
