//! `[source.NAME]`: what is read that is no log file of this machine.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use ipnet::IpNet;
use serde::{Deserialize, Deserializer};

use super::feed::ListPath;
use super::file::Source;
use super::merge::Layers;
use super::network::Network;
use super::report::{Problem, Severity};
use super::suggest::nearest;
use super::value::{At, OneOrMore, SourceName, SourceNames, Table, Text, deserialize_text, short};
use crate::source::Input;
use crate::source::journal::{Matches, Place};
use crate::source::syslog::{Endpoint, NoEndpoint, Syslog};

/// The path of a named pipe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PipePath(pub PathBuf);

impl Text for PipePath {
    const EXPECTED: &'static str = "the path of a named pipe";

    fn read(typed: &str) -> Result<Self, (String, String)> {
        let help = "write the whole path, such as \"/run/app/log.pipe\"";
        ListPath::read(typed).map(|path| Self(path.0)).map_err(|(what, _)| (what, help.to_owned()))
    }
}

/// A namespace of the journal (`LogNamespace=`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Namespace(pub Arc<str>);

impl Text for Namespace {
    const EXPECTED: &'static str = "the name of a journal namespace";

    fn read(typed: &str) -> Result<Self, (String, String)> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        // journalctl takes `*` and `+` for several namespaces at once.
        if typed.is_empty() || typed.len() > 200 || typed.starts_with('-') || !typed.bytes().all(allowed) {
            let what = format!("`{}` cannot be the name of a journal namespace", short(typed));
            return Err((what, "write what LogNamespace= of the service says".to_owned()));
        }
        Ok(Self(typed.into()))
    }
}

/// A directory that holds journals.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JournalDirectory(pub PathBuf);

impl Text for JournalDirectory {
    const EXPECTED: &'static str = "the path of a directory of journals";

    fn read(typed: &str) -> Result<Self, (String, String)> {
        if typed.starts_with('/') && !typed.contains(char::is_control) {
            return Ok(Self(PathBuf::from(typed)));
        }
        let what = format!("`{}` is not the absolute path of a directory", short(typed));
        Err((what, "write the whole path, such as \"/var/log/journal/remote\"".to_owned()))
    }
}

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
            let everybody = what.ends_with("covers everything");
            let help =
                if everybody { "name the networks of the hosts that may send".to_owned() } else { help };
            (what, help)
        })
    }
}

deserialize_text!(PipePath, Listen, Sender, Namespace, JournalDirectory);

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

/// What a source is.
#[derive(Debug, Clone)]
enum Planned {
    /// All of it is read.
    Lines(Input),
    /// The entries that a jail wants are.
    Journal(Place),
}

/// Every `[source.NAME]`.
pub(super) struct PlannedSources(BTreeMap<SourceName, Option<Planned>>);

impl PlannedSources {
    /// Of those that have problems, only the name is kept.
    pub(super) fn new(
        typed: &BTreeMap<SourceName, At<Table<Source>>>,
        layers: &Layers,
        problems: &mut Vec<Problem>,
    ) -> Self {
        Self(typed.iter().map(|(name, typed)| (name.clone(), plan(name, typed, layers, problems))).collect())
    }

    /// Whether one of the sources that a jail names is a journal, of which it has to say what it wants.
    pub(super) fn names_journal(&self, names: &At<SourceNames>) -> bool {
        names.value.0.iter().any(|name| matches!(self.0.get(name), Some(Some(Planned::Journal(_)))))
    }

    /// Those that a jail names, `None` if one of them has a problem; and which names mean nothing. Of journals, it
    /// reads the entries that match.
    pub(super) fn named(
        &self,
        names: &At<SourceNames>,
        matches: Option<&Matches>,
        layers: &Layers,
    ) -> (Option<Vec<Input>>, Vec<Problem>) {
        let unknown = |name: &&SourceName| !self.0.contains_key(*name);
        let problem = |SourceName(name): &SourceName| {
            let help = match nearest(name, self.0.keys().map(|known| &*known.0)) {
                Some(near) => format!("did you mean \"{near}\"?"),
                None => format!("write a table [source.{name}] that says what it is"),
            };
            layers.place(Problem::error(format!("there is no source `{name}`")).help(help), &names.span)
        };
        let mut problems: Vec<Problem> = names.value.0.iter().filter(unknown).map(problem).collect();
        if matches.is_none() && self.names_journal(names) {
            let problem =
                Problem::error("neither the jail nor its filter says which entries of the journal it reads");
            let help = "say it: journalmatch = \"_SYSTEMD_UNIT=NAME.service\"";
            problems.push(layers.place(problem.help(help), &names.span));
        }
        let input = |name| match self.0.get(name)?.clone()? {
            Planned::Lines(input) => Some(input),
            Planned::Journal(place) => Some(Input::Journal { place, matches: matches?.clone() }),
        };
        (names.value.0.iter().map(input).collect(), problems)
    }
}

/// One source, or nothing and a problem.
fn plan(
    name: &SourceName,
    typed: &At<Table<Source>>,
    layers: &Layers,
    problems: &mut Vec<Problem>,
) -> Option<Planned> {
    let source = &typed.value;
    let name = &name.0;
    let errors = problems.iter().any(|problem| problem.severity == Severity::Error);
    let mut tell = |problem: Problem, span: &Range<usize>| problems.push(layers.place(problem, span));
    let syslog_only = [
        ("allow", source.allow.as_ref().map(|at| &at.span)),
        ("group", source.group.as_ref().map(|at| &at.span)),
    ];
    for (key, span) in syslog_only {
        if let (None, Some(span)) = (&source.syslog, span) {
            let problem = Problem::error(format!("source {name}: {key} is for sources with syslog"));
            tell(problem.help("leave it out"), span);
            return None;
        }
    }
    let journal = match (&source.journal_directory, &source.journal_namespace) {
        (None, None) => None,
        (Some(path), None) => Some((Place::Directory(path.value.0.clone()), &path.span)),
        (_, Some(name)) => Some((Place::Namespace(Arc::clone(&name.value.0)), &name.span)),
    };
    let both = source.journal_directory.is_some() && source.journal_namespace.is_some();
    if let Some((place, span)) = journal {
        if both || source.syslog.is_some() || source.command.is_some() || source.pipe.is_some() {
            let problem = Problem::error(format!("source {name}: it says more than one thing to read"));
            tell(problem.help("keep one of them; write a source of its own for another"), span);
            return None;
        }
        return Some(Planned::Journal(place));
    }
    let lines = match (&source.syslog, &source.command, &source.pipe) {
        // With errors, it may be `allow` that was left out.
        (Some(listen), None, None) if source.allow.is_none() && errors && is_open(listen) => None,
        (Some(listen), None, None) => syslog(name, source, listen, &mut tell).map(Input::Syslog),
        (None, Some(command), None) => {
            let words = &command.value.0;
            let program = words.first().map_or("", String::as_str);
            let is_program = !program.is_empty() && (program.starts_with('/') || !program.contains('/'));
            if !is_program || words.iter().any(|word| word.contains('\0')) {
                let problem = Problem::error(format!("source {name}: the command does not name a program"));
                let help = "write its name or whole path and each argument by itself, such as [\"kubectl\", \"logs\", \"--follow\", \"...\"]; no shell reads it";
                tell(problem.help(help), &command.span);
                return None;
            }
            Some(Input::Command { name: Arc::clone(name), words: words.clone() })
        }
        (None, None, Some(path)) => Some(Input::Pipe { name: Arc::clone(name), path: path.value.0.clone() }),
        // With errors, it may be among what was left out.
        (None, None, None) if errors => None,
        (None, None, None) => {
            let problem = Problem::error(format!("source {name}: it does not say what is read"));
            let help = "write one of syslog = \"udp://...\", command = [...], pipe = \"...\" or journal_directory = \"...\"";
            tell(problem.help(help), &typed.span);
            None
        }
        (_, command, pipe) => {
            let last = pipe.as_ref().map(|at| &at.span).or(command.as_ref().map(|at| &at.span));
            let problem = Problem::error(format!("source {name}: it says more than one thing to read"));
            let help = "keep one of syslog, command and pipe; write a source of its own for another";
            tell(problem.help(help), last.unwrap_or(&typed.span));
            None
        }
    };
    lines.map(Planned::Lines)
}

fn is_open(listen: &At<Endpoints>) -> bool {
    listen.value.0.iter().any(|listen| listen.0.is_open())
}

fn syslog(
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
