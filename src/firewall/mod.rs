//! The kernel's side: table `inet kban`, its sets and their elements.
//!
//! [`Firewall`] turns [`Change`]s into transactions of nf_tables and reads back what is there. It
//! is synchronous and has no thread, timer or child process: the kernel expires the elements.
//!
//! - [`Set`]: which set holds which prefix
//! - `elements`, `allow`, `rules`, `ruleset`: how sets, elements and rules are written and read
//! - `setup`: the table as a whole, created, adopted or repaired
//! - `ranges`: banned networks of unusual lengths
//! - `renewal`: bans that the offender's own packets renew
//! - `owner`: whose the table is
//! - `trial`: whether the kernel takes such a table
//! - `monitor`: what others do to it
//! - `plan`: what a transaction is to bring about
//! - `apply`: changes in transactions, and what becomes of those that the kernel refuses
//! - `asking`: whether somebody is in a set
//! - `connections`: what offenders had open when they were banned
//! - `netlink`: the wire
//!
//! # When a set is used
//!
//! A packet pays for every rule, so a set has a rule only while it is used: from the transaction
//! that writes its first ban until [`Firewall::tidy`] finds it empty. The kernel's own rules are the
//! record of which sets are used; nothing is remembered beside them.

mod allow;
mod apply;
mod asking;
mod connections;
mod counting;
mod elements;
mod error;
mod monitor;
mod netlink;
mod options;
mod owner;
mod plan;
mod ranges;
mod renewal;
mod replies;
mod rules;
mod ruleset;
mod set;
mod setup;
mod target;
mod trial;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use ipnet::IpNet;

pub use apply::Rejected;
pub use error::{Attempt, FirewallError};
pub use monitor::{Deed, Intrusion, Monitor, Program};
pub use netlink::{NetlinkError, Step};
pub use options::{Log, Options, Reply};
pub use owner::{Belonging, nft_reads_owned_tables};
pub use set::Set;
pub use setup::Found;
pub use target::Target;

use allow::AllowLists;
use elements::{name_set, read_elements};
use netlink::constants::{NFT_MSG_GETSETELEM, NFTA_SET_ELEM_LIST_ELEMENTS};
use netlink::socket::{Dump, Socket};
use ruleset::Table;

/// One step from the kernel's state to the intent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// Drop the packets of `target` for `left` (`None`: until removed).
    Ban {
        /// Whom.
        target: Target,
        /// Time until the kernel drops the element by itself; `None` is permanent.
        left: Option<Duration>,
    },
    /// Let `target` through again; no error if it is not there (any more).
    Lift {
        /// Whom.
        target: Target,
    },
}

impl Change {
    /// Whom the change is about.
    pub fn target(&self) -> Target {
        match self {
            Self::Ban { target, .. } | Self::Lift { target } => *target,
        }
    }
}

/// One element as the kernel holds it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Element {
    /// Whose packets are dropped.
    pub target: Target,
    /// Time left by the kernel's own clock; `None` is permanent.
    pub left: Option<Duration>,
    /// How many packets it has counted since it was last written; `None`: it does not count.
    pub packets: Option<u64>,
}

/// What the drop rule has counted since the table was made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counter {
    /// Packets dropped.
    pub packets: u64,
    /// Their length in bytes, from the network header on.
    pub bytes: u64,
}

/// How often the list of a set is begun again when it may have gaps.
const LIST_ATTEMPTS: usize = 8;

/// The kernel's firewall, as far as it is ours. To be used from one thread.
///
/// Another process may use the table at the same time (`banctl` without a daemon): it is the kernel
/// that keeps each transaction whole.
pub struct Firewall {
    socket: Socket,
    options: Options,
    /// Whether the table is to be ours alone.
    owned: bool,
    /// The ruleset's generation when it was last asked for, and how many commits of ours it is made of.
    known: Option<(u32, u32)>,
    /// What is there of the table, as far as known: read when it is first needed, and forgotten
    /// when the kernel says otherwise.
    table: Option<Table>,
    /// When somebody was last taken for new who was banned already.
    guessed_wrong: Option<Instant>,
}

impl Firewall {
    /// Opens a socket to the kernel; reads and writes nothing. A missing privilege shows at first use, not here.
    ///
    /// # Errors
    /// When the kernel has no netfilter sockets, or the process no descriptors left.
    pub fn open(options: Options) -> Result<Self, FirewallError> {
        let socket = Socket::open().map_err(|reason| FirewallError::of(Attempt::Open, reason))?;
        Ok(Self { socket, options, owned: false, known: None, table: None, guessed_wrong: None })
    }

    /// As [`Firewall::open`], to read what is there and to take away from it, but not to create anything.
    ///
    /// # Errors
    /// As [`Firewall::open`].
    pub fn open_existing() -> Result<Self, FirewallError> {
        Self::open(Options::sized(0))
    }

    /// The set that holds bans of `target`.
    ///
    /// # Errors
    /// [`FirewallError::NoSet`] if none does.
    pub fn set_for(target: Target) -> Result<Set, FirewallError> {
        Set::for_ban(target).ok_or(FirewallError::NoSet { target })
    }

    /// Replaces the allow lists in one transaction: packets from these prefixes are never dropped,
    /// whatever is banned. Prefixes may be nested and overlap.
    ///
    /// # Errors
    /// [`FirewallError::is_missing`] if the table is not set up.
    pub fn set_allow(&mut self, allow: &[IpNet]) -> Result<(), FirewallError> {
        let attempt = Attempt::Allow;
        let allow = AllowLists::new(allow);
        let mut table = self.table(attempt)?;
        let used: BTreeSet<Set> =
            table.used.iter().copied().filter(|set| set.is_ban()).chain(allow.used()).collect();
        let counter = self.dropped()?;
        let written = self.socket.batch(None).and_then(|mut batch| {
            allow.write(&mut batch)?;
            if used != table.used {
                rules::write_rules(&mut batch, &self.options, used.iter().copied(), counter)?;
            }
            self.socket.commit(batch)
        });
        table.used = used;
        self.remember(table, attempt, written)
    }

    /// All bans that the kernel holds, in no order. Their number makes this slow: 10,000 take
    /// some 5 ms, 100,000 some 200 ms. A ban that expires meanwhile can hide another one; ask for
    /// single prefixes where it matters ([`Firewall::contains`]).
    ///
    /// # Errors
    /// [`FirewallError::is_missing`] if there is no table.
    pub fn elements(&mut self) -> Result<Vec<Element>, FirewallError> {
        self.table = None;
        let table = self.table(Attempt::Read)?;
        self.elements_of(table.sizes.into_keys().filter(|set| set.is_ban()))
    }

    /// As [`Firewall::elements`], of some sets of bans.
    ///
    /// # Errors
    /// As [`Firewall::elements`].
    pub fn elements_of(
        &mut self,
        sets: impl IntoIterator<Item = Set>,
    ) -> Result<Vec<Element>, FirewallError> {
        self.check_there(Attempt::Read)?;
        self.list(sets)
    }

    /// What has been dropped so far.
    ///
    /// # Errors
    /// [`FirewallError::is_missing`] if the table or its drop rule is not there.
    pub fn dropped(&mut self) -> Result<Counter, FirewallError> {
        let attempt = Attempt::Read;
        let rules = ruleset::read_rules(&mut self.socket, ruleset::OFFENDER);
        let rules = rules.map_err(|reason| FirewallError::of(attempt, reason))?;
        rules.iter().find_map(|rule| rule.counter).ok_or(FirewallError::Missing { attempt })
    }

    /// The sets of bans that have rules now, read afresh; `None` if the table or its drop rule is not there.
    ///
    /// # Errors
    /// Any but a missing table.
    pub fn ruled(&mut self) -> Result<Option<BTreeSet<Set>>, FirewallError> {
        self.table = None;
        let read = self.table(Attempt::Read).and_then(|table| self.dropped().map(|_| table));
        match read {
            Ok(table) => Ok(Some(table.used.into_iter().filter(|set| set.is_ban()).collect())),
            Err(error) if error.is_missing() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Removes the rules of sets that have become empty; their elements have expired or were
    /// lifted. Call it about once a minute: an unused rule costs each packet some 100 ns, and
    /// this takes some 20 ms. The next ban brings the rule back.
    ///
    /// # Errors
    /// [`FirewallError::is_missing`] if the table, or a set that should be there, is gone.
    pub fn tidy(&mut self) -> Result<(), FirewallError> {
        let attempt = Attempt::Tidy;
        let mut table = self.table(attempt)?;
        let mut empty = Vec::new();
        for set in table.used.iter().copied().filter(|set| set.is_ban()) {
            match self.is_empty(set).map_err(|reason| self.failure(attempt, reason))? {
                Some(true) => empty.push(set),
                Some(false) => {}
                None => return Err(self.failure(attempt, NetlinkError::absent())),
            }
        }
        if empty.is_empty() {
            return Ok(());
        }
        let counter = self.dropped()?;
        table.used.retain(|set| !empty.contains(set));
        let written = self.socket.batch(None).and_then(|mut batch| {
            rules::write_rules(&mut batch, &self.options, table.used.iter().copied(), counter)?;
            for set in empty.into_iter().filter(|set| set.is_passing()) {
                ruleset::delete_set(&mut batch, set)?;
                table.sizes.remove(&set);
            }
            self.socket.commit(batch)
        });
        self.remember(table, attempt, written)
    }

    /// Removes all bans, and leaves table and allow lists.
    ///
    /// # Errors
    /// [`FirewallError::is_missing`] if there is no table.
    pub fn empty(&mut self) -> Result<(), FirewallError> {
        let attempt = Attempt::Empty;
        let table = self.table(attempt)?;
        let sets: Vec<Set> = table.sizes.keys().copied().filter(|set| set.is_ban()).collect();
        let flush = |firewall: &mut Self| {
            let written = firewall.socket.batch(None).and_then(|mut batch| {
                sets.iter().try_for_each(|set| elements::flush(&mut batch, *set))?;
                firewall.socket.commit(batch)
            });
            firewall.remember(table, attempt, written)
        };
        if sets.iter().any(|set| set.tier().is_some()) {
            self.while_nothing_is_renewed(flush)
        } else {
            flush(self)
        }
    }

    /// Removes the table with everything in it; no error if there is none.
    ///
    /// # Errors
    /// Any but a missing table.
    pub fn remove_table(&mut self) -> Result<(), FirewallError> {
        self.table = None;
        let removed = self.socket.batch(None).and_then(|mut batch| {
            ruleset::delete_table(&mut batch)?;
            self.socket.commit(batch)
        });
        match removed.map_err(|reason| self.failure(Attempt::Remove, reason)) {
            Err(error) if error.is_missing() => Ok(()),
            removed => removed,
        }
    }

    /// Every element of `sets`, those that are not there left out.
    fn list(&mut self, sets: impl IntoIterator<Item = Set>) -> Result<Vec<Element>, FirewallError> {
        let mut elements = Vec::new();
        for set in sets {
            let found = self.list_set(set);
            elements.extend(found.map_err(|reason| FirewallError::of(Attempt::List(set), reason))?);
        }
        Ok(elements)
    }

    /// Every element of a set.
    ///
    /// The kernel lists a set piece by piece and finds its place again by counting, so elements can
    /// be missed when the set changes in between. That shows in the ruleset's generation, and, should
    /// the kernel rearrange its hash table without a new one, in repetitions. Such a list is begun
    /// again; if the set never comes to rest, everything seen in any of the lists is returned.
    fn list_set(&mut self, set: Set) -> Result<Vec<Element>, NetlinkError> {
        if set.is_interval() {
            return self.list_ranges(set);
        }
        let mut seen = BTreeMap::new();
        for _ in 0..LIST_ATTEMPTS {
            let mut found = Vec::new();
            let dump = self.socket.dump(
                NFT_MSG_GETSETELEM,
                |attrs| name_set(attrs, set),
                |attrs| read_elements(set, attrs, &mut found),
            )?;
            let Some(dump) = dump else { return Ok(Vec::new()) };
            let distinct: BTreeMap<Target, Element> =
                found.iter().map(|element| (element.target, *element)).collect();
            if dump == Dump::Whole && distinct.len() == found.len() {
                return Ok(found);
            }
            seen.extend(distinct);
        }
        Ok(seen.into_values().collect())
    }

    /// Whether a set has no elements; `None` if there is no such set.
    fn is_empty(&self, set: Set) -> Result<Option<bool>, NetlinkError> {
        let any = Socket::open()?.any(
            NFT_MSG_GETSETELEM,
            |attrs| name_set(attrs, set),
            |attrs| {
                let list = netlink::attr::Attrs::new(attrs).nested(NFTA_SET_ELEM_LIST_ELEMENTS)?;
                Ok(list.count() > 0)
            },
        )?;
        Ok(any.map(|any| !any))
    }

    /// What is known of the table, read from the kernel if nothing is.
    fn table(&mut self, attempt: Attempt) -> Result<Table, FirewallError> {
        if let Some(table) = &self.table {
            return Ok(table.clone());
        }
        let table = ruleset::read(&mut self.socket, self.options.count);
        let table = table.map_err(|reason| FirewallError::of(attempt, reason))?;
        self.table.clone_from(&table);
        table.ok_or(FirewallError::Missing { attempt })
    }

    /// Keeps `table` as what is known if it was `written`.
    fn remember(
        &mut self,
        table: Table,
        attempt: Attempt,
        written: Result<(), NetlinkError>,
    ) -> Result<(), FirewallError> {
        match written {
            Ok(()) => {
                self.table = Some(table);
                Ok(())
            }
            Err(reason) => Err(self.failure(attempt, reason)),
        }
    }

    /// Turns an error into a sentence; what is known of the table is not trusted after it.
    fn failure(&mut self, attempt: Attempt, reason: NetlinkError) -> FirewallError {
        self.table = None;
        self.name_owner(FirewallError::of(attempt, reason))
    }

    fn check_there(&mut self, attempt: Attempt) -> Result<(), FirewallError> {
        match ruleset::is_there(&mut self.socket) {
            Ok(true) => Ok(()),
            Ok(false) => Err(FirewallError::Missing { attempt }),
            Err(reason) => Err(self.failure(attempt, reason)),
        }
    }
}
