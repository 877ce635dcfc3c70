//! The tags of a pattern, `<HOST> <ADDR> <IP4> <IP6> <F-USER>...</F-USER>`, expanded into a plain
//! regular expression.
//!
//! A host tag becomes ONE run of one byte class, and the standard library's address parser is the
//! judge of what the run holds: a pattern with a long alternation of address syntaxes would be
//! ambiguous, hence slow, and would still accept what is no address. `%zone` is part of the run
//! and dropped by [`HostTag::address`]: sshd logs a link-local peer as `fe80::1%eth0`, the kernel
//! sees `fe80::1`, and refusing such a peer would leave it unbannable.

use std::net::{IpAddr, Ipv4Addr};

use super::date;
use super::error::{Fault, FaultKind, closest};

/// The capture group that holds the address.
pub(super) const HOST_GROUP: &str = "host";

/// The capture group that holds the date.
pub(super) const DATE_GROUP: &str = "date";

/// The capture group that names the connection a line belongs to, of `<F-CONN>`.
pub(super) const CONNECTION_GROUP: &str = "f_conn";

/// `<F-X>` captures live in groups with this prefix, so that none can be called `host`.
const FIELD_PREFIX: &str = "f_";

const HOST_CLASS: &str = "[0-9A-Za-z:.%_-]+";
const HOST_TAGS: [&str; 4] = ["HOST", "ADDR", "IP4", "IP6"];

/// Whether a pattern says who.
pub(super) fn says_who(pattern: &str) -> bool {
    HOST_TAGS.iter().any(|tag| pattern.contains(&format!("<{tag}>")))
}

/// Tags of fail2ban's dialect that would silently do nothing here.
const DIALECT_TAGS: [&str; 9] =
    ["DNS", "CIDR", "SUBNET", "SKIPLINES", "F-ID", "F-NOFAIL", "F-MLFID", "F-MLFFORGET", "F-MLFGAINED"];

/// Which addresses a pattern's host tag accepts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum HostTag {
    /// `<HOST>`, `<ADDR>`.
    Any,
    /// `<IP4>`.
    V4,
    /// `<IP6>` (an IPv4-mapped address counts: it is written as IPv6).
    V6,
}

impl HostTag {
    /// The address that `text` is, IPv4-mapped folded to IPv4 and the zone dropped.
    pub(super) fn address(self, text: &[u8]) -> Option<IpAddr> {
        // By far the most are written so, and need nothing of what follows.
        if let Some(address) = dotted(text) {
            return if let Self::V6 = self { None } else { Some(IpAddr::V4(address)) };
        }
        let written: IpAddr = match memchr::memchr(b'%', text) {
            None => std::str::from_utf8(bare(text)).ok()?.parse().ok()?,
            Some(percent) => {
                let (address, zone) = text.split_at_checked(percent)?;
                if zone.len() < 2 {
                    return None;
                }
                IpAddr::V6(std::str::from_utf8(address).ok()?.parse().ok()?)
            }
        };
        match (self, written) {
            (Self::V4, IpAddr::V6(_)) | (Self::V6, IpAddr::V4(_)) => None,
            _ => Some(written.to_canonical()),
        }
    }
}

/// Four numbers and three dots, as the standard library reads them, for a tenth of the cost.
fn dotted(text: &[u8]) -> Option<Ipv4Addr> {
    let (mut address, mut dots) = (0_u32, 0);
    let mut number: Option<u32> = None;
    for byte in text {
        number = match (byte, number) {
            (b'0'..=b'9', None) => Some(u32::from(byte - b'0')),
            (b'0'..=b'9', Some(number @ 1..=25)) => Some(number * 10 + u32::from(byte - b'0')),
            (b'.', Some(number @ 0..=255)) if dots < 3 => {
                address = address << 8 | number;
                dots += 1;
                None
            }
            _ => return None,
        };
    }
    let last = number.filter(|number| *number <= 255 && dots == 3)?;
    Some(Ipv4Addr::from_bits(address << 8 | last))
}

/// `192.0.2.1:4711` without its port, and `192.0.2.1.` without its full stop: many services write one there, and the run
/// of host bytes holds it. (Behind an IPv6 address a port is only told apart by brackets, which are not of the run.)
fn bare(text: &[u8]) -> &[u8] {
    let text = text.strip_suffix(b".").unwrap_or(text);
    match memchr::memchr(b':', text).and_then(|colon| text.split_at_checked(colon)) {
        Some((address, [_, port @ ..]))
            if (1..=5).contains(&port.len())
                && port.iter().all(u8::is_ascii_digit)
                && memchr::memchr(b'.', address).is_some() =>
        {
            address
        }
        _ => text,
    }
}

/// A pattern whose tags have become groups.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Expanded {
    /// The regular expression.
    pub(super) regex: String,
    /// What its host group accepts; none if there is no host tag.
    pub(super) host: Option<HostTag>,
    /// It has a `<DATE>`: it describes whole lines rather than messages behind a syslog head.
    pub(super) dated: bool,
    /// Where pieces of the expression came from: (byte in `regex`, byte in the pattern), ascending.
    origins: Vec<(usize, usize)>,
}

impl Expanded {
    /// The byte of the written pattern that the byte `at` of the expression came from.
    pub(super) fn written_offset(&self, at: usize) -> usize {
        let known = self.origins.partition_point(|(to, _)| *to <= at);
        match known.checked_sub(1).and_then(|last| self.origins.get(last)) {
            Some((to, from)) => from + (at - to),
            None => at,
        }
    }
}

/// The name under which a group is shown, `user` for `<F-USER>`; none for the host and for groups without a tag.
pub(super) fn field_name(group: &str) -> Option<&str> {
    group.strip_prefix(FIELD_PREFIX)
}

/// Expands the tags of `pattern`.
pub(super) fn expand(pattern: &str) -> Result<Expanded, Fault> {
    let mut expanded = Expanded {
        regex: String::with_capacity(pattern.len() + 32),
        host: None,
        dated: false,
        origins: Vec::new(),
    };
    let mut open: Vec<(usize, &str)> = Vec::new();
    let mut seen: Vec<&str> = Vec::new();
    let mut rest = pattern;
    let mut at = 0;
    while let Some((before, tag, after)) = next_tag(rest) {
        let tag_at = at + before.len();
        let fault = |kind| Err(Fault { offset: tag_at, kind });
        expanded.origins.push((expanded.regex.len(), at));
        expanded.regex.push_str(before);
        expanded.origins.push((expanded.regex.len(), tag_at));
        if let Some(name) = tag.strip_prefix('/') {
            match open.pop() {
                Some((_, opened)) if opened == name => expanded.regex.push(')'),
                _ => return fault(FaultKind::Unbalanced { tag: tag.to_owned() }),
            }
        } else if HOST_TAGS.contains(&tag) {
            if expanded.host.is_some() {
                return fault(FaultKind::Twice { tag: tag.to_owned() });
            }
            expanded.host = Some(match tag {
                "IP4" => HostTag::V4,
                "IP6" => HostTag::V6,
                _ => HostTag::Any,
            });
            expanded.regex.push_str(r"\[?(?P<");
            expanded.regex.push_str(HOST_GROUP);
            expanded.regex.push('>');
            expanded.regex.push_str(HOST_CLASS);
            expanded.regex.push_str(r")\]?");
        } else if tag == "DATE" {
            if expanded.dated {
                return fault(FaultKind::Twice { tag: tag.to_owned() });
            }
            expanded.dated = true;
            expanded.regex.push_str("(?P<");
            expanded.regex.push_str(DATE_GROUP);
            expanded.regex.push('>');
            expanded.regex.push_str(date::SHAPES);
            expanded.regex.push(')');
        } else if DIALECT_TAGS.contains(&tag) || tag == "F-CONTENT" {
            return fault(FaultKind::DialectTag { tag: tag.to_owned() });
        } else if let Some(name) = tag.strip_prefix("F-").filter(|name| !name.is_empty()) {
            if seen.contains(&tag) {
                return fault(FaultKind::Twice { tag: tag.to_owned() });
            }
            seen.push(tag);
            open.push((tag_at, tag));
            expanded.regex.push_str("(?P<");
            expanded.regex.push_str(FIELD_PREFIX);
            expanded.regex.push_str(&name.to_ascii_lowercase().replace('-', "_"));
            expanded.regex.push('>');
        } else {
            let near = closest(tag, HOST_TAGS.into_iter().chain(["DATE", "F-USER", "F-ALT_USER", "F-CONN"]));
            return fault(FaultKind::UnknownTag { tag: tag.to_owned(), near });
        }
        at = pattern.len() - after.len();
        rest = after;
    }
    if let Some((offset, tag)) = open.pop() {
        return Err(Fault { offset, kind: FaultKind::Unbalanced { tag: tag.to_owned() } });
    }
    expanded.origins.push((expanded.regex.len(), at));
    expanded.regex.push_str(rest);
    Ok(expanded)
}

/// The first tag of `text`: what stands before it, its name (with `/` for an end), what follows.
/// `(?<name>`, `(?P<name>` and `<lower case>` are no tags.
fn next_tag(text: &str) -> Option<(&str, &str, &str)> {
    for (start, _) in text.match_indices('<') {
        let (before, from) = text.split_at_checked(start)?;
        let after = from.strip_prefix('<')?;
        let Some((name, after)) = after.split_once('>') else { continue };
        let bare = name.strip_prefix('/').unwrap_or(name);
        let is_name = bare.starts_with(|c: char| c.is_ascii_uppercase())
            && bare.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || matches!(b, b'-' | b'_'));
        // `(?<NAME>` is the engine's own syntax, but `\(?<DATE>` is an optional parenthesis before a tag.
        let is_group = ["(?", "(?P"].iter().any(|start| {
            before
                .strip_suffix(start)
                .is_some_and(|rest| (rest.len() - rest.trim_end_matches('\\').len()).is_multiple_of(2))
        });
        if is_name && !is_group {
            return Some((before, name, after));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_become_groups() {
        let expanded = expand("^a <F-USER>.*</F-USER> from <HOST> <b>(?P<x>c)$").unwrap();
        assert_eq!(expanded.regex, r"^a (?P<f_user>.*) from \[?(?P<host>[0-9A-Za-z:.%_-]+)\]? <b>(?P<x>c)$");
        assert_eq!(expanded.host, Some(HostTag::Any));
        let dollar = expanded.regex.len() - 1;
        assert_eq!(expanded.written_offset(dollar), "^a <F-USER>.*</F-USER> from <HOST> <b>(?P<x>c)".len());
        assert_eq!(expanded.written_offset(1), 1);
        assert_eq!(expand(r"^\(?<IP4>\)").unwrap().host, Some(HostTag::V4));
        assert_eq!(expand(r"^\\(?<IP4>x)").unwrap().host, None);
    }

    #[test]
    fn wrong_tags_are_named_with_their_place() {
        let fault = expand("^from <HOSST>$").unwrap_err();
        assert_eq!(fault.offset, 6);
        assert_eq!(fault.kind, FaultKind::UnknownTag { tag: "HOSST".into(), near: Some("HOST".into()) });
        assert!(matches!(
            expand("^<F-USER>x <HOST>").unwrap_err(),
            Fault { offset: 1, kind: FaultKind::Unbalanced { .. } }
        ));
        assert!(matches!(
            expand("^x</F-USER>").unwrap_err(),
            Fault { offset: 2, kind: FaultKind::Unbalanced { .. } }
        ));
        assert!(matches!(
            expand("^<HOST> <ADDR>").unwrap_err(),
            Fault { offset: 8, kind: FaultKind::Twice { .. } }
        ));
        assert!(matches!(expand("^<F-NOFAIL>x</F-NOFAIL>").unwrap_err().kind, FaultKind::DialectTag { .. }));
    }

    #[test]
    fn dotted_numbers_are_read_as_the_standard_library_reads_them() {
        let numbers = [
            "", "0", "00", "01", "7", "25", "26", "99", "199", "249", "255", "256", "259", "260", "1000", "x",
        ];
        let mut texts = vec![
            "1.2.3".to_owned(),
            "1.2.3.4.5".into(),
            "1.2.3.4.".into(),
            ".1.2.3.4".into(),
            " 1.2.3.4".into(),
        ];
        for place in 0..4 {
            for number in numbers {
                let mut parts = ["192", "0", "2", "9"];
                parts[place] = number;
                texts.push(parts.join("."));
            }
        }
        for text in texts {
            assert_eq!(dotted(text.as_bytes()), text.parse().ok(), "{text}");
        }
    }

    #[test]
    fn the_address_parser_is_the_judge() {
        let any = |text: &str| HostTag::Any.address(text.as_bytes()).map(|ip| ip.to_string());
        assert_eq!(any("192.0.2.1").as_deref(), Some("192.0.2.1"));
        assert_eq!(any("::ffff:192.0.2.1").as_deref(), Some("192.0.2.1"));
        assert_eq!(any("fe80::1%eth0").as_deref(), Some("fe80::1"));
        assert_eq!(any("192.0.2.1:4711").as_deref(), Some("192.0.2.1"));
        assert_eq!(any("2001:db8::1.").as_deref(), Some("2001:db8::1"));
        assert_eq!(any("192.0.2.1:"), None);
        assert_eq!(any("192.0.2.1:471111"), None);
        for wrong in ["300.1.1.1", "192.030.0.6", "1.2.3", "fe80::1%", "1.2.3.4%eth0", "example.com", ":", ""]
        {
            assert_eq!(any(wrong), None, "{wrong}");
        }
        assert_eq!(HostTag::V4.address(b"::1"), None);
        assert_eq!(HostTag::V6.address(b"1.2.3.4"), None);
        assert_eq!(HostTag::V6.address(b"::ffff:1.2.3.4"), Some("1.2.3.4".parse().unwrap()));
    }
}
