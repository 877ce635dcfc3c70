//! From fail2ban's jails to a kban.toml: what can be said in kban's keys is, and the rest is told of with its line.
//!
//! Filters are referenced where they lie, in fail2ban's directory, so that they do what they did. A jail that
//! could not do that is written, but not enabled: the result always passes `banctl check`.

mod action;
pub(super) mod bans;
mod escalate;
mod jail;
mod journal;
mod keys;
mod ports;
#[cfg(test)]
mod tests;
mod value;

use std::path::Path;

use serde::Serialize;

use crate::filter::JailConf;

/// Something that was not carried over.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(super) struct Problem {
    /// The file of fail2ban's.
    pub(super) file: String,
    /// The line, from 1; 0 for a file as a whole.
    pub(super) line: usize,
    /// What was not carried over.
    pub(super) message: String,
    /// What to do.
    pub(super) help: String,
}

/// What came out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Imported {
    /// The text of a kban.toml.
    pub(super) config: String,
    /// Sorted by file and line, each once.
    pub(super) problems: Vec<Problem>,
}

/// Translates what `directory` holds; `conf` was read from it.
pub(super) fn translate(conf: &JailConf, directory: &Path) -> Imported {
    let mut import = Import { conf, directory, problems: Vec::new() };
    let defaults = import.defaults();
    let names = import.enabled();
    let mut config = format!(
        "# Made by `banctl config import` from {}.\n\n[defaults]\n",
        directory.display().to_string().escape_default()
    );
    config += &defaults.text;
    for name in names {
        config += &import.jail(&name, &defaults);
    }
    import.problems.sort();
    import.problems.dedup();
    Imported { config, problems: import.problems }
}

/// What is read, and what was found.
struct Import<'c> {
    conf: &'c JailConf,
    directory: &'c Path,
    problems: Vec<Problem>,
}

impl Import<'_> {
    /// Tells that an option of a jail (or of `[DEFAULT]`) was not carried over.
    fn tell(
        &mut self,
        jail: Option<&str>,
        option: &str,
        message: impl Into<String>,
        help: impl Into<String>,
    ) {
        let place = self.conf.place(jail, option);
        // Without a line of its own, the option is implied by the one that enables the jail.
        let place = place.or_else(|| self.conf.place(jail, "enabled"));
        let (file, line) =
            place.map_or((self.directory.to_owned(), 0), |place| (place.file.clone(), place.line));
        let problem =
            Problem { file: file.display().to_string(), line, message: message.into(), help: help.into() };
        self.problems.push(problem);
    }

    /// The value of an option; none if it is empty or, which is told, refers to something in vain.
    fn value(&mut self, jail: Option<&str>, option: &str) -> Option<String> {
        match self.conf.value(jail, option) {
            Ok(value) => value.filter(|value| !value.trim().is_empty()),
            Err(problem) => {
                self.tell(
                    jail,
                    option,
                    format!("{option} cannot be read: {problem}"),
                    "mend it here, or write the value into kban.toml",
                );
                None
            }
        }
    }

    /// The jails that run.
    fn enabled(&mut self) -> Vec<String> {
        let names: Vec<String> = self.conf.jails().map(str::to_owned).collect();
        let on = |value: String| matches!(value.to_lowercase().as_str(), "true" | "yes" | "on" | "1");
        names.into_iter().filter(|name| self.value(Some(name), "enabled").is_some_and(on)).collect()
    }
}
