//! A file that grows while its reader waits for nothing: the kernel did not tell. Whoever asks how the sources are
//! doing finds that out, so that no timer wakes the reader of a file that is idle.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use crate::source::{FilePosition, SourceStatus, State};

/// An event that has not come for so long will not come.
const LATE: Duration = Duration::from_secs(10);

/// What is known of one log that its reader says it has read to the end.
#[derive(Debug, Default)]
pub(in crate::source) struct Watchdog {
    /// Since when it has more than its reader has seen, and what that is.
    since: Option<(Instant, FilePosition)>,
    /// It was so for too long, at least once.
    barked: bool,
}

impl Watchdog {
    /// Looks at the file, if its reader `idle`s. Whether it has to be woken.
    pub(in crate::source) fn look(&mut self, status: &mut SourceStatus, idle: bool, now: Instant) -> bool {
        let seen = status.seen.filter(|_| idle && status.state == State::Following && status.lag == Some(0));
        let written = seen.and_then(|seen| Some((seen, unseen(Path::new(&*status.stream), &seen)?)));
        let Some((seen, written)) = written else {
            self.since = None;
            self.tell(status);
            return false;
        };
        let since = self.since.get_or_insert((now, seen));
        if since.1 != seen {
            *since = (now, seen);
        }
        let late = now.duration_since(since.0) >= LATE
            || SystemTime::now().duration_since(written).is_ok_and(|ago| ago >= LATE);
        if late && !self.barked {
            self.barked = true;
            tracing::warn!("{}", sentence(status));
        }
        self.tell(status);
        late
    }

    /// It stays said: what happened once will happen again.
    fn tell(&self, status: &mut SourceStatus) {
        if self.barked && status.error.is_none() {
            status.error = Some(sentence(status));
        }
    }
}

fn sentence(status: &SourceStatus) -> String {
    format!(
        "{:?} has grown and the kernel did not tell: its file system may not, or another one was mounted there; it is \
         read once a minute: write poll = true into its jail, and it is every 2 s",
        status.stream
    )
}

/// When something was written to what is at the path, and not seen.
fn unseen(path: &Path, seen: &FilePosition) -> Option<SystemTime> {
    let metadata = fs::metadata(path).ok()?;
    let same = (metadata.dev(), metadata.ino()) == (seen.device, seen.inode);
    (metadata.is_file() && (!same || metadata.len() > seen.offset))
        .then(|| metadata.modified().ok())
        .flatten()
}
