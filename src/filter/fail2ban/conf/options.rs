//! From sections to what the engine takes: options given, `[Init]`, `<tag>` substitution.
//!
//! A tag is replaced by the option of its name, again and again, innermost first, so that `<x_<y>>` selects. A tag
//! without option stays: `<HOST>` means something to the patterns.

use std::path::Path;

use indexmap::IndexMap;

use super::interpolate::Missing;
use super::merge::Merged;
use crate::filter::error::FilterError;

/// No value grows beyond this, in bytes.
pub(super) const LONGEST: usize = 1 << 20;
/// How often one tag may be replaced in a value.
const MOST_REPLACEMENTS: u32 = 25;

const READ: [&str; 7] =
    ["usedns", "prefregex", "ignoreregex", "failregex", "maxlines", "datepattern", "journalmatch"];

/// What a filter says, everything replaced.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::filter::fail2ban) struct Options {
    values: IndexMap<String, String>,
}

impl Options {
    /// The value of an option, if it has one.
    pub(in crate::filter::fail2ban) fn get(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(String::as_str)
    }

    /// The lines of an option, without empty ones.
    pub(in crate::filter::fail2ban) fn lines(&self, name: &str) -> Vec<String> {
        self.get(name)
            .unwrap_or_default()
            .split('\n')
            .filter(|line| !line.is_empty())
            .map(str::to_owned)
            .collect()
    }
}

impl<'a> FromIterator<(&'a str, String)> for Options {
    fn from_iter<I: IntoIterator<Item = (&'a str, String)>>(options: I) -> Self {
        Self { values: options.into_iter().map(|(name, value)| (name.to_owned(), value)).collect() }
    }
}

/// Reads the filter at `path`, with the options that its reference gives it.
pub(in crate::filter::fail2ban) fn load(
    path: &Path,
    fallback: &Path,
    given: &[(String, String)],
) -> Result<Options, FilterError> {
    let merged = super::merge::read(path, fallback)?;
    combine(&merged, given)
        .map_err(|problem| FilterError::Conf { origin: path.display().to_string(), problem })
}

fn combine(merged: &Merged, given: &[(String, String)]) -> Result<Options, String> {
    let given: IndexMap<String, String> = given.iter().cloned().collect();
    let mut tags: IndexMap<String, String> = IndexMap::new();
    for name in READ.iter().filter(|name| !given.contains_key(**name)) {
        match merged.value("Definition", name, &given) {
            Ok(value) => {
                tags.insert((*name).to_owned(), value);
            }
            Err(Missing::Option) => {}
            Err(Missing::Broken(problem)) => return Err(format!("{name}: {problem}")),
        }
    }
    tags.extend(given.clone());
    for name in merged.section("Init").into_iter().flat_map(IndexMap::keys) {
        match merged.value("Init", name, &IndexMap::new()) {
            Ok(value) => {
                tags.insert(format!("known/{name}"), value.clone());
                if !given.contains_key(name) {
                    tags.insert(name.clone(), value);
                }
            }
            Err(Missing::Broken(problem)) => return Err(format!("{name}: {problem}")),
            Err(Missing::Option) => {}
        }
    }
    let mut substitution = Substitution { merged, given: &given, tags };
    substitution.run()?;
    Ok(Options { values: substitution.tags })
}

struct Substitution<'m> {
    merged: &'m Merged,
    given: &'m IndexMap<String, String>,
    tags: IndexMap<String, String>,
}

impl Substitution<'_> {
    /// Replaces in every value what can be replaced, until nothing changes.
    fn run(&mut self) -> Result<(), String> {
        let names: Vec<String> = self.tags.keys().cloned().collect();
        let conditional: Vec<&str> =
            names.iter().filter_map(|name| name.split_once('?').map(|(plain, _)| plain)).collect();
        for name in names.iter().filter(|name| !conditional.contains(&name.as_str())) {
            let Some(value) = self.tags.get(name) else { continue };
            let replaced = self.replaced(name, value.clone())?;
            self.tags.insert(name.clone(), replaced);
        }
        Ok(())
    }

    fn replaced(&self, name: &str, mut value: String) -> Result<String, String> {
        let mut counts: IndexMap<String, u32> = IndexMap::new();
        loop {
            let (mut at, mut changed) = (0, false);
            while let Some((start, tag)) = innermost(&value, at) {
                let count = counts.entry(tag.clone()).or_default();
                if tag == name || *count > MOST_REPLACEMENTS {
                    return Err(format!("{name}: <{tag}> refers to itself"));
                }
                match self.lookup(&tag) {
                    None => at = start + tag.len() + 2,
                    Some(text) => {
                        *count += 1;
                        changed = true;
                        value = value.replace(&format!("<{tag}>"), &text);
                        at = start;
                    }
                }
                if value.len() > LONGEST {
                    return Err(format!("{name}: its value grows beyond 1 MiB"));
                }
            }
            // Replacing may have made a tag of what stood around.
            if !changed {
                return Ok(value);
            }
        }
    }

    fn lookup(&self, tag: &str) -> Option<String> {
        if let Some(value) = self.tags.get(tag) {
            return Some(value.clone());
        }
        let value = |section: &str, option: &str, given: &IndexMap<String, String>| {
            self.merged.value(section, option, given).ok()
        };
        let none = IndexMap::new();
        if let Some((place, option)) = tag.split_once('/') {
            let found = match place.to_lowercase().as_str() {
                "known" => self
                    .merged
                    .known
                    .get("Definition")
                    .and_then(|known| known.get(&option.to_lowercase()))
                    .cloned()
                    .or_else(|| value("Definition", option, &none)),
                "default" => value("DEFAULT", option, &none),
                _ => self.merged.section(place).and_then(|_| value(place, option, &none)),
            };
            if found.is_some() {
                return found;
            }
        }
        value("Definition", tag, self.given)
    }
}

/// The first `<tag>` at or behind `from` that holds no other, nor a space: where it starts, and its text.
fn innermost(value: &str, from: usize) -> Option<(usize, String)> {
    let mut start = None;
    for (at, c) in value.get(from..)?.char_indices() {
        match (c, start) {
            ('<', _) => start = Some(from + at),
            (' ', _) => start = None,
            ('>', Some(open)) => {
                let tag = value.get(open + 1..from + at)?;
                if !tag.is_empty() {
                    return Some((open, tag.to_owned()));
                }
                start = None;
            }
            _ => {}
        }
    }
    None
}
