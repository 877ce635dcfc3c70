//! `banctl status [JAIL]`: how the daemon is, warnings first; or how one jail is.

mod sources;

use std::io::Write;

use clap::Args;
use jiff::Timestamp;
use serde::Serialize;

use super::columns::Columns;
use super::exit::{Exit, Failure};
use super::output::counted;
use super::{Shared, complete, output, unexpected};
use crate::control::client::Client;
use crate::control::protocol::{Answer, BanRow, FeedRow, FirewallStatus, JailStatus, Request, Status};
use crate::jail::FEED;

#[derive(Debug, Args)]
pub(super) struct Options {
    /// Only this jail, with whom it bans.
    #[arg(value_name = "JAIL", add = complete::jails())]
    pub(super) jail: Option<String>,
    /// As fail2ban-client has it: every jail is shown anyway.
    #[arg(long, hide = true, conflicts_with = "jail")]
    pub(super) all: bool,
}

/// How many addresses of one jail are shown.
const SHOWN: usize = 20;

/// `{"schema":1,"status":{...}|null,"banned":[...]}`: of one jail; `status` is only of those that count something.
#[derive(Serialize)]
struct Document<'a> {
    name: &'a str,
    status: Option<&'a JailStatus>,
    banned: Vec<&'a str>,
}

pub(super) fn run(shared: &Shared, options: &Options, out: &mut dyn Write) -> Result<Exit, Failure> {
    let mut client = shared.connect()?;
    let status = of(client.ask(&Request::Status)?)?;
    if let Some(name) = &options.jail {
        let count = in_force(&status, name).filter(|_| !shared.json);
        let bans = banned(&mut client, name, count.is_some())?;
        let banned = bans.iter().map(|ban| &*ban.address).collect();
        let jail = status.jails.iter().find(|jail| jail.name == *name);
        let document = Document { name, status: jail, banned };
        if shared.json {
            output::print_json(out, &document)?;
        } else {
            print_jail(&document, count.unwrap_or_default().max(bans.len()), out)?;
        }
    } else if shared.json {
        output::print_json(out, &*status)?;
    } else {
        print(&status, Timestamp::now(), out)?;
    }
    Ok(Exit::Done)
}

/// How many bans of a jail or of a feed are in force, if the status says it.
fn in_force(status: &Status, name: &str) -> Option<usize> {
    let feed = |feed: &&FeedRow| name.strip_prefix(FEED) == Some(&feed.name);
    let jail = status.jails.iter().find(|jail| jail.name == *name).map(|jail| jail.banned);
    jail.or_else(|| status.feeds.iter().find(feed).map(|feed| feed.banned))
}

/// Whom a jail bans; or the first page of them, which is more than is shown.
fn banned(client: &mut Client, name: &str, some: bool) -> Result<Vec<BanRow>, Failure> {
    if !some {
        return client.list(Some(name), None)?.map_err(|other| unexpected(&other));
    }
    match client.ask(&Request::List { jail: Some(name.to_owned()), within: None, after: None })? {
        Answer::Page(page) => Ok(page.bans),
        other => Err(unexpected(&other)),
    }
}

/// The status that was asked for.
pub(super) fn of(answer: Answer) -> Result<Box<Status>, Failure> {
    match answer {
        Answer::Status(status) => Ok(status),
        other => Err(unexpected(&other)),
    }
}

/// Version, uptime, bans.
pub(super) fn headline(status: &Status, now: Timestamp) -> String {
    let up = output::duration(output::between(status.started, now));
    format!("kband {}, up {up}, {} banned", output::harmless(&status.version), status.bans)
}

/// Whether the kernel holds what is intended, and what it did.
pub(super) fn agreement(firewall: &FirewallStatus) -> String {
    let agrees = match (&firewall.error, firewall.pending) {
        (Some(_), _) => "the kernel does not do as intended, see above".to_owned(),
        (None, 0) => "the kernel holds what kband intends".to_owned(),
        (None, pending) => {
            format!("the kernel is yet to take {}", counted(pending, "change", "changes"))
        }
    };
    match (firewall.packets, firewall.bytes) {
        (Some(packets), Some(bytes)) => {
            format!(
                "{agrees}; {} dropped ({})",
                counted(packets, "packet", "packets"),
                counted(bytes, "byte", "bytes")
            )
        }
        _ => agrees,
    }
}

/// Prints the jails, in narrow terminals with what matters most.
pub(super) fn print_jails<'a>(
    rows: impl Iterator<Item = &'a JailStatus>,
    out: &mut dyn Write,
) -> std::io::Result<()> {
    let mut table = Columns::new(&["JAIL", "BANNED", "BANS", "FAILURES", "TRACKED", "FILTER"]);
    let with_today = |all: u64, today: u64| format!("{all}, {today} today");
    for jail in rows {
        table.add_row(vec![
            output::harmless(&jail.name),
            jail.banned.to_string(),
            with_today(jail.banned_total, jail.today.bans),
            with_today(jail.failures, jail.today.failures),
            jail.tracked.to_string(),
            output::harmless(&jail.filter),
        ]);
    }
    table.print(&["FILTER", "TRACKED", "BANS"], out)
}

fn print_jail(jail: &Document<'_>, count: usize, out: &mut dyn Write) -> std::io::Result<()> {
    let name = output::harmless(jail.name);
    if let Some(status) = jail.status {
        let filter = output::harmless(&status.filter);
        writeln!(out, "{name} (filter {filter})")?;
        let JailStatus { failures, ignored, proxied, stale, already_banned, .. } = status;
        let of = [
            (ignored, "allowed"),
            (already_banned, "banned already"),
            (stale, "too old"),
            (proxied, "of proxies"),
        ];
        let of = of.iter().filter(|(count, _)| **count > 0).map(|(count, word)| format!(", {count} {word}"));
        let of: String = of.collect();
        writeln!(out, "failures: {failures}, today {}{of}", status.today.failures)?;
        let JailStatus { banned, banned_total, tracked, waiting, .. } = status;
        let waiting = if *waiting > 0 { format!(", {waiting} wait for theirs") } else { String::new() };
        let bans = format!(
            "bans: {banned} in force, today {}, since the start {banned_total}{waiting}",
            status.today.bans
        );
        writeln!(out, "{}", bans)?;
        writeln!(out, "tracked: {}", counted(*tracked, "address", "addresses"))?;
    } else {
        writeln!(out, "{name}: {}", counted(count, "ban", "bans"))?;
    }
    if !jail.banned.is_empty() {
        let shown = jail.banned.iter().take(SHOWN).copied().collect::<Vec<_>>().join(" ");
        let more = count.saturating_sub(SHOWN);
        let more = if more > 0 { format!(" and {more} more: banctl list {name}") } else { String::new() };
        writeln!(out, "banned: {shown}{more}")?;
    }
    Ok(())
}

fn print(status: &Status, now: Timestamp, out: &mut dyn Write) -> std::io::Result<()> {
    for warning in &status.warnings {
        writeln!(out, "WARNING: {}", output::harmless(warning))?;
    }
    let firewall = &status.firewall;
    writeln!(out, "{}", headline(status, now))?;
    writeln!(out, "{}", agreement(firewall))?;
    let owner = if firewall.owned { "owned by kband" } else { "not owned" };
    let table = format!(
        "table: {owner}; changed by others {}, restored {}, {} put right",
        counted(firewall.changed_by_others, "time", "times"),
        counted(firewall.restored, "time", "times"),
        counted(firewall.repaired, "ban", "bans"),
    );
    writeln!(out, "{}", table)?;
    if !status.jails.is_empty() {
        writeln!(out)?;
        print_jails(status.jails.iter(), out)?;
    }
    if !status.feeds.is_empty() {
        let mut table = Columns::new(&["FEED", "ENTRIES", "BANNED", "SKIPPED", "READ", "NEXT", "SOURCE"]);
        for feed in &status.feeds {
            let ago = |read: Timestamp| format!("{} ago", output::duration(output::between(read, now)));
            table.add_row(vec![
                output::harmless(&feed.name),
                feed.loading.map_or_else(
                    || feed.entries.to_string(),
                    |loading| format!("{} of {}", loading.settled, loading.of),
                ),
                feed.banned.to_string(),
                feed.skipped.to_string(),
                feed.read.map_or_else(|| "never".to_owned(), ago),
                feed.next.map_or_else(String::new, |next| {
                    format!("in {}", output::duration(output::between(now, next)))
                }),
                output::harmless(&feed.source),
            ]);
        }
        writeln!(out)?;
        table.print(&["SOURCE", "SKIPPED", "NEXT", "READ", "ENTRIES"], out)?;
    }
    if !status.sources.is_empty() {
        writeln!(out)?;
        sources::table(&status.sources)
            .print(&["RESTARTS", "UNDATED", "CUT", "BYTES/S", "LINES", "LINES/S", "LAG"], out)?;
    }
    Ok(())
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::control::protocol::Loading;

    /// When the tests look.
    pub(in crate::cli) const NOW: &str = "2026-11-21T12:00:00Z";

    /// A daemon with something to tell.
    pub(in crate::cli) fn busy() -> Status {
        let jail = |name: &str, today: u64| {
            serde_json::json!({
                "name": name, "filter": name, "failures": 120, "ignored": 3, "stale": 0, "already_banned": 7,
                "banned_total": 30, "banned": 2, "tracked": 5, "waiting": 0, "today": {"failures": today, "bans": 4},
            })
        };
        let status = serde_json::json!({
            "version": "0.1.0", "started": "2026-11-20T09:00:00Z", "bans": 4, "durable": true,
            "warnings": ["no \u{1b}[2J is enabled"],
            "jails": [jail("sshd", 12), jail("postfix", 40)],
            "feeds": [{"name": "drop", "source": "/list", "entries": 7, "banned": 6, "skipped": 1, "spared": 1,
                "no_room": 0, "unreadable": 0, "no_hosts": 0, "rounded": 0, "read": "2026-11-21T11:30:00Z",
                "next": "2026-11-21T12:30:00Z", "error": null}],
            "sources": [],
            "firewall": {"packets": 340, "bytes": 20400, "pending": 0, "owned": true, "changed_by_others": 1,
                "restored": 1, "repaired": 2, "error": null},
        });
        serde_json::from_value(status).unwrap()
    }

    fn text(write: impl FnOnce(&mut Vec<u8>) -> std::io::Result<()>) -> String {
        let mut out = Vec::new();
        write(&mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn warnings_come_first_and_harmless() {
        let now = NOW.parse().unwrap();
        insta::assert_snapshot!(text(|out| print(&busy(), now, out)));
    }

    #[test]
    fn a_list_on_its_way_says_how_far_it_is() {
        let mut status = busy();
        status.feeds[0].loading = Some(Loading { settled: 12_000, of: 50_000 });
        let said = text(|out| print(&status, NOW.parse().unwrap(), out));
        assert!(
            said.lines().any(|line| line.starts_with("drop") && line.contains(" 12000 of 50000 ")),
            "{said}"
        );
    }

    #[test]
    fn one_jail_is_shown_with_whom_it_bans() {
        let status = busy();
        let (jail, banned) = (status.jails.first(), vec!["203.0.113.9", "2001:db8::/64"]);
        let sshd = Document { name: "sshd", status: jail, banned: banned.clone() };
        insta::assert_snapshot!(text(|out| print_jail(&sshd, 2, out)));
        insta::assert_snapshot!(text(|out| output::print_json(out, &sshd)));
        let manual = Document { name: "manual", status: None, banned: vec!["203.0.113.9"; 23] };
        assert!(text(|out| print_jail(&manual, 23, out)).ends_with("and 3 more: banctl list manual\n"));
    }
}
