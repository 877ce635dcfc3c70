//! `[feed.NAME]`: where a list of addresses comes from, and how often.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use serde::de::{Deserializer, SeqAccess, Visitor};

use super::duration::BanTime;
use super::file::Feed;
use super::merge::Layers;
use super::plan::{FeedPlan, FeedSource};
use super::report::{Problem, Severity};
use super::value::{At, FeedName, Table, Text, deserialize_text, short};

/// How often a list is read if nobody says.
const EVERY: Duration = Duration::from_secs(3600);
/// Lists are never read more often.
const OFTENEST: Duration = Duration::from_secs(60);
/// How many entries a list may have if nobody says.
const MAX_ENTRIES: u32 = 500_000;

/// The path of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListPath(pub PathBuf);

impl Text for ListPath {
    const EXPECTED: &'static str = "the path of a list";

    fn read(typed: &str) -> Result<Self, (String, String)> {
        let (what, help) = if !typed.starts_with('/') {
            ("is not an absolute path", "write the whole path, such as \"/etc/kban/list.netset\"")
        } else if typed.ends_with('/') {
            ("is a directory", "name the list in it")
        } else if typed.contains(|c: char| c.is_control()) {
            ("has a control character", "write the path without it")
        } else {
            return Ok(Self(PathBuf::from(typed)));
        };
        Err((format!("`{}` {what}", short(typed)), help.to_owned()))
    }
}

/// Where a list is fetched over HTTP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListUrl {
    /// As it was typed.
    pub url: String,
    /// Whoever is on the way can neither read nor change what is fetched: https, or this very machine.
    pub safe: bool,
}

impl Text for ListUrl {
    const EXPECTED: &'static str = "a URL";

    fn read(typed: &str) -> Result<Self, (String, String)> {
        let uri = typed.parse::<ureq::http::Uri>().ok();
        let scheme = uri.as_ref().and_then(|uri| uri.scheme_str());
        let authority = uri.as_ref().and_then(|uri| uri.authority());
        let (Some(scheme @ ("http" | "https")), Some(authority)) = (scheme, authority) else {
            return Err((
                format!("`{}` is not a URL that can be fetched", short(typed)),
                "write \"https://HOST/PATH\"; another way of fetching is a command".to_owned(),
            ));
        };
        if authority.as_str().contains('@') {
            return Err((
                "the URL holds a password".to_owned(),
                "write it without; let a command fetch what needs one, such as [\"curl\", \"--netrc\", ...]"
                    .to_owned(),
            ));
        }
        let here = ["localhost", "127.0.0.1", "[::1]"].contains(&authority.host());
        Ok(Self { url: typed.to_owned(), safe: scheme == "https" || here })
    }
}

deserialize_text!(ListPath, ListUrl);

/// A program and its arguments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Words(pub Vec<String>);

impl<'de> Deserialize<'de> for Words {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct List;
        impl<'de> Visitor<'de> for List {
            type Value = Words;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of a program's path and its arguments")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Words, A::Error> {
                let mut words = Vec::new();
                while let Some(word) = list.next_element()? {
                    words.push(word);
                }
                Ok(Words(words))
            }
        }
        deserializer.deserialize_any(List)
    }
}

/// One feed, or nothing and a problem.
pub(super) fn plan(
    name: &FeedName,
    typed: &At<Table<Feed>>,
    layers: &Layers,
    problems: &mut Vec<Problem>,
) -> Option<FeedPlan> {
    let feed = &typed.value;
    let name = &name.0;
    let errors = problems.iter().any(|problem| problem.severity == Severity::Error);
    let mut tell = |problem: Problem, span| problems.push(layers.place(problem, span));
    let source = match (&feed.file, &feed.command, &feed.url) {
        (Some(file), None, None) => FeedSource::File(file.value.0.clone()),
        (None, Some(command), None) => {
            let words = &command.value.0;
            let program = words.first().filter(|program| program.starts_with('/'));
            if program.is_none() || words.iter().any(|word| word.contains('\0')) {
                let problem = Problem::error(format!("feed {name}: the command does not name a program"))
                    .help("write its whole path and each argument by itself, such as [\"/usr/bin/curl\", \"-sf\", \"...\"]; no shell reads it");
                tell(problem, &command.span);
                return None;
            }
            FeedSource::Command(words.clone())
        }
        (None, None, Some(url)) => {
            if !url.value.safe {
                let problem = Problem::warning(format!(
                    "feed {name}: whoever is on the way can change the list, and so who is banned"
                ));
                tell(problem.help("fetch it over https"), &url.span);
            }
            FeedSource::Url(url.value.url.clone())
        }
        // With errors, it may be among what was left out.
        (None, None, None) if errors => {
            return None;
        }
        (None, None, None) => {
            let problem = Problem::error(format!("feed {name}: it does not say where its list comes from"));
            tell(problem.help("write one of file = \"...\", command = [...] or url = \"...\""), &typed.span);
            return None;
        }
        (file, command, url) => {
            let spans = [file.as_ref().map(|at| &at.span), command.as_ref().map(|at| &at.span)];
            let last = url.as_ref().map(|at| &at.span).or(spans.into_iter().flatten().next_back());
            let problem = Problem::error(format!("feed {name}: its list comes from more than one place"));
            let help = "keep one of file, command and url; write a feed of its own for another list";
            tell(problem.help(help), last.unwrap_or(&typed.span));
            return None;
        }
    };
    let every = feed.every.as_ref().map_or(EVERY, |every| every.value.get());
    if let Some(at) = feed.every.as_ref().filter(|at| at.value.get() < OFTENEST) {
        let problem = Problem::error(format!("feed {name}: its list would be read too often"));
        tell(problem.help("write at least \"1m\"; a changed file is noticed by itself"), &at.span);
        return None;
    }
    let bantime = match &feed.bantime {
        None => None,
        Some(At { value: BanTime::Permanent, .. }) => None,
        Some(At { value: BanTime::For(length), span }) => {
            if *length <= every {
                let what = format!("feed {name}: its bans would end before its list is read again");
                let help = format!(
                    "write more than \"{}\", or leave bantime out for as long as they are listed",
                    BanTime::For(every)
                );
                tell(Problem::error(what).help(help), span);
                return None;
            }
            Some(*length)
        }
    };
    let max_entries = feed.max_entries.as_ref().map_or(MAX_ENTRIES, |most| most.value.0);
    Some(FeedPlan {
        name: Arc::clone(name),
        source,
        every,
        bantime,
        max_entries: usize::try_from(max_entries).unwrap_or(usize::MAX),
    })
}
