//! Whether the kernel takes what kband writes, found out by writing it and taking it back at once.

use nix::errno::Errno;

use super::netlink::NetlinkError;
use super::{Attempt, Counter, Firewall, FirewallError, Set, rules, ruleset};

/// How often it is tried again when somebody else changes the ruleset meanwhile.
const ATTEMPTS: u32 = 8;

impl Firewall {
    /// Whether the kernel takes the table with every kind of set and rule that kband may write. All of it is made and
    /// removed in one transaction, so nothing is ever in force and nothing stays. If the table is there, it is the
    /// proof itself and nothing is tried. What kband can do without is asked for by itself ([`Firewall::can_own`],
    /// [`Firewall::can_renew`]).
    ///
    /// # Errors
    /// What the kernel refuses, or a missing privilege.
    pub fn try_out(&mut self) -> Result<(), FirewallError> {
        let failed = |reason| FirewallError::of(Attempt::SetUp, reason);
        for _ in 0..ATTEMPTS {
            let generation = ruleset::generation(&mut self.socket).map_err(failed)?;
            let Some(generation) = generation else {
                return Err(FirewallError::Unsupported { attempt: Attempt::SetUp, errno: Errno::ENOENT });
            };
            if ruleset::is_there(&mut self.socket).map_err(failed)? {
                return Ok(());
            }
            // Only in the generation without the table: a kband that starts meanwhile keeps its own.
            match self.write_and_remove(generation) {
                Err(NetlinkError::Refused { errno: Errno::ERESTART, .. }) => {}
                tried => return tried.map_err(failed),
            }
        }
        Err(failed(NetlinkError::Unsteady))
    }

    fn write_and_remove(&mut self, generation: u32) -> Result<(), NetlinkError> {
        let mut batch = self.socket.batch(Some(generation))?;
        ruleset::add_table(&mut batch, 0)?;
        for set in Set::fixed().chain(Set::ALLOW) {
            ruleset::add_set(&mut batch, set, self.options.set_size, self.options.count)?;
        }
        ruleset::add_chains(&mut batch, &self.options, false)?;
        let all = Set::fixed().chain(Set::ALLOW);
        rules::write_rules(&mut batch, &self.options, all, Counter::default())?;
        ruleset::delete_table(&mut batch)?;
        self.socket.commit(batch)
    }
}
