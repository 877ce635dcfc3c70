//! What is logged of offenders' packets, as whoever listens to an NFLOG group hears it.

use std::net::UdpSocket;
use std::time::Instant;

use neli::consts::socket::{Msg, NlFamily};
use neli::socket::NlSocket;
use neli::utils::Groups;

use super::packets::{arrives, loopback};
use super::*;
use crate::firewall::netlink::attr::{AttrWriter, Attrs};
use crate::firewall::netlink::constants::{NLM_F_ACK, NLM_F_REQUEST, NLMSG_ERROR};
use crate::firewall::netlink::message::Messages;
use crate::namespace::in_namespace;

// linux/netfilter/nfnetlink_log.h; the subsystem is NFNL_SUBSYS_ULOG of nfnetlink.h.
const NFULNL_MSG_PACKET: u16 = 4 << 8;
const NFULNL_MSG_CONFIG: u16 = 4 << 8 | 1;
const NFULA_CFG_CMD: u16 = 1;
const NFULA_CFG_MODE: u16 = 2;
const NFULA_CFG_TIMEOUT: u16 = 4;
const NFULA_CFG_QTHRESH: u16 = 5;
const NFULA_PAYLOAD: u16 = 9;
const NFULA_PREFIX: u16 = 10;
const NFULNL_CFG_CMD_BIND: u8 = 1;
const NFULNL_COPY_PACKET: u8 = 2;

/// Listens to a group.
struct Listener(NlSocket);

impl Listener {
    fn of(group: u16) -> Self {
        let socket = NlSocket::connect(NlFamily::Netfilter, None, Groups::empty()).unwrap();
        let mut attrs = AttrWriter::default();
        attrs.bytes(NFULA_CFG_CMD, &[NFULNL_CFG_CMD_BIND]).unwrap();
        attrs.bytes(NFULA_CFG_MODE, &[0, 0, 0xff, 0xff, NFULNL_COPY_PACKET, 0]).unwrap();
        // Each packet is told by itself, at the latest after a hundredth of a second.
        attrs.be32(NFULA_CFG_QTHRESH, 1).unwrap();
        attrs.be32(NFULA_CFG_TIMEOUT, 1).unwrap();
        let attrs = attrs.into_bytes();
        let length = u32::try_from(20 + attrs.len()).unwrap();
        let mut request = length.to_ne_bytes().to_vec();
        request.extend(NFULNL_MSG_CONFIG.to_ne_bytes());
        request.extend((NLM_F_REQUEST | NLM_F_ACK).to_ne_bytes());
        request.extend([0; 8]);
        // struct nfgenmsg: the group is its resource.
        request.extend([0, 0]);
        request.extend(group.to_be_bytes());
        request.extend(attrs);
        socket.send(&request, Msg::empty()).unwrap();
        let mut answer = [0; 4096];
        let (length, _) = socket.recv(&mut answer, Msg::empty()).unwrap();
        let answer = Messages::new(&answer[..length]).next().unwrap().unwrap();
        assert_eq!((answer.kind, &answer.payload[..4]), (NLMSG_ERROR, &[0; 4][..]), "the group is ours");
        Self(socket)
    }

    /// The prefix and the source address of each packet that was told.
    fn heard(&self) -> Vec<(String, [u8; 4])> {
        let (mut heard, mut buffer) = (Vec::new(), vec![0; 65_536]);
        while let Ok((length, _)) = self.0.recv(&mut buffer, Msg::DONTWAIT) {
            for message in Messages::new(&buffer[..length]) {
                let message = message.unwrap();
                if message.kind == NFULNL_MSG_PACKET {
                    let attrs = Attrs::new(message.attributes().unwrap());
                    let payload = attrs.find(NFULA_PAYLOAD).unwrap().unwrap();
                    let prefix = attrs.name(NFULA_PREFIX).unwrap().unwrap();
                    heard.push((prefix.to_owned(), payload[12..16].try_into().unwrap()));
                }
            }
        }
        heard
    }
}

fn logging(group: u16) -> Firewall {
    let log = Some(Log { group: Some(group), prefix: "kban: ".into() });
    let mut firewall = Firewall::open(Options { log, ..Options::sized(1000) }).unwrap();
    firewall.set_up(&[net("127.0.0.4")]).unwrap();
    firewall
}

#[test]
fn what_is_dropped_is_logged_and_a_flood_is_not_logged_whole() {
    in_namespace(
        "firewall::tests::logging::what_is_dropped_is_logged_and_a_flood_is_not_logged_whole",
        || {
            loopback();
            let mut firewall = logging(5);
            let (listener, other) = (Listener::of(5), Listener::of(6));
            let begin = Instant::now();
            apply(&mut firewall, &[ban("127.0.0.2", HOUR), ban("127.0.0.4", HOUR)]);
            assert!(arrives("127.0.0.3", "127.0.0.1") && arrives("127.0.0.4", "127.0.0.1"), "one is allowed");
            assert!(!arrives("127.0.0.2", "127.0.0.1"));
            let mut heard = Vec::new();
            while heard.is_empty() {
                assert!(begin.elapsed() < Duration::from_secs(60), "nothing is logged");
                heard = listener.heard();
            }
            assert_eq!(heard, [("kban: ".to_owned(), [127, 0, 0, 2])]);

            let sender = UdpSocket::bind(("127.0.0.2", 0)).unwrap();
            for _ in 0..10_000 {
                sender.send_to(b"knock", ("127.0.0.1", 9)).unwrap();
                heard.extend(listener.heard());
            }
            // What has been logged is told soon.
            std::thread::sleep(Duration::from_millis(200));
            heard.extend(listener.heard());
            let seconds = usize::try_from(begin.elapsed().as_secs()).unwrap() + 1;
            assert!((20..=20 + 10 * seconds).contains(&heard.len()), "{} in {seconds} s", heard.len());
            assert!(heard.len() < 10_000 && firewall.dropped().unwrap().packets == 10_001);
            assert!(heard.iter().all(|(_, source)| *source == [127, 0, 0, 2]));
            assert_eq!(other.heard(), []);
        },
    );
}
