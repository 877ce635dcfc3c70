//! `banctl`: one file per verb.
//!
//! [`main`] reads the command line and calls the verb; a verb writes to `out` and ends with an [`Exit`],
//! or with a [`Failure`] whose sentence goes to standard error.

mod allow;
mod ban;
mod check;
mod columns;
mod complete;
mod config;
mod confined;
mod country;
mod diff;
mod doctor;
mod enable;
mod examples;
pub mod exit;
mod filters;
#[cfg(feature = "fleet")]
mod fleet;
mod flush;
mod fold;
mod habits;
mod history;
mod import;
mod jails;
mod list;
mod moving;
mod names;
pub mod output;
mod overview;
mod past;
mod recall;
mod reload;
mod replay;
mod root;
mod session;
mod settings;
mod stats;
mod status;
mod test;
mod top;
mod unban;
mod watch;
mod why;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, FromArgMatches, Parser, Subcommand};

use crate::config::Layout;
use crate::config::duration::Period;
use crate::control::client::{Client, ClientError};
use crate::control::protocol::{Answer, Request};
use crate::control::{RUNTIME_DIR, SOCKET};
use crate::firewall::{Element, Firewall};
use exit::{Exit, Failure};

/// Look at bans and change them; test filters and configurations.
#[derive(Debug, Parser)]
#[command(name = "banctl", version, after_help = EXAMPLES)]
struct Command {
    #[command(flatten)]
    shared: Shared,
    #[command(flatten)]
    habit: habits::Options,
    #[command(subcommand)]
    verb: Option<Verb>,
}

const EXAMPLES: &str = "\
Examples:
  banctl                                 how things are, on one screen
  banctl list                            who is banned, and for how long
  banctl why 203.0.113.9                 what it has done, and what was done about it
  banctl ban 203.0.113.9 --for 1h        close every port to an address
  banctl unban 203.0.113.9               let it in again
  banctl allow add 198.51.100.7 --for 8h nobody bans it for so long; what bans it is lifted
  banctl test sshd /var/log/auth.log     what a filter finds in a log
  banctl replay /var/log/auth.log*       who would have been banned, and who of them logged in
  banctl doctor                          what is wrong here, and what to do about it

Exit codes: 0 done, 1 no, 2 usage, 3 no daemon, 4 no permission, 5 allowed address, 6 the kernel refused.";

/// What every verb understands.
#[derive(Debug, Clone, Args)]
struct Shared {
    /// The daemon's control socket [default: /run/kban/control.sock].
    #[arg(long, global = true, value_name = "PATH")]
    socket: Option<PathBuf>,
    /// How long the daemon may take for an answer.
    #[arg(long, global = true, value_name = "TIME", default_value = "30s")]
    timeout: Period,
    /// Print one JSON document instead of text (`watch`: one a line; not for `top` and `completions`).
    #[arg(long, global = true)]
    json: bool,
    /// The configuration, in place of /etc/kban: a directory like it, or just one file.
    #[arg(long, global = true, value_name = "PATH")]
    config: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// How the daemon, its jails and its sources are; or one jail, with whom it bans.
    Status(status::Options),
    /// Who is banned, and for how long.
    List(list::Options),
    /// Whether and why an address is banned, and since when: jails, log lines, kernel, history.
    Why(why::Options),
    /// What happened to bans, and who did it.
    History(history::Options),
    /// What the history adds up to: by jail, by day, by network.
    Stats(stats::Options),
    /// Ban an address by hand.
    Ban(ban::Options),
    /// Lift bans.
    Unban(unban::Options),
    /// Who is never banned, whatever a log says; changes that at run time.
    Allow(allow::Options),
    /// Have the daemon read its configuration again.
    Reload(habits::Reload),
    /// Check the configuration: every error at once.
    Check,
    /// What a filter finds in a log, and why; whom a jail would ban.
    Test(test::Options),
    /// Whom jails would have banned in past logs, for how long, and who of them logged in.
    Replay(replay::Options),
    /// Which filters there are, or what one of them looks for.
    Filters(filters::Options),
    /// Which jails there are, and what they look for.
    Jails,
    /// Turn a jail on: in a file of its own in kban.d, and in the running kband.
    Enable(enable::Options),
    /// Turn a jail off; its bans are lifted.
    Disable(enable::Options),
    /// What the configuration comes to, what of it is not in effect, and making one out of fail2ban's.
    Config(config::Options),
    /// Write the bans in force, with the time left to them, for another kban.
    Export(moving::Export),
    /// Take over the bans that another kban has exported.
    Load(moving::Load),
    /// What happens, as it happens.
    Watch(watch::Options),
    /// What happens at this moment, on a live screen: a graph, jails, offenders, the last events.
    Top(top::Options),
    /// Many hosts, one firewall: set a fleet up, and see how it is doing.
    #[cfg(feature = "fleet")]
    Fleet(fleet::Options),
    /// What is wrong on this machine, or good to know, and what to do about it.
    Doctor,
    /// Lift every ban; without a daemon, remove kban's table from the kernel.
    Flush,
    /// Print what makes a shell complete banctl's words, jails and banned addresses.
    Completions(complete::Options),
    #[command(flatten)]
    Habit(habits::Verb),
}

impl Shared {
    fn socket_path(&self) -> PathBuf {
        self.socket.clone().unwrap_or_else(|| Path::new(RUNTIME_DIR).join(SOCKET))
    }

    fn connect(&self) -> Result<Client, ClientError> {
        Client::connect_within(&self.socket_path(), self.timeout.get())
    }

    fn ask(&self, request: &Request) -> Result<Answer, Failure> {
        Ok(self.connect()?.ask(request)?)
    }

    fn layout(&self) -> Layout {
        self.config.as_ref().map_or_else(Layout::default, Layout::at)
    }
}

/// The kernel's firewall without the daemon, and what it holds; no table holds nobody.
fn kernel() -> Result<(Firewall, Vec<Element>), Failure> {
    let mut firewall = Firewall::open_existing()?;
    match firewall.elements() {
        Ok(elements) => Ok((firewall, elements)),
        Err(error) if error.is_missing() => Ok((firewall, Vec::new())),
        Err(error) => Err(error.into()),
    }
}

/// The daemon answered something that does not belong to the request.
fn unexpected(answer: &Answer) -> Failure {
    Failure::new(
        Exit::Unreachable,
        format!("kband answered out of turn ({answer:?}): install the same version of both"),
    )
}

/// The definition of `banctl`'s command line, for the man page and completions.
#[must_use]
pub fn command() -> clap::Command {
    examples::added(<Command as clap::CommandFactory>::command())
}

/// Runs `banctl` with this process's arguments.
#[must_use]
pub fn main() -> ExitCode {
    if std::env::var_os("TERM").is_some_and(|term| term == "dumb") {
        // By itself anstream trusts a CI machine (CI=true) to show colours on any terminal.
        anstream::ColorChoice::Never.write_global();
    }
    // A shell that asks for completions gets them, and nothing else happens.
    clap_complete::CompleteEnv::with_factory(command).complete();
    let typed = command().try_get_matches();
    let command = match typed.and_then(|typed| Command::from_arg_matches(&typed)) {
        Ok(command) => command,
        Err(error) => return end(no_command(&error)),
    };
    if let Some(Verb::Top(options)) = &command.verb {
        // It draws by itself.
        return end(top::run(&command.shared, options));
    }
    let mut out = fold::stdout();
    let ended = run(&command, &mut out).and_then(|exit| {
        out.flush()?;
        Ok(exit)
    });
    // What was written before a failure still belongs to the answer.
    let _ = out.flush();
    end(ended)
}

/// Help that was asked for, or what is wrong with the command line.
fn no_command(said: &clap::Error) -> Result<Exit, Failure> {
    let text = said.render();
    if said.use_stderr() {
        // Nobody is left who could be told that this cannot be written.
        let _ = write!(fold::stderr(), "{}", text.ansi());
        return Ok(Exit::Usage);
    }
    let mut out = fold::stdout();
    write!(out, "{}", text.ansi())?;
    out.flush()?;
    Ok(Exit::Done)
}

fn end(ended: Result<Exit, Failure>) -> ExitCode {
    match ended {
        Ok(exit) => exit.into(),
        Err(failure) => {
            if !failure.message.is_empty() {
                let _ = writeln!(fold::stderr(), "banctl: {}", failure.message);
            }
            failure.exit.into()
        }
    }
}

fn run(command: &Command, out: &mut dyn Write) -> Result<Exit, Failure> {
    let shared = &command.shared;
    if let Some(ended) = command.habit.run(shared, out) {
        return ended;
    }
    let Some(verb) = &command.verb else { return overview::run(shared, out) };
    match verb {
        Verb::Status(options) => status::run(shared, options, out),
        Verb::List(options) => list::run(shared, options, out),
        Verb::Why(options) => why::run(shared, options, out),
        Verb::History(options) => history::run(shared, options, out),
        Verb::Stats(options) => stats::run(shared, options, out),
        Verb::Ban(options) => ban::run(shared, options, out),
        Verb::Unban(options) => unban::run(shared, options, out),
        Verb::Allow(options) => allow::run(shared, options, out),
        Verb::Reload(typed) => habits::reload(shared, typed, out),
        Verb::Check => check::run(shared, out),
        Verb::Test(options) => test::run(shared, options, out),
        Verb::Replay(options) => replay::run(shared, options, out),
        Verb::Filters(options) => filters::run(shared, options, out),
        Verb::Jails => jails::run(shared, out),
        Verb::Enable(options) => enable::run(shared, options, true, out),
        Verb::Disable(options) => enable::run(shared, options, false, out),
        Verb::Config(options) => config::run(shared, options, out),
        Verb::Export(options) => moving::export(shared, options, out),
        Verb::Load(options) => moving::load(shared, options, out),
        Verb::Watch(options) => watch::run(shared, options, out),
        Verb::Top(options) => top::run(shared, options),
        #[cfg(feature = "fleet")]
        Verb::Fleet(options) => fleet::run(shared, options, out),
        Verb::Doctor => doctor::run(shared, out),
        Verb::Flush => flush::run(shared, out),
        Verb::Completions(options) => complete::run(options, out),
        Verb::Habit(verb) => habits::run(shared, verb, out),
    }
}
