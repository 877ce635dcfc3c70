//! A named pipe that others write into.
//!
//! It is opened without waiting for a writer, and for reading only, which is all that kband may. When the last writer is
//! gone it is opened once more, before it is closed: so nothing is lost in between, and while nobody writes, nothing wakes.

use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::StreamExt;
use inotify::{Inotify, WatchMask};
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
    /// Something was read, and it is not known whether more comes.
    open_end: bool,
}

impl AsyncRead for Pipe {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if std::mem::take(&mut self.open_end) {
            match nix::unistd::read(self.receiver.as_fd(), buffer.initialize_unfilled()) {
                Ok(count) => {
                    buffer.advance(count);
                    self.open_end = count > 0;
                    return Poll::Ready(Ok(()));
                }
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
            let ended = tokio::select! {
                biased;
                ended = flow.run(pipe) => ended,
                () = replaced(&path) => {
                    flow.teller.restarted();
                    continue;
                }
            };
            match ended {
                Ended::Reader => return,
                // The last writer is gone; the pipe is opened for the next one.
                Ended::Writer(Ok(())) => {
                    tokio::task::yield_now().await;
                    continue;
                }
                Ended::Writer(Err(error)) => {
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
    match OpenOptions::new().open_receiver(path) {
        Ok(receiver) => Ok(Some(Pipe { receiver, open_end: false })),
        Err(error) => match error.kind() {
            io::ErrorKind::NotFound => Ok(None),
            io::ErrorKind::PermissionDenied => Err(PipeError::Denied(path.to_owned())),
            io::ErrorKind::InvalidInput | io::ErrorKind::IsADirectory => {
                Err(PipeError::NoPipe(path.to_owned()))
            }
            _ => Err(PipeError::Failed { path: path.to_owned(), error }),
        },
    }
}

/// Waits until the path leads to another pipe, or to none. If that cannot be watched, it is never noticed.
async fn replaced(path: &Path) {
    if watch(path).await.is_err() {
        std::future::pending::<()>().await;
    }
}

async fn watch(path: &Path) -> io::Result<()> {
    let inotify = Inotify::init()?;
    // A pipe that is still open tells by its attributes that it has lost its name.
    inotify.watches().add(path, WatchMask::ATTRIB | WatchMask::MOVE_SELF)?;
    let inode = |path: &Path| path.metadata().map(|found| (found.dev(), found.ino()));
    let before = inode(path)?;
    let mut events = inotify.into_event_stream([0; 256])?;
    while events.next().await.transpose()?.is_some() {
        if inode(path).ok() != Some(before) {
            return Ok(());
        }
    }
    std::future::pending().await
}

#[cfg(test)]
mod tests {
    use super::super::{Block, Input, SourceConfig, SourceId, Sources, spawn};
    use super::*;
    use std::fs;
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;
    use tokio::sync::mpsc;

    fn reading(path: &Path) -> (Sources, mpsc::Receiver<Block>) {
        let (sender, blocks) = mpsc::channel(4);
        let input = Input::Pipe { name: "app".into(), path: path.to_owned() };
        (
            spawn(
                vec![SourceConfig {
                    id: SourceId(0),
                    input,
                    resume: Default::default(),
                    manner: Default::default(),
                }],
                sender,
            ),
            blocks,
        )
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

    async fn state(sources: &Sources, wanted: State) -> String {
        loop {
            let status = sources.statuses().remove(0);
            if status.state == wanted {
                return status.error.unwrap_or_default();
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    #[tokio::test]
    async fn writers_come_and_go() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("pipe");
        make(&path);
        let (sources, mut blocks) = reading(&path);
        state(&sources, State::Following).await;
        for (written, read) in [("one\n", "one\n"), ("two", "two\n")] {
            write(&path, written).await;
            let block = blocks.recv().await.unwrap();
            assert_eq!((block.bytes, block.span), (read.as_bytes().to_vec(), None));
        }
        assert_eq!(sources.statuses()[0].lines, 2);
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
        let (_sources, mut blocks) = reading(&path);
        assert_eq!(blocks.recv().await.unwrap().bytes, b"unended\n");
        write(&path, "next").await;
        assert_eq!(blocks.recv().await.unwrap().bytes, b"next\n");
    }

    #[tokio::test]
    async fn what_is_no_pipe_is_told_and_what_is_missing_is_awaited() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("pipe");
        let (sources, mut blocks) = reading(&path);
        state(&sources, State::Waiting).await;
        fs::write(&path, "x").unwrap();
        assert!(state(&sources, State::Failed).await.contains("mkfifo"));
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        assert!(state(&sources, State::Failed).await.contains("no named pipe"));
        fs::remove_dir(&path).unwrap();
        make(&path);
        state(&sources, State::Following).await;
        write(&path, "late\n").await;
        assert_eq!(blocks.recv().await.unwrap().bytes, b"late\n");
    }

    #[tokio::test]
    async fn another_pipe_in_its_place_is_noticed() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("pipe");
        make(&path);
        let (sources, mut blocks) = reading(&path);
        state(&sources, State::Following).await;
        fs::remove_file(&path).unwrap();
        make(&path);
        write(&path, "new\n").await;
        assert_eq!(blocks.recv().await.unwrap().bytes, b"new\n");
        assert_eq!(sources.statuses()[0].restarts, 1);
    }
}
