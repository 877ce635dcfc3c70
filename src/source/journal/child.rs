//! journalctl as a child: no shell, nothing of our environment, nothing on its standard input.
//!
//! It ends when its standard output is closed, also while it waits (journalctl.c, `wait_for_change`, since systemd 239);
//! so none is left behind, however kband ends.

use std::env;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::process::{Child, ChildStderr, ChildStdout, Command};

use super::Place;
use super::cursor::{Cursor, JournalPosition};
use super::entry;
use super::export::Export;
use crate::program::Complaints;

/// The program.
const NAME: &str = "journalctl";
/// Where programs are if the environment does not say.
const USUAL: &str = "/usr/local/bin:/usr/bin:/bin";
/// How long the look at one entry may take.
const LOOK: Duration = Duration::from_secs(30);
/// How long it may live on when it writes no more.
const GRACE: Duration = Duration::from_secs(5);

/// Why the journal is not read.
#[derive(Debug, thiserror::Error)]
pub(super) enum JournalError {
    #[error(
        "journalctl is not installed, and kband reads the journal with it: install systemd, or name log files with \
         logpath"
    )]
    NoProgram,
    #[error("{program:?} cannot be started ({error}): check its permissions; kband tries again by itself")]
    Start { program: PathBuf, error: io::Error },
    #[error("journalctl ended ({how}){said}: kband starts it again by itself")]
    Ended { how: String, said: String, well: bool },
    #[error("{0}: kband starts journalctl again by itself")]
    Broken(super::export::Broken),
}

impl JournalError {
    /// It has written all that there was to be written.
    pub(super) fn is_end(&self) -> bool {
        matches!(self, Self::Ended { well: true, .. })
    }
}

/// Where journalctl is on this machine.
pub(super) fn program() -> Option<PathBuf> {
    let places = env::var_os("PATH").unwrap_or_else(|| USUAL.into());
    let is_program = |path: &PathBuf| {
        path.metadata().is_ok_and(|about| about.is_file() && about.permissions().mode() & 0o111 != 0)
    };
    env::split_paths(&places)
        .filter(|place| place.is_absolute())
        .map(|place| place.join(NAME))
        .find(is_program)
}

/// What a journalctl writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Span {
    /// What is there: of every boot.
    Past,
    /// What is there and what comes.
    Coming,
}

/// A journalctl that writes what is there behind a place, or what comes as well.
#[derive(Debug)]
pub(super) struct Following {
    child: Child,
    pub(super) output: ChildStdout,
    stderr: Option<ChildStderr>,
    complaints: Complaints,
}

impl Following {
    /// Starts it. `arguments` say which entries are wanted, `fields` what of them.
    pub(super) async fn start(
        place: &Place,
        span: Span,
        arguments: &[String],
        fields: &str,
        from: &JournalPosition,
    ) -> Result<Self, JournalError> {
        let (program, mut command) = command(place)?;
        if span == Span::Coming {
            command.args(["--follow", "--no-tail"]);
            // It follows one boot, and takes for the present one what /proc says: in a container, that of the host.
            if let (false, Some(newest)) = (place.is_merged(), look(place, None).await) {
                command.arg(format!("--boot={}", newest.boot()));
            }
        }
        command.arg(format!("--output-fields={fields}"));
        // The entry itself comes again, and is told by its cursor: one that is gone must not cost the entry after it.
        command.arg(match from {
            JournalPosition::Behind(cursor) => format!("--cursor={}", cursor.text()),
            JournalPosition::Since(time) => {
                let microseconds = time.as_microsecond().max(0);
                format!("--since=@{}.{:06}", microseconds / 1_000_000, microseconds % 1_000_000)
            }
        });
        let failed = |error| JournalError::Start { program: program.clone(), error };
        let mut child = command.args(arguments).stderr(Stdio::piped()).spawn().map_err(failed)?;
        let none = || io::Error::other("it has no output");
        let output = child.stdout.take().ok_or_else(none).map_err(failed)?;
        let stderr = child.stderr.take();
        Ok(Self { child, output, stderr, complaints: Complaints::default() })
    }

    /// Waits for its next complaint; what is said now. Nothing is lost if this is dropped.
    pub(super) async fn complaint(stderr: &mut Option<ChildStderr>, complaints: &mut Complaints) -> String {
        let mut chunk = [0; 1024];
        loop {
            let Some(open) = stderr else { return std::future::pending().await };
            match open.read(&mut chunk).await {
                Ok(count @ 1..) => {
                    complaints.take(chunk.get(..count).unwrap_or_default());
                    return complaints.last();
                }
                Ok(0) | Err(_) => *stderr = None,
            }
        }
    }

    /// What there is to wait for: entries, and complaints.
    pub(super) fn ends(&mut self) -> (&mut ChildStdout, &mut Option<ChildStderr>, &mut Complaints) {
        (&mut self.output, &mut self.stderr, &mut self.complaints)
    }

    /// It has closed its output: how it ended, and why.
    pub(super) async fn ended(mut self) -> JournalError {
        let status = match tokio::time::timeout(GRACE, self.child.wait()).await {
            Ok(status) => status,
            Err(_) => self.child.kill().await.and(Err(io::Error::other("it had to be killed"))),
        };
        let well = status.as_ref().is_ok_and(ExitStatus::success);
        let how = status.map_or_else(|error| error.to_string(), |status| status.to_string());
        while self.stderr.is_some() {
            let next = Self::complaint(&mut self.stderr, &mut self.complaints);
            // Somebody else may have inherited it.
            if tokio::time::timeout(Duration::from_millis(100), next).await.is_err() {
                break;
            }
        }
        JournalError::Ended { how, said: self.complaints.saying(), well }
    }
}

/// The first entry at or behind the one of this name, or the newest one, whatever they tell. `None`: there is none, or
/// nobody can say.
pub(super) async fn look(place: &Place, from: Option<&Cursor>) -> Option<Cursor> {
    let (_, mut command) = command(place).ok()?;
    command.args(["--lines=1", "--output-fields=_UID"]);
    command.args(from.map(|cursor| format!("--cursor={}", cursor.text())));
    let output = command.stderr(Stdio::null()).output();
    let written = tokio::time::timeout(LOOK, output).await.ok()?.ok()?.stdout;
    let mut first = None;
    let mut note = |entry: &super::export::Entry| {
        first = first.take().or(entry::cursor(entry));
        Ok(())
    };
    Export::new().take(&written, &mut note).ok()?;
    first
}

fn command(place: &Place) -> Result<(PathBuf, Command), JournalError> {
    let program = program().ok_or(JournalError::NoProgram)?;
    let mut command = Command::new(&program);
    command.env_clear().env("LC_ALL", "C.UTF-8").current_dir("/").kill_on_drop(true);
    command.stdin(Stdio::null()).stdout(Stdio::piped());
    command.args(["--no-pager", "--quiet", "--output=export"]);
    match place {
        Place::Machine => {}
        Place::Namespace(name) => {
            command.arg(format!("--namespace={name}"));
        }
        Place::Directory(path) => {
            let mut option = std::ffi::OsString::from("--directory=");
            option.push(path);
            command.arg("--merge").arg(option);
        }
    }
    Ok((program, command))
}

/// Whether this machine has a journal, and a program that reads it. `root` is the machine's.
pub(super) fn is_here(root: &Path) -> bool {
    const MACHINE_ID: usize = 32;
    let is_machine = |name: &std::ffi::OsStr| {
        name.len() == MACHINE_ID && name.as_encoded_bytes().iter().all(u8::is_ascii_hexdigit)
    };
    let has_journal = |place: &&str| {
        let entries = root.join(place).read_dir();
        entries.into_iter().flatten().flatten().any(|entry| is_machine(&entry.file_name()))
    };
    super::PLACES.iter().any(has_journal) && program().is_some()
}
