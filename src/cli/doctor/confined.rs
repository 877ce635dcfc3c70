//! What kban.service forbids and the configuration needs: which drop-in is missing.
//!
//! By the unit's files (systemd.unit(5)), the last of a directive counting as systemd adds them up.

use std::net::SocketAddr;
use std::path::Path;

use super::check::Check;
use super::root::Root;
use crate::config::Plan;
use crate::config::choices::UseDns;
use crate::config::network::Lookup;
use crate::config::plan::FeedSource;
use crate::source::Input;
use crate::source::syslog::Endpoint;

/// Where units and their drop-ins are.
const PLACES: [&str; 4] =
    ["/etc/systemd/system", "/run/systemd/system", "/usr/lib/systemd/system", "/lib/systemd/system"];

/// Whether the service may do what the plan needs.
pub(super) fn checks(root: &Root, unit: &str, plan: &Plan) -> Vec<Check> {
    let text = directives(root, unit);
    let check = |name: &'static str, may: &str, what: Option<String>, allowed: bool, drop_in: &str| {
        let what = what?;
        Some(if allowed {
            Check::ok(name, format!("{unit} may {may}, which {what} needs"))
        } else {
            let remedy = format!(
                "install -D -t /etc/systemd/system/{unit}.d /usr/share/kban/systemd/{drop_in} && systemctl daemon-reload && systemctl restart {unit}"
            );
            Check::fail(name, format!("{unit} may not {may}, which {what} needs"), remedy)
        })
    };
    let names = |directive: &str, part: &str| {
        let mut values = text.lines().filter_map(|line| line.trim().strip_prefix(directive)).peekable();
        values.peek().is_none() || values.any(|value| value.contains(part))
    };
    let open = names("RestrictAddressFamilies=", "AF_INET");
    let low = names("CapabilityBoundingSet=", "CAP_NET_BIND_SERVICE");
    let network = check("service.network", "use the network", needs_network(plan), open, "network.conf");
    let ports = check("service.ports", "listen below 1024", needs_low_port(plan), low, "low-ports.conf");
    network.into_iter().chain(ports).collect()
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

/// The unit's file and its drop-ins, one after the other.
fn directives(root: &Root, unit: &str) -> String {
    let file = PLACES.iter().find_map(|place| root.text(Path::new(place).join(unit)).ok());
    let drop_ins = PLACES.iter().flat_map(|place| {
        let directory = Path::new(place).join(format!("{unit}.d"));
        let names = root.names(&directory).into_iter().filter(|name| name.ends_with(".conf"));
        names.filter_map(|name| root.text(directory.join(name)).ok()).collect::<Vec<_>>()
    });
    file.into_iter().chain(drop_ins).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::super::root::tests::machine;
    use super::*;
    use crate::config::plan::JailPlan;
    use crate::source::syslog::Syslog;

    const UNIT: (&str, &str) =
        ("/usr/lib/systemd/system/kban.service", include_str!("../../../systemd/kban.service"));
    const NETWORK: &str = include_str!("../../../systemd/drop-ins/network.conf");

    #[test]
    fn the_drop_in_that_is_missing_is_named() {
        let quiet = Plan::of(vec![JailPlan::named("sshd")], &[]);
        let asking = Plan::of(vec![JailPlan { usedns: UseDns::Yes, ..JailPlan::named("sshd") }], &[]);
        let (_directory, root) = machine(&[UNIT]);
        assert_eq!(checks(&root, "kban.service", &quiet), []);
        let [found] = &checks(&root, "kban.service", &asking)[..] else { panic!() };
        assert!(found.found.contains("[jail.sshd] usedns"), "{found:?}");
        assert!(found.remedy.as_ref().is_some_and(|remedy| remedy.contains("network.conf")), "{found:?}");
        let (_directory, root) =
            machine(&[UNIT, ("/etc/systemd/system/kban.service.d/network.conf", NETWORK)]);
        let [found] = &checks(&root, "kban.service", &asking)[..] else { panic!() };
        assert_eq!((found.found.contains("may use"), &found.remedy), (true, &None), "{found:?}");
        let edge = Syslog {
            name: "edge".into(),
            listen: vec!["udp://0.0.0.0:514".parse().unwrap()],
            allow: Vec::new(),
            group: None,
        };
        let jail = JailPlan { sources: vec![Input::Syslog(edge)], ..JailPlan::named("sshd") };
        let [open, low] = &checks(&root, "kban.service", &Plan::of(vec![jail], &[]))[..] else { panic!() };
        assert_eq!((open.found.contains("syslog edge"), &open.remedy), (true, &None), "{open:?}");
        assert!(low.remedy.as_ref().is_some_and(|remedy| remedy.contains("low-ports.conf")), "{low:?}");
        let (_directory, root) = machine(&[]);
        let [found] = &checks(&root, "mine.service", &asking)[..] else { panic!() };
        assert_eq!(found.remedy, None, "a unit of somebody else's that restricts nothing");
    }
}
