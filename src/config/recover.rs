//! Reading one file to its end, whatever is wrong with it.
//!
//! serde stops at the first error. So that all are told at once and the structs in [`super::file`] stay the only
//! definition: what an error points at is taken out of the parsed tree, and the rest is read again.

use std::ops::Range;
use std::sync::Arc;

use serde::Deserialize;
use toml::Spanned;
use toml::de::{DeArray, DeTable, DeValue};

use super::file::File;
use super::report::{Problem, SourceFile};
use super::suggest::nearest;
use super::value::short;

/// Problems told of one file, and readings at most. Nobody mends more at a time.
const MOST_PROBLEMS: usize = 100;

/// The part of the file that is valid (none, if there is too much wrong), and what is wrong with the rest.
pub(super) fn read(source: &Arc<SourceFile>) -> (DeTable<'_>, Vec<Problem>) {
    let (table, syntax) = DeTable::parse_recoverable(&source.text);
    let span = table.span();
    let mut table = table.into_inner();
    let mut problems = Vec::new();
    for error in syntax.iter().take(MOST_PROBLEMS) {
        let span = error.span().unwrap_or(0..0);
        let typed = source.text.get(span.clone()).unwrap_or_default();
        problems.push(not_toml(error.message(), typed).at(source, span));
    }
    let broken = problems.iter().filter_map(|problem| problem.span.as_ref());
    let guessed: Vec<_> = broken.map(|span| guessed(&source.text, span.start)).collect();
    if !guessed.is_empty() {
        prune(&mut table, &guessed);
    }
    for _ in problems.len()..MOST_PROBLEMS {
        let document = Spanned::new(span.clone(), table.clone());
        let Err(error) = File::deserialize(toml::Deserializer::from(document)) else {
            return (table, problems);
        };
        let at = error.span().unwrap_or_else(|| span.clone());
        let Some(removed) = remove(&mut table, &at, &mut Vec::new()) else {
            problems.push(Problem::error(error.message()).at(source, at));
            return (DeTable::new(), problems);
        };
        let problem = explain(error.message(), &removed).at(source, at);
        // A table in double brackets has the span of the list around it.
        if !problems.contains(&problem) {
            problems.push(problem);
        }
    }
    problems.push(
        Problem::error("there are more problems in this file than can be told at once")
            .at(source, source.text.len()..source.text.len())
            .help("mend the ones above first"),
    );
    (DeTable::new(), problems)
}

/// What the parser can only have guessed after a syntax error: the rest of that line; after a broken [header], all
/// keys below it. Nothing is told of it but the syntax error.
fn guessed(text: &str, error: usize) -> Range<usize> {
    let error = error.min(text.len());
    let begin =
        text.as_bytes().iter().take(error).rposition(|byte| *byte == b'\n').map_or(0, |newline| newline + 1);
    let rest = text.get(begin..).unwrap_or_default();
    let until = if rest.trim_start().starts_with('[') { "\n[" } else { "\n" };
    begin..rest.find(until).map_or(text.len(), |length| begin + length) + 1
}

/// Leaves out what stands in these parts; a table stays as long as something below it stands elsewhere.
fn prune(table: &mut DeTable<'_>, guessed: &[Range<usize>]) {
    let entries = std::mem::take(table).into_iter().filter_map(|(key, mut value)| {
        let kept = match value.get_mut() {
            DeValue::Table(inner) => {
                prune(inner, guessed);
                !inner.is_empty()
            }
            _ => false,
        };
        let is_guess = guessed.iter().any(|part| part.contains(&key.span().start));
        (kept || !is_guess).then_some((key, value))
    });
    *table = entries.collect();
}

/// What was taken out of the tree.
struct Removed {
    /// The names of the tables around it, and its own key.
    path: Vec<String>,
    /// The error was at the key, not at the value.
    key: bool,
    /// A table was behind the key.
    table: bool,
}

/// Takes out the innermost entry or element whose key or value has this span.
fn remove(table: &mut DeTable<'_>, span: &Range<usize>, path: &mut Vec<String>) -> Option<Removed> {
    let mut found = None;
    for (key, value) in table.iter_mut() {
        path.push(key.get_ref().to_string());
        if let Some(removed) = remove_inside(value.get_mut(), span, path) {
            return Some(removed);
        }
        if found.is_none() && (key.span() == *span || value.span() == *span) {
            let (is_key, table) = (key.span() == *span, value.get_ref().is_table());
            found = Some((key.clone(), Removed { path: path.clone(), key: is_key, table }));
        }
        path.pop();
    }
    let (key, removed) = found?;
    table.remove(&key);
    Some(removed)
}

fn remove_inside(value: &mut DeValue<'_>, span: &Range<usize>, path: &mut Vec<String>) -> Option<Removed> {
    match value {
        DeValue::Table(table) => remove(table, span, path),
        DeValue::Array(array) => {
            for element in array.iter_mut() {
                if let Some(removed) = remove_inside(element.get_mut(), span, path) {
                    return Some(removed);
                }
            }
            let index = array.iter().position(|element| element.span() == *span)?;
            let kept = std::mem::replace(array, DeArray::new())
                .into_iter()
                .enumerate()
                .filter(|(number, _)| *number != index);
            *array = kept.map(|(_, element)| element).collect::<DeArray<'_>>();
            Some(Removed { path: path.clone(), key: false, table: false })
        }
        _ => None,
    }
}

/// A sentence for the administrator from serde's message, or from ours (message and help in two lines).
fn explain(message: &str, removed: &Removed) -> Problem {
    let key = removed.path.last().map_or("", String::as_str);
    if removed.key && message.starts_with("unknown field ") {
        return unknown_key(message, key, removed);
    }
    let (what, help) = match message.split_once('\n') {
        Some((what, help)) => (what.to_owned(), Some(help)),
        None => (wrong_type(message), None),
    };
    let problem = Problem::error(if removed.key {
        what
    } else {
        format!("{}: {what}", short(&removed.path.join(".")))
    });
    match help {
        Some(help) => problem.help(help),
        None => problem,
    }
}

/// serde says "invalid type: integer `5`, expected a boolean"; the value itself is in the excerpt.
fn wrong_type(message: &str) -> String {
    let expected = message.rsplit_once(", expected ").map(|(_, expected)| expected);
    let kind = message.strip_prefix("invalid type: ").and_then(|rest| rest.split([' ', ',']).next());
    match (kind, expected) {
        (Some(kind), Some(expected)) => {
            let kind = match kind {
                "map" => "a table",
                "sequence" => "a list",
                "string" => "a string",
                "integer" => "this number",
                "floating" => "a fraction",
                "boolean" => "true or false",
                other => other,
            };
            let expected = if expected == "a boolean" { "true or false (without quotes)" } else { expected };
            format!("expected {expected}, not {kind}")
        }
        _ => message.to_owned(),
    }
}

/// serde lists the struct's fields in its message, each in backticks; they come after whatever was typed.
fn unknown_key(message: &str, key: &str, removed: &Removed) -> Problem {
    let known = message.rsplit_once(", expected ").map_or("", |(_, known)| known);
    let known: Vec<&str> = known.split('`').skip(1).step_by(2).collect();
    let above = removed.path.len().saturating_sub(1);
    let table = removed.path.get(..above).unwrap_or_default().join(".");
    let shown = short(key);
    let place = if table.is_empty() { String::new() } else { format!(" in [{table}]") };
    let problem = Problem::error(format!("unknown key `{shown}`{place}"));
    let list = || known.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    match nearest(key, known.iter().copied()) {
        Some(near) => problem.help(format!("did you mean `{near}`?")),
        None if table.is_empty() && removed.table => {
            problem.help(format!("a jail is written [jail.{shown}]; other tables are {}", list()))
        }
        None if table.is_empty() => problem.help("write it below a table such as [defaults] or [jail.NAME]"),
        None => problem.help(format!("known here: {}", list())),
    }
}

/// The parser's messages are fragments; the commonest mistake gets a sentence of its own.
fn not_toml(message: &str, typed: &str) -> Problem {
    if !message.starts_with("string values must be quoted") {
        return Problem::error(format!("not valid TOML: {message}"));
    }
    match typed.trim() {
        "" => Problem::error("not valid TOML: the value is missing").help("write a value after `=`"),
        typed if typed.len() <= 60 => {
            Problem::error("not valid TOML: the value has no quotes").help(format!("write \"{typed}\""))
        }
        _ => Problem::error("not valid TOML: the value has no quotes").help("put it between quotes"),
    }
}
