//! `banctl test FILTER FILE`: what a filter finds in a log and why, and whom a jail would ban. Needs no daemon.

mod each;
mod jail;
mod lines;
mod names;
mod options;
mod profile;
mod report;
mod summary;
mod view;

use std::io::Write;
use std::sync::Arc;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::exit::{Exit, Failure};
use super::past::Input;
use super::{Shared, fold, output};
use crate::filter::Clock;
use jail::Settings;
use options::Chosen;
pub(super) use options::Options;

pub(super) fn run(shared: &Shared, options: &Options, out: &mut dyn Write) -> Result<Exit, Failure> {
    let layout = shared.layout();
    let Chosen { filter, inputs, mut notes, named } = options.choose(&layout.filter_dirs)?;
    let inputs: Vec<Input> = inputs.iter().map(|typed| Input::of(typed, &mut notes)).collect();
    let clock = Clock { now: options.now.unwrap_or_else(Timestamp::now), zone: TimeZone::system() };
    let filter = Arc::new(filter);
    if options.each {
        for note in notes {
            writeln!(fold::stderr(), "banctl: {}", output::harmless_lines(&note))?;
        }
        return each::run(options, options.jsonl || shared.json, &filter, &clock, &inputs, out);
    }
    let settings = Settings::read(options, &layout, &filter, named, &mut notes)?;
    let tested = summary::Tested { options, filter, clock, inputs, settings, notes };
    summary::run(tested, shared.json, out)
}
