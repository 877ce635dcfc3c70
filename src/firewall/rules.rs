//! The rules, expression by expression.
//!
//! A rule is a list of small expressions that load into and compare a register. These are the ones
//! that nft itself makes for the rules quoted below, so that `nft list` shows exactly those.

use super::counting::write_counter;
use super::netlink::NetlinkError;
use super::netlink::attr::{AttrWriter, Attrs};
use super::netlink::constants::{
    NF_ACCEPT, NF_DROP, NFPROTO_IPV4, NFPROTO_IPV6, NFT_CMP_EQ, NFT_DYNSET_OP_UPDATE, NFT_GOTO, NFT_JUMP,
    NFT_META_IIFNAME, NFT_META_L4PROTO, NFT_META_NFPROTO, NFT_MSG_DELRULE, NFT_MSG_NEWRULE,
    NFT_PAYLOAD_NETWORK_HEADER, NFT_PAYLOAD_TRANSPORT_HEADER, NFT_REG_1, NFT_REG_VERDICT, NFT_REG32_00,
    NFTA_BITWISE_DREG, NFTA_BITWISE_LEN, NFTA_BITWISE_MASK, NFTA_BITWISE_SREG, NFTA_BITWISE_XOR,
    NFTA_CMP_DATA, NFTA_CMP_OP, NFTA_CMP_SREG, NFTA_COUNTER_BYTES, NFTA_COUNTER_PACKETS, NFTA_DATA_VALUE,
    NFTA_DATA_VERDICT, NFTA_DYNSET_OP, NFTA_DYNSET_SET_NAME, NFTA_DYNSET_SREG_KEY, NFTA_DYNSET_TIMEOUT,
    NFTA_EXPR_DATA, NFTA_EXPR_NAME, NFTA_IMMEDIATE_DATA, NFTA_IMMEDIATE_DREG, NFTA_LIST_ELEM,
    NFTA_LOOKUP_SET, NFTA_LOOKUP_SREG, NFTA_META_DREG, NFTA_META_KEY, NFTA_PAYLOAD_BASE, NFTA_PAYLOAD_DREG,
    NFTA_PAYLOAD_LEN, NFTA_PAYLOAD_OFFSET, NFTA_RULE_CHAIN, NFTA_RULE_EXPRESSIONS, NFTA_RULE_TABLE,
    NFTA_VERDICT_CHAIN, NFTA_VERDICT_CODE, NLM_F_APPEND, NLM_F_CREATE,
};
use super::netlink::message::Batch;
use super::ruleset::{OFFENDER, PREROUTING, SOURCE, TABLE};
use super::set::Family;
use super::{Counter, Options, Reply, Set, replies};
use crate::tier::Tier;

/// Where the source address lies in an IPv4 header, in bytes (RFC 791).
const IPV4_SOURCE: u32 = 12;
/// Where the source address lies in an IPv6 header, in bytes (RFC 8200).
const IPV6_SOURCE: u32 = 8;
/// The longest name of an interface with its NUL, in bytes (`IFNAMSIZ`, linux/if.h).
const INTERFACE_NAME: usize = 16;
/// Where the destination port lies in the headers of TCP, UDP, DCCP and SCTP, in bytes.
const PORT_OFFSET: u32 = 2;

/// Writes the rules of all chains anew: one for each set in `used`, which may be sets of bans and
/// allow lists. The counter goes on from `counter`.
///
/// ```text
/// chain prerouting:  iifname "ppp*" jump source        where interfaces are named; else as chain source
/// chain source:      ip saddr @host4 goto offender
///                    ip6 saddr & ffff:ffff:ffff:ffff:: @net6_64 goto offender
///                    ip saddr . meta l4proto . th dport @port4 goto offender
/// chain offender:    ip saddr @allow4 accept
///                    ip saddr @renew4_3600 update @renew4_3600 { ip saddr timeout 1h }
///                    limit rate 10/second burst 20 packets log prefix "kban: "
///                    counter drop                      or, with the verdict reject:
///                    counter
///                    meta l4proto tcp reject with tcp reset
///                    reject with icmpx admin-prohibited
/// ```
///
/// The allow lists are looked up on the hit path only: whoever is not banned pays nothing for them. Elements are renewed
/// behind them, so that nobody who is allowed keeps a ban alive, and whichever set a packet was found in first. An update
/// adds what is not there, hence the second lookup.
pub(crate) fn write_rules(
    batch: &mut Batch,
    options: &Options,
    used: impl IntoIterator<Item = Set>,
    counter: Counter,
) -> Result<(), NetlinkError> {
    write_chains(batch, options, used, counter, true)
}

/// The same without the rules that renew elements.
pub(crate) fn write_resting_rules(
    batch: &mut Batch,
    options: &Options,
    used: impl IntoIterator<Item = Set>,
    counter: Counter,
) -> Result<(), NetlinkError> {
    write_chains(batch, options, used, counter, false)
}

fn write_chains(
    batch: &mut Batch,
    options: &Options,
    used: impl IntoIterator<Item = Set>,
    counter: Counter,
    renewing: bool,
) -> Result<(), NetlinkError> {
    let (bans, allow): (Vec<Set>, Vec<Set>) = used.into_iter().partition(|set| set.is_ban());
    let source = if options.interfaces.is_empty() { PREROUTING } else { SOURCE };
    let chains: &[&str] =
        if source == SOURCE { &[PREROUTING, SOURCE, OFFENDER] } else { &[PREROUTING, OFFENDER] };
    for chain in chains {
        batch.push(NFT_MSG_DELRULE, 0, |attrs| name_chain(attrs, chain))?;
    }
    for interface in &options.interfaces {
        append(batch, PREROUTING, |rule| {
            match_interface(rule, interface)?;
            verdict(rule, NFT_JUMP, Some(SOURCE))
        })?;
    }
    for &set in &bans {
        append(batch, source, |rule| {
            match_source(rule, set)?;
            verdict(rule, NFT_GOTO, Some(OFFENDER))
        })?;
    }
    for set in allow {
        append(batch, OFFENDER, |rule| {
            match_source(rule, set)?;
            verdict(rule, NF_ACCEPT, None)
        })?;
    }
    for set in bans.into_iter().filter(|_| renewing) {
        append_renewal(batch, TABLE, OFFENDER, set)?;
    }
    if let Some(log) = &options.log {
        append(batch, OFFENDER, |rule| replies::log(rule, log))?;
    }
    append(batch, OFFENDER, |rule| {
        rule.nest(NFTA_LIST_ELEM, |expression| write_counter(expression, counter))?;
        match options.reply {
            Reply::Drop => verdict(rule, NF_DROP, None),
            Reply::Reject => Ok(()),
        }
    })?;
    if options.reply == Reply::Reject {
        append(batch, OFFENDER, replies::reset)?;
        append(batch, OFFENDER, replies::refuse)?;
    }
    Ok(())
}

/// Writes the attributes that name a chain's rules.
pub(crate) fn name_chain(attrs: &mut AttrWriter, chain: &str) -> Result<(), NetlinkError> {
    attrs.name(NFTA_RULE_TABLE, TABLE)?;
    attrs.name(NFTA_RULE_CHAIN, chain)
}

/// Writes the rule that renews a set's elements, if it is one whose elements are renewed.
pub(crate) fn append_renewal(
    batch: &mut Batch,
    table: &str,
    chain: &str,
    set: Set,
) -> Result<(), NetlinkError> {
    let Some(tier) = set.tier() else { return Ok(()) };
    append_to(batch, table, chain, |rule| {
        match_source(rule, set)?;
        renew(rule, set, tier)
    })
}

fn append(
    batch: &mut Batch,
    chain: &str,
    expressions: impl FnOnce(&mut AttrWriter) -> Result<(), NetlinkError>,
) -> Result<(), NetlinkError> {
    append_to(batch, TABLE, chain, expressions)
}

fn append_to(
    batch: &mut Batch,
    table: &str,
    chain: &str,
    expressions: impl FnOnce(&mut AttrWriter) -> Result<(), NetlinkError>,
) -> Result<(), NetlinkError> {
    let appended = batch.push(NFT_MSG_NEWRULE, NLM_F_CREATE | NLM_F_APPEND, |attrs| {
        attrs.name(NFTA_RULE_TABLE, table)?;
        attrs.name(NFTA_RULE_CHAIN, chain)?;
        attrs.nest(NFTA_RULE_EXPRESSIONS, expressions)
    });
    appended.map(drop)
}

pub(super) fn expression(
    rule: &mut AttrWriter,
    name: &str,
    data: impl FnOnce(&mut AttrWriter) -> Result<(), NetlinkError>,
) -> Result<(), NetlinkError> {
    rule.nest(NFTA_LIST_ELEM, |expression| {
        expression.name(NFTA_EXPR_NAME, name)?;
        expression.nest(NFTA_EXPR_DATA, data)
    })
}

/// `iifname "wan0"`, `iifname "ppp*"`.
fn match_interface(rule: &mut AttrWriter, interface: &str) -> Result<(), NetlinkError> {
    let mut name = [0; INTERFACE_NAME];
    let wanted = interface.strip_suffix('*').unwrap_or(interface);
    for (place, byte) in name.iter_mut().zip(wanted.bytes()) {
        *place = byte;
    }
    let compared = if interface.ends_with('*') { name.get(..wanted.len()).unwrap_or(&name) } else { &name };
    load_meta(rule, NFT_META_IIFNAME)?;
    equals(rule, compared)
}

/// Loads what is known of the packet, beside its bytes, into register 1.
pub(super) fn load_meta(rule: &mut AttrWriter, key: u32) -> Result<(), NetlinkError> {
    expression(rule, "meta", |data| {
        data.be32(NFTA_META_KEY, key)?;
        data.be32(NFTA_META_DREG, NFT_REG_1)
    })
}

/// Goes on only if register 1 begins with `value`.
pub(super) fn equals(rule: &mut AttrWriter, value: &[u8]) -> Result<(), NetlinkError> {
    expression(rule, "cmp", |data| {
        data.be32(NFTA_CMP_SREG, NFT_REG_1)?;
        data.be32(NFTA_CMP_OP, NFT_CMP_EQ)?;
        data.nest(NFTA_CMP_DATA, |data| data.bytes(NFTA_DATA_VALUE, value))
    })
}

/// `ip saddr @set`, `ip6 saddr & mask @set`, `ip saddr . meta l4proto . th dport @set`.
fn match_source(rule: &mut AttrWriter, set: Set) -> Result<(), NetlinkError> {
    let protocol = match set.family() {
        Family::V4 => NFPROTO_IPV4,
        Family::V6 => NFPROTO_IPV6,
    };
    load_meta(rule, NFT_META_NFPROTO)?;
    equals(rule, &[protocol])?;
    load_key(rule, set)?;
    expression(rule, "lookup", |data| {
        data.be32(NFTA_LOOKUP_SREG, NFT_REG_1)?;
        data.name(NFTA_LOOKUP_SET, &set.name())
    })
}

/// `update @set { ip saddr timeout 1h }`.
fn renew(rule: &mut AttrWriter, set: Set, tier: Tier) -> Result<(), NetlinkError> {
    load_key(rule, set)?;
    expression(rule, "dynset", |data| {
        data.name(NFTA_DYNSET_SET_NAME, &set.name())?;
        data.be32(NFTA_DYNSET_OP, NFT_DYNSET_OP_UPDATE)?;
        data.be32(NFTA_DYNSET_SREG_KEY, NFT_REG_1)?;
        data.be64(NFTA_DYNSET_TIMEOUT, u64::from(tier.seconds()) * 1_000)
    })
}

/// Loads what the set has an element for, from register 1 on.
fn load_key(rule: &mut AttrWriter, set: Set) -> Result<(), NetlinkError> {
    let offset = match set.family() {
        Family::V4 => IPV4_SOURCE,
        Family::V6 => IPV6_SOURCE,
    };
    let length = u32::from(set.family().address_len());
    expression(rule, "payload", |data| {
        data.be32(NFTA_PAYLOAD_DREG, NFT_REG_1)?;
        data.be32(NFTA_PAYLOAD_BASE, NFT_PAYLOAD_NETWORK_HEADER)?;
        data.be32(NFTA_PAYLOAD_OFFSET, offset)?;
        data.be32(NFTA_PAYLOAD_LEN, length)
    })?;
    if let (true, Some(bits)) = (set.is_masked(), set.prefix_len()) {
        mask(rule, set.family(), bits)?;
    }
    if set.has_service() {
        load_service(rule, NFT_REG32_00 + length / 4)?;
    }
    Ok(())
}

/// Keeps the first `bits` of the address in the register.
fn mask(rule: &mut AttrWriter, family: Family, bits: u8) -> Result<(), NetlinkError> {
    let length = family.address_len();
    let all = u128::MAX.checked_shl(128 - u32::from(bits)).unwrap_or(0).to_be_bytes();
    let mask = all.get(..length.into()).unwrap_or(&all);
    let zero = [0; 16];
    let xor = zero.get(..length.into()).unwrap_or(&zero);
    expression(rule, "bitwise", |data| {
        data.be32(NFTA_BITWISE_SREG, NFT_REG_1)?;
        data.be32(NFTA_BITWISE_DREG, NFT_REG_1)?;
        data.be32(NFTA_BITWISE_LEN, length.into())?;
        data.nest(NFTA_BITWISE_MASK, |value| value.bytes(NFTA_DATA_VALUE, mask))?;
        data.nest(NFTA_BITWISE_XOR, |value| value.bytes(NFTA_DATA_VALUE, xor))
    })
}

/// Loads protocol and destination port into the registers of 4 bytes from `register` on. A packet without a transport
/// header (a later fragment) does not match.
fn load_service(rule: &mut AttrWriter, register: u32) -> Result<(), NetlinkError> {
    expression(rule, "meta", |data| {
        data.be32(NFTA_META_KEY, NFT_META_L4PROTO)?;
        data.be32(NFTA_META_DREG, register)
    })?;
    expression(rule, "payload", |data| {
        data.be32(NFTA_PAYLOAD_DREG, register + 1)?;
        data.be32(NFTA_PAYLOAD_BASE, NFT_PAYLOAD_TRANSPORT_HEADER)?;
        data.be32(NFTA_PAYLOAD_OFFSET, PORT_OFFSET)?;
        data.be32(NFTA_PAYLOAD_LEN, 2)
    })
}

fn verdict(rule: &mut AttrWriter, code: u32, chain: Option<&str>) -> Result<(), NetlinkError> {
    expression(rule, "immediate", |data| {
        data.be32(NFTA_IMMEDIATE_DREG, NFT_REG_VERDICT)?;
        data.nest(NFTA_IMMEDIATE_DATA, |value| {
            value.nest(NFTA_DATA_VERDICT, |verdict| {
                verdict.be32(NFTA_VERDICT_CODE, code)?;
                chain.map_or(Ok(()), |chain| verdict.name(NFTA_VERDICT_CHAIN, chain))
            })
        })
    })
}

/// What a rule of ours says: the set it sends packets on from, the one whose elements it renews, and its counter.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Rule {
    pub(crate) set: Option<Set>,
    pub(crate) renews: Option<Set>,
    pub(crate) counter: Option<Counter>,
}

/// Reads the attributes of one rule. What is not ours in it is passed over.
pub(crate) fn read_rule(attrs: &[u8]) -> Result<Rule, NetlinkError> {
    let mut rule = Rule::default();
    for expression in Attrs::new(attrs).nested(NFTA_RULE_EXPRESSIONS)? {
        let expression = Attrs::new(expression?.value);
        let data = expression.nested(NFTA_EXPR_DATA)?;
        match expression.name(NFTA_EXPR_NAME)? {
            Some("lookup") => rule.set = data.name(NFTA_LOOKUP_SET)?.and_then(Set::named),
            // Such a rule looks up the same set before, and drops nobody.
            Some("dynset") => {
                rule.renews = data.name(NFTA_DYNSET_SET_NAME)?.and_then(Set::named);
                rule.set = None;
            }
            Some("counter") => {
                let packets = data.be64(NFTA_COUNTER_PACKETS)?.unwrap_or(0);
                let bytes = data.be64(NFTA_COUNTER_BYTES)?.unwrap_or(0);
                rule.counter = Some(Counter { packets, bytes });
            }
            _ => {}
        }
    }
    Ok(rule)
}
