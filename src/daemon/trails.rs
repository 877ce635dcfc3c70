//! How far each stream of each source has been dealt with: of those that are read, and of those that once were.

use std::collections::{BTreeMap, BTreeSet};
use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::trail::Trail;
use crate::source::{Reading, Readings, Stream, StreamKey};

/// All of them, by the names of their sources.
#[derive(Debug, Default)]
pub(super) struct Trails {
    sources: BTreeMap<Arc<str>, Followed>,
    /// Of those that this process has not read, the ones that are old.
    stale: BTreeSet<StreamKey>,
}

/// One source.
#[derive(Debug, Default)]
struct Followed {
    /// The longest `findtime` of the jails that read it.
    window: Duration,
    streams: BTreeMap<Stream, Trail>,
}

impl Trails {
    /// Goes on where the store says, which knows some for long.
    pub(super) fn new(stored: BTreeMap<StreamKey, Reading>, stale: BTreeSet<StreamKey>) -> Self {
        let mut trails = Self { stale, ..Self::default() };
        for (StreamKey { source, stream }, reading) in stored {
            trails.sources.entry(source).or_default().streams.insert(stream, Trail::new(Some(reading)));
        }
        trails
    }

    /// A source is to be read by jails whose longest `findtime` is `window`. Where each of its streams goes on.
    pub(super) fn resume(&mut self, source: &Arc<str>, window: Duration) -> Readings {
        let followed = self.sources.entry(Arc::clone(source)).or_default();
        followed.window = window;
        let streams = followed.streams.iter_mut();
        streams
            .filter_map(|(stream, trail)| {
                trail.set_window(window);
                Some((Arc::clone(stream), trail.resume()?))
            })
            .collect()
    }

    /// The stream of a source, known or new.
    pub(super) fn of(&mut self, source: &Arc<str>, stream: &Stream) -> &mut Trail {
        let followed = self.sources.entry(Arc::clone(source)).or_default();
        followed.streams.entry(Arc::clone(stream)).or_insert_with(|| {
            let mut trail = Trail::new(None);
            trail.set_window(followed.window);
            trail
        })
    }

    /// Forgets those of files that are gone and not among what is `read`: containers and users come and go. One that
    /// this process has not read stays for a week, since its file may come back.
    pub(super) fn forget_gone(&mut self, read: &BTreeSet<StreamKey>) -> Vec<StreamKey> {
        let mut forgotten = Vec::new();
        for (source, followed) in &mut self.sources {
            followed.streams.retain(|stream, trail| {
                let key = StreamKey { source: Arc::clone(source), stream: Arc::clone(stream) };
                let done = trail.is_followed() || self.stale.contains(&key);
                let gone =
                    done && trail.is_of_file() && !read.contains(&key) && is_gone(Path::new(&**stream));
                if gone {
                    self.stale.remove(&key);
                    forgotten.push(key);
                }
                !gone
            });
        }
        forgotten
    }
}

fn is_gone(path: &Path) -> bool {
    path.symlink_metadata().is_err_and(|error| error.kind() == ErrorKind::NotFound)
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;

    use jiff::Timestamp;

    use super::*;
    use crate::source::{FilePosition, Position, Span};

    #[test]
    fn what_is_gone_and_read_by_nobody_is_forgotten() {
        let place = |offset| Position::File(FilePosition { device: 1, inode: 2, offset, print: None });
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("here"), "").unwrap();
        let key = |name: &str| StreamKey {
            source: "logs".into(),
            stream: directory.path().join(name).as_os_str().into(),
        };
        let journal = StreamKey { source: "journal x".into(), stream: OsStr::new("journal x").into() };
        let stored = Reading { from: place(0), until: place(0) };
        let names = ["old", "recent"].map(key);
        let mut trails =
            Trails::new(names.into_iter().map(|key| (key, stored.clone())).collect(), [key("old")].into());
        for name in ["here", "read", "gone"] {
            let StreamKey { source, stream } = key(name);
            let span = Span { begin: place(0), end: place(1) };
            trails.of(&source, &stream).advance(&span, false, Timestamp::now());
        }
        let entry = Position::Journal("@1".parse().unwrap());
        trails.of(&journal.source, &journal.stream).begin(entry, Timestamp::now());
        let mut forgotten = trails.forget_gone(&[key("read")].into());
        forgotten.sort();
        assert_eq!(forgotten, [key("gone"), key("old")]);
        assert_eq!(trails.forget_gone(&[key("read")].into()), []);
        let left = trails.resume(&"logs".into(), Duration::ZERO);
        let expected: BTreeSet<_> = ["here", "read", "recent"].map(|name| key(name).stream).into();
        assert_eq!(left.into_keys().collect::<BTreeSet<_>>(), expected);
    }
}
