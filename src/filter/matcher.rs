//! A compiled filter of either kind: in TOML ([`Own`]) or in fail2ban's dialect.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::Timestamp;
use memchr::memmem;

use super::connection::Role;
use super::definition::{Definition, Port};
use super::error::FilterError;
use super::fail2ban::{Ignored, Memory, Rules};
use super::own::Own;
use super::reference::Text;
use super::tags;
use super::{Clock, LONGEST_LINE, Named, Told, examples, reference};

/// A compiled filter. Immutable; shared by jails and scanners.
pub struct Filter {
    name: String,
    kind: Kind,
}

/// The two kinds of filters.
#[derive(Clone)]
pub(super) enum Kind {
    Own(Arc<Own>),
    /// In fail2ban's dialect.
    Dialect(Arc<Dialect>),
}

/// A filter of fail2ban's, and what a scanner asks of it.
pub(super) struct Dialect {
    rules: Rules,
    literals: Option<Vec<Vec<u8>>>,
    later: Vec<Vec<u8>>,
    /// Those of them that tell of a login.
    logins: Vec<Vec<u8>>,
}

impl Dialect {
    /// A compiled filter of fail2ban's.
    pub(super) fn new(rules: Rules) -> Self {
        let (literals, later) = rules.literals();
        let logins = rules.login_literals();
        Self { rules, literals, later, logins }
    }

    pub(super) fn rules(&self) -> &Rules {
        &self.rules
    }

    /// What it remembers of the lines of one source; nothing, yet.
    pub(super) fn memory(&self) -> Memory {
        Memory::new(&self.rules)
    }

    /// The verdict on a line, given the lines before it.
    pub(super) fn line(
        &self,
        memory: &mut Memory,
        line: &[u8],
        clock: &Clock,
        all_patterns: bool,
    ) -> LineVerdict {
        if line.strip_suffix(b"\n").unwrap_or(line).len() >= LONGEST_LINE {
            return LineVerdict::Miss;
        }
        memory.line(&self.rules, line, clock, all_patterns)
    }

    /// The failures on a line of fewer than [`LONGEST_LINE`] bytes, as [`Dialect::line`] gives them, and with `logins` who logged
    /// in; failures of hosts that are no addresses are returned.
    pub(super) fn hear(
        &self,
        memory: &mut Memory,
        line: &[u8],
        clock: &Clock,
        logins: bool,
        tell: &mut dyn FnMut(Told),
    ) -> Result<Vec<Named>, Ignored> {
        memory.hear(&self.rules, line, clock, logins, tell)
    }

    /// Whether a line may tell of a login that matters to the patterns only where something is known of its connection.
    pub(super) fn may_tell_login(&self, line: &[u8]) -> bool {
        self.logins.iter().any(|literal| memmem::find(line, literal).is_some())
    }
}

impl fmt::Debug for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Filter").field("name", &self.name).field("patterns", &self.patterns().len()).finish()
    }
}

/// What a filter says of one line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LineVerdict {
    /// A failure.
    Match {
        /// The first pattern that matches.
        first: LineMatch,
        /// The others, in order, when all patterns were to be tried.
        others: Vec<LineMatch>,
    },
    /// An ignoreregex matches.
    Ignore,
    /// A connection ended, and what was known of it is forgotten (`close`, `<F-MLFFORGET>`).
    Forget,
    /// A connection succeeded, and its failures are forgiven (`success`, `<F-MLFGAINED>`).
    Gain,
    /// A part of a failure: another line of its connection must follow.
    Partial,
    /// Nothing matches, or the line is another program's.
    Miss,
}

/// One pattern's match of a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LineMatch {
    /// Who: an address, or the name that the log has in its place; in the dialect also a network, or whatever `<F-ID>` caught.
    pub host: String,
    /// The host, if it is an address; IPv4-mapped IPv6 is folded to IPv4.
    pub address: Option<IpAddr>,
    /// The length of the network around the address, as that of a [`super::Failure`].
    pub prefix_len: Option<u8>,
    /// When, by the line's own date, else the clock's now.
    pub time: Timestamp,
    /// Which pattern of the filter, from 0.
    pub pattern: usize,
    /// How many failures the line stands for.
    pub attempts: u32,
    /// What the other named captures caught, by lower-case name (`<F-USER>` is `user`). Bytes that are no
    /// UTF-8 are replaced. The text is the attacker's: escape it before it reaches a terminal.
    pub fields: BTreeMap<String, Field>,
}

/// What a named capture caught.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[serde(untagged)]
pub enum Field {
    /// Its text.
    Text(String),
    /// Several texts: the users of a connection, the parts of a joined identifier.
    List(Vec<String>),
}

impl Field {
    /// The text of a capture that caught one.
    #[must_use]
    pub fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::List(_) => None,
        }
    }
}

impl Filter {
    /// Compiles the patterns of one mode. `origin` names the file in errors, `name` the filter.
    ///
    /// # Errors
    /// An unknown mode, or the first pattern that is refused, with its place.
    pub fn compile(
        name: &str,
        origin: &str,
        definition: Arc<Definition>,
        mode: &str,
    ) -> Result<Self, FilterError> {
        let own = Own::compile(name, origin, definition, mode)?;
        Ok(Self { name: name.to_owned(), kind: Kind::Own(Arc::new(own)) })
    }

    /// Loads what a reference (`sshd`, `sshd[mode=aggressive]`, `/path/x.toml`) names, from `directories` or the
    /// catalogue, compiles it, and tries the examples of a file of the administrator's.
    ///
    /// # Errors
    /// Whatever is wrong with the reference, the file, its patterns or its examples.
    pub fn load(reference: &str, directories: &[PathBuf]) -> Result<Self, FilterError> {
        let found = reference::resolve(reference, directories)?;
        match found.text {
            Text::Toml { text, mode } => {
                let definition = Arc::new(Definition::parse(&found.origin, &text)?);
                if !found.built_in {
                    examples::check(&found.name, &found.origin, &definition)?;
                }
                Self::compile(&found.name, &found.origin, definition, &mode)
            }
            Text::Dialect { path, options } => {
                let rules = Rules::load(&path, &options)?;
                Ok(Self::of_dialect(found.name, rules))
            }
        }
    }

    pub(super) fn of_dialect(name: String, rules: Rules) -> Self {
        Self { name, kind: Kind::Dialect(Arc::new(Dialect::new(rules))) }
    }

    pub(super) fn own(&self) -> Option<&Own> {
        match &self.kind {
            Kind::Own(own) => Some(own),
            Kind::Dialect(_) => None,
        }
    }

    /// The filter's name, without options.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether it is in fail2ban's dialect.
    #[must_use]
    pub fn is_dialect(&self) -> bool {
        matches!(self.kind, Kind::Dialect(_))
    }

    /// What it is for, in a sentence.
    #[must_use]
    pub fn description(&self) -> &str {
        self.own().map_or("a filter in fail2ban's dialect", |own| &own.definition().description)
    }

    /// The syslog identifiers whose lines count; empty: any.
    #[must_use]
    pub fn programs(&self) -> &[String] {
        self.own().map_or(&[], |own| &own.definition().programs)
    }

    /// Where the service logs by default.
    pub fn log_paths(&self) -> impl Iterator<Item = &Path> {
        self.own().map_or(&[][..], |own| &own.definition().logpath).iter().map(Path::new)
    }

    /// The ports of the service.
    #[must_use]
    pub fn ports(&self) -> &[Port] {
        self.own().map_or(&[], |own| &own.definition().port)
    }

    /// Journal matches that select the service's entries.
    #[must_use]
    pub fn journal_matches(&self) -> &[String] {
        match &self.kind {
            Kind::Own(own) => &own.definition().journalmatch,
            Kind::Dialect(dialect) => dialect.rules.journal_matches(),
        }
    }

    /// The patterns as they were written, those of `[connection]` behind those of failures, then the conditions; the index is
    /// that of [`LineMatch::pattern`].
    pub fn patterns(&self) -> impl ExactSizeIterator<Item = &str> {
        let written: Vec<&str> = match &self.kind {
            Kind::Own(own) => own.patterns().collect(),
            Kind::Dialect(dialect) => dialect.rules.written().iter().map(String::as_str).collect(),
        };
        written.into_iter()
    }

    /// The ignoreregexes as they were written; of filters in TOML.
    pub fn exceptions(&self) -> impl Iterator<Item = &str> {
        self.own().into_iter().flat_map(Own::exceptions)
    }

    /// All modes of the filter, `normal` first.
    #[must_use]
    pub fn modes(&self) -> Vec<String> {
        self.own().map_or(Vec::new(), |own| own.definition().modes())
    }

    /// The patterns that the backtracking engine must run; the linear one runs the others.
    #[must_use]
    pub fn backtracking(&self) -> Vec<usize> {
        match &self.kind {
            Kind::Own(_) => Vec::new(),
            Kind::Dialect(dialect) => dialect.rules.backtracking().collect(),
        }
    }

    /// Whether it recognises who logged in, and from where.
    #[must_use]
    pub fn tells_successes(&self) -> bool {
        match &self.kind {
            Kind::Own(own) => {
                let tells = |(index, pattern)| own.role(index) == Role::Success && tags::says_who(pattern);
                own.patterns().enumerate().any(tells)
            }
            Kind::Dialect(dialect) => dialect.rules.tells_logins(),
        }
    }

    /// The full verdict on one line (with or without its `\n`). Production stops at the first pattern that
    /// matches; with `all_patterns` every one is tried.
    ///
    /// It is judged as the first line that the filter ever saw: [`super::Scanner::line`] remembers those before.
    #[must_use]
    pub fn line(&self, line: &[u8], clock: &Clock, all_patterns: bool) -> LineVerdict {
        match &self.kind {
            Kind::Own(own) => own.line(own.connections().as_mut(), line, clock, all_patterns),
            Kind::Dialect(dialect) => dialect.line(&mut dialect.memory(), line, clock, all_patterns),
        }
    }

    /// Which kind it is.
    pub(super) fn kind(&self) -> &Kind {
        &self.kind
    }

    /// Literals of which every matching message holds one; none: any line may match.
    pub(super) fn literals(&self) -> Option<&[Vec<u8>]> {
        match &self.kind {
            Kind::Own(own) => own.literals(),
            Kind::Dialect(dialect) => dialect.literals.as_deref(),
        }
    }

    /// Literals of messages that matter only once a connection is asked about.
    pub(super) fn later(&self) -> &[Vec<u8>] {
        match &self.kind {
            Kind::Own(own) => own.later(),
            Kind::Dialect(dialect) => &dialect.later,
        }
    }
}
