//! `banctl fleet list`, `status` and `revoke`: who belongs to the fleet, and how they are doing.

use std::io::Write;

use jiff::Timestamp;
use serde::Serialize;

use super::super::columns::Columns;
use super::super::exit::{Exit, Failure, usage};
use super::super::{Shared, output, status, unexpected};
use super::{Revoke, friends, making};
use crate::config;
use crate::config::fleet::FLEET;
use crate::control::client::ClientError;
use crate::control::fleet::FleetStatus;
use crate::control::protocol::{Answer, Request};
use crate::fleet::members::{Member, Members};
use crate::jail::written;

/// One machine, as `banctl fleet list` shows it.
#[derive(Serialize)]
struct Row<'a> {
    name: &'a str,
    #[serde(flatten)]
    member: &'a Member,
    /// What is known of it; `null`: kband does not run, or has heard nothing.
    reports: Option<u64>,
    refused: Option<u64>,
    lag: Option<u64>,
    last_seen: Option<Timestamp>,
}

/// One friend's fleet whose offenders are read, as `banctl fleet list` shows it.
#[derive(Serialize)]
struct Friend {
    name: String,
    server: String,
    weight: u32,
    /// What is known of it; `null`: kband does not run, or has heard nothing.
    offenders: Option<u64>,
    refused: Option<u64>,
    last_seen: Option<Timestamp>,
}

/// What a running kband says of the fleet.
fn told(shared: &Shared) -> Result<Option<FleetStatus>, Failure> {
    match shared.connect() {
        Ok(mut client) => Ok(status::of(client.ask(&Request::Status)?)?.fleet),
        Err(ClientError::NotRunning { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

pub(super) fn list(shared: &Shared, out: &mut dyn Write) -> Result<Exit, Failure> {
    let layout = shared.layout();
    let directory = super::directory(&layout);
    let known = told(shared)?.unwrap_or_default();
    let (merged, _) = config::read(&layout);
    let friends: Vec<Friend> = merged
        .file
        .fleet
        .peer
        .iter()
        .map(|(name, peer)| {
            let heard = known.peers.get(&*name.0);
            Friend {
                name: name.0.to_string(),
                server: peer.value.server.as_ref().map(|server| server.value.0.clone()).unwrap_or_default(),
                weight: peer.value.weight.as_ref().map_or(1, |weight| weight.value.0),
                offenders: heard.map(|peer| peer.offenders),
                refused: heard.map(|peer| peer.refused.values().sum()),
                last_seen: heard.and_then(|peer| peer.last_seen),
            }
        })
        .collect();
    let members = match friends.is_empty() || super::is_firewall(&directory) {
        true => super::members(&directory)?,
        false => Members::default(),
    };
    let rows: Vec<Row<'_>> = members
        .0
        .iter()
        .map(|(name, member)| {
            let host = known.hosts.get(&**name);
            let edge = known.edges.get(&**name).or_else(|| known.readers.get(&**name));
            let seen = host.and_then(|host| host.last_seen).max(edge.and_then(|edge| edge.last_seen));
            Row {
                name,
                member,
                reports: host.map(|host| host.reports),
                refused: host.map(|host| host.refused.values().sum()),
                lag: edge.map(|edge| edge.lag),
                last_seen: seen,
            }
        })
        .collect();
    if shared.json {
        #[derive(Serialize)]
        struct Document<'a> {
            members: Vec<Row<'a>>,
            peers: Vec<Friend>,
        }
        output::print_json(out, &Document { members: rows, peers: friends })?;
        return Ok(Exit::Done);
    }
    let mut table = Columns::new(&["NAME", "ROLE", "WEIGHT", "REPORTS", "REFUSED", "LAG", "LAST SEEN"]);
    let shown = |number: Option<u64>| number.map_or_else(|| "-".to_owned(), |number| number.to_string());
    for row in rows {
        let role = match (row.member.revoked, &row.member.host, &row.member.edge) {
            (Some(_), ..) => "revoked",
            (None, Some(_), Some(_)) => "host, edge",
            (None, Some(_), None) => "host",
            (None, None, Some(_)) => "edge",
            (None, None, None) => "peer",
        };
        table.add_row(vec![
            row.name.to_owned(),
            role.to_owned(),
            row.member.weight.to_string(),
            shown(row.reports),
            shown(row.refused),
            shown(row.lag),
            row.last_seen.map_or_else(|| "-".to_owned(), |time| format!("{time:.0}")),
        ]);
    }
    if !members.0.is_empty() || friends.is_empty() {
        table.print(&["WEIGHT", "LAG"], out)?;
    }
    if friends.is_empty() {
        return Ok(Exit::Done);
    }
    if !members.0.is_empty() {
        writeln!(out)?;
    }
    let mut table = Columns::new(&["READ HERE", "SERVER", "WEIGHT", "OFFENDERS", "REFUSED", "LAST SEEN"]);
    for friend in friends {
        table.add_row(vec![
            friend.name,
            friend.server,
            friend.weight.to_string(),
            shown(friend.offenders),
            shown(friend.refused),
            friend.last_seen.map_or_else(|| "-".to_owned(), |time| format!("{time:.0}")),
        ]);
    }
    table.print(&["WEIGHT", "SERVER"], out)?;
    Ok(Exit::Done)
}

pub(super) fn status(shared: &Shared, out: &mut dyn Write) -> Result<Exit, Failure> {
    let answer = status::of(shared.ask(&Request::Status)?)?;
    let Some(fleet) = answer.fleet else {
        // Why it takes no part although it should is among the warnings.
        let why: Vec<&String> = answer.warnings.iter().filter(|told| told.starts_with("fleet: ")).collect();
        let why = why.first().map_or("this machine is in no fleet", |told| told.as_str());
        return Err(Failure::new(Exit::No, output::harmless(why)));
    };
    let exit = if fleet.connections.values().all(|one| one.up) { Exit::Done } else { Exit::No };
    if shared.json {
        output::print_json(out, &fleet)?;
        return Ok(exit);
    }
    for warning in fleet.warnings() {
        writeln!(out, "WARNING: {}", output::harmless(&warning))?;
    }
    if !fleet.server.is_empty() {
        let (name, server) = (output::harmless(&fleet.name), output::harmless(&fleet.server));
        writeln!(out, "{} {name} of the fleet at {server}", fleet.role)?;
    }
    for (what, connection) in &fleet.connections {
        let since = connection.since.map(|since| format!(" since {since:.0}")).unwrap_or_default();
        writeln!(out, "{what}: {}{since}", if connection.up { "connected" } else { "not connected" })?;
    }
    let numbers = [
        ("reports that have arrived", fleet.reported),
        ("reports that wait", fleet.spooled),
        ("reports that were given up", fleet.dropped),
        ("decisions published", fleet.published),
        ("decisions that wait", fleet.unpublished),
        ("decisions followed", fleet.followed),
        ("decisions not followed because of exceptions here", fleet.spared),
    ];
    for (what, number) in numbers.iter().filter(|(_, number)| *number > 0) {
        writeln!(out, "{what}: {number}")?;
    }
    for (name, peer) in &fleet.peers {
        let offenders = output::counted(peer.offenders, "offender", "offenders");
        let spared = match peer.spared {
            0 => String::new(),
            spared => format!("; {spared} not banned because of exceptions or limits here"),
        };
        writeln!(out, "{name} names {offenders}{spared}")?;
    }
    Ok(exit)
}

pub(super) fn revoke(shared: &Shared, options: &Revoke, out: &mut dyn Write) -> Result<Exit, Failure> {
    let directory = super::directory(&shared.layout());
    let name = &*options.name.0;
    let left = friends::leave(shared, name)?;
    let mut members = match left && !super::is_firewall(&directory) {
        true => Members::default(),
        false => super::members(&directory)?,
    };
    let told = match members.0.get_mut(name) {
        Some(member) => {
            member.revoked.get_or_insert_with(Timestamp::now);
            making::change(shared, &directory, &members)?
        }
        None if left => true,
        None => return Err(usage(format!("no machine of the fleet is called {name}: `banctl fleet list`"))),
    };
    let lifted = if options.lift { lift(shared, name)? } else { 0 };
    if shared.json {
        #[derive(Serialize)]
        struct Revoked<'a> {
            name: &'a str,
            lifted: usize,
            server_reloaded: bool,
        }
        output::print_json(out, &Revoked { name, lifted, server_reloaded: told })?;
        return Ok(Exit::Done);
    }
    if left {
        writeln!(out, "the offenders of {name} are not read any more: bans end that too few others want")?;
    }
    if members.0.contains_key(name) {
        writeln!(out, "{name} does not belong to the fleet any more")?;
    }
    if options.lift {
        writeln!(out, "lifted {}", output::counted(lifted as u64, "ban", "bans"))?;
    }
    making::ask_for_reload(told, out)?;
    Ok(Exit::Done)
}

/// Lifts the bans of jail `fleet` that a host's word has led to. How many they were.
fn lift(shared: &Shared, name: &str) -> Result<usize, Failure> {
    let mut client = shared.connect()?;
    let rows = client.list(Some(FLEET), None)?.map_err(|other| unexpected(&other))?;
    let mut lifted = 0;
    for row in rows.into_iter().filter(|row| row.source == name) {
        let request = Request::Unban { within: written(&row.address), jail: Some(FLEET.to_owned()) };
        match client.ask(&request)? {
            Answer::Lifted { bans } => lifted += bans,
            other => return Err(unexpected(&other)),
        }
    }
    Ok(lifted)
}
