//! Why a line matches or does not: what a pattern caught where, or which pattern came nearest and where it stopped.
//!
//! [`Explainer`] is for people who write filters (`banctl test`). It says nothing that a verdict depends on, keeps no
//! connections and is slower than [`super::Scanner`].

mod dialect;
mod own;
mod walk;

use std::ops::Range;

use regex_syntax::hir::Hir;
use serde::Serialize;

use super::matcher::{Filter, Kind};
use super::{Clock, LONGEST_LINE};
use walk::Walk;

/// A line that has less fixed text in common with a pattern shares nothing with it, in bytes.
const LEAST_SHARED: usize = 3;

/// What a filter makes of one line, and why. Places are bytes of `text`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Explanation {
    /// The line without its end; bytes that are no UTF-8 are replaced. The attacker's: escape it before a terminal.
    pub text: String,
    /// Where its date stands.
    pub date: Option<Range<usize>>,
    /// What became of it.
    #[serde(flatten)]
    pub outcome: Outcome,
}

/// What became of a line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum Outcome {
    /// A pattern matches it; one of `[connection]` leads to nothing by itself.
    Matched {
        /// Which, from 0: the first.
        pattern: usize,
        /// What it caught, in the order of the pattern.
        captures: Vec<Capture>,
    },
    /// An ignoreregex matches it.
    Ignored {
        /// Which, from 0.
        exception: usize,
        /// As it was written.
        regex: String,
    },
    /// It is of a program whose lines do not count.
    OtherProgram {
        /// Whose it is.
        program: String,
        /// Whose lines count.
        programs: Vec<String>,
    },
    /// It is too long to match anything.
    TooLong,
    /// The prefregex, which every line must match first, does not.
    NoPrefix {
        /// Where it stopped; none if that cannot be told.
        stop: Option<Stop>,
    },
    /// Nothing matches.
    Missed {
        /// The pattern that came nearest, and where it stopped; none if no pattern has anything in common with it.
        nearest: Option<Nearest>,
        /// All patterns were compared with it; not so for a line that would take too many steps.
        complete: bool,
    },
}

/// What a named group caught.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Capture {
    /// `host`, `user`, ...
    pub name: String,
    /// Where.
    pub span: Range<usize>,
}

/// The pattern that came nearest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Nearest {
    /// Which pattern, from 0.
    pub pattern: usize,
    /// Where it stopped.
    #[serde(flatten)]
    pub stop: Stop,
}

/// Where a pattern could not go on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Stop {
    /// The byte of the text; its length where the text was over.
    pub at: usize,
    /// What should have stood there.
    pub wanted: Wanted,
}

/// What a pattern wanted next.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", content = "text", rename_all = "snake_case")]
pub enum Wanted {
    /// This text.
    Text(String),
    /// A character of this class.
    Class(String),
    /// Any character.
    Any,
    /// One of these.
    OneOf(String),
    /// An address, in the host's place.
    Host,
    /// A date.
    Date,
    /// The start of the text.
    Start,
    /// Its end.
    End,
    /// The beginning or the end of a word.
    Boundary,
    /// What its look-around or back-reference asks for.
    Around,
    /// This condition on a field.
    Condition(String),
}

impl Wanted {
    /// What a named group stands for as a whole.
    fn group(name: &str) -> Option<Self> {
        match name {
            "host" | "ip4" | "ip6" | "dns" => Some(Self::Host),
            "date" => Some(Self::Date),
            _ => None,
        }
    }
}

/// Explains the lines of one source.
pub struct Explainer<'f>(Tongue<'f>);

enum Tongue<'f> {
    Own(own::Explainer<'f>),
    Dialect(Box<dialect::Explainer<'f>>),
}

/// A line, prepared for one pattern after the other: head, date and prefix are taken off.
#[derive(Debug)]
pub struct Prepared(Texts);

#[derive(Debug)]
enum Texts {
    Own {
        whole: Option<Vec<u8>>,
        message: Option<Vec<u8>>,
    },
    /// Nothing, where the prefregex does not match.
    Dialect(Option<String>),
}

impl Filter {
    /// Explains what becomes of lines.
    #[must_use]
    pub fn explainer(&self) -> Explainer<'_> {
        Explainer(match self.kind() {
            Kind::Own(own) => Tongue::Own(own::Explainer::new(own)),
            Kind::Dialect(dialect) => Tongue::Dialect(Box::new(dialect::Explainer::new(dialect.rules()))),
        })
    }
}

impl Explainer<'_> {
    /// Explains one line, with or without its `\n`, as if it stood alone.
    pub fn explain(&mut self, line: &[u8], clock: &Clock) -> Explanation {
        if line.strip_suffix(b"\n").unwrap_or(line).len() >= LONGEST_LINE {
            let text = String::from_utf8_lossy(super::prefix::trim_end(line)).into_owned();
            return Explanation { text, date: None, outcome: Outcome::TooLong };
        }
        match &mut self.0 {
            Tongue::Own(own) => own.explain(line),
            Tongue::Dialect(dialect) => dialect.explain(line, clock),
        }
    }

    /// Prepares a line for [`Self::tries`].
    pub fn prepare(&mut self, line: &[u8], clock: &Clock) -> Prepared {
        Prepared(match &mut self.0 {
            Tongue::Own(own) => own.prepare(line),
            Tongue::Dialect(dialect) => Texts::Dialect(dialect.prepare(line, clock)),
        })
    }

    /// Whether the pattern, by itself, matches: what it costs is measured with this.
    #[must_use]
    pub fn tries(&self, pattern: usize, line: &Prepared) -> bool {
        match (&self.0, &line.0) {
            (Tongue::Own(own), Texts::Own { whole, message }) => {
                own.tries(pattern, own::seen(whole.as_deref(), message.as_deref()))
            }
            (Tongue::Dialect(dialect), Texts::Dialect(Some(text))) => dialect.tries(pattern, text),
            _ => false,
        }
    }
}

/// Of several patterns on one text, the one that came nearest.
#[derive(Default)]
struct Ranking {
    best: Option<((usize, usize), Nearest)>,
    gave_up: bool,
}

impl Ranking {
    /// Walks one more pattern. `base` is where the walked text begins in the line; what a pattern lacks that
    /// matches all the same (an address, a look-around), `lacks` says.
    fn walk<'t>(
        &mut self,
        walk: &mut Walk<'t>,
        pattern: (usize, &Hir, &'t [Option<String>]),
        base: &dyn Fn(usize) -> usize,
        lacks: impl FnOnce(&walk::Way) -> Stop,
    ) {
        let (pattern, hir, names) = pattern;
        let way = walk.whole(hir, names);
        if walk.gave_up() {
            self.gave_up = true;
            return;
        }
        let (rank, stop) = match &way.stop {
            _ if !way.places.is_empty() => ((usize::MAX, 0), lacks(&way)),
            Some(stop) if way.shared >= LEAST_SHARED => {
                ((way.shared, stop.at), Stop { at: base(stop.at), wanted: stop.wanted.clone() })
            }
            _ => return,
        };
        self.add(rank, Nearest { pattern, stop });
    }

    fn add(&mut self, rank: (usize, usize), nearest: Nearest) {
        if self.best.as_ref().is_none_or(|(best, _)| rank > *best) {
            self.best = Some((rank, nearest));
        }
    }

    fn outcome(self) -> Outcome {
        Outcome::Missed { nearest: self.best.map(|(_, nearest)| nearest), complete: !self.gave_up }
    }
}

#[cfg(test)]
mod tests;
