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
        span(&self.0, group)
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

/// Where the groups of an automaton match, which may be more than those of its pattern.
#[derive(Default)]
pub(super) struct Slots(SmallVec<[u32; 64]>);

impl Slots {
    pub(super) fn get(&self, group: usize) -> Option<Range<usize>> {
        span(&self.0, group)
    }
}

fn span(slots: &[u32], group: usize) -> Option<Range<usize>> {
    match slots.get(2 * group..2 * group + 2)? {
        &[start, end] if start != UNSET && end != UNSET => Some(start as usize..end as usize),
        _ => None,
    }
}

/// A pattern.
#[derive(Debug)]
pub(super) struct Linear(Tracer);

impl Linear {
    /// Groups are asked for.
    pub(super) fn new(text: &str, alphabet: Alphabet) -> Result<Self, SyntaxError> {
        Ok(Self(Tracer::new(automaton(&[text], alphabet, WhichCaptures::All)?)))
    }

    /// Only whether it matches, and where.
    pub(super) fn without_groups(text: &str, alphabet: Alphabet) -> Result<Self, SyntaxError> {
        Ok(Self(Tracer::new(automaton(&[text], alphabet, WhichCaptures::Implicit)?)))
    }

    /// The leftmost match that starts at `start` or behind it; and after how many bytes it was decided, if not by all.
    pub(super) fn spans(&self, text: &str, start: usize) -> Option<(Spans, Option<usize>)> {
        let mut slots = Slots::default();
        let traced = self.slots(text, start, &mut slots)?;
        Some((Spans(SmallVec::from_slice(&slots.0)), traced.decided))
    }

    /// The same, into `slots`.
    pub(super) fn slots(&self, text: &str, start: usize, slots: &mut Slots) -> Option<Traced> {
        slots.0.resize(self.0.nfa().group_info().slot_len(), UNSET);
        self.0.find(text.as_bytes(), start.min(text.len()), false, &mut slots.0)
    }

    /// Whether there is a match that starts at `start` or behind it; with `here`, at `start`.
    pub(super) fn is_match(&self, text: &str, start: usize, here: bool) -> bool {
        self.0.find(text.as_bytes(), start.min(text.len()), here, &mut []).is_some()
    }

    /// Whether it matches at a text's start only.
    pub(super) fn is_of_start(&self) -> bool {
        self.0.nfa().is_always_start_anchored()
    }
}

/// Patterns that match what they say and no more, as one automaton.
pub(super) fn automaton(
    texts: &[impl AsRef<str>],
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
