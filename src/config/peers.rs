//! `[fleet.peer.NAME]`: friends' fleets whose offenders are read, and what they may have banned here.

use std::sync::Arc;

use super::duration::BanTime;
use super::file::{Fleet, Jail};
use super::fleet::Role;
use super::merge::Layers;
use super::plan::{PeerPlan, PeersPlan};
use super::report::Problem;
use super::value::{At, JailName, Table};

/// The jail of whom friends' fleets name.
pub const PEERS: &str = "peers";

/// What friends' fleets may have banned here; `None` if there is a problem.
pub(super) fn plan(
    fleet: &Table<Fleet>,
    jails: &[(&JailName, &At<Table<Jail>>)],
    layers: &Layers,
    problems: &mut Vec<Problem>,
) -> Option<PeersPlan> {
    let said = fleet.role.as_ref();
    let is = |role: Role| said.is_some_and(|roles| roles.value.0.contains(&role));
    let mut tell = |problem: Problem, span| problems.push(layers.place(problem, span));
    let Some((_, first)) = fleet.peer.first_key_value() else {
        let alone = said.filter(|_| is(Role::Peer));
        if let Some(said) = alone {
            let what = "role = \"peer\" reads the offenders of friends' fleets, and there is none";
            let help = "`banctl fleet join` writes [fleet.peer.NAME] from the line that a friend sends";
            tell(Problem::error(what).help(help), &said.span);
        }
        return alone.is_none().then(PeersPlan::default);
    };
    let mut complete = true;
    let mut wrong = |what: String, help: &str, span| {
        complete = false;
        tell(Problem::error(what).help(help), span);
    };
    if is(Role::Host) || is(Role::Edge) {
        let help = "join friends' fleets on the firewall: its decisions reach every edge";
        wrong(
            "a host or an edge bans by itself or as its firewall decides, not on the word of friends' fleets"
                .to_owned(),
            help,
            &first.span,
        );
    }
    if let Some((_, jail)) = jails.iter().find(|(name, _)| &*name.0 == PEERS) {
        let help = "give it another name";
        wrong(format!("whom friends' fleets name belongs to the jail {PEERS}"), help, &jail.span);
    }
    let mut peers = PeersPlan {
        needs: fleet.needs.as_ref()?.value.0,
        bantime: match fleet.bantime.as_ref()?.value {
            BanTime::For(length) => Some(length),
            BanTime::Permanent => None,
        },
        max_offenders: fleet.max_offenders.as_ref()?.value.0,
        ..PeersPlan::default()
    };
    for (name, At { value: peer, span }) in &fleet.peer {
        let (Some(server), Some(signer), Some(called)) = (&peer.server, &peer.signer, &peer.name) else {
            let what = format!("[fleet.peer.{}] does not say server, signer and name", name.0);
            wrong(what, "`banctl fleet join` writes all of it", span);
            continue;
        };
        if peers.peers.values().any(|other| other.signer == signer.value.0) {
            let what = format!(
                "[fleet.peer.{}] has the signer of another friend's fleet: it would count twice",
                name.0
            );
            wrong(what, "keep one of them; `banctl fleet list` shows them", span);
            continue;
        }
        let plan = PeerPlan {
            server: server.value.0.clone(),
            signer: signer.value.0.clone(),
            name: called.value.0.to_string(),
            weight: peer.weight.as_ref().map_or(1, |weight| weight.value.0),
        };
        peers.peers.insert(Arc::clone(&name.0), plan);
    }
    if !complete {
        return None;
    }
    let together: u32 = peers.peers.values().map(|peer| peer.weight).sum();
    if together < peers.needs {
        let what = format!(
            "nobody will be banned on the word of friends' fleets: theirs is worth {together}, and needs = {}",
            peers.needs
        );
        let help =
            "join another fleet, or write weight in [fleet.peer.NAME] for one whose word alone is enough";
        tell(Problem::warning(what).help(help), &first.span);
    }
    Some(peers)
}
