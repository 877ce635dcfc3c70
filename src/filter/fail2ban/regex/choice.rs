//! Which of many patterns may match a line, found in one pass over it.

use std::fmt;
use std::sync::OnceLock;

use regex_automata::meta::Regex;
use regex_automata::nfa::thompson::WhichCaptures;
use regex_automata::{Input, MatchKind, PatternID, PatternSet};

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
}

/// The patterns that may match.
#[derive(Debug)]
pub(in crate::filter::fail2ban) struct Chosen(PatternSet);

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
        Some(Self { ascii, unicode: OnceLock::new(), supersets: texts(Alphabet::Unicode) })
    }

    /// None: any.
    pub(in crate::filter::fail2ban) fn choose(&self, text: &str) -> Option<Chosen> {
        let regex = if text.is_ascii() {
            &self.ascii
        } else {
            self.unicode.get_or_init(|| automaton(&self.supersets, Alphabet::Unicode)).as_ref()?
        };
        let mut chosen = PatternSet::new(regex.pattern_len());
        regex.which_overlapping_matches(&Input::new(text), &mut chosen);
        Some(Chosen(chosen))
    }
}

impl Chosen {
    pub(in crate::filter::fail2ban) fn contains(&self, index: usize) -> bool {
        PatternID::new(index).is_ok_and(|index| self.0.contains(index))
    }

    pub(in crate::filter::fail2ban) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

fn automaton(texts: &[String], alphabet: Alphabet) -> Option<Regex> {
    let config = Regex::config()
        .match_kind(MatchKind::All)
        .which_captures(WhichCaptures::None)
        .hybrid_cache_capacity(CACHE);
    linear_with(config, texts, alphabet).ok()
}
