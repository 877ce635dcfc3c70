//! `[source.NAME]`: what is read that is no log file of this machine.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use super::feed::{ListPath, Words};
use super::file::Source;
use super::merge::Layers;
use super::report::{Problem, Severity};
use super::suggest::nearest;
use super::value::{At, SourceName, SourceNames, Table, Text, deserialize_text};
use crate::source::Input;
use crate::source::journal::{Matches, Place};

mod journal;
mod syslog;

pub use journal::{JournalDirectory, Namespace};
pub use syslog::{Endpoints, Listen, Sender, Senders};

/// The path of a named pipe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PipePath(pub PathBuf);

impl Text for PipePath {
    const EXPECTED: &'static str = "the path of a named pipe";

    fn read(typed: &str) -> Result<Self, (String, String)> {
        let help = "write the whole path, such as \"/run/app/log.pipe\"";
        ListPath::read(typed).map(|path| Self(path.0)).map_err(|(what, _)| (what, help.to_owned()))
    }
}

deserialize_text!(PipePath);

/// What a source is.
#[derive(Debug, Clone)]
enum Planned {
    /// All of it is read.
    Lines(Input),
    /// The entries that a jail wants are.
    Journal(Place),
}

/// Every `[source.NAME]`.
pub(super) struct PlannedSources(BTreeMap<SourceName, Option<Planned>>);

impl PlannedSources {
    /// Of those that have problems, only the name is kept.
    pub(super) fn new(
        typed: &BTreeMap<SourceName, At<Table<Source>>>,
        layers: &Layers,
        problems: &mut Vec<Problem>,
    ) -> Self {
        Self(typed.iter().map(|(name, typed)| (name.clone(), plan(name, typed, layers, problems))).collect())
    }

    /// Whether one of the sources that a jail names is a journal, of which it has to say what it wants.
    pub(super) fn names_journal(&self, names: &At<SourceNames>) -> bool {
        names.value.0.iter().any(|name| matches!(self.0.get(name), Some(Some(Planned::Journal(_)))))
    }

    /// Those that a jail names, `None` if one of them has a problem; and which names mean nothing. Of journals, it
    /// reads the entries that match.
    pub(super) fn named(
        &self,
        names: &At<SourceNames>,
        matches: Option<&Matches>,
        layers: &Layers,
    ) -> (Option<Vec<Input>>, Vec<Problem>) {
        let unknown = |name: &&SourceName| !self.0.contains_key(*name);
        let problem = |SourceName(name): &SourceName| {
            let help = match nearest(name, self.0.keys().map(|known| &*known.0)) {
                Some(near) => format!("did you mean \"{near}\"?"),
                None => format!("write a table [source.{name}] that says what it is"),
            };
            layers.place(Problem::error(format!("there is no source `{name}`")).help(help), &names.span)
        };
        let mut problems: Vec<Problem> = names.value.0.iter().filter(unknown).map(problem).collect();
        if matches.is_none() && self.names_journal(names) {
            let problem =
                Problem::error("neither the jail nor its filter says which entries of the journal it reads");
            let help = "say it: journalmatch = \"_SYSTEMD_UNIT=NAME.service\"";
            problems.push(layers.place(problem.help(help), &names.span));
        }
        let input = |name| match self.0.get(name)?.clone()? {
            Planned::Lines(input) => Some(input),
            Planned::Journal(place) => Some(Input::Journal { place, matches: matches?.clone() }),
        };
        (names.value.0.iter().map(input).collect(), problems)
    }
}

/// One source, or nothing and a problem.
fn plan(
    name: &SourceName,
    typed: &At<Table<Source>>,
    layers: &Layers,
    problems: &mut Vec<Problem>,
) -> Option<Planned> {
    let source = &typed.value;
    let name = &name.0;
    // With errors, what is missing may be among what was left out.
    let errors = problems.iter().any(|problem| problem.severity == Severity::Error);
    let mut tell = |problem: Problem, span: &Range<usize>| problems.push(layers.place(problem, span));
    let syslog_only = [
        ("allow", source.allow.as_ref().map(|at| &at.span)),
        ("group", source.group.as_ref().map(|at| &at.span)),
    ];
    for (key, span) in syslog_only {
        if let (None, Some(span)) = (&source.syslog, span) {
            let problem = Problem::error(format!("source {name}: {key} is for sources with syslog"));
            tell(problem.help("leave it out"), span);
            return None;
        }
    }
    let said = [
        source.syslog.as_ref().map(|at| &at.span),
        source.command.as_ref().map(|at| &at.span),
        source.pipe.as_ref().map(|at| &at.span),
        source.journal_directory.as_ref().map(|at| &at.span),
        source.journal_namespace.as_ref().map(|at| &at.span),
    ];
    if let Some(second) = said.into_iter().flatten().nth(1) {
        let problem = Problem::error(format!("source {name}: it says more than one thing to read"));
        let help = "keep one of syslog, command, pipe, journal_directory and journal_namespace; write a source of its own for another";
        tell(problem.help(help), second);
        return None;
    }
    if let Some(listen) = &source.syslog {
        let forgotten = errors && source.allow.is_none() && syslog::is_open(listen);
        return (!forgotten)
            .then(|| syslog::plan(name, source, listen, &mut tell))?
            .map(Input::Syslog)
            .map(Planned::Lines);
    }
    if let Some(command) = &source.command {
        return self::command(name, command, &mut tell).map(Planned::Lines);
    }
    if let Some(path) = &source.pipe {
        return Some(Planned::Lines(Input::Pipe { name: Arc::clone(name), path: path.value.0.clone() }));
    }
    if let Some(path) = &source.journal_directory {
        return Some(Planned::Journal(Place::Directory(path.value.0.clone())));
    }
    if let Some(name) = &source.journal_namespace {
        return Some(Planned::Journal(Place::Namespace(Arc::clone(&name.value.0))));
    }
    if !errors {
        let problem = Problem::error(format!("source {name}: it does not say what is read"));
        let help = "write one of syslog = \"udp://...\", command = [...], pipe = \"...\" or journal_directory = \"...\"";
        tell(problem.help(help), &typed.span);
    }
    None
}

fn command(
    name: &Arc<str>,
    command: &At<Words>,
    tell: &mut dyn FnMut(Problem, &Range<usize>),
) -> Option<Input> {
    let words = &command.value.0;
    let program = words.first().map_or("", String::as_str);
    let is_program = !program.is_empty() && (program.starts_with('/') || !program.contains('/'));
    if !is_program || words.iter().any(|word| word.contains('\0')) {
        let problem = Problem::error(format!("source {name}: the command does not name a program"));
        let help = "write its name or whole path and each argument by itself, such as [\"kubectl\", \"logs\", \"--follow\", \"...\"]; no shell reads it";
        tell(problem.help(help), &command.span);
        return None;
    }
    Some(Input::Command { name: Arc::clone(name), words: words.clone() })
}
