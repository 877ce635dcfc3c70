//! The line that `banctl fleet invite` prints and `banctl fleet join` takes, and the one that goes back to `accept`.
//!
//! There is no secret in either: the first has the server's place, the certificate that it is known by, and the key that
//! decisions are signed with; the second has public keys. Whoever reads them on the way can do nothing with them; whoever
//! changes them on the way is a matter of how they are carried (a terminal, ssh). Whoever answers gets what was offered under
//! that name, and nothing else: the firewall signs its offer, and takes an answer only with it.

use data_encoding::{BASE64, BASE64URL_NOPAD};
use nkeys::KeyPair;
use serde::{Deserialize, Serialize};

use super::keys::is_public;
use crate::config::fleet::{FleetServer, MemberName};

/// What the first line begins with.
const INVITATION: &str = "kban1.";
/// What the second line begins with.
const ANSWER: &str = "kbanjoin1.";
/// What a signed offer begins with.
const WORDS: &str = "kban invitation 1";
/// No line is longer, in bytes.
const LONGEST: usize = 8 * 1024;

/// What a machine has to know to join.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Invitation {
    /// What the machine is to be called.
    pub name: String,
    /// It is to report.
    pub host: bool,
    /// It is to follow decisions.
    pub edge: bool,
    /// It is the firewall of a friend's fleet, and is to read offenders.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub peer: bool,
    /// HOST:PORT.
    pub server: String,
    /// The key that decisions are signed with.
    pub signer: String,
    /// The certificate that the server is known by, PEM.
    pub ca: String,
    /// The firewall's signature below the name and what the machine is to be.
    #[serde(default)]
    pub offer: String,
}

/// What the firewall has to know of a machine that joins.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Answer {
    /// What it is called.
    pub name: String,
    /// The public key that it reports with.
    pub host: Option<String>,
    /// The one that it follows decisions with.
    pub edge: Option<String>,
    /// The one that it reads offenders with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peer: Option<String>,
    /// The offer that it takes.
    #[serde(default)]
    pub offer: String,
}

/// Why a line is none of these.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LineError {
    /// It begins with something else, or was cut.
    #[error("this is not the line that `banctl fleet {0}` prints: copy all of it, it is one line")]
    NotIt(&'static str),
    /// What is in it makes no sense.
    #[error("the line of `banctl fleet {0}` was damaged: {1}")]
    Damaged(&'static str, String),
}

/// What is signed of an offer.
fn offered(name: &str, host: bool, edge: bool, peer: bool) -> Vec<u8> {
    format!("{WORDS}\n{name} host={host} edge={edge} peer={peer}").into_bytes()
}

impl Invitation {
    /// The same, as an offer of whoever has `key`.
    #[must_use]
    pub fn signed(self, key: &KeyPair) -> Self {
        let signature = key.sign(&offered(&self.name, self.host, self.edge, self.peer)).unwrap_or_default();
        Self { offer: BASE64.encode(&signature), ..self }
    }

    /// The line.
    #[must_use]
    pub fn line(&self) -> String {
        written(INVITATION, self)
    }

    /// Reads the line.
    ///
    /// # Errors
    /// It is none, or damaged.
    pub fn read(line: &str) -> Result<Self, LineError> {
        let read: Self = self::read(line, INVITATION, "invite")?;
        let damaged = |why| LineError::Damaged("invite", why);
        read.name.parse::<MemberName>().map_err(damaged)?;
        read.server.parse::<FleetServer>().map_err(damaged)?;
        if !is_public(&read.signer) || !read.ca.starts_with("-----BEGIN CERTIFICATE-----") {
            return Err(damaged("it has no key or no certificate".to_owned()));
        }
        Ok(read)
    }
}

impl Answer {
    /// Whether `signer` has offered just this under just this name.
    #[must_use]
    pub fn was_offered(&self, signer: &KeyPair) -> bool {
        let Self { name, host, edge, peer, offer } = self;
        let offered = offered(name, host.is_some(), edge.is_some(), peer.is_some());
        let signature = BASE64.decode(offer.as_bytes());
        signature.is_ok_and(|signature| signer.verify(&offered, &signature).is_ok())
    }

    /// The line.
    #[must_use]
    pub fn line(&self) -> String {
        written(ANSWER, self)
    }

    /// Reads the line.
    ///
    /// # Errors
    /// It is none, or damaged.
    pub fn read(line: &str) -> Result<Self, LineError> {
        let read: Self = self::read(line, ANSWER, "join")?;
        let damaged = |why| LineError::Damaged("join", why);
        read.name.parse::<MemberName>().map_err(damaged)?;
        let mut keys = read.host.iter().chain(&read.edge).chain(&read.peer).peekable();
        if keys.peek().is_none() || !keys.all(|key| is_public(key)) {
            return Err(damaged("it has no key".to_owned()));
        }
        Ok(read)
    }
}

fn written(head: &str, what: &impl Serialize) -> String {
    // A struct of strings can always be written.
    format!("{head}{}", BASE64URL_NOPAD.encode(&serde_json::to_vec(what).unwrap_or_default()))
}

fn read<T: for<'de> Deserialize<'de>>(line: &str, head: &str, verb: &'static str) -> Result<T, LineError> {
    let text =
        line.trim().strip_prefix(head).filter(|text| text.len() <= LONGEST).ok_or(LineError::NotIt(verb))?;
    let bytes = BASE64URL_NOPAD
        .decode(text.as_bytes())
        .map_err(|error| LineError::Damaged(verb, error.to_string()))?;
    serde_json::from_slice(&bytes).map_err(|error| LineError::Damaged(verb, error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_go_there_and_back_and_damage_is_seen() {
        let key = nkeys::KeyPair::new_user().public_key();
        let invitation = Invitation {
            name: "web1".into(),
            host: true,
            edge: false,
            peer: false,
            server: "fw.example.org:4222".into(),
            signer: key.clone(),
            ca: "-----BEGIN CERTIFICATE-----\n".into(),
            offer: String::new(),
        };
        let line = invitation.line();
        assert_eq!(Invitation::read(&format!(" {line}\n")).unwrap(), invitation);
        let answer = Answer {
            name: "web1".into(),
            host: Some(key.clone()),
            edge: None,
            peer: None,
            offer: "x".into(),
        };
        assert_eq!(Answer::read(&answer.line()).unwrap(), answer);
        assert!(matches!(Answer::read(&line), Err(LineError::NotIt("join"))));
        for cut in [1, 7, 40, line.len() / 2, line.len() - 1] {
            assert!(Invitation::read(&line[..cut]).is_err(), "{cut}");
        }
        for wrong in [
            Invitation { name: "web 1".into(), ..invitation.clone() },
            Invitation { server: "fw".into(), ..invitation.clone() },
            Invitation { signer: "U".into(), ..invitation.clone() },
            Invitation { ca: String::new(), ..invitation.clone() },
        ] {
            assert!(
                matches!(Invitation::read(&wrong.line()), Err(LineError::Damaged("invite", _))),
                "{wrong:?}"
            );
        }
        assert!(Answer::read(&Answer { host: None, ..answer }.line()).is_err());
    }

    #[test]
    fn an_answer_takes_what_was_offered_and_nothing_else() {
        let (signer, other, key) = (KeyPair::new_user(), KeyPair::new_user(), Some("U".to_owned()));
        let invitation = Invitation {
            name: "friend".into(),
            host: false,
            edge: false,
            peer: true,
            server: "fw:4222".into(),
            signer: signer.public_key(),
            ca: String::new(),
            offer: String::new(),
        };
        let offer = invitation.signed(&signer).offer;
        let answer = Answer { name: "friend".into(), host: None, edge: None, peer: key.clone(), offer };
        assert!(answer.was_offered(&signer) && !answer.was_offered(&other));
        for wrong in [
            Answer { edge: key.clone(), ..answer.clone() },
            Answer { edge: key.clone(), peer: None, ..answer.clone() },
            Answer { host: key, peer: None, ..answer.clone() },
            Answer { name: "web1".into(), ..answer.clone() },
            Answer { offer: String::new(), ..answer },
        ] {
            assert!(!wrong.was_offered(&signer), "{wrong:?}");
        }
    }
}
