//! Look-aheads, conditions and back-references without backtracking.
//!
//! A pattern is eased in two steps. First it is resolved (see `resolve`). Then each look-ahead becomes a mark, an empty group, or a group around the loop that it
//! guards. The ways through the original are those through the eased pattern on which every look-ahead holds, in the
//! same order. So if look-aheads hold on the first way that the eased pattern finds, it is the first of the original,
//! too; if it finds none, the original has none. Otherwise nothing is known, and the original must be tried.

use std::ops::Range;

use memchr::memmem::Finder;

use super::linear::{Linear, Slots, Spans};
use super::resolve::resolved;
use super::syntax::{Group, Look, Node};
use super::translate::{Alphabet, Style, Target, is_regular, write};

/// A pattern without its look-aheads, and what they ask.
pub(super) struct Eased {
    regex: Linear,
    /// Groups of `regex`, and those of the original that they are; marks are none.
    origins: Vec<(usize, usize)>,
    checks: Vec<Check>,
    groups: usize,
}

/// What a look-ahead asks where the group of a mark stands.
struct Check {
    group: usize,
    /// The group is around a loop that a negated look-ahead guards; else it is empty.
    of_loop: bool,
    negated: bool,
    inner: Inner,
}

/// What a look-ahead looks for.
enum Inner {
    /// These bytes.
    Literal(Box<Finder<'static>>),
    Linear(Linear),
}

/// A look-ahead that a mark replaces, and whether it guards a loop.
type Marked = (Look, bool);

/// The eased pattern says nothing of a text.
pub(super) struct Unknown;

impl Eased {
    /// None where it cannot be done. `groups` is the number of groups of the pattern, the whole included; `lines`: the
    /// searched text may hold several.
    pub(super) fn of(node: &Node, alphabet: Alphabet, lines: bool, groups: usize) -> Option<Self> {
        let mut marks = Vec::new();
        let eased = marked(&resolved(node)?, groups, false, &mut marks)?;
        if !is_regular(&eased, lines) || (lines && !marks.is_empty()) {
            return None;
        }
        let mut origins = vec![(0, 0)];
        let mut places = vec![None; marks.len()];
        let mut count = 0;
        eased.walk(&mut |node| {
            if let Node::Group(group) = node {
                count += 1;
                match group.index.checked_sub(groups) {
                    Some(mark) => places.iter_mut().skip(mark).take(1).for_each(|place| *place = Some(count)),
                    None => origins.push((count, group.index)),
                }
            }
        });
        let style = Style { target: Target::Linear, alphabet, lines };
        let regex = Linear::new(&write(&eased, style), alphabet).ok()?;
        let check = |((look, of_loop), place): (Marked, Option<usize>)| {
            let inner = Inner::of(&look.inner, style, alphabet)?;
            Some(Check { group: place?, of_loop, negated: look.negated, inner })
        };
        let checks = marks.into_iter().zip(places).map(check).collect::<Option<Vec<_>>>()?;
        Some(Self { regex, origins, checks, groups })
    }

    /// Whether it says of each text what the original says.
    pub(super) fn is_certain(&self) -> bool {
        self.checks.is_empty()
    }

    /// Whether it matches at a text's start only.
    pub(super) fn is_of_start(&self) -> bool {
        self.regex.is_of_start()
    }

    /// As [`Linear::spans`], if it can tell.
    pub(super) fn find(&self, text: &str, start: usize) -> Result<Option<(Spans, Option<usize>)>, Unknown> {
        let mut slots = Slots::default();
        let Some(traced) = self.regex.slots(text, start, &mut slots) else { return Ok(None) };
        for check in &self.checks {
            let Some(place) = slots.get(check.group) else { continue };
            if !check.holds(text, &place) {
                return Err(Unknown);
            }
        }
        let mut spans = Spans::unset(self.groups);
        for (group, origin) in &self.origins {
            if let Some(span) = slots.get(*group) {
                spans.set(*origin, &span);
            }
        }
        let decided = traced.decided.filter(|_| self.is_certain());
        Ok(Some((spans, decided)))
    }
}

impl Check {
    /// Whether the look-ahead holds at the mark; for a loop, before each of its rounds.
    fn holds(&self, text: &str, place: &Range<usize>) -> bool {
        if self.of_loop {
            place.is_empty() || !self.inner.begins_within(text, place)
        } else {
            self.inner.is_at(text, place.start) != self.negated
        }
    }
}

impl Inner {
    fn of(node: &Node, style: Style, alphabet: Alphabet) -> Option<Self> {
        Some(match literal(node) {
            Some(text) => Self::Literal(Box::new(Finder::new(text.as_bytes()).into_owned())),
            None => Self::Linear(Linear::without_groups(&write(node, style), alphabet).ok()?),
        })
    }

    fn is_at(&self, text: &str, at: usize) -> bool {
        match self {
            Self::Literal(finder) => {
                text.as_bytes().get(at..).is_some_and(|rest| rest.starts_with(finder.needle()))
            }
            Self::Linear(linear) => linear.is_match(text, at, true),
        }
    }

    /// Whether it matches from somewhere in `place` on.
    fn begins_within(&self, text: &str, place: &Range<usize>) -> bool {
        match self {
            Self::Literal(finder) => {
                let end = text.len().min(place.end + finder.needle().len().saturating_sub(1));
                text.as_bytes().get(place.start..end).is_some_and(|some| finder.find(some).is_some())
            }
            Self::Linear(linear) => {
                let found = linear.spans(text, place.start).and_then(|(found, _)| found.get(0));
                found.is_some_and(|found| found.start < place.end)
            }
        }
    }
}

/// The text that a node is, if it is nothing else.
fn literal(node: &Node) -> Option<String> {
    match node {
        Node::Literal(c) => Some((*c).into()),
        Node::Concat(parts) if !parts.is_empty() => parts.iter().map(literal).collect(),
        _ => None,
    }
}

/// With marks in place of look-aheads. In a loop only the last round would be marked, so there it cannot be done.
fn marked(node: &Node, groups: usize, in_loop: bool, marks: &mut Vec<Marked>) -> Option<Node> {
    let all = |parts: &[Node], marks: &mut Vec<Marked>| -> Option<Vec<Node>> {
        parts.iter().map(|part| marked(part, groups, in_loop, marks)).collect()
    };
    let mark = |look: &Look, inner: Node, marks: &mut Vec<Marked>| {
        let plain = look.ahead && !holds_any_group(&look.inner) && is_regular(&look.inner, false);
        if !plain || in_loop {
            return None;
        }
        marks.push((look.clone(), !matches!(inner, Node::Empty)));
        Some(Node::Group(Box::new(Group { index: groups + marks.len() - 1, name: None, inner })))
    };
    Some(match node {
        Node::Look(look) => mark(look, Node::Empty, marks)?,
        Node::Repeat(repeat) => match guarded(&repeat.inner) {
            Some((look, inner)) => {
                let mut free = (**repeat).clone();
                free.inner = inner.clone();
                mark(look, Node::Repeat(Box::new(free)), marks)?
            }
            None => {
                let mut plain = (**repeat).clone();
                plain.inner = marked(&repeat.inner, groups, true, marks)?;
                Node::Repeat(Box::new(plain))
            }
        },
        Node::Group(group) => {
            let mut same = (**group).clone();
            same.inner = marked(&group.inner, groups, in_loop, marks)?;
            Node::Group(Box::new(same))
        }
        Node::Case(_, inner) if holds_look(inner) => return None,
        Node::Concat(parts) => Node::Concat(all(parts, marks)?),
        Node::Alternation(parts) => Node::Alternation(all(parts, marks)?),
        Node::Backreference(_) | Node::Conditional(..) => return None,
        other => other.clone(),
    })
}

/// `(?!no)x` with one character `x`: what a loop repeats that stops before `no`.
fn guarded(node: &Node) -> Option<(&Look, &Node)> {
    let Node::Concat(parts) = node else { return None };
    match parts.as_slice() {
        [Node::Look(look), one @ (Node::Any(_) | Node::Class(_) | Node::Literal(_))] if look.negated => {
            Some((look, one))
        }
        _ => None,
    }
}

fn holds_any_group(node: &Node) -> bool {
    let mut found = false;
    node.walk(&mut |node| found |= matches!(node, Node::Group(_)));
    found
}

fn holds_look(node: &Node) -> bool {
    let mut found = false;
    node.walk(&mut |node| found |= matches!(node, Node::Look(_)));
    found
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::pattern::{Found, Pattern};

    const PATTERNS: [&str; 14] = [
        r"^F (?:(?P<n>pk)|\S+) for (?P<inv>iu )?(?P<user>(?P<cu>\S+)|(?(inv)(?:(?! from ).)*?|[^:]+)) from (?P<h>\d+)(?: p)?(?(cu): |(?:(?:(?! from ).)*)$)",
        r"^a(?!b)\w* (?P<x>\S+)",
        r"(?P<x>a|ab)(?=b|c)(?P<y>.*)$",
        r"^(?:(?!ab).)*(?P<x>b+)",
        r"^(?P<x>(?:(?!from).)*?)from(?P<y>.)?",
        r"(?:x(?P<g>a)?|y)(?!b)(?P<rest>.*)",
        r"^(?P<q>a)?b*(?(q)c|d)(?P<z>.)?",
        r"^\b(?!pk)\S+ (?P<x>\w+?)(?=\s|$)",
        r"^.*?(?P<q>[ab])(?P<x>.*?)(?P=q) from (?P<h>\S+)",
        r"(?P<q>[ab])(?P<x>.*)(?P=q)(?P<y>.)?",
        r"x(?:1|(?P<x>F) (?P<q>[a-a ])(?:b|(?P=q))*(?P<y>c)?)d?",
        r"(?i)^(?P<x>.)?(?P<q>[Xy])\w(?P=q)(?P<y>.*)",
        r"(?P<d>\d?(?P<q>[ab])\w?(?P=q)\d?) (?P<i>pk)?(?(i)x|y)",
        r"(?P<q>[ab])(?P<z>[ab])(?P<x>c*)(?P=z)(?P=q)",
    ];

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(3000))]

        #[test]
        fn an_eased_pattern_finds_what_the_backtracking_one_finds(
            at in 0..PATTERNS.len(),
            words in proptest::collection::vec(
                prop::sample::select(vec!["F ", "pk", "x", " for ", "iu ", " from ", "from", "1", " p", ": ", "a", "b", "c", "d", " ", "y", "é"]),
                0..14,
            ),
        ) {
            let pattern = Pattern::compile(PATTERNS[at], false, false).unwrap();
            let text = format!("{}\n", words.concat());
            let spans = |found: Option<Found>| found.map(|found| found.spans);
            prop_assert_eq!(spans(pattern.find(&text)), spans(pattern.find_by_backtracking(&text)));
        }
    }

    /// As in Python: the ways are tried in their order, whichever quote they begin with.
    #[test]
    fn a_quote_in_a_name_does_not_move_the_host() {
        let pattern = r#"^login .*?(?P<q>['"])(?P<user>.*?)(?P=q) from (?P<host>\S+)"#;
        let pattern = Pattern::compile(pattern, false, false).unwrap();
        let line = "login \"x' a' from 192.0.2.66 y\" from 203.0.113.9\n";
        assert_eq!(&line[pattern.find(line).unwrap().group(3).unwrap()], "203.0.113.9");
        assert!(!pattern.backtracks());
    }

    #[test]
    fn all_of_them_are_eased_and_what_cannot_be_is_not() {
        for text in PATTERNS {
            assert!(Pattern::compile(text, false, false).unwrap().is_eased(), "{text}");
        }
        for text in [
            r"(a)\1",
            r"([ab])?\S+?\1",
            r"(?:([ab])\1)*c",
            r"(?:([ab])|c)\1",
            r"([abcde])\1",
            r"(?:(?!ab)..)*c",
            r"(?<=a)b",
            r"(?:a(?=b)|b)*",
            r"(?=(a))a",
        ] {
            assert!(!Pattern::compile(text, false, false).unwrap().is_eased(), "{text}");
        }
    }
}
