//! The machines of a fleet, as its firewall knows them: `members.toml`, which `banctl fleet accept` and `revoke` write.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::audience::Audience;
use super::keys::is_public;
use crate::config::fleet::MemberName;

/// The file's name in the fleet's directory.
pub const FILE: &str = "members.toml";
/// What it begins with.
const HEAD: &str =
    "# The machines of this fleet. Written by `banctl fleet accept` and `banctl fleet revoke`.\n";

/// One machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Member {
    /// The public key that it reports with, if it is a host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// The one that it follows decisions with, if it is an edge.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub edge: Option<String>,
    /// The one that it reads offenders with, if it is the firewall of a friend's fleet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peer: Option<String>,
    /// How many hosts its word is worth.
    pub weight: u32,
    /// Since when it belongs to the fleet.
    pub since: Timestamp,
    /// Since when it does not any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked: Option<Timestamp>,
}

impl Member {
    /// Its public keys.
    pub fn keys(&self) -> impl Iterator<Item = &String> {
        self.host.iter().chain(&self.edge).chain(&self.peer)
    }

    /// The public key with which it reads what is signed for `audience`, if it may.
    #[must_use]
    pub fn key(&self, audience: Audience) -> Option<&str> {
        match audience {
            Audience::Edges => self.edge.as_deref(),
            Audience::Peers => self.peer.as_deref(),
        }
    }
}

/// All of them, by name.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Members(pub BTreeMap<Arc<str>, Member>);

/// Why the file cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{}: {why}", .path.display())]
pub struct MembersError {
    path: PathBuf,
    why: String,
}

impl Members {
    /// Reads the file in `directory`; none is a fleet without members.
    ///
    /// # Errors
    /// It cannot be read, or says something that cannot be.
    pub fn load(directory: &Path) -> Result<Self, MembersError> {
        let path = directory.join(FILE);
        let failed = |why: String| MembersError { path: path.clone(), why };
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => return Err(failed(error.to_string())),
        };
        let members: Self = toml::from_str(&text).map_err(|error| failed(error.to_string()))?;
        for (name, member) in &members.0 {
            name.parse::<MemberName>().map_err(&failed)?;
            for key in member.keys() {
                if !is_public(key) {
                    return Err(failed(format!("{name}: `{key}` is no public key")));
                }
            }
        }
        Ok(members)
    }

    /// Writes the file.
    ///
    /// # Errors
    /// What the file system says.
    pub fn save(&self, directory: &Path) -> io::Result<()> {
        let text = toml::to_string(self).map_err(io::Error::other)?;
        super::setup::replace(&directory.join(FILE), &format!("{HEAD}{text}"), 0o640)
    }

    /// Those who belong to the fleet now.
    pub fn current(&self) -> impl Iterator<Item = (&Arc<str>, &Member)> {
        self.0.iter().filter(|(_, member)| member.revoked.is_none())
    }

    /// Those of these who may report: what their word weighs.
    #[must_use]
    pub fn hosts(&self) -> BTreeMap<Arc<str>, u32> {
        let hosts = self.current().filter(|(_, member)| member.host.is_some());
        hosts.map(|(name, member)| (Arc::clone(name), member.weight)).collect()
    }

    /// Those of these who read what is signed for `audience`.
    #[must_use]
    pub fn readers(&self, audience: Audience) -> Vec<Arc<str>> {
        self.current()
            .filter(|(_, member)| member.key(audience).is_some())
            .map(|(name, _)| Arc::clone(name))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_nonsense_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(Members::load(dir.path()).unwrap(), Members::default());
        let key = nkeys::KeyPair::new_user().public_key();
        let since: Timestamp = "2027-01-15T08:00:00Z".parse().unwrap();
        let member = |host: bool, revoked| Member {
            host: host.then(|| key.clone()),
            edge: Some(key.clone()),
            peer: None,
            weight: 2,
            since,
            revoked,
        };
        let members = Members(BTreeMap::from([
            ("web1".into(), member(true, None)),
            ("edge".into(), member(false, None)),
            ("old".into(), member(true, Some(since))),
        ]));
        members.save(dir.path()).unwrap();
        let read = Members::load(dir.path()).unwrap();
        assert_eq!(read, members);
        assert_eq!(read.hosts(), BTreeMap::from([("web1".into(), 2)]));
        assert_eq!(read.readers(Audience::Edges), ["edge".into(), "web1".into()] as [Arc<str>; 2]);
        assert_eq!(read.readers(Audience::Peers), [] as [Arc<str>; 0]);
        for wrong in [
            "[\"a b\"]\nweight = 1\nsince = \"2027-01-15T08:00:00Z\"\n",
            "[a]\nx = 1\n",
            "[a]\nhost = \"U\"\nweight = 1\nsince = \"2027-01-15T08:00:00Z\"\n",
        ] {
            fs::write(dir.path().join(FILE), wrong).unwrap();
            assert!(Members::load(dir.path()).is_err(), "{wrong}");
        }
    }
}
