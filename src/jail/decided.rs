//! What the firewall of a fleet has decided, on an edge: bans of the jail `fleet` that follow its word, but for whoever is
//! spared here.

use std::sync::Arc;

use ipnet::IpNet;
use jiff::Timestamp;

use super::by_hand::Refusal;
use super::engine::Engine;
use super::{Ban, Ending, Verdict};
use crate::config::fleet::FLEET;
use crate::service::Service;

/// A ban that the firewall wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decided {
    /// Whom.
    pub prefix: IpNet,
    /// Since when.
    pub since: Timestamp,
    /// Until when; `None`: until it says otherwise.
    pub until: Option<Timestamp>,
    /// What is closed; `None`: everything.
    pub services: Option<Arc<[Service]>>,
    /// Why, in its words.
    pub reason: Arc<str>,
}

impl Engine {
    /// Follows a decision, whatever an earlier one said of the same prefix. `None` if it is in force already.
    ///
    /// # Errors
    /// As [`Engine::take_over`]: it is allowed here, or has an address of this machine in it.
    pub fn follow_decision(&mut self, decided: Decided) -> Result<Option<Verdict>, Refusal> {
        self.take_decided(FLEET, decided)
    }

    /// The same for a jail whose bans are decided elsewhere.
    pub(super) fn take_decided(&mut self, jail: &str, decided: Decided) -> Result<Option<Verdict>, Refusal> {
        let Decided { prefix, since, until, services, reason } = decided;
        if self.jails.iter().any(|known| &*known.name == jail && known.allow.overlapping(&prefix).is_some()) {
            return Ok(None);
        }
        let known = self.bans.get(&prefix, jail);
        let before = known.as_ref().map_or(0, |ban| ban.count);
        let same = |known: &Ban| (known.until, &known.services, &known.reason) == (until, &services, &reason);
        if known.as_ref().is_some_and(same) {
            return Ok(None);
        }
        let jail: Arc<str> = jail.into();
        let count =
            if before == 0 { self.bans.times_banned(&prefix, &jail).saturating_add(1) } else { before };
        let source = Arc::clone(&jail);
        let ban = Ban {
            prefix,
            jail: Arc::clone(&jail),
            since,
            until,
            count,
            source,
            reason,
            services,
            renew: None,
        };
        // A newer decision may be shorter.
        let rows = known.is_some().then(|| self.bans.of(&prefix));
        if known.is_some() {
            self.bans.remove(&prefix, &jail);
        }
        let taken = self.take_over(ban);
        if let (Err(_), Some(rows)) = (&taken, rows) {
            self.bans.put_back(&prefix, rows);
        }
        taken
    }

    /// The firewall has lifted its ban of exactly this prefix. `None` if none is in force.
    pub fn withdraw_decision(&mut self, prefix: &IpNet) -> Option<Verdict> {
        self.end_decided(FLEET, prefix)
    }

    /// The same for a jail whose bans are decided elsewhere.
    pub(super) fn end_decided(&mut self, jail: &str, prefix: &IpNet) -> Option<Verdict> {
        Some(Verdict::Unban(self.bans.remove(prefix, jail)?, Ending::Withdrawn))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::plan::Plan;

    fn decided(prefix: &str, until: Option<i64>) -> Decided {
        let since = Timestamp::from_second(1_800_000_000).unwrap();
        let until = until.map(|second| Timestamp::from_second(1_800_000_000 + second).unwrap());
        Decided { prefix: prefix.parse().unwrap(), since, until, services: None, reason: "sshd".into() }
    }

    #[test]
    fn the_last_word_counts_and_whoever_is_spared_here_is_spared() {
        let mut engine = Engine::new();
        engine.configure(&Plan::of(Vec::new(), &["192.0.2.0/24"]));
        let mut follow = |prefix: &str, until| engine.follow_decision(decided(prefix, until));
        assert!(follow("203.0.113.9/32", None).unwrap().is_some());
        assert_eq!(follow("203.0.113.9/32", None), Ok(None), "it is known");
        let shorter = follow("203.0.113.9/32", Some(60)).unwrap().unwrap();
        assert_eq!((shorter.ban().until.is_some(), shorter.ban().count), (true, 1));
        for spared in ["192.0.2.7/32", "192.0.0.0/16", "127.0.0.1/32", "0.0.0.0/0", "::/0"] {
            assert!(follow(spared, None).is_err(), "{spared}");
        }
        assert_eq!(engine.bans().len(), 1);
        let prefix = "203.0.113.9/32".parse().unwrap();
        assert!(matches!(engine.withdraw_decision(&prefix), Some(Verdict::Unban(_, Ending::Withdrawn))));
        assert_eq!(engine.withdraw_decision(&prefix), None);
    }
}
