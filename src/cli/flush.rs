//! `banctl flush`: nobody is banned any more.

use std::io::Write;

use serde::Serialize;

use super::exit::{Exit, Failure};
use super::{Shared, output, unexpected};
use crate::control::client::ClientError;
use crate::control::protocol::{Answer, Request};

#[derive(Serialize)]
struct Document {
    lifted: usize,
    table_removed: bool,
}

pub(super) fn run(shared: &Shared, out: &mut dyn Write) -> Result<Exit, Failure> {
    let (lifted, table_removed) = match shared.connect() {
        Ok(mut client) => match client.ask(&Request::Flush)? {
            Answer::Lifted { bans } => (bans, false),
            other => return Err(unexpected(&other)),
        },
        // A slip in the socket's name must not take the table from a daemon that runs.
        Err(error @ ClientError::NotRunning { .. }) if shared.socket.is_some() => {
            return Err(Failure::new(
                Exit::Unreachable,
                format!(
                    "{error}; if no kband runs at all, `banctl flush` without --socket empties the kernel"
                ),
            ));
        }
        Err(ClientError::NotRunning { .. }) => {
            let (mut firewall, elements) = super::kernel()?;
            firewall.remove_table()?;
            (elements.len(), true)
        }
        Err(error) => return Err(error.into()),
    };
    if shared.json {
        output::print_json(out, &Document { lifted, table_removed })?;
    } else if table_removed {
        writeln!(out, "no kband runs: removed its table from the kernel, with {lifted} banned addresses")?;
    } else {
        writeln!(out, "lifted every ban ({lifted})")?;
    }
    Ok(Exit::Done)
}
