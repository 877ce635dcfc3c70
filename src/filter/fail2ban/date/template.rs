//! One way to write a date: where it stands in a line, and how it is read.

use jiff::Timestamp;
use smallvec::SmallVec;

use super::fields;
use super::minute::Minute;
use super::moment::{self, Field};
use crate::filter::Clock;
use crate::filter::fail2ban::regex::{Found, Group, Node, Pattern, SyntaxError, parse};

/// A compiled template.
#[derive(Debug)]
pub(super) struct Template {
    /// As `datepattern` or the defaults have it.
    pub(super) written: String,
    pub(super) pattern: Pattern,
    kind: Kind,
    /// It stands at the line's start or end only.
    pub(super) anchored: bool,
    /// It stands at the line's start only.
    pub(super) at_start: bool,
    /// It may touch other words.
    pub(super) unbound: bool,
    /// Templates of a start are preferred to others.
    pub(super) weight: f64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Fields,
    /// Seconds since 1970, in the group of this index; with `true` also milli- and microseconds.
    Epoch(usize, bool),
    Tai,
}

/// Where a date stands, and the template that found it there.
#[derive(Debug, Clone)]
pub(super) struct Place {
    found: Found,
    kind: Kind,
}

impl Place {
    /// Where the match begins and ends.
    pub(super) fn ends(&self) -> (usize, usize) {
        let whole = match self.kind {
            Kind::Fields => self.found.whole(),
            _ => self.date(),
        };
        (whole.start, whole.end)
    }

    /// What is cut out of the line.
    pub(super) fn date(&self) -> std::ops::Range<usize> {
        self.found.group(1).unwrap_or_default()
    }
}

const EPOCH: &str = r"\d{10,11}\b(?:\.\d{3,6})?";
const LONG_EPOCH: &str = r"\d{10,11}(?:\d{3}(?:\.\d{1,6}|\d{3})?)?";
const AT_START: &str = "{^LN-BEG}";
const UNBOUND: &str = "{UNB}";

impl Template {
    /// Compiles a pattern as `datepattern` or the defaults have it; see [`fields::expand`].
    pub(super) fn compile(pattern: &str, latest: i16) -> Result<Self, SyntaxError> {
        let template = Self::compiled(pattern, latest)?;
        Ok(Self { written: pattern.to_owned(), ..template })
    }

    fn compiled(pattern: &str, latest: i16) -> Result<Self, SyntaxError> {
        let key = if pattern.contains('%') { pattern.to_owned() } else { pattern.to_uppercase() };
        let start = key.starts_with(AT_START) || key.starts_with('^');
        match key.trim_start_matches(AT_START).trim_start_matches('^') {
            "EPOCH" => return Self::epoch(start, EPOCH, false),
            "LEPOCH" => return Self::epoch(start, LONG_EPOCH, true),
            "TAI64N" => {
                let text = if start { r"^(?:\W{0,2})?(@[0-9a-f]{24})" } else { "(@[0-9a-f]{24})" };
                return Self::of(text, Kind::Tai, start, (false, true));
            }
            "{NONE}" => return Self::of("^()", Kind::Fields, true, (false, false)),
            _ => {}
        }
        if let Some((at, length, long)) = seconds(&key) {
            let (before, after) = (pattern.get(..at).unwrap_or_default(), pattern.get(at + length..));
            let epoch = if long { LONG_EPOCH } else { EPOCH };
            let text = format!("({before}({epoch}){})", after.unwrap_or_default());
            return Self::written(&text, Kind::Epoch(2, long), latest);
        }
        Self::written(pattern, Kind::Fields, latest)
    }

    fn epoch(start: bool, digits: &str, long: bool) -> Result<Self, SyntaxError> {
        let text = match start {
            true => format!(r"^(?:\W{{0,2}})?({digits})"),
            false => format!(r"(?:^|^\[|\baudit\()({digits})"),
        };
        Self::of(&text, Kind::Epoch(1, long), start, (false, true))
    }

    /// A pattern with %-codes: what bounds it, and what of it is cut out, is added.
    fn written(pattern: &str, kind: Kind, latest: i16) -> Result<Self, SyntaxError> {
        let (pattern, bound) = match pattern.strip_prefix(UNBOUND) {
            Some(rest) => (rest, false),
            None => (pattern, true),
        };
        let (pattern, start) = match pattern.strip_prefix(AT_START) {
            Some(rest) => (rest, bound),
            None => (pattern, false),
        };
        let (text, named) = match kind {
            Kind::Fields => fields::expand(pattern, latest),
            _ => (pattern.to_owned(), false),
        };
        let (flags, text) = split_flags(text.trim());
        let (first, mut text) = (begins(text), text.to_owned());
        let (bound_begin, bound_end) = (bound && !first.bounds, bound && !ends_bound(&text));
        text = text.replace("**", "");
        if !has_group(&text) {
            let caret = if text.starts_with('^') { "^" } else { "" };
            let dollar = if text.len() > caret.len() && text.ends_with('$') { "$" } else { "" };
            let inner = text.get(caret.len()..text.len() - dollar.len()).unwrap_or_default();
            text = format!("{caret}({inner}){dollar}");
        }
        let at_start = if bound_begin { start } else { first.of_line };
        if bound_begin && start {
            text = format!(r"^(?:\W{{0,2}})?{text}");
        }
        let at_end = !bound_end && (text.ends_with('$') || text.ends_with("$)")) && !text.ends_with(r"\$");
        let text = format!("{}{flags}{text}", if named { "(?i)" } else { "" });
        let mut made = Self::of(&text, kind, at_start, (bound_begin && !start, bound_end))?;
        made.anchored |= at_end;
        made.unbound = (!bound_begin || !bound_end) && !made.anchored;
        Ok(made)
    }

    /// `edges`: whether the date begins and ends where no word goes on.
    fn of(text: &str, kind: Kind, at_start: bool, edges: (bool, bool)) -> Result<Self, SyntaxError> {
        let mut parsed = parse(text, false)?;
        let edge = |wanted| if wanted { Node::Edge } else { Node::Empty };
        parsed.node = Node::Concat(vec![edge(edges.0), parsed.node, edge(edges.1)]);
        let pattern = Pattern::of(text.to_owned(), parsed.node, parsed.names, false)?;
        let written = text.to_owned();
        Ok(Self { written, pattern, kind, anchored: at_start, at_start, unbound: false, weight: 1.0 })
    }

    /// How many first bytes of the line decided what [`Template::find`] found in all of it; none if that is not known.
    pub(super) fn decided(&self, place: &Place) -> Option<usize> {
        if self.at_start && self.pattern.is_of_start() { place.found.decided() } else { None }
    }

    /// Where the template first fits in `line` between `start` and `end`.
    pub(super) fn find(&self, line: &str, start: usize, end: usize) -> Option<Place> {
        let found = self.pattern.find_from(line.get(..end).unwrap_or(line), start)?;
        Some(Place { found, kind: self.kind })
    }

    /// The moment; none for a date that cannot be.
    pub(super) fn moment(
        &self,
        line: &str,
        place: &Place,
        clock: &Clock,
        minute: &mut Minute,
    ) -> Option<Timestamp> {
        let text = |group| place.found.group(group).and_then(|span| line.get(span));
        match self.kind {
            Kind::Epoch(group, long) => moment::of_epoch(text(group)?, long),
            Kind::Tai => moment::of_tai(text(1)?),
            Kind::Fields => {
                let names = self.pattern.names.iter().enumerate();
                let fields: SmallVec<[Field<'_>; 8]> =
                    names.filter_map(|(group, name)| Some((name.as_deref()?, text(group)?))).collect();
                minute.read(&fields, clock)
            }
        }
    }
}

/// `{EPOCH}` or `{LEPOCH}` in a pattern: where, how long, and which.
fn seconds(key: &str) -> Option<(usize, usize, bool)> {
    let upper = key.to_ascii_uppercase();
    let of = |tag: &str, long| upper.find(tag).map(|at| (at, tag.len(), long));
    of("{EPOCH}", false).or_else(|| of("{LEPOCH}", true))
}

/// Flags at the front of a pattern, and the rest.
fn split_flags(text: &str) -> (&str, &str) {
    let Some(end) = text.strip_prefix("(?").and_then(|rest| rest.find(')')) else { return ("", text) };
    let flags = text.get(2..end + 2).unwrap_or_default();
    if !flags.is_empty() && flags.bytes().all(|b| b.is_ascii_lowercase()) {
        text.split_at(end + 3)
    } else {
        ("", text)
    }
}

/// How a pattern begins.
struct Beginning {
    /// It says itself where it begins.
    bounds: bool,
    /// It begins where the line does.
    of_line: bool,
}

fn begins(text: &str) -> Beginning {
    let inner = text.trim_start_matches('(').trim_start_matches("?:");
    let of_line = text.starts_with('^') || (inner.starts_with('^') && !inner.starts_with("^|"));
    Beginning { bounds: inner.starts_with('^') || inner.starts_with("**"), of_line }
}

/// Whether a pattern says itself where it ends.
fn ends_bound(text: &str) -> bool {
    if text.trim_end_matches(')').ends_with("**") {
        return true;
    }
    [r"\b", r"\s", "$", "$)"]
        .iter()
        .any(|end| text.strip_suffix(end).is_some_and(|before| !before.ends_with('\\')))
}

/// Whether it has a group without name.
fn has_group(text: &str) -> bool {
    let mut found = false;
    if let Ok(parsed) = parse(text, false) {
        parsed.node.walk(&mut |node| {
            if let Node::Group(group) = node {
                let Group { name, .. } = &**group;
                found |= name.is_none();
            }
        });
    }
    found
}

/// The pattern without what bounds it, to be put into another one.
pub(super) fn unbound(pattern: &str) -> &str {
    let pattern = pattern.strip_prefix(UNBOUND).unwrap_or(pattern);
    pattern.strip_prefix(AT_START).unwrap_or(pattern)
}
