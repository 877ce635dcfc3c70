//! The table as a whole: created, adopted from an earlier kband, or repaired, in one transaction.
//!
//! What is there is read first and written on the condition that the ruleset is still of the same
//! generation, so that nothing that others do in between is lost.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use ipnet::IpNet;
use nix::errno::Errno;

use super::allow::AllowLists;
use super::elements::{Action, Entry, write_elements};
use super::netlink::NetlinkError;
use super::ruleset::Table;
use super::{Attempt, Change, Element, Firewall, FirewallError, Rejected, Set, Target, rules, ruleset};

/// How often [`Firewall::set_up`] begins again when others change the ruleset while it reads; the
/// last attempt does not ask.
const SET_UP_ATTEMPTS: u32 = 8;

/// Sets of so many elements are listed in any case: that takes some 5 ms.
const LISTED_IN_ANY_CASE: u32 = 10_000;

fn is_at_most(count: u32, known: usize) -> bool {
    usize::try_from(count).is_ok_and(|count| count <= known)
}

/// What [`Firewall::set_up_known`] found.
#[derive(Debug, Default)]
pub struct Found {
    /// The bans that are in the table, but for those in the sets that were not listed.
    pub elements: Vec<Element>,
    /// The sets that were not listed.
    pub unlisted: BTreeSet<Set>,
    /// Whether the table stayed; if not, there is nothing in its unlisted sets.
    pub kept: bool,
}

impl Firewall {
    /// Makes the table what it should be, whatever is there of it, in one transaction, and returns
    /// the bans that are in it (adoption). `allow` is never dropped; see [`Firewall::set_allow`].
    ///
    /// Rules are written anew in any case; bans and the drop counter are kept, but for networks of unusual lengths
    /// ([`Firewall::replace_ranges`]). If a set of another
    /// size or kind is there, the whole table is made anew with the same bans. A set that holds
    /// more than `set_size` bans keeps room for those until it is set up again. Only when there are
    /// so many bans that one transaction cannot hold them (more than about 130,000; fewer in a user
    /// namespace, where the send buffer is what `net.core.wmem_max` grants), those beyond follow at
    /// once in further ones.
    ///
    /// # Errors
    /// Any of [`FirewallError`]; the table is then as it was.
    pub fn set_up(&mut self, allow: &[IpNet]) -> Result<Vec<Element>, FirewallError> {
        self.set_up_known(allow, |_| 0).map(|found| found.elements)
    }

    /// As [`Firewall::set_up`], where `known` says how many bans of a set the caller knows of. To list a set takes a
    /// time that grows with the square of its size, so one of more than some thousand elements is not listed if those
    /// that are known explain its [`Firewall::count`].
    ///
    /// # Errors
    /// As [`Firewall::set_up`].
    pub fn set_up_known(
        &mut self,
        allow: &[IpNet],
        known: impl Fn(Set) -> usize,
    ) -> Result<Found, FirewallError> {
        let allow = AllowLists::new(allow);
        let failed = |reason| FirewallError::of(Attempt::SetUp, reason);
        let mut attempt = 1;
        loop {
            let generation = match attempt {
                SET_UP_ATTEMPTS => None,
                _ => ruleset::generation(&mut self.socket).map_err(failed)?,
            };
            let found = ruleset::read(&mut self.socket, self.options.count).map_err(failed)?;
            if let Some(table) = &found {
                self.check_owner(Attempt::SetUp, table)?;
            }
            let (mut listed, mut unlisted) = (Vec::new(), BTreeMap::new());
            for set in found.iter().flat_map(|table| table.sizes.keys().copied()).filter(|set| set.is_ban()) {
                match self.count(set)? {
                    Some(count) if count > LISTED_IN_ANY_CASE && is_at_most(count, known(set)) => {
                        unlisted.insert(set, count);
                    }
                    _ => listed.push(set),
                }
            }
            let elements = self.list(listed)?;
            match self.write_table(generation, found.as_ref(), &elements, &unlisted, &allow) {
                // Somebody changed the ruleset since it was read: what was read may not be all.
                Err(NetlinkError::Refused { errno: Errno::ERESTART, .. }) => attempt += 1,
                Err(reason) => return Err(failed(reason)),
                Ok((rest, kept)) => {
                    self.add_all(&rest)?;
                    return Ok(Found { elements, unlisted: unlisted.into_keys().collect(), kept });
                }
            }
        }
    }

    /// Whether the table is there.
    ///
    /// # Errors
    /// When the kernel cannot be asked.
    pub fn is_there(&mut self) -> Result<bool, FirewallError> {
        ruleset::is_there(&mut self.socket).map_err(|reason| FirewallError::of(Attempt::SetUp, reason))
    }

    /// How many elements the kernel says `set` has, those included that ended in the last seconds. `None` if it does
    /// not say (before Linux 6.16), or there is no such set.
    ///
    /// # Errors
    /// Any but a missing table.
    pub fn count(&mut self, set: Set) -> Result<Option<u32>, FirewallError> {
        ruleset::count(&mut self.socket, set).map_err(|reason| FirewallError::of(Attempt::List(set), reason))
    }

    /// Makes the table anew with `bans`, whatever is there of it: what should be in it is known, so nothing has to be
    /// read that takes long. Returns what the kernel refused. Bans for which there is no room in one transaction
    /// (see [`Firewall::set_up`]) follow in further ones, and so do `ranges` (see [`Firewall::replace_ranges`]).
    ///
    /// # Errors
    /// Any of [`FirewallError`]; before the first transaction the table is as it was.
    pub fn make_anew(
        &mut self,
        allow: &[IpNet],
        bans: &[Element],
        ranges: &[(Target, Option<Duration>)],
    ) -> Result<Vec<Rejected>, FirewallError> {
        let failed = |reason| FirewallError::of(Attempt::SetUp, reason);
        let mut found = ruleset::read(&mut self.socket, self.options.count).map_err(failed)?;
        if let Some(table) = &mut found {
            self.check_owner(Attempt::SetUp, table)?;
            table.compatible = false;
        }
        let written = self.write_table(None, found.as_ref(), bans, &BTreeMap::new(), &AllowLists::new(allow));
        let (rest, _) = written.map_err(|reason| self.failure(Attempt::SetUp, reason))?;
        let held = self
            .table
            .as_ref()
            .is_some_and(|table| table.sizes.keys().any(|set| set.is_ban() && set.is_interval()));
        if held || !ranges.is_empty() {
            self.replace_ranges(ranges)?;
        }
        self.add(&rest)
    }

    /// Writes the whole table, and returns the changes for which there was no room in one
    /// transaction: those of a table that had to be made anew; and whether the table that was there was kept.
    /// `elements` are all that is in its sets, but for the `unlisted` ones, which are used as well.
    fn write_table(
        &mut self,
        generation: Option<u32>,
        found: Option<&Table>,
        elements: &[Element],
        unlisted: &BTreeMap<Set, u32>,
        allow: &AllowLists,
    ) -> Result<(Vec<Change>, bool), NetlinkError> {
        let mut bans: BTreeMap<Set, Vec<Entry>> =
            BTreeMap::from([(Set::HOST4, Vec::new()), (Set::HOST6, Vec::new())]);
        for element in elements {
            if let Some(set) = Set::for_ban(element.target).filter(|set| !set.is_interval()) {
                bans.entry(set).or_default().push((element.target, element.left));
            }
        }
        let mut sizes: BTreeMap<Set, u32> = Set::ALLOW.into_iter().map(|set| (set, 0)).collect();
        // Ranges that are there stay until they are replaced.
        let ranges = found
            .into_iter()
            .flat_map(|table| &table.sizes)
            .filter(|(set, _)| set.is_ban() && set.is_interval());
        sizes.extend(ranges.map(|(set, size)| (*set, *size)));
        sizes.extend(unlisted.iter().map(|(set, count)| (*set, self.options.set_size.max(*count))));
        for (set, entries) in &bans {
            sizes.insert(*set, self.options.set_size.max(u32::try_from(entries.len()).unwrap_or(u32::MAX)));
        }
        let present = found.map(|table| table.sizes.clone()).unwrap_or_default();
        let fits = found.is_some_and(|table| {
            table.compatible
                && self.fits_ownership(table)
                && sizes.iter().all(|(set, size)| present.get(set).is_none_or(|is| is == size))
        });
        let banned = bans.iter().filter(|(_, entries)| !entries.is_empty()).map(|(set, _)| *set);
        let ranges = elements
            .iter()
            .filter_map(|element| Set::for_ban(element.target))
            .filter(|set| set.is_interval());
        let used: BTreeSet<Set> =
            banned.chain(ranges).chain(unlisted.keys().copied()).chain(allow.used()).collect();
        let counter = found.map(|table| table.counter).unwrap_or_default();
        let mut rest = Vec::new();

        let mut batch = self.socket.batch(generation)?;
        if found.is_some() && !fits {
            ruleset::delete_table(&mut batch)?;
        }
        ruleset::add_table(&mut batch, self.table_flags())?;
        for (set, size) in sizes.iter().filter(|(set, _)| !fits || !present.contains_key(set)) {
            ruleset::add_set(&mut batch, *set, *size, self.options.count)?;
        }
        ruleset::add_chains(&mut batch, &self.options, found.is_some_and(|table| fits && table.has_source))?;
        allow.write(&mut batch)?;
        rules::write_rules(&mut batch, &self.options, used.iter().copied(), counter)?;
        if fits {
            for set in present.into_keys().filter(|set| !sizes.contains_key(set)) {
                ruleset::delete_set(&mut batch, set)?;
            }
        } else {
            let mut room = self.elements_beside(&batch);
            for (set, entries) in &bans {
                let (now, later) = entries.split_at(entries.len().min(room));
                room -= now.len();
                write_elements(&mut batch, Action::Add, *set, now, drop)?;
                rest.extend(later.iter().map(|(target, left)| Change::Ban { target: *target, left: *left }));
            }
        }
        self.socket.commit(batch)?;
        let has_source = !self.options.interfaces.is_empty();
        self.table = Some(Table {
            sizes,
            used,
            counter,
            has_source,
            flags: self.table_flags(),
            owner: self.owned.then(|| self.socket.port()),
            compatible: true,
        });
        Ok((rest, fits))
    }
}
