//! Addresses and prefixes as they are typed in `ignoreip`, and what stands for addresses there: names and files.
//!
//! A prefix that is not canonical is refused, not rounded: `10.13.37.5/24` may have been meant as one address or
//! as a network, and the difference is who can attack unpunished.

use std::fmt;
use std::marker::PhantomData;
use std::net::{IpAddr, Ipv6Addr};
use std::path::PathBuf;
use std::sync::Arc;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use serde::Deserialize;
use serde::de::{self, Deserializer, SeqAccess, Visitor};

use super::feed::ListPath;
use super::value::{At, Text, deserialize_text, refusal, short};

/// An address or a prefix, canonical (no host bits), IPv4-mapped folded to IPv4, never [too wide](too_wide).
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
        if let Some(widest) = too_wide(&canonical) {
            return Err((
                format!("`{}` covers a large part of the Internet", short(typed)),
                format!("nobody in it would ever be banned: name networks of at least /{widest}"),
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

deserialize_text!(Network, Entry);

/// What stands for addresses that may change: they are looked up again and again.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Lookup {
    /// The name of a host.
    Name(Arc<str>),
    /// A file: one address, prefix or range a line.
    File(PathBuf),
}

impl Lookup {
    /// What has to be looked up, or what is wrong with it and what to write; `None` if this is an address or a prefix.
    pub fn read(typed: &str) -> Option<Result<Self, (String, String)>> {
        let path = typed.strip_prefix("file:").or(Some(typed).filter(|typed| typed.starts_with('/')));
        if let Some(path) = path {
            return Some(ListPath::read(path).map(|path| Self::File(path.0)));
        }
        is_host(typed).then(|| Ok(Self::Name(typed.to_ascii_lowercase().into())))
    }
}

/// One entry of `ignoreip`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry {
    /// An address or a prefix.
    Network(Network),
    /// What stands for some.
    Lookup(Lookup),
}

impl Text for Entry {
    const EXPECTED: &'static str = "an address, a prefix, a name or a file in quotes";

    fn read(typed: &str) -> Result<Self, (String, String)> {
        match Lookup::read(typed) {
            Some(lookup) => lookup.map(Self::Lookup),
            None => Network::read(typed).map(Self::Network),
        }
    }
}

/// Whether this can be the name of a host (RFC 1123, 2.1): its last label is no number, or it would be an address.
fn is_host(typed: &str) -> bool {
    let name = typed.strip_suffix('.').unwrap_or(typed);
    let of = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(of)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let is_number = |label: &str| label.bytes().all(|byte| byte.is_ascii_digit());
    name.len() <= 253 && name.split('.').all(label) && !name.rsplit('.').next().is_some_and(is_number)
}

/// What `ignoreip` says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Ignored {
    /// Canonical.
    pub networks: Vec<IpNet>,
    /// What has to be looked up.
    pub lookups: Vec<Lookup>,
}

impl Ignored {
    /// What a key says; nothing if it is left out.
    #[must_use]
    pub fn of(typed: Option<&At<Entries>>) -> Self {
        typed.map_or_else(Self::default, |list| Self::from(&list.value))
    }
}

impl Networks {
    /// What a key says; nothing if it is left out.
    #[must_use]
    pub fn of(typed: Option<&At<Self>>) -> Vec<IpNet> {
        typed.map_or_else(Vec::new, |list| list.value.0.iter().map(|network| network.0).collect())
    }
}

impl From<&Entries> for Ignored {
    fn from(typed: &Entries) -> Self {
        let mut ignored = Self::default();
        for entry in &typed.0 {
            match entry {
                Entry::Network(network) => ignored.networks.push(network.0),
                Entry::Lookup(lookup) => ignored.lookups.push(lookup.clone()),
            }
        }
        ignored
    }
}

/// What is wider is taken for a slip of the pen: as prefix lengths of IPv4 and IPv6.
const WIDEST: (u8, u8) = (8, 16);

/// Networks of IPv6 that no host of the Internet is in, however wide: private ones (RFC 4193) and the local link.
const PRIVATE: [Ipv6Net; 2] = [
    Ipv6Net::new_assert(Ipv6Addr::new(0xfc00, 0, 0, 0, 0, 0, 0, 0), 7),
    Ipv6Net::new_assert(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0), 10),
];

/// If so much of the Internet lies in `prefix` that nobody means to spare it: the shortest length that is meant.
#[must_use]
pub fn too_wide(prefix: &IpNet) -> Option<u8> {
    let (widest, private) = match prefix {
        IpNet::V4(_) => (WIDEST.0, false),
        IpNet::V6(v6) => (WIDEST.1, PRIVATE.iter().any(|private| private.contains(v6))),
    };
    (prefix.prefix_len() < widest && !private).then_some(widest)
}

/// `::ffff:192.0.2.0/120` is `192.0.2.0/24`.
#[must_use]
pub fn folded(prefix: IpNet) -> IpNet {
    let IpNet::V6(v6) = prefix else { return prefix };
    let inner = v6.addr().to_ipv4_mapped().zip(v6.prefix_len().checked_sub(96));
    inner.and_then(|(address, bits)| Ipv4Net::new(address, bits).ok()).map_or(prefix, IpNet::V4)
}

/// A list of addresses, prefixes and the like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct List<T>(pub Vec<T>);

/// Addresses and prefixes.
pub type Networks = List<Network>;
/// As `ignoreip` takes them.
pub type Entries = List<Entry>;

impl<'de, T: Deserialize<'de>> Deserialize<'de> for List<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Elements<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Elements<T> {
            type Value = List<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of addresses and prefixes")
            }

            // fail2ban writes them in one line.
            fn visit_str<E: de::Error>(self, typed: &str) -> Result<List<T>, E> {
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

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<List<T>, A::Error> {
                let mut elements = Vec::new();
                while let Some(element) = list.next_element()? {
                    elements.push(element);
                }
                Ok(List(elements))
            }
        }
        deserializer.deserialize_any(Elements(PhantomData))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_files_are_told_from_addresses() {
        for name in [
            "office.example.net",
            "localhost",
            "Office.Example.NET.",
            "xn--bcher-kva.example",
            "1.2.3.4.example",
        ] {
            let read = Entry::read(name).unwrap();
            assert_eq!(read, Entry::Lookup(Lookup::Name(name.to_ascii_lowercase().into())));
        }
        for file in ["/etc/kban/office", "file:/etc/kban/office"] {
            assert_eq!(Entry::read(file).unwrap(), Entry::Lookup(Lookup::File("/etc/kban/office".into())));
        }
        assert!(matches!(Entry::read("192.0.2.7"), Ok(Entry::Network(_))));
        assert!(matches!(Entry::read("2001:db8::/32"), Ok(Entry::Network(_))));
        for wrong in [
            "",
            "300.1.1.1",
            "10.0.0.1.",
            "-a.example",
            "a b",
            "a..b",
            "office:22",
            "file:office",
            "0.0.0.0/0",
            "::/0",
            "0.0.0.0/1",
            "128.0.0.0/1",
            "10.0.0.0/7",
            "2000::/3",
        ] {
            assert!(Entry::read(wrong).is_err(), "{wrong}");
        }
        for wide in ["10.0.0.0/8", "2001::/16", "fc00::/7", "fe80::/10"] {
            assert!(Entry::read(wide).is_ok(), "{wide}");
        }
    }
}
