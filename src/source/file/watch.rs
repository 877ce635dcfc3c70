//! One inotify instance for all log files: which source has to look, and which only has to read.
//!
//! Watched are the directory of each log, for names that come and go, and each open file itself, through
//! `/proc/self/fd`, for what is written to it under whatever name it has by then. So nothing wakes kband but its own
//! logs. While a directory does not exist, the nearest one above it that does is watched instead.
//!
//! Not noticed are changes that make no event: a file system mounted over a directory, and what another machine
//! writes to a network file system.
//!
//! See inotify(7).

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::pin::Pin;

use futures_util::stream::Peekable;
use futures_util::{FutureExt, StreamExt};
use glob::MatchOptions;
use inotify::{EventMask, EventStream, Inotify, WatchDescriptor, WatchMask, Watches};

use super::error::FileError;
use super::siblings::directory;

/// How many symlinks are followed from a log's path, as far as watching them goes.
const MOST_LINKS: usize = 8;

/// Bytes of the buffer that events are read into: some hundred events.
const BUFFER: usize = 16 * 1024;

/// How many events are handled at once; what is left waits until others had their turn.
const MOST_EVENTS: usize = 16 * 1024;

/// What happened to a source, by its index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    /// Something was written to one of its files.
    Written(usize),
    /// Names, permissions or directories changed.
    Moved(usize),
    /// The kernel's queue overflowed: anything can have happened to anyone.
    Unknown,
}

/// A directory that decides whether a log can be found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    /// The directory.
    pub(super) directory: PathBuf,
    /// The names in it that matter.
    pub(super) names: Names,
    /// The log or the next directory may appear or change here. Otherwise only a move of this directory matters.
    pub(super) near: bool,
}

/// Which names in a directory matter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Names {
    /// Any.
    All,
    /// This one.
    One(OsString),
    /// Those that match.
    Like(glob::Pattern),
}

impl Names {
    /// Whether this is one of them. A dot at its start has to be meant.
    pub(super) fn has(&self, name: &OsStr) -> bool {
        let options = MatchOptions { require_literal_leading_dot: true, ..MatchOptions::new() };
        match self {
            Self::All => true,
            Self::One(only) => only == name,
            Self::Like(like) => name.to_str().is_some_and(|name| like.matches_with(name, options)),
        }
    }
}

/// The directories to watch for the log at `path`, as things are now: change while it runs, so ask again afterwards.
pub(super) fn places(path: &Path) -> Vec<Place> {
    let mut places = Vec::new();
    let mut target = path.to_owned();
    for _ in 0..=MOST_LINKS {
        add_ancestry(&target, &mut places);
        let Ok(link) = fs::read_link(&target) else { break };
        target = directory(&target).join(link);
    }
    places
}

fn add_ancestry(path: &Path, places: &mut Vec<Place>) {
    let mut below = path;
    let mut nearest = true;
    loop {
        let parent = directory(below);
        if parent.is_dir() {
            let near = nearest || below.is_symlink();
            places.push(Place {
                directory: parent.to_owned(),
                names: below.file_name().map_or(Names::All, |name| Names::One(name.to_owned())),
                near,
            });
            nearest = false;
        }
        if parent.parent().is_none_or(|above| above.as_os_str().is_empty()) {
            return;
        }
        below = parent;
    }
}

/// Who wants to hear of one watch.
#[derive(Debug)]
struct Holder {
    source: usize,
    names: Names,
}

/// One watch, held by all the sources that need it.
#[derive(Debug)]
struct Watch {
    descriptor: WatchDescriptor,
    holders: Vec<Holder>,
}

/// The inotify instance and its watches.
#[derive(Debug)]
pub(super) struct Watcher {
    kernel: Watches,
    events: Peekable<EventStream<Vec<u8>>>,
    watches: BTreeMap<i32, Watch>,
}

impl Watcher {
    /// Opens the instance. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// inotify_init1(2) failed.
    pub(super) fn new() -> Result<Self, FileError> {
        let events = Inotify::init().and_then(|inotify| inotify.into_event_stream(vec![0; BUFFER]));
        let events = events.map_err(|source| FileError::NoInotify { source })?;
        Ok(Self { kernel: events.watches(), events: events.peekable(), watches: BTreeMap::new() })
    }

    /// Watches exactly this for a source, and nothing that it asked for before.
    ///
    /// # Errors
    /// Something cannot be watched; the rest is watched all the same.
    pub(super) fn arrange<'a>(
        &mut self,
        source: usize,
        path: &Path,
        places: &[Place],
        files: impl Iterator<Item = &'a File>,
    ) -> Result<(), FileError> {
        let mut failure = None;
        let mut wanted = Vec::new();
        for place in places {
            match self.add(&place.directory, directory_mask(place.near)) {
                Ok(descriptor) => wanted.push((descriptor, place.names.clone())),
                Err(error) => failure = Some((place.directory.clone(), error)),
            }
        }
        for file in files {
            let mask = WatchMask::MODIFY | WatchMask::ATTRIB | WatchMask::MOVE_SELF | WatchMask::MASK_ADD;
            match self.add(&PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd())), mask) {
                Ok(descriptor) => wanted.push((descriptor, Names::All)),
                Err(error) => failure = Some((path.to_owned(), error)),
            }
        }
        self.let_go(source);
        for (descriptor, names) in wanted {
            let id = descriptor.get_watch_descriptor_id();
            let watch = self.watches.entry(id).or_insert(Watch { descriptor, holders: Vec::new() });
            watch.holders.push(Holder { source, names });
        }
        self.drop_unheld();
        match failure {
            None => Ok(()),
            Some((path, error)) if error.raw_os_error() == Some(nix::libc::ENOSPC) => {
                Err(FileError::WatchLimit { path })
            }
            Some((path, source)) => Err(FileError::Unwatched { path, source }),
        }
    }

    /// Watches nothing for a source any more.
    pub(super) fn forget(&mut self, source: usize) {
        self.let_go(source);
        self.drop_unheld();
    }

    /// Waits until something happened. Nothing is lost if the wait is given up.
    pub(super) async fn wait(&mut self) {
        Pin::new(&mut self.events).peek().await;
    }

    /// Tells what happened since the last call, without waiting.
    pub(super) fn drain(&mut self, mut tell: impl FnMut(Change)) {
        for _ in 0..MOST_EVENTS {
            let event = match self.events.next().now_or_never() {
                Some(Some(Ok(event))) => event,
                Some(Some(Err(_))) => return tell(Change::Unknown),
                Some(None) | None => return,
            };
            if event.mask.contains(EventMask::Q_OVERFLOW) {
                tell(Change::Unknown);
                continue;
            }
            let id = event.wd.get_watch_descriptor_id();
            let Some(watch) = self.watches.get(&id) else { continue };
            for holder in &watch.holders {
                let concerned = event.name.as_ref().is_none_or(|name| holder.names.has(name));
                if concerned && event.mask == EventMask::MODIFY {
                    tell(Change::Written(holder.source));
                } else if concerned {
                    tell(Change::Moved(holder.source));
                }
            }
            if event.mask.contains(EventMask::IGNORED) {
                self.watches.remove(&id);
            }
        }
    }

    fn add(&mut self, path: &Path, mask: WatchMask) -> io::Result<WatchDescriptor> {
        self.kernel.add(path, mask)
    }

    fn let_go(&mut self, source: usize) {
        for watch in self.watches.values_mut() {
            watch.holders.retain(|holder| holder.source != source);
        }
    }

    fn drop_unheld(&mut self) {
        let Self { kernel, watches, .. } = self;
        watches.retain(|_, watch| {
            let held = !watch.holders.is_empty();
            if !held {
                // It fails if the watched file is gone, and the watch with it.
                let _ = kernel.remove(watch.descriptor.clone());
            }
            held
        });
    }
}

fn directory_mask(near: bool) -> WatchMask {
    let all = WatchMask::MOVE_SELF | WatchMask::ONLYDIR | WatchMask::MASK_ADD;
    if !near {
        return all;
    }
    all | WatchMask::CREATE | WatchMask::DELETE | WatchMask::MOVE | WatchMask::ATTRIB | WatchMask::DELETE_SELF
}
