//! Which of many patterns may match a line: those that begin as it does, and of several those that one pass over it finds.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::OnceLock;

use regex_automata::nfa::thompson::WhichCaptures;
use regex_automata::{PatternID, PatternSet};
use regex_syntax::hir::Look;
use regex_syntax::hir::literal::Extractor;
use smallvec::SmallVec;

use super::linear;
use super::pattern::Pattern;
use super::trace::Tracer;
use super::translate::Alphabet;

/// All patterns of a filter in one automaton.
pub(in crate::filter::fail2ban) struct Choice {
    ascii: Tracer,
    /// For lines with other characters; made when the first comes.
    unicode: OnceLock<Option<Tracer>>,
    supersets: Vec<String>,
    beginnings: Beginnings,
}

/// How lines begin that patterns match.
#[derive(Default)]
struct Beginnings {
    /// By the first byte: texts, and the patterns whose lines may begin so.
    known: BTreeMap<u8, Vec<(Vec<u8>, PatternID)>>,
    /// Patterns whose lines may begin with anything.
    any: Vec<PatternID>,
}

impl Beginnings {
    fn of(patterns: &[Pattern]) -> Self {
        let mut all = Self::default();
        for (index, pattern) in patterns.iter().enumerate() {
            let Ok(index) = PatternID::new(index) else { continue };
            match beginnings(pattern) {
                Some(texts) => texts.into_iter().for_each(|text| {
                    let first = text.first().copied().unwrap_or_default();
                    all.known.entry(first).or_default().push((text, index));
                }),
                None => all.any.push(index),
            }
        }
        all
    }

    /// The patterns whose lines may begin as this one does, in any order, each once or more.
    fn of_line<'a>(&'a self, line: &'a [u8]) -> impl Iterator<Item = PatternID> + 'a {
        let known = line.first().and_then(|first| self.known.get(first)).into_iter().flatten();
        let known = known.filter(|(text, _)| line.starts_with(text)).map(|(_, index)| *index);
        self.any.iter().copied().chain(known)
    }
}

/// A pattern has no more of them.
const MOST_BEGINNINGS: usize = 16;

/// So many patterns are tried one by one: mostly they part soon.
const FEW: usize = 3;

/// The patterns that may match, in order.
pub(in crate::filter::fail2ban) type Chosen = SmallVec<[usize; 8]>;

impl fmt::Debug for Choice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Choice").field("patterns", &self.supersets.len()).finish()
    }
}

impl Choice {
    /// None where they are too big together.
    pub(in crate::filter::fail2ban) fn of(patterns: &[Pattern]) -> Option<Self> {
        let texts = |alphabet| patterns.iter().map(|one| one.superset_text(alphabet)).collect::<Vec<_>>();
        let ascii = automaton(&texts(Alphabet::Ascii), Alphabet::Ascii)?;
        let beginnings = Beginnings::of(patterns);
        Some(Self { ascii, unicode: OnceLock::new(), supersets: texts(Alphabet::Unicode), beginnings })
    }

    /// Those that may match.
    pub(in crate::filter::fail2ban) fn choose(&self, text: &str) -> Chosen {
        let begun = self.beginnings.of_line(text.as_bytes());
        let mut chosen: Chosen = begun.map(|pattern| pattern.as_usize()).collect();
        chosen.sort_unstable();
        chosen.dedup();
        if chosen.len() <= FEW {
            return chosen;
        }
        let tracer = match text.is_ascii() {
            true => Some(&self.ascii),
            false => self.unicode.get_or_init(|| automaton(&self.supersets, Alphabet::Unicode)).as_ref(),
        };
        if let Some(tracer) = tracer {
            let mut found = PatternSet::new(self.supersets.len());
            tracer.find_all(text.as_bytes(), &mut found);
            chosen.retain(|index| PatternID::new(*index).is_ok_and(|index| found.contains(index)));
        }
        chosen
    }
}

/// The texts of which a line must begin with one if the pattern matches it; none: with any.
fn beginnings(pattern: &Pattern) -> Option<Vec<Vec<u8>>> {
    let tree = pattern.tree()?;
    if !tree.properties().look_set_prefix().contains(Look::Start) {
        return None;
    }
    let found = Extractor::new().limit_total(MOST_BEGINNINGS).extract(&tree);
    let texts: Vec<Vec<u8>> = found.literals()?.iter().map(|literal| literal.as_bytes().to_vec()).collect();
    texts.iter().all(|text| !text.is_empty()).then_some(texts)
}

fn automaton(texts: &[String], alphabet: Alphabet) -> Option<Tracer> {
    linear::automaton(texts, alphabet, WhichCaptures::None).ok().map(Tracer::of_all)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATTERNS: [&str; 6] = [
        r"^Failed (?:password|none) for (\w+)",
        r"^Failed (?!none)\S+ \d",
        r"^[Aa]uth",
        r"(?i)^user",
        r"x$",
        r"^(?:é|e)t",
    ];

    #[test]
    fn whatever_matches_is_chosen() {
        let compile = |text: &&str| Pattern::compile(text, false, false).unwrap();
        let patterns: Vec<Pattern> = PATTERNS.iter().map(compile).collect();
        for some in [&patterns[..], &patterns[..4], &patterns[..1]] {
            let choice = Choice::of(some).unwrap();
            for line in [
                "Failed password for a",
                "Failed x 1",
                "Auth",
                "auth x",
                "USER",
                "no",
                "ét",
                "et",
                "nox",
                "F",
                "",
            ] {
                let text = format!("{line}\n");
                let chosen = choice.choose(&text);
                for (index, pattern) in some.iter().enumerate() {
                    assert!(chosen.contains(&index) || pattern.find(&text).is_none(), "{index} {line}");
                }
                assert!(line != "no" || some.len() > 4 || chosen.is_empty());
                assert!(chosen.is_sorted());
            }
        }
    }
}
