//! `banctl why`: what jails and kernel say of an address now; the store adds what was.

use std::sync::Arc;

use ipnet::IpNet;
use jiff::Timestamp;

use super::answer;
use super::intent;
use super::pipeline::Pipeline;
use crate::config::duration::BanTime;
use crate::config::network::folded;
use crate::control::recall::{FailureRow, LineRow, NextRow, Why};
use crate::firewall::{Element, Firewall, Target};
use crate::jail::by_hand::Refusal;
use crate::jail::engine::Engine;
use crate::jail::jails::Jail;
use crate::jail::spared::{Allowance, Origin};
use crate::jail::standing::Standing;
use crate::jail::{Ban, shown};

/// What is so now; whether packets are to be `counted` is for the administrator to say. The history is missing yet.
pub(super) fn why(pipeline: &mut Pipeline, wanted: IpNet, counted: bool, now: Timestamp) -> Why {
    let prefix = folded(wanted.trunc());
    let (engine, firewall) = (&pipeline.engine, &mut pipeline.effect.firewall);
    let in_force: Vec<Ban> = around(prefix).flat_map(|wider| engine.bans().of(&wider)).collect();
    let banned = !in_force.iter().all(Ban::is_observed);
    // A network's element holds for each of its addresses; what nobody intends may be there as well.
    let is_held = |elements: &[Option<Element>]| elements.iter().any(Option::is_some);
    let mut in_kernel = held(firewall, &[prefix.into()]).map(|elements| is_held(&elements));
    let mut bans = Vec::with_capacity(in_force.len());
    for ban in in_force {
        let targets: Vec<Target> = intent::targets(&ban).collect();
        let elements = held(firewall, &targets).unwrap_or_else(|| vec![None; targets.len()]);
        in_kernel = in_kernel.map(|so_far| so_far || is_held(&elements));
        bans.push(answer::row(ban, &elements, now));
    }
    // Failures are counted against what would be banned for an address, which may be the network that it is in.
    let lines = |jail: &Arc<str>| {
        let lines = around(prefix).flat_map(|counted| pipeline.evidence.of(counted, jail));
        let lines: Vec<LineRow> = lines.map(|line| LineRow::new(&line)).collect();
        (!lines.is_empty()).then(|| FailureRow { jail: jail.to_string(), lines })
    };
    let failures = engine.jails().iter().filter_map(|jail| lines(&jail.name)).collect();
    let uncounted = !counted && bans.iter().any(|ban| ban.in_kernel && ban.packets.is_none());
    let uncounted = uncounted.then(|| "packets are not counted: write count = true in [firewall]".to_owned());
    Why {
        address: shown(&prefix),
        banned,
        bans,
        in_kernel,
        allowed: allowed(engine, prefix),
        notes: notes(engine, prefix, now).chain(uncounted).collect(),
        next: next(engine, prefix, now),
        failures,
        ..Why::default()
    }
}

/// The kernel's element of each target, if there is one; none at all if the kernel does not say. No table holds nobody.
fn held(firewall: &mut Firewall, targets: &[Target]) -> Option<Vec<Option<Element>>> {
    match firewall.contains_each(targets) {
        Ok(elements) => Some(elements),
        Err(error) => error.is_missing().then(|| vec![None; targets.len()]),
    }
}

/// The prefix and all that contain it, the widest first.
fn around(prefix: IpNet) -> impl Iterator<Item = IpNet> {
    (0..=prefix.prefix_len()).filter_map(move |bits| Some(IpNet::new(prefix.network(), bits).ok()?.trunc()))
}

/// The rules by which nobody, or one jail, bans it.
fn allowed(engine: &Engine, prefix: IpNet) -> Vec<String> {
    let everybody = engine.spared().shelter(&prefix.network().into()).map(|refusal| match refusal {
        Refusal::Allowed { entry, origin: Origin::Ignoreip, .. } => {
            format!("[defaults] ignoreip has {entry}")
        }
        Refusal::Allowed { entry, origin: Origin::ByHand, .. } => by_hand(engine, &entry),
        other => other.to_string(),
    });
    let jails = engine.jails().iter().filter_map(|jail| Some((&jail.name, jail.excepts(prefix.network())?)));
    let jails = jails.map(|(jail, entry)| format!("[jail.{jail}] ignoreip has {entry}"));
    everybody.into_iter().chain(jails).collect()
}

/// Who allowed it at run time, since when, until when, and why.
fn by_hand(engine: &Engine, entry: &IpNet) -> String {
    let found = engine.spared().by_hand().find(|known| known.prefix == *entry);
    let Some(Allowance { since, until, reason, who, .. }) = found else { return shown(entry) };
    let by = who.as_ref().map_or_else(String::new, |who| format!(" by {who}"));
    let end = until.map_or_else(|| "until it is taken back".to_owned(), |until| format!("until {until:.0}"));
    let why = if reason.is_empty() { String::new() } else { format!(": {reason}") };
    let address = shown(entry);
    format!("{address} since {since:.0}{by}, {end}{why} (`banctl allow del {address}` takes it back)")
}

/// What keeps jails from banning it.
fn notes(engine: &Engine, prefix: IpNet, now: Timestamp) -> impl Iterator<Item = String> {
    let note = |jail: &Jail, standing: Standing| match standing {
        Standing::Vouched { time } => {
            format!("{}: its ignorecommand spared it at {time:.0}", jail.name)
        }
        Standing::Trusted { time, until, failures } => format!(
            "{}: trusts it until {until:.0}, since somebody logged in from there at {time:.0}: {failures} failures lead to a ban",
            jail.name
        ),
        Standing::Waits { failures } => format!(
            "{}: its ban waits (failures: {failures}): more bans than max_bans_per_minute were made",
            jail.name
        ),
    };
    engine
        .jails()
        .iter()
        .flat_map(move |jail| engine.standing(jail, &prefix, now).map(move |standing| note(jail, standing)))
}

/// How long each jail that may ban it would do so.
fn next(engine: &Engine, prefix: IpNet, now: Timestamp) -> Vec<NextRow> {
    let everybody = engine.spared().shelter(&prefix.network().into()).is_some();
    let may_ban = |jail: &&Jail| !everybody && jail.excepts(prefix.network()).is_none();
    let row = |jail: &Jail| {
        let seconds = match engine.next_bantime(jail, &prefix, now) {
            BanTime::For(length) => Some(length.as_secs()),
            BanTime::Permanent => None,
        };
        NextRow { jail: jail.name.to_string(), seconds }
    };
    engine.jails().iter().filter(may_ban).map(row).collect()
}
