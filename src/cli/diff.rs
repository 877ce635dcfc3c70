//! `banctl config diff`: what would change if kband read its files again.

use std::collections::BTreeMap;
use std::io::Write;

use anstyle::AnsiColor;
use serde::Serialize;

use super::exit::{Exit, Failure};
use super::{Shared, output, settings, unexpected};
use crate::config::{self, Layout, Setting};
use crate::control::protocol::{Answer, Request};

/// `{"schema":1,"changes":[...]}`.
#[derive(Serialize)]
struct Document<'a> {
    changes: &'a [Change<'a>],
}

/// One key that is not the same.
#[derive(Serialize)]
struct Change<'a> {
    table: &'a str,
    key: &'a str,
    /// As it is in effect; `null`: it is not there.
    running: Option<&'a Setting>,
    /// As the files say; `null`: they do not.
    files: Option<&'a Setting>,
}

pub(super) fn run(shared: &Shared, out: &mut dyn Write) -> Result<Exit, Failure> {
    let (named, running) = match shared.ask(&Request::Config)? {
        Answer::Config { read_from, settings } => (read_from, settings),
        other => return Err(unexpected(&other)),
    };
    let layout = shared.config.as_ref().map_or_else(|| Layout::at(named), Layout::at);
    let files = match config::load(&layout) {
        Ok(plan) => plan.settings,
        Err(_) => {
            let what =
                "the files have errors, so kband would go on with what it has: `banctl check` tells them";
            return Err(Failure::new(Exit::No, what));
        }
    };
    let changes = changes(&running, &files);
    if shared.json {
        output::print_json(out, &Document { changes: &changes })?;
    } else if changes.is_empty() {
        writeln!(out, "what runs is what the files say")?;
    } else {
        print(&changes, out)?;
    }
    Ok(if changes.is_empty() { Exit::Done } else { Exit::No })
}

#[derive(Default)]
struct Both<'a> {
    running: Option<&'a Setting>,
    files: Option<&'a Setting>,
}

/// The keys whose values differ; where they were typed does not matter.
fn changes<'a>(running: &'a [Setting], files: &'a [Setting]) -> Vec<Change<'a>> {
    let mut both: BTreeMap<(&str, &str), Both<'a>> = BTreeMap::new();
    for setting in running {
        both.entry((&setting.table, &setting.key)).or_default().running = Some(setting);
    }
    for setting in files {
        both.entry((&setting.table, &setting.key)).or_default().files = Some(setting);
    }
    let value = |setting: Option<&'a Setting>| setting.map(|setting| &setting.value);
    let differ = both.into_iter().filter(|(_, both)| value(both.running) != value(both.files));
    differ.map(|((table, key), Both { running, files })| Change { table, key, running, files }).collect()
}

fn print(changes: &[Change<'_>], out: &mut dyn Write) -> std::io::Result<()> {
    let (gone, new) = (AnsiColor::Red.on_default(), AnsiColor::Green.on_default());
    for table in changes.chunk_by(|a, b| a.table == b.table) {
        writeln!(out, "[{}]", table.first().map_or("", |first| first.table))?;
        for change in table {
            for (sign, style, setting) in [('-', gone, change.running), ('+', new, change.files)] {
                let Some(setting) = setting else { continue };
                let (key, value) = (output::harmless(&setting.key), output::harmless(&setting.value));
                writeln!(out, "{style}{sign} {key} = {value}{style:#}  # {}", settings::place(setting))?;
            }
        }
    }
    writeln!(out, "(- runs, + is in the files: `banctl reload` puts it into effect)")
}
