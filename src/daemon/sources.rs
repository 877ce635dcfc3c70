//! How the sources are doing, for `banctl status`.

use std::collections::BTreeSet;

use super::pipeline::Pipeline;
use crate::control::protocol::SourceRow;
use crate::source::SourceStatus;
use crate::words::counted;

/// So many errors of single files are told of; the rest are counted.
const MOST_TOLD: usize = 10;

/// One row for each stream. What the lines of a source had in common is told with the first.
pub(super) fn rows(statuses: &[SourceStatus], pipeline: &Pipeline) -> Vec<SourceRow> {
    let mut told = BTreeSet::new();
    let row = |source: &SourceStatus| {
        let (input, reception) = (pipeline.input(source.id), source.reception);
        let first = told.insert(source.id);
        SourceRow {
            path: input.map(|input| input.shown(&source.stream)).unwrap_or_default(),
            source: input.map(ToString::to_string).unwrap_or_default(),
            whole: source.whole,
            state: source.state.to_string(),
            error: source.error.clone(),
            lines: source.lines,
            bytes: source.bytes,
            lines_per_second: source.lines_per_second,
            bytes_per_second: source.bytes_per_second,
            lag: source.lag,
            position: source.position.as_ref().map(ToString::to_string),
            restarts: source.restarts,
            lines_broken: source.lines_broken,
            lines_cut: source.lines_cut,
            lost: reception.lost,
            refused: reception.refused,
            broken: reception.broken,
            closed: reception.closed,
            untrusted: source.untrusted,
            gaps: source.gaps,
            behind_ms: source.behind.map(|behind| u64::try_from(behind.as_millis()).unwrap_or(u64::MAX)),
            undated: if first { pipeline.undated(source.id) } else { 0 },
            named: if first { pipeline.named(source.id) } else { 0 },
        }
    };
    statuses.iter().map(row).collect()
}

/// What the administrator should know of them.
pub(super) fn warnings(sources: &[SourceRow]) -> Vec<String> {
    let mut errors: Vec<String> = sources.iter().filter_map(|source| source.error.clone()).collect();
    if let Some(more @ 1..) = errors.len().checked_sub(MOST_TOLD) {
        errors.truncate(MOST_TOLD);
        errors.push(format!("{more} more sources have errors: see `banctl status --json`"));
    }
    let named = sources.iter().filter(|source| source.named > 0).map(|source| {
        let SourceRow { path, named, .. } = source;
        format!("{path}: {} without addresses, and nobody is banned: have the service log addresses, or set usedns", counted(*named, "failure names a host", "failures name hosts"))
    });
    let broken = sources.iter().filter(|source| source.lines_broken > 0).map(|source| {
        let SourceRow { path, lines_broken, .. } = source;
        format!(
            "{path}: {} not what the container runtime writes and left out: is `format` right?",
            counted(*lines_broken, "line is", "lines are")
        )
    });
    let received = sources.iter().flat_map(reception_warnings);
    let logged = sources.iter().flat_map(journal_warnings);
    errors.into_iter().chain(named).chain(broken.take(MOST_TOLD)).chain(received).chain(logged).collect()
}

/// What a socket received and nobody has read as it was.
fn reception_warnings(source: &SourceRow) -> Vec<String> {
    let SourceRow { path, lost, refused, closed, .. } = source;
    let told = [
        (*lost, "datagrams were lost, more came than could be read: let senders use tcp"),
        (*refused, "datagrams or connections came from senders that `allow` does not name, and were refused"),
        (*closed, "connections were ended: too many were open, or a message did not end; see kband's log"),
    ];
    told.iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, what)| format!("{path}: {count} {what}"))
        .collect()
}

/// What a journal held and nobody has counted.
fn journal_warnings(source: &SourceRow) -> Vec<String> {
    let SourceRow { path, untrusted, gaps, .. } = source;
    let mut told = Vec::new();
    if *untrusted > 0 {
        told.push(format!(
            "{path}: {} that the service cannot be seen to have written, and nobody is banned: does a local \
             user forge them? If the service runs as a person's user, name it: \
             journalmatch = \"_SYSTEMD_UNIT=NAME.service _UID=NUMBER\"",
            counted(*untrusted, "entry matches", "entries match")
        ));
    }
    if *gaps > 0 {
        told.push(format!(
            "{path}: {} the journal was vacuumed before it was read on: raise SystemMaxUse or MaxRetentionSec \
             in journald.conf",
            counted(*gaps, "time", "times")
        ));
    }
    told
}
