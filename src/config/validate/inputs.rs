//! What a jail reads: what it names, or what its filter's service writes on this machine.

use std::path::{Path, PathBuf};

use super::{Check, LoadedFilter, NO_LOG_FILE};
use crate::config::file::Jail;
use crate::config::journalmatch::{forgeable, own_file};
use crate::config::logs;
use crate::config::report::Problem;
use crate::config::value::{At, JailName, Table};
use crate::filter::Filter;
use crate::source::Input;
use crate::source::file::is_there;
use crate::source::journal::{Matches, Place};

impl Check<'_> {
    /// What the jail reads; `None`: some of it has a problem.
    pub(super) fn inputs(
        &mut self,
        name: &JailName,
        typed: &At<Table<Jail>>,
        loaded: &LoadedFilter,
    ) -> Option<Vec<Input>> {
        let jail = &typed.value;
        let named_journal = jail.source.as_ref().is_some_and(|names| self.sources.names_journal(names));
        let own = self.own_matches(jail);
        let of_filter = self.filters_matches(name, typed, &loaded.filter);
        if let (None, Some(format)) = (&jail.logpath, logs::wrapped(jail)) {
            self.tell(logs::nameless(format, self.layers));
            return None;
        }
        if jail.logpath.is_none() && jail.source.is_none() && own.is_none() {
            return self.default_inputs(name, typed, &loaded.logpath, of_filter);
        }
        let files = jail.logpath.iter().flat_map(|paths| &paths.value.0);
        let format = jail.format.as_ref().map(|format| format.value);
        let files = files.map(|path| logs::input(path, format));
        let named = self.named_sources(jail, own.as_ref().or(of_filter.as_ref()));
        // The matches of a jail that names journals are for those.
        let machine = own.filter(|_| !named_journal).map(journal);
        let all = named.map(|named| once_each(files.chain(named).chain(machine.clone())));
        if machine.is_some() {
            self.miss_journal(name, typed);
        }
        all
    }

    fn own_matches(&mut self, jail: &Jail) -> Option<Matches> {
        let typed = jail.journalmatch.as_ref()?;
        let matches = typed.value.all()?;
        if let Some(problem) = forgeable(&matches) {
            self.tell(self.layers.place(problem, &typed.span));
        }
        Some(matches)
    }

    fn filters_matches(
        &mut self,
        name: &JailName,
        jail: &At<Table<Jail>>,
        filter: &Filter,
    ) -> Option<Matches> {
        let texts = filter.journal_matches();
        if texts.is_empty() {
            return None;
        }
        Matches::of(texts)
            .map_err(|error| {
                let what = format!("jail {}: the journalmatch of its filter: {error}", name.0);
                let help = "until it is mended, the jail needs a journalmatch or a logpath of its own";
                self.tell(self.layers.place(Problem::warning(what).help(help), &jail.span));
            })
            .ok()
    }

    /// The sources that the jail names; `None`: one of them has a problem.
    fn named_sources(&mut self, jail: &Jail, matches: Option<&Matches>) -> Option<Vec<Input>> {
        let Some(names) = &jail.source else { return Some(Vec::new()) };
        let (inputs, problems) = self.sources.named(names, matches, self.layers);
        problems.into_iter().for_each(|problem| self.tell(problem));
        inputs
    }

    /// The file that the service itself writes, if it is there: those lines are in no journal. Else the journal, if there
    /// is one, and not what a syslog daemon copies out of it. Else the first of the filter's log files that exists; if
    /// none does, the first, as it may come.
    fn default_inputs(
        &mut self,
        name: &JailName,
        jail: &At<Table<Jail>>,
        paths: &[PathBuf],
        matches: Option<Matches>,
    ) -> Option<Vec<Input>> {
        let has_journal = self.machine.has_journal;
        if let (Some(matches), true, None) = (&matches, has_journal, own_file(paths)) {
            return Some(vec![journal(matches.clone())]);
        }
        let present = own_file(paths).or_else(|| paths.iter().find(|path| is_there(path)));
        if let Some(present) = present {
            return Some(vec![Input::File(present.clone())]);
        }
        match (paths.first(), matches) {
            (Some(first), _) => {
                let all = paths.iter().map(|path| shown(path)).collect::<Vec<_>>().join(", ");
                let problem = Problem::warning(format!("jail {}: {NO_LOG_FILE} ({all})", name.0));
                let help = format!("waiting for {}; another one is named with logpath", shown(first));
                self.tell(self.layers.place(problem.help(help), &jail.span));
                Some(vec![Input::File(first.clone())])
            }
            (None, Some(matches)) => {
                self.miss_journal(name, jail);
                Some(vec![journal(matches)])
            }
            (None, None) => {
                let problem = Problem::error(format!("jail {}: its filter knows no log file", name.0))
                    .help("name it: logpath = \"/var/log/...\"");
                self.tell(self.layers.place(problem, &jail.span));
                None
            }
        }
    }

    /// Warns of a jail that reads a journal which is not there.
    fn miss_journal(&mut self, name: &JailName, jail: &At<Table<Jail>>) {
        if self.machine.has_journal {
            return;
        }
        let what = format!("jail {} reads the journal, and this machine has none, or no journalctl", name.0);
        let help = "waiting for it; if the service writes a log file, name it with logpath";
        self.tell(self.layers.place(Problem::warning(what).help(help), &jail.span));
    }
}

fn journal(matches: Matches) -> Input {
    Input::Journal { place: Place::Machine, matches }
}

fn once_each<T: PartialEq>(all: impl Iterator<Item = T>) -> Vec<T> {
    all.fold(Vec::new(), |mut kept, one| {
        if !kept.contains(&one) {
            kept.push(one);
        }
        kept
    })
}

fn shown(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}
