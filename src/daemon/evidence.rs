//! The log lines of whoever has failed lately, until a ban is made of it.
//!
//! They are kept in the order in which they came; when there are too many bytes, the oldest go first. A flood of offenders may
//! so cost one of them his lines, but never memory.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use ipnet::IpNet;
use jiff::Timestamp;

use crate::store::Line;

/// How many bytes of a line are kept.
const LONGEST: usize = 400;
/// How many bytes all lines may take, with what it takes to find them.
const MOST: usize = 4 << 20;
/// About what it takes to find the lines of an offender.
const ENTRY: usize = 64;

/// Whose failures, and by which jail they are counted.
type Offender = (IpNet, Arc<str>);

/// The lines.
#[derive(Debug, Default)]
pub(super) struct Evidence {
    /// How many lines of an offender are wanted.
    wanted: usize,
    /// Oldest first; the number of the first one is `first`.
    notes: VecDeque<Note>,
    first: u64,
    /// The number of each offender's last note.
    last: HashMap<Offender, u64>,
    bytes: usize,
}

#[derive(Debug)]
struct Note {
    offender: Offender,
    /// The number of the note before it of the same offender.
    before: Option<u64>,
    line: Line,
}

impl Note {
    fn weight(&self) -> usize {
        size_of::<Self>() + ENTRY + self.line.bytes.len()
    }
}

impl Evidence {
    /// Keeps so many lines of each offender from now on; with 0, none.
    pub(super) fn want(&mut self, wanted: usize) {
        self.wanted = wanted;
        if wanted == 0 {
            *self = Self::default();
        }
    }

    /// Whether lines are kept.
    pub(super) fn is_wanted(&self) -> bool {
        self.wanted > 0
    }

    /// Keeps the line of a failure that was counted.
    pub(super) fn note(&mut self, prefix: IpNet, jail: &Arc<str>, time: Timestamp, line: &[u8]) {
        let bytes = line.get(..LONGEST).unwrap_or(line).into();
        let offender = (prefix, Arc::clone(jail));
        let number = self.first + self.notes.len() as u64;
        let before = self.last.insert(offender.clone(), number);
        let note = Note { offender, before, line: Line { time, bytes } };
        self.bytes += note.weight();
        self.notes.push_back(note);
        while self.bytes > MOST {
            self.forget_first();
        }
    }

    /// The last lines of an offender, oldest first.
    pub(super) fn of(&self, prefix: IpNet, jail: &Arc<str>) -> Vec<Line> {
        self.chain(self.last.get(&(prefix, Arc::clone(jail))).copied())
    }

    /// The same; they are not asked for again.
    pub(super) fn take(&mut self, prefix: IpNet, jail: &Arc<str>) -> Vec<Line> {
        // Where none are kept, nothing is looked for.
        if self.last.is_empty() {
            return Vec::new();
        }
        let last = self.last.remove(&(prefix, Arc::clone(jail)));
        self.chain(last)
    }

    fn chain(&self, last: Option<u64>) -> Vec<Line> {
        let note = |number: u64| self.notes.get(usize::try_from(number.checked_sub(self.first)?).ok()?);
        let chain = std::iter::successors(last.and_then(note), |later| later.before.and_then(note));
        let mut lines: Vec<Line> = chain.take(self.wanted).map(|note| note.line.clone()).collect();
        lines.reverse();
        lines
    }

    fn forget_first(&mut self) {
        let Some(oldest) = self.notes.pop_front() else { return };
        self.bytes -= oldest.weight();
        if self.last.get(&oldest.offender) == Some(&self.first) {
            self.last.remove(&oldest.offender);
        }
        self.first += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::IpAddr;

    fn host(number: u32) -> IpNet {
        IpNet::from(IpAddr::from((0x0a00_0000 + number).to_be_bytes()))
    }

    fn texts(lines: &[Line]) -> Vec<&str> {
        lines.iter().map(|line| str::from_utf8(&line.bytes).unwrap()).collect()
    }

    #[test]
    fn each_offender_has_his_own_last_lines() {
        let (mut evidence, sshd, web) = (Evidence::default(), Arc::from("sshd"), Arc::from("web"));
        evidence.want(2);
        let now = Timestamp::now();
        for (offender, jail, line) in
            [(1, &sshd, "a"), (2, &sshd, "b"), (1, &web, "c"), (1, &sshd, "d"), (1, &sshd, "e")]
        {
            evidence.note(host(offender), jail, now, line.as_bytes());
        }
        assert_eq!(texts(&evidence.of(host(1), &sshd)), ["d", "e"]);
        assert_eq!(texts(&evidence.take(host(1), &sshd)), ["d", "e"]);
        assert_eq!(evidence.take(host(1), &sshd), [], "they were taken");
        evidence.note(host(1), &sshd, now, b"f");
        assert_eq!(texts(&evidence.take(host(1), &sshd)), ["f"], "what was taken is not told twice");
        assert_eq!(texts(&evidence.take(host(1), &web)), ["c"]);
        evidence.want(0);
        assert_eq!(evidence.take(host(2), &sshd), []);
    }

    #[test]
    fn a_flood_of_offenders_takes_no_more_than_its_share() {
        let (mut evidence, jail) = (Evidence::default(), Arc::from("sshd"));
        evidence.want(5);
        for number in 0..100_000 {
            evidence.note(host(number), &jail, Timestamp::UNIX_EPOCH, &[b'x'; 1_000]);
            evidence.note(host(0), &jail, Timestamp::UNIX_EPOCH, b"again");
        }
        assert!(evidence.bytes <= MOST, "{}", evidence.bytes);
        assert!(evidence.last.len() <= evidence.notes.len());
        assert_eq!(evidence.of(host(1), &jail), [], "the oldest have gone");
        let last = evidence.of(host(99_999), &jail);
        assert_eq!(last.iter().map(|line| line.bytes.len()).collect::<Vec<_>>(), [LONGEST]);
        assert_eq!(texts(&evidence.of(host(0), &jail)), ["again"; 5]);
    }
}
