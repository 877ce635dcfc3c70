//! Who a match is about: an address, the name that a service wrote in its place, or nobody.

use std::net::IpAddr;

/// What stands in the place of the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Host<'t> {
    /// An address.
    Address(IpAddr),
    /// A name: counted and told, but there is no address to ban.
    Name(&'t str),
    /// The pattern has no host; another line of the connection has it.
    Absent,
}

impl Host<'_> {
    /// The address, if there is one.
    pub(super) fn address(self) -> Option<IpAddr> {
        match self {
            Self::Address(address) => Some(address),
            Self::Name(_) | Self::Absent => None,
        }
    }
}

/// The name of a host elsewhere, fully qualified (RFC 1123, 2.1, and `_`). A last label of digits is a mistyped address,
/// and `localhost` is nobody elsewhere.
pub(super) fn name(text: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(text).ok()?;
    let labels = || text.strip_suffix('.').unwrap_or(text).split('.');
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let last = labels().next_back()?;
    let local = labels().any(|label| label.eq_ignore_ascii_case("localhost"));
    let fits = text.len() <= 253 && labels().count() > 1 && labels().all(is_label);
    (fits && !local && last.bytes().any(|byte| byte.is_ascii_alphabetic())).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_fully_qualified_and_elsewhere() {
        for right in ["host9.example.net", "a_b.example", "3com.example.", "xn--bcher-kva.example"] {
            assert_eq!(name(right.as_bytes()), Some(right));
        }
        for wrong in [
            "localhost",
            "localhost.localdomain",
            "a.LOCALHOST",
            "UNKNOWN",
            "192.030.0.6",
            "192.0.2.300",
            "192.0.2.1:22",
            "a..example",
            ".example",
            "-a.example",
            "a:b.example",
            "",
        ] {
            assert_eq!(name(wrong.as_bytes()), None, "{wrong}");
        }
        assert_eq!(name(format!("{}.example", "a".repeat(64)).as_bytes()), None);
    }
}
