//! One pattern, compiled: what it must fulfil, and its captures.
//!
//! Regular expressions work on bytes, with ASCII classes, in linear time. Captures come from the
//! engines that keep no cache which log text could fill (one-pass DFA, bounded backtracking, Pike VM).

use std::net::IpAddr;
use std::ops::Range;

use regex_automata::meta::{self, Regex};
use regex_automata::util::captures::Captures;
use regex_syntax::hir::{Hir, Look};

use super::error::{Fault, FaultKind};
use super::host::{self, Host};
use super::tags::{self, CONNECTION_GROUP, DATE_GROUP, HOST_GROUP, HostTag, expand};
use super::tail::Tail;

/// What one pattern may take once compiled, in bytes.
const SIZE_LIMIT: usize = 1 << 20;

/// A pattern that tells of a failure, or something about a connection.
#[derive(Debug)]
pub(super) struct Pattern {
    /// As it was written.
    pub(super) written: String,
    /// It has a `<DATE>` and is therefore tried on the whole line first.
    pub(super) dated: bool,
    regex: Regex,
    /// None: another line of the connection has it.
    host: Option<HostTag>,
    /// It captures what names the connection.
    tied: bool,
    tail: Option<Tail>,
}

/// A pattern's match.
pub(super) struct Matched<'t> {
    pub(super) host: Host<'t>,
    /// What names the connection.
    pub(super) connection: Option<&'t [u8]>,
    pub(super) captures: Captures,
}

/// What [`Pattern::quick`] found out.
pub(super) enum Quick {
    /// The host, or that what stands in its place is no address.
    Decided(Option<IpAddr>),
    /// Only captures can tell.
    Unknown,
}

impl Pattern {
    /// Compiles a pattern; also gives its syntax tree.
    pub(super) fn compile(written: &str) -> Result<(Self, Hir), Fault> {
        let (expanded, hir, regex) = compile(written)?;
        let (host, dated) = (expanded.host, expanded.dated);
        let tied = expanded.regex.contains(&format!("(?P<{CONNECTION_GROUP}>"));
        // A dated pattern needs captures anyway, for its date.
        let tail = if dated || tied { None } else { Tail::of(&hir) };
        Ok((Self { written: written.to_owned(), dated, regex, host, tied, tail }, hir))
    }

    /// The same, of a pattern that must say who.
    pub(super) fn compile_with_host(written: &str) -> Result<(Self, Hir), Fault> {
        let (pattern, hir) = Self::compile(written)?;
        match pattern.host {
            Some(_) => Ok((pattern, hir)),
            None => Err(Fault { offset: written.len(), kind: FaultKind::NoHost }),
        }
    }

    /// The address of a message that this pattern is known to match, without captures where possible.
    pub(super) fn quick(&self, message: &[u8]) -> Quick {
        match (self.host, self.tail.as_ref().and_then(|tail| tail.host(message))) {
            (Some(tag), Some(host)) => Quick::Decided(tag.address(host)),
            _ => Quick::Unknown,
        }
    }

    /// The address of a message that ends as this pattern does, and all that is before it; none if only captures can tell.
    pub(super) fn end<'m>(&self, message: &'m [u8]) -> Option<(&'m [u8], IpAddr)> {
        let (before, host) = self.tail.as_ref()?.split(message)?;
        Some((before, self.host?.address(host)?))
    }

    /// Whether the pattern matches, whatever stands in the host's place.
    #[cfg(test)]
    pub(super) fn is_match(&self, message: &[u8]) -> bool {
        self.regex.is_match(message)
    }

    /// A match: what holds no valid address is none; with `names`, what holds no valid name.
    pub(super) fn find<'t>(&self, text: &'t [u8], names: bool) -> Option<Matched<'t>> {
        let mut captures = self.regex.create_captures();
        self.regex.captures(text, &mut captures);
        let caught = |group| text.get(captures.get_group_by_name(group)?.range());
        let host = match self.host {
            None => captures.is_match().then_some(Host::Absent).filter(|_| !names)?,
            Some(_) if names => Host::Name(host::name(caught(HOST_GROUP)?)?),
            Some(tag) => Host::Address(tag.address(caught(HOST_GROUP)?)?),
        };
        let connection = if self.tied { caught(CONNECTION_GROUP) } else { None };
        Some(Matched { host, connection, captures })
    }

    /// Where each named group matched, whatever stands in the host's place.
    pub(super) fn spans(&self, message: &[u8]) -> Option<Vec<(&str, Range<usize>)>> {
        let mut captures = self.regex.create_captures();
        self.regex.captures(message, &mut captures);
        let names = self.regex.group_info().pattern_names(captures.pattern()?);
        let span = |name| captures.get_group_by_name(name).map(|span| (name, span.range()));
        Some(names.flatten().filter_map(span).collect())
    }

    /// The date that a match caught.
    pub(super) fn date<'a>(&self, message: &'a [u8], captures: &Captures) -> Option<&'a [u8]> {
        if !self.dated {
            return None;
        }
        message.get(captures.get_group_by_name(DATE_GROUP)?.range())
    }

    /// The named captures other than host and date, with what they caught.
    pub(super) fn fields<'a>(
        &'a self,
        message: &'a [u8],
        captures: &'a Captures,
    ) -> impl Iterator<Item = (&'a str, &'a [u8])> {
        let info = captures.group_info();
        let names = captures.pattern().into_iter().flat_map(|pattern| info.pattern_names(pattern)).flatten();
        names.filter(|name| *name != HOST_GROUP && *name != DATE_GROUP).filter_map(|name| {
            let caught = message.get(captures.get_group_by_name(name)?.range())?;
            Some((tags::field_name(name).unwrap_or(name), caught))
        })
    }
}

/// An ignoreregex.
#[derive(Debug)]
pub(super) struct Exception {
    /// As it was written.
    pub(super) written: String,
    /// It has a `<DATE>` and is therefore tried on the whole line too.
    pub(super) dated: bool,
    pub(super) regex: Regex,
}

/// Compiles an ignoreregex: any tags, no host needed.
pub(super) fn compile_ignore(written: &str) -> Result<Exception, Fault> {
    compile(written).map(|(expanded, _, regex)| Exception {
        written: written.to_owned(),
        dated: expanded.dated,
        regex,
    })
}

/// Compiles the expression on one field of a structured line; it may match anywhere in it.
pub(super) fn compile_field(written: &str) -> Result<(Hir, Regex), Fault> {
    let expanded = expand(written)?;
    let hir = tree(&expanded, written)?;
    let regex = build(&hir)?;
    Ok((hir, regex))
}

fn compile(written: &str) -> Result<(tags::Expanded, Hir, Regex), Fault> {
    let expanded = expand(written)?;
    let hir = tree(&expanded, written)?;
    if !hir.properties().look_set_prefix().contains(Look::Start) {
        return Err(Fault { offset: 0, kind: FaultKind::NotAnchored });
    }
    let regex = build(&hir)?;
    if regex.is_match(b"") {
        return Err(Fault { offset: 0, kind: FaultKind::MatchesNothing });
    }
    Ok((expanded, hir, regex))
}

fn tree(expanded: &tags::Expanded, written: &str) -> Result<Hir, Fault> {
    parse(&expanded.regex).map_err(|(at, text)| Fault {
        offset: expanded.written_offset(at).min(written.len()),
        kind: FaultKind::Syntax(text),
    })
}

fn build(hir: &Hir) -> Result<Regex, Fault> {
    Regex::builder()
        .configure(
            meta::Config::new()
                .utf8_empty(false)
                .auto_prefilter(false)
                .hybrid(false)
                .dfa(false)
                .nfa_size_limit(Some(SIZE_LIMIT))
                .onepass_size_limit(Some(SIZE_LIMIT / 8)),
        )
        .build_from_hir(hir)
        .map_err(|_| Fault { offset: 0, kind: FaultKind::TooBig })
}

/// The syntax tree of a regular expression on bytes with ASCII classes; an error has its byte and its text.
pub(super) fn parse(regex: &str) -> Result<Hir, (usize, String)> {
    let mut builder = regex_syntax::ParserBuilder::new();
    builder.unicode(false).utf8(false);
    builder.build().parse(regex).map_err(|error| match error {
        regex_syntax::Error::Parse(error) => (error.span().start.offset, error.kind().to_string()),
        regex_syntax::Error::Translate(error) => (error.span().start.offset, error.kind().to_string()),
        other => (0, other.to_string()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(pattern: &str) -> Fault {
        Pattern::compile_with_host(pattern).unwrap_err()
    }

    #[test]
    fn what_could_be_forged_or_means_nothing_is_refused() {
        assert_eq!(fault("from <HOST>"), Fault { offset: 0, kind: FaultKind::NotAnchored });
        assert_eq!(fault("^a <HOST>|b"), Fault { offset: 0, kind: FaultKind::NotAnchored });
        assert_eq!(fault("^(?:from <HOST>)?").kind, FaultKind::MatchesNothing);
        assert_eq!(fault("^from"), Fault { offset: 5, kind: FaultKind::NoHost });
        assert!(matches!(fault("^<HOST> (x"), Fault { offset: 8, kind: FaultKind::Syntax(_) }));
        assert_eq!(fault(r"^<HOST>(?:\w{1000}){1000}").kind, FaultKind::TooBig);
        assert!(compile_ignore("x").is_err());
        assert!(compile_ignore("^x").is_ok());
    }

    #[test]
    fn captures_have_names_and_the_host_is_judged() {
        let (pattern, _) = Pattern::compile("^for <F-USER>.*</F-USER> (?P<how>[a-z]+) <HOST>$").unwrap();
        let message = b"for a b from 192.0.2.1";
        let found = pattern.find(message, false).unwrap();
        assert_eq!(found.host, Host::Address("192.0.2.1".parse().unwrap()));
        let fields: Vec<_> = pattern.fields(message, &found.captures).collect();
        assert_eq!(fields, [("user", &b"a b"[..]), ("how", &b"from"[..])]);
        assert!(pattern.find(b"for a b from 192.0.2.300", false).is_none());
        assert!(pattern.find(message, true).is_none());
        assert_eq!(
            pattern.find(b"for a b from host.example", true).unwrap().host,
            Host::Name("host.example")
        );
    }
}
