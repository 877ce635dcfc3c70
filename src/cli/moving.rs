//! `banctl export` and `banctl load`: bans with the time that is left to them, from one kban to another.

use std::fs::File;
use std::io::{self, BufRead, BufReader, IsTerminal, Write};
use std::path::PathBuf;

use clap::Args;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;

use super::exit::{Exit, Failure};
use super::{Shared, output, session, unexpected};
use crate::control::client::Client;
use crate::control::moved::{Moved, SCHEMA};
use crate::control::protocol::{Answer, BanRow, LONGEST_REQUEST, Request, Unloaded};
use crate::jail::FEED;

/// A line that is longer is none of ours.
const LONGEST_LINE: u64 = 16 * 1024;
/// So many bytes of bans go into one request; the rest is room for what is around them.
const TOGETHER: usize = LONGEST_REQUEST - 1024;

/// With more bans, it is shown how many are done.
const MANY: usize = 1_000;

#[derive(Debug, Args)]
pub(super) struct Export {
    /// Write here instead of to standard output; the file must not exist.
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
    /// Only bans of this jail.
    #[arg(long, value_name = "JAIL")]
    jail: Option<String>,
}

#[derive(Debug, Args)]
pub(super) struct Load {
    /// What `banctl export` has written [default: standard input].
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
    /// Also bans of a proxy, of addresses from which somebody lately logged in, and of your own.
    #[arg(long)]
    force: bool,
}

/// What has become of the bans that were loaded.
#[derive(Debug, Default, Serialize)]
pub(super) struct Loaded {
    loaded: usize,
    /// They are banned for as long already.
    known: usize,
    /// Their jail is not configured here; they belong to `manual`.
    other_jail: usize,
    /// They may not be banned here.
    refused: Vec<Unloaded>,
}

pub(super) fn export(shared: &Shared, options: &Export, out: &mut dyn Write) -> Result<Exit, Failure> {
    let rows = shared.connect()?.list(options.jail.as_deref(), None)?.map_err(|other| unexpected(&other))?;
    let mut file = match &options.file {
        Some(path) => Some(File::create_new(path).map_err(|error| {
            Failure::new(Exit::Usage, format!("cannot write {}: {error}; name a new file", path.display()))
        })?),
        None => None,
    };
    let out = file.as_mut().map_or(out, |file| file as &mut dyn Write);
    let mut out = io::BufWriter::new(out);
    // Lists are read from where they come from; over is what has no second left.
    for row in rows.iter().filter(|row| !row.jail.starts_with(FEED) && row.seconds_left != Some(0)) {
        output::print_json_line(&mut out, &moved(row))?;
    }
    out.flush()?;
    Ok(Exit::Done)
}

fn moved(row: &BanRow) -> Moved {
    let BanRow { address, jail, since, seconds_left, count, ports, source, reason, .. } = row.clone();
    let ports = ports.map(|ports| ports.iter().filter_map(|port| port.parse().ok()).collect());
    Moved { schema: SCHEMA, address, jail, since, seconds_left, count, ports, source, reason }
}

pub(super) fn load(shared: &Shared, options: &Load, out: &mut dyn Write) -> Result<Exit, Failure> {
    let bans = match &options.file {
        Some(path) => {
            let file = File::open(path).map_err(|error| {
                Failure::new(
                    Exit::Usage,
                    format!("cannot read {}: {error}; name what `banctl export` has written", path.display()),
                )
            })?;
            read(BufReader::new(file), &path.display().to_string())?
        }
        None => read(io::stdin().lock(), "standard input")?,
    };
    let loaded = send(&mut shared.connect()?, bans, options.force)?;
    tell(shared, &loaded, out)
}

/// Every ban of a file; an error names the first line that is none, and nothing is loaded then.
fn read(mut from: impl BufRead, name: &str) -> Result<Vec<Moved>, Failure> {
    let mut bans = Vec::new();
    for number in 1_u64.. {
        let mut line = String::new();
        let place = format!("{name}:{number}");
        let failed = |what: &dyn std::fmt::Display| {
            let what = format!("{place}: {what}; `banctl export` writes one ban a line; nothing was loaded");
            Failure::new(Exit::Usage, output::harmless(&what))
        };
        io::Read::take(&mut from, LONGEST_LINE).read_line(&mut line).map_err(|error| failed(&error))?;
        if line.is_empty() {
            break;
        }
        if line.trim().is_empty() {
            continue;
        }
        let ban: Moved = serde_json::from_str(&line).map_err(|error| failed(&error))?;
        if ban.schema != SCHEMA {
            return Err(failed(&format_args!("this kban reads schema {SCHEMA}, not {}", ban.schema)));
        }
        bans.push(ban);
    }
    Ok(bans)
}

/// Has the daemon take over bans; by `force`, those that may lock somebody out as well.
pub(super) fn send(client: &mut Client, bans: Vec<Moved>, force: bool) -> Result<Loaded, Failure> {
    let (mut all, caller) = (Loaded::default(), session::caller());
    let bar = ProgressBar::hidden();
    if bans.len() > MANY && io::stderr().is_terminal() {
        bar.set_length(bans.len() as u64);
        if let Ok(style) = ProgressStyle::with_template("{wide_bar} {pos}/{len} bans {eta}") {
            bar.set_style(style);
        }
        bar.set_draw_target(ProgressDrawTarget::stderr());
        bar.tick();
    }
    let mut waiting = bans.into_iter().peekable();
    while waiting.peek().is_some() {
        let (mut together, mut bytes) = (Vec::new(), 0);
        while let Some(ban) = waiting.next_if(|ban| {
            bytes += serde_json::to_vec(ban).map_or(0, |line| line.len() + 1);
            bytes <= TOGETHER || together.is_empty()
        }) {
            together.push(ban);
        }
        let loaded = together.len() as u64;
        let answer = client.ask(&Request::Load { bans: together, force, caller })?;
        bar.inc(loaded);
        match answer {
            Answer::Loaded { loaded, known, other_jail, refused } => {
                all.loaded += loaded;
                all.known += known;
                all.other_jail += other_jail;
                all.refused.extend(refused);
            }
            other => return Err(unexpected(&other)),
        }
    }
    bar.finish_and_clear();
    Ok(all)
}

/// Tells what has become of them.
pub(super) fn tell(shared: &Shared, loaded: &Loaded, out: &mut dyn Write) -> Result<Exit, Failure> {
    let exit = if loaded.refused.is_empty() { Exit::Done } else { Exit::Allowed };
    if shared.json {
        output::print_json(out, loaded)?;
        return Ok(exit);
    }
    let Loaded { loaded, known, other_jail, refused } = loaded;
    write!(out, "loaded {}", output::counted(*loaded, "ban", "bans"))?;
    if *known > 0 {
        write!(out, "; {known} more are banned for as long already")?;
    }
    writeln!(out)?;
    if *other_jail > 0 {
        writeln!(out, "{other_jail} of them belong to jail manual now: theirs is not configured here")?;
    }
    for Unloaded { address, why } in refused {
        writeln!(out, "not loaded: {}: {}", output::harmless(address), output::harmless(why))?;
    }
    Ok(exit)
}
