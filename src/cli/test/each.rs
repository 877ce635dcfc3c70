//! `banctl test --each`: what becomes of every line, in order.

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::Arc;

use serde::Serialize;

use super::options::Options;
use crate::cli::exit::{Exit, Failure};
use crate::cli::output::{harmless, is_terminal, print_json_line};
use crate::cli::past::Input;
use crate::filter::{Clock, Field, Filter, LineMatch, LineVerdict, Scanner};

/// One line's object.
#[derive(Serialize)]
struct Line<'a> {
    line: u64,
    verdict: &'static str,
    #[serde(flatten)]
    found: Option<Found<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    results: Vec<Found<'a>>,
}

/// One pattern's match.
#[derive(Serialize)]
struct Found<'a> {
    host: &'a str,
    time: String,
    pattern: usize,
    attempts: u32,
    fields: &'a BTreeMap<String, Field>,
}

pub(super) fn run(
    options: &Options,
    json: bool,
    filter: &Arc<Filter>,
    clock: &Clock,
    inputs: &[Input],
    out: &mut dyn Write,
) -> Result<Exit, Failure> {
    let (mut number, mut matched) = (0, false);
    for input in inputs {
        let mut blocks = input.open(filter.journal_matches(), !is_terminal())?;
        // What one source said is nothing to the next.
        let mut scanner = Scanner::new(&[Arc::clone(filter)]);
        loop {
            let block = blocks.next()?;
            if block.is_empty() {
                break;
            }
            for text in block.split_inclusive(|&byte| byte == b'\n') {
                number += 1;
                let verdict = scanner.line(0, text, clock, options.all_patterns);
                matched |= matches!(verdict, LineVerdict::Match { .. });
                print(out, json, &describe(number, &verdict, clock), text)?;
            }
        }
    }
    Ok(if matched { Exit::Done } else { Exit::No })
}

fn print(out: &mut dyn Write, json: bool, line: &Line<'_>, text: &[u8]) -> std::io::Result<()> {
    if json {
        return print_json_line(out, line);
    }
    let host =
        line.found.as_ref().map(|found| format!(" {} pattern {}", harmless(found.host), found.pattern));
    let text = String::from_utf8_lossy(text.trim_ascii_end());
    writeln!(out, "{} {}{}: {}", line.line, line.verdict, host.unwrap_or_default(), harmless(&text))
}

fn describe<'a>(line: u64, verdict: &'a LineVerdict, clock: &Clock) -> Line<'a> {
    let found = |found: &'a LineMatch| Found {
        host: &found.host,
        time: found.time.to_zoned(clock.zone.clone()).strftime("%Y-%m-%dT%H:%M:%S%.f%:z").to_string(),
        pattern: found.pattern,
        attempts: found.attempts,
        fields: &found.fields,
    };
    let plain = |verdict| Line { line, verdict, found: None, results: Vec::new() };
    match verdict {
        LineVerdict::Miss => plain("miss"),
        LineVerdict::Ignore => plain("ignore"),
        LineVerdict::Forget => plain("forget"),
        LineVerdict::Gain => plain("gain"),
        LineVerdict::Partial => plain("partial"),
        LineVerdict::Match { first, others } => {
            let all = || std::iter::once(first).chain(others).map(found).collect();
            let results = if others.is_empty() { Vec::new() } else { all() };
            Line { line, verdict: "match", found: Some(found(first)), results }
        }
    }
}
