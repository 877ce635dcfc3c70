//! For whom a firewall signs: its own edges, and friends' fleets. Each has a stream, subjects and words of its own, so that
//! nothing that was meant for one can be passed off on the other.

use std::net::IpAddr;

use ipnet::IpNet;

/// Who is to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Audience {
    /// The fleet's own edges: every decision.
    Edges,
    /// The firewalls of friends' fleets: whom this one's own jails ban, and nothing else.
    Peers,
}

impl Audience {
    /// The stream that has it.
    pub(super) fn stream(self) -> &'static str {
        match self {
            Self::Edges => "DECISIONS",
            Self::Peers => "OFFENDERS",
        }
    }

    /// The server's account of those who read it.
    pub(super) fn account(self) -> &'static str {
        match self {
            Self::Edges => "EDGES",
            Self::Peers => "PEERS",
        }
    }

    /// What its subjects begin with.
    fn head(self) -> &'static str {
        match self {
            Self::Edges => "ban.decision",
            Self::Peers => "ban.offender",
        }
    }

    /// Every subject of the stream.
    pub(super) fn subjects(self) -> String {
        format!("{}.>", self.head())
    }

    /// Where what concerns `prefix` is published: one subject for each.
    #[must_use]
    pub fn subject(self, prefix: &IpNet) -> String {
        let (head, length) = (self.head(), prefix.prefix_len());
        match prefix.addr() {
            IpAddr::V4(address) => format!("{head}.v4.{}-{length}", address.to_string().replace('.', "-")),
            IpAddr::V6(address) => format!("{head}.v6.{:032x}-{length}", u128::from(address)),
        }
    }

    /// Where a reader asks for its place in the stream.
    pub(super) fn wishes(self, reader: &str) -> String {
        match self {
            Self::Edges => format!("ban.edge.{reader}"),
            Self::Peers => format!("ban.peer.{reader}"),
        }
    }

    /// What every signed text begins with, and no other.
    pub(super) fn words(self) -> &'static [u8] {
        match self {
            Self::Edges => b"kban decision 1\n",
            Self::Peers => b"kban offender 1\n",
        }
    }

    /// What goes wrong if it cannot be published.
    pub(super) fn publishing(self) -> &'static str {
        match self {
            Self::Edges => "decisions cannot be published",
            Self::Peers => "offenders cannot be told to friends' fleets",
        }
    }

    /// What goes wrong if readers cannot be looked after.
    pub(super) fn care(self) -> &'static str {
        match self {
            Self::Edges => "edges cannot be looked after",
            Self::Peers => "friends' fleets cannot be looked after",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_prefix_has_a_subject_of_its_own() {
        let subject = |audience: Audience, prefix: &str| audience.subject(&prefix.parse().unwrap());
        assert_eq!(subject(Audience::Edges, "203.0.113.9/32"), "ban.decision.v4.203-0-113-9-32");
        assert_eq!(subject(Audience::Edges, "203.0.113.0/24"), "ban.decision.v4.203-0-113-0-24");
        assert_eq!(
            subject(Audience::Peers, "2001:db8::/64"),
            "ban.offender.v6.20010db8000000000000000000000000-64"
        );
    }
}
