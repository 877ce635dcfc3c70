//! The programs that kban is compared with, run on the same log in the same run, each on one core.
//!
//! They are no part of kban: `scripts/install-tools test` unpacks fail2ban, and
//! `cargo install --locked fail2ban-rs --version 1.5.4` puts the other into PATH. One that is missing is named loudly.
//! What a peer needs to start is measured with one line and taken off before the rest is scaled.

use std::fs;
use std::io::{Error, Result};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// fail2ban-regex gets one line of this many.
const PART: usize = 10;
const ROUNDS: usize = 3;

/// Where the unpacked package is.
fn package() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("target/peers/fail2ban")
}

/// fail2ban's own sshd filter, for our engine too.
pub(crate) fn dialect() -> Option<PathBuf> {
    let filter = package().join("etc/fail2ban/filter.d/sshd.conf");
    filter.is_file().then_some(filter)
}

/// What a peer took for the whole log.
pub(crate) struct Peer {
    pub(crate) name: &'static str,
    /// Seconds, or why there are none.
    pub(crate) seconds: std::result::Result<f64, String>,
}

/// Runs both peers on the log.
pub(crate) fn run(log: &str) -> Result<Vec<Peer>> {
    let directory = std::env::temp_dir().join(format!("kban-bench-{}", std::process::id()));
    fs::create_dir_all(&directory)?;
    let part: String = log.split_inclusive('\n').step_by(PART).collect();
    let first: String = log.split_inclusive('\n').take(1).collect();
    let (whole_log, part_log, first_log) =
        (directory.join("whole.log"), directory.join("part.log"), directory.join("first.log"));
    fs::write(&whole_log, log)?;
    fs::write(&part_log, &part)?;
    fs::write(&first_log, first)?;
    let config = directory.join("fail2ban-rs.toml");
    fs::write(&config, RS_CONFIG)?;
    let scale = log.len() as f64 / part.len().max(1) as f64;
    let peers = vec![
        Peer { name: "fail2ban-regex", seconds: timed(&fail2ban_regex, &part_log, &first_log, scale) },
        Peer {
            name: "fail2ban-rs",
            seconds: timed(&|log| fail2ban_rs(&config, log), &whole_log, &first_log, 1.0),
        },
    ];
    fs::remove_dir_all(&directory)?;
    Ok(peers)
}

/// The first two of the patterns that `fail2ban-rs gen-config sshd` writes: those of failed logins.
const RS_CONFIG: &str = r#"
[global]
socket_path = "/nonexistent/socket"
state_file = "/nonexistent/state"

[jail.sshd]
enabled = true
log_path = "/var/log/auth.log"
date_format = "syslog"
filter = [
    'sshd\[\d+\]: Failed password for .* from <HOST> port \d+',
    'sshd\[\d+\]: Invalid user .* from <HOST> port \d+',
]
max_retry = 5
find_time = "10m"
ban_time = "1h"
"#;

fn fail2ban_rs(config: &Path, log: &Path) -> Command {
    let mut command = on_one_core("fail2ban-rs");
    command.arg("-c").arg(config).arg("dry-run").arg(log);
    command
}

fn fail2ban_regex(log: &Path) -> Command {
    let root = package();
    let mut command = on_one_core("/usr/bin/python3");
    command.env("PYTHONPATH", root.join("usr/lib/python3/dist-packages"));
    command.arg(root.join("usr/bin/fail2ban-regex")).arg("-c").arg(root.join("etc/fail2ban"));
    command.arg(log).arg(root.join("etc/fail2ban/filter.d/sshd.conf"));
    command
}

fn on_one_core(program: &str) -> Command {
    let mut command = Command::new("taskset");
    command.args(["-c", "0", program]);
    command
}

/// Seconds for the whole log: the median run on `log` less the start, scaled.
fn timed(
    command: &dyn Fn(&Path) -> Command,
    log: &Path,
    first: &Path,
    scale: f64,
) -> std::result::Result<f64, String> {
    let median = |log: &Path| -> Result<f64> {
        let mut times = Vec::new();
        for _ in 0..ROUNDS {
            times.push(once(command(log))?);
        }
        times.sort();
        Ok(times.get(ROUNDS / 2).copied().unwrap_or_default().as_secs_f64())
    };
    let start = median(first).map_err(|error| error.to_string())?;
    let all = median(log).map_err(|error| error.to_string())?;
    Ok((all - start).max(0.0) * scale)
}

fn once(mut command: Command) -> Result<Duration> {
    let started = Instant::now();
    let output = command.stdin(Stdio::null()).output()?;
    let took = started.elapsed();
    match output.status.success() {
        true => Ok(took),
        false => {
            let said = String::from_utf8_lossy(&output.stderr);
            let said: Vec<&str> = said.lines().take(4).map(str::trim).collect();
            Err(Error::other(said.join(" ")))
        }
    }
}
