//! Under which settings logs are replayed: those of the configuration, and those that `--set` makes of them.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::options::Options;
use crate::cli::exit::{Exit, Failure, usage};
use crate::cli::output::harmless_lines;
use crate::cli::past::{no_jail, not_asked, not_looked_up};
use crate::config::file::File;
use crate::config::judgement::{Counts, Mode};
use crate::config::{self, FilterProblem, Layout, LoadedFilter, Plan, Report, Severity, SourceFile};
use crate::filter::Filter;

/// The settings that are compared.
pub(super) struct Plans {
    pub(super) current: Plan,
    /// With what `--set` says, if it says anything.
    pub(super) changed: Option<Plan>,
    /// What of them a replay leaves out.
    left_out: Vec<String>,
}

impl Plans {
    /// Reads the configuration: the jails that are meant, and no others.
    pub(super) fn read(options: &Options, layout: &Layout) -> Result<Self, Failure> {
        let (merged, problems) = config::read(layout);
        let report = Report::from(problems);
        if report.has_errors() {
            return Err(broken(report));
        }
        let wanted = wanted(&options.jail, &merged.file)?;
        let chosen = chosen(&wanted, &merged.file);
        let changes = (!options.set.is_empty()).then(|| changes(&options.set, &wanted, &merged.file));
        // Both plans share their filters, so that each line is looked at once.
        let loaded = RefCell::new(BTreeMap::new());
        let library = |reference: &str, dirs: &[PathBuf]| shared(&loaded, reference, dirs);
        let load = |over: &[Arc<SourceFile>]| config::load_over(layout, over, &library);
        let mut current = load(&[Arc::clone(&chosen)]).map_err(broken)?;
        let mut changed = match changes.transpose()? {
            Some(changes) => Some(load(&[chosen, changes]).map_err(|report| usage(errors(report)))?),
            None => None,
        };
        let left_out = left_out(changed.as_ref().unwrap_or(&current));
        [&mut current].into_iter().chain(&mut changed).for_each(only_of_logs);
        Ok(Self { current, changed, left_out })
    }

    /// Every filter, once.
    pub(super) fn filters(&self) -> Vec<Arc<Filter>> {
        let mut filters: Vec<Arc<Filter>> = Vec::new();
        let plans = [&self.current].into_iter().chain(&self.changed);
        for filter in plans.flat_map(|plan| plan.jails.iter().filter_map(|jail| jail.filter.as_ref())) {
            if !filters.iter().any(|known| Arc::ptr_eq(known, filter)) {
                filters.push(Arc::clone(filter));
            }
        }
        filters
    }

    /// What is to be known of the settings.
    pub(super) fn notes(&self) -> Vec<String> {
        let mut notes = self.left_out.clone();
        for jail in &self.changed.as_ref().unwrap_or(&self.current).jails {
            if jail.mode == Mode::Observe {
                notes.push(format!("jail {} observes: it would have banned nobody, but said so", jail.name));
            }
            if jail.renew_on_contact {
                notes.push(format!(
                    "jail {} renews bans by packets, which no log has: they lasted longer",
                    jail.name
                ));
            }
        }
        notes
    }
}

/// The names of the jails that are meant.
fn wanted(named: &[String], file: &File) -> Result<Vec<String>, Failure> {
    for name in named {
        if !file.jail.keys().any(|known| *known.0 == **name) {
            return Err(no_jail(name, file));
        }
    }
    if !named.is_empty() {
        let once: BTreeSet<String> = named.iter().cloned().collect();
        return match once.iter().any(|name| reads_logs(name, file)) {
            true => Ok(once.into_iter().collect()),
            false => {
                Err(usage("these jails count bans by others: name one that reads logs as well, with --jail"))
            }
        };
    }
    let enabled = file.jail.iter().filter(|(_, jail)| jail.value.is_enabled());
    let enabled: Vec<String> = enabled.map(|(name, _)| name.0.to_string()).collect();
    match enabled.is_empty() {
        true => Err(usage("the configuration enables no jail: name one with --jail")),
        false => Ok(enabled),
    }
}

/// Enables these jails, and no others: what is wrong with the filter of another one does not matter.
fn chosen(wanted: &[String], file: &File) -> Arc<SourceFile> {
    let mut text = String::new();
    for (name, jail) in &file.jail {
        let is_on = jail.value.is_enabled();
        let be_on = wanted.iter().any(|one| **one == *name.0);
        if is_on != be_on {
            // Writing to a String cannot fail. Names of jails hold nothing that ends a string.
            let _ = writeln!(text, "[jail.\"{}\"]\nenabled = {be_on}", name.0);
        }
    }
    layer("--jail", text)
}

/// What `--set` says, as a configuration.
fn changes(typed: &[String], wanted: &[String], file: &File) -> Result<Arc<SourceFile>, Failure> {
    let mut tables: BTreeMap<&str, String> = BTreeMap::new();
    for setting in typed {
        let Some((key, value)) = setting.split_once('=') else {
            return Err(usage(format!("--set {setting}: write KEY=VALUE, such as maxretry=3")));
        };
        let (key, value) = (key.trim(), value.trim());
        let own = wanted.iter().find_map(|name| Some((name, key.strip_prefix(&**name)?.strip_prefix('.')?)));
        let (jails, key): (Vec<&String>, &str) = match own {
            Some((name, key)) => (vec![name], key),
            None => (wanted.iter().filter(|name| reads_logs(name, file)).collect(), key),
        };
        for jail in jails {
            let _ = writeln!(tables.entry(jail).or_default(), "{key} = {}", toml_value(value));
        }
    }
    let text = tables.iter().map(|(jail, keys)| format!("[jail.\"{jail}\"]\n{keys}")).collect();
    Ok(layer("--set", text))
}

fn reads_logs(name: &str, file: &File) -> bool {
    let jail = file.jail.iter().find(|(known, _)| *known.0 == *name).map(|(_, jail)| &jail.value);
    jail.is_some_and(|jail| jail.counts.as_ref().is_none_or(|counts| counts.value == Counts::Failures))
}

/// A shell takes quotes away: what is no value in TOML is meant as a string.
fn toml_value(typed: &str) -> String {
    match format!("x = {typed}").parse::<toml::Table>() {
        Ok(_) => typed.to_owned(),
        Err(_) => toml::Value::String(typed.to_owned()).to_string(),
    }
}

fn layer(name: &str, text: String) -> Arc<SourceFile> {
    Arc::new(SourceFile { path: Path::new(name).to_owned(), text })
}

fn shared(
    loaded: &RefCell<BTreeMap<String, LoadedFilter>>,
    reference: &str,
    dirs: &[PathBuf],
) -> Result<LoadedFilter, FilterProblem> {
    if let Some(known) = loaded.borrow().get(reference) {
        return Ok(known.clone());
    }
    let filter = config::load_filter(reference, dirs)?;
    loaded.borrow_mut().insert(reference.to_owned(), filter.clone());
    Ok(filter)
}

/// Leaves out what is in no log: what lists say, and what a program would.
fn only_of_logs(plan: &mut Plan) {
    plan.feeds.clear();
    plan.jails.iter_mut().for_each(|jail| jail.ignorecommand = None);
}

/// What of a plan is left out although it may have spared somebody.
fn left_out(plan: &Plan) -> Vec<String> {
    let asking = plan.jails.iter().filter(|jail| jail.ignorecommand.is_some());
    let not_asked = asking.map(|jail| not_asked(&format!("jail {}", jail.name)));
    let ignored = plan.jails.iter().map(|jail| &jail.ignoreip).chain([&plan.ignoreip]);
    not_asked.chain(not_looked_up(ignored)).collect()
}

/// Without the warnings: no log file has to exist here.
fn errors(mut report: Report) -> Report {
    report.problems.retain(|problem| problem.severity == Severity::Error);
    report
}

fn broken(report: Report) -> Failure {
    Failure::new(Exit::No, harmless_lines(&format!("the configuration has errors:\n{}", errors(report))))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &str) -> (tempfile::TempDir, Layout) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("kban.toml");
        std::fs::write(&path, text).unwrap();
        (dir, Layout::single(path))
    }

    fn options(jail: &[&str], set: &[&str]) -> Options {
        let owned = |list: &[&str]| list.iter().map(|one| (*one).to_owned()).collect();
        Options { input: Vec::new(), jail: owned(jail), set: owned(set), no_users: false, now: None }
    }

    const TWO: &str = "[jail.sshd]\nenabled = true\n[jail.recidive]\nenabled = true\n[jail.broken]\nenabled = true\nfilter = \"no-such\"\n";

    #[test]
    fn settings_are_laid_over_the_jails_that_are_meant() {
        let (_dir, layout) = file(TWO);
        let both = options(
            &["sshd", "recidive", "sshd"],
            &[
                "maxretry=3",
                "bantime=1h",
                "escalate.factor=3",
                "recidive.maxretry = 2",
                "ignoreip=[\"10.0.0.0/8\"]",
            ],
        );
        let plans = Plans::read(&both, &layout).unwrap();
        let changed = plans.changed.as_ref().unwrap();
        let of =
            |plan: &Plan, name: &str| plan.jails.iter().find(|jail| &*jail.name == name).unwrap().clone();
        let (before, after) = (of(&plans.current, "sshd"), of(changed, "sshd"));
        assert_eq!((before.maxretry, after.maxretry), (5, 3));
        assert_eq!(after.bantime.to_string(), "1h");
        assert!(before.escalate.is_none() && after.escalate.is_some());
        assert_eq!(after.ignoreip.networks.len(), 1);
        assert_eq!((of(&plans.current, "recidive").maxretry, of(changed, "recidive").maxretry), (5, 2));
        assert_eq!(of(changed, "recidive").bantime.to_string(), "1w");
        assert_eq!(plans.filters().len(), 1, "both plans share the filter");
        let other = Plans::read(&options(&["sshd"], &["filter=sshd[mode=aggressive]"]), &layout).unwrap();
        assert_eq!(other.filters().len(), 2);
    }

    #[test]
    fn mistakes_are_told_as_the_configuration_tells_them() {
        let (_dir, layout) = file(TWO);
        let said = |jail: &[&str], set: &[&str]| {
            let failure = Plans::read(&options(jail, set), &layout).err().unwrap();
            (failure.exit, failure.message)
        };
        for (set, sentence) in [
            ("maxrety=3", "--set:2:1: unknown key `maxrety` in [jail.sshd]: did you mean `maxretry`?"),
            ("maxretry=0", "--set:2:12: jail.sshd.maxretry: 0 is"),
            ("maxretry=three", "--set:2:12: jail.sshd.maxretry: "),
            ("bantime=1parsec", "--set:2:11: jail.sshd.bantime: "),
            ("maxretry", "write KEY=VALUE"),
        ] {
            let (exit, message) = said(&["sshd"], &[set]);
            assert!(exit == Exit::Usage && message.contains(sentence), "{set}: {message}");
            assert_eq!(message.lines().count(), 1, "no warnings: {message}");
        }
        let (_, twice) = said(&["sshd"], &["maxretry=3", "maxretry=4"]);
        assert!(twice.contains("--set:3:"), "{twice}");
        assert!(said(&["recidive"], &["maxretry=3"]).1.contains("name one that reads logs"));
        assert!(said(&["shd"], &[]).1.contains("did you mean sshd?"));
        let (exit, broken) = said(&[], &[]);
        assert!(exit == Exit::No && broken.contains("no-such"), "{broken}");
    }
}
