//! `banctl ban ADDR|PREFIX...`: bans by hand.

use std::io::Write;

use clap::Args;
use ipnet::IpNet;

use super::exit::{Exit, Failure};
use super::{Shared, complete, list, output, session, unban, unexpected};
use crate::config::duration::BanTime;
use crate::control::protocol::{Answer, BanRow, Request};

#[derive(Debug, Args)]
pub(super) struct Options {
    /// The IPv4 or IPv6 address, or a prefix; or several.
    #[arg(required = true, value_name = "ADDRESS")]
    pub(super) addresses: Vec<String>,
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

/// Bans one after the other. The first that cannot be ends it; those before it are told of.
pub(super) fn run(shared: &Shared, options: &Options, out: &mut dyn Write) -> Result<Exit, Failure> {
    let all =
        options.addresses.iter().map(|address| unban::prefix(address)).collect::<Result<Vec<_>, _>>()?;
    let (mut banned, mut ended) = (Vec::new(), Ok(Exit::Done));
    for prefix in all {
        match ban(shared, prefix, options) {
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

fn ban(shared: &Shared, prefix: IpNet, options: &Options) -> Result<BanRow, Failure> {
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
