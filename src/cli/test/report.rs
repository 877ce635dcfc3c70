//! The summary of `banctl test` for people.

use std::io::{self, Write};

use super::jail::Settings;
use super::summary::{Document, Hits};
use crate::cli::output::{self, counted, harmless, moment};

pub(super) fn notes(out: &mut dyn Write, notes: &[String]) -> io::Result<()> {
    for note in notes {
        writeln!(out, "note: {}", output::harmless_lines(note))?;
    }
    if notes.is_empty() { Ok(()) } else { writeln!(out) }
}

pub(super) fn print(
    document: &Document,
    settings: &Settings,
    left_out: &[String],
    out: &mut dyn Write,
) -> io::Result<()> {
    left_out.iter().try_for_each(|sentence| writeln!(out, "{sentence}"))?;
    counts(document, out)?;
    dates(document, out)?;
    patterns(document, out)?;
    if let Some(lines) = document.profiled_lines {
        profile(document, lines, out)?;
    }
    convicts(document, settings, out)
}

fn counts(document: &Document, out: &mut dyn Write) -> io::Result<()> {
    let Document { lines, matched, ignored, named, missed, undated, .. } = document;
    writeln!(
        out,
        "{}: {matched} matched, {ignored} ignored, {missed} missed",
        counted(*lines, "line", "lines")
    )?;
    if *named > 0 {
        writeln!(out, "{named} matched but name no address: --usedns=yes looks names up")?;
    }
    if *undated > 0 {
        writeln!(out, "{undated} matched but have a date that cannot be; they count as happening now")?;
    }
    for name in &document.names {
        let addresses: Vec<String> = name.addresses.iter().map(ToString::to_string).collect();
        let addresses = if addresses.is_empty() { "no address".to_owned() } else { addresses.join(" ") };
        writeln!(out, "looked up {}: {addresses}", harmless(&name.name))?;
    }
    Ok(())
}

fn dates(document: &Document, out: &mut dyn Write) -> io::Result<()> {
    if document.dates.is_empty() {
        return writeln!(out);
    }
    let mut table = output::table(&["HITS", "DATES"]);
    for date in &document.dates {
        table.add_row([date.hits.to_string(), harmless(&date.format)]);
    }
    writeln!(out)?;
    output::print_table(out, &table)?;
    writeln!(out)
}

fn patterns(document: &Document, out: &mut dyn Write) -> io::Result<()> {
    let (hit, silent): (Vec<&Hits>, Vec<&Hits>) = document.patterns.iter().partition(|hits| hits.hits > 0);
    let mut table = output::table(&["HITS", "PATTERN", ""]);
    for hits in hit {
        table.add_row([hits.hits.to_string(), hits.pattern.to_string(), harmless(&hits.regex)]);
    }
    output::print_table(out, &table)?;
    writeln!(out, "{} of {} patterns never matched", silent.len(), document.patterns.len())?;
    if !silent.is_empty() {
        let mut table = output::table(&["", "PATTERN", ""]);
        for hits in silent {
            table.add_row(["0".to_owned(), hits.pattern.to_string(), harmless(&hits.regex)]);
        }
        output::print_table(out, &table)?;
    }
    let slow: Vec<String> = document
        .patterns
        .iter()
        .filter(|hits| hits.backtracks)
        .map(|hits| hits.pattern.to_string())
        .collect();
    if !slow.is_empty() {
        writeln!(
            out,
            "patterns that backtrack (slower, and given up on lines that drive them far): {}",
            slow.join(", ")
        )?;
    }
    writeln!(out)
}

fn profile(document: &Document, lines: usize, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "what each pattern costs by itself, on {} of the log:", counted(lines, "line", "lines"))?;
    let mut measured: Vec<(&Hits, _)> =
        document.patterns.iter().filter_map(|hits| Some((hits, hits.cost?))).collect();
    measured.sort_by_key(|(_, cost)| std::cmp::Reverse(cost.nanoseconds_per_line));
    let mut table = output::table(&["SHARE", "NS/LINE", "PATTERN", "", ""]);
    for (hits, cost) in measured {
        table.add_row([
            format!("{:.1}%", cost.share * 100.0),
            cost.nanoseconds_per_line.to_string(),
            hits.pattern.to_string(),
            if hits.backtracks { "backtracks" } else { "" }.to_owned(),
            harmless(&hits.regex),
        ]);
    }
    output::print_table(out, &table)?;
    writeln!(out)
}

fn convicts(document: &Document, settings: &Settings, out: &mut dyn Write) -> io::Result<()> {
    if document.allowed > 0 {
        writeln!(
            out,
            "{} of addresses that are never banned",
            counted(document.allowed, "failure is", "failures are")
        )?;
    }
    write!(out, "{} would ban ", settings.sentence())?;
    if document.would_ban.is_empty() {
        return writeln!(out, "nobody");
    }
    writeln!(out, "{}:", document.would_ban.len())?;
    let mut table = output::table(&["ADDRESS", "AT", "UNTIL"]);
    for convict in &document.would_ban {
        let until = convict.until.map_or_else(|| "permanent".to_owned(), moment);
        table.add_row([convict.address.clone(), moment(convict.time), until]);
    }
    output::print_table(out, &table)
}
