//! A compiled pattern: linear where it can be, backtracking under a limit where it must.
//!
//! A backtracking pattern is tried only where a linear guard cannot tell whether it matches, and gives up after a number of steps: a
//! line that drives it there does not match. So no line costs unbounded time. Most need it on few lines or none: see `eased`.

use std::fmt;
use std::ops::Range;
use std::sync::OnceLock;

use regex_syntax::hir::Hir;

use super::backtrack::Backtracker;
use super::eased::{Eased, Unknown};
use super::linear::{Linear, Spans};
use super::parse::{SyntaxError, parse};
use super::prefix;
use super::syntax::Node;
use super::translate::{Alphabet, Style, Target, is_regular, write};

/// A compiled pattern.
pub(in crate::filter::fail2ban) struct Pattern {
    /// As it was before translation, tags expanded.
    pub(in crate::filter::fail2ban) written: String,
    /// The names of the groups, by index.
    pub(in crate::filter::fail2ban) names: Vec<Option<String>>,
    node: Node,
    lines: bool,
    ascii: Engine,
    /// For lines with other characters; made when the first comes.
    unicode: OnceLock<Option<Engine>>,
}

enum Engine {
    Linear(Box<Linear>),
    /// Linear as well, and certain.
    Eased(Box<Eased>),
    Backtracking(Box<Backtracking>),
}

struct Backtracking {
    machine: Backtracker,
    guard: Guard,
}

/// What keeps most lines from the machine.
enum Guard {
    Eased(Eased),
    Superset(Linear),
}

/// Where a pattern and its groups matched, in bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::filter::fail2ban) struct Found {
    pub(super) spans: Spans,
    /// See [`Found::decided`].
    decided: Option<usize>,
}

impl Found {
    pub(in crate::filter::fail2ban) fn group(&self, index: usize) -> Option<Range<usize>> {
        self.spans.get(index)
    }

    pub(super) fn set(&mut self, index: usize, span: &Range<usize>) {
        self.spans.set(index, span);
        self.decided = None;
    }

    /// How many first bytes of the text decided it: texts that begin with these match alike, groups and all, whatever
    /// follows. None if it may depend on all of the text.
    pub(in crate::filter::fail2ban) fn decided(&self) -> Option<usize> {
        self.decided
    }

    /// The whole match.
    pub(in crate::filter::fail2ban) fn whole(&self) -> Range<usize> {
        self.group(0).unwrap_or_default()
    }
}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pattern").field("written", &self.written).finish()
    }
}

impl Pattern {
    /// Compiles Python's `text`. With `multiline`, `^` and `$` are those of each line; with `lines`, the searched text
    /// may hold several.
    pub(in crate::filter::fail2ban) fn compile(
        text: &str,
        multiline: bool,
        lines: bool,
    ) -> Result<Self, SyntaxError> {
        let parsed = parse(text, multiline)?;
        Self::of(text.to_owned(), parsed.node, parsed.names, lines)
    }

    /// Compiles a tree.
    pub(in crate::filter::fail2ban) fn of(
        written: String,
        node: Node,
        names: Vec<Option<String>>,
        lines: bool,
    ) -> Result<Self, SyntaxError> {
        let ascii = Engine::new(&node, Alphabet::Ascii, lines, names.len())?;
        Ok(Self { written, names, node, lines, ascii, unicode: OnceLock::new() })
    }

    /// Whether it needs the backtracking engine.
    pub(in crate::filter::fail2ban) fn backtracks(&self) -> bool {
        matches!(self.ascii, Engine::Backtracking(_))
    }

    #[cfg(test)]
    pub(super) fn is_eased(&self) -> bool {
        match &self.ascii {
            Engine::Eased(_) => true,
            Engine::Backtracking(engine) => matches!(engine.guard, Guard::Eased(_)),
            Engine::Linear(_) => false,
        }
    }

    #[cfg(test)]
    pub(super) fn find_by_backtracking(&self, text: &str) -> Option<Found> {
        let alphabet = if text.is_ascii() { Alphabet::Ascii } else { Alphabet::Unicode };
        let machine = Backtracker::new(&self.node, alphabet, self.lines, self.names.len()).unwrap();
        machine.find(text, 0, false).map(|spans| Found { spans, decided: None })
    }

    /// The leftmost match.
    pub(in crate::filter::fail2ban) fn find(&self, text: &str) -> Option<Found> {
        self.find_from(text, 0)
    }

    /// The leftmost match that starts at `start` or behind it.
    pub(in crate::filter::fail2ban) fn find_from(&self, text: &str, start: usize) -> Option<Found> {
        if text.is_ascii() {
            return self.ascii.find(text, start);
        }
        let made = || Engine::new(&self.node, Alphabet::Unicode, self.lines, self.names.len()).ok();
        self.unicode.get_or_init(made).as_ref().and_then(|engine| engine.find(text, start))
    }

    /// What it is without the group for the rest of the line, and that group's index.
    pub(super) fn head(&self) -> Option<(Node, usize)> {
        if self.lines { None } else { prefix::head(&self.node) }
    }

    /// Whether it matches at a text's start only, and needs no backtracking.
    pub(in crate::filter::fail2ban) fn is_of_start(&self) -> bool {
        match &self.ascii {
            Engine::Linear(linear) => linear.is_of_start(),
            Engine::Eased(eased) => eased.is_of_start(),
            Engine::Backtracking(_) => false,
        }
    }

    /// Whether each match has this group, and something in it.
    pub(in crate::filter::fail2ban) fn always_catches(&self, group: usize) -> bool {
        self.node.always_catches(group)
    }

    /// A linear pattern that matches wherever this one does.
    pub(super) fn superset_text(&self, alphabet: Alphabet) -> String {
        write(&self.node, Style { target: Target::Superset(false), alphabet, lines: self.lines })
    }

    /// The tree of the pattern, or of a superset where it is not regular. Groups keep their indices.
    pub(in crate::filter::fail2ban) fn tree(&self) -> Option<Hir> {
        let regular = is_regular(&self.node, self.lines);
        let target = if regular { Target::Linear } else { Target::Superset(false) };
        let style = Style { target, alphabet: Alphabet::Unicode, lines: self.lines };
        regex_syntax::ParserBuilder::new().utf8(false).build().parse(&write(&self.node, style)).ok()
    }

    /// A superset of the pattern, for the prefilter: of the line as it was before its date was cut out.
    pub(in crate::filter::fail2ban) fn superset(&self) -> Option<Hir> {
        let style = Style { target: Target::Superset(true), alphabet: Alphabet::Unicode, lines: self.lines };
        let mut parser = regex_syntax::ParserBuilder::new().utf8(false).build();
        parser.parse(&write(&self.node, style)).ok()
    }
}

impl Engine {
    fn new(node: &Node, alphabet: Alphabet, lines: bool, groups: usize) -> Result<Self, SyntaxError> {
        let text = |target| write(node, Style { target, alphabet, lines });
        if is_regular(node, lines) {
            return Linear::new(&text(Target::Linear), alphabet).map(|linear| Self::Linear(Box::new(linear)));
        }
        let guard = match Eased::of(node, alphabet, lines, groups) {
            Some(eased) if eased.is_certain() => return Ok(Self::Eased(Box::new(eased))),
            Some(eased) => Guard::Eased(eased),
            None => Guard::Superset(Linear::without_groups(&text(Target::Superset(false)), alphabet)?),
        };
        let machine = Backtracker::new(node, alphabet, lines, groups)?;
        Ok(Self::Backtracking(Box::new(Backtracking { machine, guard })))
    }

    fn find(&self, text: &str, start: usize) -> Option<Found> {
        let found = |(spans, decided): (Spans, Option<usize>)| Found { spans, decided };
        match self {
            Self::Linear(regex) => regex.spans(text, start).map(found),
            // What is certain always knows.
            Self::Eased(eased) => eased.find(text, start).ok()?.map(found),
            Self::Backtracking(engine) => match engine.guard.find(text, start) {
                Ok(known) => known.map(found),
                Err(Unknown) => engine.backtrack(text, start),
            },
        }
    }
}

impl Guard {
    fn find(&self, text: &str, start: usize) -> Result<Option<(Spans, Option<usize>)>, Unknown> {
        match self {
            Self::Eased(eased) => eased.find(text, start),
            Self::Superset(superset) if superset.is_match(text, start, false) => Err(Unknown),
            Self::Superset(_) => Ok(None),
        }
    }

    fn is_of_start(&self) -> bool {
        match self {
            Self::Eased(eased) => eased.is_of_start(),
            Self::Superset(superset) => superset.is_of_start(),
        }
    }
}

impl Backtracking {
    fn backtrack(&self, text: &str, start: usize) -> Option<Found> {
        let spans = self.machine.find(text, start, self.guard.is_of_start())?;
        Some(Found { spans, decided: None })
    }
}
