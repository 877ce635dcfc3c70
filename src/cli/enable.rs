//! `banctl enable JAIL` and `banctl disable JAIL`: a drop-in of the jail's own in kban.d, tried before it is put in place.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use serde::Serialize;
use toml_edit::{DocumentMut, Item, Table};

use super::exit::{Exit, Failure, usage};
use super::{Shared, complete, output, unexpected};
use crate::config::value::JailName;
use crate::config::{self, Layout, Plan, SourceFile};
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
    let is_on = known.is_some_and(|known| known.value.enabled.as_ref().is_some_and(|on| on.value));
    let mut document = Document { jail, enabled, file: None, reloaded: false, warnings: Vec::new() };
    if is_on != enabled {
        let mut changed = vec![drop_in(directory, jail, enabled)?];
        if config::is_unconfigured(&layout) && jail != UNCONFIGURED {
            // With the first file, what holds without any ends.
            changed.push(drop_in(directory, UNCONFIGURED, true)?);
        }
        agrees(&layout, &changed, jail, enabled)?;
        let before = put_in_place(directory, &changed)?;
        let told = reload(shared).inspect_err(|_| take_back(before))?;
        document.reloaded = told.is_some();
        document.warnings = told.unwrap_or_default();
        let file = directory.join(name_of(jail));
        document.file = Some(&file);
        tell(shared, &document, out)?;
    } else {
        tell(shared, &document, out)?;
    }
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

/// The jail's drop-in as it is to be. Whatever else is in it stays.
fn drop_in(directory: &Path, jail: &str, enabled: bool) -> Result<Arc<SourceFile>, Failure> {
    let path = directory.join(name_of(jail));
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => {
            "# Written by `banctl enable` and `banctl disable`; more keys of the jail may be added.\n"
                .to_owned()
        }
        Err(error) => return Err(not_done("read", &path, &error)),
    };
    let text = edited(&text, jail, enabled)
        .map_err(|error| usage(format!("{} is no TOML, mend it first: {error}", path.display())))?;
    Ok(Arc::new(SourceFile { path, text }))
}

fn edited(text: &str, jail: &str, enabled: bool) -> Result<String, toml_edit::TomlError> {
    let mut document: DocumentMut = text.parse()?;
    if document.is_empty() && !text.is_empty() {
        // Comments alone stay above what comes now.
        return Ok(format!("{}\n{}", text.trim_end(), edited("", jail, enabled)?));
    }
    let implicit = || {
        let mut table = Table::new();
        table.set_implicit(true);
        Item::Table(table)
    };
    // Of a file of comments only, they stand at the end: they belong above what is added.
    let comments = document.is_empty().then(|| document.trailing().as_str().unwrap_or_default().to_owned());
    if comments.is_some() {
        document.set_trailing("");
    }
    let jails = document.entry("jail").or_insert_with(implicit);
    if let Some(jails) = jails.as_table_like_mut() {
        let table = jails.entry(jail).or_insert_with(|| {
            let mut table = Table::new();
            table.decor_mut().set_prefix(comments.unwrap_or_else(|| "\n".to_owned()));
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
fn agrees(layout: &Layout, changed: &[Arc<SourceFile>], jail: &str, enabled: bool) -> Result<Plan, Failure> {
    let plan = config::load_changed(layout, changed).map_err(|report| {
        let told = report.render(output::is_terminal(), output::width());
        Failure::new(
            Exit::No,
            format!("nothing was changed, as the configuration would have errors:\n{}", told.trim_end()),
        )
    })?;
    if plan.jails.iter().any(|plan| &*plan.name == jail) == enabled {
        return Ok(plan);
    }
    let says = plan.settings.iter().find(|setting| {
        setting.key == "enabled"
            && setting.table.strip_prefix("jail.").is_some_and(|name| name.trim_matches('"') == jail)
    });
    let place = says.map_or_else(|| "another file".to_owned(), super::settings::place);
    Err(Failure::new(
        Exit::No,
        format!(
            "nothing was changed: {place} is read later and says enabled = {}; change it there",
            !enabled
        ),
    ))
}

/// What a file was; `None`: there was none.
pub(super) type Before = Vec<(PathBuf, Option<String>)>;

/// Writes the files whole or not at all.
pub(super) fn put_in_place(directory: &Path, files: &[Arc<SourceFile>]) -> Result<Before, Failure> {
    fs::create_dir_all(directory).map_err(|error| not_done("make", directory, &error))?;
    let mut before = Before::new();
    for file in files {
        before.push((file.path.clone(), fs::read_to_string(&file.path).ok()));
        if let Err(error) = replace(&file.path, &file.text) {
            take_back(before);
            return Err(not_done("write", &file.path, &error));
        }
    }
    Ok(before)
}

/// kband reads no file whose name begins with a dot.
fn replace(path: &Path, text: &str) -> io::Result<()> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let beside = path.with_file_name(format!(".{name}.{}", std::process::id()));
    let written = File::create_new(&beside).and_then(|mut file| {
        file.write_all(text.as_bytes())?;
        if let Ok(old) = fs::metadata(path) {
            file.set_permissions(old.permissions())?;
        }
        file.sync_all()
    });
    let placed = written.and_then(|()| fs::rename(&beside, path));
    if placed.is_err() {
        // It may not be there.
        let _ = fs::remove_file(&beside);
    }
    placed
}

/// As it was. What cannot be put back is told with the error that led here; there is nothing more to do.
pub(super) fn take_back(before: Before) {
    for (path, text) in before {
        let _ = match text {
            Some(text) => replace(&path, &text),
            None => fs::remove_file(&path),
        };
    }
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

fn not_done(what: &str, path: &Path, error: &io::Error) -> Failure {
    let path = path.display();
    match error.kind() {
        ErrorKind::PermissionDenied => {
            Failure::new(Exit::Permission, format!("cannot {what} {path} ({error}): run banctl as root"))
        }
        _ => Failure::new(Exit::No, format!("cannot {what} {path} ({error}): nothing was changed")),
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
