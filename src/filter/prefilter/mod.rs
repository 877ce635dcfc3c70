//! Which lines are worth a look: those that hold a literal which a match must contain.
//!
//! The whole block is searched at once with Teddy (SIMD), and only the line around a hit is cut out. Splitting
//! lines first, or an Aho-Corasick automaton, costs 7 to 14 times as much.

mod buckets;
mod fragments;
mod literals;

use aho_corasick::packed::{Config, MatchKind, Searcher};
use aho_corasick::{AhoCorasick, Span};
use memchr::{memchr, memmem, memrchr};

pub(super) use literals::{join, required_literals};

/// With more literals than this, as more than one filter of the catalogue has, fewer texts are searched for in their place.
const FEW: usize = 32;

/// So many bytes of each text Teddy compares before it looks closer, at most.
pub(super) const COMPARED: usize = 4;

/// What servers log when all is well: what stands here is no good to search for.
const HEALTHY: &[u8] = include_bytes!("healthy.log");

/// The literals of all filters of a source.
#[derive(Debug)]
pub(super) struct Prefilter {
    groups: Vec<Group>,
    /// How many filters tell all that a line may be; those that keep lines for later are counted on behind them.
    deciding: usize,
    /// A filter has a pattern without usable literal: every line must be looked at.
    every_line: bool,
}

/// Some of the texts that are searched for.
#[derive(Debug)]
struct Group {
    engine: Engine,
    /// For each text, the literals that hold it.
    literals: Vec<Vec<Literal>>,
}

#[derive(Debug)]
enum Engine {
    Teddy(Searcher),
    /// Where Teddy cannot be built (no SIMD).
    Automaton(AhoCorasick),
}

/// A literal around a text that is searched for.
#[derive(Debug, Clone)]
struct Literal {
    bytes: Vec<u8>,
    /// Where the text first stands in it.
    offset: usize,
    /// Where its byte before the text is, or else that behind it, and which it is; none if it is the text itself.
    beside: Option<(usize, u8)>,
    /// The filters that a line with it may concern.
    filters: Vec<usize>,
}

#[derive(Debug, Clone, Copy)]
struct Hit {
    start: usize,
    text: usize,
}

/// Beyond every block: "none left", so that it is not looked for again.
const NONE: Hit = Hit { start: usize::MAX, text: 0 };

impl Literal {
    fn stands_at(&self, block: &[u8], hit: usize) -> bool {
        let Some(there) = hit.checked_sub(self.offset).and_then(|start| block.get(start..)) else {
            return false;
        };
        // A text is in dozens of literals, and one byte tells most of them apart.
        self.beside.is_none_or(|(at, byte)| there.get(at) == Some(&byte)) && there.starts_with(&self.bytes)
    }
}

impl Group {
    fn new(texts: &[Vec<u8>], literals: &[(Vec<u8>, Vec<usize>)]) -> Option<Self> {
        let mut builder = Config::new().match_kind(MatchKind::LeftmostFirst).builder();
        let engine = match builder.extend(texts).build() {
            Some(teddy) => Engine::Teddy(teddy),
            None => Engine::Automaton(
                AhoCorasick::builder()
                    .match_kind(aho_corasick::MatchKind::LeftmostFirst)
                    .build(texts)
                    .ok()?,
            ),
        };
        let around = |text: &Vec<u8>| {
            let holding = literals.iter().filter_map(|(bytes, filters)| {
                let offset = memmem::find(bytes, text)?;
                let beside = offset.checked_sub(1).unwrap_or(text.len());
                let beside = bytes.get(beside).map(|byte| (beside, *byte));
                Some(Literal { bytes: bytes.clone(), offset, beside, filters: filters.clone() })
            });
            holding.collect()
        };
        Some(Self { engine, literals: texts.iter().map(around).collect() })
    }

    /// The next place, from `from` on, at which one of the texts begins.
    fn find(&self, block: &[u8], from: usize) -> Hit {
        let span = Span { start: from, end: block.len() };
        let found = match &self.engine {
            Engine::Teddy(searcher) => searcher.find_in(block, span),
            Engine::Automaton(automaton) => automaton.find(aho_corasick::Input::new(block).span(span)),
        };
        found.map_or(NONE, |found| Hit { start: found.start(), text: found.pattern().as_usize() })
    }

    /// The literals around a hit.
    fn around<'g>(&'g self, block: &'g [u8], hit: Hit) -> impl Iterator<Item = &'g Literal> {
        let holding = self.literals.get(hit.text).map(Vec::as_slice).unwrap_or_default();
        holding.iter().filter(move |literal| literal.stands_at(block, hit.start))
    }
}

impl Prefilter {
    /// Joins the literals of the filters; one entry for each filter, none where every line must be looked at. Those of
    /// `late` are counted on behind them, and need not be named when all of the others are.
    pub(super) fn new<'a>(
        sets: impl IntoIterator<Item = Option<&'a [Vec<u8>]>>,
        late: impl IntoIterator<Item = &'a [Vec<u8>]>,
    ) -> Self {
        let mut literals: Vec<(Vec<u8>, Vec<usize>)> = Vec::new();
        let sets: Vec<Option<&[Vec<u8>]>> = sets.into_iter().collect();
        let deciding = sets.len();
        let mut every_line = false;
        for (filter, set) in sets.into_iter().chain(late.into_iter().map(Some)).enumerate() {
            every_line |= set.is_none();
            for text in set.unwrap_or_default() {
                match literals.iter_mut().find(|(known, _)| known == text) {
                    Some((_, concerned)) => concerned.push(filter),
                    None => literals.push((text.clone(), vec![filter])),
                }
            }
        }
        let all: Vec<Vec<u8>> = literals.iter().map(|(text, _)| text.clone()).collect();
        // No text holds another, so none hides another.
        let texts = if all.len() > FEW { fragments::cover(&all) } else { join(all) };
        let group = |texts: Vec<Vec<u8>>| Group::new(&texts, &literals);
        let groups: Option<Vec<Group>> = buckets::searches(texts).into_iter().map(group).collect();
        let every_line = every_line || groups.is_none();
        Self { groups: groups.unwrap_or_default(), deciding, every_line }
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
            if self.concerned.len() < self.prefilter.deciding {
                self.concerned = (0..self.prefilter.deciding).collect();
            }
            return Some((line, &self.concerned));
        }
        loop {
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
            if !self.concerned.is_empty() {
                return Some((self.block.get(start..end)?, &self.concerned));
            }
        }
    }

    /// Where the nearest hit at or behind `at` is; afterwards `pending` holds the next hit of each group.
    fn next_hit(&mut self) -> Option<usize> {
        let mut nearest = NONE.start;
        for (group, pending) in self.prefilter.groups.iter().zip(&mut self.pending) {
            let hit = match *pending {
                Some(hit) if hit.start >= self.at => hit,
                _ => group.find(self.block, self.at),
            };
            *pending = Some(hit);
            nearest = nearest.min(hit.start);
        }
        (nearest < self.block.len()).then_some(nearest)
    }

    /// Collects the filters that the line up to `end` concerns.
    fn concern(&mut self, end: usize) {
        self.concerned.clear();
        'groups: for (group, pending) in self.prefilter.groups.iter().zip(&mut self.pending) {
            while let Some(hit) = pending.filter(|hit| hit.start < end) {
                for filter in group.around(self.block, hit).flat_map(|literal| &literal.filters) {
                    if !self.concerned.contains(filter) {
                        self.concerned.push(*filter);
                    }
                }
                let deciding = self.prefilter.deciding;
                if self.concerned.iter().filter(|filter| **filter < deciding).count() == deciding {
                    break 'groups;
                }
                *pending = Some(group.find(self.block, hit.start + 1));
            }
        }
        self.concerned.sort_unstable();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidates(sets: &[Option<Vec<Vec<u8>>>], block: &str) -> Vec<(String, Vec<usize>)> {
        let prefilter = Prefilter::new(sets.iter().map(Option::as_deref), []);
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
            ("--abcd--abcd".into(), vec![0]),
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
