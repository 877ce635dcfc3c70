//! What `banctl test` and `banctl replay` share: logs of the past, and the jails that are to judge them.

mod blocks;
mod input;

pub(super) use blocks::Blocks;
pub(super) use input::Input;

use super::exit::{Failure, usage};
use crate::config::file::File;
use crate::filter::closest;

/// There is no such jail.
pub(super) fn no_jail(wanted: &str, file: &File) -> Failure {
    let near = closest(wanted, file.jail.keys().map(|name| &*name.0));
    let near = near.map(|near| format!(" (did you mean {near}?)")).unwrap_or_default();
    usage(format!(
        "the configuration has no jail '{wanted}'{near}; `banctl check` names those that are enabled"
    ))
}
