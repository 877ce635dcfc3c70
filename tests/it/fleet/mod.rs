//! Many hosts, one firewall, on a real nats-server: each machine is a network namespace with a kband of its own.

mod client;
mod clocks;
mod full;
mod hostile;
mod network;
mod peers;
mod setting_up;
mod shown;
mod trouble;
mod way;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};

use serde_json::Value;

use crate::harness::{Background, Machine, append, eventually, failed_password, stderr, stdout};

/// The firewall's address, which is its name as well.
const FIREWALL: &str = "10.9.0.1";
const PORT: u16 = 4222;

/// A firewall, and machines behind it.
pub(super) struct Site {
    pub(super) machine: Machine,
    server: RefCell<Option<Background>>,
    /// How wrong the clock of a machine is, for programs that are started from now on.
    clocks: RefCell<BTreeMap<String, String>>,
}

/// What scripts/install-tools and scripts/newer-nats have unpacked.
fn peer(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("target/peers").join(path)
}

/// The server: the system's, or the one that scripts/install-tools has unpacked.
fn nats_server() -> PathBuf {
    let unpacked = peer("nats-server/usr/sbin/nats-server");
    let named = std::env::var_os("NATS_SERVER").map(PathBuf::from);
    let known = [named, Some(unpacked), Some("/usr/sbin/nats-server".into())];
    let found = known.into_iter().flatten().find(|path| path.exists());
    found.expect("there is no nats-server: scripts/install-tools test fetches one")
}

impl Site {
    /// The firewall's namespace is that of the machine; each of the others has one of its name, on one wire.
    pub(super) fn new(members: &[&str]) -> Self {
        Self::on(Machine::new(), members)
    }

    /// The same with the real root, which real servers need.
    pub(super) fn of_root(members: &[&str]) -> Self {
        Self::on(Machine::of_root(), members)
    }

    fn on(machine: Machine, members: &[&str]) -> Self {
        let site = Self { machine, server: RefCell::default(), clocks: RefCell::default() };
        site.machine.sh(&format!(
            "ip link add wire type bridge; ip link set wire up; ip addr add {FIREWALL}/24 dev wire"
        ));
        for (number, name) in members.iter().enumerate() {
            site.machine.sh(&format!(
                "ip netns add {name}; ip link add {name} type veth peer name eth0 netns {name}
                 ip link set {name} master wire up; ip -n {name} link set lo up; ip -n {name} link set eth0 up
                 ip -n {name} addr add 10.9.0.{}/24 dev eth0",
                10 + number
            ));
        }
        for who in members.iter().chain(&["fw"]) {
            fs::create_dir_all(site.path(who, "etc/kban.d")).unwrap();
        }
        site
    }

    pub(super) fn path(&self, who: &str, name: &str) -> PathBuf {
        self.machine.path(who).join(name)
    }

    /// A command on one of the machines.
    pub(super) fn command(&self, who: &str, program: &Path) -> std::process::Command {
        let mut command = self.machine.command(if who == "fw" { program } else { Path::new("ip") });
        if who != "fw" {
            command.args(["netns", "exec", who]).arg(program);
        }
        if let Some(clock) = self.clocks.borrow().get(who) {
            let library = format!("usr/lib/{}-linux-gnu/faketime/libfaketimeMT.so.1", std::env::consts::ARCH);
            let library = peer("libfaketime").join(library);
            assert!(library.exists(), "there is no libfaketime: scripts/install-tools test fetches it");
            command
                .env("LD_PRELOAD", library)
                .env("FAKETIME", clock)
                .env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
        }
        command
    }

    /// The clock of a machine is wrong by that much, such as `+15m`, for programs that are started from now on.
    pub(super) fn set_clock(&self, who: &str, by: &str) {
        self.clocks.borrow_mut().insert(who.to_owned(), by.to_owned());
    }

    /// The machine's kban.toml: sshd over a log of its own, and more.
    pub(super) fn configure(&self, who: &str, more: &str) {
        let log = self.path(who, "auth.log");
        append(&log, b"");
        let text = format!("[jail.sshd]\nenabled = true\nmaxretry = 1\nlogpath = {log:?}\n{more}");
        fs::write(self.path(who, "etc/kban.toml"), text).unwrap();
    }

    pub(super) fn banctl(&self, who: &str, arguments: &[&str]) -> Output {
        let mut command = self.command(who, Path::new(env!("CARGO_BIN_EXE_banctl")));
        command.arg("--socket").arg(self.path(who, "run/control.sock"));
        command.arg("--config").arg(self.path(who, "etc"));
        command.args(arguments).output().unwrap()
    }

    /// It must succeed; what it says.
    pub(super) fn said(&self, who: &str, arguments: &[&str]) -> String {
        let output = self.banctl(who, arguments);
        assert!(output.status.success(), "{who} {arguments:?}: {}{}", stderr(&output), stdout(&output));
        stdout(&output)
    }

    pub(super) fn json(&self, who: &str, arguments: &[&str]) -> Value {
        serde_json::from_str(&self.said(who, &[&["--json"], arguments].concat())).unwrap()
    }

    /// Starts the machine's kband and waits until it answers.
    pub(super) fn kband(&self, who: &str) -> Background {
        let mut command = self.command(who, Path::new(env!("CARGO_BIN_EXE_kband")));
        for (flag, name) in [("--config", "etc"), ("--state-dir", "state"), ("--runtime-dir", "run")] {
            command.arg(flag).arg(self.path(who, name));
        }
        let log = fs::OpenOptions::new().create(true).append(true).open(self.path(who, "kband.log")).unwrap();
        let mut kband = Background(command.stdin(Stdio::null()).stderr(log).spawn().unwrap());
        eventually("kband answers", || {
            if let Some(status) = kband.0.try_wait().unwrap() {
                panic!("kband of {who} ended ({status}):\n{}", self.log(who));
            }
            self.banctl(who, &["status"]).status.success()
        });
        kband
    }

    pub(super) fn log(&self, who: &str) -> String {
        fs::read_to_string(self.path(who, "kband.log")).unwrap_or_default()
    }

    /// Makes the fleet on the firewall, and has the machines join, each with its role.
    pub(super) fn found(&self, members: &[(&str, &str)]) {
        self.init("fw", FIREWALL, &self.machine.path("nats"));
        for (name, role) in members {
            self.join(name, role);
        }
    }

    /// Makes a fleet on a machine, which is reached by `address`.
    pub(super) fn init(&self, who: &str, address: &str, store: &Path) {
        let directory = self.path(who, "fleet");
        let (store, directory) = (store.to_str().unwrap(), directory.to_str().unwrap());
        let server = format!("{address}:{PORT}");
        self.said(who, &["fleet", "init", &server, "--store", store, "--directory", directory]);
    }

    /// Has one machine join, with the lines that an administrator would carry.
    pub(super) fn join(&self, name: &str, role: &str) {
        let directory = self.path(name, "fleet");
        let invited = self.said("fw", &["fleet", "invite", name, "--role", role]);
        let line = invited.trim().strip_prefix("banctl fleet join ").unwrap();
        let joined = self.said(name, &["fleet", "join", line, "--directory", directory.to_str().unwrap()]);
        let line = joined.trim().strip_prefix("banctl fleet accept ").unwrap();
        self.said("fw", &["fleet", "accept", line]);
    }

    pub(super) fn start_server(&self) {
        self.start_server_of(&nats_server());
    }

    pub(super) fn start_server_of(&self, program: &Path) {
        *self.server.borrow_mut() = Some(self.server_of("fw", program));
    }

    /// Starts the server of the fleet that a machine has.
    pub(super) fn server_of(&self, who: &str, program: &Path) -> Background {
        let mut command = self.command(who, program);
        command.arg("-c").arg(self.path(who, "fleet/nats-server.conf"));
        let log =
            fs::OpenOptions::new().create(true).append(true).open(self.machine.path("nats.log")).unwrap();
        command.stdin(Stdio::null()).stderr(log);
        let server = Background(command.spawn().unwrap());
        eventually("nats-server listens", || {
            let output =
                self.command(who, Path::new("ss")).args(["-Hltn", &format!("sport = :{PORT}")]).output();
            stdout(&output.unwrap()).contains(":4222")
        });
        server
    }

    pub(super) fn stop_server(&self) {
        *self.server.borrow_mut() = None;
    }

    /// An attacker fails on a host.
    pub(super) fn attack(&self, who: &str, address: &str) {
        append(&self.path(who, "auth.log"), failed_password(address).as_bytes());
    }

    /// Whom a jail of a machine bans.
    pub(super) fn banned(&self, who: &str, jail: &str) -> Vec<String> {
        let bans = self.json(who, &["list"]);
        let bans = bans["bans"].as_array().unwrap().iter().filter(|ban| ban["jail"] == jail);
        bans.map(|ban| ban["address"].as_str().unwrap().to_owned()).collect()
    }

    /// How a machine is doing in its fleet.
    pub(super) fn fleet(&self, who: &str) -> Value {
        self.json(who, &["status"])["fleet"].clone()
    }

    pub(super) fn connected(&self, who: &str) {
        eventually("it is connected", || {
            let connections = self.fleet(who)["connections"].clone();
            connections
                .as_object()
                .is_some_and(|all| !all.is_empty() && all.values().all(|one| one["up"] == true))
        });
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let server = fs::read_to_string(self.machine.path("nats.log")).unwrap_or_default();
            eprintln!("nats-server's log:\n{server}");
            for entry in fs::read_dir(self.machine.dir.path()).unwrap().flatten() {
                let log = entry.path().join("kband.log");
                if let Ok(text) = fs::read_to_string(&log) {
                    eprintln!("{}:\n{text}", log.display());
                }
            }
        }
    }
}
