//! Whether the kernel holds somebody, and what it says of them.

use super::elements::{name_element, read_one};
use super::netlink::attr::AttrWriter;
use super::netlink::constants::NFT_MSG_GETSETELEM;
use super::{Attempt, Element, Firewall, FirewallError, Set, Target};

impl Firewall {
    /// The kernel's element of exactly `target`, if there is one; of a network of an unusual length, what holds its first
    /// address, since overlapping ones are held in pieces. One question, whatever the size of the set.
    ///
    /// # Errors
    /// [`FirewallError::NoSet`]; [`FirewallError::is_missing`] if there is no table.
    pub fn contains(&mut self, target: Target) -> Result<Option<Element>, FirewallError> {
        Ok(self.contains_each(&[target])?.pop().flatten())
    }

    /// As [`Firewall::contains`], of each of `targets` in their order: many of them cost half as much as one by one.
    ///
    /// # Errors
    /// As [`Firewall::contains`].
    pub fn contains_each(&mut self, targets: &[Target]) -> Result<Vec<Option<Element>>, FirewallError> {
        let named = |target: &Target| Ok((Self::set_for(target.trunc())?, target.trunc()));
        let asked: Vec<(Set, Target)> = targets.iter().map(named).collect::<Result<_, FirewallError>>()?;
        let Some((_, first)) = asked.first() else { return Ok(Vec::new()) };
        let attempt = Attempt::Ask(*first);
        let ask = |attrs: &mut AttrWriter, (set, target): &(Set, Target)| name_element(attrs, *set, *target);
        let found = self.socket.get_each(NFT_MSG_GETSETELEM, &asked, ask, read_one);
        let found = found.map_err(|reason| FirewallError::of(attempt, reason))?;
        if found.iter().any(Option::is_none) {
            self.check_there(attempt)?;
        }
        let element = |(found, (_, target)): (Option<_>, &(Set, Target))| {
            found.map(|(left, packets)| Element { target: *target, left, packets })
        };
        Ok(found.into_iter().zip(&asked).map(element).collect())
    }
}
