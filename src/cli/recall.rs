//! Where the past is asked for: the daemon, or what it has left on disk.

use std::io::Write;
use std::path::PathBuf;

use clap::Args;
use jiff::{SignedDuration, Timestamp};

use super::exit::{Exit, Failure};
use super::{Shared, fold};
use crate::config::duration::Period;
use crate::control::client::{Client, ClientError};
use crate::control::protocol::{Answer, Refused, Request};
use crate::control::recall;
use crate::store::{Archive, STATE_DIR};

/// Where else the past may be.
#[derive(Debug, Args)]
pub(super) struct StateDir {
    /// kband's state directory, which is read where no kband runs.
    #[arg(long, value_name = "DIR", default_value = STATE_DIR)]
    state_dir: PathBuf,
}

/// Whoever knows the past.
pub(super) enum Past {
    Daemon(Box<Client>),
    Disk(Archive),
}

impl Past {
    /// The daemon; or, with a word on standard error, what its database says.
    pub(super) fn find(shared: &Shared, state: &StateDir) -> Result<Self, Failure> {
        match shared.connect() {
            Ok(client) => Ok(Self::Daemon(Box::new(client))),
            Err(error @ ClientError::NotRunning { .. }) => {
                let archive = Archive::of(&state.state_dir);
                // Whether it can be read at all.
                archive.check().map_err(|unreadable| {
                    Failure::new(Exit::Unreachable, format!("{error}; and without it: {unreadable}"))
                })?;
                let place = state.state_dir.display();
                // If nobody reads standard error, the answer is still right.
                let _ = writeln!(fold::stderr(), "banctl: no kband runs: this is what {place} remembers");
                Ok(Self::Disk(archive))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Asks for the history, or what it adds up to.
    pub(super) fn ask(&mut self, request: &Request) -> Result<Answer, Failure> {
        match self {
            Self::Daemon(client) => Ok(client.ask(request)?),
            Self::Disk(archive) => match recall::answer(archive, request) {
                Some(Answer::Refused(Refused { kind, message })) => Err(Failure::new(kind.into(), message)),
                Some(answer) => Ok(answer),
                None => Err(Failure::new(Exit::Unreachable, "only a running kband knows that")),
            },
        }
    }
}

/// The moment so long ago.
pub(super) fn ago(period: Period) -> Timestamp {
    let length = SignedDuration::try_from(period.get()).unwrap_or(SignedDuration::MAX);
    Timestamp::now().checked_sub(length).unwrap_or(Timestamp::MIN)
}
