//! `banctl list`: who is banned, by the daemon's account or by the kernel's.

use std::cmp::Reverse;
use std::io::Write;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};
use jiff::tz::TimeZone;
use serde::Serialize;

use super::columns::Columns;
use super::country::Countries;
use super::exit::{Exit, Failure, usage};
use super::{Shared, complete, names, output, unban};
use crate::config::duration::Period;
use crate::control::protocol::BanRow;
use crate::firewall::{Element, Firewall, Set};
use crate::jail::shown;

/// How many ports of a ban are shown; `--json` has all.
const PORTS: usize = 3;

#[derive(Debug, Args)]
pub(super) struct Options {
    /// Only this jail, or only this address or prefix.
    #[arg(value_name = "JAIL|PREFIX", add = complete::jails_and_banned())]
    filter: Option<String>,
    /// Only this jail.
    #[arg(long, value_name = "JAIL", add = complete::jails())]
    jail: Option<String>,
    /// Only bans that end within this time: 90s, 5m, "1d 6h".
    #[arg(long, value_name = "TIME")]
    expiring: Option<Period>,
    /// In this order.
    #[arg(long, value_name = "KEY", value_enum, default_value_t = Sort::Address)]
    sort: Sort,
    /// Ask for the names of the addresses, for five seconds at most; whoever owns an address chooses its name.
    #[arg(long)]
    names: bool,
    /// Say the country of each address, out of this database in MaxMind's format [default: the one in /usr/share/GeoIP,
    /// /var/lib/GeoIP].
    #[arg(long, value_name = "FILE", num_args = 0..=1, require_equals = true)]
    country: Option<Option<PathBuf>>,
    /// What the kernel holds, read without the daemon.
    #[arg(long, conflicts_with_all = ["jail", "expiring", "sort", "names", "country"])]
    kernel: bool,
}

/// What rows are sorted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Sort {
    /// The address.
    Address,
    /// The jail, then the address.
    Jail,
    /// The time left, the shortest first.
    Left,
    /// How often the jail has banned it, the most first.
    Times,
    /// The begin, the newest first.
    Since,
}

impl Sort {
    /// The rows come sorted by address, and those that are alike stay so.
    fn sort(self, rows: &mut [BanRow]) {
        match self {
            Self::Address => {}
            Self::Jail => rows.sort_by(|a, b| a.jail.cmp(&b.jail)),
            Self::Left => rows.sort_by_key(|row| row.seconds_left.unwrap_or(u64::MAX)),
            Self::Times => rows.sort_by_key(|row| Reverse(row.count)),
            Self::Since => rows.sort_by_key(|row| Reverse(row.since)),
        }
    }
}

/// `{"schema":1,"bans":[...]}`.
#[derive(Serialize)]
pub(super) struct Document<'a, T> {
    pub(super) bans: &'a [T],
}

/// A ban, and what was asked for beside it.
#[derive(Serialize)]
struct Row<'a> {
    #[serde(flatten)]
    ban: &'a BanRow,
    /// The name of the address; `null`: it has none, or it was not told in time.
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<Option<String>>,
    /// ISO 3166's two letters; `null`: the database does not know it.
    #[serde(skip_serializing_if = "Option::is_none")]
    country: Option<Option<String>>,
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
    let (named, within) = match options.filter.as_deref() {
        None => (None, None),
        // Jail names are not addresses: `[jail.X]` refuses them.
        Some(text) => match unban::prefix(text) {
            Ok(prefix) => (None, Some(prefix)),
            Err(failure) if text.contains(['/', ':']) => return Err(failure),
            Err(_) => (Some(text), None),
        },
    };
    let jail = match (named, options.jail.as_deref()) {
        (Some(one), Some(other)) if one != other => {
            return Err(usage(format!("no ban is of both {one} and {other}: name one jail")));
        }
        (one, other) => one.or(other),
    };
    // What the database is asked with is known before the daemon is bothered.
    let countries = options.country.as_ref().map(|file| Countries::open(file.as_deref())).transpose()?;
    let mut rows = shared.connect()?.list(jail, within)?.map_err(|other| super::unexpected(&other))?;
    if let Some(within) = options.expiring {
        let within = within.get().as_secs();
        rows.retain(|row| row.seconds_left.is_some_and(|left| left <= within));
    }
    options.sort.sort(&mut rows);
    let exit = if rows.is_empty() && within.is_some() { Exit::No } else { Exit::Done };
    let address = |row: &BanRow| row.address.parse::<IpAddr>().ok();
    let names = options.names.then(|| names::of(rows.iter().filter_map(address)));
    let rows: Vec<Row<'_>> = rows
        .iter()
        .map(|ban| Row {
            name: names.as_ref().map(|names| address(ban).and_then(|address| names.get(&address).cloned())),
            country: countries.as_ref().map(|countries| countries.of(&ban.address)),
            ban,
        })
        .collect();
    if shared.json {
        output::print_json(out, &Document { bans: &rows })?;
        return Ok(exit);
    }
    if let (true, Some(within)) = (rows.is_empty(), within) {
        return Err(Failure::new(exit, format!("{} is not banned", shown(&within))));
    }
    if rows.is_empty() {
        let (nobody, whose) = (options.expiring.map_or("nobody is banned", |_| "no ban ends so soon"), jail);
        let whose = whose.map_or_else(String::new, |jail| format!(" by {}", output::harmless(jail)));
        writeln!(out, "{nobody}{whose}")?;
        return Ok(Exit::Done);
    }
    print(&rows, out)?;
    Ok(Exit::Done)
}

fn print(rows: &[Row<'_>], out: &mut dyn Write) -> std::io::Result<()> {
    let extra = |has: fn(&Row<'_>) -> bool, title| rows.first().is_some_and(has).then_some(title);
    let (name, country) =
        (extra(|row| row.name.is_some(), "NAME"), extra(|row| row.country.is_some(), "COUNTRY"));
    let counted = rows.iter().any(|row| row.ban.packets.is_some());
    let titles = [Some("ADDRESS"), name, country, Some("JAIL"), Some("PORTS"), Some("LEFT"), Some("TIMES")];
    let titles = titles.into_iter().chain([counted.then_some("PACKETS"), Some("SINCE"), Some("REASON")]);
    let titles: Vec<&str> = titles.flatten().collect();
    let zone = TimeZone::system();
    let mut table = Columns::new(&titles);
    for Row { ban, name, country } in rows {
        let mut reason = output::harmless(&ban.reason);
        if !ban.in_kernel && !is_observed(ban) {
            reason.insert_str(0, "NOT IN THE KERNEL ");
        }
        let or_none = |text: &Option<String>| text.as_deref().map_or_else(|| "-".into(), output::harmless);
        let mut cells = vec![ban.address.clone()];
        cells.extend(name.as_ref().map(or_none));
        cells.extend(country.as_ref().map(or_none));
        let left = if ban.renews { format!("{} or more", left(ban)) } else { left(ban) };
        cells.extend([output::harmless(&ban.jail), ports(ban), left, ban.count.to_string()]);
        let packets = ban.packets.map_or_else(|| "-".into(), |packets| packets.to_string());
        cells.extend(counted.then_some(packets));
        cells.extend([ban.since.to_zoned(zone.clone()).strftime("%F %T").to_string(), reason]);
        table.add_row(cells);
    }
    table.print(&["PORTS", "SINCE", "TIMES", "REASON", "PACKETS", "COUNTRY", "NAME"], out)
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
    let mut table = Columns::new(&["ADDRESS", "PORT", "SET", "LEFT"]);
    for row in rows {
        let left = row
            .seconds_left
            .map_or_else(|| "permanent".into(), |left| output::duration(Duration::from_secs(left)));
        table.add_row(vec![row.address, row.port.unwrap_or_else(|| "all".into()), row.set, left]);
    }
    table.print(&["SET"], out)?;
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
            let target = "192.0.2.1/32".parse::<ipnet::IpNet>().unwrap().into();
            let element = Element { target, left, packets: None };
            assert_eq!(kernel_row(&element).seconds_left, Some(seconds));
        }
    }
}
