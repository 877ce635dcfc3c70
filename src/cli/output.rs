//! What reaches the terminal: tables, durations, JSON, and text that may be an attacker's.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::io::{self, BufWriter, IsTerminal, Write};
use std::time::Duration;

use comfy_table::{ContentArrangement, Table, presets};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::Serialize;
use serde_json::ser::{Formatter, Serializer};

pub use crate::words::counted;

/// The version of every JSON document's shape.
pub const SCHEMA: u32 = 1;

/// A table without lines, no wider than the terminal (or unbounded where there is none).
#[must_use]
pub fn table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Dynamic);
    table.set_header(header.iter().copied());
    if is_terminal() {
        table.set_width(u16::try_from(width()).unwrap_or(u16::MAX));
    }
    table
}

/// Whether standard output is a terminal.
#[must_use]
pub fn is_terminal() -> bool {
    io::stdout().is_terminal()
}

/// The terminal's width in columns, or a usual one where there is none.
#[must_use]
pub fn width() -> usize {
    terminal_size::terminal_size().map_or(100, |(width, _)| width.0.into())
}

/// Prints a table without trailing blanks.
///
/// # Errors
/// When the output cannot be written.
pub fn print_table(out: &mut dyn Write, table: &Table) -> io::Result<()> {
    table.lines().try_for_each(|line| writeln!(out, "{}", line.strip_prefix(' ').unwrap_or(&line).trim_end()))
}

/// Prints one JSON document on one line: `{"schema":1, ...}`.
///
/// # Errors
/// When the output cannot be written.
pub fn print_json(out: &mut dyn Write, document: &impl Serialize) -> io::Result<()> {
    #[derive(Serialize)]
    struct Versioned<'a, T> {
        schema: u32,
        #[serde(flatten)]
        document: &'a T,
    }
    print_json_line(out, &Versioned { schema: SCHEMA, document })
}

/// Prints one JSON document on one line, as it is.
///
/// # Errors
/// When the output cannot be written.
pub fn print_json_line(out: &mut dyn Write, document: &impl Serialize) -> io::Result<()> {
    // A document is written in many small pieces.
    let mut out = BufWriter::with_capacity(1 << 16, out);
    document.serialize(&mut Serializer::with_formatter(&mut out, Harmless))?;
    out.write_all(b"\n")?;
    out.flush()
}

/// JSON in which nothing can harm a terminal; the data are the same.
struct Harmless;

impl Formatter for Harmless {
    fn write_string_fragment<W: ?Sized + Write>(&mut self, writer: &mut W, text: &str) -> io::Result<()> {
        writer.write_all(harmless_json(text).as_bytes())
    }
}

/// Part of a JSON document, with JSON's escapes for what [`harmless`] escapes. That stands in strings only.
#[must_use]
pub fn harmless_json(text: &str) -> Cow<'_, str> {
    if !text.chars().any(hides) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if hides(c) {
            for unit in c.encode_utf16(&mut [0; 2]) {
                // Writing to a String cannot fail.
                let _ = write!(shown, "\\u{unit:04x}");
            }
        } else {
            shown.push(c);
        }
    }
    Cow::Owned(shown)
}

/// A length of time in its two largest units: `45s`, `9m 41s`, `1d 6h`.
#[must_use]
pub fn duration(length: Duration) -> String {
    const UNITS: [(u64, char); 5] = [(604_800, 'w'), (86_400, 'd'), (3_600, 'h'), (60, 'm'), (1, 's')];
    let mut rest = length.as_secs();
    let mut words = Vec::new();
    for (size, unit) in UNITS {
        if rest >= size || !words.is_empty() {
            words.push((rest / size, unit));
            rest %= size;
        }
    }
    let words: Vec<String> = words
        .iter()
        .take(2)
        .filter(|(number, _)| *number > 0)
        .map(|(number, unit)| format!("{number}{unit}"))
        .collect();
    if words.is_empty() { "0s".into() } else { words.join(" ") }
}

/// A moment in this machine's zone, as strftime(3) has it.
#[must_use]
pub fn local(time: Timestamp, format: &str) -> String {
    time.to_zoned(TimeZone::system()).strftime(format).to_string()
}

/// A moment to the second: `2026-11-21 15:32:11`.
#[must_use]
pub fn moment(time: Timestamp) -> String {
    local(time, "%F %T")
}

/// From one time to a later one; nothing if it is earlier.
#[must_use]
pub fn between(from: Timestamp, to: Timestamp) -> Duration {
    Duration::try_from(to.duration_since(from)).unwrap_or_default()
}

/// A bar for `part` of `most`, of `length` columns when they are the same; in blocks on a terminal that has such letters.
#[must_use]
pub fn bar(part: u32, most: u32, length: usize) -> String {
    drawn(part, most, length, is_terminal() && speaks_utf8())
}

/// Whether the locale says so (locale(7)).
#[must_use]
pub fn speaks_utf8() -> bool {
    let set = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
    let locale = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().find_map(set).unwrap_or_default();
    let locale = locale.to_ascii_lowercase();
    locale.contains("utf-8") || locale.contains("utf8")
}

/// Blocks are drawn to an eighth of a column. Whatever is more than nothing can be seen.
fn drawn(part: u32, most: u32, length: usize, blocks: bool) -> String {
    const EIGHTHS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];
    let parts = if blocks { 8 } else { 1 };
    let full = u128::from(most.max(1));
    let drawn = (u128::from(part) * (length * parts) as u128).div_ceil(full);
    let drawn = usize::try_from(drawn).unwrap_or(usize::MAX).min(length * parts);
    if blocks {
        let rest = EIGHTHS.get(drawn % 8).copied().unwrap_or_default();
        format!("{}{rest}", "█".repeat(drawn / 8))
    } else {
        "#".repeat(drawn)
    }
}

/// Control characters, and those that change the direction of writing (Unicode Bidi_Control, and the invisible ones
/// beside them).
fn hides(c: char) -> bool {
    let turns = |c| matches!(c, '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}');
    c.is_control() || !c.is_ascii() && turns(c)
}

/// Text that somebody else chose, made harmless for a terminal: what hides, or hides others, is shown as an escape.
#[must_use]
pub fn harmless(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if hides(c) {
            // Writing to a String cannot fail.
            let _ = write!(shown, "{}", c.escape_unicode());
        } else {
            shown.push(c);
        }
    }
    shown
}

/// [`harmless`], but a text of several lines keeps them: a report of our own with names from elsewhere in it.
#[must_use]
pub fn harmless_lines(text: &str) -> String {
    text.trim_end().split('\n').map(harmless).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_are_as_long_as_what_they_stand_for() {
        for (part, plain, blocks) in
            [(0, "", ""), (1, "#", "▏"), (50, "##", "██"), (51, "###", "██▏"), (100, "####", "████")]
        {
            assert_eq!(
                (drawn(part, 100, 4, false), drawn(part, 100, 4, true)),
                (plain.into(), blocks.into())
            );
        }
        assert_eq!(drawn(0, 0, 4, true), "");
    }

    #[test]
    fn durations_are_short() {
        for (seconds, expected) in [
            (0, "0s"),
            (45, "45s"),
            (581, "9m 41s"),
            (3600, "1h"),
            (108_000, "1d 6h"),
            (86_401, "1d"),
            (1_209_600, "2w"),
        ] {
            assert_eq!(duration(Duration::from_secs(seconds)), expected);
        }
    }

    #[test]
    fn an_attacker_cannot_write_to_the_terminal() {
        assert_eq!(harmless("a\u{1b}[2J\u{202e}b\n\u{9b}ä"), "a\\u{1b}[2J\\u{202e}b\\u{a}\\u{9b}ä");
        assert_eq!(harmless_lines("a\n  \u{1b}b\r\n"), "a\n  \\u{1b}b");
    }

    #[test]
    fn nor_by_json_whose_data_stay_the_same() {
        let text = "a\u{1b}[2J\u{202e}b\n\u{9b}\u{7f}ä\u{1f600}\"";
        let document = std::collections::BTreeMap::from([(text, text)]);
        let mut out = Vec::new();
        print_json(&mut out, &document).unwrap();
        let out = String::from_utf8(out).unwrap();
        let shown = r#"a\u001b[2J\u202eb\n\u009b\u007fä😀\""#;
        assert_eq!(out, format!("{{\"schema\":1,\"{shown}\":\"{shown}\"}}\n"));
        let read: serde_json::Value = serde_json::from_str(&out).unwrap();
        assert_eq!(read[text], text);
    }
}
