//! What a match caught, by name.

use std::collections::BTreeMap;

use super::regex::{Found, Pattern};
use super::tags;

/// What a named group caught.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Caught {
    Text(String),
    /// Parts joined by `<F-TUPLE_...>` tags.
    Tuple(Vec<Option<String>>),
}

impl Caught {
    /// The text; a tuple's parts have none.
    pub(super) fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Tuple(_) => None,
        }
    }
}

/// Named groups, those that took part in no match among them.
pub(super) type Groups = BTreeMap<String, Option<Caught>>;

/// The groups of a match, with alternates merged and tuples joined.
pub(super) fn of(pattern: &Pattern, text: &str, found: &Found) -> Groups {
    let mut groups = Groups::new();
    for (index, name) in pattern.names.iter().enumerate() {
        if let Some(name) = name {
            let caught = found.group(index).and_then(|span| text.get(span));
            groups.insert(name.clone(), caught.map(|text| Caught::Text(text.to_owned())));
        }
    }
    let complex = |prefix: &str| -> Vec<(String, String)> {
        let names = groups.keys().filter_map(|name| Some((name.clone(), target(name.strip_prefix(prefix)?))));
        names.collect()
    };
    let (alternates, tuples) = (complex("alt_"), complex("tuple_"));
    for (name, target) in alternates {
        let Some(caught) = groups.get(&name).cloned().flatten() else { continue };
        if is_filled(Some(&caught)) && !is_filled(groups.get(&target).and_then(Option::as_ref)) {
            groups.insert(target, Some(caught));
        }
    }
    for (name, target) in tuples {
        let part = groups.get(&name).cloned().flatten().and_then(|caught| caught.text().map(str::to_owned));
        let parts = match groups.get(&target).cloned().flatten() {
            Some(Caught::Tuple(mut parts)) => {
                parts.push(part);
                parts
            }
            Some(Caught::Text(text)) => vec![Some(text), part],
            None => vec![None, part],
        };
        groups.insert(target, Some(Caught::Tuple(parts)));
    }
    groups
}

/// `user_1`, the rest of `alt_user_1`, is for `user`.
fn target(rest: &str) -> String {
    let name = match rest.rsplit_once('_') {
        Some((name, number)) if !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => rest,
    };
    tags::option(name)
}

/// Whether something was caught, and not just nothing.
pub(super) fn is_filled(caught: Option<&Caught>) -> bool {
    match caught {
        None => false,
        Some(Caught::Text(text)) => !text.is_empty(),
        Some(Caught::Tuple(_)) => true,
    }
}
