//! Answers that are lost or cut, and what was read too long ago: each is told, and the
//! next request is answered all the same.

use super::questions::QUESTIONS;
use super::*;
use crate::firewall::netlink::constants::{
    NFT_MSG_DELTABLE, NFT_MSG_GETTABLE, NFT_MSG_NEWTABLE, NFTA_TABLE_NAME, NLM_F_CREATE,
};
use crate::namespace::{in_namespace, nft};

fn named(attrs: &mut AttrWriter) -> Result<(), NetlinkError> {
    attrs.name(NFTA_TABLE_NAME, "t")
}

/// Whether table t is there.
fn asks(socket: &mut Socket) -> Result<bool, NetlinkError> {
    Ok(socket.get(NFT_MSG_GETTABLE, named, |attrs| Ok(!attrs.is_empty()))?.is_some())
}

#[test]
fn answers_that_overrun_the_queue_are_told() {
    in_namespace("firewall::netlink::socket::tests::answers_that_overrun_the_queue_are_told", || {
        let mut socket = Socket::open().unwrap();
        setsockopt(&socket.carrier, RcvBuf, &1).unwrap();
        let mut batch = socket.batch(None).unwrap();
        // Each of these is refused by itself.
        for _ in 0..500 {
            batch.push(NFT_MSG_DELTABLE, 0, named).unwrap();
        }
        assert_eq!(socket.commit(batch), Err(NetlinkError::Overrun));
        nft("add table inet t");
        assert_eq!(asks(&mut socket), Ok(true));
        assert_eq!(socket.commits(), 0);
    });
}

#[test]
fn an_answer_that_is_cut_is_told() {
    in_namespace("firewall::netlink::socket::tests::an_answer_that_is_cut_is_told", || {
        nft("add table inet t");
        let mut socket = Socket::open().unwrap();
        let whole = std::mem::replace(&mut socket.buffer, vec![0; 30]);
        assert_eq!(asks(&mut socket), Err(NetlinkError::Truncated { room: 30 }));
        socket.buffer = whole;
        assert_eq!(asks(&mut socket), Ok(true));
    });
}

#[test]
fn a_question_that_is_refused_leaves_nothing_behind_of_the_others() {
    in_namespace(
        "firewall::netlink::socket::tests::a_question_that_is_refused_leaves_nothing_behind_of_the_others",
        || {
            nft("add table inet t");
            let mut socket = Socket::open().unwrap();
            let mut ask = |names: &[&str]| {
                let name = |attrs: &mut AttrWriter, name: &&str| match *name {
                    "" => Ok(()),
                    name => attrs.name(NFTA_TABLE_NAME, name),
                };
                socket.get_each(NFT_MSG_GETTABLE, names, name, |attrs| Ok(!attrs.is_empty()))
            };
            // Without a name no table is meant.
            assert_eq!(ask(&["t", "", "t", "t"]).unwrap_err().errno(), Some(Errno::EINVAL));
            assert_eq!(ask(&["none", "t", "none"]), Ok(vec![None, Some(true), None]));
            let many: Vec<&str> = (0..QUESTIONS + 1).map(|_| "t").collect();
            assert_eq!(ask(&many).unwrap().len(), QUESTIONS + 1);
        },
    );
}

#[test]
fn what_was_read_before_others_committed_is_not_written() {
    in_namespace(
        "firewall::netlink::socket::tests::what_was_read_before_others_committed_is_not_written",
        || {
            let mut socket = Socket::open().unwrap();
            let generation = crate::firewall::ruleset::generation(&mut socket).unwrap();
            nft("add table inet other");
            let mut batch = socket.batch(generation).unwrap();
            batch.push(NFT_MSG_NEWTABLE, NLM_F_CREATE, named).unwrap();
            let refused = socket.commit(batch).unwrap_err();
            assert_eq!(refused.errno(), Some(Errno::ERESTART));
            assert_eq!(asks(&mut socket), Ok(false));
        },
    );
}

/// Without `NETLINK_CAP_ACK` the answer would hold the whole message, without `NETLINK_EXT_ACK` nothing but a number.
#[test]
fn the_answer_to_a_long_message_is_short_and_in_the_kernels_words() {
    in_namespace(
        "firewall::netlink::socket::tests::the_answer_to_a_long_message_is_short_and_in_the_kernels_words",
        || {
            let mut socket = Socket::open().unwrap();
            socket.buffer = vec![0; 256];
            let mut batch = socket.batch(None).unwrap();
            let name = "t".repeat(40_000);
            batch.push(NFT_MSG_NEWTABLE, NLM_F_CREATE, |attrs| attrs.name(NFTA_TABLE_NAME, &name)).unwrap();
            let refused = socket.commit(batch).unwrap_err();
            let NetlinkError::Refused { errno: Errno::ERANGE, text, .. } = &refused else {
                panic!("{refused:?}")
            };
            // Older kernels have no words for batches: 6.12 has none, 6.18 has.
            let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
            let mut numbers = release.split('.').map_while(|number| number.parse::<u32>().ok());
            let has_words = numbers.next().zip(numbers.next()) >= Some((6, 18));
            assert!(text.is_some() || !has_words, "{refused:?}");
            assert!(text.iter().all(|text| text.contains("policy")), "{refused}");
        },
    );
}

/// Whoever is root here may not exceed what the system grants everybody; what is granted can be sent whole.
#[test]
fn a_batch_as_long_as_the_send_limit_is_sent() {
    in_namespace("firewall::netlink::socket::tests::a_batch_as_long_as_the_send_limit_is_sent", || {
        let mut socket = Socket::open().unwrap();
        assert_eq!(setsockopt(&socket.carrier, SndBufForce, &SEND_BUFFER), Err(Errno::EPERM));
        let full = |socket: &Socket, bytes: usize| {
            let mut batch = socket.batch(None).unwrap();
            while batch.len() < bytes {
                batch.push(NFT_MSG_NEWTABLE, NLM_F_CREATE, named).unwrap();
            }
            batch
        };
        let limit = socket.send_limit();
        // A message has 28 bytes, and so has the one at the end less its attribute.
        let batch = full(&socket, limit - 100);
        assert_eq!(socket.commit(batch), Ok(()));
        assert_eq!(asks(&mut socket), Ok(true));
        let batch = full(&socket, limit);
        assert!(matches!(socket.commit(batch), Err(NetlinkError::TooBig { .. })));
    });
}

/// Root of the system is granted the whole send buffer, which `net.core.wmem_max` does not allow others.
#[test]
fn root_of_the_system_has_a_longer_send_limit() {
    let everybodys = std::fs::read_to_string("/proc/self/uid_map").unwrap();
    let is_first = everybodys.split_whitespace().eq(["0", "0", "4294967295"]);
    let socket = Socket::open().unwrap();
    if is_first && setsockopt(&socket.carrier, SndBufForce, &SEND_BUFFER).is_ok() {
        // The kernel doubles what it is asked for.
        assert_eq!(Socket::open().unwrap().send_limit(), 2 * SEND_BUFFER - SEND_OVERHEAD);
    } else {
        assert!(socket.send_limit() < 2 * SEND_BUFFER);
    }
}
