//! `banctl watch`: what happens, as it happens.

use std::io::Write;

use clap::Args;

use super::exit::{Exit, Failure};
use super::{Shared, complete, output, unexpected};
use crate::control::events::{Event, What};
use crate::control::protocol::{Answer, Request};

/// What is typed behind `watch`.
#[derive(Debug, Args)]
pub(super) struct Options {
    /// Only what is about this jail.
    #[arg(long, value_name = "JAIL", add = complete::jails())]
    jail: Option<String>,
    /// One JSON document a line: failure, ban, would_ban, unban, allow, disallow, alarm (more bans than max_bans_per_minute),
    /// restore (somebody had changed the kernel's table) or missed.
    #[arg(long)]
    jsonl: bool,
}

pub(super) fn run(shared: &Shared, options: &Options, out: &mut dyn Write) -> Result<Exit, Failure> {
    let mut client = shared.connect()?;
    match client.ask(&Request::Watch)? {
        Answer::Watching => {}
        other => return Err(unexpected(&other)),
    }
    while let Some(line) = client.next_event()? {
        let event = client.understand_event(&line)?;
        if options.jail.is_some() && jail(&event.what) != options.jail.as_deref() {
            continue;
        }
        if options.jsonl || shared.json {
            writeln!(out, "{}", output::harmless_json(line.trim_end()))?;
        } else {
            let time = output::local(event.time, "%T");
            writeln!(out, "{time} {}", output::harmless(&sentence(&event)))?;
        }
        out.flush()?;
    }
    Ok(Exit::Done)
}

fn jail(what: &What) -> Option<&str> {
    match what {
        What::Failure { jail, .. } | What::Unban { jail, .. } | What::Alarm { jail, .. } => Some(jail),
        What::Ban(banned) | What::WouldBan(banned) => Some(&banned.jail),
        What::Allow { .. } | What::Disallow { .. } | What::Restore { .. } | What::Missed { .. } => None,
    }
}

pub(super) fn sentence(event: &Event) -> String {
    match &event.what {
        What::Failure { jail, address, source, attempts: 1, .. } => {
            format!("[{jail}] {address} failed ({source})")
        }
        What::Failure { jail, address, source, attempts, .. } => {
            format!("[{jail}] {address} failed {attempts} times ({source})")
        }
        What::Ban(banned) | What::WouldBan(banned) => {
            let what = if matches!(event.what, What::Ban(_)) { "Ban" } else { "Would ban" };
            let long = match banned.until {
                Some(until) => {
                    format!("for {}", output::duration(output::between(event.time, until)))
                }
                None => "permanently".to_owned(),
            };
            let why = if banned.reason.is_empty() { String::new() } else { format!(": {}", banned.reason) };
            format!("[{}] {what} {} {long}{why}", banned.jail, banned.address)
        }
        What::Unban { jail, address, why } => format!("[{jail}] Unban {address} ({why})"),
        What::Allow { address, until: None, .. } => format!("Allow {address}"),
        What::Allow { address, until: Some(until), .. } => {
            format!("Allow {address} for {}", output::duration(output::between(event.time, *until)))
        }
        What::Disallow { address, why, .. } => format!("{address} is not allowed any more ({why})"),
        What::Alarm { jail, waiting } => {
            let who = output::counted(*waiting, "offender waits", "offenders wait");
            format!("[{jail}] more bans than max_bans_per_minute allows: {who}, the worst are banned first")
        }
        What::Restore { by, bans } => {
            format!("{by} changed table inet kban: {} restored", output::counted(*bans, "ban", "bans"))
        }
        What::Missed { events } => format!(
            "{} missed: they are read too slowly",
            output::counted(*events, "event was", "events were")
        ),
    }
}
