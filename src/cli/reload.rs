//! `banctl reload`: answers when it is done, with the errors if there are any.

use std::io::Write;

use serde::Serialize;

use super::exit::{Exit, Failure};
use super::{Shared, output, unexpected};
use crate::control::protocol::{Answer, Request};

#[derive(Serialize)]
struct Document {
    reloaded: bool,
    warnings: Vec<String>,
}

pub(super) fn run(shared: &Shared, out: &mut dyn Write) -> Result<Exit, Failure> {
    let warnings = match shared.ask(&Request::Reload)? {
        Answer::Reloaded { warnings } => warnings,
        other => return Err(unexpected(&other)),
    };
    if shared.json {
        output::print_json(out, &Document { reloaded: true, warnings })?;
        return Ok(Exit::Done);
    }
    writeln!(out, "reloaded")?;
    for warning in warnings {
        writeln!(out, "warning: {}", output::harmless(&warning))?;
    }
    Ok(Exit::Done)
}
