//! What hands that know fail2ban-client type: it is done, or answered with the command that does it.

use std::io::Write;

use clap::{Args, Subcommand};
use serde::Serialize;

use super::exit::{Exit, Failure, usage};
use super::{Shared, ban, check, list, output, reload, settings, status, unban};
use crate::control::protocol::{Answer, Request};

#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    /// Whether kband answers.
    #[command(hide = true)]
    Ping,
    /// Which kband answers.
    #[command(hide = true)]
    Version,
    /// As in `set sshd banip 203.0.113.9`.
    #[command(hide = true)]
    Set(Words),
    /// As in `get sshd banip`.
    #[command(hide = true)]
    Get(Words),
    /// Who is banned.
    #[command(hide = true)]
    Banned(Words),
    /// A jail is turned on by its name.
    #[command(hide = true)]
    Add(Words),
    /// There is nothing to do.
    #[command(hide = true)]
    Flushlogs,
    /// The service manager does that.
    #[command(hide = true)]
    Start(Words),
    /// The service manager does that.
    #[command(hide = true)]
    Stop(Words),
    /// The service manager does that.
    #[command(hide = true)]
    Restart(Words),
}

/// Whatever follows. What begins with a hyphen is known by name, so that kban's own options keep their meaning.
#[derive(Debug, Args)]
pub(super) struct Words {
    words: Vec<String>,
    #[command(flatten)]
    flags: Flags,
}

/// What fail2ban-client takes behind `status`, `reload` and `restart`.
#[derive(Debug, Args)]
pub(super) struct Flags {
    #[arg(long, hide = true)]
    all: bool,
    #[arg(long, hide = true)]
    unban: bool,
    #[arg(long, hide = true)]
    restart: bool,
    #[arg(long, hide = true)]
    if_exists: bool,
}

/// `reload`, with what fail2ban-client takes behind it: everything is read again, whatever jail is named.
#[derive(Debug, Args)]
pub(super) struct Reload {
    #[arg(hide = true)]
    jail: Option<String>,
    #[command(flatten)]
    flags: Flags,
}

/// fail2ban-client's options in place of a verb.
#[derive(Debug, Args)]
pub(super) struct Options {
    #[arg(short = 't', long = "test", hide = true)]
    test: bool,
    #[arg(short = 'd', long = "dp", alias = "dump-pretty", hide = true)]
    dump: bool,
}

/// `{"schema":1,"answers":"kband 0.1.0"}`.
#[derive(Serialize)]
struct Answers {
    answers: String,
}

impl Options {
    /// The verb that they stand for; nothing if none is typed.
    pub(super) fn run(&self, shared: &Shared, out: &mut dyn Write) -> Option<Result<Exit, Failure>> {
        if self.test {
            return Some(check::run(shared, out));
        }
        self.dump.then(|| settings::run(shared, &settings::Options { origin: true }, out))
    }
}

pub(super) fn reload(shared: &Shared, typed: &Reload, out: &mut dyn Write) -> Result<Exit, Failure> {
    let jail = typed.jail.as_deref().map(output::harmless);
    match (&typed.flags, jail) {
        (Flags { restart: true, .. }, _) => Err(instead("systemctl restart kban")),
        (Flags { unban: true, .. }, Some(jail)) => {
            Err(usage(format!("a reload lifts no bans: `banctl unban --jail {jail}`, then `banctl reload`")))
        }
        (Flags { unban: true, .. }, None) => {
            Err(usage("a reload lifts no bans: `banctl unban --all`, then `banctl reload`"))
        }
        _ => reload::run(shared, out),
    }
}

fn instead(command: &str) -> Failure {
    usage(format!("kban has no such command: `{command}` does that"))
}

pub(super) fn run(shared: &Shared, verb: &Verb, out: &mut dyn Write) -> Result<Exit, Failure> {
    let words = |typed: &Words| typed.words.iter().map(|word| output::harmless(word)).collect::<Vec<_>>();
    let jail = |typed: &Words| words(typed).into_iter().next();
    let otherwise = match verb {
        Verb::Ping | Verb::Version => return answers(shared, matches!(verb, Verb::Version), out),
        Verb::Set(typed) => return set(shared, typed, out),
        Verb::Get(typed) => return get(shared, typed, out),
        Verb::Banned(typed) => format!("banctl list {}", words(typed).join(" ")).trim_end().to_owned(),
        Verb::Add(typed) => format!("banctl enable {}", jail(typed).as_deref().unwrap_or("JAIL")),
        Verb::Flushlogs => {
            return Err(usage(
                "kband has no log file of its own, so there is nothing to open again: `journalctl -u kban` shows what it writes",
            ));
        }
        Verb::Start(typed) => match jail(typed) {
            None => "systemctl start kban".to_owned(),
            Some(jail) => format!("banctl enable {jail}"),
        },
        Verb::Stop(typed) => match jail(typed) {
            None => "systemctl stop kban".to_owned(),
            Some(jail) => format!("banctl disable {jail}"),
        },
        Verb::Restart(typed) => match jail(typed) {
            None => "systemctl restart kban".to_owned(),
            Some(_) => "banctl reload".to_owned(),
        },
    };
    Err(instead(&otherwise))
}

/// That kband answers, and perhaps which one.
fn answers(shared: &Shared, version: bool, out: &mut dyn Write) -> Result<Exit, Failure> {
    let status = status::of(shared.ask(&Request::Status)?)?;
    let program = format!("kband {}", output::harmless(&status.version));
    match (shared.json, version) {
        (true, _) => output::print_json(out, &Answers { answers: program })?,
        (false, true) => writeln!(out, "{program}")?,
        (false, false) => writeln!(out, "kband answers")?,
    }
    Ok(Exit::Done)
}

fn set(shared: &Shared, typed: &Words, out: &mut dyn Write) -> Result<Exit, Failure> {
    let words: Vec<&str> = typed.words.iter().map(String::as_str).collect();
    match words.as_slice() {
        [jail, "banip", addresses @ ..] if !addresses.is_empty() => {
            let options = ban::Options {
                addresses: addresses.iter().map(|address| (*address).to_owned()).collect(),
                jail: Some((*jail).to_owned()),
                bantime: None,
                reason: None,
                force: false,
            };
            ban::run(shared, &options, out)
        }
        [jail, "unbanip", addresses @ ..] if !addresses.is_empty() => {
            unban::each(shared, addresses, Some(jail), out)
        }
        [key @ ("loglevel" | "logtarget" | "syslogsocket"), ..] => Err(usage(format!(
            "kband writes its log to standard error, and has no {key} to set: how much it says is in KBAN_LOG (error, warn, info, debug) in its environment: `systemctl edit kban`, Environment=KBAN_LOG=debug"
        ))),
        [key @ ("dbfile" | "dbpurgeage" | "dbmaxmatches"), ..] => Err(usage(format!(
            "kban has no {key} to set: what is remembered, and for how long, is in [store] of /etc/kban/kban.toml (keep, max_size, evidence); then restart kband"
        ))),
        [_, "addignoreip", address, ..] => Err(usage(format!(
            "kban allows somebody for every jail: `banctl allow add {}` does that",
            output::harmless(address)
        ))),
        [_, "delignoreip", address, ..] => Err(usage(format!(
            "kban allows somebody for every jail: `banctl allow del {}` takes it back",
            output::harmless(address)
        ))),
        [jail, key, ..] => {
            let (jail, key) = (output::harmless(jail), output::harmless(key));
            Err(usage(format!(
                "kban's settings are in its files: write {key} = ... below [jail.{jail}] in /etc/kban/kban.d/50-{jail}.toml, then `banctl reload`"
            )))
        }
        _ => Err(usage(
            "say whom: `banctl ban 203.0.113.9 --jail sshd`, or `banctl set sshd banip 203.0.113.9`",
        )),
    }
}

fn get(shared: &Shared, typed: &Words, out: &mut dyn Write) -> Result<Exit, Failure> {
    let words: Vec<&str> = typed.words.iter().map(String::as_str).collect();
    match words.as_slice() {
        [jail, "banip" | "banned", ..] => {
            let bans =
                shared.connect()?.list(Some(jail), None)?.map_err(|other| super::unexpected(&other))?;
            if shared.json {
                output::print_json(out, &list::Document { bans: &bans })?;
                return Ok(Exit::Done);
            }
            for ban in bans {
                writeln!(out, "{}", output::harmless(&ban.address))?;
            }
            Ok(Exit::Done)
        }
        [jail, key] => {
            let settings = match shared.ask(&Request::Config)? {
                Answer::Config { settings, .. } => settings,
                other => return Err(super::unexpected(&other)),
            };
            if !settings.iter().any(|one| one.is_of_jail(jail)) {
                let jail = output::harmless(jail);
                return Err(usage(format!("there is no jail {jail}: `banctl jails` lists them")));
            }
            let mut values = settings.iter().filter(|one| one.key == *key);
            let own = values.clone().find(|one| one.is_of_jail(jail));
            match own.or_else(|| values.find(|one| one.table == "defaults")) {
                Some(setting) if shared.json => output::print_json(out, setting)?,
                Some(setting) => writeln!(out, "{}", output::harmless(&setting.value))?,
                None => {
                    let key = output::harmless(key);
                    return Err(Failure::new(
                        Exit::No,
                        format!(
                            "{key} is not set: `banctl config show --origin` has every key, `banctl status` what is read"
                        ),
                    ));
                }
            }
            Ok(Exit::Done)
        }
        _ => Err(usage(
            "say of which jail, and what: `banctl get sshd maxretry`; `banctl config show` has everything",
        )),
    }
}
