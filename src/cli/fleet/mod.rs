//! `banctl fleet`: many hosts, one firewall. `making` sets it up, `looking` tells how it is, `friends` joins and leaves friends'
//! fleets.

mod friends;
mod looking;
mod making;

use std::io::Write;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand, ValueEnum};

use super::Shared;
use super::exit::{Exit, Failure};
use crate::config::fleet::{DIRECTORY, FleetServer, MemberName};
use crate::config::{self, Layout};
use crate::fleet::members::{Members, MembersError};
use crate::fleet::setup::{self, SetupError};

#[derive(Debug, Args)]
pub(super) struct Options {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// On the firewall, once: make the fleet's keys and certificates, and a configuration for nats-server.
    Init(Init),
    /// On the firewall: print the line with which a machine joins.
    Invite(Invite),
    /// On a machine that was invited: make its keys, and print the line for `accept`. On a firewall, with a friend's line: read
    /// that fleet's offenders.
    Join(Join),
    /// On the firewall: take in a machine or a friend's fleet that has joined.
    Accept(Accept),
    /// On the firewall: the machines of the fleet, and friends' fleets.
    List,
    /// On the firewall: a machine does not belong to the fleet any more, or a friend's fleet is none any more.
    Revoke(Revoke),
    /// On the firewall: make a new certificate for the server. Nobody has to join again.
    Renew,
    /// How this machine is doing in its fleet.
    Status,
}

#[derive(Debug, Args)]
struct Init {
    /// The host and port that the other machines reach this one by, such as fw.example.org:4222.
    #[arg(value_name = "HOST:PORT")]
    server: FleetServer,
    /// Where keys and certificates are kept.
    #[arg(long, value_name = "DIR", default_value = DIRECTORY)]
    directory: PathBuf,
    /// Where nats-server keeps what waits.
    #[arg(long, value_name = "DIR", default_value = "/var/lib/nats/kban")]
    store: PathBuf,
}

/// What a machine is to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Becomes {
    /// It reports whom its jails ban.
    Host,
    /// It bans whom the firewall has decided to ban.
    Edge,
    /// Both.
    Both,
    /// The firewall of a friend's fleet: it reads whom the jails here have banned, and nothing else.
    Peer,
}

#[derive(Debug, Args)]
struct Invite {
    /// What the machine is to be called: 1 to 32 letters, digits, `_` and `-`.
    name: MemberName,
    /// What it is to be.
    #[arg(long, value_enum, default_value_t = Becomes::Host)]
    role: Becomes,
}

#[derive(Debug, Args)]
struct Join {
    /// The line that `banctl fleet invite` has printed.
    line: String,
    /// With a friend's line: what that fleet is called here. Left out, as its server is.
    #[arg(long)]
    name: Option<MemberName>,
    /// Where keys and certificates are kept [default: as configured, or /etc/kban/fleet].
    #[arg(long, value_name = "DIR")]
    directory: Option<PathBuf>,
}

#[derive(Debug, Args)]
struct Accept {
    /// The line that `banctl fleet join` has printed.
    line: String,
    /// How many hosts its word is worth.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1000))]
    weight: u32,
}

#[derive(Debug, Args)]
struct Revoke {
    /// What the machine or the friend's fleet is called.
    name: MemberName,
    /// Lift the bans that were made on its last word as well.
    #[arg(long)]
    lift: bool,
}

pub(super) fn run(shared: &Shared, options: &Options, out: &mut dyn Write) -> Result<Exit, Failure> {
    match &options.what {
        What::Init(options) => making::init(shared, options, out),
        What::Invite(options) => making::invite(shared, options, out),
        What::Join(options) => making::join(shared, options, out),
        What::Accept(options) => making::accept(shared, options, out),
        What::List => looking::list(shared, out),
        What::Revoke(options) => looking::revoke(shared, options, out),
        What::Renew => making::renew(shared, out),
        What::Status => looking::status(shared, out),
    }
}

/// Where the fleet is that the configuration names.
fn directory(layout: &Layout) -> PathBuf {
    let (merged, _) = config::read(layout);
    let typed = merged.file.fleet.directory.as_ref();
    typed.map_or_else(|| DIRECTORY.into(), |path| path.value.0.clone())
}

/// Whether a fleet is kept here.
fn is_firewall(directory: &Path) -> bool {
    setup::place(directory).is_ok()
}

/// The fleet that is kept here, on its firewall.
fn members(directory: &Path) -> Result<Members, Failure> {
    setup::place(directory).map_err(|error| {
        Failure::new(
            Exit::No,
            format!("this machine is no firewall of a fleet ({error}): `banctl fleet init` makes it one"),
        )
    })?;
    Ok(Members::load(directory)?)
}

impl From<SetupError> for Failure {
    fn from(error: SetupError) -> Self {
        Self::new(Exit::No, format!("{error}; run banctl as root"))
    }
}

impl From<MembersError> for Failure {
    fn from(error: MembersError) -> Self {
        Self::new(Exit::No, error)
    }
}
