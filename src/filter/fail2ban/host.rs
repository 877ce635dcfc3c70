//! Who a match is about: an address, a network, a host's name, or whatever `<F-ID>` caught.

use std::net::IpAddr;

use super::groups::{CIDR, Catch, DNS, FID, Groups, IP4, IP6};

/// Who.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Host {
    pub(super) text: Text,
    pub(super) address: Option<IpAddr>,
    /// The address, where another identifier is what counts.
    pub(super) beside: Option<Text>,
}

/// Addresses in their canonical form, everything else as it was logged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Text {
    Address(IpAddr),
    Other(String),
}

impl std::fmt::Display for Text {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Address(address) => address.fmt(f),
            Self::Other(text) => f.write_str(text),
        }
    }
}

/// None if no group says who.
pub(super) fn of(groups: &Groups, raw_ids: bool) -> Option<Host> {
    let id = groups.get(FID);
    let plain = groups.text(IP4).or_else(|| groups.text(IP6));
    let (text, address) = match (plain, groups.text(DNS), id) {
        (Some(address), _, _) => canonical(address, groups.text(CIDR)),
        (None, Some(name), _) => (Text::Other(name.to_owned()), folded(name)),
        (None, None, Some(Catch::Text(id))) if raw_ids => (Text::Other(id.to_owned()), folded(id)),
        (None, None, Some(Catch::Text(id))) => canonical_id(id),
        (None, None, Some(Catch::Tuple(parts))) => (joined(parts), None),
        (None, None, None) => return None,
    };
    let plain = plain.or_else(|| groups.text(DNS));
    Some(match id {
        Some(Catch::Text(id)) if plain.is_some_and(|plain| plain != id) => {
            Host { address: folded(id), text: Text::Other(id.to_owned()), beside: Some(text) }
        }
        Some(Catch::Tuple(parts)) if plain.is_some() => {
            Host { address, text: joined(parts), beside: Some(text) }
        }
        _ => Host { text, address, beside: None },
    })
}

fn joined(parts: &[Option<String>]) -> Text {
    let shown: Vec<String> = parts
        .iter()
        .map(|part| part.as_ref().map_or_else(|| "None".to_owned(), |part| format!("'{part}'")))
        .collect();
    Text::Other(format!("({})", shown.join(", ")))
}

/// An address, IPv4-mapped IPv6 folded.
fn folded(text: &str) -> Option<IpAddr> {
    match text.parse().ok()? {
        IpAddr::V6(six) => Some(six.to_ipv4_mapped().map_or(IpAddr::V6(six), IpAddr::V4)),
        four => Some(four),
    }
}

fn canonical_id(text: &str) -> (Text, Option<IpAddr>) {
    let address = folded(text);
    (address.map_or_else(|| Text::Other(text.to_owned()), Text::Address), address)
}

/// The address; with a prefix length, the network.
fn canonical(text: &str, cidr: Option<&str>) -> (Text, Option<IpAddr>) {
    let Some(address) = folded(text) else { return (Text::Other(text.to_owned()), None) };
    let network =
        cidr.and_then(|cidr| cidr.parse().ok()).and_then(|length| ipnet::IpNet::new(address, length).ok());
    match network {
        Some(network) if network.prefix_len() < network.max_prefix_len() => {
            (Text::Other(network.trunc().to_string()), Some(address))
        }
        _ => (Text::Address(address), Some(address)),
    }
}
