//! Patterns that the linear engines run.

use std::ops::Range;

use regex_automata::nfa::thompson::NFA;
use regex_automata::util::primitives::NonMaxUsize;
use regex_automata::util::syntax;
use regex_automata::{Input, PatternID, meta};
use smallvec::{SmallVec, smallvec};

use super::guide::{Guide, Way};
use super::parse::SyntaxError;
use super::translate::Alphabet;

/// What one pattern may take once compiled, in bytes.
pub(super) const SIZE_LIMIT: usize = 16 << 20;
/// What the lazy DFA of one pattern may take, in bytes, each way.
pub(super) const CACHE: usize = 128 << 10;

/// Which texts a linear pattern is tried on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Searched {
    /// Any.
    All,
    /// Mostly such as it matches: no pass to find out whether it does.
    Chosen,
}

/// Where a pattern and its groups match.
pub(super) type Spans = SmallVec<[Option<Range<usize>>; 12]>;

/// Patterns as one, whose groups are asked for.
#[derive(Debug)]
pub(super) struct Linear {
    regex: meta::Regex,
    guide: Option<Guide>,
    searched: Searched,
}

impl Linear {
    pub(super) fn new(texts: &[String], alphabet: Alphabet, searched: Searched) -> Result<Self, SyntaxError> {
        let regex = strict(texts, alphabet, searched)?;
        let guide = match alphabet {
            Alphabet::Ascii => {
                let config = NFA::config().utf8(false).nfa_size_limit(Some(SIZE_LIMIT));
                let nfa = NFA::compiler().configure(config).syntax(classes(alphabet)).build_many(texts);
                nfa.ok().and_then(|nfa| Guide::of(nfa, searched == Searched::Chosen))
            }
            Alphabet::Unicode => None,
        };
        Ok(Self { regex, guide, searched })
    }

    /// The leftmost match that starts at `start` or behind it.
    pub(super) fn spans(&self, text: &str, start: usize) -> Option<Spans> {
        let input = Input::new(text).range(start.min(text.len())..);
        let mut slots: SmallVec<[Option<NonMaxUsize>; 64]> =
            smallvec![None; self.regex.group_info().slot_len()];
        if let Some(guide) = &self.guide {
            let end = match self.searched {
                Searched::All => self.regex.search_half(&input)?.offset(),
                Searched::Chosen => text.len(),
            };
            match guide.find(text.as_bytes(), (input.start(), end), &mut slots) {
                Way::None => return None,
                Way::Found(pattern) => return Some(self.paired(pattern, &slots)),
                Way::Unknown => slots.fill(None),
            }
        }
        let pattern = self.regex.search_slots(&input, &mut slots)?;
        Some(self.paired(pattern, &slots))
    }

    /// The groups of a pattern that matched.
    fn paired(&self, pattern: PatternID, slots: &[Option<NonMaxUsize>]) -> Spans {
        let span = |start: Option<NonMaxUsize>, end: Option<NonMaxUsize>| Some(start?.get()..end?.get());
        let groups = self.regex.group_info();
        if groups.pattern_len() == 1 {
            let pairs = slots.chunks_exact(2);
            return pairs.map(|pair| span(*pair.first()?, *pair.last()?)).collect();
        }
        let at = |slot: usize| slots.get(slot).copied().flatten();
        let span = |group| groups.slots(pattern, group).and_then(|(start, end)| span(at(start), at(end)));
        (0..groups.group_len(pattern)).map(span).collect()
    }
}

fn classes(alphabet: Alphabet) -> syntax::Config {
    syntax::Config::new().utf8(false).unicode(alphabet == Alphabet::Unicode)
}

/// Patterns that match what they say and no more.
pub(super) fn strict(
    texts: &[String],
    alphabet: Alphabet,
    searched: Searched,
) -> Result<meta::Regex, SyntaxError> {
    let config = match searched {
        Searched::All => meta::Config::new().hybrid_cache_capacity(CACHE),
        Searched::Chosen => meta::Config::new().hybrid(false).dfa(false),
    };
    linear_with(config, texts, alphabet)
}

/// Patterns for the linear engine, as one.
pub(super) fn linear_with(
    config: meta::Config,
    texts: &[String],
    alphabet: Alphabet,
) -> Result<meta::Regex, SyntaxError> {
    let config = config.utf8_empty(false).nfa_size_limit(Some(SIZE_LIMIT));
    let builder = meta::Builder::new().configure(config).syntax(classes(alphabet)).build_many(texts);
    builder.map_err(|error| refused(&error))
}

pub(super) fn refused(error: &dyn std::error::Error) -> SyntaxError {
    let cause = error.source().map(|cause| format!(": {cause}")).unwrap_or_default();
    SyntaxError { problem: format!("{error}{cause}"), offset: 0 }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PATTERNS: [&[&str]; 10] = [
        &[r"\A(?:(a)|(ab))(b*?)(?m:$)"],
        &[r"(?:(a)|(ab))(b|c)*"],
        &[r"(?:\b{start-half}|\b{end-half})(\d{1,2})(?:-(\d+))?(?:\b{start-half}|\b{end-half})"],
        &[r"\b(\w+?)\b(?: (\w+))??", r"(-)([ab])"],
        &[r"([ab]*?)(\d*)(x?)\B"],
        &[r"((?:\d{1,3}\.){3}\d{1,3})|((?:[0-9a-f]{1,4}:{1,2}|:{2}){1,7}(?:[0-9a-f]{1,4}|:))|([-\w.^_]*\w)"],
        &[r"(?s:.)*?(a)(?m:^)?", r"(b)"],
        &[r"\A[^\n]*( b)(?: [^\n]*)?(?m:$)"],
        &[r"(?i:A(b)+)(?:x|\z)"],
        &[r"(a|b)*(?:(x)|(-))?(?m:$)"],
    ];

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(6000))]

        #[test]
        fn the_guide_finds_what_the_engine_finds(
            at in 0..PATTERNS.len(),
            searched in prop::sample::select(vec![Searched::All, Searched::Chosen]),
            words in proptest::collection::vec(
                prop::sample::select(vec!["a", "b", "ab", "c", "x", " ", "-", ".", ":", "::", "1", "23", "192.0.2.1", "\n", "A"]),
                0..12,
            ),
            start in 0..6_usize,
        ) {
            let texts: Vec<String> = PATTERNS[at].iter().map(|text| (*text).to_owned()).collect();
            let guided = Linear::new(&texts, Alphabet::Ascii, searched).unwrap();
            prop_assert!(guided.guide.is_some());
            let plain = Linear { guide: None, ..Linear::new(&texts, Alphabet::Ascii, searched).unwrap() };
            let text = words.concat();
            for start in [0, start.min(text.len())] {
                prop_assert_eq!(guided.spans(&text, start), plain.spans(&text, start));
            }
        }
    }
}
