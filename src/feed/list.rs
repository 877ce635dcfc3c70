//! The text of a list, judged: which prefixes it names, and whether it can be meant.
//!
//! One address, prefix or range a line; what follows `#` or `;` is a comment. So FireHOL's netsets and Spamhaus' DROP
//! read as they are. Whoever publishes a list is trusted with who is banned, not with this machine: what no
//! list can mean is refused whole, and the one before stays.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv4Subnets, Ipv6Net, Ipv6Subnets};
use smallvec::SmallVec;

use crate::config::network::folded;

/// The longest list, in bytes (32 MiB).
pub const LONGEST_LIST: usize = 32 * 1024 * 1024;
/// The longest line, in bytes, comments aside.
const LONGEST_LINE: usize = 256;
/// No list means more than this at once: as prefix lengths of IPv4 and IPv6.
const WIDEST: (u8, u8) = (8, 16);
/// One line in so many may be unreadable; with more it is no list.
const READABLE: usize = 20;

/// Where no remote host sends from; lists of bogons name them. This host and its loopback (RFC 6890), multicast and
/// reserved (RFC 5771, RFC 1112), and the local link of IPv6, where routers live.
const NO_HOSTS: [IpNet; 7] = [
    v4([0, 0, 0, 0], 8),
    v4([127, 0, 0, 0], 8),
    v4([224, 0, 0, 0], 3),
    v6(Ipv6Addr::UNSPECIFIED, 128),
    v6(Ipv6Addr::LOCALHOST, 128),
    v6(Ipv6Addr::new(0xff00, 0, 0, 0, 0, 0, 0, 0), 8),
    v6(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0), 10),
];

const fn v4(address: [u8; 4], length: u8) -> IpNet {
    let [a, b, c, d] = address;
    IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), length))
}

const fn v6(address: Ipv6Addr, length: u8) -> IpNet {
    IpNet::V6(Ipv6Net::new_assert(address, length))
}

/// What a list says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct List {
    /// Canonical, ascending, each once; some may lie in others.
    pub entries: Vec<IpNet>,
    /// What is remarkable about it.
    pub notes: Notes,
}

/// What is remarkable about a list that was taken.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Notes {
    /// Entries with bits behind their prefix length, taken as the network that they lie in.
    pub rounded: usize,
    /// Entries that no remote host can have, left out.
    pub no_hosts: usize,
    /// Lines that could not be read, left out.
    pub unreadable: usize,
    /// The first of these: its number, and its beginning.
    pub first_unreadable: Option<(usize, String)>,
}

/// Why a text is refused as a list. Each sentence ends with what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ListError {
    /// HTML or XML.
    #[error(
        "line {0} begins a web page, not a list: name the address of the list itself, one address or prefix a line"
    )]
    WebPage(usize),
    /// Too little of it can be read.
    #[error(
        "line {line} (`{text}`) is neither an address nor a prefix, as are {unreadable} of {lines} lines: \
         it has to be a plain list, one address or prefix a line"
    )]
    NotAList {
        /// The first unreadable line.
        line: usize,
        /// Its beginning.
        text: String,
        /// How many lines cannot be read.
        unreadable: usize,
        /// How many lines there are, blank ones and comments aside.
        lines: usize,
    },
    /// An entry that means a large part of the Internet.
    #[error(
        "line {line} ({prefix}) would ban a large part of the Internet: \
         the whole list is refused until that is gone (nothing wider than /{widest})"
    )]
    TooWide {
        /// Where.
        line: usize,
        /// What it says.
        prefix: IpNet,
        /// The shortest prefix that is taken.
        widest: u8,
    },
    /// More than the administrator expects.
    #[error("line {line} is more than {most} entries: raise max_entries if the list is meant to be so long")]
    TooMany {
        /// Where.
        line: usize,
        /// How many are taken.
        most: usize,
    },
    /// Nothing any more.
    #[error(
        "the list is empty, and it had {before} entries: if that is right, set enabled = false for the feed"
    )]
    Emptied {
        /// How many entries the list had before.
        before: usize,
    },
}

impl List {
    /// Reads a text with at most `most` entries.
    ///
    /// # Errors
    /// When it is no list, or one that cannot be meant.
    pub fn read(text: &[u8], most: usize) -> Result<Self, ListError> {
        let (mut list, mut lines) = (Self::default(), 0);
        for (number, line, read) in self::lines(text) {
            lines += 1;
            if lines == 1 && line.starts_with(b"<") {
                return Err(ListError::WebPage(number));
            }
            let Some(read) = read else {
                list.notes.unreadable += 1;
                list.notes.first_unreadable.get_or_insert_with(|| (number, beginning(line)));
                continue;
            };
            for prefix in read {
                list.take(prefix, number, most)?;
            }
        }
        let unreadable = list.notes.unreadable;
        if let Some((line, text)) = &list.notes.first_unreadable
            && (unreadable == lines || unreadable * READABLE > lines)
        {
            return Err(ListError::NotAList { line: *line, text: text.clone(), unreadable, lines });
        }
        list.entries.sort_unstable();
        list.entries.dedup();
        Ok(list)
    }

    fn take(&mut self, prefix: IpNet, line: usize, most: usize) -> Result<(), ListError> {
        let prefix = folded(prefix);
        let network = prefix.trunc();
        if NO_HOSTS.iter().any(|nowhere| nowhere.contains(&network)) {
            self.notes.no_hosts += 1;
            return Ok(());
        }
        let widest = if network.addr().is_ipv4() { WIDEST.0 } else { WIDEST.1 };
        if network.prefix_len() < widest {
            return Err(ListError::TooWide { line, prefix, widest });
        }
        if self.entries.len() >= most {
            return Err(ListError::TooMany { line, most });
        }
        self.notes.rounded += usize::from(network != prefix);
        self.entries.push(network);
        Ok(())
    }
}

/// Each line that is not blank: its number, its text without comment, and the prefixes that it names as they were
/// written (`None` if it names none).
pub fn lines(text: &[u8]) -> impl Iterator<Item = (usize, &[u8], Option<SmallVec<[IpNet; 1]>>)> {
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
    let lines = text.split(|byte| *byte == b'\n').map(|line| {
        let end = line.iter().position(|byte| b"#;".contains(byte)).unwrap_or(line.len());
        line.get(..end).unwrap_or_default().trim_ascii()
    });
    (1..).zip(lines).filter(|(_, line)| !line.is_empty()).map(|(number, line)| (number, line, entries(line)))
}

/// What one line names; a prefix as it was written.
fn entries(line: &[u8]) -> Option<SmallVec<[IpNet; 1]>> {
    if line.len() > LONGEST_LINE {
        return None;
    }
    let line = std::str::from_utf8(line).ok()?;
    let address = |text: &str| text.trim().parse::<IpAddr>().ok();
    if let Some((first, last)) = line.split_once('-') {
        return match (address(first)?.to_canonical(), address(last)?.to_canonical()) {
            (IpAddr::V4(first), IpAddr::V4(last)) if first <= last => {
                Some(Ipv4Subnets::new(first, last, 0).map(IpNet::V4).collect())
            }
            (IpAddr::V6(first), IpAddr::V6(last)) if first <= last => {
                Some(Ipv6Subnets::new(first, last, 0).map(IpNet::V6).collect())
            }
            _ => None,
        };
    }
    let prefix = if line.contains('/') { line.parse().ok()? } else { IpNet::from(address(line)?) };
    Some(SmallVec::from([prefix]))
}

/// The beginning of a line, for a sentence.
pub fn beginning(line: &[u8]) -> String {
    let start = line.get(..line.len().min(60)).unwrap_or_default();
    String::from_utf8_lossy(start).chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(text: &str) -> Result<List, ListError> {
        List::read(text.as_bytes(), 1000)
    }

    fn entries_of(text: &str) -> Vec<String> {
        read(text).unwrap().entries.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn published_formats_read_as_they_are() {
        let netset = "#\n# a netset\n# 3 entries\n#\n192.0.2.1\n198.51.100.0/24\n203.0.113.0/25\n";
        assert_eq!(entries_of(netset), ["192.0.2.1/32", "198.51.100.0/24", "203.0.113.0/25"]);
        let drop =
            "; A list of blocks\r\n; Last-Modified: today\r\n192.0.2.0/24 ; SBL1\r\n2001:db8::/32 ; SBL2\r\n";
        assert_eq!(entries_of(drop), ["192.0.2.0/24", "2001:db8::/32"]);
        let ranges = "192.0.2.0-192.0.2.3\n 192.0.2.8 - 192.0.2.9 # range\n2001:db8::-2001:db8::1";
        assert_eq!(entries_of(ranges), ["192.0.2.0/30", "192.0.2.8/31", "2001:db8::/127"]);
        assert_eq!(entries_of("\u{feff}192.0.2.1"), ["192.0.2.1/32"]);
        assert_eq!(entries_of("# nobody today\n\n"), [""; 0]);
    }

    #[test]
    fn entries_are_canonical_and_once_each() {
        let list =
            read("192.0.2.77/24\n192.0.2.0/24\n::ffff:203.0.113.9\n::ffff:198.51.100.0/120\n").unwrap();
        let shown: Vec<String> = list.entries.iter().map(ToString::to_string).collect();
        assert_eq!(shown, ["192.0.2.0/24", "198.51.100.0/24", "203.0.113.9/32"]);
        assert_eq!(list.notes, Notes { rounded: 1, ..Notes::default() });
    }

    #[test]
    fn bogons_are_left_out_and_counted() {
        let list =
            read("0.0.0.0/8\n127.0.0.0/8\n224.0.0.0/3\n255.255.255.255\n::1\nfe80::1\nff02::1\n10.0.0.0/8\n");
        let list = list.unwrap();
        assert_eq!((list.entries.len(), list.notes.no_hosts), (1, 7));
    }

    #[test]
    fn absurd_lists_are_refused_with_their_line() {
        for (text, words) in [
            ("192.0.2.1\n0.0.0.0/0\n", "line 2 (0.0.0.0/0) would ban a large part"),
            ("10.0.0.0/7", "nothing wider than /8"),
            ("::/0", "nothing wider than /16"),
            ("::ffff:0:0/96", "line 1 (0.0.0.0/0)"),
            ("0.0.0.0-255.255.255.255", "(0.0.0.0/0)"),
            ("\n<!DOCTYPE html>\n192.0.2.1\n", "line 2 begins a web page"),
            ("hello\n", "line 1 (`hello`) is neither an address nor a prefix, as are 1 of 1 lines"),
            ("{\"ip\": \"192.0.2.1\"}", "plain list"),
            ("192.0.2.1\n192.0.2.2,bad\n192.0.2.3", "line 2"),
            ("192.0.2.9-192.0.2.1", "line 1"),
            ("192.0.2.0\t192.0.2.255\t24", "line 1"),
        ] {
            let said = read(text).unwrap_err().to_string();
            assert!(said.contains(words), "{text:?}: {said}");
        }
        assert_eq!(List::read(b"192.0.2.1\n192.0.2.2\n", 1), Err(ListError::TooMany { line: 2, most: 1 }));
    }

    #[test]
    fn a_stray_line_is_left_out_and_told() {
        let text = (0..40).map(|n| format!("192.0.2.{n}\n")).collect::<String>() + "\u{1b}[2J\n";
        let list = read(&text).unwrap();
        assert_eq!(list.entries.len(), 40);
        assert_eq!(list.notes.unreadable, 1);
        assert_eq!(list.notes.first_unreadable, Some((41, "\u{fffd}[2J".into())));
    }

    #[test]
    fn a_huge_line_is_one_unreadable_line() {
        let mut text = vec![b'1'; 5_000_000];
        text.push(b'\n');
        assert!(matches!(List::read(&text, 10), Err(ListError::NotAList { line: 1, .. })));
        let comment = [b"192.0.2.1 # ".as_slice(), &text].concat();
        assert_eq!(List::read(&comment, 10).unwrap().entries.len(), 1);
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_give_what_may_be_banned_or_an_error(
            text in proptest::collection::vec(
                prop_oneof![any::<u8>(), proptest::sample::select(b"0123456789.:/-#;\n\rabcdef ".to_vec())],
                0..400,
            ),
        ) {
            match List::read(&text, 5) {
                Ok(list) => {
                    prop_assert!(list.entries.len() <= 5);
                    prop_assert!(list.entries.is_sorted());
                    prop_assert!(list.entries.iter().all(|entry| *entry == entry.trunc() && entry.prefix_len() >= 8));
                }
                Err(error) => prop_assert!(!error.to_string().contains(|c: char| c.is_control())),
            }
        }

        #[test]
        fn what_is_written_is_read(
            nets in proptest::collection::btree_set(any::<([u8; 4], u8)>().prop_map(|([a, b, c, d], length)| {
                IpNet::V4(Ipv4Net::new(Ipv4Addr::new(a % 126 + 1, b, c, d), 8 + length % 25).unwrap().trunc())
            }), 0..50),
        ) {
            let text: String = nets.iter().map(|net| format!("  {net} ; x\r\n")).collect();
            let list = List::read(text.as_bytes(), 50).unwrap();
            prop_assert_eq!(list.entries, nets.into_iter().collect::<Vec<_>>());
            prop_assert_eq!(list.notes, Notes::default());
        }
    }
}
