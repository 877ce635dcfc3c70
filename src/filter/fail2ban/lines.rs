//! The last lines of a source, for patterns that match over several.

use std::collections::VecDeque;
use std::ops::Range;

use super::regex::{Found, Pattern};

/// A line, with its date cut out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Line(String);

impl Line {
    pub(super) fn new(text: &str) -> Self {
        Self(text.to_owned())
    }
}

/// At most so many lines as the filter's `maxlines`.
#[derive(Debug)]
pub(super) struct Buffer {
    lines: Lines,
    most: usize,
}

/// Some lines.
#[derive(Debug, Clone, Default)]
pub(super) struct Lines(VecDeque<Line>);

/// The lines that a match took, and the others.
#[derive(Debug, Default)]
pub(super) struct Split {
    pub(super) matched: Vec<Line>,
    pub(super) unmatched: Lines,
}

impl Buffer {
    pub(super) fn new(most: usize) -> Self {
        Self { lines: Lines::default(), most }
    }

    /// Adds a line; returns what is held now.
    pub(super) fn push(&mut self, line: Line) -> Lines {
        self.lines.0.push_back(line);
        while self.lines.0.len() > self.most {
            self.lines.0.pop_front();
        }
        self.lines.clone()
    }

    pub(super) fn replace(&mut self, line: Line) {
        self.lines = Lines(VecDeque::from([line]));
    }

    pub(super) fn set(&mut self, lines: Lines) {
        self.lines = lines;
    }

    /// What patterns search: each line ends with a line feed.
    pub(super) fn text(&self) -> String {
        text_of(&self.lines.0)
    }
}

/// Some lines as one text.
pub(super) fn text_of<'l>(lines: impl IntoIterator<Item = &'l Line>) -> String {
    let joined: Vec<&str> = lines.into_iter().map(|line| line.0.as_str()).collect();
    format!("{}\n", joined.join("\n"))
}

impl Lines {
    /// Divides the lines by a match in `searched`. What `<SKIPLINES>` passed over is not matched.
    pub(super) fn split(&self, searched: &str, found: &Found, pattern: &Pattern) -> Split {
        if self.0.len() <= 1 {
            return Split { matched: self.0.iter().cloned().collect(), unmatched: Lines::default() };
        }
        let whole = found.whole();
        let feeds = |range: Range<usize>| {
            searched.as_bytes().get(range).unwrap_or_default().iter().filter(|byte| **byte == b'\n').count()
        };
        let bytes = searched.as_bytes();
        let start = bytes
            .get(..(whole.start + 1).min(bytes.len()))
            .and_then(|before| before.iter().rposition(|byte| *byte == b'\n'))
            .map_or(0, |feed| feed + 1);
        let from = whole.end.saturating_sub(1);
        let end = bytes
            .get(from..)
            .and_then(|behind| behind.iter().position(|byte| *byte == b'\n'))
            .map_or(bytes.len(), |feed| from + feed + 1);
        let (first, last) = (feeds(0..start), feeds(0..end));
        let mut matched: Vec<Line> = self.0.iter().take(last).skip(first).cloned().collect();
        let mut unmatched: VecDeque<Line> = self.0.iter().take(first).cloned().collect();
        let mut from = 0;
        for skipped in skipped(searched, found, pattern) {
            let place = matched.iter().skip(from).position(|line| line.0 == skipped);
            if let Some(place) = place {
                unmatched.push_back(matched.remove(from + place));
                from += place;
            }
        }
        unmatched.extend(self.0.iter().skip(last).cloned());
        Split { matched, unmatched: Lines(unmatched) }
    }
}

/// The lines that `<SKIPLINES>` passed over.
fn skipped<'t>(searched: &'t str, found: &Found, pattern: &Pattern) -> Vec<&'t str> {
    let mut lines = Vec::new();
    for (index, name) in pattern.names.iter().enumerate() {
        if name.as_ref().is_some_and(|name| name.starts_with("skiplines")) {
            let caught = found.group(index).and_then(|span| searched.get(span));
            lines.extend(caught.unwrap_or_default().lines());
        }
    }
    lines
}
