//! Completions: a shell asks `banctl` itself (by `COMPLETE=bash banctl ...`), which asks the daemon for what only it knows.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::io::Write;
use std::path::Path;
use std::time::Duration;

use clap::{Args, ValueEnum};
use clap_complete::engine::{ArgValueCompleter, CompletionCandidate};

use super::exit::{Exit, Failure};
use crate::config::{self, Layout};
use crate::control::client::Client;
use crate::control::protocol::{Answer, Request};
use crate::control::{RUNTIME_DIR, SOCKET};
use crate::filter::catalogue;

/// Whoever presses a key does not wait longer.
const PATIENCE: Duration = Duration::from_millis(500);

#[derive(Debug, Args)]
pub(super) struct Options {
    /// The shell.
    #[arg(value_enum)]
    shell: Shell,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Shell {
    Bash,
    Zsh,
    Fish,
}

pub(super) fn run(options: &Options, out: &mut dyn Write) -> Result<Exit, Failure> {
    let text = match options.shell {
        Shell::Bash => include_str!("../../packaging/completions/banctl.bash"),
        Shell::Zsh => include_str!("../../packaging/completions/_banctl"),
        Shell::Fish => include_str!("../../packaging/completions/banctl.fish"),
    };
    out.write_all(text.as_bytes())?;
    Ok(Exit::Done)
}

/// The jails that run.
pub(super) fn jails() -> ArgValueCompleter {
    ArgValueCompleter::new(|typed: &OsStr| candidates(typed, running_jails()))
}

/// The first page of who is banned.
pub(super) fn banned() -> ArgValueCompleter {
    ArgValueCompleter::new(|typed: &OsStr| candidates(typed, addresses()))
}

/// Both.
pub(super) fn jails_and_banned() -> ArgValueCompleter {
    ArgValueCompleter::new(|typed: &OsStr| candidates(typed, running_jails().into_iter().chain(addresses())))
}

/// The jails of the configuration, and the filters that may become jails.
pub(super) fn filters() -> ArgValueCompleter {
    ArgValueCompleter::new(|typed: &OsStr| {
        let (merged, _) = config::read(&Layout::default());
        let jails = merged.file.jail.keys().map(|name| name.0.to_string());
        candidates(typed, jails.chain(catalogue::names().map(str::to_owned)))
    })
}

fn candidates(typed: &OsStr, all: impl IntoIterator<Item = String>) -> Vec<CompletionCandidate> {
    let typed = typed.to_string_lossy();
    let fitting: BTreeSet<String> = all.into_iter().filter(|one| one.starts_with(&*typed)).collect();
    fitting.into_iter().map(CompletionCandidate::new).collect()
}

/// Where no daemon answers, there is nothing to complete.
fn ask(request: &Request) -> Option<Answer> {
    Client::connect_within(&Path::new(RUNTIME_DIR).join(SOCKET), PATIENCE).ok()?.ask(request).ok()
}

fn running_jails() -> Vec<String> {
    match ask(&Request::Status) {
        Some(Answer::Status(status)) => status.jails.into_iter().map(|jail| jail.name).collect(),
        _ => Vec::new(),
    }
}

fn addresses() -> Vec<String> {
    match ask(&Request::List { jail: None, within: None, after: None }) {
        Some(Answer::Page(page)) => page.bans.into_iter().map(|ban| ban.address).collect(),
        _ => Vec::new(),
    }
}
