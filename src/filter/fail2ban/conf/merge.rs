//! A filter's files as one: what it includes before it, itself, what it includes after it, each with its .local.
//!
//! Later files win. What they replace stays known: `%(known/NAME)s` is the value before.

use std::fs;
use std::path::{Path, PathBuf};

use indexmap::IndexMap;

use super::ini::{self, Section, Sections, Text};
use crate::filter::error::FilterError;

/// What stands in for fail2ban's `common.conf` where there is none.
const PREFIXES: &str = include_str!("prefixes.conf");
const PREFIXES_NAME: &str = "common.conf";

/// No file is bigger, in bytes.
const LARGEST: u64 = 4 << 20;
/// A filter includes no more files.
const MOST_FILES: usize = 100;

/// A filter's sections.
#[derive(Debug, Clone, Default)]
pub(in crate::filter::fail2ban) struct Merged {
    pub(super) sections: Sections,
    pub(super) defaults: Section,
    /// For each section, the values that a later file replaced.
    pub(super) known: Sections,
}

/// A file to read, or the text that is built in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Source {
    File(PathBuf),
    Prefixes,
}

/// Reads `path` with its .local and all that they include; what is not beside them is looked for in `fallback`.
pub(in crate::filter::fail2ban) fn read(path: &Path, fallback: &Path) -> Result<Merged, FilterError> {
    let mut order = Vec::new();
    collect(&Source::File(path.to_owned()), fallback, &mut Vec::new(), &mut order)?;
    let local = path.with_extension("local");
    if local.is_file() && !order.iter().any(|(source, _)| *source == Source::File(local.clone())) {
        collect(&Source::File(local), fallback, &mut Vec::new(), &mut order)?;
    }
    let mut merged = Merged::default();
    for (_, text) in order {
        merged.add(text.sections);
    }
    Ok(merged)
}

/// Appends a file and what it includes, in the order in which they are merged.
pub(super) fn collect(
    source: &Source,
    fallback: &Path,
    seen: &mut Vec<Source>,
    order: &mut Vec<(Source, Text)>,
) -> Result<(), FilterError> {
    let text = load(source)?;
    if order.len() >= MOST_FILES {
        return Err(FilterError::Conf {
            origin: origin(source),
            problem: format!("it and what it includes are more than {MOST_FILES} files"),
        });
    }
    let includes = |key: &str| -> Vec<String> {
        let names = text.sections.get("INCLUDES").and_then(|includes| includes.get(key));
        names
            .map(|names| names.lines().filter(|name| !name.is_empty()).map(str::to_owned).collect())
            .unwrap_or_default()
    };
    let (before, after) = (includes("before"), includes("after"));
    seen.push(source.clone());
    for name in before {
        include(source, &name, fallback, seen, order)?;
    }
    order.push((source.clone(), text));
    for name in after {
        include(source, &name, fallback, seen, order)?;
    }
    seen.pop();
    Ok(())
}

fn include(
    from: &Source,
    name: &str,
    fallback: &Path,
    seen: &mut Vec<Source>,
    order: &mut Vec<(Source, Text)>,
) -> Result<(), FilterError> {
    let Some(found) = find(from, name, fallback) else {
        // fail2ban ignores what is missing, and its own filters name customizations that nobody has.
        return Ok(());
    };
    if !seen.contains(&found) {
        collect(&found, fallback, seen, order)?;
    }
    if let Source::File(path) = &found {
        let local = Source::File(path.with_extension("local"));
        if matches!(&local, Source::File(path) if path.is_file()) && local != found && !seen.contains(&local)
        {
            collect(&local, fallback, seen, order)?;
        }
    }
    Ok(())
}

fn find(from: &Source, name: &str, fallback: &Path) -> Option<Source> {
    let beside = match from {
        Source::File(path) => path.parent().map(|directory| directory.join(name)),
        Source::Prefixes => None,
    };
    let last = Path::new(name).file_name()?;
    let found = beside.into_iter().chain([fallback.join(last)]).find(|path| path.is_file());
    match found {
        Some(path) => Some(Source::File(path)),
        None => (last == PREFIXES_NAME).then_some(Source::Prefixes),
    }
}

fn origin(source: &Source) -> String {
    match source {
        Source::File(path) => path.display().to_string(),
        Source::Prefixes => format!("built-in {PREFIXES_NAME}"),
    }
}

fn load(source: &Source) -> Result<Text, FilterError> {
    let text = match source {
        Source::Prefixes => PREFIXES.to_owned(),
        Source::File(path) => {
            let failed = |error| FilterError::Read { path: path.clone(), error };
            let about = fs::metadata(path).map_err(failed)?;
            if !about.is_file() || about.len() > LARGEST {
                let kind = std::io::ErrorKind::InvalidInput;
                return Err(failed(std::io::Error::new(kind, "not a file of at most 4 MiB")));
            }
            String::from_utf8_lossy(&fs::read(path).map_err(failed)?).into_owned()
        }
    };
    ini::read(&text).map_err(|misplaced| FilterError::Conf {
        origin: format!("{}:{}", origin(source), misplaced.line),
        problem: misplaced.problem.to_owned(),
    })
}

impl Merged {
    pub(super) fn add(&mut self, sections: Sections) {
        for (name, options) in sections {
            if name == "DEFAULT" {
                self.defaults.extend(options);
                continue;
            }
            // [Init?family=inet6] gives its options that ending.
            let (name, options) = match name.split_once('?') {
                Some((name, condition)) => {
                    let named = |(key, value)| (format!("{key}?{condition}"), value);
                    (name.to_owned(), options.into_iter().map(named).collect())
                }
                None => (name, options),
            };
            match self.sections.get_mut(&name) {
                None => {
                    self.sections.insert(name, options);
                }
                Some(section) => {
                    let known = self.known.entry(name).or_default();
                    let replaced = section.iter().filter(|(key, _)| options.contains_key(*key));
                    known.extend(replaced.map(|(key, value)| (key.clone(), value.clone())));
                    section.extend(options);
                }
            }
        }
    }

    /// The options of a section.
    pub(super) fn section(&self, name: &str) -> Option<&IndexMap<String, String>> {
        self.sections.get(name)
    }
}
