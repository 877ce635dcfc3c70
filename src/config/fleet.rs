//! `[fleet]`: whether this machine is one of many, and what it is among them.

use std::sync::Arc;

use serde::Deserialize;
use serde::de::Deserializer;

use super::feed::ListPath;
use super::file::{Fleet, Jail};
use super::judgement::Counts;
use super::merge::Layers;
use super::plan::FleetPlan;
use super::report::{Problem, Severity};
use super::value::{At, JailName, OneOrMore, Table, Text, deserialize_text, parse_text, short};

/// The jail of what the firewall has decided, on an edge; on the firewall, that of reports.
pub const FLEET: &str = "fleet";

/// Where keys and certificates are kept, unless `directory` says otherwise.
pub const DIRECTORY: &str = "/etc/kban/fleet";

/// What a machine is in its fleet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// It takes reports, decides, and tells what it has decided.
    Firewall,
    /// It reports whom its jails ban.
    Host,
    /// It bans whom the firewall has decided to ban.
    Edge,
    /// It bans whom friends' fleets name, as a firewall may as well.
    Peer,
}

impl Text for Role {
    const EXPECTED: &'static str = "\"firewall\", \"host\", \"edge\" or \"peer\"";

    fn read(typed: &str) -> Result<Self, (String, String)> {
        match typed {
            "firewall" => Ok(Self::Firewall),
            "host" => Ok(Self::Host),
            "edge" => Ok(Self::Edge),
            "peer" => Ok(Self::Peer),
            _ => Err((
                format!("`{}` is nothing that a machine of a fleet is", short(typed)),
                format!("write {}, or [\"host\", \"edge\"] for both", Self::EXPECTED),
            )),
        }
    }
}

/// One role, or a list of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Roles(pub Vec<Role>);

impl<'de> Deserialize<'de> for Roles {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(OneOrMore::of(Role::EXPECTED)).map(Self)
    }
}

/// The name of a machine in its fleet: 1 to 32 of `A-Z a-z 0-9 _ -`, a token of the server's subjects.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct MemberName(pub Arc<str>);

impl Text for MemberName {
    const EXPECTED: &'static str = "the name of a machine of the fleet";

    fn read(typed: &str) -> Result<Self, (String, String)> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_-".contains(&byte);
        if (1..=32).contains(&typed.len()) && typed.bytes().all(allowed) {
            return Ok(Self(typed.into()));
        }
        let what = format!("`{}` cannot be the name of a machine of the fleet", short(typed));
        Err((what, "take 1 to 32 letters, digits, `_` and `-`, such as \"web1\"".to_owned()))
    }
}

/// Where the fleet's nats-server is: HOST:PORT.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FleetServer(pub String);

impl Text for FleetServer {
    const EXPECTED: &'static str = "the host and port of the fleet's nats-server";

    fn read(typed: &str) -> Result<Self, (String, String)> {
        let host_and_port = typed.rsplit_once(':').filter(|(host, port)| {
            let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
            let named = |host: &str| {
                !host.is_empty()
                    && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_".contains(&byte))
            };
            let host_is_right =
                bare.map_or_else(|| named(host), |host| host.parse::<std::net::Ipv6Addr>().is_ok());
            host_is_right && port.parse::<u16>().is_ok_and(|port| port > 0)
        });
        match host_and_port {
            Some(_) => Ok(Self(typed.to_owned())),
            None => Err((
                format!("`{}` is not a host and a port", short(typed)),
                "write \"HOST:PORT\", such as \"fw.example.org:4222\"; it is always spoken to over TLS"
                    .to_owned(),
            )),
        }
    }
}

/// A public key as nkeys writes it: `U` and 55 more letters and digits. Its check sum is looked at where it is used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicKey(pub String);

impl Text for PublicKey {
    const EXPECTED: &'static str = "a public key, as `banctl fleet invite` prints it";

    fn read(typed: &str) -> Result<Self, (String, String)> {
        let base32 = |byte: u8| byte.is_ascii_uppercase() || (b'2'..=b'7').contains(&byte);
        if typed.len() == 56 && typed.starts_with('U') && typed.bytes().all(base32) {
            return Ok(Self(typed.to_owned()));
        }
        let help = "it begins with U and has 56 letters and digits; `banctl fleet join` writes it here";
        Err((format!("`{}` is no public key", short(typed)), help.to_owned()))
    }
}

deserialize_text!(Role, MemberName, FleetServer, PublicKey);
parse_text!(MemberName, FleetServer);

/// What the machine is in a fleet; `None` if it is in none, or there is a problem.
pub(super) fn plan(
    fleet: &Table<Fleet>,
    jails: &[(&JailName, &At<Table<Jail>>)],
    layers: &Layers,
    problems: &mut Vec<Problem>,
) -> Option<FleetPlan> {
    let reporting = |jail: &Jail| jail.counts.as_ref().is_some_and(|counts| counts.value == Counts::Reports);
    let counting = jails.iter().find(|(_, jail)| reporting(&jail.value));
    let said = fleet.role.as_ref();
    let is = |role: Role| said.is_some_and(|roles| roles.value.0.contains(&role));
    let (firewall, host, edge) = (is(Role::Firewall), is(Role::Host), is(Role::Edge));
    for (name, jail) in jails.iter().filter(|(name, jail)| &*name.0 == FLEET && !reporting(&jail.value)) {
        let problem =
            Problem::error(format!("the jail {} counts reports of the fleet and nothing else", name.0));
        let help = "write counts = \"reports\" in it, or give it another name";
        problems.push(layers.place(problem.help(help), &jail.span));
    }
    if let Some((name, jail)) = counting.filter(|_| !firewall) {
        let problem =
            Problem::warning(format!("jail {} counts reports, and none will come to this machine", name.0));
        let help = "`banctl fleet init` makes it the firewall of a fleet; or turn the jail off";
        problems.push(layers.place(problem.help(help), &jail.span));
    }
    let span = said.map(|roles| &roles.span).or_else(|| Some(&fleet.peer.first_key_value()?.1.span))?;
    let broken = |problem: &Problem| problem.severity == Severity::Error;
    // With errors, what is missing may be among what was left out.
    if problems.iter().any(broken) {
        return None;
    }
    let peers = super::peers::plan(fleet, jails, layers, problems);
    let mut wrong = |what: &str, help: &str| {
        problems.push(layers.place(Problem::error(what.to_owned()).help(help.to_owned()), span));
    };
    if !cfg!(feature = "fleet") {
        wrong(
            "this kban was built without fleets",
            "install one that has the feature `fleet`, or leave [fleet] out",
        );
    }
    if firewall && (host || edge) {
        wrong(
            "a firewall is neither a host nor an edge of its own fleet",
            "write role = \"firewall\": its own jails ban as they do",
        );
    }
    if fleet.server.is_none() && (firewall || host || edge) {
        wrong(
            "[fleet] does not say where the server is",
            "write server = \"HOST:PORT\"; `banctl fleet init` and `join` do so",
        );
    }
    if (host || edge) && fleet.name.is_none() {
        wrong(
            "[fleet] does not say what this machine is called",
            "write name = \"...\", as it was invited; `banctl fleet join` does so",
        );
    }
    if edge && fleet.signer.is_none() {
        wrong(
            "[fleet] does not say whose decisions an edge follows",
            "write signer = \"U...\"; `banctl fleet join` does so",
        );
    }
    if firewall && counting.is_none() {
        let problem = Problem::warning("no jail counts reports: they lead to nothing");
        problems.push(layers.place(problem.help("write enabled = true in [jail.fleet]"), span));
    }
    if problems.iter().any(broken) {
        return None;
    }
    let path = |typed: Option<&At<ListPath>>| typed.map(|path| path.value.0.clone());
    Some(FleetPlan {
        firewall,
        host,
        edge,
        server: fleet.server.as_ref().map(|server| server.value.0.clone()).unwrap_or_default(),
        name: fleet.name.as_ref().map_or_else(|| FLEET.into(), |name| Arc::clone(&name.value.0)),
        directory: path(fleet.directory.as_ref()).unwrap_or_else(|| DIRECTORY.into()),
        signer: fleet.signer.as_ref().map(|key| key.value.0.clone()),
        spool: fleet.spool.as_ref()?.value.0,
        evidence: fleet.evidence.as_ref()?.value,
        private: fleet.private.as_ref()?.value,
        max_reports_per_minute: fleet.max_reports_per_minute.as_ref()?.value.0,
        peers: peers?,
    })
}
