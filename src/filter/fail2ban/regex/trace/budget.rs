//! What all tracers of the program may remember together.
//!
//! How much a lazy DFA remembers is up to whoever writes the logs. So each counts what it takes, and when all together take
//! too much, those that were not asked for longest are emptied.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use super::cache::{CACHE, Cache};
use crate::filter::DIALECT_BUDGET;

/// From here on room is made: the step that is taken next, and one of another thread, may each double a cache.
const ENOUGH: usize = DIALECT_BUDGET - 2 * CACHE;

/// What the tracers of the program take now, in bytes.
static TAKEN: AtomicUsize = AtomicUsize::new(0);
/// Counts how often some were emptied: a clock that goes no faster than it is needed.
static ERA: AtomicU64 = AtomicU64::new(0);
/// All caches.
static CACHES: Mutex<Vec<Weak<Shared>>> = Mutex::new(Vec::new());

/// A cache that may be emptied from outside.
#[derive(Default)]
pub(super) struct Shared {
    pub(super) cache: Mutex<Cache>,
    /// The era in which it was last asked.
    used: AtomicU64,
}

/// What a cache takes, in bytes, counted in [`TAKEN`] until it is dropped.
#[derive(Default)]
pub(super) struct Room(usize);

impl Room {
    /// It takes so much now.
    pub(super) fn set(&mut self, bytes: usize) {
        if bytes >= self.0 {
            TAKEN.fetch_add(bytes - self.0, Ordering::Relaxed);
        } else {
            TAKEN.fetch_sub(self.0 - bytes, Ordering::Relaxed);
        }
        self.0 = bytes;
    }

    pub(super) fn bytes(&self) -> usize {
        self.0
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        TAKEN.fetch_sub(self.0, Ordering::Relaxed);
    }
}

impl Shared {
    /// A cache that is known to the others.
    pub(super) fn register() -> Arc<Self> {
        let shared = Arc::new(Self::default());
        // Whoever panicked meanwhile has left nothing half done.
        let mut caches = CACHES.lock().unwrap_or_else(PoisonError::into_inner);
        if caches.len() == caches.capacity() {
            caches.retain(|cache| cache.strong_count() > 0);
        }
        caches.push(Arc::downgrade(&shared));
        shared
    }

    /// Notes that it is asked.
    pub(super) fn touch(&self) {
        self.used.store(ERA.load(Ordering::Relaxed), Ordering::Relaxed);
    }
}

/// What all take now, in bytes.
pub(in crate::filter) fn taken() -> usize {
    TAKEN.load(Ordering::Relaxed)
}

/// Makes room if all together take too much; whether there is some. Whoever asks holds its own cache's lock.
pub(super) fn make_room() -> bool {
    if taken() < ENOUGH {
        return true;
    }
    let caches: Vec<Arc<Shared>> = {
        let mut known = CACHES.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|cache| cache.strong_count() > 0);
        known.iter().filter_map(Weak::upgrade).collect()
    };
    ERA.fetch_add(1, Ordering::Relaxed);
    let mut by_age: Vec<(u64, &Arc<Shared>)> =
        caches.iter().map(|cache| (cache.used.load(Ordering::Relaxed), cache)).collect();
    by_age.sort_by_key(|(used, _)| *used);
    for (_, shared) in by_age {
        if taken() < ENOUGH / 4 * 3 {
            break;
        }
        // One that is locked is in use.
        if let Ok(mut cache) = shared.cache.try_lock()
            && cache.bytes() > 0
        {
            cache.empty();
        }
    }
    taken() < ENOUGH
}
