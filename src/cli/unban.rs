//! `banctl unban ADDR|PREFIX...|--jail J|--all`: lifts bans.

use std::io::Write;

use clap::Args;
use ipnet::IpNet;
use serde::Serialize;

use super::exit::{Exit, Failure};
use super::{Shared, complete, output, unexpected};
use crate::config::network::folded;
use crate::control::client::ClientError;
use crate::control::protocol::{Answer, Kind, Refused, Request};
use crate::firewall::{Change, Element, Firewall, Set};
use crate::jail::written;

#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("whom").required(true).multiple(true).args(["targets", "jail", "all"]))]
pub(super) struct Options {
    /// The address, or a prefix: every ban within it; or several.
    #[arg(value_name = "ADDRESS", add = complete::banned())]
    targets: Vec<String>,
    /// Only (or all) bans of this jail.
    #[arg(long, value_name = "JAIL", add = complete::jails())]
    jail: Option<String>,
    /// Every ban.
    #[arg(long, conflicts_with_all = ["targets", "jail"])]
    all: bool,
    /// Without the daemon: take the address out of the kernel's set.
    #[arg(long, conflicts_with_all = ["jail", "all"])]
    kernel: bool,
}

#[derive(Serialize)]
struct Document {
    lifted: usize,
}

pub(super) fn run(shared: &Shared, options: &Options, out: &mut dyn Write) -> Result<Exit, Failure> {
    let targets: Vec<&str> = options.targets.iter().map(String::as_str).collect();
    if options.kernel {
        let all = targets.iter().map(|target| prefix(target)).collect::<Result<Vec<_>, _>>()?;
        let lifted = all.into_iter().map(from_kernel).sum::<Result<usize, _>>()?;
        tell(shared, lifted, out)?;
        return Ok(if lifted > 0 { Exit::Done } else { Exit::No });
    }
    if !targets.is_empty() {
        return each(shared, &targets, options.jail.as_deref(), out);
    }
    let lifted = match shared.ask(&Request::Unban { within: None, jail: options.jail.clone() })? {
        Answer::Lifted { bans } => bans,
        other => return Err(unexpected(&other)),
    };
    tell(shared, lifted, out)?;
    Ok(if lifted > 0 || options.all { Exit::Done } else { Exit::No })
}

/// Lifts the bans of each of them, or one jail's; who is not banned does not keep the others.
pub(super) fn each(
    shared: &Shared,
    targets: &[&str],
    jail: Option<&str>,
    out: &mut dyn Write,
) -> Result<Exit, Failure> {
    let prefixes = targets.iter().map(|target| prefix(target)).collect::<Result<Vec<_>, _>>()?;
    let mut client = shared.connect()?;
    let (mut lifted, mut not) = (0, Vec::new());
    for within in prefixes {
        match client.ask(&Request::Unban { within: Some(within), jail: jail.map(str::to_owned) }) {
            Ok(Answer::Lifted { bans }) => lifted += bans,
            Ok(other) => return Err(unexpected(&other)),
            Err(ClientError::Refused(Refused { kind: Kind::No, message })) => not.push(message),
            Err(error) => return Err(error.into()),
        }
    }
    if lifted > 0 || not.is_empty() {
        tell(shared, lifted, out)?;
    }
    match not.is_empty() {
        true if lifted > 0 => Ok(Exit::Done),
        true => Ok(Exit::No),
        false => Err(Failure::new(Exit::No, output::harmless(&not.join("; ")))),
    }
}

fn tell(shared: &Shared, lifted: usize, out: &mut dyn Write) -> std::io::Result<()> {
    if shared.json {
        output::print_json(out, &Document { lifted })
    } else if lifted > 0 {
        writeln!(out, "lifted {}", output::counted(lifted, "ban", "bans"))
    } else {
        writeln!(out, "nothing was banned")
    }
}

fn from_kernel(within: IpNet) -> Result<usize, Failure> {
    let (mut firewall, elements) = super::kernel()?;
    let is_range = |element: &Element| Firewall::set_for(element.target).is_ok_and(Set::is_interval);
    let (ranges, single): (Vec<Element>, Vec<Element>) = elements.into_iter().partition(is_range);
    let (lifted, rest): (Vec<Element>, Vec<Element>) =
        ranges.into_iter().partition(|element| within.contains(&element.target.prefix));
    if !lifted.is_empty() {
        let rest: Vec<_> = rest.iter().map(|element| (element.target, element.left)).collect();
        firewall.replace_ranges(&rest)?;
    }
    let targets =
        single.iter().map(|element| element.target).filter(|target| within.contains(&target.prefix));
    let lifts: Vec<Change> = targets.map(|target| Change::Lift { target }).collect();
    match firewall.apply(&lifts)?.into_iter().next() {
        Some(rejected) => Err(rejected.error.into()),
        None => Ok(lifts.len() + lifted.len()),
    }
}

/// An address or a prefix, without the bits behind its length; IPv4 in IPv6's clothes is IPv4.
pub(super) fn prefix(text: &str) -> Result<IpNet, Failure> {
    written(text).map(|prefix| folded(prefix.trunc())).ok_or_else(|| {
        let text = output::harmless(text);
        Failure::new(
            Exit::Usage,
            format!("'{text}' is neither an address nor a prefix: write 203.0.113.9 or 203.0.113.0/24"),
        )
    })
}
