//! A program that writes lines for as long as it runs, such as `kubectl logs --follow`: started again when it ends.
//!
//! No shell reads its words. It has a process group of its own, which ends with the source.

use std::io;
use std::pin::pin;
use std::process::{ExitStatus, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::io::AsyncReadExt;
use tokio::process::{Child, ChildStderr, Command};

use super::State;
use super::flow::{Ended, Flow};
use super::lines::Lines;

/// How long is waited before it is started again, the first time; each time twice as long.
const SOONEST: Duration = Duration::from_secs(1);
/// No longer than that.
const LATEST: Duration = Duration::from_secs(60);
/// It runs well if it runs so long.
const WELL: Duration = Duration::from_secs(60);
/// How long it may live on when it writes no more.
const GRACE: Duration = Duration::from_secs(5);
/// How long is listened to its complaints once it has ended.
const LAST_WORDS: Duration = Duration::from_millis(100);
/// How much of what it complained of last is shown, in characters.
const SHOWN: usize = 200;

/// Why there is nothing to read. Words are shown escaped.
#[derive(Debug, thiserror::Error)]
enum CommandError {
    #[error("{0:?} cannot be started ({1}): check that it is installed and may be run by kband")]
    Start(String, io::Error),
    #[error("{program:?} ended ({how}{said}): it is started again; it is meant to run for good")]
    Ended { program: String, how: String, said: String },
    #[error("reading from {0:?} failed ({1}): it is started again")]
    Read(String, io::Error),
}

/// Runs the program, and hands over what it writes, until nobody takes it any more.
pub(super) async fn follow(words: Vec<String>, mut flow: Flow) {
    let (mut delay, mut error) = (SOONEST, None);
    loop {
        let began = Instant::now();
        match once(&words, &mut flow, error.take()).await {
            Ok(()) => return,
            Err(said) => error = Some(said.to_string()),
        }
        if began.elapsed() >= WELL {
            delay = SOONEST;
        }
        flow.teller.tell(State::Failed, error.clone());
        tokio::select! {
            () = tokio::time::sleep(delay) => flow.teller.restarted(),
            () = flow.closed() => return,
        }
        delay = LATEST.min(delay * 2);
    }
}

/// One run of it; `Ok` when nobody takes the lines any more. What was wrong `before` stands until it runs well.
async fn once(words: &[String], flow: &mut Flow, before: Option<String>) -> Result<(), CommandError> {
    let program = words.first().cloned().unwrap_or_default();
    let started = Running::start(&program, words.get(1..).unwrap_or_default());
    let mut running = started.map_err(|error| CommandError::Start(program.clone(), error))?;
    let teller = flow.teller.clone();
    teller.tell(State::Following, before.clone());
    let mut said = String::new();
    let (stdout, stderr) = (running.0.stdout.take(), running.0.stderr.take());
    let ended = {
        let mut well = pin!(tokio::time::sleep(WELL));
        let mut listening = pin!(listen(stderr, &mut said));
        let mut written = pin!(async {
            let Some(mut stdout) = stdout else { return Ok(Ok(None)) };
            match flow.run(&mut stdout).await {
                Ended::Reader => Err(()),
                Ended::Writer(Err(error)) => Ok(Err(error)),
                Ended::Writer(Ok(())) => Ok(Ok(running.end().await)),
            }
        });
        let (mut is_well, mut heard) = (before.is_none(), false);
        let ended = loop {
            tokio::select! {
                ended = &mut written => break ended,
                () = &mut listening, if !heard => heard = true,
                () = &mut well, if !is_well => {
                    is_well = true;
                    teller.tell(State::Following, None);
                }
            }
        };
        if !heard {
            // What it left behind may keep its standard error open.
            let _ = tokio::time::timeout(LAST_WORDS, listening).await;
        }
        ended
    };
    match ended {
        Err(()) => Ok(()),
        Ok(Err(error)) => Err(CommandError::Read(program, error)),
        Ok(Ok(status)) => {
            let how = status.map_or_else(|| "it stopped writing".to_owned(), |status| status.to_string());
            let said = if said.is_empty() { said } else { format!(", saying `{said}`") };
            Err(CommandError::Ended { program, how, said })
        }
    }
}

/// Keeps the last line of its complaints that is not blank.
async fn listen(stderr: Option<ChildStderr>, said: &mut String) {
    let Some(mut stderr) = stderr else { return };
    let (mut lines, mut chunk) = (Lines::new(), [0; 1024]);
    loop {
        let mut whole = Vec::new();
        let read = stderr.read(&mut chunk).await;
        match read {
            Ok(count @ 1..) => lines.take(chunk.get(..count).unwrap_or_default(), &mut whole),
            _ => lines.end(&mut whole),
        }
        let text = String::from_utf8_lossy(&whole);
        if let Some(last) = text.lines().rev().map(str::trim).find(|line| !line.is_empty()) {
            *said = last.chars().filter(|c| !c.is_control()).take(SHOWN).collect();
        }
        if !matches!(read, Ok(1..)) {
            return;
        }
    }
}

/// The program and its children, which end with this.
struct Running(Child);

impl Running {
    fn start(program: &str, arguments: &[String]) -> io::Result<Self> {
        let mut command = Command::new(program);
        command.args(arguments).current_dir("/").process_group(0);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        command.spawn().map(Self)
    }

    /// How it ended; `None`: it does not.
    async fn end(&mut self) -> Option<ExitStatus> {
        tokio::time::timeout(GRACE, self.0.wait()).await.ok()?.ok()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Until it is reaped, its number is nobody else's.
        let group = self.0.id().and_then(|id| i32::try_from(id).ok());
        if let Some(group) = group {
            // Whoever has ended already needs no signal.
            let _ = killpg(Pid::from_raw(group), Signal::SIGKILL);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Block, Input, SourceConfig, SourceId, Sources, spawn};
    use super::*;
    use tokio::sync::mpsc;

    fn reading(script: &str) -> (Sources, mpsc::Receiver<Block>) {
        let (sender, blocks) = mpsc::channel(4);
        let words = ["/bin/sh", "-c", script].map(str::to_owned).to_vec();
        let input = Input::Command { name: "app".into(), words };
        (spawn(vec![SourceConfig { id: SourceId(0), input, resume: Default::default() }], sender), blocks)
    }

    async fn error(sources: &Sources) -> String {
        loop {
            if let Some(error) = sources.statuses().remove(0).error {
                return error;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    #[tokio::test]
    async fn it_is_started_again_when_it_ends_and_says_why() {
        let (sources, mut blocks) =
            reading("echo one; printf two; echo noise >&2; echo no route >&2; exit 3");
        let mut read = Vec::new();
        while read.len() < 2 * b"one\ntwo\n".len() {
            read.extend(blocks.recv().await.unwrap().bytes);
        }
        assert_eq!(read, b"one\ntwo\none\ntwo\n", "twice");
        let said = error(&sources).await;
        assert!(said.contains("exit status: 3") && said.contains("`no route`"), "{said}");
        assert!(sources.statuses()[0].restarts >= 1);
    }

    #[tokio::test]
    async fn one_that_cannot_be_started_is_told() {
        let (sender, _blocks) = mpsc::channel(4);
        let input = Input::Command { name: "app".into(), words: vec!["/nonexistent/program".to_owned()] };
        let config = SourceConfig { id: SourceId(0), input, resume: Default::default() };
        let sources = spawn(vec![config], sender);
        assert!(error(&sources).await.contains("cannot be started"));
    }

    #[tokio::test]
    async fn its_children_end_with_the_source() {
        let (sources, mut blocks) = reading("sleep 1000 & echo $!; wait");
        let child = String::from_utf8(blocks.recv().await.unwrap().bytes).unwrap();
        let alive = || {
            let stat = std::fs::read_to_string(format!("/proc/{}/stat", child.trim())).unwrap_or_default();
            stat.rsplit_once(')').is_some_and(|(_, rest)| !rest.starts_with(" Z"))
        };
        assert!(alive());
        drop(sources);
        while alive() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    #[tokio::test]
    async fn endless_lines_and_complaints_cost_bounded_memory() {
        let (sources, mut blocks) =
            reading("head -c 3000000 /dev/zero >&2; head -c 3000000 /dev/zero; echo; echo end; sleep 1000");
        let line = blocks.recv().await.unwrap().bytes;
        assert_eq!(line.iter().filter(|byte| **byte == 0).count(), super::super::lines::LONGEST_LINE);
        assert_eq!(sources.statuses()[0].lines_cut, 1);
    }
}
