//! Where the logs of a pattern were left off before this process. Each place is that of one file, whatever its name is by
//! now, and is given to one log: otherwise what was read under the old name would be read again under the new one.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::Path;

use super::open::Identity;
use super::position::is_in;
use crate::source::{FilePosition, Reading, Readings, Stream};

/// Those that no log has been given yet, by the names under which they were noted.
#[derive(Debug)]
pub(super) struct Stored(Readings);

impl Stored {
    /// All of them.
    pub(super) fn new(readings: Readings) -> Self {
        Self(readings)
    }

    /// These logs are met now. A place in one of them goes to it, under whatever name it was noted. If there are
    /// several, the furthest counts: a file that had two names was left off under the later one. Only files in which one may
    /// lie are opened.
    pub(super) fn follow_renames<'p>(&mut self, logs: impl Iterator<Item = (&'p Path, Identity)>) {
        let names: BTreeMap<(u64, u64), &Path> =
            logs.map(|(path, Identity { device, inode, .. })| ((device, inode), path)).collect();
        let mut renamed: BTreeMap<&Path, Vec<Stream>> = BTreeMap::new();
        for (stream, reading) in &self.0 {
            let Some(Reading { until, .. }) = reading.of_file() else { continue };
            if let Some(path) = names.get(&(until.device, until.inode)) {
                renamed.entry(path).or_default().push(stream.clone());
            }
        }
        renamed.retain(|path, streams| streams.iter().any(|stream| **stream != *path.as_os_str()));
        let mut given = Vec::new();
        for (path, streams) in renamed {
            let here = |stream: &Stream| {
                let until = self.0.get(stream)?.of_file()?.until;
                is_in(path, &until).then_some((until.offset, stream.clone()))
            };
            let mut here: Vec<(u64, Stream)> = streams.iter().filter_map(here).collect();
            here.sort();
            let furthest = here.last().and_then(|(_, stream)| self.0.get(stream)).cloned();
            given.extend(furthest.map(|reading| (path, reading, here)));
        }
        for (_, stream) in given.iter().flat_map(|(.., here)| here) {
            self.0.remove(stream);
        }
        for (path, reading, _) in given {
            self.0.insert(path.as_os_str().into(), reading);
        }
    }

    /// The place of the log that has this name.
    pub(super) fn take(&mut self, name: &OsStr) -> Option<Reading<FilePosition>> {
        self.0.remove(name)?.of_file()
    }
}
