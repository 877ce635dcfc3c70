//! Bans that the offender's own packets renew: a rule gives their element the whole time anew with each packet.
//!
//! The rule needs a set that rules may change (`dynamic`), with a size: without one the kernel takes 65,535. Whether the
//! kernel does all that is found out by trying.

use nix::errno::Errno;
use rustix::thread::{MembarrierCommand, membarrier};

use super::netlink::NetlinkError;
use super::netlink::message::Batch;
use super::owner::TRIAL;
use super::{Attempt, Firewall, FirewallError, Set, rules, ruleset};

impl Firewall {
    /// Whether the kernel can renew elements when packets come.
    ///
    /// # Errors
    /// Anything but a kernel that cannot.
    pub fn can_renew(&mut self) -> Result<bool, FirewallError> {
        self.takes(write_trial)
    }

    /// Whether the kernel takes what `write` writes, and takes away again in the same transaction.
    pub(super) fn takes(
        &mut self,
        write: impl FnOnce(&mut Batch) -> Result<(), NetlinkError>,
    ) -> Result<bool, FirewallError> {
        let tried = self.socket.batch(None).and_then(|mut batch| {
            write(&mut batch)?;
            self.socket.commit(batch)
        });
        match tried {
            Ok(()) => Ok(true),
            // ENOENT: there is no such expression.
            Err(NetlinkError::Refused {
                errno: Errno::EOPNOTSUPP | Errno::EINVAL | Errno::ENOENT, ..
            }) => Ok(false),
            Err(reason) => Err(FirewallError::of(Attempt::SetUp, reason)),
        }
    }

    /// Does `work`, which takes renewed elements away, while no packet renews any.
    ///
    /// Whoever still sends finds the element, which is in force until the transaction that deletes it is done, and renews it,
    /// which puts a new one beside the one that is about to go: under a flood every second lift is undone like that. So
    /// the rules rest meanwhile; packets are dropped as ever.
    pub(super) fn while_nothing_is_renewed<T>(
        &mut self,
        work: impl FnOnce(&mut Self) -> Result<T, FirewallError>,
    ) -> Result<T, FirewallError> {
        self.rest(true)?;
        let_packets_through();
        let done = work(self);
        let back = self.rest(false);
        let done = done?;
        back.map(|()| done)
    }

    /// Writes the rules without those that renew, or with them.
    fn rest(&mut self, rest: bool) -> Result<(), FirewallError> {
        let table = self.table(Attempt::SetUp)?;
        let counter = self.dropped()?;
        let written = self.socket.batch(None).and_then(|mut batch| {
            let used = table.used.iter().copied();
            if rest {
                rules::write_resting_rules(&mut batch, &self.options, used, counter)?;
            } else {
                rules::write_rules(&mut batch, &self.options, used, counter)?;
            }
            self.socket.commit(batch)
        });
        self.remember(table, Attempt::SetUp, written)
    }
}

/// Waits for the packets that the kernel is judging now: they are read sides of RCU, and membarrier(2) waits for all of
/// those that have begun (`kernel/sched/membarrier.c`, `MEMBARRIER_CMD_GLOBAL`). One may take long where the machine is
/// itself a guest whose processors are stopped at times. Some 10 ms; a kernel without it does not wait.
fn let_packets_through() {
    let _ = membarrier(MembarrierCommand::Global);
}

/// A table with a set and its rules, which is removed again in the same transaction.
fn write_trial(batch: &mut Batch) -> Result<(), NetlinkError> {
    ruleset::add_named_table(batch, TRIAL, 0)?;
    for set in ["renew4_1", "renew_port6_64_1"].into_iter().filter_map(Set::named) {
        ruleset::add_named_set(batch, TRIAL, set, 1, false)?;
        ruleset::add_named_chain(batch, TRIAL, &set.name())?;
        rules::append_renewal(batch, TRIAL, &set.name(), set)?;
    }
    ruleset::delete_named_table(batch, TRIAL)
}
