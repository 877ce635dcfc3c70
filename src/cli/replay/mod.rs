//! `banctl replay FILE...`: whom jails would have banned in past logs, and who of them logged in. Needs no daemon.
//!
//! `plans` are the settings, `logs` the files; `timeline` tells what they say in the order of time, each `world` judges it
//! under its settings with the daemon's engine and writes into its `ledger`; `document` and `report` are the answer.

mod document;
mod ledger;
mod logs;
mod options;
mod plans;
mod report;
mod timeline;
mod world;

use std::collections::HashSet;
use std::io::Write;
use std::sync::Arc;

use jiff::tz::TimeZone;

use super::exit::{Exit, Failure};
use super::{Shared, output};
use crate::filter::Filter;
use document::{Bounded, Difference, Document, Outcome};
use logs::Look;
pub(super) use options::Options;
use plans::Plans;
use timeline::{Read, Timeline, What};
use world::World;

pub(super) fn run(shared: &Shared, options: &Options, out: &mut dyn Write) -> Result<Exit, Failure> {
    let plans = Plans::read(options, &shared.layout())?;
    let filters = plans.filters();
    let look = Look {
        filters: &filters,
        entries: entries(&filters),
        now: options.now,
        zone: TimeZone::system(),
        bar: true,
    };
    let logs = logs::logs(&options.input, &look)?;
    let asked = trusting(&plans, &filters);
    let mut timeline = Timeline::new(logs, &look, &asked);
    let mut current = World::new(&plans.current, &filters);
    let mut changed = plans.changed.as_ref().map(|plan| World::new(plan, &filters));

    let (mut failures, mut logins, mut addresses) = (0, 0, HashSet::new());
    while let Some(event) = timeline.next()? {
        match &event.what {
            What::Failure(failure, _) => {
                failures += 1;
                if addresses.len() < ledger::MOST {
                    addresses.insert(failure.address);
                }
            }
            What::Success(_) => logins += 1,
        }
        current.take(&event);
        if let Some(changed) = &mut changed {
            changed.take(&event);
        }
    }

    let read = timeline.read();
    let sees = filters.iter().any(|filter| filter.tells_successes());
    let outcome = |plan, world| Outcome::new(plan, world, sees, !options.no_users);
    let document = Document {
        files: options.input.clone(),
        notes: plans.notes().into_iter().chain(notes(&read)).collect(),
        lines: read.lines,
        failures,
        addresses: Bounded::of(addresses.len()),
        logins: sees.then_some(logins),
        from: read.span.map(|(from, _)| from),
        to: read.span.map(|(_, to)| to),
        blind: blind(&plans),
        set: options.set.clone(),
        current: outcome(&plans.current, &current),
        changed: plans.changed.as_ref().zip(changed.as_ref()).map(|(plan, world)| outcome(plan, world)),
        difference: changed
            .as_ref()
            .map(|changed| Difference::new(&current.ledger.offenders, &changed.ledger.offenders)),
    };
    if shared.json {
        output::print_json(out, &document)?;
    } else {
        report::print(&document, out)?;
    }
    Ok(if failures > 0 { Exit::Done } else { Exit::No })
}

/// Which of the journal's entries the filters want; all, if one does not say.
fn entries(filters: &[Arc<Filter>]) -> Vec<String> {
    if filters.iter().any(|filter| filter.journal_matches().is_empty()) {
        return Vec::new();
    }
    filters.iter().flat_map(|filter| filter.journal_matches().iter().cloned()).collect()
}

/// Whether any jail behind each filter trusts those who log in, and so asks for users.
fn trusting(plans: &Plans, filters: &[Arc<Filter>]) -> Vec<bool> {
    let jails: Vec<_> =
        [&plans.current].into_iter().chain(&plans.changed).flat_map(|plan| &plan.jails).collect();
    let has_it = |own: &Arc<Filter>, filter: &Option<Arc<Filter>>| {
        filter.as_ref().is_some_and(|filter| Arc::ptr_eq(filter, own))
    };
    let trusts = |filter| jails.iter().any(|jail| jail.trust.is_some() && has_it(filter, &jail.filter));
    filters.iter().map(trusts).collect()
}

/// The jails whose filters recognise no logins.
fn blind(plans: &Plans) -> Vec<String> {
    let jails = plans.changed.as_ref().unwrap_or(&plans.current).jails.iter();
    let blind = jails.filter(|jail| jail.filter.as_ref().is_some_and(|filter| !filter.tells_successes()));
    blind.map(|jail| jail.name.to_string()).collect()
}

/// What is to be known of the lines.
fn notes(read: &Read) -> impl Iterator<Item = String> {
    let Read { named, undated, back, .. } = *read;
    let note = |count: u64, what: &str| (count > 0).then(|| format!("{what}: {count}"));
    [
        note(named, "failures of hosts of which only the name was logged, which are left out"),
        note(undated, "failures and logins without a date, which count as happening with the one before"),
        note(
            back,
            "failures and logins more than a day before what stands above them (is each log in order?)",
        ),
    ]
    .into_iter()
    .flatten()
}
