//! Under which settings `banctl test` judges: those of a jail, or the defaults.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;

use super::options::Options;
use crate::cli::exit::{Failure, usage};
use crate::cli::past::{no_jail, not_asked, not_looked_up};
use crate::config::duration::BanTime;
use crate::config::file::{File, Jail};
use crate::config::judgement::{Counts, Escalate, Mode, Subnet};
use crate::config::network::{Ignored, Networks};
use crate::config::plan::{ControlPlan, FirewallPlan, JailPlan, Plan, StorePlan};
use crate::config::value::{At, JailName, Table};
use crate::config::{self, Layout, Severity};
use crate::filter::Filter;

/// The settings, and whose they are.
pub(super) struct Settings {
    /// The jail, if there is one.
    pub(super) jail: Option<String>,
    pub(super) maxretry: u32,
    pub(super) findtime: Duration,
    pub(super) bantime: BanTime,
    /// `[defaults] ignoreip`.
    everywhere: Ignored,
    ignoreip: Ignored,
    proxies: Vec<IpNet>,
    ipv6_prefix: u8,
    max_tracked: usize,
    escalate: Option<Escalate>,
    subnet: Option<Subnet>,
}

impl Settings {
    /// Reads the configuration. `named`: the filter is one that a jail can have.
    pub(super) fn read(
        options: &Options,
        layout: &Layout,
        filter: &Filter,
        named: bool,
        notes: &mut Vec<String>,
    ) -> Result<Self, Failure> {
        let (merged, problems) = config::read(layout);
        if problems.iter().any(|problem| problem.severity == Severity::Error) {
            notes.push(
                "the configuration has errors (`banctl check` shows them): what is wrong is left out"
                    .to_owned(),
            );
        }
        let file = &merged.file;
        let (name, jail) = match &options.jail {
            Some(wanted) => {
                let found = file.jail.iter().find(|(name, _)| *name.0 == **wanted);
                let (name, jail) = found.ok_or_else(|| no_jail(wanted, file))?;
                (Some(name.0.to_string()), jail.value.0.clone())
            }
            None if named => only_jail(file, filter.name()).unwrap_or_default(),
            None => (None, Jail::default()),
        };
        let defaults = &file.defaults;
        let missing = |key| usage(format!("the configuration has no {key}: set it in [defaults]"));
        let maxretry = options
            .maxretry
            .or(jail.maxretry.map(|at| at.value.0))
            .or(defaults.maxretry.as_ref().map(|at| at.value.0));
        let findtime = options
            .findtime
            .or(jail.findtime.map(|at| at.value))
            .or(defaults.findtime.as_ref().map(|at| at.value));
        let bantime = jail.bantime.or(defaults.bantime.clone()).map(|at| at.value);
        let prefix = jail.ipv6_prefix.or(defaults.ipv6_prefix.clone()).map(|at| at.value.0);
        let escalate = jail.escalate.or(defaults.escalate.clone()).and_then(|at| at.value.0);
        let subnet = jail.subnet.or(defaults.subnet.clone()).and_then(|at| at.value.0);
        let tracked = jail.max_tracked.or(defaults.max_tracked.clone()).map(|at| at.value.0);
        let command = jail.ignorecommand.as_ref().or(defaults.ignorecommand.as_ref());
        if command.is_some_and(|words| !words.value.0.is_empty()) {
            let who = name.as_ref().map_or_else(|| "[defaults]".to_owned(), |name| format!("jail {name}"));
            notes.push(not_asked(&who));
        }
        let (everywhere, ignoreip) =
            (Ignored::of(defaults.ignoreip.as_ref()), Ignored::of(jail.ignoreip.as_ref()));
        notes.extend(not_looked_up([&everywhere, &ignoreip]));
        Ok(Self {
            jail: name,
            maxretry: maxretry.ok_or_else(|| missing("maxretry"))?,
            findtime: findtime.ok_or_else(|| missing("findtime"))?.get(),
            bantime: bantime.ok_or_else(|| missing("bantime"))?,
            everywhere,
            ignoreip,
            proxies: [defaults.proxies.as_ref(), jail.proxies.as_ref()]
                .into_iter()
                .flat_map(Networks::of)
                .collect(),
            ipv6_prefix: prefix.ok_or_else(|| missing("ipv6_prefix"))?,
            max_tracked: usize::try_from(tracked.ok_or_else(|| missing("max_tracked"))?)
                .unwrap_or(usize::MAX),
            escalate,
            subnet,
        })
    }

    /// Just this jail.
    pub(super) fn plan(&self, filter: &Arc<Filter>) -> Plan {
        let jail = JailPlan {
            services: None,
            usedns: crate::config::choices::UseDns::No,
            renew_on_contact: false,
            name: self.jail.as_deref().unwrap_or("test").into(),
            counts: Counts::Failures,
            filter: Some(Arc::clone(filter)),
            sources: Vec::new(),
            maxretry: self.maxretry,
            findtime: self.findtime,
            bantime: self.bantime,
            ignoreip: self.ignoreip.clone(),
            ignorecommand: None,
            ipv6_prefix: self.ipv6_prefix,
            max_tracked: self.max_tracked,
            escalate: self.escalate.clone(),
            subnet: self.subnet.clone(),
            trust: None,
            mode: Mode::Ban,
            max_bans_per_minute: None,
            catch_up: Duration::ZERO,
            poll: false,
        };
        Plan {
            feeds: Vec::new(),
            bantime: jail.bantime,
            jails: vec![jail],
            firewall: FirewallPlan::sized(u32::MAX),
            store: StorePlan::in_memory(),
            control: ControlPlan { group: String::new() },
            fleet: None,
            ignoreip: self.everywhere.clone(),
            proxies: self.proxies.clone(),
            warnings: Vec::new(),
            settings: Vec::new(),
        }
    }

    /// In a sentence: "jail sshd with maxretry 5, findtime 10m and bantime 10m".
    pub(super) fn sentence(&self) -> String {
        let who = self.jail.as_ref().map_or_else(|| "a jail".to_owned(), |name| format!("jail {name}"));
        let findtime = BanTime::For(self.findtime);
        format!("{who} with maxretry {}, findtime {findtime} and bantime {}", self.maxretry, self.bantime)
    }
}

/// The jail that has this filter, if just one has: of those that are enabled, else of all.
fn only_jail(file: &File, filter: &str) -> Option<(Option<String>, Jail)> {
    let has_it = |(name, jail): &(&JailName, &At<Table<Jail>>)| {
        let reference = jail.value.filter.as_ref().map_or(&*name.0, |filter| filter.value.0.as_str());
        let target = reference.split('[').next().unwrap_or_default().trim();
        let stem = Path::new(target).file_stem().and_then(|stem| stem.to_str());
        target == filter || (target.contains('/') && stem == Some(filter))
    };
    let having: Vec<_> = file.jail.iter().filter(has_it).collect();
    let enabled: Vec<_> = having.iter().copied().filter(|(_, jail)| jail.value.is_enabled()).collect();
    match (enabled.as_slice(), having.as_slice()) {
        ([(name, jail)], _) | ([], [(name, jail)]) => Some((Some(name.0.to_string()), jail.value.0.clone())),
        _ => None,
    }
}
