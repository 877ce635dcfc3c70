//! Which lines are worth a look: those that hold a literal which a match must contain.
//!
//! The whole block is searched at once with Teddy (SIMD, at most 64 literals a searcher), and only the
//! line around a hit is cut out. Splitting lines first, or an Aho-Corasick automaton, costs 7 to 14 times as much.
//!
//! Literals are *inner* ones: of all places at which a pattern holds mandatory text, the text is chosen
//! that healthy logs hold most rarely (`Auth fail` rather than `Received disconnect from`).

use aho_corasick::packed::{Config, MatchKind, Searcher};
use aho_corasick::{AhoCorasick, Span};
use memchr::{memchr, memmem, memrchr};
use regex_syntax::hir::literal::Extractor;
use regex_syntax::hir::{Dot, Hir, HirKind, Repetition};

use super::tags::DATE_GROUP;

/// How many literals one Teddy takes.
const TEDDY_LIMIT: usize = 64;

/// Shorter literals are in every line.
const SHORTEST: usize = 3;

/// What a byte of a common word weighs; a letter of another word weighs 1.
const COMMONPLACE: f64 = 0.15;

/// A literal of this weight is rare; to be rarer still gains nothing.
const RARE: f64 = 6.0;

/// What a set of twice as many literals costs: each makes the searcher slower.
const DOUBLING: f64 = 0.3;

/// Words that a healthy system logs all day; their bytes say little.
const COMMON: [&[u8]; 26] = [
    b"from",
    b"for",
    b"port",
    b"user",
    b"session",
    b"connection",
    b"Connection",
    b"closed",
    b"opened",
    b"by",
    b"Received",
    b"disconnect",
    b"Disconnect",
    b"pam_unix",
    b"sshd",
    b"ssh2",
    b"preauth",
    b"invalid",
    b"error",
    b"publickey",
    b"Accepted",
    b"not",
    b"with",
    b"client",
    b"request",
    b"HTTP",
];

/// Of the literals in `pattern`, a set of which every match holds at least one; none if nothing usable is mandatory.
pub(super) fn required_literals(pattern: &Hir) -> Option<Vec<Vec<u8>>> {
    let mut items = Vec::new();
    flatten(pattern, &mut items);
    let mut best: Option<(f64, Vec<Vec<u8>>)> = None;
    let mut rest = items.as_slice();
    while !rest.is_empty() {
        for set in leading_literals(rest) {
            let score = rarity(&set);
            if best.as_ref().is_none_or(|(top, _)| score > *top) {
                best = Some((score, set));
            }
        }
        rest = rest.get(1..).unwrap_or_default();
    }
    best.map(|(_, set)| set)
}

/// The pieces of a concatenation, captures opened; but a date's text is in every line and says nothing.
fn flatten(hir: &Hir, items: &mut Vec<Hir>) {
    match hir.kind() {
        HirKind::Capture(group) if group.name.as_deref() == Some(DATE_GROUP) => {
            items.push(Hir::repetition(Repetition {
                min: 1,
                max: None,
                greedy: true,
                sub: Box::new(Hir::dot(Dot::AnyByteExceptLF)),
            }));
        }
        HirKind::Concat(parts) => parts.iter().for_each(|part| flatten(part, items)),
        HirKind::Capture(group) => flatten(&group.sub, items),
        _ => items.push(hir.clone()),
    }
}

/// The literals of which one must stand where `items` begin, and what they have in common.
fn leading_literals(items: &[Hir]) -> Vec<Vec<Vec<u8>>> {
    let sequence = Extractor::new().limit_total(64).extract(&Hir::concat(items.to_vec()));
    let common = sequence.longest_common_prefix().map(|common| vec![common.to_vec()]);
    let all = sequence.literals().map(|all| all.iter().map(|literal| literal.as_bytes().to_vec()).collect());
    let usable = |literal: &Vec<u8>| literal.len() >= SHORTEST && !literal.contains(&b'\n');
    let mut sets: Vec<Vec<Vec<u8>>> = [common, all].into_iter().flatten().collect();
    sets.retain(|set| !set.is_empty() && set.iter().all(usable));
    sets.iter_mut().for_each(keep_shortest);
    sets
}

/// The literals of all patterns of a filter as one set.
pub(super) fn join(mut literals: Vec<Vec<u8>>) -> Vec<Vec<u8>> {
    keep_shortest(&mut literals);
    literals
}

/// Drops each literal that contains another one.
fn keep_shortest(set: &mut Vec<Vec<u8>>) {
    set.sort_by(|a, b| a.len().cmp(&b.len()).then_with(|| a.cmp(b)));
    let mut kept: Vec<Vec<u8>> = Vec::with_capacity(set.len());
    for literal in set.drain(..) {
        if !kept.iter().any(|short| memmem::find(&literal, short).is_some()) {
            kept.push(literal);
        }
    }
    *set = kept;
}

/// How rare the set is in healthy logs: its commonest literal counts, and each doubling of the set costs.
fn rarity(set: &[Vec<u8>]) -> f64 {
    let worst = set.iter().map(|literal| weight(literal)).fold(RARE, f64::min);
    worst - f64::from(set.len().max(1).ilog2()) * DOUBLING
}

fn weight(literal: &[u8]) -> f64 {
    let mut weights: Vec<f64> =
        literal.iter().map(|b| if b.is_ascii_alphanumeric() { 1.0 } else { 0.5 }).collect();
    for word in COMMON {
        for at in memmem::find_iter(literal, word) {
            weights.iter_mut().skip(at).take(word.len()).for_each(|weight| *weight = COMMONPLACE);
        }
    }
    weights.iter().sum()
}

/// The literals of all filters of a source.
#[derive(Debug)]
pub(super) struct Prefilter {
    groups: Vec<Group>,
    filters: usize,
    /// A filter has a pattern without usable literal: every line must be looked at.
    every_line: bool,
}

#[derive(Debug)]
struct Group {
    engine: Engine,
    /// For each literal, the filters that a line with it may concern.
    concerned: Vec<Vec<usize>>,
}

#[derive(Debug)]
enum Engine {
    Teddy(Searcher),
    /// Where Teddy cannot be built (no SIMD).
    Automaton(AhoCorasick),
}

#[derive(Debug, Clone, Copy)]
struct Hit {
    start: usize,
    end: usize,
    literal: usize,
}

impl Group {
    fn new(literals: &[(Vec<u8>, Vec<usize>)]) -> Option<Self> {
        let texts = || literals.iter().map(|(text, _)| text);
        let mut builder = Config::new().match_kind(MatchKind::LeftmostFirst).builder();
        let engine = match builder.extend(texts()).build() {
            Some(teddy) => Engine::Teddy(teddy),
            None => Engine::Automaton(
                AhoCorasick::builder()
                    .match_kind(aho_corasick::MatchKind::LeftmostFirst)
                    .build(texts())
                    .ok()?,
            ),
        };
        // Hits never overlap, so a hit may hide another literal that overlaps it: both concern the line.
        let concerned = literals
            .iter()
            .map(|(text, _)| {
                let mut all: Vec<usize> = literals
                    .iter()
                    .filter(|(other, _)| may_overlap(text, other))
                    .flat_map(|(_, filters)| filters.iter().copied())
                    .collect();
                all.sort_unstable();
                all.dedup();
                all
            })
            .collect();
        Some(Self { engine, concerned })
    }

    fn find(&self, block: &[u8], from: usize) -> Option<Hit> {
        let span = Span { start: from, end: block.len() };
        let found = match &self.engine {
            Engine::Teddy(searcher) => searcher.find_in(block, span),
            Engine::Automaton(automaton) => automaton.find(aho_corasick::Input::new(block).span(span)),
        }?;
        Some(Hit { start: found.start(), end: found.end(), literal: found.pattern().as_usize() })
    }

    fn concerned(&self, hit: Hit) -> &[usize] {
        self.concerned.get(hit.literal).map(Vec::as_slice).unwrap_or_default()
    }
}

/// Whether one text can hold both so that they share a byte.
fn may_overlap(a: &[u8], b: &[u8]) -> bool {
    let tail_is_head =
        |a: &[u8], b: &[u8]| (1..a.len().min(b.len())).any(|n| a.get(a.len() - n..) == b.get(..n));
    memmem::find(a, b).is_some() || memmem::find(b, a).is_some() || tail_is_head(a, b) || tail_is_head(b, a)
}

impl Prefilter {
    /// Joins the literals of the filters; one entry for each filter, none where every line must be looked at.
    pub(super) fn new<'a>(sets: impl IntoIterator<Item = Option<&'a [Vec<u8>]>>) -> Self {
        let mut literals: Vec<(Vec<u8>, Vec<usize>)> = Vec::new();
        let mut filters = 0;
        let mut every_line = false;
        for (filter, set) in sets.into_iter().enumerate() {
            filters = filter + 1;
            every_line |= set.is_none();
            for text in set.unwrap_or_default() {
                match literals.iter_mut().find(|(known, _)| known == text) {
                    Some((_, concerned)) => concerned.push(filter),
                    None => literals.push((text.clone(), vec![filter])),
                }
            }
        }
        // Literals that begin alike share a searcher: that keeps its candidates few.
        literals.sort();
        let groups: Option<Vec<Group>> = literals.chunks(TEDDY_LIMIT).map(Group::new).collect();
        let every_line = every_line || groups.is_none();
        Self { groups: groups.unwrap_or_default(), filters, every_line }
    }

    /// The candidate lines of `block`, in order.
    pub(super) fn lines<'p, 'b>(&'p self, block: &'b [u8]) -> Lines<'p, 'b> {
        Lines { prefilter: self, block, at: 0, pending: vec![None; self.groups.len()], concerned: Vec::new() }
    }
}

/// Walks over the candidate lines of a block.
pub(super) struct Lines<'p, 'b> {
    prefilter: &'p Prefilter,
    block: &'b [u8],
    /// Where the next line starts; beyond the end when there is none.
    at: usize,
    /// The next hit of each group, once it has been looked for.
    pending: Vec<Option<Hit>>,
    concerned: Vec<usize>,
}

impl<'b> Lines<'_, 'b> {
    /// The next candidate line without its `\n`, and the filters that it may concern, ascending.
    pub(super) fn next_line(&mut self) -> Option<(&'b [u8], &[usize])> {
        if self.at >= self.block.len() {
            return None;
        }
        if self.prefilter.every_line {
            let (_, rest) = self.block.split_at_checked(self.at)?;
            let line = rest.get(..memchr(b'\n', rest).unwrap_or(rest.len()))?;
            self.at += line.len() + 1;
            if self.concerned.len() < self.prefilter.filters {
                self.concerned = (0..self.prefilter.filters).collect();
            }
            return Some((line, &self.concerned));
        }
        let hit = self.next_hit()?;
        let start = match memrchr(b'\n', self.block.get(self.at..hit)?) {
            Some(newline) => self.at + newline + 1,
            None => self.at,
        };
        let end = match memchr(b'\n', self.block.get(hit..)?) {
            Some(newline) => hit + newline,
            None => self.block.len(),
        };
        self.at = end + 1;
        self.concern(end);
        Some((self.block.get(start..end)?, &self.concerned))
    }

    /// Where the nearest hit at or behind `at` is; afterwards `pending` holds the next hit of each group.
    fn next_hit(&mut self) -> Option<usize> {
        let mut nearest: Option<usize> = None;
        for (group, pending) in self.prefilter.groups.iter().zip(&mut self.pending) {
            if pending.is_none_or(|hit| hit.start < self.at) {
                // Beyond the block's end stands for "none left", so that it is not looked for again.
                let none = Hit { start: usize::MAX, end: usize::MAX, literal: 0 };
                *pending = Some(group.find(self.block, self.at).unwrap_or(none));
            }
            if let Some(hit) = pending.filter(|hit| hit.start < self.block.len()) {
                nearest = Some(nearest.map_or(hit.start, |other| other.min(hit.start)));
            }
        }
        nearest
    }

    /// Collects the filters that the line up to `end` concerns.
    fn concern(&mut self, end: usize) {
        if self.prefilter.filters == 1 {
            if self.concerned.is_empty() {
                self.concerned.push(0);
            }
            return;
        }
        self.concerned.clear();
        for (group, pending) in self.prefilter.groups.iter().zip(&mut self.pending) {
            while let Some(hit) = pending.filter(|hit| hit.start < end) {
                for filter in group.concerned(hit) {
                    if !self.concerned.contains(filter) {
                        self.concerned.push(*filter);
                    }
                }
                *pending = if self.concerned.len() == self.prefilter.filters {
                    None
                } else {
                    let none = Hit { start: usize::MAX, end: usize::MAX, literal: 0 };
                    Some(group.find(self.block, hit.end).unwrap_or(none))
                };
            }
        }
        self.concerned.sort_unstable();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::filter::pattern::parse;

    fn required(pattern: &str) -> Option<Vec<String>> {
        let set = required_literals(&parse(pattern).unwrap())?;
        Some(set.into_iter().map(|text| String::from_utf8(text).unwrap()).collect())
    }

    #[test]
    fn the_rarest_mandatory_text_is_chosen() {
        assert_eq!(required(r"^Failed (?:password|none|pam) for \S+").unwrap(), ["Failed "]);
        assert_eq!(required(r"^Received disconnect from \S+: .*: Auth fail$").unwrap(), [": Auth fail"]);
        assert_eq!(required(r"^Failed \S+ for .* from \S+ port \d+$").unwrap(), ["Failed "]);
        assert_eq!(
            required(r"^(?:Invalid|Illegal) user .* from").unwrap(),
            ["Illegal user ", "Invalid user "]
        );
        assert_eq!(required(r"^\d+ ab \S+$"), Some(vec![" ab ".into()]));
        assert_eq!(required(r"^\S+$"), None);
        assert_eq!(required(r"^(?:abc|\d+)$"), None);
    }

    fn candidates(sets: &[Option<Vec<Vec<u8>>>], block: &str) -> Vec<(String, Vec<usize>)> {
        let prefilter = Prefilter::new(sets.iter().map(Option::as_deref));
        let mut lines = prefilter.lines(block.as_bytes());
        let mut found = Vec::new();
        while let Some((line, concerned)) = lines.next_line() {
            found.push((String::from_utf8(line.to_vec()).unwrap(), concerned.to_vec()));
        }
        found
    }

    fn set(texts: &[&str]) -> Option<Vec<Vec<u8>>> {
        Some(texts.iter().map(|text| text.as_bytes().to_vec()).collect())
    }

    #[test]
    fn each_line_with_a_literal_comes_once_with_its_filters() {
        let sets = [set(&["abcd"]), set(&["cdef"]), set(&["xyz"])];
        let block = "none\n--abcd--abcd\nabcdef xyz\n\nxyz\nno";
        let expected: Vec<(String, Vec<usize>)> = vec![
            // "abcd" may hide an overlapping "cdef".
            ("--abcd--abcd".into(), vec![0, 1]),
            ("abcdef xyz".into(), vec![0, 1, 2]),
            ("xyz".into(), vec![2]),
        ];
        assert_eq!(candidates(&sets, block), expected);
    }

    #[test]
    fn more_literals_than_one_teddy_takes() {
        let texts: Vec<String> = (0..200).map(|n| format!("word{n:03}")).collect();
        let sets: Vec<_> = texts.iter().map(|text| set(&[text.as_str()])).collect();
        let block: String = texts.iter().rev().map(|text| format!("a {text} b\nnothing\n")).collect();
        let found = candidates(&sets, &block);
        let filters: Vec<usize> = found.iter().flat_map(|(_, concerned)| concerned.clone()).collect();
        assert_eq!(filters, (0..200).rev().collect::<Vec<_>>());
    }

    #[test]
    fn without_a_literal_every_line_is_a_candidate() {
        let found = candidates(&[None, set(&["abc"])], "a\n\nb");
        let lines: Vec<&str> = found.iter().map(|(line, _)| line.as_str()).collect();
        assert_eq!(lines, ["a", "", "b"]);
        assert!(found.iter().all(|(_, concerned)| concerned == &[0, 1]));
    }
}
