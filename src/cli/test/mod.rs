//! `banctl test FILTER FILE`: what a filter finds in a log, and whom a jail would ban. Needs no daemon.

mod each;
mod summary;

use std::fs::File;
use std::io::{self, Read, Write};
use std::sync::Arc;

use clap::Args;
use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::Shared;
use super::exit::{Exit, Failure};
use crate::config::duration::Period;
use crate::filter::{Clock, Filter};
use crate::source::lines::Lines;

/// How much is read in one go.
const CHUNK: usize = 256 * 1024;

#[derive(Debug, Args)]
pub(super) struct Options {
    /// A filter's name or path, with options in brackets: sshd, sshd[mode=aggressive], ./my.toml.
    filter: String,
    /// The log file; - is standard input.
    file: String,
    /// Print what becomes of every line.
    #[arg(long)]
    each: bool,
    /// With --each: one JSON object a line, as --json does too.
    #[arg(long, requires = "each")]
    jsonl: bool,
    /// Try every pattern on every line, instead of stopping at the first that matches.
    #[arg(long)]
    all_patterns: bool,
    /// Read dates as if it were TIME (RFC 3339). The environment's TZ is the zone of dates without one.
    #[arg(long, value_name = "TIME")]
    now: Option<Timestamp>,
    /// How many failures lead to a ban.
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    maxretry: u32,
    /// The window in which failures are counted.
    #[arg(long, value_name = "TIME", default_value = "10m")]
    findtime: Period,
}

pub(super) fn run(shared: &Shared, options: &Options, out: &mut dyn Write) -> Result<Exit, Failure> {
    let filter = Filter::load(&options.filter, &shared.layout().filter_dirs)
        .map_err(|error| Failure::new(Exit::Usage, error))?;
    let clock = Clock { now: options.now.unwrap_or_else(Timestamp::now), zone: TimeZone::system() };
    let mut blocks = Blocks::open(&options.file)?;
    if options.each {
        each::run(options, options.jsonl || shared.json, &Arc::new(filter), &clock, &mut blocks, out)
    } else {
        summary::run(shared, options, &Arc::new(filter), &clock, &mut blocks, out)
    }
}

/// A file as blocks of whole lines, cut as the daemon cuts them.
struct Blocks {
    name: String,
    input: Box<dyn Read>,
    lines: Lines,
    chunk: Vec<u8>,
    block: Vec<u8>,
}

impl Blocks {
    fn open(name: &str) -> Result<Self, Failure> {
        let input: Box<dyn Read> = match name {
            "-" => Box::new(io::stdin()),
            path => Box::new(File::open(path).map_err(|error| unreadable(path, &error))?),
        };
        Ok(Self { name: name.into(), input, lines: Lines::new(), chunk: vec![0; CHUNK], block: Vec::new() })
    }

    /// The next block; empty at the end of the file.
    fn next(&mut self) -> Result<&[u8], Failure> {
        self.block.clear();
        while self.block.is_empty() {
            let read = match self.input.read(&mut self.chunk) {
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(unreadable(&self.name, &error)),
            };
            if read == 0 {
                self.lines.end(&mut self.block);
                break;
            }
            self.lines.take(self.chunk.get(..read).unwrap_or_default(), &mut self.block);
        }
        Ok(&self.block)
    }
}

fn unreadable(name: &str, error: &io::Error) -> Failure {
    Failure::new(
        Exit::Usage,
        format!("cannot read {name}: {error}: name a log file, or - for standard input"),
    )
}
