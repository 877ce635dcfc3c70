//! `banctl jails`: which jails there are, and what they look for. Needs no daemon.

use std::io::Write;

use serde::Serialize;

use super::columns::Columns;
use super::exit::{Exit, Failure};
use super::{Shared, output};
use crate::config::judgement::Counts;
use crate::config::{self, Report};
use crate::filter::Filter;

/// `{"schema":1,"jails":[...]}`.
#[derive(Serialize)]
struct Document {
    jails: Vec<Row>,
}

#[derive(Serialize)]
struct Row {
    name: String,
    enabled: bool,
    /// `null`: it counts bans.
    filter: Option<String>,
    description: String,
}

pub(super) fn run(shared: &Shared, out: &mut dyn Write) -> Result<Exit, Failure> {
    let layout = shared.layout();
    let (merged, problems) = config::read(&layout);
    let row = |(name, jail): (
        &config::value::JailName,
        &config::value::At<config::value::Table<config::file::Jail>>,
    )| {
        let jail = &jail.value;
        let counts_bans = jail.counts.as_ref().is_some_and(|counts| counts.value == Counts::Bans);
        let filter = jail.filter.as_ref().map_or_else(|| name.0.to_string(), |filter| filter.value.0.clone());
        let description = match Filter::load(&filter, &layout.filter_dirs) {
            _ if counts_bans => "whoever was banned again and again".to_owned(),
            Ok(loaded) => loaded.description().to_owned(),
            // In full with `banctl check`, once the jail is enabled.
            Err(error) => {
                format!("CANNOT BE USED: {}", error.to_string().lines().next().unwrap_or_default())
            }
        };
        Row {
            name: name.0.to_string(),
            enabled: jail.is_enabled(),
            filter: (!counts_bans).then_some(filter),
            description,
        }
    };
    let jails: Vec<Row> = merged.file.jail.iter().map(row).collect();
    if shared.json {
        output::print_json(out, &Document { jails })?;
    } else {
        let mut table = Columns::new(&["JAIL", "IS", "FILTER", "WHAT IT LOOKS FOR"]);
        for jail in jails {
            table.add_row(vec![
                output::harmless(&jail.name),
                if jail.enabled { "on".into() } else { "off".into() },
                jail.filter.as_deref().map_or_else(|| "-".into(), output::harmless),
                output::harmless(&jail.description),
            ]);
        }
        table.print(&["FILTER"], out)?;
        writeln!(out, "\n`banctl enable NAME` turns one on; NAME may also be a filter (`banctl filters`)")?;
    }
    if Report::from(problems).has_errors() {
        out.flush()?;
        return Err(Failure::new(
            Exit::No,
            "the configuration has errors, so some may be missing: `banctl check` tells them",
        ));
    }
    Ok(Exit::Done)
}
