//! The line of a file that a problem is in, made fit to be shown.
//!
//! The text of a file reaches a terminal here. Administrators copy lines from anywhere, so control and
//! direction-changing characters are shown, never sent: one visible character each in an excerpt (the columns
//! stay right), an escape in a sentence.

use std::ops::Range;

/// A span, brought to one line of text.
pub(super) struct Place<'t> {
    /// From 1.
    pub(super) line: usize,
    /// In characters, from 1.
    pub(super) column: usize,
    /// The line, without its end.
    pub(super) text: &'t str,
    /// Bytes of `text`.
    pub(super) span: Range<usize>,
}

impl<'t> Place<'t> {
    /// Whatever the span (past the end, inside a character, over several lines), there is a line to show.
    pub(super) fn find(text: &'t str, span: &Range<usize>) -> Self {
        let start = boundary(text, span.start);
        let (before, rest) = text.split_at(start);
        let begin = before.rfind('\n').map_or(0, |newline| newline + 1);
        let line_end = start + rest.find('\n').unwrap_or(rest.len());
        let shown = text.get(begin..line_end).unwrap_or_default().trim_end_matches('\r');
        let from = (start - begin).min(shown.len());
        let to = boundary(shown, span.end.saturating_sub(begin)).max(from);
        Place {
            line: before.bytes().filter(|byte| *byte == b'\n').count() + 1,
            column: text.get(begin..start).unwrap_or_default().chars().count() + 1,
            text: shown,
            span: from..to,
        }
    }
}

/// The last boundary between characters that is not behind `place`.
fn boundary(text: &str, place: usize) -> usize {
    (0..=place.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0)
}

/// Characters that change what a terminal shows instead of being shown.
fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// Hidden characters as escapes: `\u{1b}`.
pub(super) fn in_sentence(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if is_hidden(c) { out.extend(c.escape_unicode()) } else { out.push(c) }
    }
    out
}

/// Hidden characters as one visible character each, and the span moved along. A tab stays: it is drawn as spaces.
pub(super) fn in_excerpt(line: &str, span: &Range<usize>) -> (String, Range<usize>) {
    let mut out = String::with_capacity(line.len());
    let (mut start, mut end) = (None, None);
    for (place, c) in line.char_indices() {
        if place >= span.start {
            start.get_or_insert(out.len());
        }
        if place >= span.end {
            end.get_or_insert(out.len());
        }
        out.push(match c {
            '\t' => '\t',
            '\u{0}'..='\u{1f}' => char::from_u32(0x2400 + u32::from(c)).unwrap_or('\u{fffd}'),
            _ if is_hidden(c) => '\u{fffd}',
            _ => c,
        });
    }
    let span = start.unwrap_or(out.len())..end.unwrap_or(out.len());
    (out, span)
}
