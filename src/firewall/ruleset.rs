//! Table `inet kban`: what it is made of, how it is written, and what of it is there.
//!
//! ```text
//! table inet kban
//!   set host4, host6             always there
//!   set net4_24, port4, ...      while they are used
//!   set renew4_3600, ...         while they are used: ended an hour after the last packet
//!   set allow4, allow6           always there
//!   chain prerouting             hook prerouting, priority -310: before conntrack, and for
//!                                containers and forwarded networks too
//!   chain source                 if interfaces are named: what arrives there
//!   chain offender               whom a set of bans holds ends up here
//! ```

use std::collections::{BTreeMap, BTreeSet};

use super::netlink::NetlinkError;
use super::netlink::attr::{AttrWriter, Attrs};
use super::netlink::constants::{
    NF_ACCEPT, NF_INET_PRE_ROUTING, NFT_MSG_DELCHAIN, NFT_MSG_DELRULE, NFT_MSG_DELSET, NFT_MSG_DELTABLE,
    NFT_MSG_GETCHAIN, NFT_MSG_GETGEN, NFT_MSG_GETRULE, NFT_MSG_GETSET, NFT_MSG_GETTABLE, NFT_MSG_NEWCHAIN,
    NFT_MSG_NEWSET, NFT_MSG_NEWTABLE, NFT_SET_CONCAT, NFT_SET_EVAL, NFT_SET_INTERVAL, NFT_SET_TIMEOUT,
    NFTA_CHAIN_HOOK, NFTA_CHAIN_NAME, NFTA_CHAIN_POLICY, NFTA_CHAIN_TABLE, NFTA_CHAIN_TYPE, NFTA_GEN_ID,
    NFTA_HOOK_HOOKNUM, NFTA_HOOK_PRIORITY, NFTA_LIST_ELEM, NFTA_SET_COUNT, NFTA_SET_DESC,
    NFTA_SET_DESC_CONCAT, NFTA_SET_DESC_SIZE, NFTA_SET_FIELD_LEN, NFTA_SET_FLAGS, NFTA_SET_ID,
    NFTA_SET_KEY_LEN, NFTA_SET_KEY_TYPE, NFTA_SET_NAME, NFTA_SET_TABLE, NFTA_TABLE_FLAGS, NFTA_TABLE_NAME,
    NFTA_TABLE_OWNER, NLM_F_CREATE,
};
use super::netlink::message::Batch;
use super::netlink::socket::{Dump, Socket};
use super::rules::{Rule, name_chain, read_rule};
use super::set::Family;
use super::{Counter, Options, Set, counting};

/// The table's name, in family inet.
pub(crate) const TABLE: &str = "kban";
/// The base chain.
pub(crate) const PREROUTING: &str = "prerouting";
/// The chain that looks a source up, where not all interfaces are meant.
pub(crate) const SOURCE: &str = "source";
/// The chain that allows or drops.
pub(crate) const OFFENDER: &str = "offender";
/// Before conntrack (-200) and before the raw table (-300): what is dropped costs nothing more.
const PRIORITY: i32 = -310;
/// How often a list that was disturbed is begun again. Rules and sets fit one message, and are hardly ever.
const READ_ATTEMPTS: usize = 16;
const CHAIN_TYPE: &str = "filter";
/// nft's own numbers for the types of keys, which the kernel only stores (`enum datatypes` in
/// nftables' `datatype.h`).
const TYPE_IPADDR: u32 = 7;
const TYPE_IP6ADDR: u32 = 8;
const TYPE_INET_PROTOCOL: u32 = 12;
const TYPE_INET_SERVICE: u32 = 13;
/// How many bits each type takes in the number of a concatenation.
const TYPE_BITS: u32 = 6;

/// What is there of the table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Table {
    /// The sets that are there and can be read, each with its size in elements (0: no limit).
    pub(crate) sizes: BTreeMap<Set, u32>,
    /// The sets that have a rule.
    pub(crate) used: BTreeSet<Set>,
    /// What was dropped so far.
    pub(crate) counter: Counter,
    /// Whether the chain is there that packets of some interfaces pass.
    pub(crate) has_source: bool,
    /// `NFT_TABLE_F_OWNER` and its like.
    pub(crate) flags: u32,
    /// The netlink port of its owner, if it has one.
    pub(crate) owner: Option<u32>,
    /// Whether sets and chains are such that this version can go on with them.
    pub(crate) compatible: bool,
}

/// Writes a message that creates the table, claims it if it is to be owned, or wakes it up if somebody made it
/// dormant.
pub(crate) fn add_table(batch: &mut Batch, flags: u32) -> Result<(), NetlinkError> {
    add_named_table(batch, TABLE, flags)
}

/// As [`add_table`], for a table of another name.
pub(crate) fn add_named_table(batch: &mut Batch, name: &str, flags: u32) -> Result<(), NetlinkError> {
    let added = batch.push(NFT_MSG_NEWTABLE, NLM_F_CREATE, |attrs| {
        attrs.name(NFTA_TABLE_NAME, name)?;
        attrs.be32(NFTA_TABLE_FLAGS, flags)
    });
    added.map(drop)
}

/// Writes a message that removes the table with everything in it.
pub(crate) fn delete_table(batch: &mut Batch) -> Result<(), NetlinkError> {
    delete_named_table(batch, TABLE)
}

/// As [`delete_table`], for a table of another name.
pub(crate) fn delete_named_table(batch: &mut Batch, name: &str) -> Result<(), NetlinkError> {
    batch.push(NFT_MSG_DELTABLE, 0, |attrs| attrs.name(NFTA_TABLE_NAME, name)).map(drop)
}

/// Writes a message that creates a set for `size` elements; not more than that for bans, as many
/// as there are for the allow lists. (The kernel makes it 65,535 where packets renew and no size is named.) Where it `counts`,
/// elements count packets if they can.
pub(crate) fn add_set(batch: &mut Batch, set: Set, size: u32, counts: bool) -> Result<(), NetlinkError> {
    add_named_set(batch, TABLE, set, size, counts)
}

/// As [`add_set`], in a table of another name.
pub(crate) fn add_named_set(
    batch: &mut Batch,
    table: &str,
    set: Set,
    size: u32,
    counts: bool,
) -> Result<(), NetlinkError> {
    let host = match set.family() {
        Family::V4 => TYPE_IPADDR,
        Family::V6 => TYPE_IP6ADDR,
    };
    let key_type = match set.has_service() {
        true => (host << TYPE_BITS | TYPE_INET_PROTOCOL) << TYPE_BITS | TYPE_INET_SERVICE,
        false => host,
    };
    // The number tells the sets of one transaction apart: where the message begins.
    let number = u32::try_from(batch.len()).unwrap_or(u32::MAX);
    let added = batch.push(NFT_MSG_NEWSET, NLM_F_CREATE, |attrs| {
        attrs.name(NFTA_SET_TABLE, table)?;
        attrs.name(NFTA_SET_NAME, &set.name())?;
        attrs.be32(NFTA_SET_FLAGS, flags(set))?;
        attrs.be32(NFTA_SET_KEY_TYPE, key_type)?;
        attrs.be32(NFTA_SET_KEY_LEN, u32::from(set.key_len()))?;
        attrs.be32(NFTA_SET_ID, number)?;
        if counts && set.can_count() {
            counting::give_counters(attrs)?;
        }
        if set.is_ban() {
            attrs.nest(NFTA_SET_DESC, |desc| {
                desc.be32(NFTA_SET_DESC_SIZE, size)?;
                set.interval_parts().map_or(Ok(()), |parts| write_parts(desc, parts))
            })
        } else {
            Ok(())
        }
    });
    added.map(drop)
}

/// Writes a message that removes a set that no rule uses.
pub(crate) fn delete_set(batch: &mut Batch, set: Set) -> Result<(), NetlinkError> {
    batch.push(NFT_MSG_DELSET, 0, |attrs| name_set(attrs, set)).map(drop)
}

/// Writes a message that creates a chain that no packet passes by itself, in a table of this name.
pub(crate) fn add_named_chain(batch: &mut Batch, table: &str, name: &str) -> Result<(), NetlinkError> {
    let added = batch.push(NFT_MSG_NEWCHAIN, NLM_F_CREATE, |attrs| {
        attrs.name(NFTA_CHAIN_TABLE, table)?;
        attrs.name(NFTA_CHAIN_NAME, name)
    });
    added.map(drop)
}

/// Writes the messages that create the chains, and remove the one of chosen interfaces where all are meant.
pub(crate) fn add_chains(batch: &mut Batch, options: &Options, has_source: bool) -> Result<(), NetlinkError> {
    add_named_chain(batch, TABLE, OFFENDER)?;
    match (options.interfaces.is_empty(), has_source) {
        (false, _) => add_named_chain(batch, TABLE, SOURCE)?,
        (true, true) => {
            // First the rules that lead there; the others are written anew in any case.
            for name in [PREROUTING, SOURCE] {
                batch.push(NFT_MSG_DELRULE, 0, |attrs| name_chain(attrs, name))?;
            }
            batch.push(NFT_MSG_DELCHAIN, 0, |attrs| chain(attrs, SOURCE))?;
        }
        (true, false) => {}
    }
    let added = batch.push(NFT_MSG_NEWCHAIN, NLM_F_CREATE, |attrs| {
        chain(attrs, PREROUTING)?;
        attrs.name(NFTA_CHAIN_TYPE, CHAIN_TYPE)?;
        attrs.be32(NFTA_CHAIN_POLICY, NF_ACCEPT)?;
        attrs.nest(NFTA_CHAIN_HOOK, |hook| {
            hook.be32(NFTA_HOOK_HOOKNUM, NF_INET_PRE_ROUTING)?;
            hook.be32(NFTA_HOOK_PRIORITY, PRIORITY.cast_unsigned())
        })
    });
    added.map(drop)
}

fn name_table(attrs: &mut AttrWriter) -> Result<(), NetlinkError> {
    attrs.name(NFTA_TABLE_NAME, TABLE)
}

fn name_set(attrs: &mut AttrWriter, set: Set) -> Result<(), NetlinkError> {
    attrs.name(NFTA_SET_TABLE, TABLE)?;
    attrs.name(NFTA_SET_NAME, &set.name())
}

fn chain(attrs: &mut AttrWriter, name: &str) -> Result<(), NetlinkError> {
    attrs.name(NFTA_CHAIN_TABLE, TABLE)?;
    attrs.name(NFTA_CHAIN_NAME, name)
}

/// The parts of a key, each with its length in bytes.
fn write_parts(desc: &mut AttrWriter, parts: [u8; 3]) -> Result<(), NetlinkError> {
    desc.nest(NFTA_SET_DESC_CONCAT, |list| {
        parts.into_iter().try_for_each(|length| {
            list.nest(NFTA_LIST_ELEM, |part| part.be32(NFTA_SET_FIELD_LEN, length.into()))
        })
    })
}

fn flags(set: Set) -> u32 {
    let concatenated = if set.interval_parts().is_some() { NFT_SET_CONCAT } else { 0 };
    let interval = concatenated | if set.is_interval() { NFT_SET_INTERVAL } else { 0 };
    let dynamic = if set.tier().is_some() { NFT_SET_EVAL } else { 0 };
    interval | dynamic | if set.is_ban() { NFT_SET_TIMEOUT } else { 0 }
}

/// Whether the table is there.
pub(crate) fn is_there(socket: &mut Socket) -> Result<bool, NetlinkError> {
    read_head(socket).map(|found| found.is_some())
}

/// The table's flags and the port of its owner; `None` if there is no table.
pub(crate) fn read_head(socket: &mut Socket) -> Result<Option<(u32, Option<u32>)>, NetlinkError> {
    socket.get(NFT_MSG_GETTABLE, name_table, |attrs| {
        let attrs = Attrs::new(attrs);
        Ok((attrs.be32(NFTA_TABLE_FLAGS)?.unwrap_or(0), attrs.be32(NFTA_TABLE_OWNER)?))
    })
}

/// The number of the ruleset's present generation: every transaction of anybody makes a new one.
pub(crate) fn generation(socket: &mut Socket) -> Result<Option<u32>, NetlinkError> {
    let generation = socket.get(NFT_MSG_GETGEN, |_| Ok(()), |attrs| Attrs::new(attrs).be32(NFTA_GEN_ID))?;
    Ok(generation.flatten())
}

/// Reads what is there of a table whose elements are to count packets or not; `None` if there is none.
pub(crate) fn read(socket: &mut Socket, counts: bool) -> Result<Option<Table>, NetlinkError> {
    let Some((flags, owner)) = read_head(socket)? else { return Ok(None) };
    let (mut sizes, mut compatible) = (BTreeMap::new(), true);
    for found in read_list(
        socket,
        NFT_MSG_GETSET,
        |attrs| attrs.name(NFTA_SET_TABLE, TABLE),
        |attrs| read_set(attrs, counts),
    )? {
        let Some((set, size, fits)) = found else { continue };
        sizes.extend(size.map(|size| (set, size)));
        compatible &= fits;
    }
    let mut has_source = false;
    for (name, reads) in
        [(PREROUTING, is_our_base as fn(&[u8]) -> _), (OFFENDER, is_no_base), (SOURCE, is_no_base)]
    {
        let fits = socket.get(NFT_MSG_GETCHAIN, |attrs| chain(attrs, name), reads)?;
        has_source |= name == SOURCE && fits.is_some();
        compatible &= fits.unwrap_or(true);
    }
    let mut rules = Vec::new();
    for chain in [PREROUTING, SOURCE, OFFENDER] {
        rules.extend(read_rules(socket, chain)?);
    }
    let (mut used, mut renewed, mut counter) = (BTreeSet::new(), BTreeSet::new(), Counter::default());
    for rule in rules {
        used.extend(rule.set);
        renewed.extend(rule.renews);
        counter = rule.counter.unwrap_or(counter);
    }
    used.retain(|set| set.tier().is_none() || renewed.contains(set));
    Ok(Some(Table { sizes, used, counter, has_source, flags, owner, compatible }))
}

/// How many elements the kernel says a set has, those included that have just ended; `None` if it does not say, or
/// there is no such set.
pub(crate) fn count(socket: &mut Socket, set: Set) -> Result<Option<u32>, NetlinkError> {
    let count = socket.get(
        NFT_MSG_GETSET,
        |attrs| name_set(attrs, set),
        |attrs| Attrs::new(attrs).be32(NFTA_SET_COUNT),
    )?;
    Ok(count.flatten())
}

/// Reads the rules of a chain; none if it is not there.
pub(crate) fn read_rules(socket: &mut Socket, chain: &str) -> Result<Vec<Rule>, NetlinkError> {
    read_list(socket, NFT_MSG_GETRULE, |attrs| name_chain(attrs, chain), read_rule)
}

/// Reads what is in something; nothing if that is not there.
fn read_list<T>(
    socket: &mut Socket,
    kind: u16,
    whose: impl Fn(&mut AttrWriter) -> Result<(), NetlinkError>,
    read: impl Fn(&[u8]) -> Result<T, NetlinkError>,
) -> Result<Vec<T>, NetlinkError> {
    for _ in 0..READ_ATTEMPTS {
        let mut found = Vec::new();
        match socket.dump(kind, &whose, |attrs| read(attrs).map(|one| found.push(one)))? {
            Some(Dump::Disturbed) => {}
            Some(Dump::Whole) => return Ok(found),
            None => return Ok(Vec::new()),
        }
    }
    Err(NetlinkError::Unsteady)
}

/// A set that has a name of ours; its size, unless its keys are of another kind; and whether it is as ours are.
fn read_set(attrs: &[u8], counts: bool) -> Result<Option<(Set, Option<u32>, bool)>, NetlinkError> {
    let attrs = Attrs::new(attrs);
    let Some(set) = attrs.name(NFTA_SET_NAME)?.and_then(Set::named) else { return Ok(None) };
    let readable = attrs.be32(NFTA_SET_KEY_LEN)? == Some(set.key_len().into());
    let counted = counting::gives_counters(attrs)? == (counts && set.can_count());
    let fits = readable && counted && attrs.be32(NFTA_SET_FLAGS)?.unwrap_or(0) == flags(set);
    let size = attrs.nested(NFTA_SET_DESC)?.be32(NFTA_SET_DESC_SIZE)?.unwrap_or(0);
    Ok(Some((set, readable.then_some(size), fits)))
}

fn is_our_base(attrs: &[u8]) -> Result<bool, NetlinkError> {
    let attrs = Attrs::new(attrs);
    let hook = attrs.nested(NFTA_CHAIN_HOOK)?;
    Ok(attrs.name(NFTA_CHAIN_TYPE)? == Some(CHAIN_TYPE)
        && attrs.be32(NFTA_CHAIN_POLICY)? == Some(NF_ACCEPT)
        && hook.be32(NFTA_HOOK_HOOKNUM)? == Some(NF_INET_PRE_ROUTING)
        && hook.be32(NFTA_HOOK_PRIORITY)? == Some(PRIORITY.cast_unsigned()))
}

fn is_no_base(attrs: &[u8]) -> Result<bool, NetlinkError> {
    Ok(Attrs::new(attrs).find(NFTA_CHAIN_HOOK)?.is_none())
}
