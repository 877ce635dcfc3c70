//! From what was typed to what is meant: defaults filled in, filters loaded, log files chosen.
//!
//! A value that is wrong by itself was refused when it was read; here is what takes more than one value to see.

mod inputs;

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use super::choices::{FirewallVerdict, StoreMode};
use super::feed;
use super::file::{Defaults, Firewall, Jail, Store};
use super::ignorecommand::{self, IgnoreCommand};
use super::judgement::{Counts, Trust};
use super::logs;
use super::merge::{Layers, Merged};
use super::network::{Ignored, Networks};
use super::plan::{ControlPlan, FirewallPlan, JailPlan, LogPlan, Plan, StorePlan};
use super::ports::{Ports, Protocols};
use super::report::{Problem, Report, SourceFile};
use super::source::PlannedSources;
use super::value::{At, JailName, Table};
use crate::filter::{Filter, for_journal};
use crate::service::Service;
use crate::source::Input;

/// Where filters come from.
pub trait FilterLibrary {
    /// The filter that a reference names (a name or a path, each possibly with `[options]`). The administrator's
    /// directories are searched first, in their order.
    fn load(&self, reference: &str, dirs: &[PathBuf]) -> Result<LoadedFilter, FilterProblem>;
}

impl<F> FilterLibrary for F
where
    F: Fn(&str, &[PathBuf]) -> Result<LoadedFilter, FilterProblem>,
{
    fn load(&self, reference: &str, dirs: &[PathBuf]) -> Result<LoadedFilter, FilterProblem> {
        self(reference, dirs)
    }
}

/// A filter, and what it says about its service.
#[derive(Debug, Clone)]
pub struct LoadedFilter {
    /// Compiled.
    pub filter: Arc<Filter>,
    /// Where the service logs, by distribution: the first that exists is followed.
    pub logpath: Vec<PathBuf>,
}

/// Why a filter cannot be had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FilterProblem {
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub help: Option<String>,
    /// The file of the filter, the bytes in question, and its text; none if there is no such filter.
    pub location: Option<(PathBuf, Range<usize>, String)>,
}

/// What is known of the machine.
pub(super) struct Machine<'m> {
    /// Where the administrator's filters are looked for.
    pub(super) filter_dirs: &'m [PathBuf],
    /// It has a journal, and what reads it.
    pub(super) has_journal: bool,
}

/// Part of the warning about a jail that waits for its log.
pub const NO_LOG_FILE: &str = "none of its log files exists";

/// The plan; or every problem, those that were found before among them.
pub(super) fn validate(
    merged: &Merged,
    problems: Vec<Problem>,
    machine: &Machine<'_>,
    library: &dyn FilterLibrary,
) -> Result<Plan, Report> {
    let Merged { file, layers, settings } = merged;
    let flawless = problems.is_empty();
    let mut problems = problems;
    let sources = PlannedSources::new(&file.source, layers, &mut problems);
    let mut check = Check { layers, problems, machine, library, loaded: BTreeMap::new(), sources };
    let enabled = file.jail.iter().filter(|(_, jail)| jail.value.is_enabled());
    let enabled: Vec<_> = enabled.collect();
    let in_front = enabled.iter().flat_map(|(_, jail)| Networks::of(jail.value.proxies.as_ref()));
    let proxies = Networks::of(file.defaults.proxies.as_ref()).into_iter().chain(in_front).collect();
    // With errors, the jail that was meant to run may be among what was left out.
    if enabled.is_empty()
        && file.feed.is_empty()
        && file.fleet.role.is_none()
        && file.fleet.peer.is_empty()
        && flawless
    {
        check.problems.push(
            Problem::warning("no jail is enabled: nothing will be banned")
                .help("write enabled = true in a jail, such as [jail.sshd]"),
        );
    }
    let fleet = super::fleet::plan(&file.fleet, &enabled, layers, &mut check.problems);
    let jails: Vec<Option<JailPlan>> =
        enabled.into_iter().map(|(name, jail)| check.jail(name, jail, &file.defaults)).collect();
    let running = file.feed.iter().filter(|(_, feed)| feed.value.enabled.as_ref().is_none_or(|on| on.value));
    let feeds: Vec<_> =
        running.map(|(name, feed)| feed::plan(name, feed, layers, &mut check.problems)).collect();
    let firewall = check.firewall(&file.firewall);
    let store = check.store(&file.store);
    let group = check.built_in(file.control.group.as_ref(), "control.group");
    let bantime = check.built_in(file.defaults.bantime.as_ref(), "defaults.bantime");
    let mut problems = check.problems;
    layers.sort(&mut problems);
    let report = Report { problems };
    match (jails.into_iter().collect::<Option<Vec<_>>>(), firewall, store, group, bantime) {
        (Some(jails), Some(firewall), Some(store), Some(group), Some(bantime)) if !report.has_errors() => {
            Ok(Plan {
                jails,
                feeds: feeds.into_iter().flatten().collect(),
                bantime,
                firewall,
                store,
                control: ControlPlan { group: group.0 },
                fleet,
                ignoreip: Ignored::of(file.defaults.ignoreip.as_ref()),
                proxies,
                warnings: report.problems,
                settings: settings.clone(),
            })
        }
        _ => Err(report),
    }
}

/// What is at hand while jails are checked, and what was found.
struct Check<'c> {
    layers: &'c Layers,
    problems: Vec<Problem>,
    machine: &'c Machine<'c>,
    library: &'c dyn FilterLibrary,
    /// Jails with the same filter share it.
    loaded: BTreeMap<String, LoadedFilter>,
    sources: PlannedSources,
}

impl Check<'_> {
    fn jail(&mut self, name: &JailName, typed: &At<Table<Jail>>, defaults: &Defaults) -> Option<JailPlan> {
        let jail = &typed.value;
        let counts = jail.counts.as_ref().map_or(Counts::Failures, |counts| counts.value);
        let (filter, sources) = match counts {
            Counts::Bans | Counts::Reports => (None, self.no_logs(jail, counts)),
            Counts::Failures => {
                let loaded = self.filter(name, typed, false)?;
                let sources = self.inputs(name, typed, &loaded);
                let only_journals =
                    |inputs: &Vec<Input>| inputs.iter().all(|input| matches!(input, Input::Journal { .. }));
                // Its lines have another head there.
                let loaded = match loaded.filter.is_dialect() && sources.as_ref().is_some_and(only_journals) {
                    true => self.filter(name, typed, true)?,
                    false => loaded,
                };
                (Some(loaded.filter), sources)
            }
        };
        let services = self.services(jail, defaults, filter.as_deref());
        let findtime = self.either(&jail.findtime, &defaults.findtime, "findtime")?.get();
        Some(JailPlan {
            services: services?,
            usedns: self.either(&jail.usedns, &defaults.usedns, "usedns")?,
            renew_on_contact: self.either(
                &jail.renew_on_contact,
                &defaults.renew_on_contact,
                "renew_on_contact",
            )?,
            name: Arc::clone(&name.0),
            counts,
            filter: filter.clone(),
            sources: sources?,
            catch_up: logs::catch_up(jail, defaults, findtime),
            poll: jail.poll.as_ref().is_some_and(|poll| poll.value),
            maxretry: self.either(&jail.maxretry, &defaults.maxretry, "maxretry")?.0,
            findtime,
            bantime: self.either(&jail.bantime, &defaults.bantime, "bantime")?,
            ignoreip: Ignored::of(jail.ignoreip.as_ref()),
            ignorecommand: self.ignorecommand(jail, defaults),
            ipv6_prefix: self.either(&jail.ipv6_prefix, &defaults.ipv6_prefix, "ipv6_prefix")?.0,
            max_tracked: usize::try_from(
                self.either(&jail.max_tracked, &defaults.max_tracked, "max_tracked")?.0,
            )
            .unwrap_or(usize::MAX),
            escalate: self.either(&jail.escalate, &defaults.escalate, "escalate")?.0,
            subnet: self.either(&jail.subnet, &defaults.subnet, "subnet")?.0,
            trust: self.trust(jail, defaults, filter.as_deref())?,
            mode: self.either(&jail.mode, &defaults.mode, "mode")?,
            max_bans_per_minute: jail
                .max_bans_per_minute
                .as_ref()
                .or(defaults.max_bans_per_minute.as_ref())
                .map(|most| most.value.0),
        })
    }

    /// Trust needs a filter that recognises successes.
    fn trust(&mut self, jail: &Jail, defaults: &Defaults, filter: Option<&Filter>) -> Option<Option<Trust>> {
        let trust = self.either(&jail.trust, &defaults.trust, "trust")?.0;
        let blind = !filter.is_some_and(Filter::tells_successes);
        if let (true, Some(_), Some(typed)) = (blind, &trust, &jail.trust) {
            let problem = Problem::warning("nobody will be trusted: the jail's filter recognises no success");
            let help =
                "take a filter of kban's own with `success` patterns, such as sshd, or leave trust out";
            self.tell(self.layers.place(problem.help(help), &typed.span));
        }
        Some(trust.filter(|_| !blind))
    }

    /// A jail that counts bans or reports reads no log.
    fn no_logs(&mut self, jail: &Jail, counts: Counts) -> Option<Vec<Input>> {
        let what = if counts == Counts::Reports { "reports" } else { "bans" };
        let filter = jail.filter.as_ref().map(|filter| ("filter", &filter.span));
        let unused = filter
            .or(jail.logpath.as_ref().map(|paths| ("logpath", &paths.span)))
            .or(jail.source.as_ref().map(|names| ("source", &names.span)))
            .or(jail.journalmatch.as_ref().map(|texts| ("journalmatch", &texts.span)));
        if let Some((key, span)) = unused {
            let problem = Problem::error(format!("a jail that counts {what} has no {key}"));
            let help = format!("leave it out, or take away counts = \"{what}\"");
            self.tell(self.layers.place(problem.help(help), span));
        }
        unused.is_none().then(Vec::new)
    }

    fn firewall(&mut self, typed: &Firewall) -> Option<FirewallPlan> {
        let set_size = self.built_in(typed.set_size.as_ref(), "firewall.set_size");
        let verdict = self.built_in(typed.verdict.as_ref(), "firewall.verdict");
        let logs = self.built_in(typed.log.as_ref(), "firewall.log");
        let prefix = self.built_in(typed.log_prefix.as_ref(), "firewall.log_prefix");
        let interfaces = self.built_in(typed.interfaces.as_ref(), "firewall.interfaces");
        let cut_connections = self.built_in(typed.cut_connections.as_ref(), "firewall.cut_connections");
        let count = self.built_in(typed.count.as_ref(), "firewall.count");
        let protect = self.built_in(typed.protect.as_ref(), "firewall.protect");
        let ownership = self.built_in(typed.ownership.as_ref(), "firewall.ownership");
        let group = typed.log_group.as_ref();
        if let (Some(group), Some(false)) = (group, logs) {
            let problem = Problem::warning("log_group names where packets are logged, but they are not");
            self.tell(self.layers.place(problem.help("write log = true as well"), &group.span));
        }
        let group = group.and_then(|group| u16::try_from(group.value.0).ok());
        let log = LogPlan { group, prefix: prefix?.0 };
        Some(FirewallPlan {
            set_size: set_size?.0,
            reject: verdict? == FirewallVerdict::Reject,
            log: logs?.then_some(log),
            interfaces: interfaces?.into_iter().map(|interface| interface.0).collect(),
            cut_connections: cut_connections?,
            count: count?,
            protect: protect?,
            ownership: ownership?,
            max_bans_per_minute: typed.max_bans_per_minute.as_ref().map(|most| most.value.0),
        })
    }

    fn store(&mut self, typed: &Store) -> Option<StorePlan> {
        let mode = self.built_in(typed.mode.as_ref(), "store.mode");
        let keep = self.built_in(typed.keep.as_ref(), "store.keep");
        let max_size = self.built_in(typed.max_size.as_ref(), "store.max_size");
        let evidence = self.built_in(typed.evidence.as_ref(), "store.evidence");
        let keep_users = self.built_in(typed.keep_users.as_ref(), "store.keep_users");
        Some(StorePlan {
            in_memory: mode? == StoreMode::Memory,
            keep: keep?.get(),
            max_size: max_size?.0,
            evidence: usize::try_from(evidence?.0).unwrap_or(usize::MAX),
            keep_users: keep_users?,
        })
    }

    /// The services that the jail closes; `Some(None)` is everything.
    fn services(
        &mut self,
        jail: &Jail,
        defaults: &Defaults,
        filter: Option<&Filter>,
    ) -> Option<Option<Arc<[Service]>>> {
        let port: Option<&At<Ports>> = jail.port.as_ref().or(defaults.port.as_ref());
        if let (None, Some(protocol)) = (port, &jail.protocol) {
            let problem = Problem::warning("without port every protocol is closed, whatever protocol says");
            self.tell(
                self.layers.place(problem.help("name the ports, or leave protocol out"), &protocol.span),
            );
        }
        let Some(port) = port else { return Some(None) };
        let protocols: Protocols = self.either(&jail.protocol, &defaults.protocol, "protocol")?;
        match port.value.services(&protocols, filter.map_or(&[], Filter::ports)) {
            Ok(services) => Some(Some(services.into())),
            Err((what, help)) => {
                self.tell(self.layers.place(Problem::error(what).help(help), &port.span));
                None
            }
        }
    }

    /// The filter that the jail names; left out, the one of its own name.
    fn filter(&mut self, name: &JailName, jail: &At<Table<Jail>>, journal: bool) -> Option<LoadedFilter> {
        let typed = jail.value.filter.as_ref();
        let reference = typed.map_or(&*name.0, |filter| filter.value.0.as_str());
        let reference = if journal { for_journal(reference) } else { reference.to_owned() };
        if let Some(loaded) = self.loaded.get(&reference) {
            return Some(loaded.clone());
        }
        match self.library.load(&reference, self.machine.filter_dirs) {
            Ok(loaded) => {
                self.loaded.insert(reference, loaded.clone());
                Some(loaded)
            }
            Err(error) => {
                let problem = Problem::error(error.message);
                let problem = match error.location {
                    Some((path, span, text)) => problem.at(&Arc::new(SourceFile { path, text }), span),
                    None => self.layers.place(problem, typed.map_or(&jail.span, |filter| &filter.span)),
                };
                self.tell(Problem { help: error.help, ..problem });
                None
            }
        }
    }

    fn ignorecommand(&mut self, jail: &Jail, defaults: &Defaults) -> Option<Arc<IgnoreCommand>> {
        let command = jail.ignorecommand.as_ref().or(defaults.ignorecommand.as_ref());
        let limit = jail.ignorecommand_timeout.as_ref().or(defaults.ignorecommand_timeout.as_ref());
        let layers = self.layers;
        ignorecommand::plan(command?, limit?, &mut |problem, span| self.tell(layers.place(problem, span)))
    }

    /// The jail's own value, else that of `[defaults]`.
    fn either<T: Clone>(&mut self, own: &Option<At<T>>, default: &Option<At<T>>, key: &str) -> Option<T> {
        self.built_in(own.as_ref().or(default.as_ref()), key)
    }

    /// A value that the built-in defaults have, so that it is always there.
    fn built_in<T: Clone>(&mut self, value: Option<&At<T>>, key: &str) -> Option<T> {
        if value.is_none() {
            self.tell(Problem::error(format!("{key} has no value and no built-in default")).help("set it"));
        }
        value.map(|at| at.value.clone())
    }

    /// Once only: jails that share a broken filter share its errors.
    fn tell(&mut self, problem: Problem) {
        if !self.problems.contains(&problem) {
            self.problems.push(problem);
        }
    }
}
