//! What a match caught, by name.
//!
//! Every matching line makes some, so names are numbers and all texts stand in one buffer.

use smallvec::SmallVec;

use super::regex::{Found, Pattern};
use super::tags;

/// The number of a name in its filter.
pub(super) type Name = usize;

pub(super) const MLFID: Name = 0;
pub(super) const CONTENT: Name = 1;
pub(super) const NOFAIL: Name = 2;
pub(super) const MLFFORGET: Name = 3;
pub(super) const MLFGAINED: Name = 4;
pub(super) const USER: Name = 5;
pub(super) const FID: Name = 6;
pub(super) const IP4: Name = 7;
pub(super) const IP6: Name = 8;
pub(super) const DNS: Name = 9;
pub(super) const CIDR: Name = 10;

/// Names that have a meaning, by their numbers above.
const MEANINGFUL: [&str; 11] =
    ["mlfid", "content", "nofail", "mlfforget", "mlfgained", "user", "fid", "ip4", "ip6", "dns", "cidr"];

/// The names of a filter's groups.
#[derive(Debug)]
pub(super) struct Names(Vec<String>);

/// The named groups of a pattern.
#[derive(Debug, Default)]
pub(super) struct Layout {
    /// Which group has which name.
    named: Vec<(usize, Name)>,
    /// Names that stand in for others, and those.
    alternates: Vec<(Name, Name)>,
    /// Names that are joined to others, and those.
    tuples: Vec<(Name, Name)>,
}

/// What a named group caught.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Caught {
    /// From where to where in the buffer.
    Text(usize, usize),
    /// Parts joined by `<F-TUPLE_...>` tags.
    Tuple(Vec<Option<String>>),
}

/// What groups caught; those that caught nothing are left out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Groups {
    buffer: String,
    caught: SmallVec<[(Name, Caught); 8]>,
}

/// A group's catch, to be looked at.
#[derive(Debug, Clone, Copy)]
pub(super) enum Catch<'a> {
    Text(&'a str),
    Tuple(&'a [Option<String>]),
}

impl Names {
    pub(super) fn new() -> Self {
        Self(MEANINGFUL.map(str::to_owned).to_vec())
    }

    pub(super) fn of(&self, name: Name) -> &str {
        self.0.get(name).map_or("", String::as_str)
    }

    fn number(&mut self, name: &str) -> Name {
        self.0.iter().position(|known| known == name).unwrap_or_else(|| {
            self.0.push(name.to_owned());
            self.0.len() - 1
        })
    }

    /// The layout of a pattern's groups; its names get numbers.
    pub(super) fn layout(&mut self, pattern: &Pattern) -> Layout {
        let mut layout = Layout::default();
        let mut sorted: Vec<&str> = Vec::new();
        for (index, name) in pattern.names.iter().enumerate() {
            if let Some(name) = name {
                layout.named.push((index, self.number(name)));
                sorted.push(name);
            }
        }
        sorted.sort_unstable();
        for name in sorted {
            let number = self.number(name);
            if let Some(rest) = name.strip_prefix("alt_") {
                layout.alternates.push((number, self.number(&target(rest))));
            }
            if let Some(rest) = name.strip_prefix("tuple_") {
                layout.tuples.push((number, self.number(&target(rest))));
            }
        }
        layout
    }
}

/// `user_1`, the rest of `alt_user_1`, is for `user`.
fn target(rest: &str) -> String {
    let name = match rest.rsplit_once('_') {
        Some((name, number)) if !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => rest,
    };
    tags::option(name)
}

impl Layout {
    /// The group of this name.
    pub(super) fn group(&self, name: Name) -> Option<usize> {
        self.named.iter().find(|(_, own)| *own == name).map(|(group, _)| *group)
    }

    fn holds(&self, name: Name) -> bool {
        self.named.iter().any(|(_, own)| *own == name)
    }
}

impl Groups {
    /// The groups of a match, with alternates merged and tuples joined.
    pub(super) fn of(layout: &Layout, text: &str, found: &Found) -> Self {
        let mut groups = Self { buffer: String::with_capacity(text.len()), ..Self::default() };
        for (index, name) in &layout.named {
            match found.group(*index).and_then(|span| text.get(span)) {
                Some(caught) => groups.set_text(*name, caught),
                None => drop(groups.take(*name)),
            }
        }
        for (name, target) in &layout.alternates {
            if groups.has(*name) && !groups.has(*target) {
                groups.copy(*name, *target);
            }
        }
        for (name, target) in &layout.tuples {
            let part = groups.text(*name).map(str::to_owned);
            let before = groups.text(*target).map(str::to_owned);
            let parts = match groups.take(*target) {
                Some(Caught::Tuple(mut parts)) => {
                    parts.push(part);
                    parts
                }
                _ => vec![before, part],
            };
            groups.caught.push((*target, Caught::Tuple(parts)));
        }
        groups
    }

    /// Adds what `others` caught under names that the pattern of `layout` does not have.
    pub(super) fn complete(&mut self, others: &Self, layout: &Layout) {
        for (name, catch) in others.iter() {
            if !layout.holds(name) && self.get(name).is_none() {
                self.set(name, catch);
            }
        }
    }

    /// What is caught anew replaces what was.
    pub(super) fn extend(&mut self, newer: &Self) {
        for (name, catch) in newer.iter() {
            self.set(name, catch);
        }
        let live: usize = self.iter().map(|(_, catch)| catch.text().map_or(0, str::len)).sum();
        if self.buffer.len() > 2 * live + 256 {
            let mut fresh = Self::default();
            for (name, catch) in self.iter() {
                fresh.set(name, catch);
            }
            *self = fresh;
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (Name, Catch<'_>)> {
        self.caught.iter().map(|(name, caught)| (*name, self.shown(caught)))
    }

    pub(super) fn get(&self, name: Name) -> Option<Catch<'_>> {
        self.caught.iter().find(|(own, _)| *own == name).map(|(_, caught)| self.shown(caught))
    }

    /// The text; a tuple has none.
    pub(super) fn text(&self, name: Name) -> Option<&str> {
        match self.get(name)? {
            Catch::Text(text) => Some(text),
            Catch::Tuple(_) => None,
        }
    }

    /// Whether something was caught, and not just nothing.
    pub(super) fn has(&self, name: Name) -> bool {
        match self.get(name) {
            None => false,
            Some(Catch::Text(text)) => !text.is_empty(),
            Some(Catch::Tuple(_)) => true,
        }
    }

    /// Takes it away; whether something was caught.
    pub(super) fn remove(&mut self, name: Name) -> bool {
        let had = self.has(name);
        self.take(name);
        had
    }

    /// Puts what `from` caught under `to`, too.
    pub(super) fn copy(&mut self, from: Name, to: Name) {
        let caught = self.caught.iter().find(|(own, _)| *own == from).map(|(_, caught)| caught.clone());
        self.take(to);
        self.caught.extend(caught.map(|caught| (to, caught)));
    }

    fn shown<'a>(&'a self, caught: &'a Caught) -> Catch<'a> {
        match caught {
            Caught::Text(start, end) => Catch::Text(self.buffer.get(*start..*end).unwrap_or_default()),
            Caught::Tuple(parts) => Catch::Tuple(parts),
        }
    }

    fn take(&mut self, name: Name) -> Option<Caught> {
        let place = self.caught.iter().position(|(own, _)| *own == name)?;
        Some(self.caught.swap_remove(place).1)
    }

    fn set(&mut self, name: Name, catch: Catch<'_>) {
        match catch {
            Catch::Text(text) => self.set_text(name, text),
            Catch::Tuple(parts) => {
                self.take(name);
                self.caught.push((name, Caught::Tuple(parts.to_vec())));
            }
        }
    }

    fn set_text(&mut self, name: Name, text: &str) {
        self.take(name);
        let start = self.buffer.len();
        self.buffer.push_str(text);
        self.caught.push((name, Caught::Text(start, self.buffer.len())));
    }
}

impl<'a> Catch<'a> {
    fn text(self) -> Option<&'a str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Tuple(_) => None,
        }
    }
}
