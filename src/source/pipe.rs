//! A named pipe that others write into.
//!
//! It is opened without waiting for a writer, and for reading only, which is all that kband may. When the last writer is
//! gone it is opened once more, before it is closed: so nothing is lost in between, and while nobody writes, nothing wakes.
//! Where another pipe has taken its name, what is still in the old one is read first.

use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::StreamExt;
use inotify::{EventStream, Inotify, WatchMask};
use nix::errno::Errno;
use tokio::io::{AsyncRead, ReadBuf};
use tokio::net::unix::pipe::{OpenOptions, Receiver};

use super::State;
use super::flow::{Ended, Flow};

/// When it is looked at again whether a pipe that was missing, or could not be read, is there now.
const RETRY: Duration = Duration::from_secs(2);

/// Why a pipe cannot be read. Paths are shown escaped.
#[derive(Debug, thiserror::Error)]
enum PipeError {
    #[error("{0:?} is no named pipe: make one with mkfifo, or read a log file with logpath")]
    NoPipe(PathBuf),
    #[error("permission to read {0:?} is denied: let kband run as root, or in the group that may read it")]
    Denied(PathBuf),
    #[error("{path:?} cannot be read ({error}): check the path; kband tries again by itself")]
    Failed { path: PathBuf, error: io::Error },
}

/// The end of a pipe that is read.
///
/// Where a writer came and went before the pipe was opened, what it left is there, but nothing wakes for its end
/// (fs/pipe.c, `fifo_open`: "can't check for EPOLLHUP accurately"). So after all that was read, it is asked at once whether
/// anybody writes still.
struct Pipe {
    receiver: Receiver,
    identity: Identity,
    /// Something was read, and it is not known whether more comes.
    open_end: bool,
    /// It has lost its name: what is in it now is all that is read, whoever has it open.
    nameless: bool,
}

/// `st_dev` and `st_ino`.
type Identity = (u64, u64);

impl AsyncRead for Pipe {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if std::mem::take(&mut self.open_end) || self.nameless {
            match nix::unistd::read(self.receiver.as_fd(), buffer.initialize_unfilled()) {
                Ok(count) => {
                    buffer.advance(count);
                    self.open_end = count > 0;
                    return Poll::Ready(Ok(()));
                }
                Err(Errno::EAGAIN) if self.nameless => return Poll::Ready(Ok(())),
                Err(Errno::EAGAIN | Errno::EINTR) => {}
                Err(errno) => return Poll::Ready(Err(errno.into())),
            }
        }
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.receiver).poll_read(context, buffer);
        self.open_end = buffer.filled().len() > before;
        polled
    }
}

/// Hands over what is written into the pipe, until nobody takes it any more.
pub(super) async fn follow(path: PathBuf, mut flow: Flow) {
    let mut open: Option<Pipe>;
    let mut watch: Option<Watch> = None;
    loop {
        // The one before is still open here: what is written meanwhile waits in the pipe.
        match opened(&path) {
            Ok(pipe) => {
                let state = if pipe.is_some() { State::Following } else { State::Waiting };
                flow.teller.tell(state, None);
                open = pipe;
            }
            Err(error) => {
                open = None;
                flow.teller.tell(State::Failed, Some(error.to_string()));
            }
        }
        if let Some(pipe) = &mut open {
            watch = watch.filter(|watch| watch.pipe == pipe.identity).or_else(|| Watch::of(&path, pipe).ok());
            let mut ended = tokio::select! {
                biased;
                ended = flow.run(pipe) => Some(ended),
                () = replaced(&mut watch, &path) => None,
            };
            if ended.is_none() {
                flow.teller.restarted();
                pipe.nameless = true;
                ended = Some(flow.run(pipe).await);
            }
            match ended {
                Some(Ended::Reader) => return,
                // The last writer is gone, or the pipe has lost its name: it is opened for the next one.
                Some(Ended::Writer(Ok(()))) | None => {
                    tokio::task::yield_now().await;
                    continue;
                }
                Some(Ended::Writer(Err(error))) => {
                    let error = PipeError::Failed { path: path.clone(), error };
                    flow.teller.tell(State::Failed, Some(error.to_string()));
                }
            }
        }
        tokio::select! {
            () = tokio::time::sleep(RETRY) => {}
            () = flow.closed() => return,
        }
    }
}

/// `None`: it is not there.
fn opened(path: &Path) -> Result<Option<Pipe>, PipeError> {
    let opened = OpenOptions::new().open_receiver(path).and_then(|receiver| {
        let about = nix::sys::stat::fstat(&receiver)?;
        let identity = (about.st_dev, about.st_ino);
        Ok(Pipe { receiver, identity, open_end: false, nameless: false })
    });
    opened.map(Some).or_else(|error| match error.kind() {
        io::ErrorKind::NotFound => Ok(None),
        io::ErrorKind::PermissionDenied => Err(PipeError::Denied(path.to_owned())),
        io::ErrorKind::InvalidInput | io::ErrorKind::IsADirectory => Err(PipeError::NoPipe(path.to_owned())),
        _ => Err(PipeError::Failed { path: path.to_owned(), error }),
    })
}

/// Tells when a path leads to another pipe than the open one: one watch for as long as that has its name.
struct Watch {
    pipe: Identity,
    events: EventStream<[u8; 256]>,
}

impl Watch {
    fn of(path: &Path, pipe: &Pipe) -> io::Result<Self> {
        let inotify = Inotify::init()?;
        // A pipe that is still open tells by its attributes that it has lost its name.
        inotify.watches().add(path, WatchMask::ATTRIB | WatchMask::MOVE_SELF)?;
        Ok(Self { pipe: pipe.identity, events: inotify.into_event_stream([0; 256])? })
    }

    /// Waits until the path leads to another pipe, or to none. It may have before it was watched.
    async fn replaced(&mut self, path: &Path) {
        let is_there = |pipe| path.metadata().is_ok_and(|found| (found.dev(), found.ino()) == pipe);
        while is_there(self.pipe) {
            if !matches!(self.events.next().await, Some(Ok(_))) {
                return std::future::pending().await;
            }
        }
    }
}

/// The same; what cannot be watched is never noticed.
async fn replaced(watch: &mut Option<Watch>, path: &Path) {
    match watch {
        Some(watch) => watch.replaced(path).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::super::Input;
    use super::super::bench::{Run, config};
    use super::*;
    use std::fs;
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;

    fn input(path: &Path) -> Input {
        Input::Pipe { name: "app".into(), path: path.to_owned() }
    }

    fn reading(path: &Path) -> Run {
        Run::of(input(path))
    }

    fn make(path: &Path) {
        nix::unistd::mkfifo(path, nix::sys::stat::Mode::S_IRWXU).unwrap();
    }

    /// Writes as a program does that knows nothing of kband.
    async fn write(path: &Path, text: &'static str) {
        let path = path.to_owned();
        tokio::task::spawn_blocking(move || {
            fs::OpenOptions::new().write(true).open(path).unwrap().write_all(text.as_bytes()).unwrap();
        })
        .await
        .unwrap();
    }

    #[tokio::test]
    async fn writers_come_and_go() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("pipe");
        make(&path);
        let mut run = reading(&path);
        run.until_state(State::Following).await;
        for (written, read) in [("one\n", "one\n"), ("two", "two\n")] {
            write(&path, written).await;
            let block = run.block().await;
            assert_eq!((block.bytes, block.span), (read.as_bytes().to_vec(), None));
        }
        assert_eq!(run.status().lines, 2);
    }

    /// A writer that came and went before the pipe was opened again: nothing wakes for its end.
    #[tokio::test]
    async fn what_a_writer_left_behind_is_read_to_its_end() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("pipe");
        make(&path);
        // As the pipe that was open before keeps it alive.
        let _before =
            fs::OpenOptions::new().read(true).custom_flags(nix::libc::O_NONBLOCK).open(&path).unwrap();
        write(&path, "unended").await;
        let mut run = reading(&path);
        assert_eq!(run.block().await.bytes, b"unended\n");
        write(&path, "next").await;
        assert_eq!(run.block().await.bytes, b"next\n");
    }

    #[tokio::test]
    async fn what_is_no_pipe_is_told_and_what_is_missing_is_awaited() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("pipe");
        let mut run = reading(&path);
        run.until_state(State::Waiting).await;
        fs::write(&path, "x").unwrap();
        assert!(run.until_state(State::Failed).await.contains("mkfifo"));
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        assert!(run.until_state(State::Failed).await.contains("no named pipe"));
        fs::remove_dir(&path).unwrap();
        make(&path);
        run.until_state(State::Following).await;
        write(&path, "late\n").await;
        assert_eq!(run.block().await.bytes, b"late\n");
    }

    #[tokio::test]
    async fn another_pipe_in_its_place_is_noticed() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("pipe");
        make(&path);
        let mut run = reading(&path);
        run.until_state(State::Following).await;
        fs::remove_file(&path).unwrap();
        make(&path);
        write(&path, "new\n").await;
        assert_eq!(run.block().await.bytes, b"new\n");
        assert_eq!(run.status().restarts, 1);
    }

    /// Opened by a writer, and so by its reader too.
    fn open(path: &Path) -> fs::File {
        fs::OpenOptions::new().write(true).custom_flags(nix::libc::O_NONBLOCK).open(path).unwrap()
    }

    #[tokio::test]
    async fn what_is_in_a_pipe_that_is_replaced_is_read_and_its_last_line_is_a_line() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("pipe");
        make(&path);
        let mut run = Run::start(vec![config(0, input(&path))], 1);
        run.until_state(State::Following).await;
        let mut old = open(&path);
        let mut expected = String::new();
        // One is in the channel, one waits for room, and one in the pipe.
        for n in 0..3 {
            writeln!(old, "{n}").unwrap();
            expected.push_str(&format!("{n}\n"));
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        old.write_all(b"unended").unwrap();
        fs::remove_file(&path).unwrap();
        make(&path);
        // Its writer lives on.
        tokio::time::sleep(Duration::from_millis(20)).await;
        run.expect(&format!("{expected}unended\n")).await;
        run.eventually(|run| run.status().restarts == 1).await;
        write(&path, "new\n").await;
        run.expect("new\n").await;
        drop(old);
    }

    /// The name leads to another pipe before it is watched.
    #[tokio::test]
    async fn a_pipe_that_is_replaced_before_it_is_watched_is_noticed() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("pipe");
        make(&path);
        let pipe = opened(&path).unwrap().unwrap();
        fs::rename(&path, directory.path().join("old")).unwrap();
        make(&path);
        Watch::of(&path, &pipe).unwrap().replaced(&path).await;
    }
}
