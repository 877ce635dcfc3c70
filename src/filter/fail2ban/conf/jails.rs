//! fail2ban's jails: jail.conf, jail.d/*.conf, jail.local and jail.d/*.local laid over each other.
//!
//! kban runs none of this. It is read so that a configuration of kban's can be made of it, and every option knows
//! the line on which it was said last.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use indexmap::IndexMap;

use super::interpolate::Missing;
use super::merge::{Merged, Source, collect};
use crate::filter::error::FilterError;

/// The section that all others start from.
const DEFAULT: &str = "DEFAULT";

/// A line of a configuration file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The file.
    pub file: PathBuf,
    /// The line, from 1.
    pub line: usize,
}

/// What the files say about jails.
#[derive(Debug, Clone, Default)]
pub struct JailConf {
    merged: Merged,
    /// fail2ban knows its own directory as an option.
    directory: String,
    places: BTreeMap<(String, String), Place>,
}

impl JailConf {
    /// Reads the files in `directory`.
    ///
    /// # Errors
    /// When there is no configuration of fail2ban's, or a file of it cannot be read or understood.
    pub fn read(directory: &Path) -> Result<Self, FilterError> {
        let mut order = Vec::new();
        for path in files(directory)? {
            collect(&Source::File(path), directory, &mut Vec::new(), &mut order)?;
        }
        let mut conf = Self { directory: directory.display().to_string(), ..Self::default() };
        for (source, text) in order {
            if let Source::File(file) = source {
                let places = text.lines.into_iter();
                conf.places.extend(places.map(|(option, line)| (option, Place { file: file.clone(), line })));
            }
            conf.merged.add(text.sections);
        }
        Ok(conf)
    }

    /// The names of the jails, in the order of the files.
    pub fn jails(&self) -> impl Iterator<Item = &str> {
        self.merged.sections.keys().map(String::as_str).filter(|name| *name != "INCLUDES")
    }

    /// The options that the jail itself has; for none, those of `[DEFAULT]`.
    pub fn options(&self, jail: Option<&str>) -> impl Iterator<Item = &str> {
        let section = match jail {
            Some(jail) => self.merged.section(jail),
            None => Some(&self.merged.defaults),
        };
        section.into_iter().flat_map(IndexMap::keys).map(String::as_str)
    }

    /// An option of the jail, its own or that of `[DEFAULT]`, everything replaced; for no jail, that of `[DEFAULT]`.
    ///
    /// # Errors
    /// A sentence about what the value refers to in vain.
    pub fn value(&self, jail: Option<&str>, option: &str) -> Result<Option<String>, String> {
        let section = jail.unwrap_or(DEFAULT);
        let given = IndexMap::from([
            ("__name__".to_owned(), section.to_owned()),
            ("fail2ban_confpath".to_owned(), self.directory.replace('%', "%%")),
        ]);
        match self.merged.value(section, option, &given) {
            Ok(value) => Ok(Some(value)),
            Err(Missing::Option) => Ok(None),
            Err(Missing::Broken(problem)) => Err(problem),
        }
    }

    /// Where the option that [`JailConf::value`] reads is said.
    #[must_use]
    pub fn place(&self, jail: Option<&str>, option: &str) -> Option<&Place> {
        let at = |section: &str| self.places.get(&(section.to_owned(), option.to_lowercase()));
        jail.and_then(at).or_else(|| at(DEFAULT))
    }

    /// Whether some value refers to the option, so that it takes part in what is read elsewhere.
    #[must_use]
    pub fn is_referred_to(&self, option: &str) -> bool {
        let names = [format!("({option})s"), format!("/{option})s")];
        let sections = self.merged.sections.values().chain([&self.merged.defaults]);
        let mut values = sections.flat_map(IndexMap::values).map(|value| value.to_lowercase());
        values.any(|value| names.iter().any(|name| value.contains(name)))
    }
}

/// The files that there are, lowest first.
fn files(directory: &Path) -> Result<Vec<PathBuf>, FilterError> {
    let mut found = Vec::new();
    for extension in ["conf", "local"] {
        found.extend(Some(directory.join("jail").with_extension(extension)).filter(|path| path.is_file()));
        let Ok(entries) = fs::read_dir(directory.join("jail.d")) else { continue };
        let mut drop_ins: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
        drop_ins.retain(|path| path.extension().is_some_and(|ending| ending == extension) && path.is_file());
        drop_ins.sort();
        found.extend(drop_ins);
    }
    if found.is_empty() {
        return Err(FilterError::Conf {
            origin: directory.display().to_string(),
            problem: "there is neither jail.conf nor jail.local in it".to_owned(),
        });
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn later_files_win_and_places_are_known() {
        let directory = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| fs::write(directory.path().join(name), text).unwrap();
        fs::create_dir(directory.path().join("jail.d")).unwrap();
        write("jail.conf", "[DEFAULT]\nbantime = 1\nlog = /a\n[x]\nlogpath = %(log)s/%(__name__)s\n");
        write("jail.d/a.conf", "[DEFAULT]\nbantime = 2\n");
        write("jail.d/z.local", "[DEFAULT]\nbantime = 4\n");
        write("jail.local", "[DEFAULT]\n\nbantime = 3\nlog = /b\n");
        let conf = JailConf::read(directory.path()).unwrap();
        assert_eq!(conf.value(Some("x"), "bantime"), Ok(Some("4".into())));
        assert_eq!(conf.value(Some("x"), "logpath"), Ok(Some("/b/x".into())));
        let log = Place { file: directory.path().join("jail.local"), line: 4 };
        assert_eq!(conf.place(Some("x"), "log"), Some(&log));
        assert!(conf.is_referred_to("log") && !conf.is_referred_to("bantime"));
    }
}
