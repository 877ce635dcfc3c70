//! `banctl test`: lines, hits of each pattern, and whom a jail would ban.

use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;

use jiff::Timestamp;
use serde::Serialize;

use super::{Blocks, Options};
use crate::cli::exit::{Exit, Failure};
use crate::cli::{Shared, output};
use crate::config::duration::BanTime;
use crate::config::plan::{ControlPlan, FirewallPlan, JailPlan, Plan};
use crate::filter::{Clock, Filter, Scanner};
use crate::jail::engine::{Engine, JailId, Judgement};
use crate::jail::shown;

#[derive(Serialize)]
struct Document {
    filter: String,
    file: String,
    lines: u64,
    matched: u64,
    ignored: u64,
    missed: u64,
    undated: u64,
    patterns: Vec<Hits>,
    maxretry: u32,
    findtime_seconds: u64,
    would_ban: Vec<Convict>,
}

#[derive(Serialize)]
struct Hits {
    pattern: usize,
    regex: String,
    hits: u64,
}

#[derive(Serialize)]
struct Convict {
    address: String,
    time: Timestamp,
}

pub(super) fn run(
    shared: &Shared,
    options: &Options,
    filter: &Arc<Filter>,
    clock: &Clock,
    blocks: &mut Blocks,
    out: &mut dyn Write,
) -> Result<Exit, Failure> {
    let mut hits = vec![0; filter.patterns().len()];
    let (mut lines, mut matched, mut would_ban) = (0, 0, Vec::new());
    let mut scanner = Scanner::new(&[Arc::clone(filter)]);
    let mut engine = Engine::new();
    engine.configure(&plan(jail(options, filter)));
    let name: Arc<str> = options.file.as_str().into();
    let mut latest = Timestamp::MIN;
    loop {
        let block = blocks.next()?;
        if block.is_empty() {
            break;
        }
        lines += memchr::memchr_iter(b'\n', block).count();
        scanner.scan(block, clock, &mut |_, failure, _| {
            matched += 1;
            if let Some(hits) = hits.get_mut(failure.pattern) {
                *hits += 1;
            }
            // The log's own time stands for now: an old log is judged as if it were read as it was written.
            latest = latest.max(failure.time);
            if let Judgement::Verdict(verdict) = engine.observe(JailId(0), &failure, &name, latest) {
                would_ban.push(Convict { address: shown(&verdict.ban().prefix), time: failure.time });
            }
        });
    }
    let counters = scanner.counters();
    let lines = u64::try_from(lines).unwrap_or(u64::MAX);
    let document = Document {
        filter: options.filter.clone(),
        file: options.file.clone(),
        lines,
        matched,
        ignored: counters.ignored,
        missed: lines.saturating_sub(matched).saturating_sub(counters.ignored),
        undated: counters.undated,
        patterns: filter
            .patterns()
            .zip(hits)
            .enumerate()
            .map(|(pattern, (regex, hits))| Hits { pattern, regex: regex.into(), hits })
            .collect(),
        maxretry: options.maxretry,
        findtime_seconds: options.findtime.get().as_secs(),
        would_ban,
    };
    if shared.json {
        output::print_json(out, &document)?;
    } else {
        print(&document, options, out)?;
    }
    Ok(if matched > 0 { Exit::Done } else { Exit::No })
}

/// Just this jail.
fn plan(jail: JailPlan) -> Plan {
    Plan {
        bantime: jail.bantime,
        jails: vec![jail],
        firewall: FirewallPlan { set_size: u32::MAX },
        control: ControlPlan { group: String::new() },
        ignoreip: Vec::new(),
        warnings: Vec::new(),
    }
}

/// One jail with the filter under test; who is banned stays banned, so that each address is named once.
fn jail(options: &Options, filter: &Arc<Filter>) -> JailPlan {
    JailPlan {
        name: "test".into(),
        filter: Arc::clone(filter),
        logpath: vec![PathBuf::from(&options.file)],
        maxretry: options.maxretry,
        findtime: options.findtime.get(),
        bantime: BanTime::Permanent,
        ignoreip: Vec::new(),
        ipv6_prefix: 64,
        max_tracked: 1_000_000,
    }
}

fn print(document: &Document, options: &Options, out: &mut dyn Write) -> std::io::Result<()> {
    let Document { lines, matched, ignored, missed, .. } = document;
    writeln!(out, "{lines} lines: {matched} matched, {ignored} ignored, {missed} missed")?;
    if document.undated > 0 {
        writeln!(
            out,
            "{} matched but have a date that cannot be; they count as happening now",
            document.undated
        )?;
    }
    writeln!(out)?;
    let mut table = output::table(&["HITS", "PATTERN", ""]);
    for hits in document.patterns.iter().filter(|hits| hits.hits > 0) {
        table.add_row([hits.hits.to_string(), hits.pattern.to_string(), output::harmless(&hits.regex)]);
    }
    output::print_table(out, &table)?;
    let silent = document.patterns.iter().filter(|hits| hits.hits == 0).count();
    writeln!(out, "{silent} of {} patterns never matched", document.patterns.len())?;
    writeln!(out)?;
    let convicts = document.would_ban.len();
    let findtime = BanTime::For(options.findtime.get());
    write!(out, "a jail with maxretry {} and findtime {findtime} would ban ", options.maxretry)?;
    if convicts == 0 {
        return writeln!(out, "nobody");
    }
    writeln!(out, "{convicts}:")?;
    let mut table = output::table(&["ADDRESS", "AT"]);
    for convict in &document.would_ban {
        let at = convict.time.to_zoned(jiff::tz::TimeZone::system()).strftime("%F %T").to_string();
        table.add_row([convict.address.clone(), at]);
    }
    output::print_table(out, &table)
}
