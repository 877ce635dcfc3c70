//! A source that listens for syslog: where, and to whom.

use std::ops::Range;
use std::sync::Arc;

use ipnet::IpNet;
use serde::{Deserialize, Deserializer};

use crate::config::file::Source;
use crate::config::network::Network;
use crate::config::report::Problem;
use crate::config::value::{At, OneOrMore, Text, deserialize_text, short};
use crate::source::syslog::{Endpoint, NoEndpoint, Syslog};

/// One place to listen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listen(pub Endpoint);

impl Text for Listen {
    const EXPECTED: &'static str = "a place to listen, such as \"udp://0.0.0.0:514\"";

    fn read(typed: &str) -> Result<Self, (String, String)> {
        let endpoint = typed.parse().map(Self);
        endpoint.map_err(|error: NoEndpoint| {
            let help = match error {
                NoEndpoint::Path => "write the whole path, such as \"unix:///run/kban/syslog.sock\"",
                NoEndpoint::Kind => "write \"udp://ADDRESS:PORT\", \"tcp://ADDRESS:PORT\" or \"unix:///PATH\"",
                NoEndpoint::Address | NoEndpoint::Port => {
                    "write an address of this machine and a port, such as \"udp://0.0.0.0:514\" or \"tcp://[::]:601\""
                }
            };
            (format!("`{}` {error}", short(typed)), help.to_owned())
        })
    }
}

/// Hosts that may send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sender(pub IpNet);

impl Text for Sender {
    const EXPECTED: &'static str = Network::EXPECTED;

    fn read(typed: &str) -> Result<Self, (String, String)> {
        Network::read(typed).map(|network| Self(network.0)).map_err(|(what, help)| {
            let everybody = what.contains("` covers ");
            let help =
                if everybody { "name the networks of the hosts that may send".to_owned() } else { help };
            (what, help)
        })
    }
}

deserialize_text!(Listen, Sender);

/// One place to listen, or a list; never none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoints(pub Vec<Listen>);

impl<'de> Deserialize<'de> for Endpoints {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(OneOrMore::of(Listen::EXPECTED)).map(Endpoints)
    }
}

/// One network of senders, or a list; never none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Senders(pub Vec<Sender>);

impl<'de> Deserialize<'de> for Senders {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(OneOrMore::of(Sender::EXPECTED)).map(Senders)
    }
}

/// Whether others than this machine can send.
pub(super) fn is_open(listen: &At<Endpoints>) -> bool {
    listen.value.0.iter().any(|listen| listen.0.is_open())
}

/// The source, or nothing and a problem.
pub(super) fn plan(
    name: &Arc<str>,
    source: &Source,
    listen: &At<Endpoints>,
    tell: &mut dyn FnMut(Problem, &Range<usize>),
) -> Option<Syslog> {
    let endpoints: Vec<Endpoint> = listen.value.0.iter().map(|listen| listen.0.clone()).collect();
    let allow = source.allow.as_ref().map(|allow| allow.value.0.iter().map(|sender| sender.0).collect());
    if let (None, Some(open)) = (&allow, endpoints.iter().find(|endpoint| endpoint.is_open())) {
        let problem =
            Problem::error(format!("source {name}: everybody who reaches {open} could have anybody banned"));
        let help =
            "name the hosts that may send: allow = [\"192.0.2.0/24\", ...]; or listen on 127.0.0.1 only";
        tell(problem.help(help), &listen.span);
        return None;
    }
    if let Some(twice) =
        endpoints.iter().enumerate().find(|(n, one)| endpoints.iter().take(*n).any(|it| it == *one))
    {
        let problem = Problem::error(format!("source {name}: {} is named twice", twice.1));
        tell(problem.help("name it once"), &listen.span);
        return None;
    }
    let is_local = |endpoint: &Endpoint| matches!(endpoint, Endpoint::Unix(_));
    if let Some(group) = source.group.as_ref().filter(|_| !endpoints.iter().any(is_local)) {
        let problem = Problem::warning(format!("source {name}: group is for unix sockets, and it has none"));
        tell(problem.help("leave it out"), &group.span);
    }
    if let Some(allow) = source.allow.as_ref().filter(|_| endpoints.iter().all(is_local)) {
        let problem =
            Problem::warning(format!("source {name}: allow is for udp and tcp, and it has neither"));
        tell(problem.help("leave it out; group says who may write to a unix socket"), &allow.span);
    }
    Some(Syslog {
        name: Arc::clone(name),
        listen: endpoints,
        allow: allow.unwrap_or_default(),
        group: source.group.as_ref().map(|group| group.value.0.clone()),
    })
}
