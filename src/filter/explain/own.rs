//! Explaining the patterns of a filter in TOML.

use std::ops::Range;

use regex_syntax::hir::Hir;

use super::walk::Walk;
use super::{Capture, Explanation, Nearest, Outcome, Ranking, Stop, Wanted};
use crate::filter::own::{Own, Texts};
use crate::filter::prefix::{self, DateText, Head};
use crate::filter::tags::{self, DATE_GROUP, HOST_GROUP};
use crate::filter::{LONGEST_LINE, pattern};

pub(super) struct Explainer<'f> {
    own: &'f Own,
    /// The trees of the patterns; none where only conditions are.
    trees: Vec<Option<Hir>>,
}

impl<'f> Explainer<'f> {
    pub(super) fn new(own: &'f Own) -> Self {
        let tree = |index| {
            let expanded = tags::expand(&own.pattern(index)?.written).ok()?;
            pattern::parse(&expanded.regex).ok()
        };
        Self { own, trees: (0..own.patterns().count()).map(tree).collect() }
    }

    pub(super) fn explain(&self, line: &[u8]) -> Explanation {
        let trimmed = prefix::trim_end(line);
        let shown = Shown { line: trimmed, text: String::from_utf8_lossy(trimmed).into_owned() };
        let head = prefix::parse(line);
        let texts = self.own.texts(line, &head);
        let (outcome, caught) = self.outcome(&shown, &head, texts);
        let date = caught.or_else(|| {
            let (DateText::Bsd(text) | DateText::Iso(text) | DateText::Stamp(text)) = head.date?;
            let start = shown.offset(text);
            Some(shown.span(start, &(0..text.len())))
        });
        Explanation { text: shown.text, date, outcome }
    }

    /// What becomes of the line, and where a pattern caught its date.
    fn outcome(
        &self,
        shown: &Shown<'_>,
        head: &Head<'_>,
        texts: Texts<'_>,
    ) -> (Outcome, Option<Range<usize>>) {
        if let Some(exception) = self.own.ignored_by(texts) {
            let regex = self.own.exceptions().nth(exception).unwrap_or_default().to_owned();
            return (Outcome::Ignored { exception, regex }, None);
        }
        if let Some(found) = self.own.first_from(0, texts).or_else(|| self.own.first_rule(texts)) {
            let pattern = found.pattern;
            let text = if found.in_message { texts.message } else { texts.whole };
            let (captures, date) = self.captures(pattern, text.unwrap_or_default(), shown);
            return (Outcome::Matched { pattern, captures }, date);
        }
        let program = head.program.map(|program| String::from_utf8_lossy(program).into_owned());
        match (texts.message, program) {
            (None, Some(program)) => {
                let programs = self.own.definition().programs.clone();
                (Outcome::OtherProgram { program, programs }, None)
            }
            _ => (self.missed(shown, texts), None),
        }
    }

    fn captures(&self, index: usize, text: &[u8], shown: &Shown<'_>) -> (Vec<Capture>, Option<Range<usize>>) {
        let base = shown.offset(text);
        let spans = self.own.pattern(index).and_then(|pattern| pattern.spans(text)).unwrap_or_default();
        let (dates, others): (Vec<_>, Vec<_>) = spans.into_iter().partition(|(name, _)| *name == DATE_GROUP);
        let captures = others.into_iter().map(|(name, span)| Capture {
            name: tags::field_name(name).unwrap_or(name).to_owned(),
            span: shown.span(base, &span),
        });
        (captures.collect(), dates.first().map(|(_, span)| shown.span(base, span)))
    }

    fn missed(&self, shown: &Shown<'_>, texts: Texts<'_>) -> Outcome {
        let mut ranking = Ranking::default();
        for (text, whole) in [(texts.message, false), (texts.whole, true)] {
            let Some(text) = text else { continue };
            let base = shown.offset(text);
            let at = |at| shown.span(base, &(at..at)).start;
            let mut walk = Walk::new(text);
            for (index, tree) in self.trees.iter().enumerate() {
                let (Some(tree), Some(pattern)) = (tree, self.own.pattern(index)) else { continue };
                if whole && !pattern.dated {
                    continue;
                }
                ranking.walk(&mut walk, (index, tree, &[]), &at, |way| {
                    let host = pattern.spans(text).unwrap_or_default();
                    let host = host.into_iter().find(|(name, _)| *name == HOST_GROUP);
                    let place = host.map(|(_, span)| span.start).or(way.places.last().copied());
                    Stop { at: at(place.unwrap_or_default()), wanted: Wanted::Host }
                });
            }
        }
        if let Some(message) = texts.message {
            for (index, rule) in (self.trees.len() - self.own.rules().len()..).zip(self.own.rules()) {
                let Some((passed, condition)) = rule.refusal(message) else { continue };
                let stop = Stop {
                    at: shown.span(0, &(0..shown.line.len())).end,
                    wanted: Wanted::Condition(condition),
                };
                ranking.add((passed, 0), Nearest { pattern: index, stop });
            }
        }
        ranking.outcome()
    }

    pub(super) fn prepare(&self, line: &[u8]) -> super::Texts {
        let line = if line.len() < LONGEST_LINE { line } else { b"" };
        let Texts { whole, message } = self.own.texts(line, &prefix::parse(line));
        super::Texts::Own { whole: whole.map(<[u8]>::to_vec), message: message.map(<[u8]>::to_vec) }
    }

    pub(super) fn tries(&self, index: usize, texts: Texts<'_>) -> bool {
        self.own.tries(index, texts)
    }
}

pub(super) fn seen<'l>(whole: Option<&'l [u8]>, message: Option<&'l [u8]>) -> Texts<'l> {
    Texts { whole, message }
}

/// The line as it is, and as it is shown where it is no UTF-8.
struct Shown<'l> {
    line: &'l [u8],
    text: String,
}

impl Shown<'_> {
    /// Where a part of the line begins in it.
    fn offset(&self, part: &[u8]) -> usize {
        let start = part.as_ptr().addr().wrapping_sub(self.line.as_ptr().addr());
        if start <= self.line.len() { start } else { 0 }
    }

    /// A span of the part that begins at `base`, in the shown text.
    fn span(&self, base: usize, span: &Range<usize>) -> Range<usize> {
        let place = |at: usize| {
            let before = self.line.get(..base + at).unwrap_or(self.line);
            let mut at = String::from_utf8_lossy(before).len();
            // Patterns work on bytes, and may stop within a character.
            while !self.text.is_char_boundary(at) {
                at -= 1;
            }
            at
        };
        place(span.start)..place(span.end)
    }
}
