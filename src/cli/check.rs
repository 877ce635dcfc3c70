//! `banctl check`: every error of the configuration at once. Needs no daemon.

use std::io::Write;

use super::exit::{Exit, Failure};
use super::{Shared, output};
use crate::config::{self, Report};

pub(super) fn run(shared: &Shared, out: &mut dyn Write) -> Result<Exit, Failure> {
    let (plan, report) = match config::load(&shared.layout()) {
        Ok(plan) => {
            let warnings = Report::from(plan.warnings.clone());
            (Some(plan), warnings)
        }
        Err(report) => (None, report),
    };
    let exit = if plan.is_some() { Exit::Done } else { Exit::No };
    if shared.json {
        let document = report.to_json().map_err(std::io::Error::from)?;
        writeln!(out, "{document}")?;
        return Ok(exit);
    }
    write!(out, "{}", report.render(output::is_terminal(), output::width()))?;
    if let Some(plan) = plan {
        if !plan.warnings.is_empty() {
            writeln!(out)?;
        }
        let jails: Vec<&str> = plan.jails.iter().map(|jail| &*jail.name).collect();
        for jail in &plan.jails {
            let slow = jail.filter.as_ref().map_or_else(Vec::new, |filter| filter.backtracking());
            if !slow.is_empty() {
                let numbers = slow.iter().map(usize::to_string).collect::<Vec<_>>().join(", ");
                writeln!(
                    out,
                    "jail {}: patterns of its filter that need backtracking (slower, and given up on lines that drive them far): {numbers}",
                    jail.name
                )?;
            }
        }
        match jails.as_slice() {
            [] => writeln!(out, "the configuration has no errors, and enables no jail")?,
            names => writeln!(out, "the configuration has no errors; enabled: {}", names.join(", "))?,
        }
    }
    Ok(exit)
}
