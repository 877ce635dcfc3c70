//! `kband`: the hub that carries blocks to verdicts, and verdicts to the kernel.
//!
//! `start` reads like a recipe; `run` is the loop; `pipeline` is what happens to one block, `readers` says which
//! jails it concerns, `judged` is what its failures lead to; `guard` and `drift` see to it that the kernel holds what is
//! intended; `ownership` is whose the table is; `answer` is what happens to one request of `banctl`, `feeds` what happens to a list,
//! `lifts` what happens to many bans that end together, `allowing` changes who is never banned, `asking` asks programs
//! about it, and `lookups` finds out who that is where only a name or a file says so; `evidence` are the lines that a
//! ban is made of, `recall` has questions about the past answered, `why` those about one address; `today`
//! is what the jails have counted since midnight.

mod adoption;
mod allowing;
mod alone;
mod answer;
mod asking;
mod beside;
mod confine;
mod drift;
mod effect;
mod evidence;
mod feeds;
mod guard;
mod intent;
mod judged;
mod lifts;
mod log;
mod lookups;
mod manager;
mod names;
mod options;
mod own;
mod ownership;
mod pipeline;
mod pool;
mod readers;
mod recall;
mod renewal;
mod resolver;
mod restore;
mod run;
mod sources;
mod start;
mod status;
mod sweep;
mod today;
mod trail;
mod trails;
mod turns;
mod why;

pub use start::main;

/// The definition of `kband`'s command line, for the man page and completions.
#[must_use]
pub fn command() -> clap::Command {
    <options::Options as clap::CommandFactory>::command()
}

#[cfg(test)]
#[path = "dates_tests.rs"]
mod dates;
