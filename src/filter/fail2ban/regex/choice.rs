//! Which of many patterns may match a line: those that begin as it does, and of several those that one pass over it finds.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::OnceLock;

use regex_automata::meta::Regex;
use regex_automata::nfa::thompson::WhichCaptures;
use regex_automata::{Input, MatchKind, PatternID, PatternSet};
use regex_syntax::hir::Look;
use regex_syntax::hir::literal::Extractor;

use super::linear::linear_with;
use super::pattern::Pattern;
use super::translate::Alphabet;

/// What the lazy DFA of one choice may take, in bytes.
const CACHE: usize = 2 << 20;

/// All patterns of a filter in one automaton.
pub(in crate::filter::fail2ban) struct Choice {
    ascii: Regex,
    /// For lines with other characters; made when the first comes.
    unicode: OnceLock<Option<Regex>>,
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

    /// The patterns whose lines may begin as this one does, each once or more.
    fn of_line<'a>(&'a self, line: &'a [u8]) -> impl Iterator<Item = PatternID> + 'a {
        let known = line.first().and_then(|first| self.known.get(first)).into_iter().flatten();
        let known = known.filter(|(text, _)| line.starts_with(text)).map(|(_, index)| *index);
        self.any.iter().copied().chain(known)
    }
}

/// A pattern has no more of them.
const MOST_BEGINNINGS: usize = 16;

/// The patterns that may match.
#[derive(Debug)]
pub(in crate::filter::fail2ban) enum Chosen {
    AtMost(Option<PatternID>),
    Of(PatternSet),
}

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

    /// None: any.
    pub(in crate::filter::fail2ban) fn choose(&self, text: &str) -> Option<Chosen> {
        let mut begun = self.beginnings.of_line(text.as_bytes());
        let first = begun.next();
        if begun.all(|other| Some(other) == first) {
            return Some(Chosen::AtMost(first));
        }
        let regex = if text.is_ascii() {
            &self.ascii
        } else {
            self.unicode.get_or_init(|| automaton(&self.supersets, Alphabet::Unicode)).as_ref()?
        };
        let mut chosen = PatternSet::new(regex.pattern_len());
        regex.which_overlapping_matches(&Input::new(text), &mut chosen);
        Some(Chosen::Of(chosen))
    }
}

impl Chosen {
    pub(in crate::filter::fail2ban) fn contains(&self, index: usize) -> bool {
        let Ok(index) = PatternID::new(index) else { return false };
        match self {
            Self::AtMost(one) => *one == Some(index),
            Self::Of(set) => set.contains(index),
        }
    }

    pub(in crate::filter::fail2ban) fn is_empty(&self) -> bool {
        match self {
            Self::AtMost(one) => one.is_none(),
            Self::Of(set) => set.is_empty(),
        }
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

fn automaton(texts: &[String], alphabet: Alphabet) -> Option<Regex> {
    let config = Regex::config()
        .match_kind(MatchKind::All)
        .which_captures(WhichCaptures::None)
        .hybrid_cache_capacity(CACHE);
    linear_with(config, texts, alphabet).ok()
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
        let compile = |text: &&str| Pattern::compile_for_chosen(text).unwrap();
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
                let chosen = choice.choose(&text).unwrap();
                for (index, pattern) in some.iter().enumerate() {
                    assert!(chosen.contains(index) || pattern.find(&text).is_none(), "{index} {line}");
                }
                assert!(line != "no" || some.len() > 4 || chosen.is_empty());
            }
        }
    }
}
