//! The firewall against a live kernel, with `nft` as the witness.

mod apply;
mod choices;
mod counting;
mod logging;
mod monitor;
mod owner;
mod packets;
mod ranges;
mod renewal;
mod table;
mod trial;
mod wire;

use std::collections::BTreeMap;
use std::time::Duration;

use ipnet::IpNet;
use serde_json::Value;

use super::{Change, Element, Firewall, Log, Options, Reply, Set, Target};
use crate::namespace::nft;

const HOUR: Duration = Duration::from_secs(3_600);

fn net(text: &str) -> IpNet {
    match text.parse() {
        Ok(net) => net,
        Err(_) => IpNet::from(text.parse::<std::net::IpAddr>().unwrap()),
    }
}

fn nets(texts: &[&str]) -> Vec<IpNet> {
    texts.iter().map(|text| net(text)).collect()
}

fn ban(prefix: &str, left: Duration) -> Change {
    Change::Ban { target: net(prefix).into(), left: Some(left) }
}

fn lift(prefix: &str) -> Change {
    Change::Lift { target: net(prefix).into() }
}

/// The `number`th of many addresses.
fn many(number: u32) -> IpNet {
    IpNet::from(std::net::IpAddr::from((0x0b00_0000 + number).to_be_bytes()))
}

fn bans_of(numbers: std::ops::Range<u32>, left: Duration) -> Vec<Change> {
    numbers.map(|number| Change::Ban { target: many(number).into(), left: Some(left) }).collect()
}

fn ready() -> Firewall {
    let mut firewall = Firewall::open(Options::sized(65_536)).unwrap();
    assert_eq!(firewall.set_up(&[]).unwrap(), []);
    firewall
}

/// Applies changes of which none may be rejected.
fn apply(firewall: &mut Firewall, changes: &[Change]) {
    assert_eq!(firewall.apply(changes).unwrap(), []);
}

fn set(name: &str) -> Set {
    Set::named(name).unwrap()
}

/// Sets of every kind.
fn every_set() -> impl Iterator<Item = Set> {
    let renewed = ["renew4_3600", "renew6_64_3600", "renew_port4_24_600", "renew_port6_600"].map(set);
    Set::fixed().chain(Set::ALLOW).chain(renewed)
}

/// The elements of a set as nft shows them: address, and seconds of timeout and of what is left.
fn shown(set: &str) -> BTreeMap<String, Option<(u64, u64)>> {
    let listed: Value = serde_json::from_str(&nft(&format!("-j list set inet kban {set}"))).unwrap();
    let listed = listed["nftables"].as_array().unwrap().iter().find_map(|object| object.get("set")).unwrap();
    let elements = listed.get("elem").and_then(Value::as_array).cloned().unwrap_or_default();
    elements
        .iter()
        .map(|element| match element.get("elem") {
            Some(timed) => {
                let seconds = |key: &str| timed[key].as_u64().unwrap();
                (address(&timed["val"]), Some((seconds("timeout"), seconds("expires"))))
            }
            None => (address(element), None),
        })
        .collect()
}

fn address(value: &Value) -> String {
    match value.get("prefix") {
        Some(prefix) => format!("{}/{}", prefix["addr"].as_str().unwrap(), prefix["len"]),
        None => value.as_str().map_or_else(|| value.to_string(), str::to_owned),
    }
}

/// Asserts that `element` was banned for `left` moments ago.
fn assert_left(element: Option<Element>, left: Duration) {
    let is = element.expect("the element is there").left.expect("the element is timed");
    assert!(
        is <= left + Duration::from_millis(20) && is + Duration::from_secs(60) > left,
        "{is:?} of {left:?}"
    );
}
