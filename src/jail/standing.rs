//! What stands between somebody who fails and their ban by one jail: a higher limit, a program's word, or the breaker.

use ipnet::IpNet;
use jiff::Timestamp;

use super::engine::Engine;
use super::jails::Jail;

/// Why a jail has not banned somebody yet who is not spared as such.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// Its `ignorecommand` said lately not to.
    Vouched {
        /// When.
        time: Timestamp,
    },
    /// Somebody logged in from there.
    Trusted {
        /// When, the last time.
        time: Timestamp,
        /// Until when that counts.
        until: Timestamp,
        /// So many failures lead to a ban meanwhile.
        failures: u32,
    },
    /// The breaker holds the ban.
    Waits {
        /// How many failures there were.
        failures: u32,
    },
}

impl Engine {
    /// What keeps `jail` from banning `prefix` at `now`.
    pub fn standing(
        &self,
        jail: &Jail,
        prefix: &IpNet,
        now: Timestamp,
    ) -> impl Iterator<Item = Standing> + use<> {
        let counted = self.counted_as(jail, *prefix);
        let vouched = jail.vouched.within(&counted, now).map(|(_, time)| Standing::Vouched { time });
        let trusted = jail.trusted.as_ref().and_then(|trusted| trusted.standing(&counted, now));
        let waits = jail.queue.failures_of(&counted).map(|failures| Standing::Waits { failures });
        [vouched, trusted, waits].into_iter().flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::judgement::Trust;
    use crate::config::plan::{JailPlan, Plan};
    use crate::filter::{Failure, Success};
    use crate::jail::jails::JailId;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).unwrap()
    }

    #[test]
    fn who_is_trusted_or_waits_is_told_by_the_network_that_counts() {
        let jail = JailPlan {
            trust: Some(Trust::default()),
            max_bans_per_minute: Some(1),
            ..JailPlan::named("sshd")
        };
        let mut engine = Engine::new();
        engine.configure(&Plan::of(vec![jail], &[]));
        let success = Success { time: at(0), address: "2001:db8::1".parse().unwrap(), user: None };
        engine.succeeded(JailId(0), &success, at(0));
        for address in ["203.0.113.1", "203.0.113.2", "203.0.113.2"] {
            engine.observe(JailId(0), &Failure::of(address, at(1)), None, &"log".into(), at(1));
        }
        let standing = |address: &str, second: i64| {
            let prefix: IpNet = address.parse().unwrap();
            engine.standing(&engine.jails()[0], &prefix, at(second)).collect::<Vec<_>>()
        };
        let trusted = Standing::Trusted { time: at(0), until: at(12 * 3600), failures: 30 };
        assert_eq!(standing("2001:db8::2/128", 1), [trusted]);
        assert_eq!(standing("2001:db8::2/128", 12 * 3600), []);
        assert_eq!(standing("203.0.113.1/32", 1), [], "it is banned");
        assert_eq!(standing("203.0.113.2/32", 1), [Standing::Waits { failures: 2 }]);
    }
}
