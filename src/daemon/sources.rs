//! How the sources are doing, for `banctl status`.

use std::collections::BTreeSet;

use super::pipeline::Pipeline;
use crate::control::protocol::SourceRow;
use crate::source::SourceStatus;

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
        format!("{path}: {named} failures name hosts without addresses and ban nobody: have the service log addresses, or set usedns")
    });
    let broken = sources.iter().filter(|source| source.lines_broken > 0).map(|source| {
        let SourceRow { path, lines_broken, .. } = source;
        format!("{path}: {lines_broken} lines are not what the container runtime writes and were left out: is `format` right?")
    });
    errors.into_iter().chain(named).chain(broken.take(MOST_TOLD)).collect()
}
