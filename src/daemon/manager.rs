//! The service manager: what it has kept for us, and what it is told (sd_notify(3), sd_listen_fds(3)).
//!
//! Without one, everything here does nothing.

use std::os::fd::{BorrowedFd, OwnedFd, RawFd};
use std::os::unix::net::UnixListener;
use std::time::Duration;

use listenfd::ListenFd;
use sd_notify::NotifyState;

use crate::source::syslog::Endpoint;

/// The name under which the socket that owns the table is kept.
pub(super) const TABLE: &str = "kban-table";
/// `FileDescriptorName=` in kban-control.socket.
const CONTROL: &str = "kban-control";
/// With what the names of sockets for syslog begin. The rest is the endpoint, with `;` for each `:`, which ends a name.
const SYSLOG: &str = "kban-syslog ";

/// What the service manager has handed over at the start.
#[derive(Debug, Default)]
pub(super) struct Kept {
    /// The socket that owns the table.
    pub(super) table: Option<RawFd>,
    /// The control socket, if kban-control.socket has made it.
    pub(super) control: Option<UnixListener>,
    /// Those that syslog messages were received on.
    pub(super) syslog: Vec<(Endpoint, OwnedFd)>,
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
                _ => match take_syslog(&mut sockets, index, &name) {
                    Some(socket) => kept.syslog.push(socket),
                    None => {
                        tracing::warn!("the service manager hands over '{name}', which kband does not know");
                    }
                },
            }
        }
        kept
    }
}

fn take_syslog(sockets: &mut ListenFd, index: usize, name: &str) -> Option<(Endpoint, OwnedFd)> {
    let endpoint: Endpoint = name.strip_prefix(SYSLOG)?.replace(';', ":").parse().ok()?;
    let socket = match endpoint {
        Endpoint::Udp(_) => sockets.take_udp_socket(index).ok()??.into(),
        Endpoint::Tcp(_) => sockets.take_tcp_listener(index).ok()??.into(),
        Endpoint::Unix(_) => sockets.take_unix_datagram(index).ok()??.into(),
    };
    Some((endpoint, socket))
}

/// Has the service manager keep a socket for syslog while kband is started again; `None`: not any more.
pub(super) fn keep(endpoint: &Endpoint, socket: Option<BorrowedFd<'_>>) {
    let place = endpoint.to_string();
    // What no name can have: such a socket is opened anew after a restart.
    if place.contains(';') || !place.is_ascii() {
        return;
    }
    let name = format!("{SYSLOG}{}", place.replace(':', ";"));
    let name = NotifyState::FdName(&name);
    let told = match socket {
        // Errors that wait in a socket are no reason to give it up.
        Some(socket) => sd_notify::notify_with_fds(
            &[NotifyState::FdStore, name, NotifyState::Custom("FDPOLL=0")],
            &[socket],
        ),
        None => sd_notify::notify(&[NotifyState::FdStoreRemove, name]),
    };
    if let Err(error) = told {
        tracing::warn!(
            "the service manager does not keep {place} ({error}): what is sent during a restart is lost"
        );
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
