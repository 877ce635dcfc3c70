//! The daemon's end of the control socket: who may speak, how much, how long.
//!
//! Each connection is a task of its own that hands complete requests to the daemon and waits for its
//! answer. Everything is bounded: connections at once, bytes a request, seconds a line.

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use nix::unistd::{Gid, Group, Uid, User, geteuid};
use serde::Serialize;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::time::timeout;

use super::events::Events;
use super::protocol::{Answer, Hello, Kind, LONGEST_REQUEST, PROTOCOL, Refused, Request};

#[cfg(test)]
mod tests;

/// How many clients are served at once.
const CONNECTIONS: usize = 32;
/// How long is waited for a client.
#[derive(Debug, Clone, Copy)]
struct Patience {
    /// Until it has said hello, and until it has taken an answer.
    line: Duration,
    /// Between two requests.
    idle: Duration,
}

const PATIENCE: Patience = Patience { line: Duration::from_secs(10), idle: Duration::from_secs(60) };

/// One request on its way to the daemon.
#[derive(Debug)]
pub struct Call {
    /// What is wanted.
    pub request: Request,
    /// Who wants it.
    pub who: Who,
    /// Where the answer goes.
    pub reply: oneshot::Sender<Answer>,
}

/// A user of this machine who asks for something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Who {
    /// The number.
    pub uid: u32,
    /// The name, if it was worth asking for, and there is one.
    pub name: Option<Arc<str>>,
}

impl Who {
    /// As the history has it; without names if those are not to be kept.
    #[must_use]
    pub fn shown(&self, names: bool) -> Arc<str> {
        self.name.clone().filter(|_| names).unwrap_or_else(|| format!("uid {}", self.uid).into())
    }

    /// Asks for a name, which may be a directory server's to know: on a thread that nobody waits for but the one who asks.
    async fn of(uid: u32) -> Self {
        let user = tokio::task::spawn_blocking(move || User::from_uid(Uid::from_raw(uid)).ok().flatten());
        let name = user.await.ok().flatten().map(|user| user.name.into());
        Self { uid, name }
    }
}

/// What clients reach of the daemon.
#[derive(Debug, Clone)]
struct Ends {
    calls: mpsc::Sender<Call>,
    events: Events,
}

/// Why there is no control socket.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// Somebody answers there already.
    #[error("another kband already listens at {path}: stop it first (`systemctl stop kban`)", path = .path.display())]
    AlreadyRunning {
        /// The socket.
        path: PathBuf,
    },
    /// The file system says no.
    #[error("cannot listen at {path}: {error}: name another directory with --runtime-dir", path = .path.display())]
    Socket {
        /// The socket.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// The socket that somebody else has made is of no use.
    #[error(
        "cannot listen at the socket that kban-control.socket made: {error}: restart kban-control.socket"
    )]
    Given {
        /// What the system says.
        error: io::Error,
    },
}

/// Where clients come.
#[derive(Debug)]
pub enum Place {
    /// A socket is made there.
    Path(PathBuf),
    /// Somebody else has made it, and has said who may use it.
    Given(std::os::unix::net::UnixListener),
}

/// The listening socket. The file that it made is removed when this is dropped.
#[derive(Debug)]
pub struct Server {
    made: Option<PathBuf>,
    task: tokio::task::JoinHandle<()>,
}

impl Server {
    /// Listens at `place` and hands requests to `calls`. Root, the daemon's own user and the members of
    /// `group` may use it.
    ///
    /// # Errors
    /// When another daemon listens there, or the socket cannot be made.
    pub fn start(
        place: Place,
        group: &str,
        calls: mpsc::Sender<Call>,
        events: Events,
    ) -> Result<Self, ServerError> {
        Self::start_with(place, group, Ends { calls, events }, PATIENCE)
    }

    fn start_with(place: Place, group: &str, ends: Ends, patience: Patience) -> Result<Self, ServerError> {
        let group = Group::from_name(group).ok().flatten().map(|group| group.gid);
        let (listener, made) = match place {
            Place::Path(path) => (Self::bind(&path, group)?, Some(path)),
            Place::Given(given) => {
                let failed = |error| ServerError::Given { error };
                given.set_nonblocking(true).map_err(failed)?;
                (UnixListener::from_std(given).map_err(failed)?, None)
            }
        };
        let task = tokio::spawn(accept(listener, group, ends, patience));
        Ok(Self { made, task })
    }

    fn bind(path: &Path, group: Option<Gid>) -> Result<UnixListener, ServerError> {
        let failed = |error| ServerError::Socket { path: path.to_owned(), error };
        if std::os::unix::net::UnixStream::connect(path).is_ok() {
            return Err(ServerError::AlreadyRunning { path: path.to_owned() });
        }
        if let Some(directory) = path.parent() {
            std::fs::create_dir_all(directory).map_err(failed)?;
        }
        match std::fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
            _ => {}
        }
        let listener = UnixListener::bind(path).map_err(failed)?;
        if group.is_some() {
            nix::unistd::chown(path, None, group).map_err(|errno| failed(errno.into()))?;
        }
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o660)).map_err(failed)?;
        Ok(listener)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
        if let Some(path) = &self.made
            && let Err(error) = std::fs::remove_file(path)
        {
            tracing::debug!("cannot remove {}: {error}", path.display());
        }
    }
}

async fn accept(listener: UnixListener, group: Option<Gid>, ends: Ends, patience: Patience) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!("cannot accept a banctl connection: {error}");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let (place, ends) = (Arc::clone(&places).try_acquire_owned(), ends.clone());
        tokio::spawn(async move {
            let mut connection = Connection { stream: BufReader::new(stream), patience };
            let over = match &place {
                Ok(_) => connection.serve(group, &ends).await,
                Err(_) => {
                    connection
                        .refuse(Kind::No, format!("kband serves {CONNECTIONS} clients already: try again"))
                        .await
                }
            };
            if let Err(error) = over {
                tracing::debug!("a banctl connection ended: {error}");
            }
        });
    }
}

/// One client.
struct Connection {
    stream: BufReader<UnixStream>,
    patience: Patience,
}

impl Connection {
    async fn serve(&mut self, group: Option<Gid>, ends: &Ends) -> io::Result<()> {
        let peer = self.stream.get_ref().peer_cred()?;
        if !may_use(peer.uid(), peer.gid(), group).await {
            return self
                .refuse(Kind::Permission, "only root and the control group may use this socket")
                .await;
        }
        let Some(line) = self.line(self.patience.line).await? else { return Ok(()) };
        match serde_json::from_slice::<Hello>(&line) {
            Ok(hello) if hello.protocol == PROTOCOL => self.say(&Hello::of("kband")).await?,
            Ok(hello) => {
                let ours = Hello::of("kband").program;
                let message =
                    format!("{ours} speaks protocol {PROTOCOL}, {} speaks {}", hello.program, hello.protocol);
                return self.refuse(Kind::Usage, message).await;
            }
            Err(error) => return self.refuse(Kind::Usage, format!("say hello first: {error}")).await,
        }
        while let Some(line) = self.line(self.patience.idle).await? {
            match serde_json::from_slice::<Request>(&line) {
                Ok(Request::Watch) => return self.watch(&ends.events).await,
                Ok(request) => {
                    let uid = peer.uid();
                    let who = if request.changes() { Who::of(uid).await } else { Who { uid, name: None } };
                    let (reply, answer) = oneshot::channel();
                    let gone = |_| io::Error::other("kband is stopping");
                    ends.calls.send(Call { request, who, reply }).await.map_err(|_| gone(()))?;
                    let answer = answer.await.map_err(|_| gone(()))?;
                    self.say(&answer).await?;
                }
                Err(error) => {
                    self.refuse(Kind::Usage, format!("this kband does not understand: {error}")).await?;
                }
            }
        }
        Ok(())
    }

    /// Tells every event until the client hangs up or says something.
    async fn watch(&mut self, events: &Events) -> io::Result<()> {
        let mut watcher = events.watch();
        self.say(&Answer::Watching).await?;
        loop {
            let line = tokio::select! {
                line = watcher.next() => line,
                _ = self.stream.fill_buf() => None,
            };
            let Some(line) = line else { return Ok(()) };
            timeout(self.patience.line, self.stream.get_mut().write_all(line.as_bytes())).await??;
        }
    }

    /// The next line; `None` at the end, after `patience`, or (refused) when it is too long.
    async fn line(&mut self, patience: Duration) -> io::Result<Option<Vec<u8>>> {
        let mut line = Vec::new();
        let limit = u64::try_from(LONGEST_REQUEST).unwrap_or(u64::MAX);
        let mut limited = (&mut self.stream).take(limit);
        match timeout(patience, limited.read_until(b'\n', &mut line)).await {
            Ok(Ok(_)) if line.last() == Some(&b'\n') => Ok(Some(line)),
            Ok(Ok(_)) if line.len() >= LONGEST_REQUEST => {
                self.refuse(Kind::Usage, format!("a request has at most {LONGEST_REQUEST} bytes")).await?;
                Ok(None)
            }
            Ok(Ok(_)) | Err(_) => Ok(None),
            Ok(Err(error)) => Err(error),
        }
    }

    async fn refuse(&mut self, kind: Kind, message: impl std::fmt::Display) -> io::Result<()> {
        self.say(&Answer::Refused(Refused::new(kind, message))).await
    }

    async fn say(&mut self, message: &impl Serialize) -> io::Result<()> {
        let mut line = serde_json::to_vec(message)?;
        line.push(b'\n');
        timeout(self.patience.line, self.stream.get_mut().write_all(&line)).await?
    }
}

/// Whether this peer may give orders. The socket's mode says the same; this holds if somebody changes it.
async fn may_use(uid: u32, gid: u32, group: Option<Gid>) -> bool {
    if uid == 0 || uid == geteuid().as_raw() {
        return true;
    }
    let Some(group) = group else { return false };
    gid == group.as_raw() || is_member(uid, group).await
}

/// Whether the system's database has a user in a group. A process's own list of groups is in `/proc`, where a service that
/// is well confined sees no others.
async fn is_member(uid: u32, group: Gid) -> bool {
    let Some(name) = Who::of(uid).await.name else { return false };
    let found = tokio::task::spawn_blocking(move || Group::from_gid(group).ok().flatten()).await;
    found.ok().flatten().is_some_and(|group| group.mem.iter().any(|member| **member == *name))
}
