//! Who a match is about: an address, a network, a host's name, or whatever `<F-ID>` caught.

use std::net::IpAddr;

use super::connection::Known;
use super::groups::Caught;

/// Who.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Host {
    /// Addresses in their canonical form, everything else as it was logged.
    pub(super) text: String,
    pub(super) address: Option<IpAddr>,
    /// The address, where another identifier is what counts.
    pub(super) beside: Option<String>,
}

/// None if no group says who.
pub(super) fn of(known: &Known, raw_ids: bool) -> Option<Host> {
    let id = known.groups.get("fid").cloned().flatten();
    let cidr = known.text("cidr");
    let address = known.text("ip4").or_else(|| known.text("ip6")).map(|text| canonical(text, cidr));
    let (text, address) = match (address, known.text("dns"), &id) {
        (Some((text, address)), _, _) => (text, address),
        (None, Some(name), _) => (name.to_owned(), folded(name)),
        (None, None, Some(Caught::Text(id))) if raw_ids => (id.clone(), folded(id)),
        (None, None, Some(Caught::Text(id))) => canonical_id(id),
        (None, None, Some(Caught::Tuple(parts))) => (joined(parts), None),
        (None, None, None) => return None,
    };
    let plain = || known.text("ip4").or_else(|| known.text("ip6")).or_else(|| known.text("dns"));
    Some(match id {
        Some(Caught::Text(id)) if plain().is_some_and(|plain| plain != id) => {
            Host { address: folded(&id), text: id, beside: Some(text) }
        }
        Some(Caught::Tuple(parts)) if plain().is_some() => {
            Host { address, text: joined(&parts), beside: Some(text) }
        }
        _ => Host { text, address, beside: None },
    })
}

fn joined(parts: &[Option<String>]) -> String {
    let shown: Vec<String> = parts
        .iter()
        .map(|part| part.as_ref().map_or_else(|| "None".to_owned(), |part| format!("'{part}'")))
        .collect();
    format!("({})", shown.join(", "))
}

/// An address, IPv4-mapped IPv6 folded.
fn folded(text: &str) -> Option<IpAddr> {
    match text.parse().ok()? {
        IpAddr::V6(six) => Some(six.to_ipv4_mapped().map_or(IpAddr::V6(six), IpAddr::V4)),
        four => Some(four),
    }
}

fn canonical_id(text: &str) -> (String, Option<IpAddr>) {
    let address = folded(text);
    (address.map_or_else(|| text.to_owned(), |address| address.to_string()), address)
}

/// The address; with a prefix length, the network.
fn canonical(text: &str, cidr: Option<&str>) -> (String, Option<IpAddr>) {
    let Some(address) = folded(text) else { return (text.to_owned(), None) };
    let network =
        cidr.and_then(|cidr| cidr.parse().ok()).and_then(|length| ipnet::IpNet::new(address, length).ok());
    match network {
        Some(network) if network.prefix_len() < network.max_prefix_len() => {
            (network.trunc().to_string(), Some(address))
        }
        _ => (address.to_string(), Some(address)),
    }
}
