//! `[source.NAME]`: what is read that is no log file of this machine.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use super::feed::ListPath;
use super::file::Source;
use super::merge::Layers;
use super::report::{Problem, Severity};
use super::suggest::nearest;
use super::value::{At, SourceName, SourceNames, Table, Text, deserialize_text};
use crate::source::Input;

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

/// Every `[source.NAME]`.
pub(super) struct PlannedSources(BTreeMap<SourceName, Option<Input>>);

impl PlannedSources {
    /// Of those that have problems, only the name is kept.
    pub(super) fn new(
        typed: &BTreeMap<SourceName, At<Table<Source>>>,
        layers: &Layers,
        problems: &mut Vec<Problem>,
    ) -> Self {
        Self(typed.iter().map(|(name, typed)| (name.clone(), plan(name, typed, layers, problems))).collect())
    }

    /// Those that a jail names, `None` if one of them has a problem; and which names mean nothing.
    pub(super) fn named(
        &self,
        names: &At<SourceNames>,
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
        let problems = names.value.0.iter().filter(unknown).map(problem).collect();
        (names.value.0.iter().map(|name| self.0.get(name)?.clone()).collect(), problems)
    }
}

/// One source, or nothing and a problem.
fn plan(
    name: &SourceName,
    typed: &At<Table<Source>>,
    layers: &Layers,
    problems: &mut Vec<Problem>,
) -> Option<Input> {
    let source = &typed.value;
    let name = &name.0;
    match &source.pipe {
        Some(path) => Some(Input::Pipe { name: Arc::clone(name), path: path.value.0.clone() }),
        // With errors, it may be among what was left out.
        None if problems.iter().any(|problem| problem.severity == Severity::Error) => None,
        None => {
            let problem = Problem::error(format!("source {name}: it does not say what is read"));
            problems.push(layers.place(problem.help("write pipe = \"...\""), &typed.span));
            None
        }
    }
}
