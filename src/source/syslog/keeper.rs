//! Sockets that outlive this process. Where a service manager keeps them until the next kband, whatever is sent in between
//! waits in them, and nobody is refused.

use std::fmt;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::endpoint::Endpoint;

/// Hears which socket is to be kept; `None`: it is not to be kept any more.
type Tell = dyn Fn(&Endpoint, Option<BorrowedFd<'_>>) + Send + Sync;

/// Whoever keeps sockets. Nobody, if it is the default.
#[derive(Clone, Default)]
pub struct Keeper(Option<Arc<Keeping>>);

struct Keeping {
    /// Those that are not listened on again yet.
    kept: Mutex<Vec<(Endpoint, OwnedFd)>>,
    tell: Box<Tell>,
    /// This process ends: they all stay.
    ending: AtomicBool,
}

impl fmt::Debug for Keeper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Keeper").field(&self.0.is_some()).finish()
    }
}

impl Keeper {
    /// One that has `kept` these since the last process.
    pub fn new(
        kept: Vec<(Endpoint, OwnedFd)>,
        tell: impl Fn(&Endpoint, Option<BorrowedFd<'_>>) + Send + Sync + 'static,
    ) -> Self {
        let (kept, ending) = (Mutex::new(kept), AtomicBool::new(false));
        Self(Some(Arc::new(Keeping { kept, tell: Box::new(tell), ending })))
    }

    /// What was kept of this socket.
    pub(super) fn take(&self, endpoint: &Endpoint) -> Option<OwnedFd> {
        let mut kept = self.0.as_ref()?.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let index = kept.iter().position(|(other, _)| other == endpoint)?;
        Some(kept.swap_remove(index).1)
    }

    /// Nobody wants the rest any more.
    pub(in crate::source) fn let_go_of_the_rest(&self) {
        let Some(keeping) = &self.0 else { return };
        let rest = std::mem::take(&mut *keeping.kept.lock().unwrap_or_else(PoisonError::into_inner));
        rest.iter().for_each(|(endpoint, _)| (keeping.tell)(endpoint, None));
    }

    /// This process ends: what is kept from here on stays kept.
    pub(in crate::source) fn end(&self) {
        if let Some(keeping) = &self.0 {
            keeping.ending.store(true, Ordering::Relaxed);
        }
    }

    /// Has a socket kept for as long as what is returned lives, and over the end of this process.
    pub(super) fn keep(&self, endpoint: &Endpoint, socket: &impl AsFd) -> Kept {
        if let Some(keeping) = &self.0 {
            (keeping.tell)(endpoint, Some(socket.as_fd()));
        }
        Kept { keeper: self.clone(), endpoint: endpoint.clone() }
    }
}

/// A socket is kept.
#[derive(Debug)]
pub(super) struct Kept {
    keeper: Keeper,
    endpoint: Endpoint,
}

impl Drop for Kept {
    fn drop(&mut self) {
        if let Some(keeping) = self.keeper.0.as_ref().filter(|it| !it.ending.load(Ordering::Relaxed)) {
            (keeping.tell)(&self.endpoint, None);
        }
    }
}
