//! What a match caught, by name.
//!
//! Every matching line makes some, so names are numbers and all texts stand in one buffer.

use smallvec::SmallVec;

use super::regex::{Found, Pattern};
use super::tags;

/// The number of a name in its filter.
pub(super) type Name = u16;

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
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Caught {
    /// From where to where in the buffer.
    Text(u32, u32),
    /// Which of the tuples.
    Tuple(u32),
}

/// What groups caught; those that caught nothing are left out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Groups {
    buffer: String,
    /// Parts joined by `<F-TUPLE_...>` tags.
    tuples: Vec<Vec<Option<String>>>,
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
        self.0.get(usize::from(name)).map_or("", String::as_str)
    }

    fn number(&mut self, name: &str) -> Name {
        let place = self.0.iter().position(|known| known == name).unwrap_or_else(|| {
            self.0.push(name.to_owned());
            self.0.len() - 1
        });
        // A pattern with so many groups is too big to be compiled.
        Name::try_from(place).unwrap_or(Name::MAX)
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

    /// The group of this name, if no other group may add to what it catches.
    pub(super) fn plain(&self, name: Name) -> Option<usize> {
        let derived = self.alternates.iter().chain(&self.tuples).any(|(_, target)| *target == name);
        if derived { None } else { self.group(name) }
    }

    /// Whether it catches nothing under this name.
    pub(super) fn lacks(&self, name: Name) -> bool {
        !self.holds(name) && self.alternates.iter().chain(&self.tuples).all(|(_, target)| *target != name)
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
            if let Some(caught) = found.group(*index).and_then(|span| text.get(span)) {
                groups.add_text(*name, caught);
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
            let parts = match groups.get(*target) {
                Some(Catch::Tuple(parts)) => parts.iter().cloned().chain([part]).collect(),
                _ => vec![before, part],
            };
            groups.set_tuple(*target, parts);
        }
        groups
    }

    /// Adds what the prefix caught, but for the rest of the line, under names that the pattern of `layout` does not have.
    pub(super) fn complete(&mut self, layout: &Layout, (prefix, text, found): (&Layout, &str, &Found)) {
        if prefix.alternates.is_empty() && prefix.tuples.is_empty() {
            for (index, name) in &prefix.named {
                let caught = found.group(*index).and_then(|span| text.get(span));
                if let Some(caught) = caught.filter(|_| self.misses(*name, layout)) {
                    self.add_text(*name, caught);
                }
            }
            return;
        }
        let others = Self::of(prefix, text, found);
        for (name, catch) in others.iter() {
            if self.misses(name, layout) {
                self.set(name, catch);
            }
        }
    }

    fn misses(&self, name: Name, layout: &Layout) -> bool {
        name != CONTENT && !layout.holds(name) && self.get(name).is_none()
    }

    /// What is caught anew replaces what was.
    pub(super) fn extend(&mut self, newer: &Self) {
        for (name, catch) in newer.iter() {
            self.set(name, catch);
        }
        let live: usize = self.iter().map(|(_, catch)| catch.text().map_or(0, str::len)).sum();
        if self.buffer.len() > 2 * live + 256 || self.tuples.len() > 2 * self.caught.len() {
            let mut fresh = Self::default();
            for (name, catch) in self.iter() {
                fresh.set(name, catch);
            }
            *self = fresh;
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (Name, Catch<'_>)> {
        self.caught.iter().map(|(name, caught)| (*name, self.shown(*caught)))
    }

    pub(super) fn get(&self, name: Name) -> Option<Catch<'_>> {
        self.caught.iter().find(|(own, _)| *own == name).map(|(_, caught)| self.shown(*caught))
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
        let caught = self.caught.iter().find(|(own, _)| *own == from).map(|(_, caught)| *caught);
        self.take(to);
        self.caught.extend(caught.map(|caught| (to, caught)));
    }

    fn shown(&self, caught: Caught) -> Catch<'_> {
        match caught {
            Caught::Text(start, end) => {
                Catch::Text(self.buffer.get(start as usize..end as usize).unwrap_or_default())
            }
            Caught::Tuple(place) => {
                Catch::Tuple(self.tuples.get(place as usize).map(Vec::as_slice).unwrap_or_default())
            }
        }
    }

    fn take(&mut self, name: Name) {
        if let Some(place) = self.caught.iter().position(|(own, _)| *own == name) {
            self.caught.swap_remove(place);
        }
    }

    fn set(&mut self, name: Name, catch: Catch<'_>) {
        match catch {
            Catch::Text(text) => {
                self.take(name);
                self.add_text(name, text);
            }
            Catch::Tuple(parts) => self.set_tuple(name, parts.to_vec()),
        }
    }

    fn set_tuple(&mut self, name: Name, parts: Vec<Option<String>>) {
        self.take(name);
        self.caught.push((name, Caught::Tuple(number(self.tuples.len()))));
        self.tuples.push(parts);
    }

    fn add_text(&mut self, name: Name, text: &str) {
        let start = number(self.buffer.len());
        self.buffer.push_str(text);
        self.caught.push((name, Caught::Text(start, number(self.buffer.len()))));
    }
}

/// A place in texts that are bounded to far less.
fn number(place: usize) -> u32 {
    u32::try_from(place).unwrap_or(u32::MAX)
}

impl<'a> Catch<'a> {
    fn text(self) -> Option<&'a str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Tuple(_) => None,
        }
    }
}
