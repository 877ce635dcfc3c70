//! Asking an `ignorecommand` about somebody who is about to be banned, beside everything else.
//!
//! The program is run without a shell, with an environment of its own; what it writes is dropped. It is killed with its
//! children when its time is up. A ban waits for it as long as the jail says, no longer, whatever becomes of the
//! program: where nobody answers, the ban goes ahead.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ipnet::IpNet;
use nix::sys::signal::Signal;

use super::pool::{Memory, Pool, WAITING};
use crate::config::ignorecommand::IgnoreCommand;
use crate::jail::asking::{Advice, Case};
use crate::program::Group;

/// How many answers are remembered.
const REMEMBERED: usize = 1000;
/// How often it is looked whether a program has ended.
const LOOK: Duration = Duration::from_millis(5);
/// A program that cannot even be killed in time is not waited for.
const GRACE: Duration = Duration::from_millis(500);
/// Where programs look for others.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Whose ban waits.
type Key = (Arc<str>, IpNet);

struct Question {
    key: Key,
    address: IpAddr,
    command: Arc<IgnoreCommand>,
    deadline: Instant,
}

/// Asks beside everything else. The threads end when it is dropped.
pub(super) struct Asker {
    pool: Pool<Question, (Key, Advice)>,
    waiting: BTreeMap<Key, (Case, Instant)>,
}

impl Asker {
    /// Starts the threads.
    ///
    /// # Errors
    /// When the system has no threads left.
    pub(super) fn start() -> std::io::Result<Self> {
        let memory = Arc::new(Memory::new(REMEMBERED));
        let pool = Pool::start("asking", move |question| answer(question, &memory))?;
        Ok(Self { pool, waiting: BTreeMap::new() })
    }

    /// Asks; the answer comes later. Who is asked about already is not asked about again.
    ///
    /// # Errors
    /// With the case, when too many wait.
    pub(super) fn ask(&mut self, case: Case) -> Result<(), (Case, Advice)> {
        let key = (Arc::clone(&case.jail), case.prefix);
        if self.waiting.contains_key(&key) {
            return Ok(());
        }
        let (command, deadline) = (Arc::clone(&case.command), Instant::now() + case.command.limit);
        let question = Question { key: key.clone(), address: case.address, command, deadline };
        if !self.pool.ask(question) {
            return Err((case, Advice::Failed(format!("{WAITING} questions wait already"))));
        }
        self.waiting.insert(key, (case, deadline + GRACE));
        Ok(())
    }

    /// The next answer. To be dropped and called again at any time.
    pub(super) async fn answer(&mut self) -> (Case, Advice) {
        loop {
            let first = self.waiting.iter().min_by_key(|(_, (_, deadline))| *deadline);
            let Some((key, deadline)) = first.map(|(key, (_, deadline))| (key.clone(), *deadline)) else {
                return std::future::pending().await;
            };
            let (key, advice) = tokio::select! {
                Some(answer) = self.pool.answer() => answer,
                () = tokio::time::sleep_until(deadline.into()) => {
                    (key, Advice::Failed("a program neither ends nor can be killed".to_owned()))
                }
            };
            // What comes too late is of no use any more.
            if let Some((case, _)) = self.waiting.remove(&key) {
                return (case, advice);
            }
        }
    }
}

/// What programs have said: whether to spare somebody. A failure is no answer, and is not remembered.
type Said = Memory<Vec<String>, bool>;

fn answer(Question { key, address, command, deadline }: Question, said: &Said) -> (Key, Advice) {
    let words = command.for_one(address, &key.0);
    if let Some(spare) = said.recall(&words) {
        return (key, if spare { Advice::Spare } else { Advice::Ban });
    }
    let advice = run(&words, deadline, command.limit);
    if !matches!(advice, Advice::Failed(_)) {
        said.remember(words, advice == Advice::Spare);
    }
    (key, advice)
}

/// Runs the program: exit code 0 means to spare, any other to ban.
fn run(words: &[String], deadline: Instant, limit: Duration) -> Advice {
    let [program, arguments @ ..] = words else { return Advice::Failed("no program is named".to_owned()) };
    if Instant::now() >= deadline {
        return Advice::Failed(format!("too many questions wait: {program} was not asked within {limit:?}"));
    }
    let mut command = Command::new(program);
    command.args(arguments).current_dir("/").process_group(0);
    command.env_clear().env("PATH", PATH).env("LC_ALL", "C.UTF-8");
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = match command.spawn() {
        Ok(child) => child,
        Err(error) => return Advice::Failed(format!("{program} cannot be started: {error}")),
    };
    let group = Group::led_by(child.id());
    let ended = wait(group, deadline);
    group.kill();
    // Killed, it ends at once.
    let _ = child.wait();
    match ended.map(|ended| ended.map(|status| (status, status.code()))) {
        Ok(Some((_, Some(0)))) => Advice::Spare,
        Ok(Some((_, Some(_)))) => Advice::Ban,
        Ok(Some((status, None))) => Advice::Failed(format!("{program} died of {}", signal(status))),
        Ok(None) => Advice::Failed(format!("{program} has not ended within {limit:?} and was killed")),
        Err(error) => Advice::Failed(format!("{program} cannot be waited for: {error}")),
    }
}

/// How it ended; `None` when the time is up.
fn wait(group: Group, deadline: Instant) -> std::io::Result<Option<ExitStatus>> {
    loop {
        match group.ended()? {
            None if Instant::now() < deadline => std::thread::sleep(LOOK),
            ended => return Ok(ended),
        }
    }
}

/// The name of the signal.
fn signal(status: ExitStatus) -> &'static str {
    status.signal().and_then(|number| Signal::try_from(number).ok()).map_or("a signal", Signal::as_str)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    fn sh(script: &str, limit: Duration) -> Advice {
        let words = ["/bin/sh", "-c", script].map(str::to_owned);
        run(&words, Instant::now() + limit, limit)
    }

    #[test]
    fn its_exit_code_is_the_answer() {
        assert_eq!(sh("exit 0", LONG), Advice::Spare);
        assert_eq!(sh("exit 1", LONG), Advice::Ban);
        assert_eq!(sh("exit 255", LONG), Advice::Ban);
        assert_eq!(
            sh("test -z \"$HOME$USER\" && command -v env && ! read line", LONG),
            Advice::Spare,
            "a clean environment"
        );
    }

    #[test]
    fn one_that_hangs_floods_or_dies_is_no_answer() {
        let failed = |script, limit, words: &str| match sh(script, limit) {
            Advice::Failed(why) => assert!(why.contains(words), "{why}"),
            advice => panic!("{script}: {advice:?}"),
        };
        let short = Duration::from_millis(300);
        let begin = Instant::now();
        for script in ["sleep 1000 & sleep 1000", "trap '' TERM; sleep 1000", "exec yes", "yes >&2"] {
            failed(script, short, "has not ended within 300ms and was killed");
        }
        failed("kill -SEGV $$", LONG, "died of SIGSEGV");
        assert_eq!(sh("head -c 100000000 /dev/zero", LONG), Advice::Spare, "what it writes is dropped");
        assert!(begin.elapsed() < LONG);
        let words = ["/nonexistent/program".to_owned()];
        assert!(
            matches!(run(&words, Instant::now() + LONG, LONG), Advice::Failed(why) if why.contains("cannot be started"))
        );
        let late = run(&["/bin/true".to_owned()], Instant::now(), LONG);
        assert!(matches!(late, Advice::Failed(why) if why.contains("was not asked")));
    }

    #[test]
    fn its_children_end_with_it() {
        let dir = tempfile::tempdir().unwrap();
        let pid = dir.path().join("pid");
        assert_eq!(sh(&format!("sleep 1000 & echo $! > {}", pid.display()), LONG), Advice::Spare);
        let pid = std::fs::read_to_string(pid).unwrap();
        let begin = Instant::now();
        // Whoever reaps orphans may take a moment.
        while std::fs::read_to_string(format!("/proc/{}/stat", pid.trim()))
            .is_ok_and(|stat| !stat.contains(") Z "))
        {
            assert!(begin.elapsed() < LONG);
        }
    }

    fn case(number: u8, script: &str, limit: Duration) -> Case {
        let address = IpAddr::from([203, 0, 113, number]);
        let words = ["/bin/sh", "-c", script, "sh", "<ip>", "<jail>"].map(str::to_owned).to_vec();
        Case {
            jail: "sshd".into(),
            prefix: address.into(),
            address,
            source: "log".into(),
            failures: 5,
            command: Arc::new(IgnoreCommand { words, limit }),
        }
    }

    fn answered(cases: Vec<Case>) -> Vec<(u8, Advice)> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut asker = Asker::start().unwrap();
            let mut all: Vec<(Case, Advice)> =
                cases.into_iter().filter_map(|case| asker.ask(case).err()).collect();
            while !asker.waiting.is_empty() {
                all.push(asker.answer().await);
            }
            let number =
                |case: &Case| case.prefix.to_string().split(['.', '/']).nth(3).unwrap().parse().unwrap();
            all.iter().map(|(case, advice)| (number(case), advice.clone())).collect()
        })
    }

    #[test]
    fn each_is_asked_about_once_and_told_who_it_is() {
        let script = "test \"$2\" = sshd && test \"$1\" = 203.0.113.7";
        let mut all = answered([7, 8, 7].map(|number| case(number, script, LONG)).into());
        all.sort_by_key(|(number, _)| *number);
        assert_eq!(all, [(7, Advice::Spare), (8, Advice::Ban)]);
    }

    #[test]
    fn programs_that_hang_delay_no_ban_for_longer_than_the_limit() {
        let begin = Instant::now();
        let all = answered(
            (0..=255).map(|number| case(number, "sleep 1000", Duration::from_millis(300))).collect(),
        );
        assert_eq!(all.len(), 256);
        assert!(all.iter().all(|(_, advice)| matches!(advice, Advice::Failed(_))));
        assert!(
            begin.elapsed() < LONG,
            "one after the other, four at once, they would take 19 seconds; all are given up together"
        );
    }

    #[test]
    fn an_answer_is_remembered_and_a_failure_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let flag = dir.path().join("flag");
        let said = Said::new(REMEMBERED);
        let ask = |script: String| {
            let Case { jail, prefix, address, command, .. } = case(7, &script, LONG);
            let deadline = Instant::now() + LONG;
            answer(Question { key: (jail, prefix), address, command, deadline }, &said).1
        };
        let script = format!("test -e {}", flag.display());
        assert_eq!(ask(script.clone()), Advice::Ban);
        std::fs::write(&flag, "").unwrap();
        assert_eq!(ask(script), Advice::Ban, "as it was said before");
        let dies = format!("test -e {}.gone || kill -SEGV $$", flag.display());
        assert!(matches!(ask(dies.clone()), Advice::Failed(_)));
        std::fs::write(format!("{}.gone", flag.display()), "").unwrap();
        assert_eq!(ask(dies), Advice::Spare, "it is asked again");
    }
}
