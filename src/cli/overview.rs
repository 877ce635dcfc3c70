//! `banctl` alone: how things are, on one screen.

use std::io::Write;

use jiff::Timestamp;

use super::exit::{Exit, Failure};
use super::output::{self, counted, harmless};
use super::{Shared, status};
use crate::control::protocol::{Answer, JailStatus, Request, Status};
use crate::control::recall::EventRow;

/// How many of everything are shown.
const WARNINGS: usize = 3;
const JAILS: usize = 6;
const EVENTS: usize = 3;

pub(super) fn run(shared: &Shared, out: &mut dyn Write) -> Result<Exit, Failure> {
    let mut client = shared.connect().map_err(Failure::from).map_err(with_a_way_out)?;
    let status = status::of(client.ask(&Request::Status)?)?;
    if shared.json {
        output::print_json(out, &*status)?;
        return Ok(Exit::Done);
    }
    // Nothing of the past is no reason to say nothing of now.
    let past = Request::History { within: None, jail: None, since: None, after: None };
    let events = match client.ask(&past) {
        Ok(Answer::History { events, .. }) => events,
        _ => Vec::new(),
    };
    print(&status, &events, Timestamp::now(), out)?;
    Ok(Exit::Done)
}

/// Whoever types nothing else may not know what else there is.
fn with_a_way_out(failure: Failure) -> Failure {
    let Failure { exit, message } = failure;
    Failure {
        exit,
        message: format!(
            "{message}\n`banctl doctor` says what is wrong here, `banctl --help` what else there is"
        ),
    }
}

fn print(status: &Status, events: &[EventRow], now: Timestamp, out: &mut dyn Write) -> std::io::Result<()> {
    for warning in status.warnings.iter().take(WARNINGS) {
        writeln!(out, "WARNING: {}", harmless(warning))?;
    }
    let more = status.warnings.len().saturating_sub(WARNINGS);
    if more > 0 {
        let more = counted(more, "more warning", "more warnings");
        writeln!(out, "{more}: banctl status")?;
    }
    writeln!(out, "{}", status::headline(status, now))?;
    writeln!(out, "{}", status::agreement(&status.firewall))?;
    writeln!(out, "{}", reading(status))?;
    if !status.jails.is_empty() {
        writeln!(out)?;
        let mut jails: Vec<&JailStatus> = status.jails.iter().collect();
        jails.sort_by_key(|jail| std::cmp::Reverse((jail.today.failures, jail.banned)));
        status::print_jails(jails.iter().take(JAILS).copied(), out)?;
        let more = jails.len().saturating_sub(JAILS);
        if more > 0 {
            writeln!(out, "{}: banctl status", counted(more, "more jail", "more jails"))?;
        }
    }
    if !events.is_empty() {
        writeln!(out, "\nlately:")?;
    }
    for event in events.iter().take(EVENTS) {
        let time = output::local(event.time, "%F %R");
        let what = super::history::what(event);
        let jail =
            if event.jail.is_empty() { String::new() } else { format!(" ({})", harmless(&event.jail)) };
        writeln!(out, "  {time}  {what} {}{jail}", event.address)?;
    }
    writeln!(out, "\nbanctl list: who is banned, banctl why ADDRESS: what it did, banctl --help: the rest")
}

/// What is read, in a sentence.
fn reading(status: &Status) -> String {
    let following = status.sources.iter().filter(|source| source.state == "following").count();
    let logs = match (following, status.sources.len()) {
        (_, 0) => "no log is read".to_owned(),
        (read, all) if read == all => counted(all, "log is followed", "logs are followed"),
        (read, all) => format!("{read} of {all} logs are followed (banctl status says which)"),
    };
    let listed: usize = status.feeds.iter().map(|feed| feed.banned).sum();
    match status.feeds.len() {
        0 => logs,
        lists => format!(
            "{logs}; {} by {}",
            counted(listed, "address", "addresses"),
            counted(lists, "list", "lists")
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::status::tests::{NOW, busy};

    fn shown(status: &Status, events: &[EventRow]) -> String {
        let mut out = Vec::new();
        print(status, events, NOW.parse().unwrap(), &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn everything_is_on_one_screen() {
        let mut status = busy();
        for number in 0..40 {
            let jail = JailStatus { name: format!("jail{number}"), ..status.jails[0].clone() };
            status.jails.push(jail);
            status.warnings.push(format!("warning {number}"));
        }
        let event = EventRow {
            time: NOW.parse().unwrap(),
            event: "ban".into(),
            ending: None,
            address: "203.0.113.9".into(),
            jail: "sshd\u{1b}".into(),
            until: None,
            count: 1,
            source: "log".into(),
            reason: String::new(),
            who: None,
            lines: Vec::new(),
        };
        let text = shown(&status, &vec![event; 40]);
        assert!(text.lines().count() <= 24, "{text}");
        assert!(!text.contains('\u{1b}'), "{text:?}");
        for part in ["38 more warnings", "36 more jails", "banctl why ADDRESS"] {
            assert!(text.contains(part), "{part} is missing in {text}");
        }
    }

    #[test]
    fn a_calm_day_looks_calm() {
        insta::assert_snapshot!(shown(&busy(), &[]));
    }
}
