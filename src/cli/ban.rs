//! `banctl ban ADDR`: a ban by hand.

use std::io::Write;
use std::net::IpAddr;

use clap::Args;
use ipnet::IpNet;

use super::exit::{Exit, Failure};
use super::{Shared, list, output, unexpected};
use crate::config::duration::BanTime;
use crate::control::protocol::{Answer, LONGEST_REASON, Request};

#[derive(Debug, Args)]
pub(super) struct Options {
    /// The IPv4 or IPv6 address.
    address: String,
    /// On behalf of this jail [default: manual].
    #[arg(long, value_name = "JAIL")]
    jail: Option<String>,
    /// How long: 90s, 10m, "1d 6h", 2w, permanent [default: the jail's bantime].
    #[arg(long = "for", value_name = "TIME")]
    bantime: Option<BanTime>,
    /// Why, for whoever reads the list.
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
}

pub(super) fn run(shared: &Shared, options: &Options, out: &mut dyn Write) -> Result<Exit, Failure> {
    let address = parse(&options.address)?;
    if options.reason.as_ref().is_some_and(|reason| reason.len() > LONGEST_REASON) {
        return Err(Failure::new(
            Exit::Usage,
            format!("the reason is too long: at most {LONGEST_REASON} bytes"),
        ));
    }
    let request = Request::Ban {
        address,
        jail: options.jail.clone(),
        bantime: options.bantime,
        reason: options.reason.clone(),
    };
    match shared.ask(&request)? {
        Answer::Banned(row) if shared.json => output::print_json(out, &list::Document { bans: &[row] })?,
        Answer::Banned(row) => match row.seconds_left {
            Some(_) => writeln!(out, "banned {} for {} (jail {})", row.address, list::left(&row), row.jail)?,
            None => writeln!(out, "banned {} permanently (jail {})", row.address, row.jail)?,
        },
        other => return Err(unexpected(&other)),
    }
    Ok(Exit::Done)
}

fn parse(text: &str) -> Result<IpAddr, Failure> {
    match text.parse() {
        Ok(address) => Ok(address),
        Err(_) if text.parse::<IpNet>().is_ok() => Err(Failure::new(
            Exit::Usage,
            format!(
                "{text} is a prefix: this version bans single addresses by hand; ban the addresses one by one"
            ),
        )),
        Err(_) => Err(Failure::new(
            Exit::Usage,
            format!(
                "'{}' is no IP address: write one like 203.0.113.9 or 2001:db8::9",
                output::harmless(text)
            ),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_are_taken() {
        assert!(parse("203.0.113.9").is_ok() && parse("2001:db8::9").is_ok());
        for (text, word) in
            [("300.1.1.1", "no IP address"), ("203.0.113.0/24", "prefix"), ("host.example", "no IP address")]
        {
            let failure = parse(text).unwrap_err();
            assert_eq!(failure.exit, Exit::Usage);
            assert!(failure.message.contains(word), "{}", failure.message);
        }
    }
}
