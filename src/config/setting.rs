//! The keys of a merged configuration, each with its value and where it was typed: what `banctl config` shows.

use std::ops::Range;

use serde::{Deserialize, Serialize};
use toml::Spanned;
use toml::de::{DeTable, DeValue, ValueDeserializer};

use super::merge::Layers;
use super::report::Problem;

/// One key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Setting {
    /// The table, as it is written in brackets: `defaults`, `jail.sshd`.
    pub table: String,
    /// The key in it, as it is written before the equals sign: `maxretry`, `escalate.factor`.
    pub key: String,
    /// The value, in TOML.
    pub value: String,
    /// The file that says so last.
    pub file: String,
    /// The line in it, from 1.
    pub line: usize,
}

impl Setting {
    /// Whether it is a key of `[jail.NAME]`.
    #[must_use]
    pub fn is_of_jail(&self, name: &str) -> bool {
        self.table.strip_prefix("jail.").is_some_and(|table| table == quoted(name))
    }
}

/// Tables with tables of the administrator's choice in them.
const NAMED: [&str; 3] = ["jail", "feed", "source"];

/// Every key of the tree, table by table.
pub(super) fn all(tree: &DeTable<'_>, layers: &Layers) -> Vec<Setting> {
    let mut found = Vec::new();
    collect(tree, &mut Vec::new(), layers, &mut found);
    found
}

/// The `new` settings, but those that `stays` is about as they were in `old`.
pub fn keep(new: Vec<Setting>, old: &[Setting], stays: impl Fn(&Setting) -> bool) -> Vec<Setting> {
    let changed = new.into_iter().filter(|one| !stays(one));
    let mut all: Vec<Setting> = changed.chain(old.iter().filter(|one| stays(one)).cloned()).collect();
    all.sort_by(|a, b| (&a.table, &a.key).cmp(&(&b.table, &b.key)));
    all
}

fn collect(table: &DeTable<'_>, path: &mut Vec<String>, layers: &Layers, found: &mut Vec<Setting>) {
    for (key, value) in table {
        path.push(quoted(key.get_ref()));
        match value.get_ref() {
            DeValue::Table(inner) => collect(inner, path, layers, found),
            _ => found.extend(setting(path, value, &key.span(), layers)),
        }
        path.pop();
    }
}

fn setting(
    path: &[String],
    value: &Spanned<DeValue<'_>>,
    place: &Range<usize>,
    layers: &Layers,
) -> Option<Setting> {
    let depth = if path.first().is_some_and(|first| NAMED.contains(&&**first)) { 2 } else { 1 };
    let (table, key) = path.split_at_checked(depth)?;
    let (file, place) = layers.locate(place)?;
    let line = Problem::error("").at(file, place).line()?;
    let value = toml::Value::deserialize(ValueDeserializer::from(value.clone())).ok()?;
    Some(Setting {
        table: table.join("."),
        key: key.join("."),
        value: value.to_string(),
        file: file.path.to_string_lossy().into_owned(),
        line,
    })
}

/// A key as it is typed.
fn quoted(key: &str) -> String {
    let is_bare = |byte: u8| byte.is_ascii_alphanumeric() || b"_-".contains(&byte);
    if !key.is_empty() && key.bytes().all(is_bare) {
        key.to_owned()
    } else {
        toml::Value::String(key.to_owned()).to_string()
    }
}
