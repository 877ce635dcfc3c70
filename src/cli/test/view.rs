//! One line of a log on a terminal, with marks under it: what was caught, or where a pattern stopped.

use std::io::{self, Write};
use std::ops::Range;

use anstyle::{AnsiColor, Style};
use unicode_width::UnicodeWidthStr;

use crate::cli::output::harmless;
use crate::filter::explain::{Explanation, Nearest, Outcome, Stop, Wanted};

/// What stands before each row.
const INDENT: &str = "    ";
/// More of a class or a choice is not shown, in characters.
const LONGEST_WANTED: usize = 60;

/// What is marked in a text.
#[derive(Debug, Clone)]
struct Mark {
    span: Range<usize>,
    label: String,
    style: Style,
}

/// A character as it is shown.
struct Cell {
    /// Its first byte in the text.
    at: usize,
    shown: String,
    columns: usize,
}

/// Prints an explained line. `pattern` gives the text of a pattern, `width` is that of the terminal.
pub(super) fn print(
    out: &mut dyn Write,
    explained: &Explanation,
    pattern: &dyn Fn(usize) -> String,
    width: usize,
) -> io::Result<()> {
    let mut marks = Vec::new();
    if let Some(span) = &explained.date {
        marks.push(Mark { span: span.clone(), label: "date".into(), style: AnsiColor::Cyan.on_default() });
    }
    if let Outcome::Matched { captures, .. } = &explained.outcome {
        marks.extend(captures.iter().map(|capture| Mark {
            span: capture.span.clone(),
            label: capture.name.clone(),
            style: match capture.name.as_str() {
                "host" => AnsiColor::Red.on_default().bold(),
                _ => AnsiColor::Yellow.on_default(),
            },
        }));
    }
    if let Some(stop) = stop(&explained.outcome) {
        let label = format!("here it wanted {}", wanted(&stop.wanted));
        marks.push(Mark { span: stop.at..stop.at, label, style: AnsiColor::Red.on_default().bold() });
    }
    marked(out, &explained.text, &marks, width.saturating_sub(INDENT.len()).max(20))?;
    for sentence in sentences(explained, pattern) {
        writeln!(out, "{INDENT}{}", harmless(&sentence))?;
    }
    Ok(())
}

/// Where the nearest pattern stopped, if that is a place of the line.
fn stop(outcome: &Outcome) -> Option<&Stop> {
    let stop = match outcome {
        Outcome::Missed { nearest, .. } => &nearest.as_ref()?.stop,
        Outcome::NoPrefix { stop } => stop.as_ref()?,
        _ => return None,
    };
    (!matches!(stop.wanted, Wanted::Condition(_))).then_some(stop)
}

/// What is to be said below the line.
fn sentences(explained: &Explanation, pattern: &dyn Fn(usize) -> String) -> Vec<String> {
    let mut said = match &explained.outcome {
        Outcome::Matched { pattern: index, .. } => vec![format!("pattern {index}: {}", pattern(*index))],
        Outcome::Ignored { exception, regex } => vec![format!("ignored by ignoreregex {exception}: {regex}")],
        Outcome::OtherProgram { program, programs } => {
            vec![format!(
                "not looked at: it is of {program}, and only lines of {} count",
                programs.join(", ")
            )]
        }
        Outcome::TooLong => vec!["not looked at: it is too long (64 KiB or more)".to_owned()],
        Outcome::NoPrefix { .. } => vec!["the prefregex does not match, so no pattern was tried".to_owned()],
        Outcome::Missed { nearest: None, complete: true } => {
            vec!["no pattern has anything in common with it".to_owned()]
        }
        Outcome::Missed { nearest: None, complete: false } => Vec::new(),
        Outcome::Missed { nearest: Some(Nearest { pattern: index, stop }), .. } => {
            let nearest = format!("nearest is pattern {index}: {}", pattern(*index));
            match &stop.wanted {
                Wanted::Condition(condition) => vec![nearest, format!("it wanted {condition}")],
                _ => vec![nearest],
            }
        }
    };
    if matches!(explained.outcome, Outcome::Missed { complete: false, .. }) {
        said.push("comparing it took too many steps: not all patterns were compared with it".to_owned());
    }
    if explained.date.is_none() && !matches!(explained.outcome, Outcome::TooLong) {
        said.push("no date was found: it would count as happening now".to_owned());
    }
    said
}

fn wanted(wanted: &Wanted) -> String {
    let cut = |text: &str| match text.char_indices().nth(LONGEST_WANTED) {
        Some((end, _)) => format!("{}...", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    };
    match wanted {
        Wanted::Text(text) => format!("{text:?}"),
        Wanted::Class(class) => format!("a character of {}", cut(class)),
        Wanted::Any => "any character".to_owned(),
        Wanted::OneOf(choice) => format!("one of {}", cut(choice)),
        Wanted::Host => "an address".to_owned(),
        Wanted::Date => "a date".to_owned(),
        Wanted::Start => "the start of the message".to_owned(),
        Wanted::End => "the end of the line".to_owned(),
        Wanted::Boundary => "the edge of a word".to_owned(),
        Wanted::Around => "something else around it (look-around or back-reference)".to_owned(),
        Wanted::Condition(condition) => condition.clone(),
    }
}

/// The text in rows of at most `width` columns, each with its marks below it.
fn marked(out: &mut dyn Write, text: &str, marks: &[Mark], width: usize) -> io::Result<()> {
    let mut rows: Vec<Vec<Cell>> = vec![Vec::new()];
    let mut used = 0;
    for (at, c) in text.char_indices() {
        let shown = harmless(c.encode_utf8(&mut [0; 4]));
        let columns = shown.width();
        if used + columns > width {
            rows.push(Vec::new());
            used = 0;
        }
        used += columns;
        if let Some(row) = rows.last_mut() {
            row.push(Cell { at, shown, columns });
        }
    }
    let mut rows = rows.iter().peekable();
    while let Some(row) = rows.next() {
        print_row(out, row, marks)?;
        let begin = row.first().map_or(0, |cell| cell.at);
        let end = rows.peek().and_then(|next| next.first()).map_or(text.len() + 1, |cell| cell.at);
        print_marks(out, row, marks, begin..end)?;
    }
    Ok(())
}

fn print_row(out: &mut dyn Write, row: &[Cell], marks: &[Mark]) -> io::Result<()> {
    write!(out, "{INDENT}")?;
    let mark = |cell: &Cell| marks.iter().position(|mark| mark.span.contains(&cell.at));
    for run in row.chunk_by(|a, b| mark(a) == mark(b)) {
        let text: String = run.iter().map(|cell| cell.shown.as_str()).collect();
        match run.first().and_then(mark).and_then(|mark| marks.get(mark)) {
            Some(mark) => write!(out, "{}{text}{}", mark.style.render(), mark.style.render_reset())?,
            None => write!(out, "{text}")?,
        }
    }
    writeln!(out)
}

/// The marks that lie in a row which holds the bytes `bytes`.
fn print_marks(out: &mut dyn Write, row: &[Cell], marks: &[Mark], bytes: Range<usize>) -> io::Result<()> {
    let column =
        |at: usize| row.iter().take_while(|cell| cell.at < at).map(|cell| cell.columns).sum::<usize>();
    let mut here: Vec<(usize, usize, &Mark)> = marks
        .iter()
        .filter(|mark| {
            bytes.contains(&mark.span.start) || (mark.span.start < bytes.start && mark.span.end > bytes.start)
        })
        .map(|mark| {
            let start = column(mark.span.start);
            (start, column(mark.span.end).saturating_sub(start).max(1), mark)
        })
        .collect();
    here.sort_by_key(|(start, length, _)| (*start, *length));
    if here.is_empty() {
        return Ok(());
    }
    let mut carets = Rows::default();
    let mut labels = Rows::default();
    for (start, length, mark) in here {
        carets.put(start, &"^".repeat(length), mark.style);
        labels.put(start, &harmless(&mark.label), mark.style);
    }
    carets.print(out)?;
    labels.print(out)
}

/// Rows of texts at columns; what would touch another goes into the next row.
#[derive(Default)]
struct Rows(Vec<(usize, String)>);

impl Rows {
    fn put(&mut self, column: usize, text: &str, style: Style) {
        let place = self.0.iter().position(|(used, _)| *used == 0 || *used < column);
        let place = place.unwrap_or_else(|| {
            self.0.push((0, String::new()));
            self.0.len() - 1
        });
        if let Some((used, row)) = self.0.get_mut(place) {
            row.push_str(&" ".repeat(column - *used));
            row.push_str(&format!("{}{text}{}", style.render(), style.render_reset()));
            *used = column + text.width();
        }
    }

    fn print(&self, out: &mut dyn Write) -> io::Result<()> {
        self.0.iter().try_for_each(|(_, row)| writeln!(out, "{INDENT}{row}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::filter::explain::Capture;

    /// Without colours.
    fn shown(text: &str, captures: &[(&str, &str)], width: usize) -> String {
        let capture = |(name, caught): &(&str, &str)| {
            let start = text.find(caught).unwrap();
            Capture { name: (*name).to_owned(), span: start..start + caught.len() }
        };
        let captures = captures.iter().map(capture).collect();
        let explained = Explanation {
            text: text.to_owned(),
            date: None,
            outcome: Outcome::Matched { pattern: 0, captures },
        };
        let mut out = Vec::new();
        print(&mut out, &explained, &|_| "^x".to_owned(), width).unwrap();
        let plain = anstream::adapter::strip_bytes(&out).into_vec();
        String::from_utf8(plain).unwrap()
    }

    #[test]
    fn marks_stand_under_what_was_caught_however_it_is_shown() {
        let shown = shown(
            "u=\u{1b}[2J日本e\u{301} from 192.0.2.1 \u{202e}x",
            &[("user", "日本e\u{301}"), ("host", "192.0.2.1")],
            100,
        );
        insta::assert_snapshot!(shown, @r"
        u=\u{1b}[2J日本é from 192.0.2.1 \u{202e}x
                   ^^^^^      ^^^^^^^^^
                   user       host
        pattern 0: ^x
        no date was found: it would count as happening now
        ");
    }

    #[test]
    fn labels_that_touch_go_below_each_other_and_rows_are_as_wide_as_the_terminal() {
        insta::assert_snapshot!(shown("a b from 192.0.2.1 port 22 and more", &[("user", "a"), ("alt_user", "b"), ("host", "192.0.2.1")], 24), @r"
        a b from 192.0.2.1 p
        ^ ^      ^^^^^^^^^
        user     host
          alt_user
        ort 22 and more
        pattern 0: ^x
        no date was found: it would count as happening now
        ");
    }

    #[test]
    fn an_empty_capture_is_one_mark() {
        insta::assert_snapshot!(shown("ab", &[("user", "")], 80), @r"
        ab
        ^
        user
        pattern 0: ^x
        no date was found: it would count as happening now
        ");
    }
}
