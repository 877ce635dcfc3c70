//! Look-aheads and conditions without backtracking.
//!
//! A pattern is eased in two steps. `(?:(g)|x)...(?(g)yes|no)` becomes `(?:(g)...yes|x...no)`: the same ways through it,
//! tried in the same order. Then each look-ahead becomes a mark, an empty group, or a group around the loop that it
//! guards. The ways through the original are those through the eased pattern on which every look-ahead holds, in the
//! same order. So if look-aheads hold on the first way that the eased pattern finds, it is the first of the original,
//! too; if it finds none, the original has none. Otherwise nothing is known, and the original must be tried.

use std::ops::Range;

use super::linear::{Linear, Spans};
use super::syntax::{Greed, Group, Look, Node};
use super::translate::{Alphabet, Style, Target, is_regular, write};

/// Conditions double what follows them; so many are resolved at most.
const MOST_CONDITIONS: usize = 3;

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
    inner: Linear,
}

/// A look-ahead that a mark replaces, and whether it guards a loop.
type Marked = (Look, bool);

/// The eased pattern says nothing of a text.
pub(super) struct Unknown;

impl Eased {
    /// None where it cannot be done. `groups` is the number of groups of the pattern, the whole included.
    pub(super) fn of(node: &Node, alphabet: Alphabet, groups: usize) -> Option<Self> {
        let mut marks = Vec::new();
        let eased = marked(&resolved(node, MOST_CONDITIONS)?, groups, false, &mut marks)?;
        if !is_regular(&eased, false) {
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
        let style = Style { target: Target::Linear, alphabet, lines: false };
        let regex = Linear::new(&[write(&eased, style)], alphabet).ok()?;
        let check = |((look, of_loop), place): (Marked, Option<usize>)| {
            let inner = Linear::without_groups(&[write(&look.inner, style)], alphabet).ok()?;
            Some(Check { group: place?, of_loop, negated: look.negated, inner })
        };
        let checks = marks.into_iter().zip(places).map(check).collect::<Option<Vec<_>>>()?;
        Some(Self { regex, origins, checks, groups })
    }

    pub(super) fn find(&self, text: &str, start: usize) -> Result<Option<Spans>, Unknown> {
        let Some((found, _)) = self.regex.spans(text, start) else { return Ok(None) };
        for check in &self.checks {
            let Some(place) = found.get(check.group) else { continue };
            if !check.holds(text, &place) {
                return Err(Unknown);
            }
        }
        let mut spans = Spans::unset(self.groups);
        for (group, origin) in &self.origins {
            if let Some(span) = found.get(*group) {
                spans.set(*origin, &span);
            }
        }
        Ok(Some(spans))
    }
}

impl Check {
    /// Whether the look-ahead holds at the mark; for a loop, before each of its rounds.
    fn holds(&self, text: &str, place: &Range<usize>) -> bool {
        if self.of_loop {
            if place.is_empty() {
                return true;
            }
            let found = self.inner.spans(text, place.start).and_then(|(found, _)| found.get(0));
            return found.is_none_or(|found| found.start >= place.end);
        }
        self.inner.is_match(text, place.start, true) != self.negated
    }
}

/// Without conditions; none if one is of a kind that is not known here.
fn resolved(node: &Node, left: usize) -> Option<Node> {
    let conditions = conditions(node);
    if conditions.is_empty() {
        return Some(node.clone());
    }
    let parts = match node {
        Node::Case(on, inner) => return Some(Node::Case(*on, Box::new(resolved(inner, left)?))),
        Node::Concat(parts) => parts,
        _ => return None,
    };
    let left = left.checked_sub(1)?;
    let (place, part, group) = parts.iter().enumerate().find_map(|(place, part)| {
        let group = conditions.iter().find(|group| holds_group(part, **group))?;
        Some((place, part, *group))
    })?;
    let (before, after) = (parts.get(..place)?, parts.get(place + 1..)?);
    let (with, without) = split(part, group)?;
    let way = |first: Node, taken: bool| {
        let rest = Node::Concat(std::iter::once(first).chain(after.iter().cloned()).collect());
        let decided = rest.map(&|node| match node {
            Node::Conditional(of, yes, no) if *of == group => {
                Some(decide(if taken { yes } else { no }, group, taken))
            }
            _ => None,
        });
        resolved(&decided, left)
    };
    let both = Node::Alternation(vec![way(with, true)?, way(without, false)?]);
    Some(Node::Concat(before.iter().cloned().chain([both]).collect()))
}

/// A branch, with the same condition in it decided, too.
fn decide(branch: &Node, group: usize, taken: bool) -> Node {
    branch.map(&|node| match node {
        Node::Conditional(of, yes, no) if *of == group => {
            Some(decide(if taken { yes } else { no }, group, taken))
        }
        _ => None,
    })
}

/// The groups that conditions ask for.
fn conditions(node: &Node) -> Vec<usize> {
    let mut groups = Vec::new();
    node.walk(&mut |node| {
        if let Node::Conditional(group, ..) = node {
            groups.push(*group);
        }
    });
    groups
}

fn holds_group(node: &Node, index: usize) -> bool {
    let mut found = false;
    node.walk(&mut |node| found |= matches!(node, Node::Group(group) if group.index == index));
    found
}

/// The ways through `part` with the group, which come first, and those without.
fn split(part: &Node, index: usize) -> Option<(Node, Node)> {
    let is_group = |node: &Node| matches!(node, Node::Group(group) if group.index == index);
    match part {
        Node::Repeat(repeat) => {
            let optional = repeat.min == 0 && repeat.max == Some(1) && repeat.greed == Greed::Greedy;
            (optional && is_group(&repeat.inner)).then(|| (repeat.inner.clone(), Node::Empty))
        }
        Node::Alternation(branches) => {
            let (first, others) = branches.split_first()?;
            let alone = match first {
                Node::Concat(parts) => parts.len() == 1 && parts.iter().all(is_group),
                other => is_group(other),
            };
            let apart = alone && !others.is_empty() && !others.iter().any(|other| holds_group(other, index));
            apart.then(|| (first.clone(), Node::Alternation(others.to_vec())))
        }
        Node::Group(group) => {
            let (with, without) = split(&group.inner, index)?;
            let around = |inner| {
                let Group { index, name, .. } = &**group;
                Node::Group(Box::new(Group { index: *index, name: name.clone(), inner }))
            };
            Some((around(with), around(without)))
        }
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

    const PATTERNS: [&str; 8] = [
        r"^F (?:(?P<n>pk)|\S+) for (?P<inv>iu )?(?P<user>(?P<cu>\S+)|(?(inv)(?:(?! from ).)*?|[^:]+)) from (?P<h>\d+)(?: p)?(?(cu): |(?:(?:(?! from ).)*)$)",
        r"^a(?!b)\w* (?P<x>\S+)",
        r"(?P<x>a|ab)(?=b|c)(?P<y>.*)$",
        r"^(?:(?!ab).)*(?P<x>b+)",
        r"^(?P<x>(?:(?!from).)*?)from(?P<y>.)?",
        r"(?:x(?P<g>a)?|y)(?!b)(?P<rest>.*)",
        r"^(?P<q>a)?b*(?(q)c|d)(?P<z>.)?",
        r"^\b(?!pk)\S+ (?P<x>\w+?)(?=\s|$)",
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

    #[test]
    fn all_of_them_are_eased_and_what_cannot_be_is_not() {
        for text in PATTERNS {
            assert!(Pattern::compile(text, false, false).unwrap().is_eased(), "{text}");
        }
        for text in [r"(a)\1", r"(?:(?!ab)..)*c", r"(?<=a)b", r"(?:a(?=b)|b)*", r"(?=(a))a"] {
            assert!(!Pattern::compile(text, false, false).unwrap().is_eased(), "{text}");
        }
    }
}
