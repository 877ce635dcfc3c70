//! `banctl config show|diff|import`: what the configuration comes to, and a kban.toml out of fail2ban's.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use jiff::Timestamp;
use serde::Serialize;

use super::exit::{Exit, Failure, usage};
use super::import::{self, Problem};
use super::{Shared, diff, fold, moving, output, settings};
use crate::filter::JailConf;

#[derive(Debug, Args)]
pub(super) struct Options {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// The configuration as all files together make it, the defaults among it. Needs no daemon.
    Show(settings::Options),
    /// What would change if kband read its files again.
    Diff,
    /// Write a kban.toml that does what fail2ban's jails do, and tell what cannot be carried over.
    Import(Import),
}

#[derive(Debug, Args)]
struct Import {
    /// The directory with jail.conf and filter.d, usually /etc/fail2ban.
    #[arg(value_name = "DIRECTORY")]
    directory: PathBuf,
    /// Write here instead of to standard output; the file must not exist.
    #[arg(long, value_name = "FILE")]
    to: Option<PathBuf>,
    /// Instead of a configuration, have the running kband take over the bans in force, out of fail2ban's database.
    #[arg(long, value_name = "DATABASE", num_args = 0..=1, default_missing_value = import::bans::DATABASE, conflicts_with = "to")]
    bans: Option<PathBuf>,
    /// With --bans: also those of a proxy, of addresses from which somebody lately logged in, and of your own.
    #[arg(long, requires = "bans")]
    force: bool,
}

/// `{"schema":1,"config":"...","problems":[...]}`.
#[derive(Serialize)]
struct Document<'a> {
    config: &'a str,
    problems: &'a [Problem],
}

pub(super) fn run(shared: &Shared, options: &Options, out: &mut dyn Write) -> Result<Exit, Failure> {
    let import = match &options.verb {
        Verb::Show(options) => return settings::run(shared, options, out),
        Verb::Diff => return diff::run(shared, out),
        Verb::Import(import) => import,
    };
    if let Some(database) = &import.bans {
        let bans = import::bans::read(database, Timestamp::now())?;
        let loaded = moving::send(&mut shared.connect()?, bans, import.force)?;
        return moving::tell(shared, &loaded, out);
    }
    // Filters are named by their path, so the path has to be good from everywhere.
    let directory = absolute(&import.directory)?;
    let conf = JailConf::read(&directory).map_err(|error| Failure::new(Exit::Usage, error))?;
    let imported = import::translate(&conf, &directory);
    if let Some(path) = &import.to {
        let failed = |error: std::io::Error| {
            Failure::new(Exit::Usage, format!("cannot write {}: {error}; name a new file", path.display()))
        };
        let mut file = File::create_new(path).map_err(failed)?;
        file.write_all(imported.config.as_bytes()).map_err(failed)?;
    }
    if shared.json {
        output::print_json(out, &Document { config: &imported.config, problems: &imported.problems })?;
    } else {
        if import.to.is_none() {
            out.write_all(imported.config.as_bytes())?;
            out.flush()?;
        }
        let mut told = fold::stderr();
        for Problem { file, line, message, help } in &imported.problems {
            let (file, message, help) =
                (output::harmless(file), output::harmless(message), output::harmless(help));
            writeln!(told, "{file}:{line}: {message}: {help}")?;
        }
    }
    Ok(if imported.problems.is_empty() { Exit::Done } else { Exit::No })
}

/// A path that is good from everywhere.
pub(super) fn absolute(path: &Path) -> Result<PathBuf, Failure> {
    std::path::absolute(path).map_err(|error| {
        usage(format!(
            "{}: {error}; name the whole path, from / on",
            output::harmless(&path.to_string_lossy())
        ))
    })
}
