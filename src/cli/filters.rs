//! `banctl filters`: which filters there are, or what one of them looks for. Needs no daemon.

use std::collections::BTreeSet;
use std::io::Write;
use std::path::Path;

use clap::Args;
use serde::Serialize;

use super::exit::{Exit, Failure};
use super::{Shared, output};
use crate::filter::{Filter, NORMAL, Port, catalogue};

#[derive(Debug, Args)]
pub(super) struct Options {
    /// Show this filter: a name or path, with options in brackets as in sshd[mode=aggressive].
    #[arg(value_name = "NAME")]
    name: Option<String>,
}

/// `{"schema":1,"filters":[...]}`.
#[derive(Serialize)]
struct List {
    filters: Vec<Row>,
}

#[derive(Serialize)]
struct Row {
    name: String,
    description: String,
    modes: Vec<String>,
}

/// `{"schema":1,"name":...}`.
#[derive(Serialize)]
struct Shown<'a> {
    name: &'a str,
    description: &'a str,
    modes: Vec<String>,
    programs: &'a [String],
    logpath: Vec<&'a Path>,
    journalmatch: &'a [String],
    port: Vec<String>,
    patterns: Vec<&'a str>,
    ignored: Vec<&'a str>,
}

pub(super) fn run(shared: &Shared, options: &Options, out: &mut dyn Write) -> Result<Exit, Failure> {
    match &options.name {
        Some(name) => show(shared, name, out),
        None => list(shared, out),
    }
}

fn list(shared: &Shared, out: &mut dyn Write) -> Result<Exit, Failure> {
    let mut names: BTreeSet<String> = catalogue::names().map(str::to_owned).collect();
    names.extend(shared.layout().filter_dirs.iter().flat_map(|directory| own_names(directory)));
    let mut filters = Vec::new();
    for name in names {
        match Filter::load(&name, &shared.layout().filter_dirs) {
            Ok(filter) => filters.push(Row {
                description: filter.description().to_owned(),
                modes: filter.modes(),
                name,
            }),
            // The list shows the others all the same; `banctl filters NAME` and `banctl check` show the error in full.
            Err(error) => filters.push(Row {
                description: format!(
                    "CANNOT BE USED: {}",
                    error.to_string().lines().next().unwrap_or_default()
                ),
                modes: Vec::new(),
                name,
            }),
        }
    }
    if shared.json {
        output::print_json(out, &List { filters })?;
        return Ok(Exit::Done);
    }
    let mut table = output::table(&["FILTER", "MODES", "WHAT IT LOOKS FOR"]);
    for row in filters {
        let modes = row.modes.iter().filter(|mode| *mode != NORMAL).cloned().collect::<Vec<_>>().join(" ");
        table.add_row([output::harmless(&row.name), modes, output::harmless(&row.description)]);
    }
    output::print_table(out, &table)?;
    Ok(Exit::Done)
}

/// The names of the administrator's filters.
fn own_names(directory: &Path) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(directory) else { return Vec::new() };
    entries
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "toml" || extension == "conf"))
        .filter_map(|path| Some(path.file_stem()?.to_string_lossy().into_owned()))
        .collect()
}

fn show(shared: &Shared, name: &str, out: &mut dyn Write) -> Result<Exit, Failure> {
    let filter =
        Filter::load(name, &shared.layout().filter_dirs).map_err(|error| Failure::new(Exit::Usage, error))?;
    let port = |port: &Port| match port {
        Port::Number(number) => number.to_string(),
        Port::Text(text) => text.clone(),
    };
    let shown = Shown {
        name: filter.name(),
        description: filter.description(),
        modes: filter.modes(),
        programs: filter.programs(),
        logpath: filter.log_paths().collect(),
        journalmatch: filter.journal_matches(),
        port: filter.ports().iter().map(port).collect(),
        patterns: filter.patterns().collect(),
        ignored: filter.exceptions().collect(),
    };
    if shared.json {
        output::print_json(out, &shown)?;
        return Ok(Exit::Done);
    }
    writeln!(out, "{}: {}", output::harmless(shown.name), output::harmless(shown.description))?;
    let paths: Vec<String> = shown.logpath.iter().map(|path| path.display().to_string()).collect();
    for (what, values) in [
        ("modes", &shown.modes),
        ("programs", &shown.programs.to_vec()),
        ("logpath", &paths),
        ("journalmatch", &shown.journalmatch.to_vec()),
        ("port", &shown.port),
    ] {
        if !values.is_empty() {
            writeln!(out, "{what}: {}", output::harmless(&values.join(" ")))?;
        }
    }
    writeln!(out, "failures:")?;
    for (index, pattern) in shown.patterns.iter().enumerate() {
        writeln!(out, "  {index:>2}  {}", output::harmless(pattern))?;
    }
    if !shown.ignored.is_empty() {
        writeln!(out, "never failures:")?;
    }
    for pattern in &shown.ignored {
        writeln!(out, "      {}", output::harmless(pattern))?;
    }
    Ok(Exit::Done)
}
