//! `banctl ban ADDR|PREFIX`: a ban by hand.

use std::io::Write;

use clap::Args;

use super::exit::{Exit, Failure};
use super::{Shared, complete, list, output, session, unban, unexpected};
use crate::config::duration::BanTime;
use crate::control::protocol::{Answer, BanRow, Request};

#[derive(Debug, Args)]
pub(super) struct Options {
    /// The IPv4 or IPv6 address, or a prefix.
    pub(super) address: String,
    /// On behalf of this jail, and closing its ports [default: manual, which closes everything].
    #[arg(long, value_name = "JAIL", add = complete::jails())]
    pub(super) jail: Option<String>,
    /// How long: 90s, 10m, "1d 6h", 2w, permanent [default: the jail's bantime].
    #[arg(long = "for", value_name = "TIME")]
    pub(super) bantime: Option<BanTime>,
    /// Why, for whoever reads the list.
    #[arg(long, value_name = "TEXT")]
    pub(super) reason: Option<String>,
    /// Also a proxy, an address from which somebody lately logged in, and your own.
    #[arg(long)]
    pub(super) force: bool,
}

pub(super) fn run(shared: &Shared, options: &Options, out: &mut dyn Write) -> Result<Exit, Failure> {
    each(shared, std::iter::once(options), out)
}

/// Bans one after the other. The first that cannot be ends it; those before it are told of.
pub(super) fn each(
    shared: &Shared,
    all: impl Iterator<Item = impl std::borrow::Borrow<Options>>,
    out: &mut dyn Write,
) -> Result<Exit, Failure> {
    let (mut banned, mut ended) = (Vec::new(), Ok(Exit::Done));
    for options in all {
        match ban(shared, options.borrow()) {
            Ok(row) => banned.push(row),
            Err(failure) => {
                ended = Err(failure);
                break;
            }
        }
    }
    if shared.json && !banned.is_empty() {
        output::print_json(out, &list::Document { bans: &banned })?;
        return ended;
    }
    for row in banned {
        match row.seconds_left {
            Some(_) => writeln!(out, "banned {} for {} (jail {})", row.address, list::left(&row), row.jail)?,
            None => writeln!(out, "banned {} permanently (jail {})", row.address, row.jail)?,
        }
    }
    ended
}

fn ban(shared: &Shared, options: &Options) -> Result<BanRow, Failure> {
    let prefix = unban::prefix(&options.address)?;
    let request = Request::Ban {
        prefix,
        jail: options.jail.clone(),
        bantime: options.bantime,
        reason: options.reason.clone(),
        force: options.force,
        caller: session::caller(),
    };
    match shared.ask(&request)? {
        Answer::Banned(row) => Ok(row),
        other => Err(unexpected(&other)),
    }
}
