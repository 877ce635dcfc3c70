//! fail2ban's own engine beside ours, line by line, over lines that nobody foresaw.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::net::IpAddr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use kban::filter::{Failure, Filter, LineMatch, LineVerdict, Scanner};
use serde_json::{Value, json};

use crate::corpus::{Package, cases};
use crate::dialect::{clock, reference};
use crate::features::{BASE, FEATURES};
use crate::mutate::{Dice, mutated};

/// Lines at least.
const LINES: usize = 10_000;

/// Another run's lines: KBAN_SEED=2.
fn seed() -> u64 {
    std::env::var("KBAN_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(1)
}

struct Job {
    name: String,
    path: std::path::PathBuf,
    options: BTreeMap<String, String>,
    all: bool,
    lines: Vec<Vec<u8>>,
}

/// The corpus as it is, then mutated, once with each set of options and each way of trying patterns.
fn jobs(package: &Package) -> Vec<Job> {
    let mut sets = Vec::new();
    for (name, path) in package.filters() {
        let mut by_options: BTreeMap<BTreeMap<String, String>, Vec<Vec<u8>>> = BTreeMap::new();
        for case in cases(package, &name) {
            by_options.entry(case.options).or_default().push(case.line);
        }
        for (options, lines) in by_options {
            sets.push((name.clone(), path.clone(), options, lines));
        }
    }
    let total: usize = sets.iter().map(|(.., lines)| lines.len()).sum();
    let rounds = LINES.div_ceil(total) + 1;
    let mut dice = Dice::new(seed());
    let mut jobs = Vec::new();
    for (name, path, options, lines) in sets {
        let mut all_lines = lines.clone();
        for _ in 0..rounds {
            for line in &lines {
                let other = &lines[dice.below(lines.len())];
                all_lines.push(mutated(line, other, &mut dice));
            }
        }
        for all in [true, false] {
            let (name, path, options) = (name.clone(), path.clone(), options.clone());
            jobs.push(Job { name, path, options, all, lines: all_lines.clone() });
        }
    }
    jobs
}

/// What fail2ban answers to each job.
fn peer(package: &Package, jobs: &[Job]) -> Vec<Vec<Value>> {
    let driver = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/peers/fail2ban_engine.py");
    let mut command = Command::new("/usr/bin/python3");
    command.arg(driver).arg(&package.python).arg(&package.config);
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("fail2ban needs /usr/bin/python3: run scripts/install-tools test");
    let mut input = child.stdin.take().unwrap();
    let mut text = Vec::new();
    for job in jobs {
        let hex = |line: &Vec<u8>| line.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let directory = job.path.parent().and_then(Path::parent).unwrap();
        let job = json!({
            "filter": job.name, "dir": directory, "options": job.options, "all": job.all,
            "lines": job.lines.iter().map(hex).collect::<Vec<_>>(),
        });
        writeln!(text, "{job}").unwrap();
    }
    let writer = std::thread::spawn(move || input.write_all(&text));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap().unwrap();
    assert!(output.status.success(), "fail2ban's engine ended: {}", output.status);
    let answers = String::from_utf8(output.stdout).unwrap();
    answers.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// A result of ours in the peer's form.
fn result(found: &LineMatch) -> Value {
    let internal = ["nofail", "mlfforget", "mlfgained", "ip"];
    let fields: BTreeMap<_, _> =
        found.fields.iter().filter(|(key, _)| !internal.contains(&key.as_str())).collect();
    json!([found.pattern, found.host, found.time.as_second(), found.attempts, fields])
}

#[test]
fn rare_features_work_as_in_fail2bans_own_engine() {
    let package = Package::find();
    let directory = tempfile::tempdir().unwrap();
    let filters = directory.path().join("filter.d");
    fs::create_dir(&filters).unwrap();
    fs::write(filters.join(BASE.0), BASE.1).unwrap();
    let mut dice = Dice::new(seed());
    let mut jobs = Vec::new();
    for (name, filter, local, options, text) in FEATURES {
        let path = filters.join(format!("{name}.conf"));
        fs::write(&path, filter).unwrap();
        if !local.is_empty() {
            fs::write(path.with_extension("local"), local).unwrap();
        }
        let lines: Vec<Vec<u8>> = text.lines().map(|line| line.as_bytes().to_vec()).collect();
        let mut all_lines = lines.clone();
        for _ in 0..40 {
            for line in &lines {
                all_lines.push(match dice.below(3) {
                    0 => line.clone(),
                    _ => mutated(line, &lines[dice.below(lines.len())], &mut dice),
                });
            }
        }
        for all in [true, false] {
            let options = options.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
            let (name, path, options) = ((*name).to_owned(), path.clone(), options.collect());
            jobs.push(Job { name, path, options, all, lines: all_lines.clone() });
        }
    }
    assert!(compare(&package, &jobs) > 1000);
}

#[test]
fn mutated_lines_get_the_verdicts_of_fail2bans_own_engine() {
    let package = Package::find();
    // fail2ban looks for what filters include beside them only.
    let jobs: Vec<Job> = jobs(&package).into_iter().filter(|job| !job.name.starts_with("zzz-")).collect();
    assert!(compare(&package, &jobs) >= LINES);
}

/// Both engines on all jobs; how many lines they agree about.
fn compare(package: &Package, jobs: &[Job]) -> usize {
    let answers = peer(package, jobs);
    assert_eq!(answers.len(), jobs.len());
    let clock = clock();
    let (mut compared, mut matched, mut refused, mut wrong) = (0, 0, 0, Vec::new());
    for (job, answer) in jobs.iter().zip(&answers) {
        let filter = Filter::load(&reference(&job.path, &job.options), &[]).unwrap();
        let mut scanner = Scanner::new(&[filter.into()]);
        for (line, theirs) in job.lines.iter().zip(answer) {
            let ours = match scanner.line(0, line, &clock, job.all) {
                LineVerdict::Match { first, others } => {
                    std::iter::once(&first).chain(&others).map(result).collect()
                }
                _ => Vec::new(),
            };
            let Some(theirs) = theirs.as_array() else {
                refused += 1;
                continue;
            };
            // Nobody says when summer time began in the year 508.
            if theirs.iter().any(|theirs| theirs[2].as_f64().is_some_and(|time| time < 0.0)) {
                continue;
            }
            let theirs: Vec<Value> = theirs.iter().map(|theirs| normal(theirs, &clock)).collect();
            compared += 1;
            matched += usize::from(!theirs.is_empty());
            if ours != theirs {
                wrong.push(format!(
                    "{} {:?} all={}: {:?}\n  ours   {}\n  theirs {}",
                    job.name,
                    job.options,
                    job.all,
                    String::from_utf8_lossy(line),
                    Value::from(ours),
                    Value::from(theirs),
                ));
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "{} of {compared} lines ({matched} match; fail2ban itself fails on {refused}):\n{}",
        wrong.len(),
        wrong.join("\n")
    );
    println!("{compared} lines, {matched} match; fail2ban itself fails on {refused}");
    compared
}

/// A time that fail2ban does not know is ours to be now; it counts in whole seconds. Addresses are written as we do.
fn normal(theirs: &Value, clock: &kban::filter::Clock) -> Value {
    let mut theirs = theirs.clone();
    if let Some(host) = theirs.get_mut(1)
        && let Some(Ok(address)) = host.as_str().map(str::parse::<IpAddr>)
    {
        *host = Value::from(address.to_string());
    }
    if let Some(time) = theirs.get_mut(2) {
        let whole = |seconds: f64| jiff::SignedDuration::from_secs_f64(seconds).as_secs();
        *time = Value::from(time.as_f64().map_or(clock.now.as_second(), whole));
    }
    theirs
}

/// kband searches blocks for literals, and looks only at the lines that hold one.
#[test]
fn blocks_give_the_failures_that_their_lines_give() {
    let clock = clock();
    let (mut failures, mut moved, mut looked_at, mut total, mut wrong) = (0, 0, 0, 0, Vec::new());
    for job in jobs(&Package::find()).iter().filter(|job| !job.all) {
        let filter = Arc::new(Filter::load(&reference(&job.path, &job.options), &[]).unwrap());
        let mut scanner = Scanner::new(&[Arc::clone(&filter)]);
        let block = job.lines.join(&b'\n');
        let mut of_block = Vec::new();
        scanner.scan(&block, &clock, &mut |_, failure, line| of_block.push((line.to_vec(), failure)));
        looked_at += scanner.counters().lines_looked_at;
        let mut scanner = Scanner::new(&[filter]);
        let mut of_lines = Vec::new();
        for line in &job.lines {
            total += 1;
            if let LineVerdict::Match { first, others } = scanner.line(0, line, &clock, false) {
                for found in std::iter::once(first).chain(others) {
                    let Some(address) = found.address else { continue };
                    let LineMatch { time, prefix_len, pattern, attempts, .. } = found;
                    let failure = Failure { time, address, prefix_len, pattern, attempts };
                    of_lines.push((line.clone(), failure));
                }
            }
        }
        failures += of_lines.len();
        let shown =
            |(line, failure): &(Vec<u8>, Failure)| format!("{failure:?} {}", String::from_utf8_lossy(line));
        let only = |these: &[(Vec<u8>, Failure)], those: &[(Vec<u8>, Failure)]| -> Vec<String> {
            these.iter().filter(|one| !those.contains(one)).map(shown).collect()
        };
        // A line whose own date is broken is of the time of the line before, which the block's scan may not have looked at.
        let timeless = |all: &[(Vec<u8>, Failure)]| -> Vec<(Vec<u8>, IpAddr, usize)> {
            all.iter().map(|(line, failure)| (line.clone(), failure.address, failure.pattern)).collect()
        };
        moved += of_block.iter().zip(&of_lines).filter(|(one, other)| one.1.time != other.1.time).count();
        if timeless(&of_block) != timeless(&of_lines) {
            wrong.push(format!(
                "{} {:?}:\n  only the block {:#?}\n  only the lines {:#?}",
                job.name,
                job.options,
                only(&of_block, &of_lines),
                only(&of_lines, &of_block)
            ));
        }
    }
    println!("{failures} failures in {total} lines, {looked_at} looked at");
    // Which of two dates is cut out of a line depends on the lines before, too; lines with two dates are rare but here.
    assert!(wrong.len() * 1000 < failures, "{}", wrong.join("\n"));
    assert!(moved * 200 < failures, "{moved} of {failures} failures have another time");
}
