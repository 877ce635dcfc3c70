//! A machine of a test's own: namespaces with an nf_tables of their own, a directory, and a kband.
//!
//! Root is not needed: an own user namespace has a real nf_tables. Where the system forbids those, the
//! tests fail and say so.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

/// How long anything that must happen may take on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Network and mount namespaces that live as long as this value.
pub(crate) struct Machine {
    holder: Child,
    as_user: bool,
    pub(crate) dir: tempfile::TempDir,
}

impl Machine {
    /// A machine with a loopback interface and nothing else.
    pub(crate) fn new() -> Self {
        Self::made(!nix::unistd::geteuid().is_root())
    }

    /// A machine whose root is the real root: real servers need their real users.
    pub(crate) fn of_root() -> Self {
        assert!(nix::unistd::geteuid().is_root(), "this test starts real servers: run `make test` as root");
        Self::made(false)
    }

    fn made(as_user: bool) -> Self {
        let mut unshare = Command::new("unshare");
        if as_user {
            unshare.args(["--user", "--map-root-user"]);
        }
        let script = "mount -t tmpfs tmpfs /run && ip link set lo up && echo ready && exec sleep infinity";
        unshare.args(["--net", "--mount", "sh", "-c", script]);
        let mut holder = unshare.stdout(Stdio::piped()).spawn().expect("unshare(1) is part of util-linux");
        let mut ready = [0; 6];
        std::io::Read::read_exact(holder.stdout.as_mut().unwrap(), &mut ready).expect(
            "this system forbids user namespaces (see unshare's message above): \
             allow them (sysctl kernel.apparmor_restrict_unprivileged_userns=0) or run the tests as root",
        );
        Self { holder, as_user, dir: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// A command inside the namespaces.
    pub(crate) fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["--target", &self.holder.id().to_string(), "--net", "--mount"]);
        if self.as_user {
            command.args(["--user", "--preserve-credentials"]);
        }
        command.arg("--wd=/").arg("--").arg(program).current_dir(self.dir.path());
        command
    }

    /// Runs a shell line inside; it must succeed.
    pub(crate) fn sh(&self, line: &str) -> String {
        let output = self.command("sh").args(["-ec", line]).output().unwrap();
        assert!(output.status.success(), "{line}\n{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// `nft -j ...`, parsed.
    pub(crate) fn nft(&self, arguments: &str) -> Value {
        serde_json::from_str(&self.sh(&format!("nft -j {arguments}"))).unwrap()
    }

    /// The addresses in a set, with the seconds they have left, as nft sees them.
    pub(crate) fn set(&self, name: &str) -> Vec<(String, u64)> {
        let listed = self.nft(&format!("list set inet kban {name}"));
        let elements = listed["nftables"][1]["set"]["elem"].as_array().cloned().unwrap_or_default();
        elements
            .iter()
            .map(|element| {
                (
                    element["elem"]["val"].as_str().unwrap().to_owned(),
                    element["elem"]["expires"].as_u64().unwrap(),
                )
            })
            .collect()
    }

    pub(crate) fn banctl(&self, arguments: &[&str]) -> Output {
        let mut command = self.command(env!("CARGO_BIN_EXE_banctl"));
        command.arg("--socket").arg(self.path("run/control.sock")).args(arguments).output().unwrap()
    }

    /// `banctl --json ...`, which must succeed.
    pub(crate) fn banctl_json(&self, arguments: &[&str]) -> Value {
        let mut all = vec!["--json"];
        all.extend(arguments);
        let output = self.banctl(&all);
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// The addresses that `banctl list` shows.
    pub(crate) fn listed(&self) -> Vec<String> {
        self.listed_by(&[])
    }

    /// Those that `banctl list ARGUMENTS` shows.
    pub(crate) fn listed_by(&self, arguments: &[&str]) -> Vec<String> {
        let all: Vec<&str> = std::iter::once("list").chain(arguments.iter().copied()).collect();
        let bans = self.banctl_json(&all);
        let rows = bans["bans"].as_array().unwrap();
        rows.iter().map(|row| row["address"].as_str().unwrap().to_owned()).collect()
    }

    /// The plain configuration of these tests: sshd over `auth.log`.
    pub(crate) fn configure(&self, more: &str) -> PathBuf {
        let file = self.path("kban.toml");
        let log = self.path("auth.log");
        fs::write(&file, format!("[jail.sshd]\nenabled = true\nlogpath = {log:?}\n{more}")).unwrap();
        file
    }

    pub(crate) fn kband(&self) -> Command {
        self.kband_of("kban.toml", &self.path("run"))
    }

    /// With this configuration, and its socket in that directory.
    pub(crate) fn kband_of(&self, config: &str, run: &Path) -> Command {
        let mut command = self.command(env!("CARGO_BIN_EXE_kband"));
        command.args(self.kband_arguments_of(config, run));
        command
    }

    pub(crate) fn kband_arguments(&self) -> Vec<String> {
        self.kband_arguments_of("kban.toml", &self.path("run"))
    }

    fn kband_arguments_of(&self, config: &str, run: &Path) -> Vec<String> {
        let paths = [self.path(config), self.path("state"), run.to_owned()];
        let flags = ["--config", "--state-dir", "--runtime-dir"].into_iter().zip(paths);
        flags.flat_map(|(flag, path)| [flag.to_owned(), path.display().to_string()]).collect()
    }

    /// Starts `command` as the daemon and waits until it follows its log.
    pub(crate) fn start(&self, mut command: Command) -> Daemon<'_> {
        let log = fs::OpenOptions::new().create(true).append(true).open(self.path("kband.log")).unwrap();
        let child = command.stdin(Stdio::null()).stderr(log).spawn().unwrap();
        let mut daemon = Daemon { machine: self, child };
        eventually("kband answers", || {
            if let Some(status) = daemon.child.try_wait().unwrap() {
                panic!("kband ended ({status}):\n{}", self.kband_log());
            }
            self.banctl(&["status"]).status.success()
        });
        daemon
    }

    pub(crate) fn kband_log(&self) -> String {
        fs::read_to_string(self.path("kband.log")).unwrap_or_default()
    }

    /// Appends to the log that the plain configuration follows.
    pub(crate) fn log(&self, lines: &str) {
        append(&self.path("auth.log"), lines.as_bytes());
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}

/// A running kband.
pub(crate) struct Daemon<'a> {
    machine: &'a Machine,
    child: Child,
}

impl Daemon<'_> {
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn signal(&self, signal: nix::sys::signal::Signal) {
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(self.child.id().cast_signed()), signal).unwrap();
    }

    /// Asks it to stop and waits; it must do so cleanly.
    pub(crate) fn stop(self) {
        self.signal(nix::sys::signal::Signal::SIGTERM);
        self.wait();
    }

    /// Waits until it has ended; it must have done so cleanly.
    pub(crate) fn wait(mut self) {
        let status = self.child.wait().unwrap();
        assert!(status.success(), "{status}\n{}", self.machine.kband_log());
    }

    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Daemon<'_> {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("kband's log:\n{}", self.machine.kband_log());
        }
    }
}

/// Another program that runs beside, until dropped.
pub(crate) struct Background(pub(crate) Child);

impl Drop for Background {
    fn drop(&mut self) {
        let _ = nix::sys::signal::kill(
            nix::unistd::Pid::from_raw(self.0.id().cast_signed()),
            nix::sys::signal::Signal::SIGTERM,
        );
        let _ = self.0.wait();
    }
}

pub(crate) fn append(path: &Path, bytes: &[u8]) {
    fs::OpenOptions::new().create(true).append(true).open(path).unwrap().write_all(bytes).unwrap();
}

/// A line that sshd writes for a wrong password, dated now.
pub(crate) fn failed_password(address: &str) -> String {
    let now = jiff::Zoned::now().strftime("%b %e %H:%M:%S");
    format!("{now} host sshd[4711]: Failed password for root from {address} port 50022 ssh2\n")
}

/// `count` different addresses in 10.0.0.0/8.
pub(crate) fn addresses(count: u32) -> Vec<String> {
    (1..=count).map(|n| std::net::Ipv4Addr::from(0x0a00_0000 + n).to_string()).collect()
}

/// Waits until `what` is so.
pub(crate) fn eventually(what: &str, mut so: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !so() {
        assert!(begin.elapsed() < PATIENCE, "not within {PATIENCE:?}: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

pub(crate) fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}
