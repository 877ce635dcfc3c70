//! `banctl enable JAIL` and `banctl disable JAIL`: a drop-in of the jail's own in kban.d, tried before it is put in place.

pub(super) mod files;

use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use clap::Args;
use serde::Serialize;
use toml_edit::{DocumentMut, Item, Table};

use self::files::Change;
use super::exit::{Exit, Failure, usage};
use super::{Shared, complete, output, unexpected};
use crate::config::value::JailName;
use crate::config::{self, Layout, SourceFile};
use crate::control::client::ClientError;
use crate::control::protocol::{Answer, Request};

#[derive(Debug, Args)]
pub(super) struct Options {
    /// A jail; or a filter, which becomes a jail of its name.
    #[arg(value_name = "JAIL", add = complete::filters())]
    jail: JailName,
}

/// `{"schema":1,"jail":...}`.
#[derive(Serialize)]
struct Document<'a> {
    jail: &'a str,
    enabled: bool,
    /// What was written; `null`: it was so before.
    file: Option<&'a Path>,
    /// Whether a running kband knows.
    reloaded: bool,
    warnings: Vec<String>,
}

/// The jail that is protected as long as there is no configuration.
const UNCONFIGURED: &str = "sshd";

pub(super) fn run(
    shared: &Shared,
    options: &Options,
    enabled: bool,
    out: &mut dyn Write,
) -> Result<Exit, Failure> {
    let (layout, jail) = (shared.layout(), &*options.jail.0);
    let Some(directory) = &layout.drop_ins else {
        return Err(usage(format!(
            "{} is one file, and jails are turned on and off in the directory kban.d beside it: give the directory to --config",
            layout.main.display()
        )));
    };
    let (merged, _) = config::read(&layout);
    let known = merged.file.jail.get(&options.jail);
    if known.is_none() {
        config::load_filter(jail, &layout.filter_dirs).map_err(|problem| {
            usage(format!(
                "there is no jail {jail}, and no filter of that name to make one of: {}",
                problem.message
            ))
        })?;
    }
    let is_on = known.is_some_and(|known| known.value.is_enabled());
    let file = directory.join(name_of(jail));
    let mut document = Document { jail, enabled, file: None, reloaded: false, warnings: Vec::new() };
    if is_on != enabled {
        let mut changes = vec![drop_in(directory, jail, enabled)?];
        if config::is_unconfigured(&layout) && jail != UNCONFIGURED {
            // With the first file, what holds without any ends.
            changes.push(drop_in(directory, UNCONFIGURED, true)?);
        }
        agrees(&layout, &changes, jail, enabled)?;
        let placed = files::put_in_place(directory, changes)?;
        let told = reload(shared).inspect_err(|_| placed.take_back())?;
        document.reloaded = told.is_some();
        document.warnings = told.unwrap_or_default();
        document.file = Some(&file);
    }
    tell(shared, &document, out)?;
    Ok(Exit::Done)
}

fn tell(shared: &Shared, document: &Document<'_>, out: &mut dyn Write) -> Result<(), Failure> {
    if shared.json {
        output::print_json(out, document)?;
        return Ok(());
    }
    let is = if document.enabled { "enabled" } else { "disabled" };
    match document.file {
        None => writeln!(out, "{} is {is} already", document.jail)?,
        Some(file) => {
            let then = if document.reloaded { "kband knows" } else { "no kband runs" };
            writeln!(
                out,
                "{} is {is} in {}; {then}",
                document.jail,
                output::harmless(&file.to_string_lossy())
            )?;
        }
    }
    for warning in &document.warnings {
        writeln!(out, "warning: {}", output::harmless(warning))?;
    }
    Ok(())
}

fn name_of(jail: &str) -> String {
    format!("50-{jail}.toml")
}

/// The jail's drop-in as it is, and as it is to be. Whatever else is in it stays.
fn drop_in(directory: &Path, jail: &str, enabled: bool) -> Result<Change, Failure> {
    const FIRST: &str =
        "# Written by `banctl enable` and `banctl disable`; more keys of the jail may be added.\n";
    let path = directory.join(name_of(jail));
    let before = files::text(&path)?;
    let text = edited(before.as_deref().unwrap_or(FIRST), jail, enabled)
        .map_err(|error| usage(format!("{} is no TOML, mend it first: {error}", path.display())))?;
    Ok(Change { before, after: Arc::new(SourceFile { path, text }) })
}

fn edited(text: &str, jail: &str, enabled: bool) -> Result<String, toml_edit::TomlError> {
    let mut document: DocumentMut = text.parse()?;
    if document.is_empty() && !text.is_empty() {
        // Comments alone stay above what comes now.
        return Ok(format!("{}\n{}", text.trim_end(), edited("", jail, enabled)?));
    }
    let above = if document.is_empty() { "" } else { "\n" };
    let jails = document.entry("jail").or_insert_with(|| {
        let mut table = Table::new();
        table.set_implicit(true);
        Item::Table(table)
    });
    if let Some(jails) = jails.as_table_like_mut() {
        let table = jails.entry(jail).or_insert_with(|| {
            let mut table = Table::new();
            table.decor_mut().set_prefix(above);
            Item::Table(table)
        });
        if let Some(table) = table.as_table_like_mut() {
            match table.get_mut("enabled").and_then(Item::as_value_mut) {
                Some(value) => {
                    // What stands behind it, a comment perhaps, stays.
                    let decor = value.decor().clone();
                    *value = enabled.into();
                    *value.decor_mut() = decor;
                }
                None => {
                    table.insert("enabled", toml_edit::value(enabled));
                }
            }
        }
    }
    Ok(document.to_string())
}

/// Whether the configuration would be accepted with these files, and the jail be as it is wanted.
fn agrees(layout: &Layout, changes: &[Change], jail: &str, enabled: bool) -> Result<(), Failure> {
    let plan = files::tried(layout, changes)?;
    if plan.jails.iter().any(|plan| &*plan.name == jail) == enabled {
        return Ok(());
    }
    let says = plan.settings.iter().find(|setting| setting.key == "enabled" && setting.is_of_jail(jail));
    let place = says.map_or_else(|| "another file".to_owned(), super::settings::place);
    Err(Failure::new(
        Exit::No,
        format!(
            "nothing was changed: {place} is read later and says enabled = {}; change it there",
            !enabled
        ),
    ))
}

/// The warnings of a running kband; `None` if none runs.
pub(super) fn reload(shared: &Shared) -> Result<Option<Vec<String>>, Failure> {
    match shared.connect() {
        Ok(mut client) => match client.ask(&Request::Reload)? {
            Answer::Reloaded { warnings } => Ok(Some(warnings)),
            other => Err(unexpected(&other)),
        },
        Err(ClientError::NotRunning { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_else_is_in_the_file_stays() {
        let text = "# mine\n[jail.sshd]\nmaxretry = 3 # three\nenabled = false # for now\n";
        let expected = "# mine\n[jail.sshd]\nmaxretry = 3 # three\nenabled = true # for now\n";
        assert_eq!(edited(text, "sshd", true).unwrap(), expected);
        assert_eq!(edited("# new\n", "a.b", true).unwrap(), "# new\n[jail.\"a.b\"]\nenabled = true\n");
        assert_eq!(
            edited("jail.x.maxretry = 2\n", "x", false).unwrap(),
            "jail.x.maxretry = 2\njail.x.enabled = false\n"
        );
        assert!(edited("[jail", "x", true).is_err());
    }
}
