//! What benches of the running program share: a real kband with a directory of its own, its log, and its figures.

use std::fs;
use std::io::Write as _;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use kban::firewall::Firewall;

mod place;

pub(crate) use place::{Outcome, address, in_namespace, until};

/// Larger than any set here.
pub(crate) const SET_SIZE: u32 = 2_000_000;

/// A kband with a directory of its own.
pub(crate) struct Kband {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) child: Option<Child>,
}

impl Kband {
    /// One with these settings of its jail sshd, which bans at the first failure unless they say otherwise.
    pub(crate) fn new(jail: &str) -> Outcome<Self> {
        let dir = tempfile::tempdir()?;
        let log = dir.path().join("auth.log");
        fs::write(&log, "")?;
        let config = format!(
            "[jail.sshd]\nenabled = true\nlogpath = {log:?}\n{jail}[firewall]\nset_size = {SET_SIZE}\nownership = \"plain\"\n"
        );
        fs::write(dir.path().join("kban.toml"), config)?;
        Ok(Self { dir, child: None })
    }

    pub(crate) fn path(&self, name: &str) -> std::path::PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn start(&mut self) -> Outcome<()> {
        let mut command = Command::new(env!("CARGO_BIN_EXE_kband"));
        command.arg("--config").arg(self.path("kban.toml"));
        command.arg("--state-dir").arg(self.path("state")).arg("--runtime-dir").arg(self.path("run"));
        let log = fs::File::create(self.path("kband.log"))?;
        self.child = Some(command.stdin(Stdio::null()).stderr(log).spawn()?);
        Ok(())
    }

    /// Whether `banctl status` has an answer, and how long that took.
    pub(crate) fn answers(&self) -> Outcome<(bool, Duration)> {
        let begin = Instant::now();
        let mut banctl = Command::new(env!("CARGO_BIN_EXE_banctl"));
        banctl.arg("--socket").arg(self.path("run/control.sock")).arg("status");
        let status = banctl.stdout(Stdio::null()).stderr(Stdio::null()).status()?;
        Ok((status.success(), begin.elapsed()))
    }

    pub(crate) fn wait_until_it_answers(&self) -> Outcome<()> {
        until(|| Ok(self.answers()?.0))?;
        // The file is followed a moment later.
        std::thread::sleep(Duration::from_millis(300));
        Ok(())
    }

    pub(crate) fn log(&self, lines: &str) -> Outcome<()> {
        fs::OpenOptions::new().append(true).open(self.path("auth.log"))?.write_all(lines.as_bytes())?;
        Ok(())
    }

    pub(crate) fn proc(&self, file: &str) -> Outcome<String> {
        let pid = self.child.as_ref().map(Child::id).ok_or("kband does not run")?;
        Ok(fs::read_to_string(format!("/proc/{pid}/{file}"))?)
    }

    /// A line of `/proc/PID/status` in MB.
    pub(crate) fn megabytes(&self, name: &str) -> Outcome<f64> {
        let status = self.proc("status")?;
        let line = status.lines().find_map(|line| line.strip_prefix(name)).ok_or("no such line")?;
        let kibibytes: f64 = line.trim_matches([':', ' ', '\t', 'k', 'B']).parse()?;
        Ok(kibibytes * 1024.0 / 1e6)
    }

    /// Whether it ever had a child: those that it waited for have left page faults (proc_pid_stat(5), cminflt).
    pub(crate) fn had_children(&self) -> Outcome<bool> {
        let stat = self.proc("stat")?;
        let after_name = stat.rsplit(") ").next().unwrap_or_default();
        Ok(after_name.split(' ').nth(8) != Some("0"))
    }
}

impl Drop for Kband {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
        if let Ok(mut firewall) = Firewall::open_existing() {
            let _ = firewall.remove_table();
        }
    }
}

pub(crate) fn line(n: u32, now: &str) -> String {
    format!("{now} host sshd[4711]: Failed password for root from {} port 50022 ssh2\n", address(n))
}

pub(crate) fn now() -> String {
    jiff::Zoned::now().strftime("%b %e %H:%M:%S").to_string()
}

pub(crate) fn report_size(what: &str, is: f64, goal: f64) -> Outcome<()> {
    let verdict = if is < goal { "reached" } else { "FALLS SHORT" };
    writeln!(std::io::stdout(), "{what:<44} {is:>6.1} MB  goal {goal:>3} MB {verdict}")?;
    Ok(())
}

pub(crate) fn percentile(times: &mut [Duration], percent: usize) -> Duration {
    times.sort();
    times.get(times.len() * percent / 100).copied().unwrap_or_default()
}
