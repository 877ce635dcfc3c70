//! `banctl test`: lines, hits of each pattern, and whom a jail would ban.

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::Arc;

use jiff::Timestamp;
use serde::Serialize;

use super::input::Input;
use super::jail::Settings;
use super::lines::{Fate, Kept, Lines};
use super::names::{Name, Names};
use super::options::Options;
use super::profile::{Cost, Sample};
use super::report;
use crate::cli::exit::{Exit, Failure};
use crate::cli::output;
use crate::config::duration::BanTime;
use crate::filter::{self, Clock, Filter, Scanner, date_shape};
use crate::jail::engine::{Engine, Judgement};
use crate::jail::jails::JailId;
use crate::jail::{Verdict, shown};

/// What is tested, with what, and under which settings.
pub(super) struct Tested<'o> {
    pub(super) options: &'o Options,
    pub(super) filter: Arc<Filter>,
    pub(super) clock: Clock,
    pub(super) inputs: Vec<Input>,
    pub(super) settings: Settings,
    /// What was assumed.
    pub(super) notes: Vec<String>,
}

/// `{"schema":1,...}`.
#[derive(Serialize)]
pub(super) struct Document {
    filter: String,
    /// The first of `files`.
    file: String,
    files: Vec<String>,
    pub(super) notes: Vec<String>,
    pub(super) lines: u64,
    pub(super) matched: u64,
    pub(super) ignored: u64,
    /// Matches whose host is no address.
    pub(super) named: u64,
    pub(super) missed: u64,
    pub(super) undated: u64,
    pub(super) dates: Vec<DateFormat>,
    pub(super) patterns: Vec<Hits>,
    /// How many lines the costs were measured on.
    pub(super) profiled_lines: Option<usize>,
    pub(super) names: Vec<Name>,
    jail: Option<String>,
    maxretry: u32,
    findtime_seconds: u64,
    /// None is permanent.
    bantime_seconds: Option<u64>,
    /// Failures of addresses that are never banned.
    pub(super) allowed: u64,
    pub(super) would_ban: Vec<Convict>,
    #[serde(flatten)]
    kept: Kept,
}

#[derive(Serialize)]
pub(super) struct DateFormat {
    pub(super) format: String,
    pub(super) hits: u64,
}

#[derive(Serialize)]
pub(super) struct Hits {
    pub(super) pattern: usize,
    pub(super) regex: String,
    pub(super) hits: u64,
    /// The backtracking engine runs it.
    pub(super) backtracks: bool,
    #[serde(flatten)]
    pub(super) cost: Option<Cost>,
}

#[derive(Serialize)]
pub(super) struct Convict {
    pub(super) address: String,
    pub(super) time: Timestamp,
    /// None is permanent.
    pub(super) until: Option<Timestamp>,
}

/// Counts, and bans as a jail would.
struct Tally {
    lines: u64,
    matched: u64,
    named: u64,
    ignored: u64,
    undated: u64,
    hits: Vec<u64>,
    dates: BTreeMap<String, u64>,
    sample: Option<Sample>,
    engine: Engine,
    latest: Timestamp,
    would_ban: Vec<Convict>,
    kept: Kept,
}

impl Tally {
    fn count(&mut self, failure: &filter::Failure, source: &Arc<str>) {
        self.matched += 1;
        if let Some(hits) = self.hits.get_mut(failure.pattern) {
            *hits += 1;
        }
        // The log's own time stands for now: an old log is judged as if it were read as it was written.
        self.latest = self.latest.max(failure.time);
        while self.engine.expire_next(self.latest).is_some() {}
        if let Judgement::Verdicts(verdicts) =
            self.engine.observe(JailId(0), failure, None, source, self.latest)
        {
            let bans = verdicts.iter().filter_map(|verdict| match verdict {
                Verdict::Ban(ban) => Some(ban),
                Verdict::Unban(..) => None,
            });
            self.would_ban.extend(bans.map(|ban| Convict {
                address: shown(&ban.prefix),
                time: failure.time,
                until: ban.until,
            }));
        }
    }

    /// What every line tells, whatever becomes of it.
    fn look_at(&mut self, block: &[u8], with_dates: bool) {
        self.lines += u64::try_from(memchr::memchr_iter(b'\n', block).count()).unwrap_or(u64::MAX);
        if !with_dates && self.sample.is_none() {
            return;
        }
        for line in block.split_inclusive(|&byte| byte == b'\n') {
            if let Some(sample) = &mut self.sample {
                sample.add(line);
            }
            if with_dates && let Some(shape) = date_shape(line) {
                match self.dates.get_mut(shape) {
                    Some(hits) => *hits += 1,
                    None => drop(self.dates.insert(shape.to_owned(), 1)),
                }
            }
        }
    }
}

pub(super) fn run(tested: Tested<'_>, json: bool, out: &mut dyn Write) -> Result<Exit, Failure> {
    let Tested { options, filter, clock, inputs, settings, notes } = tested;
    if !json {
        report::notes(out, &notes)?;
    }
    let mut tally = Tally {
        lines: 0,
        matched: 0,
        named: 0,
        ignored: 0,
        undated: 0,
        hits: vec![0; filter.patterns().len()],
        dates: BTreeMap::new(),
        sample: options.profile.then(Sample::new),
        engine: Engine::new(),
        latest: Timestamp::MIN,
        would_ban: Vec::new(),
        kept: Kept::default(),
    };
    tally.engine.configure(&settings.plan(&filter));
    let alone = matches!(&*inputs, [Input::Line(_)]);
    let mut lines = Lines::wanted(options, &filter, &clock, alone);
    let prints = !json && lines.as_ref().is_some_and(Lines::shows);
    for input in &inputs {
        let mut blocks = input.open(&filter, !(prints && output::is_terminal()))?;
        let mut scanner = Scanner::new(&[Arc::clone(&filter)]);
        let source: Arc<str> = input.name().into();
        loop {
            let block = blocks.next()?;
            if block.is_empty() {
                break;
            }
            let before = tally.lines;
            tally.look_at(block, !filter.is_dialect());
            match &mut lines {
                None => scanner.scan(block, &clock, &mut |_, failure, _| tally.count(&failure, &source)),
                Some(lines) => {
                    for (number, line) in (before + 1..).zip(block.split_inclusive(|&byte| byte == b'\n')) {
                        one_by_one(lines, &mut tally, &mut scanner, (number, line, &source), json, out)?;
                    }
                }
            }
        }
        let counters = scanner.counters();
        tally.undated += counters.undated;
        tally.ignored += counters.ignored;
        tally.named += counters.named;
        for (format, hits) in scanner.date_formats(0) {
            *tally.dates.entry(format).or_default() += hits;
        }
    }
    let left_out = lines.as_ref().map(Lines::left_out).unwrap_or_default();
    let names = lines.and_then(Lines::names);
    let matched = tally.matched > 0;
    let document = document(tally, (options, &filter, &clock, &inputs), &settings, notes, names);
    if json {
        output::print_json(out, &document)?;
    } else {
        report::print(&document, &settings, &left_out, out)?;
    }
    Ok(if matched { Exit::Done } else { Exit::No })
}

fn one_by_one(
    lines: &mut Lines<'_>,
    tally: &mut Tally,
    scanner: &mut Scanner,
    (number, line, source): (u64, &[u8], &Arc<str>),
    json: bool,
    out: &mut dyn Write,
) -> Result<(), Failure> {
    let before = scanner.counters().ignored;
    let judged = lines.judge(scanner, line);
    // Where the scanner does not count, this does.
    let counted = scanner.counters().ignored > before;
    tally.ignored += u64::from(judged.fate == Fate::Ignored && !counted);
    tally.named += judged.named;
    for failure in &judged.failures {
        tally.count(failure, source);
    }
    let fate = judged.fate;
    let Some(shown) = lines.explain(number, line, judged) else { return Ok(()) };
    if !json {
        return Ok(lines.print(out, fate, &shown)?);
    }
    match fate {
        Fate::Matched => tally.kept.matched_lines.push(shown),
        Fate::Ignored => tally.kept.ignored_lines.push(shown),
        Fate::Missed => tally.kept.missed_lines.push(shown),
    }
    Ok(())
}

fn document(
    tally: Tally,
    (options, filter, clock, inputs): (&Options, &Filter, &Clock, &[Input]),
    settings: &Settings,
    notes: Vec<String>,
    names: Option<Names>,
) -> Document {
    let profiled_lines = tally.sample.as_ref().map(Sample::lines);
    let costs = tally.sample.map(|sample| sample.measure(filter, clock)).unwrap_or_default();
    let backtracking = filter.backtracking();
    let hits = filter.patterns().zip(tally.hits).enumerate();
    let files: Vec<String> = inputs.iter().map(Input::name).collect();
    Document {
        filter: options.shown().to_owned(),
        file: files.first().cloned().unwrap_or_default(),
        files,
        notes,
        lines: tally.lines,
        matched: tally.matched,
        ignored: tally.ignored,
        named: tally.named,
        missed: tally.lines.saturating_sub(tally.matched + tally.ignored + tally.named),
        undated: tally.undated,
        dates: tally.dates.into_iter().map(|(format, hits)| DateFormat { format, hits }).collect(),
        patterns: hits
            .map(|(pattern, (regex, hits))| Hits {
                pattern,
                regex: regex.into(),
                hits,
                backtracks: backtracking.contains(&pattern),
                cost: costs.get(pattern).copied(),
            })
            .collect(),
        profiled_lines,
        names: names.map(Names::list).unwrap_or_default(),
        jail: settings.jail.clone(),
        maxretry: settings.maxretry,
        findtime_seconds: settings.findtime.as_secs(),
        bantime_seconds: match settings.bantime {
            BanTime::For(length) => Some(length.as_secs()),
            BanTime::Permanent => None,
        },
        allowed: tally.engine.jails().first().map_or(0, |jail| jail.tally.ignored),
        would_ban: tally.would_ban,
        kept: tally.kept,
    }
}
