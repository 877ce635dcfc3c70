//! The command line's end of the control socket. Blocking: `banctl` does one thing at a time.

use std::fs;
use std::io::{self, BufRead, BufReader, ErrorKind, Write};
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::sys::socket::getsockopt;
use nix::sys::socket::sockopt::PeerCredentials;
use nix::unistd::{User, geteuid};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::RUNTIME_DIR;
use super::events::Event;
use super::protocol::{Answer, BanRow, Cursor, Hello, Kind, PROTOCOL, Refused, Request};

/// The user that kban.service is.
const USER: &str = "kban";

/// How long the daemon may take for one answer, unless somebody has less patience.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// How much is read at once, in bytes: pages of a list are some 250 KiB.
const PIECE: usize = 64 * 1024;

/// Why the daemon cannot be asked.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody listens there.
    #[error("no kband listens at {path} ({error}): start kband, or name its socket with --socket", path = .path.display())]
    NotRunning {
        /// The socket.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// The socket is there, but not for us.
    #[error("you may not use {path}: run banctl as root, or join the group that owns the socket", path = .path.display())]
    Permission {
        /// The socket.
        path: PathBuf,
    },
    /// Somebody listens who is not kband.
    #[error(
        "{path} is {who}'s, who is neither root nor kban, and what it says is not believed: name kband's own socket with --socket, or run banctl as {who}",
        path = .path.display()
    )]
    Stranger {
        /// The socket.
        path: PathBuf,
        /// Whose process listens.
        who: String,
    },
    /// It listens, but the conversation broke off.
    #[error("kband at {path} broke off ({error}): see its log", path = .path.display())]
    Broken {
        /// The socket.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// It does not answer in time.
    #[error("kband at {path} does not answer within {patience:?}: see its log, or give it more time with --timeout", path = .path.display())]
    Silent {
        /// The socket.
        path: PathBuf,
        /// How long it was waited for.
        patience: Duration,
    },
    /// It understands, and will not.
    #[error("{}", .0.message)]
    Refused(Refused),
    /// It says something that this banctl does not understand.
    #[error("kband at {path} speaks another language than this banctl ({error}): install the same version of both", path = .path.display())]
    Foreign {
        /// The socket.
        path: PathBuf,
        /// What could not be read.
        error: String,
    },
}

/// Who listens, if that is nobody who kband can be: neither root (it or its service manager), nor ourselves, nor the service's
/// user, nor whom root has given kban's own directory. A system that does not say is believed.
fn stranger(stream: &UnixStream) -> Option<String> {
    let peer = getsockopt(stream, PeerCredentials).ok()?.uid();
    let service = User::from_name(USER).ok().flatten().map(|user| user.uid.as_raw());
    // Whoever runs it under another name: only root can have made that.
    let given = fs::symlink_metadata(RUNTIME_DIR).ok().map(|directory| directory.uid());
    let known = [Some(0), Some(geteuid().as_raw()), service, given];
    if known.contains(&Some(peer)) {
        return None;
    }
    let name = User::from_uid(peer.into()).ok().flatten().map(|user| user.name);
    Some(name.unwrap_or_else(|| format!("user {peer}")))
}

/// One conversation with the daemon.
#[derive(Debug)]
pub struct Client {
    path: PathBuf,
    stream: BufReader<UnixStream>,
    patience: Duration,
}

impl Client {
    /// Connects and says hello.
    ///
    /// # Errors
    /// When nobody listens, we may not, or the daemon speaks another protocol.
    pub fn connect(path: &Path) -> Result<Self, ClientError> {
        Self::connect_within(path, PATIENCE)
    }

    /// As [`Client::connect`], where the daemon may take so long for each answer.
    ///
    /// # Errors
    /// As [`Client::connect`].
    pub fn connect_within(path: &Path, patience: Duration) -> Result<Self, ClientError> {
        let stream = UnixStream::connect(path).map_err(|error| match error.kind() {
            ErrorKind::PermissionDenied => ClientError::Permission { path: path.to_owned() },
            _ => ClientError::NotRunning { path: path.to_owned(), error },
        })?;
        if let Some(who) = stranger(&stream) {
            return Err(ClientError::Stranger { path: path.to_owned(), who });
        }
        let mut client =
            Self { path: path.to_owned(), stream: BufReader::with_capacity(PIECE, stream), patience };
        for set in [UnixStream::set_read_timeout, UnixStream::set_write_timeout] {
            set(client.stream.get_ref(), Some(patience)).map_err(|error| client.broken(error))?;
        }
        // A daemon that refuses us does not wait for our hello, so saying it may fail. What it said is still to be read.
        let said = client.say(&Hello::of("banctl"));
        let line = client.listen().or_else(|error| said.and(Err(error)))?;
        match client.understand::<Hello>(&line) {
            Ok(hello) if hello.protocol == PROTOCOL => Ok(client),
            Ok(hello) => {
                Err(client.foreign(&format!("{} speaks protocol {}", hello.program, hello.protocol)))
            }
            Err(error) => match client.understand::<Answer>(&line) {
                // It did not understand our hello.
                Ok(Answer::Refused(Refused { kind: Kind::Usage, message })) => Err(client.foreign(&message)),
                Ok(Answer::Refused(refused)) => Err(ClientError::Refused(refused)),
                _ => Err(error),
            },
        }
    }

    /// The process that listens there; `None` if the system does not say, or counts processes elsewhere.
    #[must_use]
    pub fn peer(&self) -> Option<i32> {
        let peer = getsockopt(self.stream.get_ref(), PeerCredentials).ok()?;
        Some(peer.pid()).filter(|pid| *pid > 0)
    }

    /// Asks once.
    ///
    /// # Errors
    /// When the daemon refuses, breaks off, does not answer in time, or is not understood.
    pub fn ask(&mut self, request: &Request) -> Result<Answer, ClientError> {
        self.say(request)?;
        let line = self.listen()?;
        self.answer(&line)
    }

    /// Asks for every page of a list. `Err` in the inner result is an answer to something else. The next page is asked for
    /// before one is read, so that both sides have something to do.
    ///
    /// # Errors
    /// As [`Client::ask`].
    pub fn list(
        &mut self,
        jail: Option<&str>,
        within: Option<ipnet::IpNet>,
    ) -> Result<Result<Vec<BanRow>, Answer>, ClientError> {
        /// All that is to be known of a page before it is read.
        #[derive(Deserialize)]
        struct Next {
            next: Option<Cursor>,
        }
        let page = |after| Request::List { jail: jail.map(str::to_owned), within, after };
        let (mut all, mut line) = (Vec::new(), String::new());
        self.say(&page(None))?;
        loop {
            self.listen_into(&mut line)?;
            let next = self.understand::<Next>(&line)?.next;
            let is_last = next.is_none();
            if !is_last {
                self.say(&page(next))?;
            }
            match self.answer(&line)? {
                Answer::Page(page) => all.extend(page.bans),
                other => return Ok(Err(other)),
            }
            if is_last {
                return Ok(Ok(all));
            }
        }
    }

    /// The next event after [`Request::Watch`]; waits for as long as nothing happens. `None` when the daemon has stopped.
    ///
    /// # Errors
    /// When the connection breaks.
    pub fn next_event(&mut self) -> Result<Option<String>, ClientError> {
        self.stream.get_ref().set_read_timeout(None).map_err(|error| self.broken(error))?;
        let mut line = String::new();
        match self.stream.read_line(&mut line) {
            Ok(0) => Ok(None),
            Ok(_) => Ok(Some(line)),
            Err(error) => Err(self.broken(error)),
        }
    }

    /// An event from its line.
    ///
    /// # Errors
    /// When a newer daemon tells what this version does not know.
    pub fn understand_event(&self, line: &str) -> Result<Event, ClientError> {
        self.understand(line)
    }

    fn say(&mut self, message: &impl Serialize) -> Result<(), ClientError> {
        let mut line = serde_json::to_vec(message).map_err(|error| self.foreign(&error))?;
        line.push(b'\n');
        self.stream.get_mut().write_all(&line).map_err(|error| self.broken(error))
    }

    fn listen(&mut self) -> Result<String, ClientError> {
        let mut line = String::new();
        self.listen_into(&mut line)?;
        Ok(line)
    }

    /// The next line, in place of the one before.
    fn listen_into(&mut self, line: &mut String) -> Result<(), ClientError> {
        line.clear();
        match self.stream.read_line(line) {
            Ok(0) => Err(self.broken(ErrorKind::UnexpectedEof.into())),
            Ok(_) => Ok(()),
            Err(error) => Err(self.broken(error)),
        }
    }

    fn answer(&self, line: &str) -> Result<Answer, ClientError> {
        match Answer::read(line).map_err(|error| self.foreign(&error))? {
            Answer::Refused(refused) => Err(ClientError::Refused(refused)),
            answer => Ok(answer),
        }
    }

    fn understand<T: DeserializeOwned>(&self, line: &str) -> Result<T, ClientError> {
        serde_json::from_str(line).map_err(|error| self.foreign(&error))
    }

    fn broken(&self, error: io::Error) -> ClientError {
        match error.kind() {
            ErrorKind::WouldBlock | ErrorKind::TimedOut => {
                ClientError::Silent { path: self.path.clone(), patience: self.patience }
            }
            _ => ClientError::Broken { path: self.path.clone(), error },
        }
    }

    fn foreign(&self, error: &dyn ToString) -> ClientError {
        ClientError::Foreign { path: self.path.clone(), error: error.to_string() }
    }
}
