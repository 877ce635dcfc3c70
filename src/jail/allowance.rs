//! Allowing somebody at run time, for a while or until it is taken back.

use ipnet::IpNet;
use jiff::Timestamp;

use super::engine::Engine;
use super::lift::Lift;
use super::shown;
use super::spared::{Allowance, Origin};
use crate::config::network::too_wide;

/// How many entries there may be: each change writes all of them to the kernel.
const MOST: usize = 10_000;

/// Why somebody is not allowed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotAllowed {
    /// A large part of the Internet.
    #[error(
        "{prefix} is a large part of the Internet, and nobody in it would ever be banned: \
         name a network of at least /{widest}, or say --force"
    )]
    TooWide {
        /// Who was to be allowed.
        prefix: IpNet,
        /// The shortest prefix that is taken without force.
        widest: u8,
    },
    /// There are too many entries.
    #[error(
        "{MOST} entries are allowed at run time already: delete some, or write them into `[defaults] ignoreip`"
    )]
    NoRoom,
}

/// Why no entry is deleted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotDeleted {
    /// There is none.
    #[error("{} is not allowed", shown(.0))]
    Unknown(IpNet),
    /// It is allowed, but not by an entry at run time of this name.
    #[error("{} is allowed by {} ({origin}): {}", shown(.prefix), shown(.entry), .origin.remedy(.entry))]
    Otherwise {
        /// Who was meant.
        prefix: IpNet,
        /// The entry that covers it.
        entry: IpNet,
        /// Where that comes from.
        origin: Origin,
    },
}

impl Engine {
    /// Allows somebody, or changes until when. What is to be lifted is returned, and the entry before.
    ///
    /// # Errors
    /// When the prefix is very wide and not `forced`, or there are too many entries.
    pub fn allow(
        &mut self,
        allowance: Allowance,
        forced: bool,
    ) -> Result<(Lift, Option<Allowance>), NotAllowed> {
        let prefix = allowance.prefix;
        if let Some(widest) = too_wide(&prefix).filter(|_| !forced) {
            return Err(NotAllowed::TooWide { prefix, widest });
        }
        self.spared.change_by_hand(|entries| {
            if entries.len() >= MOST && !entries.contains_key(&prefix) {
                return Err(NotAllowed::NoRoom);
            }
            Ok((Lift::allowed(prefix), entries.insert(prefix, allowance)))
        })
    }

    /// Takes back the entry of exactly this prefix.
    ///
    /// # Errors
    /// When there is none; it may be allowed otherwise.
    pub fn disallow(&mut self, prefix: &IpNet) -> Result<Allowance, NotDeleted> {
        if let Some(taken) = self.spared.change_by_hand(|entries| entries.remove(prefix)) {
            return Ok(taken);
        }
        Err(match self.spared.entry_around(prefix) {
            Some((entry, origin)) => NotDeleted::Otherwise { prefix: *prefix, entry, origin },
            None => NotDeleted::Unknown(*prefix),
        })
    }

    /// Puts the entry of `prefix` back as it was: the kernel has refused what was changed.
    pub fn undo_allow(&mut self, prefix: &IpNet, before: Option<Allowance>) {
        self.spared.change_by_hand(|entries| match before {
            Some(before) => entries.insert(*prefix, before),
            None => entries.remove(prefix),
        });
    }

    /// Takes in the entries that were there before a restart.
    pub fn restore_allowed(&mut self, known: Vec<Allowance>) {
        let entries = known.into_iter().map(|entry| (entry.prefix, entry));
        self.spared.change_by_hand(|all| all.extend(entries));
    }

    /// Ends the entries whose time is over at `now`.
    pub fn expire_allowed(&mut self, now: Timestamp) -> Vec<Allowance> {
        if self.spared.next_end().is_none_or(|end| end > now) {
            return Vec::new();
        }
        let is_over = |entry: &Allowance| entry.until.is_some_and(|until| until <= now);
        self.spared.change_by_hand(|entries| {
            let over = entries.values().filter(|entry| is_over(entry)).cloned().collect();
            entries.retain(|_, entry| !is_over(entry));
            over
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::duration::BanTime;
    use crate::config::plan::Plan;
    use crate::jail::Verdict;
    use crate::jail::by_hand::{ByHand, Refusal};

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).unwrap()
    }

    fn net(text: &str) -> IpNet {
        crate::jail::written(text).unwrap()
    }

    fn engine() -> Engine {
        let mut engine = Engine::new();
        engine.configure(&Plan::of(Vec::new(), &["192.0.2.0/24"]));
        engine
    }

    fn entry(prefix: &str, until: Option<i64>) -> Allowance {
        Allowance { prefix: net(prefix), since: at(0), until: until.map(at), reason: "".into(), who: None }
    }

    fn ban(engine: &mut Engine, prefix: &str) -> Result<Verdict, Refusal> {
        let bantime = Some(BanTime::Permanent);
        engine.ban(&ByHand { prefix: net(prefix), jail: None, bantime, reason: "" }, at(0))
    }

    fn allow(engine: &mut Engine, prefix: &str, until: Option<i64>) -> Vec<String> {
        let (lift, _) = engine.allow(entry(prefix, until), false).unwrap();
        let lifted = engine.lift_all(lift);
        lifted.iter().map(|verdict| shown(&verdict.ban().prefix)).collect()
    }

    #[test]
    fn allowing_lifts_what_shares_an_address_and_nothing_else() {
        let mut engine = engine();
        for prefix in
            ["203.0.113.9", "203.0.113.0/24", "203.0.113.10", "198.51.100.9", "2001:db8:5::/64", "11.0.0.0/8"]
        {
            ban(&mut engine, prefix).unwrap();
        }
        assert_eq!(allow(&mut engine, "203.0.113.9", None), ["203.0.113.0/24", "203.0.113.9"]);
        assert_eq!(allow(&mut engine, "2001:db8:5::7", None), ["2001:db8:5::/64"]);
        assert_eq!(allow(&mut engine, "11.1.2.0/24", None), ["11.0.0.0/8"]);
        assert_eq!(allow(&mut engine, "198.51.0.0/16", None), ["198.51.100.9"]);
        assert_eq!(engine.bans().iter().map(|ban| shown(&ban.prefix)).collect::<Vec<_>>(), ["203.0.113.10"]);
        let refused = ban(&mut engine, "203.0.113.9").unwrap_err().to_string();
        assert!(refused.contains("(run time): `banctl allow del 203.0.113.9`"), "{refused}");
        assert!(engine.allowed().contains(&net("203.0.113.9")), "the kernel knows");
    }

    #[test]
    fn an_entry_ends_by_itself_and_what_is_configured_does_not() {
        let mut engine = engine();
        allow(&mut engine, "203.0.113.9", Some(60));
        allow(&mut engine, "203.0.113.10", Some(50));
        allow(&mut engine, "192.0.2.7", Some(10));
        assert_eq!(engine.spared().next_end(), Some(at(10)));
        assert_eq!(engine.expire_allowed(at(9)), []);
        let over = engine.expire_allowed(at(50));
        assert_eq!(
            over.iter().map(|entry| shown(&entry.prefix)).collect::<Vec<_>>(),
            ["192.0.2.7", "203.0.113.10"]
        );
        assert!(ban(&mut engine, "203.0.113.10").is_ok());
        assert!(ban(&mut engine, "203.0.113.9").is_err());
        let refused = ban(&mut engine, "192.0.2.7").unwrap_err().to_string();
        assert!(refused.contains("192.0.2.0/24 (ignoreip): take it out"), "{refused}");
    }

    #[test]
    fn only_what_was_added_is_deleted() {
        let mut engine = engine();
        allow(&mut engine, "203.0.113.0/28", None);
        for (prefix, words) in [
            ("203.0.113.99", "203.0.113.99 is not allowed"),
            ("203.0.113.9", "is allowed by 203.0.113.0/28 (run time)"),
            ("192.0.2.7", "`[defaults] ignoreip`"),
            ("203.0.113.0/24", "203.0.113.0/24 is not allowed"),
        ] {
            let said = engine.disallow(&net(prefix)).unwrap_err().to_string();
            assert!(said.contains(words), "{said}");
        }
        assert_eq!(engine.disallow(&net("203.0.113.0/28")).unwrap().prefix, net("203.0.113.0/28"));
        assert!(ban(&mut engine, "203.0.113.9").is_ok());
    }

    #[test]
    fn a_large_part_of_the_internet_is_allowed_by_force_only() {
        for wide in ["0.0.0.0/0", "12.0.0.0/7", "::/0", "2001::/15"] {
            let said = engine().allow(entry(wide, None), false).unwrap_err().to_string();
            assert!(said.contains("large part") && said.contains("--force"), "{said}");
            assert!(engine().allow(entry(wide, None), true).is_ok());
        }
        for private in ["10.0.0.0/8", "fc00::/7", "fe80::/10"] {
            assert!(engine().allow(entry(private, None), false).is_ok(), "{private}");
        }
    }

    #[test]
    fn entries_are_bounded() {
        let mut engine = engine();
        let many =
            (0..10_000_u32).map(|n| IpNet::from(std::net::IpAddr::from((0x0b00_0000 + n).to_be_bytes())));
        let many = many.map(|prefix| Allowance { prefix, ..entry("11.0.0.0", None) });
        engine.restore_allowed(many.collect());
        assert_eq!(engine.allow(entry("203.0.113.9", None), false).unwrap_err(), NotAllowed::NoRoom);
        assert!(engine.allow(entry("11.0.0.0", Some(5)), false).is_ok(), "one that is there may change");
    }
}
