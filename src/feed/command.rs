//! A list that a program writes: run without a shell, with limits, and killed with its children when it hangs.

use std::io::Read;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::fetch::{FetchError, bounded};
use crate::program::{Complaints, Group};

/// How long a program may take.
const LIMIT: Duration = Duration::from_secs(120);
/// How often it is looked whether it has ended.
const LOOK: Duration = Duration::from_millis(20);

/// The program that runs at the moment, for whoever has to end it.
#[derive(Debug, Clone, Default)]
pub(super) struct Running(Arc<Mutex<Option<Group>>>);

impl Running {
    /// Kills the program and its children, if one runs.
    pub(super) fn kill(&self) {
        // The lock is held while it is reaped: its number cannot have become somebody else's.
        if let Some(group) = *self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            group.kill();
        }
    }

    fn set(&self, child: &Child) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Group::led_by(child.id()));
    }

    /// Kills what is left of it, and reaps it.
    fn end(&self, child: &mut Child) -> std::io::Result<ExitStatus> {
        self.kill();
        let mut running = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *running = None;
        // Killed, it ends at once.
        child.wait()
    }
}

/// What the program writes to its standard output; it has to end with 0.
pub(super) fn output(words: &[String], running: &Running) -> Result<Vec<u8>, FetchError> {
    output_within(words, running, LIMIT)
}

fn output_within(words: &[String], running: &Running, limit: Duration) -> Result<Vec<u8>, FetchError> {
    let program = words.first().cloned().unwrap_or_default();
    let deadline = Instant::now() + limit;
    let mut command = Command::new(&program);
    command.args(words.get(1..).unwrap_or_default()).current_dir("/").process_group(0);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|error| FetchError::Start { program: program.clone(), error })?;
    running.set(&child);
    let text = child.stdout.take().map(|stdout| aside(move || bounded(stdout)));
    let said = child.stderr.take().map(|stderr| aside(move || complaints(stderr)));
    let text = wait(text, Group::led_by(child.id()), deadline);
    let status = running.end(&mut child);
    let failed = |error| FetchError::Pipe { program: program.clone(), error };
    let text = match text {
        Ok(Some(text)) => text.map_err(failed)?.ok_or(FetchError::TooLong)?,
        Ok(None) => return Err(FetchError::Hung { program, limit }),
        Err(error) => return Err(failed(error)),
    };
    let status = status.map_err(failed)?;
    if status.success() {
        return Ok(text);
    }
    let said = said.and_then(|said| said.recv_timeout(LOOK).ok()).unwrap_or_default().saying();
    Err(FetchError::Failed { program, how: status.to_string(), said })
}

/// What a program writes: none if it is too much.
type Text = std::io::Result<Option<Vec<u8>>>;

/// Waits until it has written all and ended, or written too much. `None`: the time is up.
fn wait(text: Option<Receiver<Text>>, group: Group, deadline: Instant) -> std::io::Result<Option<Text>> {
    let left = || deadline.saturating_duration_since(Instant::now());
    let text = match text.map(|text| text.recv_timeout(left())) {
        Some(Ok(text @ Ok(Some(_)))) => text,
        Some(Ok(other)) => return Ok(Some(other)),
        Some(Err(RecvTimeoutError::Timeout)) => return Ok(None),
        Some(Err(RecvTimeoutError::Disconnected)) | None => Ok(Some(Vec::new())),
    };
    while group.ended()?.is_none() {
        if left().is_zero() {
            return Ok(None);
        }
        std::thread::sleep(LOOK);
    }
    Ok(Some(text))
}

/// Does `work` on a thread of its own: a pipe has no time limit.
fn aside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Receiver<T> {
    let (sender, result) = channel();
    // Nobody waits for it any more if the program was killed.
    std::thread::spawn(move || sender.send(work()));
    result
}

/// Hears all of it, so that nobody waits on a full pipe.
fn complaints(mut stderr: impl Read) -> Complaints {
    let (mut complaints, mut chunk) = (Complaints::default(), [0; 4096]);
    while let Ok(count @ 1..) = stderr.read(&mut chunk) {
        complaints.take(chunk.get(..count).unwrap_or_default());
    }
    complaints
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sh(script: &str, limit: Duration) -> Result<Vec<u8>, FetchError> {
        let words = ["/bin/sh", "-c", script].map(str::to_owned);
        output_within(&words, &Running::default(), limit)
    }

    const LONG: Duration = Duration::from_secs(60);

    #[test]
    fn what_it_writes_counts_when_it_succeeds() {
        assert_eq!(sh("echo 192.0.2.1; echo noise >&2", LONG).unwrap(), b"192.0.2.1\n");
        let said = sh("echo 192.0.2.1; echo; echo no route >&2; exit 3", LONG).unwrap_err().to_string();
        assert!(said.contains("exit status: 3") && said.contains("`no route`"), "{said}");
        let words = ["/nonexistent/program".to_owned()];
        let said = output(&words, &Running::default()).unwrap_err().to_string();
        assert!(said.contains("/nonexistent/program cannot be started"), "{said}");
    }

    #[test]
    fn one_that_hangs_is_killed_with_its_children() {
        for script in [
            "echo 192.0.2.1; sleep 1000 & sleep 1000",
            "exec >&- 2>&-; sleep 1000",
            "trap '' TERM; sleep 1000",
        ] {
            let begin = Instant::now();
            let error = sh(script, Duration::from_millis(300)).unwrap_err();
            assert!(matches!(error, FetchError::Hung { .. }), "{error}");
            assert!(begin.elapsed() < LONG);
        }
    }

    #[test]
    fn what_it_leaves_behind_is_killed() {
        let written = sh("sleep 1000 >&- 2>&- & echo $!", LONG).unwrap();
        let stat = format!("/proc/{}/stat", String::from_utf8(written).unwrap().trim());
        let begin = Instant::now();
        // Whoever reaps orphans may take a moment.
        while std::fs::read_to_string(&stat).is_ok_and(|stat| !stat.contains(") Z ")) {
            assert!(begin.elapsed() < LONG);
        }
    }

    #[test]
    fn one_that_never_ends_writing_is_cut_off() {
        assert!(matches!(sh("yes 192.0.2.1", LONG), Err(FetchError::TooLong)));
        assert!(
            matches!(sh("yes x >&2 & sleep 0.2; kill $!; echo 192.0.2.1", LONG), Ok(text) if text == b"192.0.2.1\n")
        );
    }

    #[test]
    fn it_can_be_killed_from_elsewhere() {
        let running = Running::default();
        let other = running.clone();
        let words = ["/bin/sleep", "1000"].map(str::to_owned);
        let killer = std::thread::spawn(move || {
            while other.0.lock().unwrap().is_none() {
                std::thread::sleep(LOOK);
            }
            other.kill();
        });
        let said = output_within(&words, &running, LONG).unwrap_err().to_string();
        assert!(said.contains("signal: 9"), "{said}");
        killer.join().unwrap();
        assert!(running.0.lock().unwrap().is_none());
    }
}
