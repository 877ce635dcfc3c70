//! Patterns that the linear engines run.

use std::ops::Range;

use regex_automata::nfa::thompson::{NFA, WhichCaptures};
use regex_automata::util::syntax;
use smallvec::{SmallVec, smallvec};

use super::parse::SyntaxError;
use super::trace::{Traced, Tracer, UNSET};
use super::translate::Alphabet;

/// What one pattern may take once compiled, in bytes.
const SIZE_LIMIT: usize = 16 << 20;

/// Where a pattern and its groups match: two slots for each group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Spans(SmallVec<[u32; 24]>);

impl Spans {
    /// Of so many groups, none of which matched.
    pub(super) fn unset(groups: usize) -> Self {
        Self(smallvec![UNSET; 2 * groups])
    }

    pub(super) fn get(&self, group: usize) -> Option<Range<usize>> {
        match self.0.get(2 * group..2 * group + 2)? {
            &[start, end] if start != UNSET && end != UNSET => Some(start as usize..end as usize),
            _ => None,
        }
    }

    pub(super) fn set(&mut self, group: usize, span: &Range<usize>) {
        if self.0.len() < 2 * group + 2 {
            self.0.resize(2 * group + 2, UNSET);
        }
        let place = |at: usize| u32::try_from(at).unwrap_or(UNSET);
        if let Some(slots) = self.0.get_mut(2 * group..2 * group + 2) {
            slots.copy_from_slice(&[place(span.start), place(span.end)]);
        }
    }
}

/// Patterns as one.
#[derive(Debug)]
pub(super) struct Linear(Tracer);

impl Linear {
    /// Groups are asked for.
    pub(super) fn new(texts: &[String], alphabet: Alphabet) -> Result<Self, SyntaxError> {
        Ok(Self(Tracer::new(automaton(texts, alphabet, WhichCaptures::All)?)))
    }

    /// Only whether they match, and where.
    pub(super) fn without_groups(texts: &[String], alphabet: Alphabet) -> Result<Self, SyntaxError> {
        Ok(Self(Tracer::new(automaton(texts, alphabet, WhichCaptures::Implicit)?)))
    }

    /// The leftmost match that starts at `start` or behind it; and after how many bytes it was decided, if not by all.
    pub(super) fn spans(&self, text: &str, start: usize) -> Option<(Spans, Option<usize>)> {
        let groups = self.0.nfa().group_info();
        let mut slots: SmallVec<[u32; 64]> = smallvec![UNSET; groups.slot_len()];
        let range = start.min(text.len())..text.len();
        let Traced { pattern, decided } = self.0.find(text.as_bytes(), range, false, &mut slots)?;
        if groups.pattern_len() == 1 {
            return Some((Spans(SmallVec::from_slice(&slots)), decided));
        }
        let slot = |slot: usize| slots.get(slot).copied().unwrap_or(UNSET);
        let of_group =
            |group| groups.slots(pattern, group).map_or([UNSET; 2], |(start, end)| [slot(start), slot(end)]);
        let spans = (0..groups.group_len(pattern)).flat_map(of_group).collect();
        Some((Spans(spans), decided))
    }

    /// Whether there is a match that starts at `start` or behind it; with `here`, at `start`.
    pub(super) fn is_match(&self, text: &str, start: usize, here: bool) -> bool {
        self.0.find(text.as_bytes(), start.min(text.len())..text.len(), here, &mut []).is_some()
    }

    /// Whether they match at a text's start only.
    pub(super) fn is_of_start(&self) -> bool {
        self.0.nfa().is_always_start_anchored()
    }
}

/// Patterns that match what they say and no more, as one automaton.
pub(super) fn automaton(
    texts: &[String],
    alphabet: Alphabet,
    captures: WhichCaptures,
) -> Result<NFA, SyntaxError> {
    let config = NFA::config().utf8(false).nfa_size_limit(Some(SIZE_LIMIT)).which_captures(captures);
    let syntax = syntax::Config::new().utf8(false).unicode(alphabet == Alphabet::Unicode);
    let compiled = NFA::compiler().configure(config).syntax(syntax).build_many(texts);
    compiled.map_err(|error| refused(&error))
}

fn refused(error: &dyn std::error::Error) -> SyntaxError {
    let cause = error.source().map(|cause| format!(": {cause}")).unwrap_or_default();
    SyntaxError { problem: format!("{error}{cause}"), offset: 0 }
}
