//! A program that writes lines for as long as it runs, such as `kubectl logs --follow`: started again when it ends.
//!
//! No shell reads its words. It has a process group of its own, which ends with the source.

use std::io;
use std::pin::pin;
use std::process::{ExitStatus, Stdio};
use std::time::{Duration, Instant};

use tokio::io::AsyncReadExt;
use tokio::process::{Child, ChildStderr, Command};

use super::State;
use super::flow::{Ended, Flow};
use super::pause::Pause;
use crate::program::{Complaints, Group};

/// How long is waited before it is started again, the first time; each time twice as long.
const SOONEST: Duration = Duration::from_secs(1);
/// No longer than that.
const LATEST: Duration = Duration::from_secs(60);
/// It runs well if it runs so long.
const WELL: Duration = Duration::from_secs(60);
/// How long it may live on when it writes no more.
const GRACE: Duration = Duration::from_secs(5);
/// How often it is looked whether it has ended.
const LOOK: Duration = Duration::from_millis(20);
/// How long is listened to its complaints once it has ended.
const LAST_WORDS: Duration = Duration::from_millis(100);

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
    let (mut pause, mut error) = (Pause::between(SOONEST, LATEST), None);
    loop {
        let began = Instant::now();
        match once(&words, &mut flow, error.take()).await {
            Ok(()) => return,
            Err(said) => error = Some(said.to_string()),
        }
        if began.elapsed() >= WELL {
            pause.reset();
        }
        flow.teller.tell(State::Failed, error.clone());
        tokio::select! {
            () = tokio::time::sleep(pause.take()) => flow.teller.restarted(),
            () = flow.closed() => return,
        }
    }
}

/// One run of it; `Ok` when nobody takes the lines any more. What was wrong `before` stands until it runs well.
async fn once(words: &[String], flow: &mut Flow, before: Option<String>) -> Result<(), CommandError> {
    let program = words.first().cloned().unwrap_or_default();
    let started = Running::start(&program, words.get(1..).unwrap_or_default());
    let mut running = started.map_err(|error| CommandError::Start(program.clone(), error))?;
    let teller = flow.teller.clone();
    teller.tell(State::Following, before.clone());
    let mut complaints = Complaints::default();
    let (stdout, stderr) = (running.child.stdout.take(), running.child.stderr.take());
    let ended = {
        let mut well = pin!(tokio::time::sleep(WELL));
        let mut listening = pin!(listen(stderr, &mut complaints));
        let mut written = pin!(async {
            let Some(mut stdout) = stdout else { return Ok(Ok(None)) };
            match flow.run(&mut stdout).await {
                Ended::Reader => Err(()),
                Ended::Writer(Err(error)) => Ok(Err(error)),
                Ended::Writer(Ok(())) => Ok(Ok(running.ended().await)),
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
            Err(CommandError::Ended { program, how, said: complaints.saying() })
        }
    }
}

/// Hears its complaints to their end.
async fn listen(stderr: Option<ChildStderr>, complaints: &mut Complaints) {
    let Some(mut stderr) = stderr else { return };
    let mut chunk = [0; 1024];
    while let Ok(count @ 1..) = stderr.read(&mut chunk).await {
        complaints.take(chunk.get(..count).unwrap_or_default());
    }
}

/// The program and its children, which end with this.
struct Running {
    /// Not reaped before its group is killed.
    child: Child,
    group: Option<Group>,
}

impl Running {
    fn start(program: &str, arguments: &[String]) -> io::Result<Self> {
        let mut command = Command::new(program);
        command.args(arguments).current_dir("/").process_group(0);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        let child = command.spawn()?;
        let group = child.id().map(Group::led_by);
        Ok(Self { child, group })
    }

    /// How it ended; `None`: it does not.
    async fn ended(&self) -> Option<ExitStatus> {
        let group = self.group?;
        let ended = async {
            loop {
                match group.ended() {
                    Ok(None) => tokio::time::sleep(LOOK).await,
                    ended => return ended.ok().flatten(),
                }
            }
        };
        tokio::time::timeout(GRACE, ended).await.ok()?
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(group) = self.group {
            group.kill();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Input;
    use super::super::bench::Run;

    fn running(words: &[&str]) -> Run {
        let words = words.iter().map(|word| (*word).to_owned()).collect();
        Run::of(Input::Command { name: "app".into(), words })
    }

    fn sh(script: &str) -> Run {
        running(&["/bin/sh", "-c", script])
    }

    /// Waits until a process is gone, by the number that it has written.
    async fn gone(run: &Run, number: &[u8]) {
        let stat = format!("/proc/{}/stat", std::str::from_utf8(number).unwrap().trim());
        let alive = |stat: String| stat.rsplit_once(')').is_some_and(|(_, rest)| !rest.starts_with(" Z"));
        run.eventually(|_| !alive(std::fs::read_to_string(&stat).unwrap_or_default())).await;
    }

    #[tokio::test]
    async fn it_is_started_again_when_it_ends_and_says_why() {
        let mut run = sh("echo one; printf two; echo noise >&2; echo no route >&2; exit 3");
        run.expect("one\ntwo\none\ntwo\n").await;
        let said = run.until(|status| status.error.is_some()).await.error.unwrap();
        assert!(said.contains("exit status: 3") && said.contains("`no route`"), "{said}");
        assert!(run.status().restarts >= 1);
    }

    #[tokio::test]
    async fn one_that_cannot_be_started_is_told() {
        let run = running(&["/nonexistent/program"]);
        run.until(|status| status.error.as_ref().is_some_and(|it| it.contains("cannot be started"))).await;
    }

    #[tokio::test]
    async fn its_children_end_with_the_source() {
        let mut run = sh("sleep 1000 & echo $!; wait");
        let child = run.block().await.bytes;
        run.sources.configure(Vec::new());
        gone(&run, &child).await;
    }

    #[tokio::test]
    async fn its_children_end_with_it() {
        let mut run = sh("sleep 1000 >&- 2>&- & echo $!");
        let child = run.block().await.bytes;
        gone(&run, &child).await;
        assert_ne!(run.block().await.bytes, child, "it is started again");
    }

    #[tokio::test]
    async fn endless_lines_and_complaints_cost_bounded_memory() {
        let mut run =
            sh("head -c 3000000 /dev/zero >&2; head -c 3000000 /dev/zero; echo; echo end; sleep 1000");
        let line = run.block().await.bytes;
        assert_eq!(line.iter().filter(|byte| **byte == 0).count(), super::super::lines::LONGEST_LINE);
        assert_eq!(run.status().lines_cut, 1);
    }
}
