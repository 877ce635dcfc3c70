//! Logs that a service may not read: those below the homes that it does not see, and those that their modes deny it.
//!
//! By owner, group and mode. Access control lists are not looked at; but what kband reads in fact is known better.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::Need;
use super::unit::{Identity, Unit};
use crate::cli::output;
use crate::cli::root::Root;
use crate::config::Plan;
use crate::source::file::{has_wildcards, is_below_a_home, matching};

/// What one log needs.
struct Log<'p> {
    path: &'p Path,
    jail: &'p str,
    /// Of its files, the first that only the drop-in for root's logs lets the service read, and why.
    denied: Option<String>,
}

/// The drop-ins that the plan's logs need.
pub(super) fn needs(root: &Root, unit: &Unit, plan: &Plan, reads: impl Fn(&Path) -> bool) -> Vec<Need> {
    let identity = unit.identity(root);
    let jails = plan
        .jails
        .iter()
        .flat_map(|jail| jail.sources.iter().filter_map(|input| Some((input.log_path()?, &*jail.name))));
    let each: BTreeMap<&Path, &str> = jails.collect();
    let all = each.into_iter().map(|(path, jail)| {
        let denied = || files(root, path).iter().find_map(|file| denied(root, identity.as_ref()?, file));
        let denied = if !unit.reads_all() && reads(path) { None } else { denied() };
        Log { path, jail, denied }
    });
    let (homes, others): (Vec<_>, Vec<_>) = all.partition(|log| is_below_a_home(log.path));
    let of =
        |log: &Log<'_>| format!("{} of jail {}", output::harmless(&log.path.to_string_lossy()), log.jail);
    let mut found = Vec::new();
    if let Some(first) = homes.iter().find(|log| !reads(log.path)).or(homes.first()) {
        let is_denied = homes.iter().any(|log| log.denied.is_some()) && !unit.reads_all();
        let missing: &[&str] = match (unit.sees_homes(), is_denied) {
            (true, _) => &[],
            (false, false) => &["home-logs.conf"],
            (false, true) => &["home-logs.conf", "root-logs.conf"],
        };
        found.push(Need::new("service.homes", unit, "look into homes", &of(first), missing));
    }
    let seen = others.iter().chain(homes.iter().filter(|_| unit.sees_homes()));
    if let Some((log, why)) = seen.filter_map(|log| Some((log, log.denied.as_ref()?))).next() {
        let missing: &[&str] = if unit.reads_all() { &[] } else { &["root-logs.conf"] };
        let what = format!("read what is {why}");
        found.push(Need::new("service.root_logs", unit, &what, &of(log), missing));
    }
    found
}

/// The files that a log is at the moment; those that are not there are none.
fn files(root: &Root, path: &Path) -> Vec<PathBuf> {
    let path = root.at(path);
    if has_wildcards(&path) { matching(&path) } else { vec![path] }
}

/// Whose `file`, or a directory on the way to it, is that may not be read; `None`: it may be, or nobody can say.
fn denied(root: &Root, identity: &Identity, file: &Path) -> Option<String> {
    let top = root.at("/");
    let way = file.ancestors().skip(1).take_while(|above| *above != top && above.starts_with(&top));
    // Of a directory to go through (x), of the file to read (r).
    let mut steps: Vec<(&Path, u32)> = way.map(|directory| (directory, 0o1)).collect();
    steps.reverse();
    steps.push((file, 0o4));
    steps.into_iter().find_map(|(path, wanted)| {
        let metadata = path.metadata().ok()?;
        let shift = match () {
            () if metadata.uid() == identity.user => 6,
            () if identity.groups.contains(&metadata.gid()) => 3,
            () => 0,
        };
        let whose = if metadata.uid() == 0 { "root's alone" } else { "its owner's alone" };
        let mode = metadata.mode() & 0o777;
        (mode >> shift & wanted == 0).then(|| format!("{whose} (mode {mode:03o})"))
    })
}
