//! `banctl allow add|del|list`: who is never banned.

use std::io::Write;
use std::time::Duration;

use clap::{Args, Subcommand};
use ipnet::IpNet;
use serde::Serialize;

use super::exit::{Exit, Failure};
use super::{Shared, output, unban, unexpected};
use crate::config::duration::BanTime;
use crate::control::allowed::AllowRow;
use crate::control::protocol::{Answer, Request};
use crate::jail::shown;

#[derive(Debug, Args)]
pub(super) struct Options {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Allow an address or a prefix, over restarts as well; bans of it are lifted at once.
    Add(Add),
    /// Take back what was allowed at run time.
    Del {
        /// The address or the prefix, as it was added.
        prefix: String,
    },
    /// Who is never banned, and on whose word.
    List {
        /// Only entries within this address or prefix, or that contain it.
        prefix: Option<String>,
    },
}

#[derive(Debug, Args)]
struct Add {
    /// The IPv4 or IPv6 address, or a prefix.
    prefix: String,
    /// How long: 90s, 10m, "1d 6h", 2w [default: until it is taken back].
    #[arg(long = "for", value_name = "TIME")]
    time: Option<BanTime>,
    /// Why, for whoever reads the list.
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// Also a large part of the Internet: IPv4 wider than /8, IPv6 wider than /16.
    #[arg(long)]
    force: bool,
}

#[derive(Serialize)]
struct Added {
    allowed: String,
    lifted: usize,
}

#[derive(Serialize)]
struct Deleted {
    deleted: String,
}

/// `{"schema":1,"allowed":[...]}`.
#[derive(Serialize)]
struct Document<'a> {
    allowed: &'a [AllowRow],
}

pub(super) fn run(shared: &Shared, options: &Options, out: &mut dyn Write) -> Result<Exit, Failure> {
    match &options.what {
        What::Add(add) => run_add(shared, add, out),
        What::Del { prefix } => run_delete(shared, unban::prefix(prefix)?, out),
        What::List { prefix } => run_list(shared, prefix.as_deref().map(unban::prefix).transpose()?, out),
    }
}

fn run_add(shared: &Shared, add: &Add, out: &mut dyn Write) -> Result<Exit, Failure> {
    let prefix = unban::prefix(&add.prefix)?;
    let request = Request::Allow { prefix, time: add.time, reason: add.reason.clone(), force: add.force };
    let lifted = match shared.ask(&request)? {
        Answer::Lifted { bans } => bans,
        other => return Err(unexpected(&other)),
    };
    if shared.json {
        output::print_json(out, &Added { allowed: shown(&prefix), lifted })?;
        return Ok(Exit::Done);
    }
    let time = match add.time {
        Some(BanTime::For(length)) => format!("for {}", output::duration(length)),
        Some(BanTime::Permanent) | None => "until it is deleted".to_owned(),
    };
    write!(out, "allowed {} {time}", shown(&prefix))?;
    match lifted {
        0 => writeln!(out)?,
        bans => writeln!(out, "; lifted {}", output::counted(bans, "ban", "bans"))?,
    }
    Ok(Exit::Done)
}

fn run_delete(shared: &Shared, prefix: IpNet, out: &mut dyn Write) -> Result<Exit, Failure> {
    match shared.ask(&Request::Disallow { prefix })? {
        Answer::Disallowed if shared.json => output::print_json(out, &Deleted { deleted: shown(&prefix) })?,
        Answer::Disallowed => writeln!(out, "{} is not allowed any more", shown(&prefix))?,
        other => return Err(unexpected(&other)),
    }
    Ok(Exit::Done)
}

fn run_list(shared: &Shared, within: Option<IpNet>, out: &mut dyn Write) -> Result<Exit, Failure> {
    let rows = match shared.ask(&Request::Allowed { within })? {
        Answer::Spared { allowed } => allowed,
        other => return Err(unexpected(&other)),
    };
    let exit = if rows.is_empty() && within.is_some() { Exit::No } else { Exit::Done };
    if shared.json {
        output::print_json(out, &Document { allowed: &rows })?;
        return Ok(exit);
    }
    if let (true, Some(within)) = (rows.is_empty(), within) {
        return Err(Failure::new(exit, format!("{} is not allowed", shown(&within))));
    }
    let mut table = output::table(&["ADDRESS", "ORIGIN", "JAIL", "LEFT", "BY", "REASON"]);
    for row in &rows {
        let left = row.seconds_left.map(|left| output::duration(Duration::from_secs(left)));
        table.add_row([
            row.address.clone().unwrap_or_else(|| "(nothing)".to_owned()),
            output::harmless(&row.origin),
            row.jail.as_deref().map_or_else(|| "all".to_owned(), output::harmless),
            left.unwrap_or_default(),
            row.who.as_deref().map(output::harmless).unwrap_or_default(),
            output::harmless(&row.reason),
        ]);
    }
    output::print_table(out, &table)?;
    Ok(exit)
}
