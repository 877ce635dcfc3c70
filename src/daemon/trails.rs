//! How far each stream of each source has been dealt with: of those that are read, and of those that once were.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::trail::Trail;
use crate::source::{Reading, Readings, Stream, StreamKey};

/// All of them, by the names of their sources.
#[derive(Debug, Default)]
pub(super) struct Trails(BTreeMap<Arc<str>, Followed>);

/// One source.
#[derive(Debug, Default)]
struct Followed {
    /// The longest `findtime` of the jails that read it.
    window: Duration,
    streams: BTreeMap<Stream, Trail>,
}

impl Trails {
    /// Goes on where the store says.
    pub(super) fn new(stored: BTreeMap<StreamKey, Reading>) -> Self {
        let mut trails = Self::default();
        for (StreamKey { source, stream }, reading) in stored {
            trails.0.entry(source).or_default().streams.insert(stream, Trail::new(Some(reading)));
        }
        trails
    }

    /// A source is to be read by jails whose longest `findtime` is `window`. Where each of its streams goes on.
    pub(super) fn resume(&mut self, source: &Arc<str>, window: Duration) -> Readings {
        let followed = self.0.entry(Arc::clone(source)).or_default();
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
        let followed = self.0.entry(Arc::clone(source)).or_default();
        followed.streams.entry(Arc::clone(stream)).or_insert_with(|| {
            let mut trail = Trail::new(None);
            trail.set_window(followed.window);
            trail
        })
    }
}
