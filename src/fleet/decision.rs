//! What the firewall has decided about a prefix: the format, and its signature.
//!
//! A message is the decision in JSON, a newline, and its seal in base64: decisions that are published together are signed together
//! (`seal.rs`). What is signed begins with words for those whom it is meant for. Each decision has a serial number, higher than any that the firewall gave before: an older one of the
//! same prefix is a replay. When a ban is lifted, the firewall says so with a decision that lasts as long as the ban would have.

use std::sync::Arc;

use ipnet::IpNet;
use jiff::Timestamp;
use nkeys::KeyPair;
use serde::{Deserialize, Serialize};

use super::audience::Audience;
use super::seal::{self, Reader};
use crate::jail::decided::Decided;
use crate::service::Service;

/// The version of the document.
const VERSION: u32 = 1;
/// No decision is longer, in bytes.
pub const LONGEST: usize = 8 * 1024;
/// No reason is longer, in bytes.
const LONGEST_REASON: usize = 200;

/// One decision.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Decision {
    /// The version of this document: 1.
    pub v: u32,
    /// Higher than that of every decision before.
    pub serial: u64,
    /// About whom.
    pub prefix: IpNet,
    /// Whether the ban is lifted.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub lifted: bool,
    /// Since when it is banned.
    pub since: Timestamp,
    /// When the ban ends, or was to end; `null`: never.
    pub until: Option<Timestamp>,
    /// The ports that are closed; `null`: all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ports: Option<Vec<String>>,
    /// Why.
    #[serde(default)]
    pub reason: String,
}

/// Why a decision is not followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum Distrust {
    /// Too long, not UTF-8, no JSON, no signature, not this document.
    #[error("it is no decision")]
    Unreadable,
    /// Signed by somebody else, or changed on its way.
    #[error("its signature is not the firewall's")]
    Forged,
    /// Of another version of kban.
    #[error("this kban does not know its version")]
    Version,
    /// Its ban is over.
    #[error("it has expired")]
    Expired,
    /// A newer one of the same prefix is known.
    #[error("it is older than what is known")]
    Replayed,
}

impl Decision {
    /// As `bans` of one prefix say together, if they ban anything: what closes everything counts first, then what lasts
    /// longest. Nothing is closed for longer than it is on the firewall.
    #[must_use]
    pub fn of(bans: &[crate::jail::Ban]) -> Option<Self> {
        let rank = |ban: &&crate::jail::Ban| (ban.services.is_none(), ban.until.unwrap_or(Timestamp::MAX));
        let ban = bans.iter().filter(|ban| !ban.is_observed()).max_by_key(rank)?;
        let mut reason = format!("{}: {}", ban.jail, ban.reason);
        let mut end = reason.len().min(LONGEST_REASON);
        while !reason.is_char_boundary(end) {
            end -= 1;
        }
        reason.truncate(end);
        Some(Self {
            v: VERSION,
            serial: 0,
            prefix: ban.prefix,
            lifted: false,
            since: ban.since,
            until: ban.until,
            ports: ban.services.as_ref().map(|list| list.iter().map(ToString::to_string).collect()),
            reason,
        })
    }

    /// As friends' fleets are told of the `bans` of one prefix: whom, since when, until when, and by which jail.
    #[must_use]
    pub fn naming(bans: &[crate::jail::Ban]) -> Option<Self> {
        let real = bans.iter().filter(|ban| !ban.is_observed());
        let ban = real.max_by_key(|ban| ban.until.unwrap_or(Timestamp::MAX))?;
        let told = Self::of(std::slice::from_ref(ban))?;
        Some(Self { ports: None, reason: ban.jail.to_string(), ..told })
    }

    /// That a ban of `prefix` is lifted that was to last `until`.
    #[must_use]
    pub fn lifting(prefix: IpNet, until: Option<Timestamp>, now: Timestamp) -> Self {
        let reason = String::new();
        Self { v: VERSION, serial: 0, prefix, lifted: true, since: now, until, ports: None, reason }
    }

    /// Whether it says the same, whenever it was said.
    #[must_use]
    pub fn says_the_same(&self, other: &Self) -> bool {
        let said = |one: &Self| (one.prefix, one.lifted, one.until.map(Timestamp::as_microsecond));
        said(self) == said(other) && (self.lifted || self.ports == other.ports)
    }

    /// Whether it says nothing any more at `now`.
    #[must_use]
    pub fn is_over(&self, now: Timestamp) -> bool {
        self.until.is_some_and(|until| until <= now)
    }

    /// What to publish of each; up to 64 of them cost one signature.
    #[must_use]
    pub fn signed(decisions: &[Self], key: &KeyPair, audience: Audience) -> Vec<Vec<u8>> {
        // A struct of strings and numbers can always be written.
        let texts = decisions.iter().map(|one| serde_json::to_vec(one).unwrap_or_default()).collect();
        seal::sealed(audience.words(), texts, key)
    }

    /// Reads messages that `signer` is said to have signed for `audience`.
    #[must_use]
    pub fn reader(signer: &KeyPair, audience: Audience) -> Reader<'_> {
        Reader::new(audience.words(), signer)
    }

    /// Reads one of these messages.
    ///
    /// # Errors
    /// It is unreadable, of another version, or signed by somebody else.
    pub fn verified(message: &[u8], reader: &mut Reader<'_>) -> Result<Self, Distrust> {
        /// What every version has.
        #[derive(Deserialize)]
        struct Versioned {
            v: u32,
        }
        let text = reader.opened(message, LONGEST)?;
        let unread = |_| match serde_json::from_slice(text) {
            Ok(Versioned { v }) if v != VERSION => Distrust::Version,
            _ => Distrust::Unreadable,
        };
        let decision: Self = serde_json::from_slice(text).map_err(unread)?;
        if decision.v != VERSION {
            return Err(Distrust::Version);
        }
        Ok(Self { prefix: decision.prefix.trunc(), ..decision })
    }

    /// The ban that an edge makes of it.
    ///
    /// # Errors
    /// It names ports that this kban cannot read: a ban of less than was meant is none.
    pub fn decided(&self) -> Result<Decided, Distrust> {
        let read = |ports: &Vec<String>| {
            ports.iter().map(|port| port.parse().ok()).collect::<Option<Vec<Service>>>()
        };
        let services = match &self.ports {
            None => None,
            Some(ports) => Some(read(ports).filter(|list| !list.is_empty()).ok_or(Distrust::Unreadable)?),
        };
        Ok(Decided {
            prefix: self.prefix,
            since: self.since,
            until: self.until,
            services: services.map(Arc::from),
            reason: self.reason.as_str().into(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jail::Ban;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).unwrap()
    }

    fn ban(jail: &str, until: Option<i64>, services: Option<&[&str]>) -> Ban {
        Ban {
            prefix: "203.0.113.9/32".parse().unwrap(),
            jail: jail.into(),
            since: at(0),
            until: until.map(at),
            count: 1,
            source: "web1".into(),
            reason: "2 reports within 1h".into(),
            services: services.map(|list| list.iter().map(|one| one.parse().unwrap()).collect()),
            renew: None,
        }
    }

    #[test]
    fn what_is_signed_is_read_and_nothing_else() {
        let (key, other) = (KeyPair::new_user(), KeyPair::new_user());
        let public = KeyPair::from_public_key(&key.public_key()).unwrap();
        let decision = Decision { serial: 7, ..Decision::of(&[ban("fleet", Some(60), None)]).unwrap() };
        let signed = |decision: &Decision, key| {
            Decision::signed(std::slice::from_ref(decision), key, Audience::Edges).remove(0)
        };
        let verified =
            |message: &[u8]| Decision::verified(message, &mut Decision::reader(&public, Audience::Edges));
        let message = signed(&decision, &key);
        assert_eq!(verified(&message).unwrap(), decision);
        assert_eq!(decision.reason, "fleet: 2 reports within 1h");
        for at in 0..message.len() {
            let mut changed = message.clone();
            changed[at] ^= 1;
            assert!(verified(&changed).is_err(), "byte {at}");
        }
        assert_eq!(verified(&signed(&decision, &other)), Err(Distrust::Forged));
        let for_friends = Decision::signed(std::slice::from_ref(&decision), &key, Audience::Peers).remove(0);
        assert_eq!(verified(&for_friends), Err(Distrust::Forged));
        assert!(Decision::verified(&for_friends, &mut Decision::reader(&public, Audience::Peers)).is_ok());
        let newer = Decision { v: 2, ..decision.clone() };
        assert_eq!(verified(&signed(&newer, &key)), Err(Distrust::Version));
        for junk in [&b""[..], b"{}", b"{}\n", b"{}\nAAAA", b"\xff\n\xff", &[b'a'; LONGEST + 1]] {
            assert!(verified(junk).is_err(), "{junk:?}");
        }
        // A signature of the same bytes for another purpose.
        let text = serde_json::to_vec(&decision).unwrap();
        let mut naked = text.clone();
        naked.push(b'\n');
        naked.extend(data_encoding::BASE64.encode(&key.sign(&text).unwrap()).into_bytes());
        assert_eq!(verified(&naked), Err(Distrust::Forged));
    }

    #[test]
    fn several_bans_are_one_decision_that_closes_no_more_than_they_do() {
        let ssh: &[&str] = &["tcp/22"];
        let of = |bans: &[Ban]| Decision::of(bans).map(|one| (one.until, one.ports.is_some()));
        assert_eq!(of(&[]), None);
        assert_eq!(of(&[ban("observed", None, Some(&[]))]), None);
        assert_eq!(of(&[ban("a", None, Some(ssh)), ban("b", Some(60), None)]), Some((Some(at(60)), false)));
        assert_eq!(of(&[ban("a", Some(9), Some(ssh)), ban("b", None, Some(ssh))]), Some((None, true)));
        let decided = Decision::of(&[ban("a", None, Some(ssh))]).unwrap().decided().unwrap();
        assert_eq!(decided.services.unwrap().len(), 1);
        let unknown = Decision {
            ports: Some(vec!["none/22".into()]),
            ..Decision::lifting(decided.prefix, None, at(0))
        };
        assert_eq!(unknown.decided(), Err(Distrust::Unreadable));
    }

    #[test]
    fn friends_are_told_who_and_by_which_jail_and_nothing_else() {
        let bans = [ban("sshd", Some(60), Some(&["tcp/22"])), ban("fleet", Some(90), None)];
        let told = Decision::naming(&bans).unwrap();
        assert_eq!((told.until, told.ports, &*told.reason), (Some(at(90)), None, "fleet"));
        assert_eq!(Decision::naming(&[ban("observed", None, Some(&[]))]), None);
        let lifted = Decision::lifting("203.0.113.9/32".parse().unwrap(), Some(at(60)), at(0));
        assert!(lifted.is_over(at(60)) && !lifted.is_over(at(59)));
    }
}
