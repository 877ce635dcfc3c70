//! `banctl why ADDRESS`: all that is known of it, in one answer.

use std::io::{self, Write};
use std::time::Duration;

use clap::Args;
use ipnet::IpNet;
use jiff::Timestamp;

use super::exit::{Exit, Failure};
use super::history::{by, jail, what};
use super::output::moment;
use super::recall::{Past, StateDir};
use super::{Shared, complete, list, output, unban, unexpected};
use crate::control::protocol::{Answer, BanRow, Request};
use crate::control::recall::{LineRow, Why};
use crate::firewall::{Firewall, Target};
use crate::jail::{Ban, shown};
use crate::store::Archive;

#[derive(Debug, Args)]
pub(super) struct Options {
    /// The address, or a prefix.
    #[arg(value_name = "ADDRESS|PREFIX", add = complete::banned())]
    address: String,
    #[command(flatten)]
    state: StateDir,
}

pub(super) fn run(shared: &Shared, options: &Options, out: &mut dyn Write) -> Result<Exit, Failure> {
    let address = unban::prefix(&options.address)?;
    let why = match Past::find(shared, &options.state)? {
        Past::Daemon(mut client) => match client.ask(&Request::Why { address })? {
            Answer::Why(why) => *why,
            other => return Err(unexpected(&other)),
        },
        Past::Disk(archive) => from_disk(&archive, address)?,
    };
    if shared.json {
        output::print_json(out, &why)?;
    } else {
        print(&why, out)?;
    }
    Ok(if why.banned { Exit::Done } else { Exit::No })
}

/// What store and kernel say where no daemon runs; of the jails nothing is known.
fn from_disk(archive: &Archive, address: IpNet) -> Result<Why, Failure> {
    let now = Timestamp::now();
    let bans = archive.bans(address).map_err(|error| Failure::new(Exit::Unreachable, error))?;
    let bans: Vec<Ban> = bans.into_iter().filter(|ban| ban.until.is_none_or(|until| until > now)).collect();
    let held: Option<Vec<bool>> = bans.iter().map(held).collect();
    let alone = drops(address.into());
    let in_kernel = held.as_ref().zip(alone).map(|(held, alone)| alone || held.contains(&true));
    let held = held.unwrap_or_else(|| vec![false; bans.len()]);
    let why = Why {
        address: shown(&address),
        banned: !bans.iter().all(Ban::is_observed),
        bans: bans.iter().zip(held).map(|(ban, held)| BanRow::new(ban, now, held)).collect(),
        in_kernel,
        ..Why::default()
    };
    Ok(why.with_history(archive, address))
}

/// Whether the kernel has all of a ban; none if it does not say.
fn held(ban: &Ban) -> Option<bool> {
    let each = ban.closes().map(|service| drops(Target { prefix: ban.prefix, service, renew: ban.renew }));
    each.collect::<Option<Vec<bool>>>().map(|each| each.into_iter().all(|held| held))
}

fn drops(target: Target) -> Option<bool> {
    let mut firewall = Firewall::open_existing().ok()?;
    match firewall.contains(target) {
        Ok(element) => Some(element.is_some()),
        Err(error) => error.is_missing().then_some(false),
    }
}

pub(super) fn print(why: &Why, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "{} is {}banned", why.address, if why.banned { "" } else { "not " })?;
    for ban in &why.bans {
        print_ban(ban, why.in_kernel, out)?;
    }
    let kernel = match (why.in_kernel, why.banned) {
        (Some(true), false) => Some("the kernel drops it all the same"),
        (None, _) => Some("the kernel could not be asked"),
        _ => None,
    };
    if let Some(kernel) = kernel {
        writeln!(out, "  {kernel}")?;
    }
    for rule in &why.allowed {
        writeln!(out, "  allowed: {}", output::harmless(rule))?;
    }
    for note in &why.notes {
        writeln!(out, "  {}", output::harmless(note))?;
    }
    for failures in &why.failures {
        writeln!(out, "\nFailures counted by {}, too few for a ban:", output::harmless(&failures.jail))?;
        print_lines(&failures.lines, out)?;
    }
    if !why.next.is_empty() {
        let each =
            why.next.iter().map(|next| format!("{} {}", output::harmless(&next.jail), length(next.seconds)));
        writeln!(out, "\nThe next ban would last: {}", each.collect::<Vec<_>>().join(", "))?;
    }
    if !why.history.is_empty() {
        writeln!(out, "\nHistory, newest first:")?;
    }
    for event in &why.history {
        let begins = event.ending.is_none();
        let times =
            if begins && event.count > 0 { format!(" (time {})", event.count) } else { String::new() };
        let mut text =
            format!("  {}  {} by {}{times} [{}]", moment(event.time), what(event), by(event), jail(event));
        let address = Some(&event.address).filter(|address| **address != why.address).cloned();
        let reason = Some(output::harmless(&event.reason)).filter(|reason| begins && !reason.is_empty());
        for word in address.into_iter().chain(reason) {
            text.push(' ');
            text.push_str(&word);
        }
        writeln!(out, "{text}")?;
        print_lines(&event.lines, out)?;
    }
    match &why.history_error {
        Some(error) => writeln!(out, "\n{}", output::harmless(error)),
        None => Ok(()),
    }
}

fn print_ban(ban: &BanRow, kernel: Option<bool>, out: &mut dyn Write) -> io::Result<()> {
    let until = ban.until.map_or_else(|| "permanently".into(), |until| format!("until {}", moment(until)));
    let left = ban.seconds_left.map_or_else(String::new, |_| format!(" ({} left)", list::left(ban)));
    let renews = if ban.renews { ", anew with each packet" } else { "" };
    writeln!(
        out,
        "  by {} since {}, {until}{left}{renews}, time {}",
        output::harmless(&ban.jail),
        moment(ban.since),
        ban.count
    )?;
    let packets = ban.packets.map_or_else(String::new, |packets| format!("; {packets} packets dropped"));
    let ports = match ban.ports.as_deref() {
        None => "every port".to_owned(),
        Some([]) => "only observed: nothing is closed".to_owned(),
        Some(ports) => ports.join(" "),
    };
    let reason = if ban.reason.is_empty() { "no reason given".into() } else { output::harmless(&ban.reason) };
    let agrees = match (kernel, ban.in_kernel) {
        // Nothing was to be there.
        _ if ban.ports.as_ref().is_some_and(Vec::is_empty) => "",
        (None, _) => "",
        (_, true) => "; the kernel agrees",
        (_, false) => "; NOT IN THE KERNEL",
    };
    writeln!(out, "    {ports}; {} ({reason}){agrees}{packets}", output::harmless(&ban.source))
}

fn print_lines(lines: &[LineRow], out: &mut dyn Write) -> io::Result<()> {
    lines
        .iter()
        .try_for_each(|line| writeln!(out, "    {}  {}", moment(line.time), output::harmless(&line.line)))
}

fn length(seconds: Option<u64>) -> String {
    seconds.map_or_else(|| "permanently".into(), |seconds| output::duration(Duration::from_secs(seconds)))
}
