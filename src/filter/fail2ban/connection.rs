//! What is known of connections whose lines are tied together by `<F-MLFID>`.
//!
//! A line with `<F-NOFAIL>` is remembered and not counted; a later one of its connection may lend it an address or
//! a failure. `<F-MLFFORGET>` ends the connection, `<F-MLFGAINED>` forgives it, unless several users were tried.

use std::borrow::Cow;
use std::time::Duration;

use jiff::Timestamp;

use super::groups::{Catch, Groups, MLFFORGET, MLFGAINED, NOFAIL, USER};
use super::numbers::Numbers;
use crate::filter::recent::Recent;

/// How many connections are remembered.
const MOST: usize = 100;
/// How long one is remembered after its first line.
const LONGEST: Duration = Duration::from_secs(300);
/// How many users of one connection are remembered.
const MOST_USERS: usize = 100;

/// What lines of one connection add up to; or one line of none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Known {
    pub(super) groups: Groups,
    /// All users that were tried, in order.
    pub(super) users: Vec<String>,
    /// Lines that count.
    pub(super) matches: u32,
    /// Lines that count once another one fails.
    pub(super) withheld: u32,
    /// A failure waits for its address.
    pub(super) pending: bool,
}

impl Known {
    /// One line of no connection.
    pub(super) fn of(groups: Groups, lines: u32) -> Self {
        Self { groups, matches: lines, ..Self::default() }
    }

    fn note_user(&mut self, line: Option<&Groups>) {
        let user = line.unwrap_or(&self.groups).text(USER).filter(|user| !user.is_empty());
        if let Some(user) = user.filter(|_| self.users.len() < MOST_USERS)
            && let Err(place) = self.users.binary_search_by(|known| known.as_str().cmp(user))
        {
            let user = user.to_owned();
            self.users.insert(place, user);
        }
    }
}

/// A line merged with what was known.
#[derive(Debug)]
pub(super) struct Merge<'a> {
    pub(super) known: Cow<'a, Known>,
    /// The line ended its connection.
    pub(super) forgotten: bool,
    /// It forgave it.
    pub(super) gained: bool,
}

/// The connections of one source.
#[derive(Debug)]
pub(super) struct Connections {
    recent: Recent<Box<Known>>,
    numbers: Numbers,
}

impl Default for Connections {
    fn default() -> Self {
        Self { recent: Recent::new(MOST, LONGEST), numbers: Numbers::default() }
    }
}

impl Connections {
    /// Merges a line of connection `id` that caught `groups` and takes `lines` lines.
    pub(super) fn merge(
        &mut self,
        id: &str,
        mut groups: Groups,
        lines: u32,
        now: Timestamp,
    ) -> Option<Merge<'_>> {
        let gained = groups.has(MLFGAINED);
        let mut reset = gained;
        let mut nofail = gained || groups.has(NOFAIL);
        if gained && !groups.has(NOFAIL) {
            groups.copy(MLFGAINED, NOFAIL);
        }
        let forgotten = groups.remove(MLFFORGET);
        let id = id.as_bytes();
        let mut new = None;
        let known = match self.recent.get(id, now) {
            Some(known) => {
                known.note_user(Some(&groups));
                let held_back = known.groups.remove(NOFAIL) | known.groups.remove(MLFGAINED);
                if reset {
                    known.pending = false;
                }
                if !held_back && !known.pending {
                    known.matches = 0;
                }
                known.groups.extend(&groups);
                known
            }
            None => {
                let known = new.insert(Box::new(Known { groups, ..Known::default() }));
                if !forgotten {
                    known.note_user(None);
                }
                known
            }
        };
        if std::mem::take(&mut known.pending) || known.users.len() > 1 {
            known.groups.remove(NOFAIL);
            known.groups.remove(MLFGAINED);
            nofail = false;
            reset = false;
        }
        if !nofail {
            known.matches += std::mem::take(&mut known.withheld);
            if !reset {
                known.matches += lines;
            }
        } else if !forgotten {
            known.withheld += lines;
        }
        let known = match (forgotten, new) {
            (true, Some(new)) => Cow::Owned(*new),
            (true, None) => Cow::Owned(self.recent.remove(id, now).map(|known| *known).unwrap_or_default()),
            (false, Some(new)) => {
                if self.numbers.are_old() {
                    self.numbers = Numbers::of(self.recent.ids());
                }
                self.numbers.note(id);
                Cow::Borrowed(&**self.recent.insert(id, new, now))
            }
            (false, None) => Cow::Borrowed(&**self.recent.get(id, now)?),
        };
        Some(Merge { known, forgotten, gained })
    }

    /// Whether something may be known of the connection of a line, whichever part of the line names it.
    pub(super) fn may_know(&self, line: &[u8]) -> bool {
        self.numbers.may_be_in(line)
    }

    /// Whether something is known of a connection.
    pub(super) fn knows(&mut self, id: &str, now: Timestamp) -> bool {
        self.recent.get(id.as_bytes(), now).is_some()
    }

    /// A failure of the connection waits for its address.
    pub(super) fn set_pending(&mut self, id: &str, now: Timestamp) {
        if let Some(known) = self.recent.get(id.as_bytes(), now) {
            known.pending = true;
        }
    }
}

/// The text for output, tuples as lists.
pub(super) fn shown(caught: Catch<'_>) -> crate::filter::Field {
    match caught {
        Catch::Text(text) => crate::filter::Field::Text(text.to_owned()),
        Catch::Tuple(parts) => {
            crate::filter::Field::List(parts.iter().map(|part| part.clone().unwrap_or_default()).collect())
        }
    }
}
