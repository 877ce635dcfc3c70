//! `banctl list`: who is banned, by the daemon's account or by the kernel's.

use std::io::Write;
use std::time::Duration;

use clap::Args;
use serde::Serialize;

use super::exit::{Exit, Failure};
use super::{Shared, output, unban};
use crate::control::protocol::BanRow;
use crate::firewall::{Element, Firewall, Set};
use crate::jail::shown;

/// How many ports of a ban are shown; `--json` has all.
const PORTS: usize = 3;
/// Where the column of packets stands.
const COUNTED: usize = 4;

#[derive(Debug, Args)]
pub(super) struct Options {
    /// Only this jail, or only this address or prefix.
    #[arg(value_name = "JAIL|PREFIX")]
    filter: Option<String>,
    /// What the kernel holds, read without the daemon.
    #[arg(long)]
    kernel: bool,
}

/// `{"schema":1,"bans":[...]}`.
#[derive(Serialize)]
pub(super) struct Document<'a, T> {
    pub(super) bans: &'a [T],
}

#[derive(Serialize)]
struct KernelRow {
    address: String,
    /// The one port that is closed; `null` is all of them.
    port: Option<String>,
    set: String,
    seconds_left: Option<u64>,
}

pub(super) fn run(shared: &Shared, options: &Options, out: &mut dyn Write) -> Result<Exit, Failure> {
    if options.kernel {
        return from_kernel(shared, options, out);
    }
    let (jail, within) = match options.filter.as_deref() {
        None => (None, None),
        // Jail names are not addresses: `[jail.X]` refuses them.
        Some(text) => match unban::prefix(text) {
            Ok(prefix) => (None, Some(prefix)),
            Err(failure) if text.contains(['/', ':']) => return Err(failure),
            Err(_) => (Some(text), None),
        },
    };
    let rows = shared.connect()?.list(jail, within)?.map_err(|other| super::unexpected(&other))?;
    let exit = if rows.is_empty() && within.is_some() { Exit::No } else { Exit::Done };
    if shared.json {
        output::print_json(out, &Document { bans: &rows })?;
        return Ok(exit);
    }
    if let (true, Some(within)) = (rows.is_empty(), within) {
        return Err(Failure::new(exit, format!("{} is not banned", shown(&within))));
    }
    if rows.is_empty() {
        writeln!(out, "nobody is banned")?;
        return Ok(Exit::Done);
    }
    let mut columns = vec!["ADDRESS", "JAIL", "PORTS", "LEFT", "TIMES", "SINCE", "REASON"];
    let counted = rows.iter().any(|row| row.packets.is_some());
    if counted {
        columns.insert(COUNTED, "PACKETS");
    }
    let mut table = output::table(&columns);
    for row in &rows {
        let mut reason = output::harmless(&row.reason);
        if !row.in_kernel && !is_observed(row) {
            reason.insert_str(0, "NOT IN THE KERNEL ");
        }
        let since = row.since.to_zoned(jiff::tz::TimeZone::system()).strftime("%F %T").to_string();
        let left = if row.renews { format!("{} or more", left(row)) } else { left(row) };
        let mut cells = vec![
            row.address.clone(),
            output::harmless(&row.jail),
            ports(row),
            left,
            row.count.to_string(),
            since,
            reason,
        ];
        if counted {
            cells.insert(COUNTED, row.packets.map_or_else(|| "-".into(), |packets| packets.to_string()));
        }
        table.add_row(cells);
    }
    output::print_table(out, &table)?;
    Ok(Exit::Done)
}

/// Nothing is closed: its jail only says whom it would ban.
fn is_observed(row: &BanRow) -> bool {
    row.ports.as_ref().is_some_and(Vec::is_empty)
}

/// The closed ports, for people: the first few of many.
fn ports(row: &BanRow) -> String {
    let Some(ports) = &row.ports else { return "all".into() };
    if is_observed(row) {
        return "none: observed".into();
    }
    let shown = ports.iter().take(PORTS).cloned().collect::<Vec<_>>().join(" ");
    match ports.len().saturating_sub(PORTS) {
        0 => shown,
        more => format!("{shown} +{more}"),
    }
}

/// The time left, for people.
pub(super) fn left(row: &BanRow) -> String {
    row.seconds_left.map_or_else(|| "permanent".into(), |left| output::duration(Duration::from_secs(left)))
}

fn from_kernel(shared: &Shared, options: &Options, out: &mut dyn Write) -> Result<Exit, Failure> {
    let within = options.filter.as_deref().map(unban::prefix).transpose()?;
    let rows: Vec<KernelRow> = super::kernel()?
        .1
        .iter()
        .filter(|element| {
            within.is_none_or(|within| {
                within.contains(&element.target.prefix) || element.target.prefix.contains(&within)
            })
        })
        .map(kernel_row)
        .collect();
    let exit = if rows.is_empty() && within.is_some() { Exit::No } else { Exit::Done };
    if shared.json {
        output::print_json(out, &Document { bans: &rows })?;
        return Ok(exit);
    }
    if let (true, Some(within)) = (rows.is_empty(), within) {
        return Err(Failure::new(exit, format!("{} is not banned in the kernel", shown(&within))));
    }
    if rows.is_empty() {
        writeln!(out, "the kernel drops nobody")?;
        return Ok(Exit::Done);
    }
    let mut table = output::table(&["ADDRESS", "PORT", "SET", "LEFT"]);
    for row in rows {
        let left = row
            .seconds_left
            .map_or_else(|| "permanent".into(), |left| output::duration(Duration::from_secs(left)));
        table.add_row([row.address, row.port.unwrap_or_else(|| "all".into()), row.set, left]);
    }
    output::print_table(out, &table)?;
    Ok(Exit::Done)
}

fn kernel_row(element: &Element) -> KernelRow {
    KernelRow {
        address: shown(&element.target.prefix),
        port: element.target.service.map(|service| service.to_string()),
        set: Firewall::set_for(element.target).map_or_else(|_| String::new(), Set::name),
        seconds_left: element.left.map(|left| left.as_secs() + u64::from(left.subsec_nanos() > 0)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_left_is_rounded_up_as_the_daemon_does() {
        for (milliseconds, seconds) in [(0, 0), (1, 1), (9_001, 10), (10_000, 10)] {
            let left = Some(Duration::from_millis(milliseconds));
            let element = Element { target: "192.0.2.1/32".parse::<ipnet::IpNet>().unwrap().into(), left };
            assert_eq!(kernel_row(&element).seconds_left, Some(seconds));
        }
    }
}
