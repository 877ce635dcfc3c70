//! `banctl stats`: what the history adds up to, with bars.

use std::io::Write;

use clap::Args;

use super::exit::{Exit, Failure};
use super::recall::{Past, StateDir, ago};
use super::{Shared, output, unexpected};
use crate::config::duration::Period;
use crate::control::protocol::{Answer, Request};
use crate::control::recall::Stats;

/// How long bars are where there is no terminal, in columns; and at least, where there is room for any.
const USUAL: usize = 40;
const SHORTEST: usize = 10;

#[derive(Debug, Args)]
pub(super) struct Options {
    /// Only what happened since: 90s, 10m, "1d 6h", 2w [default: all that is kept].
    #[arg(long, value_name = "TIME")]
    since: Option<Period>,
    #[command(flatten)]
    state: StateDir,
}

pub(super) fn run(shared: &Shared, options: &Options, out: &mut dyn Write) -> Result<Exit, Failure> {
    let request = Request::Stats { since: options.since.map(ago) };
    let stats = match Past::find(shared, &options.state)?.ask(&request)? {
        Answer::Stats(stats) => stats,
        other => return Err(unexpected(&other)),
    };
    if shared.json {
        output::print_json(out, &*stats)?;
    } else {
        print(&stats, out)?;
    }
    Ok(Exit::Done)
}

/// One line of a table with bars: a name, bans, offenders (where they are counted).
type Row = (String, u32, Option<u32>);

fn print(stats: &Stats, out: &mut dyn Write) -> std::io::Result<()> {
    let since = stats.since.map_or_else(String::new, |since| format!(" since {}", output::moment(since)));
    writeln!(out, "{}{since}", output::counted(stats.bans, "ban", "bans"))?;
    let jails = stats.jails.iter().map(|row| (output::harmless(&row.jail), row.bans, Some(row.offenders)));
    let days = stats.days.iter().map(|row| (row.day.clone(), row.bans, None));
    let networks = stats.networks.iter().map(|row| (row.network.clone(), row.bans, Some(row.offenders)));
    for (name, rows) in
        [("JAIL", jails.collect::<Vec<Row>>()), ("DAY", days.collect()), ("NETWORK", networks.collect())]
    {
        if !rows.is_empty() {
            writeln!(out)?;
            chart(name, &rows, out)?;
        }
    }
    Ok(())
}

fn chart(name: &str, rows: &[Row], out: &mut dyn Write) -> std::io::Result<()> {
    let wide = |text: &str| unicode_width::UnicodeWidthStr::width(text);
    let names = rows.iter().map(|(name, ..)| wide(name)).max().unwrap_or_default().max(wide(name));
    let most = rows.iter().map(|(_, bans, _)| *bans).max().unwrap_or_default();
    // Two columns of numbers with the blanks around them.
    let left = output::width().saturating_sub(names + 2 + 9 + 11);
    let length = match left {
        _ if !output::is_terminal() => USUAL,
        0..SHORTEST => 0,
        _ => left,
    };
    let counts = rows.iter().any(|(.., offenders)| offenders.is_some());
    let offenders = |count: Option<u32>| count.map_or_else(String::new, |count| count.to_string());
    let head = if counts { "ADDRESSES" } else { "" };
    writeln!(out, "{}", format!("{name:names$}  {:>7}  {head:>9}", "BANS").trim_end())?;
    for (name, bans, count) in rows {
        let bar = output::bar(*bans, most, length);
        let pad = " ".repeat(names.saturating_sub(wide(name)));
        let numbers =
            if counts { format!("{bans:>7}  {:>9}", offenders(*count)) } else { format!("{bans:>7}") };
        writeln!(out, "{}", format!("{name}{pad}  {numbers}  {bar}").trim_end())?;
    }
    Ok(())
}
