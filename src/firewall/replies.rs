//! What becomes of an offender's packets beside the drop: log entries, resets, refusals.

use super::netlink::NetlinkError;
use super::netlink::attr::AttrWriter;
use super::netlink::constants::{
    NFT_LOGLEVEL_INFO, NFT_META_L4PROTO, NFT_REJECT_ICMPX_ADMIN_PROHIBITED, NFT_REJECT_ICMPX_UNREACH,
    NFT_REJECT_TCP_RST, NFTA_LIMIT_BURST, NFTA_LIMIT_RATE, NFTA_LIMIT_UNIT, NFTA_LOG_GROUP, NFTA_LOG_LEVEL,
    NFTA_LOG_PREFIX, NFTA_REJECT_ICMP_CODE, NFTA_REJECT_TYPE,
};
use super::options::Log;
use super::rules::{equals, expression, load_meta};
use crate::service::Protocol;

/// Log entries a second: an offender must not fill the disk.
const LOG_RATE: u64 = 10;
/// So many entries may come at once.
const LOG_BURST: u32 = 20;

/// `limit rate 10/second burst 20 packets log prefix "kban: " level info`, or `group 5` in place of the level.
pub(super) fn log(rule: &mut AttrWriter, log: &Log) -> Result<(), NetlinkError> {
    expression(rule, "limit", |data| {
        data.be64(NFTA_LIMIT_RATE, LOG_RATE)?;
        data.be64(NFTA_LIMIT_UNIT, 1)?;
        data.be32(NFTA_LIMIT_BURST, LOG_BURST)
    })?;
    expression(rule, "log", |data| {
        data.name(NFTA_LOG_PREFIX, &log.prefix)?;
        match log.group {
            Some(group) => data.bytes(NFTA_LOG_GROUP, &group.to_be_bytes()),
            None => data.be32(NFTA_LOG_LEVEL, NFT_LOGLEVEL_INFO),
        }
    })
}

/// `meta l4proto tcp reject with tcp reset`.
pub(super) fn reset(rule: &mut AttrWriter) -> Result<(), NetlinkError> {
    load_meta(rule, NFT_META_L4PROTO)?;
    equals(rule, &[Protocol::Tcp.number()])?;
    expression(rule, "reject", |data| {
        data.be32(NFTA_REJECT_TYPE, NFT_REJECT_TCP_RST)?;
        data.bytes(NFTA_REJECT_ICMP_CODE, &[0])
    })
}

/// `reject with icmpx admin-prohibited`.
pub(super) fn refuse(rule: &mut AttrWriter) -> Result<(), NetlinkError> {
    expression(rule, "reject", |data| {
        data.be32(NFTA_REJECT_TYPE, NFT_REJECT_ICMPX_UNREACH)?;
        data.bytes(NFTA_REJECT_ICMP_CODE, &[NFT_REJECT_ICMPX_ADMIN_PROHIBITED])
    })
}
