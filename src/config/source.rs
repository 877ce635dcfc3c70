//! `[source.NAME]`: what is read that is no log file of this machine.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use super::feed::ListPath;
use super::file::Source;
use super::merge::Layers;
use super::report::{Problem, Severity};
use super::suggest::nearest;
use super::value::{At, SourceName, SourceNames, Table, Text, deserialize_text, short};
use crate::source::Input;
use crate::source::journal::{Matches, Place};

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

/// A namespace of the journal (`LogNamespace=`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Namespace(pub Arc<str>);

impl Text for Namespace {
    const EXPECTED: &'static str = "the name of a journal namespace";

    fn read(typed: &str) -> Result<Self, (String, String)> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        // journalctl takes `*` and `+` for several namespaces at once.
        if typed.is_empty() || typed.len() > 200 || typed.starts_with('-') || !typed.bytes().all(allowed) {
            let what = format!("`{}` cannot be the name of a journal namespace", short(typed));
            return Err((what, "write what LogNamespace= of the service says".to_owned()));
        }
        Ok(Self(typed.into()))
    }
}

/// A directory that holds journals.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JournalDirectory(pub PathBuf);

impl Text for JournalDirectory {
    const EXPECTED: &'static str = "the path of a directory of journals";

    fn read(typed: &str) -> Result<Self, (String, String)> {
        if typed.starts_with('/') && !typed.contains(char::is_control) {
            return Ok(Self(PathBuf::from(typed)));
        }
        let what = format!("`{}` is not the absolute path of a directory", short(typed));
        Err((what, "write the whole path, such as \"/var/log/journal/remote\"".to_owned()))
    }
}

deserialize_text!(PipePath, Namespace, JournalDirectory);

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
    let pipe = source
        .pipe
        .as_ref()
        .map(|path| Planned::Lines(Input::Pipe { name: Arc::clone(name), path: path.value.0.clone() }));
    let directory = source.journal_directory.as_ref();
    let directory = directory.map(|path| Planned::Journal(Place::Directory(path.value.0.clone())));
    let namespace = source.journal_namespace.as_ref();
    let namespace = namespace.map(|name| Planned::Journal(Place::Namespace(Arc::clone(&name.value.0))));
    let mut said = [pipe, directory, namespace].into_iter().flatten();
    match said.next() {
        Some(_) if said.next().is_some() => {
            let problem = Problem::error(format!("source {name}: it says more than once what is read"));
            problems.push(layers.place(problem.help("make each a [source.NAME] of its own"), &typed.span));
            None
        }
        Some(planned) => Some(planned),
        // With errors, it may be among what was left out.
        None if problems.iter().any(|problem| problem.severity == Severity::Error) => None,
        None => {
            let problem = Problem::error(format!("source {name}: it does not say what is read"));
            problems.push(
                layers
                    .place(problem.help("write pipe = \"...\", or journal_directory = \"...\""), &typed.span),
            );
            None
        }
    }
}
