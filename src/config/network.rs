//! Addresses and prefixes as they are typed in `ignoreip`.
//!
//! A prefix that is not canonical is refused, not rounded: `10.13.37.5/24` may have been meant as one address or
//! as a network, and the difference is who can attack unpunished.

use std::fmt;
use std::net::IpAddr;

use ipnet::{IpNet, Ipv4Net};
use serde::Deserialize;
use serde::de::{self, Deserializer, SeqAccess, Visitor};

use super::value::{Text, deserialize_text, refusal, short};

/// An address or a prefix, canonical (no host bits), IPv4-mapped folded to IPv4, never everything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network(pub IpNet);

impl Text for Network {
    const EXPECTED: &'static str = "an address or a prefix in quotes";

    fn read(typed: &str) -> Result<Self, (String, String)> {
        let unreadable = || {
            (
                format!("`{}` is neither an address nor a prefix", short(typed)),
                "write an address or a prefix, such as \"192.0.2.7\", \"10.0.0.0/8\" or \"2001:db8::/32\""
                    .to_owned(),
            )
        };
        let prefix = match typed.split_once('/') {
            None => IpNet::from(typed.parse::<IpAddr>().map_err(|_| unreadable())?),
            Some((address, length)) => {
                let address: IpAddr = address.parse().map_err(|_| unreadable())?;
                let most = if address.is_ipv4() { 32 } else { 128 };
                let decimal = length.bytes().all(|byte| byte.is_ascii_digit());
                let bits = length.parse::<u8>().ok().filter(|_| decimal);
                let net = bits.and_then(|bits| IpNet::new(address, bits).ok());
                net.ok_or_else(|| {
                    (
                        format!("`{}` has no valid prefix length", short(typed)),
                        format!("write a number from 1 to {most} after the slash"),
                    )
                })?
            }
        };
        let prefix = folded(prefix);
        let canonical = prefix.trunc();
        if canonical.prefix_len() == 0 {
            return Err((
                format!("`{}` covers everything", short(typed)),
                "nobody would ever be banned: name the networks that are to be spared".to_owned(),
            ));
        }
        if canonical != prefix {
            let address = prefix.addr();
            return Err((
                format!("`{}` has bits set behind its prefix length", short(typed)),
                format!("write \"{canonical}\", or \"{address}\" for the single address"),
            ));
        }
        Ok(Network(canonical))
    }
}

deserialize_text!(Network);

/// `::ffff:192.0.2.0/120` is `192.0.2.0/24`.
#[must_use]
pub fn folded(prefix: IpNet) -> IpNet {
    let IpNet::V6(v6) = prefix else { return prefix };
    let inner = v6.addr().to_ipv4_mapped().zip(v6.prefix_len().checked_sub(96));
    inner.and_then(|(address, bits)| Ipv4Net::new(address, bits).ok()).map_or(prefix, IpNet::V4)
}

/// A list of addresses and prefixes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Networks(pub Vec<Network>);

impl<'de> Deserialize<'de> for Networks {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct List;
        impl<'de> Visitor<'de> for List {
            type Value = Networks;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of addresses and prefixes")
            }

            // fail2ban writes them in one line.
            fn visit_str<E: de::Error>(self, typed: &str) -> Result<Networks, E> {
                let words =
                    typed.split(|c: char| c.is_whitespace() || c == ',').filter(|word| !word.is_empty());
                let canonical =
                    |word: &str| word.parse::<IpNet>().map_or(word.to_owned(), |net| net.trunc().to_string());
                let list: Vec<String> = words.map(|word| format!("\"{}\"", canonical(word))).collect();
                let list = list.join(", ");
                let help = if list.len() <= 200 {
                    format!("write [{list}]")
                } else {
                    "write [\"...\", \"...\"]".to_owned()
                };
                Err(refusal("the addresses are not in a list", &help))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Networks, A::Error> {
                let mut networks = Vec::new();
                while let Some(network) = list.next_element()? {
                    networks.push(network);
                }
                Ok(Networks(networks))
            }
        }
        deserializer.deserialize_any(List)
    }
}
