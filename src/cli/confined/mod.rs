//! What kban.service forbids and the configuration needs: which drop-in is missing. Told by `check` and by `doctor`.

mod logs;
mod unit;

use std::net::SocketAddr;
use std::path::Path;

use self::unit::Unit;
use super::root::Root;
use crate::config::Plan;
use crate::config::choices::UseDns;
use crate::config::network::Lookup;
use crate::config::plan::FeedSource;
use crate::source::Input;
use crate::source::syslog::Endpoint;

/// The unit that kban brings along.
const OURS: &str = "kban.service";

/// Something that the plan needs of the service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Need {
    /// What `doctor` calls it.
    pub(super) check: &'static str,
    /// Whether the service may do it, and what for.
    pub(super) found: String,
    /// What to do, if it may not.
    pub(super) remedy: Option<String>,
}

impl Need {
    fn new(check: &'static str, unit: &Unit, what: &str, of: &str, missing: &[&str]) -> Self {
        let name = unit.name();
        let may = if missing.is_empty() { "may" } else { "may not" };
        let files: Vec<String> =
            missing.iter().map(|file| format!("/usr/share/kban/systemd/{file}")).collect();
        let remedy = format!(
            "install -D -t /etc/systemd/system/{name}.d {} && systemctl daemon-reload && systemctl restart {name}",
            files.join(" ")
        );
        let found = format!("{name} {may} {what}, which {of} needs");
        Self { check, found, remedy: (!missing.is_empty()).then_some(remedy) }
    }
}

/// The name of kban's own unit, if it is installed.
pub(super) fn installed(root: &Root) -> Option<&'static str> {
    Unit::read(root, OURS).is_installed().then_some(OURS)
}

/// What the plan needs of the service, and whether it has it. `reads` says of a log that the service is known to read it.
pub(super) fn needs(root: &Root, unit: &str, plan: &Plan, reads: impl Fn(&Path) -> bool) -> Vec<Need> {
    let unit = Unit::read(root, unit);
    let need = |check, what: &str, of: Option<String>, allowed: bool, drop_in: &str| {
        let missing: &[&str] = if allowed { &[] } else { &[drop_in] };
        Some(Need::new(check, &unit, what, &of?, missing))
    };
    let open = unit.allows("RestrictAddressFamilies", "AF_INET");
    let low = unit.allows("CapabilityBoundingSet", "CAP_NET_BIND_SERVICE");
    let network = need("service.network", "use the network", needs_network(plan), open, "network.conf");
    let ports = need("service.ports", "listen below 1024", needs_low_port(plan), low, "low-ports.conf");
    network.into_iter().chain(ports).chain(logs::needs(root, &unit, plan, reads)).collect()
}

/// What the plan listens on over the network.
fn endpoints(plan: &Plan) -> impl Iterator<Item = (&Input, &SocketAddr)> {
    let inputs = plan.jails.iter().flat_map(|jail| &jail.sources);
    inputs.flat_map(|input| {
        let listen: &[Endpoint] = if let Input::Syslog(syslog) = input { &syslog.listen } else { &[] };
        listen.iter().filter_map(move |endpoint| match endpoint {
            Endpoint::Udp(address) | Endpoint::Tcp(address) => Some((input, address)),
            Endpoint::Unix(_) => None,
        })
    })
}

fn needs_low_port(plan: &Plan) -> Option<String> {
    let (input, address) = endpoints(plan).find(|(_, address)| address.port() < 1024)?;
    Some(format!("{input} on port {}", address.port()))
}

/// The first thing of the plan that talks to the network.
fn needs_network(plan: &Plan) -> Option<String> {
    let feed = plan.feeds.iter().find(|feed| matches!(feed.source, FeedSource::Url(_)));
    let asks = plan.jails.iter().find(|jail| jail.usedns != UseDns::No);
    let lookups = plan.lookups();
    let named = lookups.iter().find_map(|lookup| match lookup {
        Lookup::Name(name) => Some(name),
        Lookup::File(_) => None,
    });
    feed.map(|feed| format!("[feed.{}] url", feed.name))
        .or_else(|| asks.map(|jail| format!("[jail.{}] usedns", jail.name)))
        .or_else(|| named.map(|name| format!("ignoreip = \"{name}\"")))
        .or_else(|| endpoints(plan).next().map(|(input, _)| input.to_string()))
        .or_else(|| {
            let fleet = plan.fleet.as_ref()?;
            let friend = || fleet.peers.peers.values().next().map(|peer| &peer.server);
            let server = Some(&fleet.server).filter(|server| !server.is_empty()).or_else(friend)?;
            Some(format!("[fleet] server = {server:?}"))
        })
}

#[cfg(test)]
mod tests;
