//! The command line of `banctl test`, and the filter that it means.

use std::num::NonZeroU32;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use jiff::Timestamp;

use crate::cli::exit::{Failure, usage};
use crate::config::duration::Period;
use crate::filter::{Bare, Filter};

const EXAMPLES: &str = "\
Examples:
  banctl test sshd /var/log/auth.log                   what the filter finds, and whom a jail would ban
  banctl test sshd journal                             the same of the service's entries in the journal
  banctl test sshd 'Nov 21 06:50:25 h sshd[1]: ...'    why this line matches, or where the nearest pattern stopped
  banctl test '^login of .* from <HOST> failed$' app.log --print-all-missed
  banctl test --failregex '^a <HOST>$' --failregex '^b <HOST>$' app.log app.log.1.gz
  banctl test postfix mail.log --jail postfix --profile

An argument that names no file and has a blank in it is a log line. A pattern is tried in kban's own language, and
where that refuses it in fail2ban's. Only a host's name in a log makes kban look up names, and only with --usedns.";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(in crate::cli) struct Options {
    /// A filter's name or path, with options in brackets: sshd, sshd[mode=aggressive], ./my.toml; or a pattern with
    /// <HOST> in it.
    #[arg(value_name = "FILTER|REGEX")]
    filter: String,
    /// Log files; - is standard input, journal or journal:PATH the journal, and a text with blanks a log line.
    #[arg(value_name = "FILE|LINE|journal")]
    input: Vec<String>,
    /// A pattern of a failure; may be given several times. FILTER is left out.
    #[arg(long, value_name = "REGEX")]
    failregex: Vec<String>,
    /// With patterns: one of lines that are never failures; may be given several times.
    #[arg(long, value_name = "REGEX")]
    ignoreregex: Vec<String>,
    /// The patterns are in fail2ban's dialect (Python's regular expressions).
    #[arg(long)]
    dialect: bool,
    /// How dates are written, in fail2ban's dialect.
    #[arg(long, short = 'd', value_name = "PATTERN")]
    datepattern: Option<String>,
    /// Over how many lines a pattern may match, in fail2ban's dialect.
    #[arg(long, short = 'l', value_name = "N")]
    maxlines: Option<NonZeroU32>,
    /// Whether <HOST> takes names, in fail2ban's dialect: yes and warn look up at most 64 of them, raw leaves them.
    #[arg(long, value_name = "HOW")]
    pub(super) usedns: Option<UseDns>,
    /// The filter's mode, as in FILTER[mode=MODE].
    #[arg(long, value_name = "MODE")]
    mode: Option<String>,
    /// Print what becomes of every line.
    #[arg(long, conflicts_with_all = ["verbose", "print_all_matched", "print_all_ignored", "print_all_missed", "profile"])]
    pub(super) each: bool,
    /// With --each: one JSON object a line, as --json does too.
    #[arg(long, requires = "each")]
    pub(super) jsonl: bool,
    /// Try every pattern on every line, instead of stopping at the first that matches.
    #[arg(long)]
    pub(super) all_patterns: bool,
    /// Explain the first 20 lines that match, that are ignored, and that are missed.
    #[arg(long, short = 'v')]
    pub(super) verbose: bool,
    /// Explain all lines that match.
    #[arg(long)]
    pub(super) print_all_matched: bool,
    /// Explain all lines that an ignoreregex takes out.
    #[arg(long)]
    pub(super) print_all_ignored: bool,
    /// Explain all lines that do not match: the nearest pattern, and where it stopped.
    #[arg(long)]
    pub(super) print_all_missed: bool,
    /// Measure what each pattern costs.
    #[arg(long)]
    pub(super) profile: bool,
    /// Read dates as if it were TIME (RFC 3339). The environment's TZ is the zone of dates without one.
    #[arg(long, value_name = "TIME")]
    pub(super) now: Option<Timestamp>,
    /// Judge by this jail's settings [default: the only jail of the filter, else the configuration's defaults].
    #[arg(long, value_name = "JAIL")]
    pub(super) jail: Option<String>,
    /// How many failures lead to a ban [default: the jail's].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(super) maxretry: Option<u32>,
    /// The window in which failures are counted [default: the jail's].
    #[arg(long, value_name = "TIME")]
    pub(super) findtime: Option<Period>,
}

/// fail2ban's `usedns`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum UseDns {
    /// Names are looked up.
    Yes,
    /// The same; fail2ban warns.
    Warn,
    /// `<HOST>` takes no names.
    No,
    /// Names are taken and stay names.
    Raw,
}

/// What the arguments mean.
pub(super) struct Chosen {
    pub(super) filter: Filter,
    /// What is to be read, as typed.
    pub(super) inputs: Vec<String>,
    /// What was assumed.
    pub(super) notes: Vec<String>,
    /// The filter is one that a jail can have.
    pub(super) named: bool,
}

impl Options {
    /// The filter as it was typed, or its first pattern.
    pub(super) fn shown(&self) -> &str {
        self.failregex.first().unwrap_or(&self.filter)
    }

    /// Names in logs are to be looked up.
    pub(super) fn looks_up(&self) -> bool {
        matches!(self.usedns, Some(UseDns::Yes | UseDns::Warn))
    }

    /// The filter that is meant, and its inputs.
    pub(super) fn choose(&self, directories: &[PathBuf]) -> Result<Chosen, Failure> {
        let mut patterns = self.failregex.clone();
        let mut inputs = self.input.clone();
        if Bare::looks_like_one(&self.filter) {
            patterns.insert(0, self.filter.clone());
        } else if !patterns.is_empty() {
            inputs.insert(0, self.filter.clone());
        }
        if inputs.is_empty() {
            return Err(usage(
                "nothing to read: name a log file, - for standard input, journal, or give a log line",
            ));
        }
        if patterns.is_empty() && self.is_turned_round() {
            return Err(usage(format!(
                "{} is no filter: the filter comes first, then what is to be read",
                self.filter
            )));
        }
        let mut notes = Vec::new();
        let named = patterns.is_empty();
        let filter = match named {
            true => Filter::load(&self.reference()?, directories).map_err(usage)?,
            false => self.bare(patterns, &mut notes)?,
        };
        Ok(Chosen { filter, inputs, notes, named })
    }

    /// A log file in the filter's place, and no file in the log's: as fail2ban-regex takes them.
    fn is_turned_round(&self) -> bool {
        let log = Path::new(&self.filter);
        let filter = log.extension().is_some_and(|extension| extension == "toml" || extension == "conf");
        log.is_file()
            && !filter
            && matches!(&*self.input, [input] if input != "-" && !Path::new(input).exists())
    }

    /// The reference to a filter by name, with the options that are given beside it.
    fn reference(&self) -> Result<String, Failure> {
        for (given, option) in [(!self.ignoreregex.is_empty(), "--ignoreregex"), (self.dialect, "--dialect")]
        {
            if given {
                return Err(usage(format!(
                    "{option} goes with patterns of the command line; {} has its own: leave the option out",
                    self.filter
                )));
            }
        }
        let usedns = self.usedns.and_then(|how| Some(how.to_possible_value()?.get_name().to_owned()));
        let options = [
            ("mode", self.mode.clone()),
            ("datepattern", self.datepattern.clone()),
            ("maxlines", self.maxlines.map(|lines| lines.to_string())),
            ("usedns", usedns),
        ];
        let mut reference = self.filter.trim().to_owned();
        for (name, value) in options {
            let Some(value) = value else { continue };
            let quote = if value.contains('"') { '\'' } else { '"' };
            if value.contains(quote) {
                return Err(usage(format!(
                    "--{name} holds quotes of both kinds; write it into the filter's file"
                )));
            }
            let (open, separator) = match reference.strip_suffix(']') {
                Some(open) => (open.to_owned(), ", "),
                None => (reference, "["),
            };
            reference = format!("{open}{separator}{name}={quote}{value}{quote}]");
        }
        Ok(reference)
    }

    /// The filter of bare patterns.
    fn bare(&self, failregex: Vec<String>, notes: &mut Vec<String>) -> Result<Filter, Failure> {
        if self.mode.is_some() {
            return Err(usage(
                "--mode is of a filter by name; patterns of the command line have no modes: leave it out",
            ));
        }
        let bare = Bare {
            failregex,
            ignoreregex: self.ignoreregex.clone(),
            datepattern: self.datepattern.clone(),
            maxlines: self.maxlines.map(NonZeroU32::get),
            names: self.usedns != Some(UseDns::No),
        };
        let of_dialect = [
            (self.datepattern.is_some(), "--datepattern"),
            (self.maxlines.is_some(), "--maxlines"),
            (self.usedns.is_some(), "--usedns"),
        ];
        if self.dialect {
            return bare.dialect().map_err(usage);
        }
        if let Some((_, option)) = of_dialect.iter().find(|(given, _)| *given) {
            notes.push(format!("the patterns are read in fail2ban's dialect, which {option} is of"));
            return bare.dialect().map_err(usage);
        }
        let refused = match bare.own() {
            Ok(filter) => return Ok(filter),
            Err(refused) => refused,
        };
        let filter = bare.dialect().map_err(|error| {
            usage(format!("{refused}\nnor is it a pattern of fail2ban's dialect: {error}"))
        })?;
        notes.push(format!(
            "the patterns are read in fail2ban's dialect, as kban's own refuses them:\n{refused}"
        ));
        Ok(filter)
    }
}
