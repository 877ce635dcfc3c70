//! `banctl test --profile`: what each pattern costs, by itself, on lines of the log.

use std::time::{Duration, Instant};

use serde::Serialize;

use crate::filter::{Clock, Filter};

/// So many lines are kept at most, spread evenly over the log.
const MOST_LINES: usize = 4096;
/// They are no more than so many bytes.
const MOST_BYTES: usize = 8 << 20;
/// No pattern is measured for longer.
const LONGEST: Duration = Duration::from_millis(500);

/// Every n-th line, with n growing as the log does.
#[derive(Debug)]
pub(super) struct Sample {
    lines: Vec<Vec<u8>>,
    bytes: usize,
    every: usize,
    seen: usize,
}

/// What a pattern costs.
#[derive(Debug, Clone, Copy, Serialize)]
pub(super) struct Cost {
    /// On an average line of the sample.
    pub(super) nanoseconds_per_line: u64,
    /// Of what all patterns cost, each by itself; 0 to 1.
    pub(super) share: f64,
}

impl Sample {
    pub(super) fn new() -> Self {
        Self { lines: Vec::new(), bytes: 0, every: 1, seen: 0 }
    }

    pub(super) fn add(&mut self, line: &[u8]) {
        if self.seen.is_multiple_of(self.every) {
            self.lines.push(line.to_vec());
            self.bytes += line.len();
        }
        self.seen += 1;
        while self.lines.len() > MOST_LINES || self.bytes > MOST_BYTES {
            let mut place = 0;
            self.lines.retain(|_| {
                place += 1;
                place % 2 == 1
            });
            self.every *= 2;
            self.bytes = self.lines.iter().map(Vec::len).sum();
        }
    }

    pub(super) fn lines(&self) -> usize {
        self.lines.len()
    }

    /// Runs each pattern by itself over the lines; head, date and prefix are taken off before.
    pub(super) fn measure(&self, filter: &Filter, clock: &Clock) -> Vec<Cost> {
        let mut explainer = filter.explainer();
        let prepared: Vec<_> = self.lines.iter().map(|line| explainer.prepare(line, clock)).collect();
        let patterns = filter.patterns().len();
        let mut spent = Vec::with_capacity(patterns);
        for pattern in 0..patterns {
            // The first round builds what the engine builds lazily.
            for line in prepared.iter().take(100) {
                std::hint::black_box(explainer.tries(pattern, line));
            }
            let begin = Instant::now();
            let mut tried = 0_u32;
            for line in &prepared {
                std::hint::black_box(explainer.tries(pattern, line));
                tried += 1;
                if tried.is_multiple_of(16) && begin.elapsed() > LONGEST {
                    break;
                }
            }
            spent.push(begin.elapsed().as_secs_f64() / f64::from(tried.max(1)));
        }
        let all: f64 = spent.iter().sum();
        let cost = |seconds: &f64| Cost {
            nanoseconds_per_line: u64::try_from(Duration::from_secs_f64(*seconds).as_nanos())
                .unwrap_or(u64::MAX),
            share: if all > 0.0 { (seconds / all * 1000.0).round() / 1000.0 } else { 0.0 },
        };
        spent.iter().map(cost).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_is_bounded_and_spread_over_the_log() {
        let mut sample = Sample::new();
        for number in 0..100_000_u32 {
            sample.add(format!("{number}").as_bytes());
        }
        assert!((MOST_LINES / 2..=MOST_LINES).contains(&sample.lines()), "{}", sample.lines());
        let last: usize = String::from_utf8(sample.lines.last().unwrap().clone()).unwrap().parse().unwrap();
        assert!(last > 99_000 - sample.every, "{last}");
        let mut sample = Sample::new();
        (0..100).for_each(|_| sample.add(&vec![b'x'; MOST_BYTES / 10]));
        assert!(sample.bytes <= MOST_BYTES && sample.lines() > 0);
    }
}
