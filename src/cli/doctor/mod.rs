//! `banctl doctor`: what is wrong on this machine, or good to know. Changes nothing, and needs no daemon.
//!
//! Each theme is a file that looks at one thing and says what it found; [`diagnose`] calls them in order. What cannot
//! be looked at is said to be unknown, and why.

mod check;
mod config;
mod daemon;
mod drift;
mod kernel;
mod logs;
mod machine;
mod neighbours;
mod saved;
mod service;
mod view;

use std::io::Write;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use jiff::tz::TimeZone;

use self::check::{Check, State};
use self::root::Root;
use super::exit::{Exit, Failure};
use super::{Shared, confined, output, root};
use crate::config::choices::Ownership;
use crate::config::{self as configuration, Layout};
use crate::control::client::ClientError;
use crate::control::protocol::{Answer, Request, Status};
use crate::firewall::nft_reads_owned_tables;

/// What kband says of itself, and its process id.
type Asked = Result<(Box<Status>, Option<i32>), ClientError>;

/// Where to look.
struct Patient {
    root: Root,
    layout: Layout,
    socket: PathBuf,
    zone: Result<TimeZone, jiff::Error>,
}

pub(super) fn run(shared: &Shared, out: &mut dyn Write) -> Result<Exit, Failure> {
    let patient = Patient {
        root: Root::new("/"),
        layout: shared.layout(),
        socket: shared.socket_path(),
        zone: TimeZone::try_system(),
    };
    let checks = diagnose(&patient, &ask(shared)?, Timestamp::now());
    if shared.json {
        view::print_json(out, &checks)?;
    } else {
        view::print(out, &checks)?;
    }
    Ok(if checks.iter().any(|check| check.state == State::Fail) { Exit::No } else { Exit::Done })
}

fn ask(shared: &Shared) -> Result<Asked, Failure> {
    let asked = shared.connect().and_then(|mut client| Ok((client.ask(&Request::Status)?, client.peer())));
    Ok(match asked {
        Ok((Answer::Status(status), pid)) => Ok((status, pid)),
        Ok((other, _)) => return Err(super::unexpected(&other)),
        Err(error) => Err(error),
    })
}

/// Every check, theme by theme.
fn diagnose(patient: &Patient, asked: &Asked, now: Timestamp) -> Vec<Check> {
    let Patient { root, layout, socket, zone } = patient;
    let loaded = configuration::load(layout);
    let plan = loaded.as_ref().ok();
    let status = asked.as_ref().ok().map(|(status, _)| &**status);
    let pid = asked.as_ref().ok().and_then(|(_, pid)| *pid);
    let elsewhere = pid.is_some_and(|pid| kernel::is_elsewhere(root, pid));
    let wanted = kernel::Wanted {
        ownership: plan.map_or(Ownership::Auto, |plan| plan.firewall.ownership),
        renewal: plan.is_some_and(|plan| plan.jails.iter().any(|jail| jail.renew_on_contact)),
        counting: plan.is_some_and(|plan| plan.firewall.count),
    };
    let interfaces = plan.map(|plan| &*plan.firewall.interfaces).unwrap_or_default();

    let mut checks = Vec::new();
    match asked {
        Ok((status, _)) => {
            let known: Vec<String> =
                plan.iter().flat_map(|plan| &plan.warnings).map(ToString::to_string).collect();
            checks.extend(daemon::checks(status, &known, now));
            checks.push(daemon::socket(root, socket));
            checks.extend(service::checks(root, pid, status.firewall.owned));
        }
        Err(error) => checks.push(daemon::silent(error)),
    }
    let unit = match asked {
        Ok((_, pid)) => pid.and_then(|pid| service::unit(root, pid)),
        Err(_) => confined::installed(root).map(str::to_owned),
    };
    if let (Some(unit), Some(plan)) = (unit, plan) {
        let needs = confined::needs(root, &unit, plan, |log| status.is_some_and(|status| reads(status, log)));
        checks.extend(needs.into_iter().map(|need| {
            let state = if need.remedy.is_none() { State::Ok } else { State::Fail };
            Check { check: need.check, state, found: need.found, remedy: need.remedy }
        }));
    }
    checks.extend(config::checks(layout, loaded.as_ref()));
    checks.extend(logs::checks(root, plan, status.map(|status| &*status.sources)));
    checks.extend(kernel::checks(status, elsewhere, wanted));
    checks.extend(saved::checks(root, nft_reads_owned_tables()));
    checks.extend(status.map(|status| drift::checks(&status.firewall, now)).unwrap_or_default());
    checks.extend(neighbours::checks(root));
    checks.extend(machine::checks(root, interfaces, now));
    checks.push(machine::zone(zone.as_ref()));
    checks
}

/// Whether kband reads a log, and all files that a path with wildcards means.
fn reads(status: &Status, log: &Path) -> bool {
    let mut rows = status.sources.iter().filter(|row| Path::new(&row.source) == log).peekable();
    rows.peek().is_some() && rows.all(|row| row.state == "following" && row.error.is_none())
}

/// How long ago something was, for people.
fn ago(then: Timestamp, now: Timestamp) -> String {
    format!("{} ago", output::duration(output::between(then, now)))
}

#[cfg(test)]
mod tests;
