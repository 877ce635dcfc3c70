//! `banctl why`: what jails and kernel say of an address now; the store adds what was.

use std::sync::Arc;

use ipnet::IpNet;
use jiff::Timestamp;

use super::intent;
use super::pipeline::Pipeline;
use crate::config::duration::BanTime;
use crate::config::network::folded;
use crate::control::protocol::BanRow;
use crate::control::recall::{FailureRow, LineRow, NextRow, Why};
use crate::firewall::{FirewallError, Target};
use crate::jail::by_hand::Refusal;
use crate::jail::engine::Engine;
use crate::jail::jails::Jail;
use crate::jail::spared::Origin;
use crate::jail::{Ban, shown};

/// What is so now. The history is missing yet.
pub(super) fn why(pipeline: &mut Pipeline, wanted: IpNet, now: Timestamp) -> Why {
    let prefix = folded(wanted.trunc());
    let (engine, firewall) = (&pipeline.engine, &mut pipeline.effect.firewall);
    let mut holds = |target: Target| match firewall.contains(target) {
        Ok(element) => Some(element.is_some()),
        Err(error) => absent(&error),
    };
    let bans: Vec<Ban> = around(prefix).flat_map(|wider| engine.bans().of(&wider)).collect();
    // A network's element holds for each of its addresses; what nobody intends may be there as well.
    let mut in_kernel = holds(prefix.into());
    let banned = !bans.iter().all(Ban::is_observed);
    let bans: Vec<BanRow> = bans
        .iter()
        .map(|ban| {
            let held: Vec<Option<bool>> = intent::targets(ban).map(&mut holds).collect();
            let all = held.iter().all(|held| *held == Some(true));
            in_kernel = in_kernel.map(|so_far| so_far || held.contains(&Some(true)));
            BanRow::new(ban, now, all)
        })
        .collect();
    // Failures are counted against what would be banned for an address, which may be the network that it is in.
    let lines = |jail: &Arc<str>| {
        let lines = around(prefix).flat_map(|counted| pipeline.evidence.of(counted, jail));
        let lines: Vec<LineRow> = lines.map(|line| LineRow::new(&line)).collect();
        (!lines.is_empty()).then(|| FailureRow { jail: jail.to_string(), lines })
    };
    let failures = engine.jails().iter().filter_map(|jail| lines(&jail.name)).collect();
    Why {
        address: shown(&prefix),
        banned,
        bans,
        in_kernel,
        allowed: allowed(engine, prefix),
        next: next(engine, prefix, now),
        failures,
        ..Why::default()
    }
}

/// No table holds nobody; what else went wrong tells nothing.
fn absent(error: &FirewallError) -> Option<bool> {
    error.is_missing().then_some(false)
}

/// The prefix and all that contain it, the widest first.
fn around(prefix: IpNet) -> impl Iterator<Item = IpNet> {
    (0..=prefix.prefix_len()).filter_map(move |bits| Some(IpNet::new(prefix.network(), bits).ok()?.trunc()))
}

/// The rules by which nobody, or one jail, bans it.
fn allowed(engine: &Engine, prefix: IpNet) -> Vec<String> {
    let (spared, address) = (engine.spared(), IpNet::from(prefix.network()));
    let everybody =
        spared.refusal(&address).or_else(|| spared.doubt(&address)).map(|refusal| match refusal {
            Refusal::Allowed { entry, origin: Origin::Ignoreip, .. } => {
                format!("[defaults] ignoreip has {entry}")
            }
            other => other.to_string(),
        });
    let jails = engine.jails().iter().filter_map(|jail| Some((&jail.name, jail.excepts(prefix.network())?)));
    let jails = jails.map(|(jail, entry)| format!("[jail.{jail}] ignoreip has {entry}"));
    everybody.into_iter().chain(jails).collect()
}

fn next(engine: &Engine, prefix: IpNet, now: Timestamp) -> Vec<NextRow> {
    let row = |jail: &Jail| {
        let seconds = match engine.next_bantime(jail, &prefix, now) {
            BanTime::For(length) => Some(length.as_secs()),
            BanTime::Permanent => None,
        };
        NextRow { jail: jail.name.to_string(), seconds }
    };
    engine.jails().iter().map(row).collect()
}
