//! What hands that know fail2ban-client type: it is done, or answered with the command that does it.

use std::io::Write;

use clap::{Args, Subcommand};

use super::exit::{Exit, Failure, usage};
use super::{Shared, ban, output, unban};
use crate::control::protocol::{Answer, Request};

#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    /// Whether kband answers.
    #[command(hide = true)]
    Ping,
    /// As in `set sshd banip 203.0.113.9`.
    #[command(hide = true)]
    Set(Words),
    /// As in `get sshd banip`.
    #[command(hide = true)]
    Get(Words),
    /// Who is banned.
    #[command(hide = true)]
    Banned(Words),
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

/// Whatever follows.
#[derive(Debug, Args)]
pub(super) struct Words {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    words: Vec<String>,
}

pub(super) fn run(shared: &Shared, verb: &Verb, out: &mut dyn Write) -> Result<Exit, Failure> {
    let instead = |command: &str| Err(usage(format!("kban has no such command: `{command}` does that")));
    let words = |words: &Words| words.words.iter().map(|word| output::harmless(word)).collect::<Vec<_>>();
    match verb {
        Verb::Ping => {
            shared.connect()?;
            writeln!(out, "kband answers")?;
            Ok(Exit::Done)
        }
        Verb::Set(typed) => set(shared, typed, out),
        Verb::Get(typed) => get(shared, typed, out),
        Verb::Banned(typed) => instead(format!("banctl list {}", words(typed).join(" ")).trim_end()),
        Verb::Start(typed) => match words(typed).as_slice() {
            [] => instead("systemctl start kban"),
            [jail, ..] => instead(&format!("banctl enable {jail}")),
        },
        Verb::Stop(typed) => match words(typed).as_slice() {
            [] => instead("systemctl stop kban"),
            [jail, ..] => instead(&format!("banctl disable {jail}")),
        },
        Verb::Restart(typed) => match words(typed).as_slice() {
            [] => instead("systemctl restart kban"),
            _ => instead("banctl reload"),
        },
    }
}

fn set(shared: &Shared, typed: &Words, out: &mut dyn Write) -> Result<Exit, Failure> {
    let words: Vec<&str> = typed.words.iter().map(String::as_str).collect();
    match words.as_slice() {
        [jail, "banip", addresses @ ..] if !addresses.is_empty() => {
            let options = |address: &&str| ban::Options {
                address: (*address).to_owned(),
                jail: Some((*jail).to_owned()),
                bantime: None,
                reason: None,
                force: false,
            };
            ban::each(shared, addresses.iter().map(options), out)
        }
        [jail, "unbanip", addresses @ ..] if !addresses.is_empty() => {
            unban::each(shared, addresses, jail, out)
        }
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
