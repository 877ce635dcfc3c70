//! What is known of connections whose lines are tied together by `<F-MLFID>`.
//!
//! A line with `<F-NOFAIL>` is remembered and not counted; a later one of its connection may lend it an address or
//! a failure. `<F-MLFFORGET>` ends the connection, `<F-MLFGAINED>` forgives it, unless several users were tried.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use jiff::Timestamp;

use super::groups::{Caught, Groups, is_filled};

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
    /// All users that were tried; none if no line names one.
    pub(super) users: Option<BTreeSet<String>>,
    /// Lines that count.
    pub(super) matches: u32,
    /// Lines that count once another one fails.
    pub(super) withheld: u32,
    /// A failure waits for its address.
    pub(super) pending: bool,
}

impl Known {
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.groups.get(name)?.as_ref()?.text()
    }

    pub(super) fn has(&self, name: &str) -> bool {
        is_filled(self.groups.get(name).and_then(Option::as_ref))
    }

    fn take(&mut self, name: &str) -> bool {
        is_filled(self.groups.remove(name).flatten().as_ref())
    }

    fn note_user(&mut self, user: Option<&str>) {
        if let Some(user) = user.filter(|user| !user.is_empty()) {
            let users = self.users.get_or_insert_default();
            if users.len() < MOST_USERS {
                users.insert(user.to_owned());
            }
        }
    }
}

/// A line merged with what was known.
#[derive(Debug)]
pub(super) struct Merge {
    pub(super) known: Known,
    /// The line ended its connection.
    pub(super) forgotten: bool,
    /// It forgave it.
    pub(super) gained: bool,
}

/// The connections of one source.
#[derive(Debug, Default)]
pub(super) struct Connections {
    known: BTreeMap<String, (Known, Timestamp)>,
    /// The oldest first; may name some that are gone.
    order: VecDeque<(String, Timestamp)>,
}

impl Connections {
    /// Merges a line of connection `id` that caught `groups` and takes `lines` lines.
    pub(super) fn merge(&mut self, id: &str, groups: Groups, lines: u32, now: Timestamp) -> Merge {
        let mut line = Known { groups, ..Known::default() };
        let gained = line.has("mlfgained");
        let mut reset = gained;
        let mut nofail = gained;
        if gained && !line.has("nofail") {
            let forgiven = line.groups.get("mlfgained").cloned().flatten();
            line.groups.insert("nofail".to_owned(), forgiven);
        } else if line.has("nofail") {
            nofail = true;
        }
        let forgotten = line.take("mlfforget");
        let before = self.get(id, now);
        let mut known = match before {
            Some(mut known) => {
                known.note_user(line.text("user"));
                let held_back = known.take("nofail") | known.take("mlfgained");
                if reset {
                    known.pending = false;
                }
                if !held_back && !known.pending {
                    known.matches = 0;
                }
                known.groups.extend(line.groups.into_iter().filter(|(_, caught)| caught.is_some()));
                known
            }
            None if forgotten => line,
            None => {
                let user = line.text("user").map(str::to_owned);
                line.note_user(user.as_deref());
                line
            }
        };
        let several = known.users.as_ref().is_some_and(|users| users.len() > 1);
        if std::mem::take(&mut known.pending) || several {
            known.groups.remove("nofail");
            known.groups.remove("mlfgained");
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
        if forgotten {
            self.known.remove(id);
        } else {
            self.set(id, known.clone(), now);
        }
        Merge { known, forgotten, gained }
    }

    /// A failure of the connection waits for its address.
    pub(super) fn set_pending(&mut self, id: &str) {
        if let Some((known, _)) = self.known.get_mut(id) {
            known.pending = true;
        }
    }

    fn get(&mut self, id: &str, now: Timestamp) -> Option<Known> {
        let (known, until) = self.known.get(id)?;
        if *until > now {
            return Some(known.clone());
        }
        self.known.remove(id);
        None
    }

    fn set(&mut self, id: &str, known: Known, now: Timestamp) {
        if let Some((place, _)) = self.known.get_mut(id) {
            *place = known;
            return;
        }
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
        self.known.insert(id.to_owned(), (known, until));
        // Connections that end leave their names here.
        if self.order.len() >= 2 * MOST {
            let known = &self.known;
            self.order.retain(|(id, until)| known.get(id).is_some_and(|(_, own)| own == until));
        }
        self.order.push_back((id.to_owned(), until));
    }
}

/// The text for output, tuples as lists.
pub(super) fn shown(caught: &Caught) -> crate::filter::Field {
    match caught {
        Caught::Text(text) => crate::filter::Field::Text(text.clone()),
        Caught::Tuple(parts) => {
            crate::filter::Field::List(parts.iter().map(|part| part.clone().unwrap_or_default()).collect())
        }
    }
}
