//! What `banctl replay` found, for people.

use std::io::{self, Write};
use std::time::Duration;

use super::document::{BanRow, Bounded, Difference, Document, JailSettings, LoginRow, Outcome};
use crate::cli::output::{self, counted, duration, harmless, harmless_lines, moment};

/// So many addresses are named of those that come or go.
const SOME: usize = 10;

pub(super) fn print(document: &Document, out: &mut dyn Write) -> io::Result<()> {
    let outcome = document.changed.as_ref().unwrap_or(&document.current);
    if document.changed.is_some() {
        writeln!(
            out,
            "with {}:",
            document.set.iter().map(|set| harmless(set)).collect::<Vec<_>>().join(", ")
        )?;
    }
    bans(outcome, out)?;
    for note in &document.notes {
        writeln!(out, "note: {}", harmless_lines(note))?;
    }
    read(document, out)?;
    whom(outcome, out)?;
    false_positives(document, outcome, out)?;
    match (&document.changed, &document.difference) {
        (Some(changed), Some(difference)) => compared(&document.current, changed, difference, out),
        _ => Ok(()),
    }
}

fn bans(outcome: &Outcome, out: &mut dyn Write) -> io::Result<()> {
    if outcome.rows.is_empty() {
        return Ok(());
    }
    let mut table = output::table(&["ADDRESS", "JAIL", "AT", "FOR", "FAILURES", "TIMES", "LOGINS"]);
    for row in &outcome.rows {
        table.add_row([
            row.address.clone(),
            harmless(&row.jail),
            moment(row.since),
            length(row),
            row.failures.map_or_else(|| harmless(&row.reason), |failures| failures.to_string()),
            row.times.to_string(),
            row.logins.as_ref().map(logins).unwrap_or_default(),
        ]);
    }
    output::print_table(out, &table)?;
    if outcome.not_listed > 0 {
        writeln!(
            out,
            "and {} more, which are only counted: who of them logged in is not known",
            outcome.not_listed
        )?;
    }
    writeln!(out)
}

fn logins(logins: &LoginRow) -> String {
    let mut said = Vec::new();
    if logins.before {
        said.push("before".to_owned());
    }
    if logins.during > 0 {
        said.push(format!("DURING THE BAN ({})", logins.during));
    }
    if logins.after > 0 {
        said.push(format!("after it ({})", logins.after));
    }
    let users = logins.users.iter().flatten().map(|user| harmless(user)).collect::<Vec<_>>().join(", ");
    match (said.is_empty(), users.is_empty()) {
        (true, _) | (_, true) => said.join(", "),
        _ => format!("{}: {users}", said.join(", ")),
    }
}

fn read(document: &Document, out: &mut dyn Write) -> io::Result<()> {
    let Document { lines, failures, addresses, .. } = document;
    let (lines, failures) = (counted(*lines, "line", "lines"), counted(*failures, "failure", "failures"));
    write!(out, "{lines}: {failures} of {}", bounded(*addresses, "address", "addresses"))?;
    if let Some(logins) = document.logins {
        write!(out, ", {}", counted(logins, "login", "logins"))?;
    }
    match (document.from, document.to) {
        (Some(from), Some(to)) => writeln!(out, ", from {} to {}", moment(from), moment(to)),
        _ => writeln!(out),
    }
}

fn whom(outcome: &Outcome, out: &mut dyn Write) -> io::Result<()> {
    if outcome.allowed > 0 {
        writeln!(
            out,
            "of addresses that are never banned: {}",
            counted(outcome.allowed, "failure", "failures")
        )?;
    }
    let jails = outcome.jails.iter().map(settings).collect::<Vec<_>>().join("; ");
    let who = if outcome.jails.len() == 1 { "jail" } else { "jails" };
    match outcome.bans {
        _ if outcome.jails.is_empty() => writeln!(out, "no jail is enabled")?,
        0 => writeln!(out, "{who} {jails}: nobody would have been banned")?,
        bans => {
            let (bans, offenders) =
                (counted(bans, "ban", "bans"), bounded(outcome.offenders, "offender", "offenders"));
            writeln!(out, "{who} {jails}: {bans} of {offenders}, {} in sum", sum(outcome))?;
        }
    }
    if outcome.waiting > 0 {
        writeln!(out, "still waiting for their ban (max_bans_per_minute) at the end: {}", outcome.waiting)?;
    }
    Ok(())
}

fn false_positives(document: &Document, outcome: &Outcome, out: &mut dyn Write) -> io::Result<()> {
    let blind = document.blind.iter().map(|jail| harmless(jail)).collect::<Vec<_>>().join(", ");
    let Outcome { locked_out: Some(locked_out), came_later: Some(later), .. } = outcome else {
        return writeln!(
            out,
            "false positives: not known, as no filter here recognises logins (jail {blind})"
        );
    };
    match (outcome.false_positives.unwrap_or_default(), document.logins) {
        (0, Some(0)) => {
            writeln!(out, "false positives: none is known, but no login at all is in these logs")?;
        }
        (0, _) => writeln!(out, "false positives: none, nobody logged in during a ban or after it")?,
        (bans, _) => writeln!(
            out,
            "false positives: {}, as somebody logged in from there after all: {locked_out} during the ban (locked out), \
             {later} only after it",
            counted(bans, "ban", "bans"),
        )?,
    }
    if let Some(before @ 1..) = outcome.known_before {
        writeln!(out, "where somebody had logged in before: {}", counted(before, "ban", "bans"))?;
    }
    if !blind.is_empty() {
        writeln!(out, "the filters of {blind} recognise no logins: only those count that other jails saw")?;
    }
    Ok(())
}

fn compared(
    current: &Outcome,
    changed: &Outcome,
    difference: &Difference,
    out: &mut dyn Write,
) -> io::Result<()> {
    writeln!(out)?;
    let mut table = output::table(&["", "CURRENT", "CHANGED"]);
    let known = |count: Option<u64>| count.map_or_else(|| "not known".to_owned(), |count| count.to_string());
    let mut row = |name: &str, of: &dyn Fn(&Outcome) -> String| {
        table.add_row([name.to_owned(), of(current), of(changed)]);
    };
    row("bans", &|outcome| outcome.bans.to_string());
    row("offenders", &|outcome| bounded(outcome.offenders, "", ""));
    row("banned in sum", &|outcome| sum(outcome));
    row("false positives", &|outcome| known(outcome.false_positives));
    row("locked out", &|outcome| known(outcome.locked_out));
    output::print_table(out, &table)?;
    for (which, addresses) in [("current", &difference.only_current), ("changed", &difference.only_changed)] {
        let Some(addresses) = addresses else {
            writeln!(out, "banned only with the {which} settings: not known, there are too many offenders")?;
            continue;
        };
        if addresses.is_empty() {
            continue;
        }
        let some = addresses.iter().take(SOME).cloned().collect::<Vec<_>>().join(" ");
        let more = match addresses.len().saturating_sub(SOME) {
            0 => String::new(),
            more => format!(" and {more} more (--json has all)"),
        };
        writeln!(out, "banned only with the {which} settings: {some}{more}")?;
    }
    Ok(())
}

/// `sshd (maxretry 5, findtime 10m, bantime 10m)`.
fn settings(jail: &JailSettings) -> String {
    let seconds = |seconds| duration(Duration::from_secs(seconds));
    let bantime = jail.bantime_seconds.map_or_else(|| "permanent".to_owned(), seconds);
    let findtime = seconds(jail.findtime_seconds);
    format!("{} (maxretry {}, findtime {findtime}, bantime {bantime})", harmless(&jail.jail), jail.maxretry)
}

fn sum(outcome: &Outcome) -> String {
    let sum = duration(Duration::from_secs(outcome.seconds));
    match outcome.permanent {
        0 => sum,
        permanent => format!("{sum} and {permanent} for ever"),
    }
}

fn bounded(number: Bounded, one: &str, many: &str) -> String {
    let count = counted(number.count, one, many);
    let count = count.trim_end();
    if number.more { format!("at least {count}") } else { count.to_owned() }
}

fn length(row: &BanRow) -> String {
    row.seconds.map_or_else(|| "permanent".to_owned(), |seconds| duration(Duration::from_secs(seconds)))
}
