//! What is in a journal, for whoever tries filters out: the lines that kband would read there, and no others.

use std::collections::BTreeSet;
use std::fmt;
use std::io::{self, Read};

use jiff::tz::TimeZone;

use super::entry::{self, Standing};
use super::export::Export;
use super::matches::Matches;

/// How much is taken from journalctl at once.
const CHUNK: usize = 64 * 1024;

/// Lines out of what journalctl writes when it was given [`Past::arguments`].
pub struct Past<R> {
    from: R,
    export: Export,
    matches: Option<Matches>,
    zone: TimeZone,
    chunk: Vec<u8>,
    /// Lines, and how many of their bytes were taken.
    lines: Vec<u8>,
    taken: usize,
    /// Entries that matched, and that their service cannot be seen to have written.
    refused: u64,
    /// Hears how many that were, at the end.
    told: Box<dyn FnMut(u64)>,
}

impl<R> fmt::Debug for Past<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Past").field("refused", &self.refused).finish_non_exhaustive()
    }
}

impl<R> Past<R> {
    /// Of the entries that match, those that their service can have written; `None`: all, whoever has written them. At the
    /// end, `told` hears how many others there were.
    pub fn new(from: R, matches: Option<Matches>, told: impl FnMut(u64) + 'static) -> Self {
        let (chunk, zone, told) = (vec![0; CHUNK], TimeZone::system(), Box::new(told));
        Self {
            from,
            export: Export::new(),
            matches,
            zone,
            chunk,
            lines: Vec::new(),
            taken: 0,
            refused: 0,
            told,
        }
    }

    /// What journalctl is to be called with, beside where the journal is.
    #[must_use]
    pub fn arguments(matches: Option<&Matches>) -> Vec<String> {
        let fields = fields(matches);
        let mut arguments = vec!["--output=export".to_owned(), format!("--output-fields={fields}")];
        arguments.extend(Matches::arguments(matches));
        arguments
    }

    fn take(&mut self, length: usize) -> io::Result<()> {
        let Self { export, matches, zone, lines, refused, .. } = self;
        let mut each = |entry: &super::export::Entry| {
            match matches.as_ref().map_or(Standing::Counts, |matches| entry::standing(entry, matches)) {
                Standing::Counts => {
                    entry::render(entry, zone, lines);
                }
                Standing::Refused => *refused += 1,
                Standing::Other => {}
            }
            Ok(())
        };
        export.take(self.chunk.get(..length).unwrap_or_default(), &mut each).map_err(io::Error::other)
    }
}

/// The fields that are looked at, as `--output-fields` has them.
pub(super) fn fields<'m>(matches: impl IntoIterator<Item = &'m Matches>) -> String {
    let fields: BTreeSet<&str> = matches.into_iter().flat_map(Matches::fields).chain(entry::FIELDS).collect();
    fields.into_iter().collect::<Vec<_>>().join(",")
}

impl<R: Read> Read for Past<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.taken == self.lines.len() {
            self.lines.clear();
            self.taken = 0;
            let length = self.from.read(&mut self.chunk)?;
            if length == 0 {
                (self.told)(std::mem::take(&mut self.refused));
                return Ok(0);
            }
            self.take(length)?;
        }
        let count = self.lines.get(self.taken..).unwrap_or_default().read(buffer)?;
        self.taken += count;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;
    use std::rc::Rc;

    const ENTRIES: &str = "__CURSOR=x\n__REALTIME_TIMESTAMP=1795290402964155\n_UID=0\n_COMM=sshd\nMESSAGE=one\n\n\
        __REALTIME_TIMESTAMP=1795290402964155\n_UID=1000\n_COMM=sshd\nMESSAGE=two\n\n\
        __REALTIME_TIMESTAMP=1795290402964155\n_UID=0\n_COMM=cron\nMESSAGE=three\n\n";

    fn read(matches: Option<&str>) -> (Vec<String>, u64) {
        let refused = Rc::new(Cell::new(0));
        let told = Rc::clone(&refused);
        let matches = matches.map(|matches| matches.parse().unwrap());
        let mut lines = String::new();
        let mut past = Past::new(ENTRIES.as_bytes(), matches, move |count| told.set(told.get() + count));
        past.read_to_string(&mut lines).unwrap();
        let texts = lines.lines().map(|line| line.rsplit(' ').next().unwrap().to_owned());
        (texts.collect(), refused.get())
    }

    #[test]
    fn what_anybody_can_have_written_is_left_out_and_counted() {
        assert_eq!(read(Some("_COMM=sshd")), (vec!["one".into()], 1));
        assert_eq!(read(None), (vec!["one".into(), "two".into(), "three".into()], 0));
    }

    #[test]
    fn what_is_something_else_is_an_error() {
        let mut past = Past::new(&b"Nov 21 06:50:25 h sshd[1]: x\n\n"[..], None, |_| {});
        assert!(past.read_to_end(&mut Vec::new()).unwrap_err().to_string().contains("export format"));
    }
}
