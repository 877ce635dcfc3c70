//! `banctl history [ADDRESS|PREFIX]`: what happened to bans, newest first.

use std::io::Write;

use clap::Args;
use serde::Serialize;

use super::columns::Columns;
use super::exit::{Exit, Failure};
use super::recall::{Past, StateDir, ago};
use super::{Shared, complete, output, unban, unexpected};
use crate::config::duration::Period;
use crate::control::protocol::{Answer, Request};
use crate::control::recall::EventRow;
use crate::jail::shown;

#[derive(Debug, Args)]
pub(super) struct Options {
    /// Only of this address, or within this prefix.
    #[arg(value_name = "ADDRESS|PREFIX", add = complete::banned())]
    target: Option<String>,
    /// Only what happened since: 90s, 10m, "1d 6h", 2w.
    #[arg(long, value_name = "TIME")]
    since: Option<Period>,
    /// Only this jail's.
    #[arg(long, value_name = "JAIL", add = complete::jails())]
    jail: Option<String>,
    #[command(flatten)]
    state: StateDir,
}

/// `{"schema":1,"events":[...]}`.
#[derive(Serialize)]
struct Document<'a> {
    events: &'a [EventRow],
}

pub(super) fn run(shared: &Shared, options: &Options, out: &mut dyn Write) -> Result<Exit, Failure> {
    let within = options.target.as_deref().map(unban::prefix).transpose()?;
    let since = options.since.map(ago);
    let mut past = Past::find(shared, &options.state)?;
    let (mut events, mut after) = (Vec::new(), None);
    loop {
        match past.ask(&Request::History { within, jail: options.jail.clone(), since, after })? {
            Answer::History { events: page, next } => {
                events.extend(page);
                after = next;
            }
            other => return Err(unexpected(&other)),
        }
        if after.is_none() {
            break;
        }
    }
    let exit = if events.is_empty() && within.is_some() { Exit::No } else { Exit::Done };
    if shared.json {
        output::print_json(out, &Document { events: &events })?;
        return Ok(exit);
    }
    if events.is_empty() {
        let whose = within.map_or_else(String::new, |within| format!(" of {}", shown(&within)));
        writeln!(out, "there is no history{whose}")?;
        return Ok(exit);
    }
    let mut table = Columns::new(&["TIME", "WHAT", "ADDRESS", "JAIL", "TIMES", "UNTIL", "BY", "REASON"]);
    for event in &events {
        table.add_row(vec![
            output::moment(event.time),
            what(event).to_owned(),
            event.address.clone(),
            jail(event),
            Some(event.count).filter(|count| *count > 0).map(|count| count.to_string()).unwrap_or_default(),
            event.until.map_or_else(|| "permanent".into(), output::moment),
            by(event),
            output::harmless(&event.reason),
        ]);
    }
    table.print(&["TIMES", "UNTIL", "BY", "REASON"], out)?;
    Ok(exit)
}

/// What happened, for people.
pub(super) fn what(event: &EventRow) -> &'static str {
    match event.ending.as_deref() {
        None if event.event == "would_ban" => "would ban",
        None if event.event == "allow" => "allow",
        Some("expired") if event.event == "disallow" => "allow over",
        Some(_) if event.event == "disallow" => "disallow",
        None => "ban",
        Some("expired") => "expired",
        Some("by_hand") => "lifted",
        Some("jail_gone") => "jail gone",
        Some("unlisted") => "unlisted",
        Some("allowed") => "allowed",
        Some("widened") => "widened",
        Some("withdrawn") => "withdrawn",
        Some(_) => "unban",
    }
}

/// The jail, as people read it.
pub(super) fn jail(event: &EventRow) -> String {
    if event.jail.is_empty() { "all".to_owned() } else { output::harmless(&event.jail) }
}

/// Who did it: somebody, or kband because of a log.
pub(super) fn by(event: &EventRow) -> String {
    let by_log = event.ending.is_none();
    let by = event.who.as_deref().or(by_log.then_some(&*event.source));
    by.map_or_else(|| "kband".into(), output::harmless)
}
