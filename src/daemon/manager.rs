//! The service manager: what it has kept for us, and what it is told (sd_notify(3), sd_listen_fds(3)).
//!
//! Without one, everything here does nothing.

use std::os::fd::RawFd;
use std::os::unix::net::UnixListener;
use std::time::Duration;

use listenfd::ListenFd;
use sd_notify::NotifyState;

/// The name under which the socket that owns the table is kept.
pub(super) const TABLE: &str = "kban-table";
/// `FileDescriptorName=` in kban-control.socket.
const CONTROL: &str = "kban-control";

/// What the service manager has handed over at the start.
#[derive(Debug, Default)]
pub(super) struct Kept {
    /// The socket that owns the table.
    pub(super) table: Option<RawFd>,
    /// The control socket, if kban-control.socket has made it.
    pub(super) control: Option<UnixListener>,
}

impl Kept {
    /// Takes it; once, before anything else is opened.
    pub(super) fn take() -> Self {
        let mut kept = Self::default();
        let Ok(handed) = sd_notify::listen_fds_with_names() else { return kept };
        let handed: Vec<(RawFd, String)> = handed.collect();
        let mut sockets = ListenFd::from_env();
        for (index, (descriptor, name)) in handed.into_iter().enumerate() {
            match &*name {
                TABLE => kept.table = Some(descriptor),
                CONTROL => match sockets.take_unix_listener(index) {
                    Ok(socket) => kept.control = socket,
                    Err(error) => {
                        tracing::warn!(
                            "the socket that kban-control.socket hands over is of no use: {error}"
                        );
                    }
                },
                _ => tracing::warn!("the service manager hands over '{name}', which kband does not know"),
            }
        }
        kept
    }
}

/// Everything is in place.
pub(super) fn ready() {
    tell(&[NotifyState::Ready]);
}

/// What `systemctl status` shows.
pub(super) fn status(text: &str) {
    tell(&[NotifyState::Status(text)]);
}

/// The configuration is being read again, until [`ready`].
pub(super) fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => tell(&[NotifyState::Reloading, now]),
        Err(error) => tracing::debug!("no monotonic clock: {error}"),
    }
}

/// It ends on purpose.
pub(super) fn stopping() {
    tell(&[NotifyState::Stopping]);
}

/// A sign of life.
pub(super) fn alive() {
    tell(&[NotifyState::Watchdog]);
}

/// How often a sign of life is expected, `None`: not at all. Half of the manager's patience, as sd_watchdog_enabled(3)
/// recommends.
pub(super) fn pulse() -> Option<Duration> {
    sd_notify::watchdog_enabled().map(|patience| patience / 2).filter(|pulse| !pulse.is_zero())
}

fn tell(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::warn!("the service manager does not listen: {error}");
    }
}
