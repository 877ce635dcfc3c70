//! Configuration: what the administrator typed, and the validated plan the daemon runs.
//!
//! ```text
//! layout (which files) -> recover (TOML, every error) -> merge (later wins) -> validate -> plan
//!                              | file, value: the keys                |
//!                              +---------------> report <-------------+
//! ```
//!
//! A new key is a field in [`mod@file`], its default in `vendor.toml`, a field in [`plan`], and a line in [`validate`].

use std::path::PathBuf;
use std::sync::Arc;

pub mod choices;
pub mod duration;
mod excerpt;
pub mod feed;
pub mod file;
pub mod fleet;
pub mod ignorecommand;
pub mod journalmatch;
pub mod judgement;
pub mod layout;
mod library;
mod lint;
pub mod logs;
pub mod merge;
pub mod network;
pub mod peers;
pub mod plan;
pub mod ports;
mod recover;
pub mod report;
pub mod setting;
pub mod size;
pub mod source;
mod suggest;
mod unused;
pub mod validate;
pub mod value;

#[cfg(test)]
mod tests;

pub use layout::Layout;
pub use library::load as load_filter;
pub use lint::lint;
pub use merge::Merged;
pub use plan::Plan;
pub use report::{Problem, Report, Severity, SourceFile};
pub use setting::Setting;
use validate::Machine;
pub use validate::{FilterLibrary, FilterProblem, LoadedFilter};

use crate::source::journal;

/// The lowest layer: every default, and the jails that kban ships.
const VENDOR: &str = include_str!("vendor.toml");

/// With no file at all, sshd is protected.
const UNCONFIGURED: &str = "[jail.sshd]\nenabled = true\n";

/// Reads every file and makes the plan, or says everything that is wrong.
pub fn load(layout: &Layout) -> Result<Plan, Report> {
    load_with(layout, &library::load)
}

/// As [`load`], with filters from elsewhere.
pub fn load_with(layout: &Layout, filters: &dyn FilterLibrary) -> Result<Plan, Report> {
    load_over(layout, &[], filters)
}

/// As [`load_with`], with more texts laid over the files: what a command line changes is read and judged as they are.
pub fn load_over(
    layout: &Layout,
    over: &[Arc<SourceFile>],
    filters: &dyn FilterLibrary,
) -> Result<Plan, Report> {
    check(layout, &[], over, filters)
}

/// As [`load`], as if these drop-ins were there: before they are.
pub fn load_changed(layout: &Layout, changed: &[Arc<SourceFile>]) -> Result<Plan, Report> {
    check(layout, changed, &[], &library::load)
}

fn check(
    layout: &Layout,
    changed: &[Arc<SourceFile>],
    over: &[Arc<SourceFile>],
    filters: &dyn FilterLibrary,
) -> Result<Plan, Report> {
    let (merged, problems) = read_over(layout, changed, over);
    let has_journal = journal::is_here(&layout.root);
    validate::validate(&merged, problems, &Machine { filter_dirs: &layout.filter_dirs, has_journal }, filters)
}

/// The merged configuration as far as it could be read, and what is wrong with the rest; filters are not looked at.
pub fn read(layout: &Layout) -> (Merged, Vec<Problem>) {
    read_over(layout, &[], &[])
}

/// Whether there is no file at all: then sshd is protected.
pub fn is_unconfigured(layout: &Layout) -> bool {
    let (found, problems) = layout.read(&[]);
    found.is_empty() && problems.is_empty()
}

fn read_over(
    layout: &Layout,
    changed: &[Arc<SourceFile>],
    over: &[Arc<SourceFile>],
) -> (Merged, Vec<Problem>) {
    let (found, mut problems) = layout.read(changed);
    let mut files = vec![built_in("built-in defaults", VENDOR)];
    if found.is_empty() && problems.is_empty() {
        files.push(built_in("built-in, as there is no configuration", UNCONFIGURED));
    }
    files.extend(found);
    files.extend(over.iter().cloned());
    let (merged, wrong) = merge::merge(&files);
    problems.extend(wrong);
    merged.layers.sort(&mut problems);
    (merged, problems)
}

fn built_in(name: &str, text: &str) -> Arc<SourceFile> {
    Arc::new(SourceFile { path: PathBuf::from(name), text: text.to_owned() })
}
