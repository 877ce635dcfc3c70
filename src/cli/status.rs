//! `banctl status`: how the daemon is, warnings first.

mod sources;

use std::io::Write;
use std::time::Duration;

use jiff::Timestamp;

use super::exit::{Exit, Failure};
use super::{Shared, output, unexpected};
use crate::control::protocol::{Answer, Request, Status};

pub(super) fn run(shared: &Shared, out: &mut dyn Write) -> Result<Exit, Failure> {
    let status = match shared.ask(&Request::Status)? {
        Answer::Status(status) => status,
        other => return Err(unexpected(&other)),
    };
    if shared.json {
        output::print_json(out, &*status)?;
    } else {
        print(&status, Timestamp::now(), out)?;
    }
    Ok(Exit::Done)
}

fn print(status: &Status, now: Timestamp, out: &mut dyn Write) -> std::io::Result<()> {
    for warning in &status.warnings {
        writeln!(out, "WARNING: {}", output::harmless(warning))?;
    }
    let up = output::duration(length(status.started, now));
    writeln!(out, "kband {}, up {up}, {} banned", status.version, status.bans)?;
    let firewall = &status.firewall;
    if let (Some(packets), Some(bytes)) = (firewall.packets, firewall.bytes) {
        writeln!(
            out,
            "kernel: {packets} packets dropped ({bytes} bytes), {} changes pending",
            firewall.pending
        )?;
    }
    let owner = if firewall.owned { "owned by kband" } else { "not owned" };
    writeln!(
        out,
        "table: {owner}; changed by others {} times, restored {} times, {} bans put right",
        firewall.changed_by_others, firewall.restored, firewall.repaired
    )?;
    if !status.jails.is_empty() {
        let mut table = output::table(&["JAIL", "FILTER", "FAILURES", "BANNED", "TOTAL", "TRACKED"]);
        for jail in &status.jails {
            table.add_row([
                output::harmless(&jail.name),
                output::harmless(&jail.filter),
                jail.failures.to_string(),
                jail.banned.to_string(),
                jail.banned_total.to_string(),
                jail.tracked.to_string(),
            ]);
        }
        writeln!(out)?;
        output::print_table(out, &table)?;
    }
    if !status.feeds.is_empty() {
        let mut table = output::table(&["FEED", "ENTRIES", "BANNED", "SKIPPED", "READ", "NEXT", "SOURCE"]);
        for feed in &status.feeds {
            let ago = |read: Timestamp| format!("{} ago", output::duration(length(read, now)));
            table.add_row([
                output::harmless(&feed.name),
                feed.entries.to_string(),
                feed.banned.to_string(),
                feed.skipped.to_string(),
                feed.read.map_or_else(|| "never".to_owned(), ago),
                feed.next
                    .map_or_else(String::new, |next| format!("in {}", output::duration(length(now, next)))),
                output::harmless(&feed.source),
            ]);
        }
        writeln!(out)?;
        output::print_table(out, &table)?;
    }
    if !status.sources.is_empty() {
        writeln!(out)?;
        output::print_table(out, &sources::table(&status.sources))?;
    }
    Ok(())
}

/// From one time to a later one.
fn length(from: Timestamp, to: Timestamp) -> Duration {
    Duration::try_from(to.duration_since(from)).unwrap_or_default()
}
