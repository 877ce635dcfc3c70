//! What `banctl test` and `banctl replay` share: logs of the past, and the jails that are to judge them.

mod blocks;
mod input;

pub(super) use blocks::Blocks;
pub(super) use input::Input;

use std::collections::BTreeSet;

use super::exit::{Failure, usage};
use crate::config::file::File;
use crate::config::network::{Ignored, Lookup};
use crate::filter::closest;

/// There is no such jail.
pub(super) fn no_jail(wanted: &str, file: &File) -> Failure {
    let near = closest(wanted, file.jail.keys().map(|name| &*name.0));
    let near = near.map(|near| format!(" (did you mean {near}?)")).unwrap_or_default();
    usage(format!(
        "the configuration has no jail '{wanted}'{near}; `banctl check` names those that are enabled"
    ))
}

/// What a jail would have asked a program is not known of the past: none is run.
pub(super) fn not_asked(jail: &str) -> String {
    format!("{jail} has an ignorecommand, which is not run here: whom it would spare counts as banned")
}

/// What names and files in `ignoreip` come to is not found out: the answer would depend on who is asked, and when.
pub(super) fn not_looked_up<'a>(ignored: impl IntoIterator<Item = &'a Ignored>) -> Option<String> {
    let shown = |lookup: &Lookup| match lookup {
        Lookup::Name(name) => name.to_string(),
        Lookup::File(path) => path.display().to_string(),
    };
    let lookups: BTreeSet<_> = ignored.into_iter().flat_map(|ignored| &ignored.lookups).map(shown).collect();
    let named: Vec<_> = lookups.into_iter().collect();
    let named = named.join(", ");
    (!named.is_empty()).then(|| {
        format!(
            "names and files in ignoreip ({named}) are not looked up here: whom they allow counts as anybody"
        )
    })
}
