//! How this machine is doing in its fleet: what `banctl fleet status` and `banctl status` tell.

use std::collections::BTreeMap;

use crate::words::counted;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// How this machine is doing in its fleet.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FleetStatus {
    /// `firewall`, `host`, `edge`, `host and edge`, or `peer`.
    pub role: String,
    /// What the machine is called; of a firewall, `fleet`.
    pub name: String,
    /// HOST:PORT of the server; empty for whoever only reads friends' offenders.
    pub server: String,
    /// Each connection to it.
    pub connections: BTreeMap<String, Connection>,
    /// What is wrong besides, if anything: by what goes wrong, in words.
    pub trouble: BTreeMap<String, String>,
    /// Host: reports that have not arrived yet.
    pub spooled: u64,
    /// Host: reports that were given up, because there were too many.
    pub dropped: u64,
    /// Host: reports that have arrived.
    pub reported: u64,
    /// Firewall: decisions that were published.
    pub published: u64,
    /// Firewall: decisions that are not published yet.
    pub unpublished: u64,
    /// Edge: decisions that were followed.
    pub followed: u64,
    /// Edge: decisions that were not, because of its own exceptions.
    pub spared: u64,
    /// Edge: messages that were not trusted, by the reason.
    pub distrusted: BTreeMap<String, u64>,
    /// Firewall: each host of which something was heard.
    pub hosts: BTreeMap<String, HostStatus>,
    /// Firewall: each edge.
    pub edges: BTreeMap<String, EdgeStatus>,
    /// Firewall: each friend's fleet that reads this one's offenders.
    #[serde(default)]
    pub readers: BTreeMap<String, EdgeStatus>,
    /// Each friend's fleet whose offenders are read.
    #[serde(default)]
    pub peers: BTreeMap<String, PeerStatus>,
}

/// A connection to the server.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Connection {
    /// HOST:PORT.
    #[serde(default)]
    pub server: String,
    /// Whether it is there.
    pub up: bool,
    /// Since when it is, or is not.
    pub since: Option<Timestamp>,
    /// What went wrong the last time, in the server's or the system's words.
    pub error: Option<String>,
    /// How often the server has refused something.
    pub refused: u64,
}

/// One host, as its firewall knows it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostStatus {
    /// When the last report came.
    pub last_seen: Option<Timestamp>,
    /// Reports that were taken.
    pub reports: u64,
    /// Those that were not, by the reason.
    pub refused: BTreeMap<String, u64>,
}

/// One edge, as its firewall knows it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EdgeStatus {
    /// Decisions that it has not followed yet.
    pub lag: u64,
    /// When it was last given something.
    pub last_seen: Option<Timestamp>,
}

/// A friend's fleet, as this machine knows it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerStatus {
    /// When something came from it.
    pub last_seen: Option<Timestamp>,
    /// How many offenders it has said something about that matters now.
    pub offenders: u64,
    /// What would have banned somebody whom exceptions or limits here spare.
    pub spared: u64,
    /// What was not counted, by the reason.
    pub refused: BTreeMap<String, u64>,
}

impl FleetStatus {
    /// What the administrator should know first.
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        let mut told = Vec::new();
        for (what, connection) in &self.connections {
            if !connection.up {
                let why = connection.error.as_deref().unwrap_or("it does not answer");
                told.push(format!("fleet: no connection to {} ({what}): {why}", connection.server));
            }
            if connection.refused > 0 {
                let last = connection.error.as_deref().unwrap_or("");
                told.push(format!(
                    "fleet: the server has refused {} things ({what}); the last: {last}",
                    connection.refused
                ));
            }
        }
        told.extend(self.trouble.iter().map(|(what, why)| format!("fleet: {what}: {why}")));
        if self.dropped > 0 {
            told.push(format!(
                "fleet: {} reports were given up, because too many waited for the server: raise [fleet] spool",
                self.dropped
            ));
        }
        for (name, host) in &self.hosts {
            let refused: u64 = host.refused.values().sum();
            if refused > 0 {
                let why: Vec<String> =
                    host.refused.iter().map(|(why, times)| format!("{times} {why}")).collect();
                told.push(format!(
                    "fleet: {} refused: {}",
                    counted(refused, &format!("report of {name} was"), &format!("reports of {name} were")),
                    why.join(", ")
                ));
            }
        }
        for (name, peer) in &self.peers {
            for (why, times) in &peer.refused {
                told.push(format!("fleet: {times} messages of {name} were not counted: {why}"));
            }
        }
        for (why, times) in &self.distrusted {
            told.push(format!("fleet: {times} messages were not followed: {why}"));
        }
        told
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_is_told_by_name() {
        let down = Connection {
            server: "fw:4222".into(),
            error: Some("certificate expired".into()),
            refused: 2,
            ..Connection::default()
        };
        let peer = PeerStatus { refused: [("it has expired".to_owned(), 6)].into(), ..PeerStatus::default() };
        let host = HostStatus {
            refused: [("in another host's name".to_owned(), 3)].into(),
            ..HostStatus::default()
        };
        let status = FleetStatus {
            peers: [("alpha".to_owned(), peer)].into(),
            connections: [("reports".to_owned(), down)].into(),
            dropped: 4,
            hosts: [("web1".to_owned(), host)].into(),
            distrusted: [("it has expired".to_owned(), 5)].into(),
            ..FleetStatus::default()
        };
        assert_eq!(
            status.warnings().join("\n"),
            "\
fleet: no connection to fw:4222 (reports): certificate expired
fleet: the server has refused 2 things (reports); the last: certificate expired
fleet: 4 reports were given up, because too many waited for the server: raise [fleet] spool
fleet: 3 reports of web1 were refused: 3 in another host's name
fleet: 6 messages of alpha were not counted: it has expired
fleet: 5 messages were not followed: it has expired"
        );
        assert_eq!(FleetStatus::default().warnings(), [""; 0]);
    }
}
