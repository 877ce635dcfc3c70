//! Who a match is about: an address, a network, a host's name, or whatever `<F-ID>` caught.

use std::net::IpAddr;

use ipnet::IpNet;

use super::groups::{CIDR, Catch, DNS, FID, Groups, IP4, IP6};

/// Who.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Host {
    pub(super) text: Text,
    pub(super) address: Option<IpAddr>,
    /// That of the network around the address, if the line names one.
    pub(super) prefix_len: Option<u8>,
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
pub(super) fn of(groups: &Groups) -> Option<Host> {
    let id = groups.get(FID);
    let plain = groups.text(IP4).or_else(|| groups.text(IP6));
    let mut network = None;
    let (text, address) = match (plain, groups.text(DNS), id) {
        (Some(address), _, _) => {
            network = groups.text(CIDR).and_then(|length| named_network(address, length));
            match network {
                Some(network) => (Text::Other(network.trunc().to_string()), Some(network.addr())),
                None => canonical(address),
            }
        }
        (None, Some(name), _) => (Text::Other(name.to_owned()), folded(name)),
        // What `<F-ID>` catches is kept as it is.
        (None, None, Some(Catch::Text(id))) => (Text::Other(id.to_owned()), folded(id)),
        (None, None, Some(Catch::Tuple(parts))) => (joined(parts), None),
        (None, None, None) => return None,
    };
    let prefix_len = network.map(|network| network.prefix_len());
    let plain = plain.or_else(|| groups.text(DNS));
    Some(match id {
        Some(Catch::Text(id)) if plain.is_some_and(|plain| plain != id) => {
            let id_text = Text::Other(id.to_owned());
            Host { address: folded(id), prefix_len: None, text: id_text, beside: Some(text) }
        }
        Some(Catch::Tuple(parts)) if plain.is_some() => {
            Host { address, prefix_len, text: joined(parts), beside: Some(text) }
        }
        _ => Host { text, address, prefix_len, beside: None },
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
    text.parse().ok().map(|address: IpAddr| address.to_canonical())
}

/// The address, or whatever stands in its place.
fn canonical(text: &str) -> (Text, Option<IpAddr>) {
    let address = folded(text);
    (address.map_or_else(|| Text::Other(text.to_owned()), Text::Address), address)
}

/// The network of this length, with the address in it; none if it is no network, or of one address.
fn named_network(address: &str, length: &str) -> Option<IpNet> {
    let (address, length): (IpAddr, u8) = (address.parse().ok()?, length.parse().ok()?);
    let canonical = address.to_canonical();
    // `::ffff:192.0.2.0/120` is `192.0.2.0/24`.
    let length = if canonical == address { length } else { length.checked_sub(96)? };
    let network = IpNet::new(canonical, length).ok()?;
    (network.prefix_len() < network.max_prefix_len()).then_some(network)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_are_those_of_their_own_family() {
        let named = |address, length| named_network(address, length).map(|network| network.to_string());
        assert_eq!(named("203.0.113.77", "24").as_deref(), Some("203.0.113.77/24"));
        assert_eq!(named("203.0.113.77", "0").as_deref(), Some("203.0.113.77/0"));
        assert_eq!(named("2001:db8::9", "48").as_deref(), Some("2001:db8::9/48"));
        assert_eq!(named("::ffff:cb00:714d", "120").as_deref(), Some("203.0.113.77/24"));
        for (address, length) in [
            ("203.0.113.77", "32"),
            ("203.0.113.77", "33"),
            ("203.0.113.77", "264"),
            ("203.0.113.777", "24"),
            ("2001:db8::9", "128"),
            ("::ffff:cb00:714d", "24"),
            ("::ffff:cb00:714d", "128"),
        ] {
            assert_eq!(named(address, length), None, "{address}/{length}");
        }
    }
}
