//! `banctl check`: every error of the configuration at once, and what had better be otherwise. Needs no daemon.

use std::io::Write;

use super::exit::{Exit, Failure};
use super::root::Root;
use super::{Shared, confined, output};
use crate::config::{self, Plan, Problem, Report};

pub(super) fn run(shared: &Shared, out: &mut dyn Write) -> Result<Exit, Failure> {
    let (plan, report) = match config::load(&shared.layout()) {
        Ok(plan) => {
            let (merged, _) = config::read(&shared.layout());
            let mut told = plan.warnings.clone();
            told.extend(config::lint(&merged, &plan));
            told.extend(forbidden(&Root::new("/"), &plan));
            (Some(plan), Report::from(told))
        }
        Err(report) => (None, report),
    };
    let exit = if plan.is_some() { Exit::Done } else { Exit::No };
    if shared.json {
        let document = report.to_json().map_err(std::io::Error::from)?;
        writeln!(out, "{document}")?;
        return Ok(exit);
    }
    if !report.problems.is_empty() {
        write!(out, "{}", report.render(output::is_terminal(), output::width()))?;
    }
    if let Some(plan) = plan {
        if !report.problems.is_empty() {
            writeln!(out)?;
        }
        let jails: Vec<&str> = plan.jails.iter().map(|jail| &*jail.name).collect();
        match jails.as_slice() {
            [] => writeln!(out, "the configuration has no errors, and enables no jail")?,
            names => writeln!(out, "the configuration has no errors; enabled: {}", names.join(", "))?,
        }
    }
    Ok(exit)
}

/// What kban.service, if it is installed, may not do for this configuration.
fn forbidden(root: &Root, plan: &Plan) -> Vec<Problem> {
    let Some(unit) = confined::installed(root) else { return Vec::new() };
    let needs = confined::needs(root, unit, plan, |_| false).into_iter();
    needs.filter_map(|need| Some(Problem::warning(need.found).help(need.remedy?))).collect()
}
