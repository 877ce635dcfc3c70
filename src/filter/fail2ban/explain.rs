//! What the patterns see of a line, and where it stands in the line: for explaining.

use std::ops::Range;

use regex_syntax::hir::Hir;

use super::date::Detector;
use super::judge::journal_head;
use super::regex::Pattern;
use super::rules::Rules;
use crate::filter::Clock;

/// Takes lines apart, one by one, without what other lines said.
#[derive(Debug)]
pub(in crate::filter) struct Seer<'r> {
    rules: &'r Rules,
    detector: Detector,
}

/// What patterns search.
#[derive(Debug)]
pub(in crate::filter) struct Seen {
    /// The text, which ends with a line feed.
    pub(in crate::filter) text: String,
    /// Where the date was cut out, if one was found.
    pub(in crate::filter) date: Option<Range<usize>>,
    /// Where the text begins in the line without its date.
    base: usize,
    /// What the prefregex caught, in the line.
    prefix: Vec<(String, Range<usize>)>,
}

/// The tree of a pattern.
pub(in crate::filter) struct Tree<'r> {
    pub(in crate::filter) hir: Hir,
    /// The names of its groups, by index.
    pub(in crate::filter) names: &'r [Option<String>],
}

impl Seen {
    /// Where a place of the text is in the line.
    pub(in crate::filter) fn place(&self, at: usize) -> usize {
        let at = self.base + at.min(self.text.len().saturating_sub(1));
        match &self.date {
            Some(date) if at >= date.start => at + date.len(),
            _ => at,
        }
    }

    fn span(&self, span: &Range<usize>) -> Range<usize> {
        let end = self.place(span.end);
        // A span that ends where the date was does not reach over it.
        let end = self
            .date
            .as_ref()
            .filter(|date| self.base + span.end == date.start)
            .map_or(end, |date| date.start);
        self.place(span.start).min(end)..end
    }

    /// The prefregex left nothing of it.
    fn inside(mut self, rules: &Rules) -> Result<Self, Self> {
        let Some((prefix, _)) = &rules.prefix else { return Ok(self) };
        let Some(found) = prefix.find(&self.text) else { return Err(self) };
        self.prefix =
            named(&prefix.pattern, &found).map(|(name, span)| (name.to_owned(), self.span(&span))).collect();
        let content =
            named(&prefix.pattern, &found).find(|(name, _)| *name == "content").map(|(_, span)| span);
        if let Some(span) = content.filter(|span| !span.is_empty()) {
            self.text = format!("{}\n", self.text.get(span.clone()).unwrap_or_default());
            self.base += span.start;
        }
        Ok(self)
    }
}

fn named<'p>(
    pattern: &'p Pattern,
    found: &'p super::regex::Found,
) -> impl Iterator<Item = (&'p str, Range<usize>)> {
    pattern.names.iter().enumerate().filter_map(|(index, name)| Some((name.as_deref()?, found.group(index)?)))
}

impl<'r> Seer<'r> {
    pub(in crate::filter) fn new(rules: &'r Rules) -> Self {
        Self { rules, detector: Detector::new(&rules.formats) }
    }

    /// What the patterns see of a line (without its end); an error: what the prefregex saw, and did not match.
    pub(in crate::filter) fn see(&mut self, line: &str, clock: &Clock) -> Result<Seen, Seen> {
        let date = match self.rules.journal {
            true => journal_head(line, clock).map(|(head, _)| head),
            false => {
                self.detector.find(line, clock.now).map(|dated| dated.span()).filter(|span| !span.is_empty())
            }
        };
        let mut text = format!("{line}\n");
        if let Some(date) = &date {
            text.replace_range(date.clone(), "");
        }
        Seen { text, date, base: 0, prefix: Vec::new() }.inside(self.rules)
    }

    /// Which ignoreregex matches.
    pub(in crate::filter) fn ignored_by(&self, seen: &Seen) -> Option<usize> {
        self.rules.ignore.iter().position(|pattern| pattern.find(&seen.text).is_some())
    }

    /// As it was written, tags expanded.
    pub(in crate::filter) fn exception(&self, index: usize) -> &str {
        self.rules.ignore.get(index).map_or("", |pattern| &pattern.written)
    }

    /// The first pattern that matches.
    pub(in crate::filter) fn first(&self, seen: &Seen) -> Option<usize> {
        self.rules.fail.iter().position(|(pattern, _)| pattern.find(&seen.text).is_some())
    }

    /// Whether the pattern matches.
    pub(in crate::filter) fn tries(&self, index: usize, text: &str) -> bool {
        self.rules.fail.get(index).is_some_and(|(pattern, _)| pattern.find(text).is_some())
    }

    /// What the groups of pattern and prefregex caught, in the line; in the pattern's order.
    pub(in crate::filter) fn captures(&self, index: usize, seen: &Seen) -> Vec<(String, Range<usize>)> {
        let found =
            self.rules.fail.get(index).and_then(|(pattern, _)| Some((pattern, pattern.find(&seen.text)?)));
        let own = found.iter().flat_map(|(pattern, found)| {
            named(pattern, found).map(|(name, span)| (name.to_owned(), seen.span(&span)))
        });
        let before = seen.prefix.iter().filter(|(name, _)| name != "content").cloned();
        before.chain(own).collect()
    }

    /// The trees of the patterns.
    pub(in crate::filter) fn trees(&self) -> Vec<Option<Tree<'r>>> {
        self.rules.fail.iter().map(|(pattern, _)| tree(pattern)).collect()
    }

    /// The tree of the prefregex.
    pub(in crate::filter) fn prefix_tree(&self) -> Option<Tree<'r>> {
        self.rules.prefix.as_ref().and_then(|(prefix, _)| tree(&prefix.pattern))
    }
}

fn tree(pattern: &Pattern) -> Option<Tree<'_>> {
    Some(Tree { hir: pattern.tree()?, names: &pattern.names })
}
