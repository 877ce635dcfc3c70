//! What is known of connections whose lines are tied together by `<F-MLFID>`.
//!
//! A line with `<F-NOFAIL>` is remembered and not counted; a later one of its connection may lend it an address or
//! a failure. `<F-MLFFORGET>` ends the connection, `<F-MLFGAINED>` forgives it, unless several users were tried.

use std::borrow::Cow;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use super::groups::{Catch, Groups, MLFFORGET, MLFGAINED, NOFAIL, USER};

/// How many connections are remembered.
const MOST: usize = 100;
/// How long one is remembered after its last line.
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
#[derive(Debug, Default)]
pub(super) struct Connections {
    known: HashMap<Arc<str>, (Known, Timestamp)>,
    /// The oldest first; may name some that are gone.
    order: VecDeque<(Arc<str>, Timestamp)>,
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
        if self.known.get(id).is_some_and(|(_, until)| *until <= now) {
            self.known.remove(id);
        }
        let mut new = Known::default();
        let before = self.known.get_mut(id).map(|(known, _)| known);
        let is_new = before.is_none();
        let known = match before {
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
                new.groups = groups;
                if !forgotten {
                    new.note_user(None);
                }
                &mut new
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
        let known = match (forgotten, is_new) {
            (true, true) => Cow::Owned(new),
            (true, false) => Cow::Owned(self.known.remove(id).unwrap_or_default().0),
            (false, true) => Cow::Borrowed(self.add(id, new, now)?),
            (false, false) => Cow::Borrowed(&self.known.get(id)?.0),
        };
        Some(Merge { known, forgotten, gained })
    }

    /// A failure of the connection waits for its address.
    pub(super) fn set_pending(&mut self, id: &str) {
        if let Some((known, _)) = self.known.get_mut(id) {
            known.pending = true;
        }
    }

    fn add(&mut self, id: &str, known: Known, now: Timestamp) -> Option<&Known> {
        if self.known.len() >= MOST {
            // Makes room, and drops what is over up to the oldest that is not.
            while let Some((oldest, until)) = self.order.pop_front() {
                if self.known.get(&oldest).is_some_and(|(_, own)| *own == until) {
                    self.known.remove(&oldest);
                    if until > now {
                        break;
                    }
                }
            }
        }
        let until = now.saturating_add(LONGEST).unwrap_or(Timestamp::MAX);
        let id: Arc<str> = Arc::from(id);
        self.known.insert(Arc::clone(&id), (known, until));
        // Connections that end leave their names here.
        if self.order.len() >= 2 * MOST {
            let known = &self.known;
            self.order.retain(|(id, until)| known.get(id).is_some_and(|(_, own)| own == until));
        }
        self.order.push_back((Arc::clone(&id), until));
        self.known.get(&id).map(|(known, _)| known)
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
