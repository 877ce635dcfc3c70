//! The bytes of each kind of message, recorded: a change of any of them is meant or it is a mistake.

use proptest::prelude::*;

use super::*;
use crate::firewall::allow::AllowLists;
use crate::firewall::elements::{Action, ELEMENT_MAX, PER_MESSAGE, flush, read_elements, write_elements};
use crate::firewall::netlink::NetlinkError;
use crate::firewall::netlink::message::{Batch, Messages};
use crate::firewall::rules::{read_rule, write_rules};
use crate::firewall::{Counter, ruleset};

/// The messages between the begin and the end of a batch, in hexadecimal: type, flags, attributes.
#[cfg(target_endian = "little")]
fn recorded(write: impl FnOnce(&mut Batch) -> Result<(), NetlinkError>) -> String {
    let mut batch = Batch::begin(1, None).unwrap();
    write(&mut batch).unwrap();
    let bytes = batch.end().unwrap().unwrap().into_bytes();
    let messages: Vec<_> = Messages::new(&bytes).map(Result::unwrap).collect();
    let lines = messages[1..messages.len() - 1].iter().map(|message| {
        let words = message
            .payload
            .chunks(4)
            .map(|word| word.iter().map(|byte| format!("{byte:02x}")).collect::<String>());
        format!("{:04x} {:04x}: {}", message.kind, message.flags, words.collect::<Vec<_>>().join(" "))
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
#[cfg(target_endian = "little")]
fn tables_sets_and_chains() {
    insta::assert_snapshot!(recorded(|batch| {
        ruleset::delete_table(batch)?;
        ruleset::add_table(batch, 0)?;
        for set in every_set() {
            ruleset::add_set(batch, set, 65_536, false)?;
        }
        ruleset::delete_set(batch, set("net6_64"))?;
        ruleset::add_chains(batch, &chosen(), false)
    }));
}

#[test]
#[cfg(target_endian = "little")]
fn rules() {
    let used = every_set();
    insta::assert_snapshot!(recorded(|batch| write_rules(
        batch,
        &chosen(),
        used,
        Counter { packets: 7, bytes: 300 }
    )));
}

/// Every choice, otherwise than usual.
fn chosen() -> Options {
    Options {
        set_size: 65_536,
        reply: Reply::Reject,
        log: Some(Log { group: None, prefix: "kban: ".into() }),
        interfaces: vec!["wan0".into(), "ppp*".into()],
        cut_connections: true,
        count: false,
    }
}

#[test]
#[cfg(target_endian = "little")]
fn elements() {
    let host4 = [(net("203.0.113.9").into(), Some(HOUR)), (net("203.0.113.10").into(), None)];
    let port4 =
        [(Target { service: Some("udp/53".parse().unwrap()), ..net("203.0.113.9").into() }, Some(HOUR))];
    let net6 = [(net("2001:db8::/64").into(), Some(Duration::from_micros(1_000_001)))];
    insta::assert_snapshot!(recorded(|batch| {
        write_elements(batch, Action::Add, Set::HOST4, &host4, drop)?;
        write_elements(batch, Action::Add, set("net6_64"), &net6, drop)?;
        write_elements(batch, Action::Add, set("port4"), &port4, drop)?;
        write_elements(batch, Action::Delete, Set::HOST4, &host4, drop)?;
        write_elements(batch, Action::Delete, Set::HOST4, &[], drop)?;
        flush(batch, Set::HOST6)?;
        AllowLists::new(&nets(&["10.0.0.0/8", "10.1.2.3", "255.0.0.0/8", "::1"])).write(batch)
    }));
}

#[test]
fn a_message_has_at_most_900_elements_of_known_length() {
    let entries: Vec<_> = (0..2_500_u128)
        .map(|number| (Target::from(IpNet::from(std::net::IpAddr::from(number.to_be_bytes()))), Some(HOUR)))
        .collect();
    let mut batch = Batch::begin(1, None).unwrap();
    let mut written = Vec::new();
    write_elements(&mut batch, Action::Add, Set::HOST6, &entries, |number| written.push(number)).unwrap();
    assert_eq!(written, [2, 3, 4]);
    let bytes = batch.end().unwrap().unwrap().into_bytes();
    let mut found = Vec::new();
    for message in Messages::new(&bytes).map(Result::unwrap).skip(1).take(3) {
        assert!(message.payload.len() <= PER_MESSAGE * ELEMENT_MAX + 64);
        read_elements(Set::HOST6, message.attributes().unwrap(), &mut found).unwrap();
    }
    assert_eq!(found.len(), 2_500);
    assert!(
        found
            .iter()
            .zip(&entries)
            .all(|(found, (target, left))| found.target == *target && found.left == *left)
    );
}

proptest! {
    #[test]
    fn forged_answers_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        for set in every_set() {
            let _ = read_elements(set, &bytes, &mut Vec::new());
        }
        let _ = read_rule(&bytes);
    }

    #[test]
    fn cut_and_flipped_answers_never_panic(cut in 0_usize..200, at in 0_usize..200, with: u8) {
        let mut batch = Batch::begin(1, None).unwrap();
        write_elements(&mut batch, Action::Add, Set::HOST4, &[(net("10.0.0.1").into(), Some(HOUR))], drop).unwrap();
        write_rules(&mut batch, &chosen(), [Set::HOST4], Counter::default()).unwrap();
        let mut bytes = batch.end().unwrap().unwrap().into_bytes();
        bytes.truncate(bytes.len().saturating_sub(cut));
        if let Some(byte) = bytes.get_mut(at) {
            *byte = with;
        }
        for message in Messages::new(&bytes).flatten() {
            let Ok(attrs) = message.attributes() else { continue };
            let _ = read_elements(Set::HOST4, attrs, &mut Vec::new());
            let _ = read_rule(attrs);
        }
    }
}
