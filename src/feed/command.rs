//! A list that a program writes: run without a shell, with limits, and killed with its children when it hangs.

use std::io::Read;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

use super::fetch::{FetchError, bounded};

/// How long a program may take.
const LIMIT: Duration = Duration::from_secs(120);
/// How often it is looked whether it has ended.
const LOOK: Duration = Duration::from_millis(20);
/// How much of its complaints is shown, in bytes.
const SHOWN: usize = 200;

/// The program that runs at the moment, for whoever has to end it.
#[derive(Debug, Clone, Default)]
pub(super) struct Running(Arc<Mutex<Option<Pid>>>);

impl Running {
    /// Kills the program and its children, if one runs.
    pub(super) fn kill(&self) {
        // The lock is held while it is reaped: its number cannot have become somebody else's.
        if let Some(group) = *self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            // Whoever has ended already needs no signal.
            let _ = killpg(group, Signal::SIGKILL);
        }
    }

    fn set(&self, child: &Child) {
        let group = i32::try_from(child.id()).ok().map(Pid::from_raw);
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = group;
    }

    /// Whether it has ended.
    fn reap(&self, child: &mut Child) -> std::io::Result<Option<ExitStatus>> {
        let mut running = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let ended = child.try_wait();
        if !matches!(ended, Ok(None)) {
            *running = None;
        }
        ended
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
    let said = child.stderr.take().map(|stderr| aside(move || complaint(stderr)));
    let left = || deadline.saturating_duration_since(Instant::now());
    let text = match text.map(|text| text.recv_timeout(left())) {
        Some(Ok(text)) => text,
        Some(Err(RecvTimeoutError::Timeout)) => {
            end(&mut child, running);
            return Err(FetchError::Hung { program, limit });
        }
        Some(Err(RecvTimeoutError::Disconnected)) | None => Ok(Some(Vec::new())),
    };
    let text = match text {
        Ok(Some(text)) => text,
        Ok(None) => {
            end(&mut child, running);
            return Err(FetchError::TooLong);
        }
        Err(error) => {
            end(&mut child, running);
            return Err(FetchError::Pipe { program, error });
        }
    };
    loop {
        match running.reap(&mut child) {
            Ok(Some(status)) if status.success() => return Ok(text),
            Ok(Some(status)) => {
                let said = said.and_then(|said| said.recv_timeout(LOOK).ok()).unwrap_or_default();
                let said = if said.is_empty() { said } else { format!(", saying `{said}`") };
                return Err(FetchError::Failed { program, how: status.to_string(), said });
            }
            Ok(None) if left().is_zero() => {
                end(&mut child, running);
                return Err(FetchError::Hung { program, limit });
            }
            Ok(None) => std::thread::sleep(LOOK),
            Err(error) => return Err(FetchError::Pipe { program, error }),
        }
    }
}

fn end(child: &mut Child, running: &Running) {
    running.kill();
    // Killed, it ends at once.
    let _ = child.wait();
    let _ = running.reap(child);
}

/// Does `work` on a thread of its own: a pipe has no time limit.
fn aside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Receiver<T> {
    let (sender, result) = channel();
    // Nobody waits for it any more if the program was killed.
    std::thread::spawn(move || sender.send(work()));
    result
}

/// The first line that is not blank; the rest is read, so that nobody waits on a full pipe.
fn complaint(mut stderr: impl Read) -> String {
    let mut start = Vec::new();
    let _ = stderr.by_ref().take(4096).read_to_end(&mut start);
    let start = String::from_utf8_lossy(&start);
    let line = start.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default();
    let line = line.chars().filter(|c| !c.is_control()).take(SHOWN).collect();
    let _ = std::io::copy(&mut stderr, &mut std::io::sink());
    line
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
