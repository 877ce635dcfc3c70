//! Bans that the offender's own packets renew: a rule gives their element the whole time anew with each packet.
//!
//! The rule needs a set that rules may change (`dynamic`), with a size: without one the kernel takes 65,535. Whether the
//! kernel does all that is found out by trying.

use nix::errno::Errno;

use super::elements::flush;
use super::netlink::NetlinkError;
use super::netlink::message::Batch;
use super::owner::TRIAL;
use super::{Attempt, Change, Firewall, FirewallError, Set, Target, rules, ruleset};

/// How often a lift is repeated that packets have undone.
const LIFTS: usize = 8;

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

    /// Lifts again what a packet has put back: one that had found its element just before the lift, and renewed it just
    /// after. There is no such packet once the element is seen to be gone, since none finds it any more.
    pub(super) fn lift_for_good(&mut self, changes: &[Change]) -> Result<(), FirewallError> {
        let mut lifts = changes.to_vec();
        let is_renewed = |target: &Target| Set::for_ban(*target).is_some_and(|set| set.tier().is_some());
        lifts.retain(|change| matches!(change, Change::Lift { target } if is_renewed(target)));
        for _ in 0..LIFTS {
            let mut back = Vec::new();
            for lift in lifts {
                if self.contains(lift.target())?.is_some() {
                    back.push(lift);
                }
            }
            if back.is_empty() {
                return Ok(());
            }
            self.apply_once(&back)?;
            lifts = back;
        }
        Ok(())
    }

    /// Removes every element of `sets`, and again what packets have put back meanwhile.
    pub(super) fn flush_for_good(&mut self, mut sets: Vec<Set>) -> Result<(), NetlinkError> {
        for _ in 0..LIFTS {
            let mut batch = self.socket.batch(None)?;
            sets.iter().try_for_each(|set| flush(&mut batch, *set))?;
            self.socket.commit(batch)?;
            let mut back = Vec::new();
            for set in sets.into_iter().filter(|set| set.tier().is_some()) {
                if self.is_empty(set)? == Some(false) {
                    back.push(set);
                }
            }
            if back.is_empty() {
                break;
            }
            sets = back;
        }
        Ok(())
    }
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
