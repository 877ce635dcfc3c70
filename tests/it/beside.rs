//! Living beside others who write to the kernel's firewall: what they do to kban's table, owned and not.

use std::io::{BufRead, BufReader, Write};
use std::process::{ChildStdout, Stdio};

use crate::harness::{Background, Machine, addresses, eventually, failed_password, stderr};
use crate::manager::Manager;

const BANS: u32 = 1_000;

/// A machine whose kband is to own its table, or not, and bans whoever fails once.
fn machine(ownership: &str) -> Machine {
    let machine = Machine::new();
    configure(&machine, ownership);
    machine
}

fn configure(machine: &Machine, ownership: &str) {
    machine.configure(&format!(
        "maxretry = 1\nbantime = \"1h\"\nmax_tracked = 1000\n[firewall]\nownership = \"{ownership}\"\n"
    ));
}

/// Has kband ban a thousand addresses.
fn ban_many(machine: &Machine) {
    machine.log(&addresses(BANS).iter().map(|address| failed_password(address)).collect::<String>());
    eventually("all are banned", || held(machine) == BANS as usize);
}

/// How many bans the kernel holds; none if there is no table.
fn held(machine: &Machine) -> usize {
    let listed =
        machine.command("nft").args(["-j", "list", "set", "inet", "kban", "host4"]).output().unwrap();
    let listed: serde_json::Value = serde_json::from_slice(&listed.stdout).unwrap_or_default();
    listed["nftables"][1]["set"]["elem"].as_array().map_or(0, Vec::len)
}

fn whole(machine: &Machine) -> bool {
    held(machine) == BANS as usize
        && machine.sh("nft list chain inet kban prerouting || true").contains("@host4 goto offender")
}

fn firewall(machine: &Machine) -> serde_json::Value {
    machine.banctl_json(&["status"])["firewall"].clone()
}

#[test]
fn what_others_remove_is_restored_at_once_and_told() {
    let machine = machine("plain");
    let _daemon = machine.start(machine.kband());
    ban_many(&machine);
    for (count, (command, told)) in [
        ("nft flush ruleset", "removed table inet kban: 1000 bans restored in "),
        ("nft delete table inet kban", "removed table inet kban: 1000 bans restored in "),
        ("nft flush table inet kban", "changed table inet kban: 1000 bans restored in "),
        ("nft flush chain inet kban offender", "changed table inet kban: 1000 bans restored in "),
        ("nft flush set inet kban host4", "changed 1000 bans in table inet kban: put right in "),
        (
            "nft delete element inet kban host4 { 10.0.0.1, 10.0.0.2 }",
            "changed 2 bans in table inet kban: put right in ",
        ),
        (
            "nft add element inet kban host4 { 198.51.100.7 }",
            "changed 1 ban in table inet kban: put right in ",
        ),
    ]
    .into_iter()
    .enumerate()
    {
        // Not so fast that it looks like a fight.
        let (tellings, before) = (machine.kband_log().matches(told).count(), held(&machine));
        assert_eq!(before, BANS as usize);
        machine.sh(command);
        eventually(command, || machine.kband_log().matches(told).count() > tellings && whole(&machine));
        assert!(machine.kband_log().contains("nft (pid "), "{}", machine.kband_log());
        assert_eq!(firewall(&machine)["changed_by_others"], count as u64 + 1, "{command}");
    }
    let status = firewall(&machine);
    assert_eq!(
        (&status["owned"], &status["restored"], &status["repaired"]),
        (&false.into(), &4.into(), &1003.into())
    );
}

#[test]
fn a_program_that_fights_does_not_make_kband_spin() {
    let machine = machine("plain");
    let _daemon = machine.start(machine.kband());
    ban_many(&machine);
    let mut fight = machine.command("sh");
    let fight = fight.args(["-c", "for n in $(seq 300); do nft flush ruleset; done"]).status().unwrap();
    assert!(fight.success());
    let log = machine.kband_log();
    assert_eq!(log.matches("changes table inet kban again and again").count(), 1, "{log}");
    let restored = firewall(&machine)["restored"].as_u64().unwrap();
    assert!((5..100).contains(&restored), "{restored} times for 300 flushes");
    eventually("restored when the fight is over", || whole(&machine));
}

#[test]
fn what_kband_could_not_follow_is_put_right_as_well() {
    let machine = machine("plain");
    let daemon = machine.start(machine.kband());
    ban_many(&machine);
    daemon.signal(nix::sys::signal::Signal::SIGSTOP);
    machine.sh("nft flush set inet kban host4");
    // More than the kernel keeps for kband to hear.
    let many: Vec<String> = addresses(150_000);
    let more = format!(
        "table inet other {{ set many {{ type ipv4_addr; elements = {{ {} }}; }}; }}\n",
        many.join(", ")
    );
    std::fs::write(machine.path("more.nft"), more).unwrap();
    machine.sh(&format!("nft -f {}", machine.path("more.nft").display()));
    daemon.signal(nix::sys::signal::Signal::SIGCONT);
    eventually("restored", || whole(&machine));
    let told = "too much was changed in the firewall at once to follow it";
    eventually("told", || machine.kband_log().contains(told));
}

#[test]
fn an_owned_table_is_not_touched_by_others() {
    let machine = machine("owned");
    let _daemon = machine.start(machine.kband());
    ban_many(&machine);
    // As Debian's nftables.service does with what the package ships as /etc/nftables.conf.
    std::fs::write(
        machine.path("nftables.conf"),
        "#!/usr/sbin/nft -f\n\nflush ruleset\n\ntable inet filter {\n\tchain input {\n\t\ttype filter hook input \
         priority filter;\n\t}\n\tchain forward {\n\t\ttype filter hook forward priority filter;\n\t}\n\tchain \
         output {\n\t\ttype filter hook output priority filter;\n\t}\n}\n",
    )
    .unwrap();
    machine.sh(&format!("nft -f {}", machine.path("nftables.conf").display()));
    machine.sh("nft flush ruleset");
    machine.sh("! nft delete table inet kban 2>/dev/null");
    machine.sh("! nft delete element inet kban host4 { 10.0.0.1 } 2>/dev/null");
    assert!(whole(&machine));
    let status = firewall(&machine);
    assert_eq!((&status["owned"], &status["changed_by_others"]), (&true.into(), &0.into()));
    let text = crate::harness::stdout(&machine.banctl(&["status"]));
    assert!(text.contains("table: owned by kband; changed by others 0 times"), "{text}");
}

#[test]
fn debians_nftables_conf_is_loaded_beside_a_plain_table() {
    let machine = machine("plain");
    let _daemon = machine.start(machine.kband());
    ban_many(&machine);
    let shipped =
        "flush ruleset\ntable inet filter { chain input { type filter hook input priority filter; }; }\n";
    std::fs::write(machine.path("nftables.conf"), shipped).unwrap();
    machine.sh(&format!("nft -f {}", machine.path("nftables.conf").display()));
    eventually("ours is there again", || whole(&machine));
    assert!(machine.sh("nft list tables").contains("inet filter"));
    // What is saved with our table in it can be loaded again.
    let saved = machine.path("saved.conf");
    machine.sh(&format!("(echo flush ruleset; nft list ruleset) > {0}; nft -f {0}", saved.display()));
    eventually("ours is there again", || whole(&machine));
}

#[test]
fn auto_is_plain_where_nft_cannot_load_what_it_saves() {
    let machine = machine("auto");
    let _daemon = machine.start(machine.kband());
    ban_many(&machine);
    let owned = firewall(&machine)["owned"].as_bool().unwrap();
    let reads = machine.sh(
        "strings -a $(ldconfig -p | sed -n 's/.*libnftables.so.1 .*=> //p') | grep -c '^persist$' || true",
    );
    assert_eq!(owned, reads.trim() != "0", "{}", machine.kband_log());
    if !owned {
        assert!(
            machine.kband_log().contains("nft cannot load again what it prints"),
            "{}",
            machine.kband_log()
        );
        let saved = machine.path("saved.conf");
        machine.sh(&format!("nft list ruleset > {0}; nft flush ruleset; nft -f {0}", saved.display()));
    }
}

#[test]
fn killed_and_started_again_it_owns_what_it_left() {
    let machine = machine("owned");
    let daemon = machine.start(machine.kband());
    ban_many(&machine);
    // The store follows the kernel; who bans them is to be remembered.
    eventually("the store has them", || {
        let database = rusqlite::Connection::open(machine.path("state/kban.sqlite3")).unwrap();
        let rows = database.query_row("SELECT count(*) FROM bans", [], |row| row.get::<_, u32>(0));
        rows.is_ok_and(|rows| rows == BANS)
    });
    daemon.kill();
    assert!(whole(&machine), "a crash loses nothing");
    let daemon = machine.start(machine.kband());
    machine.sh("nft flush ruleset");
    assert!(whole(&machine), "it is owned again");
    daemon.kill();
    // Nobody owns it now: banctl does without a daemon what the administrator wants.
    let banctl = env!("CARGO_BIN_EXE_banctl");
    machine.sh(&format!("{banctl} unban --kernel 10.0.0.1"));
    assert_eq!(held(&machine), BANS as usize - 1);
    machine.sh(&format!("{banctl} flush"));
    assert!(!machine.sh("nft list tables").contains("kban"));
    let _daemon = machine.start(machine.kband());
    eventually("restored from what is remembered", || whole(&machine));
}

#[test]
fn a_second_kband_is_refused_with_a_sentence() {
    for ownership in ["owned", "plain"] {
        is_refused(ownership);
    }
}

fn is_refused(ownership: &str) {
    let machine = machine(ownership);
    let _daemon = machine.start(machine.kband());
    ban_many(&machine);
    let same = machine.kband().output().unwrap();
    assert!(!same.status.success() && stderr(&same).contains("another kband already listens"), "{same:?}");
    // Also where it does not find the first one's socket.
    let mut other = machine.command(env!("CARGO_BIN_EXE_kband"));
    other.arg("--config").arg(machine.path("kban.toml")).arg("--state-dir").arg(machine.path("other-state"));
    let other = other.arg("--runtime-dir").arg(machine.path("other-run")).output().unwrap();
    assert!(
        !other.status.success()
            && stderr(&other).contains("another kband already guards table inet kban (process "),
        "{other:?}"
    );
    let kernel = machine.banctl(&["unban", "--kernel", "10.0.0.1"]);
    if ownership == "plain" {
        return;
    }
    assert!(!kernel.status.success() && stderr(&kernel).contains("(without --kernel)"), "{kernel:?}");
    assert!(whole(&machine));
}

#[test]
fn ownership_follows_the_configuration() {
    let machine = machine("plain");
    let _daemon = machine.start(machine.kband());
    ban_many(&machine);
    for (ownership, owned) in [("owned", true), ("plain", false)] {
        configure(&machine, ownership);
        assert!(machine.banctl(&["reload"]).status.success());
        assert_eq!(firewall(&machine)["owned"], owned);
        assert!(whole(&machine));
        machine.sh("nft flush ruleset");
        eventually("it stays, or comes back", || whole(&machine));
    }
    assert_eq!(firewall(&machine)["changed_by_others"], 1);
}

#[test]
fn a_restart_through_the_descriptor_store_leaves_no_gap() {
    let machine = machine("owned");
    let mut manager = Manager::new(&machine);
    assert_eq!(manager.order("start"), "");
    ban_many(&machine);
    for end in ["stop", "kill"] {
        assert_eq!(manager.order(end), "kban-table");
        // Nobody runs, and still nobody else can.
        machine.sh("nft flush ruleset; ! nft delete table inet kban 2>/dev/null");
        assert!(whole(&machine), "{end}");
        manager.order("start");
        machine.sh("nft flush ruleset");
        assert!(whole(&machine), "{end}");
        assert!(machine.banctl(&["unban", "10.0.0.1"]).status.success(), "and kband can");
        assert!(machine.banctl(&["ban", "10.0.0.1", "--for", "1h"]).status.success());
    }
    // Plain again: the socket is not to be kept.
    configure(&machine, "plain");
    assert!(machine.banctl(&["reload"]).status.success());
    assert!(whole(&machine));
    assert_eq!(manager.order("stop"), "");
    machine.sh("nft delete table inet kban");
}

#[test]
fn the_service_manager_is_told_and_makes_the_socket() {
    let machine = machine("owned");
    let mut manager = Manager::new(&machine);
    let socket = machine.path("run").join("control.sock");
    std::fs::create_dir_all(socket.parent().unwrap()).unwrap();
    assert_eq!(manager.order(&format!("listen {}", socket.display())), "kban-control");
    manager.order("start");
    let mut told = String::new();
    eventually("it gives a sign of life", || {
        told += &format!("{} ", manager.order("told"));
        told.contains("WATCHDOG")
    });
    assert!(told.contains("READY"), "{told}");
    assert!(machine.banctl(&["reload"]).status.success());
    let mut told = String::new();
    eventually("it says how it is", || {
        told += &format!("{} ", manager.order("told"));
        told.contains("RELOADING MONOTONIC_USEC STATUS READY")
    });
    machine.configure("[nonsense]\n");
    assert!(!machine.banctl(&["reload"]).status.success());
    let mut told = String::new();
    eventually("it is ready, as it was", || {
        told += &format!("{} ", manager.order("told"));
        told.contains("RELOADING MONOTONIC_USEC READY")
    });
    manager.order("stop");
    assert!(manager.order("told").ends_with("STOPPING"));
    assert!(socket.exists(), "it belongs to whoever made it");
}

/// A neighbour that is banned and floods us, and how many of its packets come through.
struct Flood {
    _sender: Background,
    receiver: Background,
    through: BufReader<ChildStdout>,
}

const SENDER: &str = "
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.connect(('192.0.2.1', 9))
while True:
    try: s.send(b'flood')
    except OSError: pass
";

const RECEIVER: &str = "
import select, socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
s.bind(('192.0.2.1', 9))
through = 0
print('ready', flush=True)
while True:
    readable, _, _ = select.select([s, sys.stdin], [], [])
    if s in readable:
        s.recv(16)
        through += 1
    elif sys.stdin.readline():
        print(through, flush=True)
";

impl Flood {
    /// The neighbour 192.0.2.2 is behind a pair of interfaces.
    fn start(machine: &Machine) -> Self {
        machine.sh("ip netns add other; ip link add here type veth peer name there netns other
                    ip addr add 192.0.2.1/24 dev here; ip link set here up
                    ip -n other addr add 192.0.2.2/24 dev there; ip -n other link set there up");
        let mut receiver = machine.command("/usr/bin/python3");
        let receiver = receiver.args(["-c", RECEIVER]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut receiver = Background(receiver.spawn().unwrap());
        let mut through = BufReader::new(receiver.0.stdout.take().unwrap());
        through.read_line(&mut String::new()).unwrap();
        let mut sender = machine.command("ip");
        let sender =
            sender.args(["netns", "exec", "other", "/usr/bin/python3", "-c", SENDER]).spawn().unwrap();
        Self { _sender: Background(sender), receiver, through }
    }

    /// How many packets came through until nothing waited any more.
    fn through(&mut self) -> u64 {
        writeln!(self.receiver.0.stdin.as_ref().unwrap()).unwrap();
        let mut count = String::new();
        self.through.read_line(&mut count).unwrap();
        count.trim().parse().unwrap()
    }
}

#[test]
fn a_flood_comes_through_a_flush_for_a_moment_or_not_at_all() {
    for ownership in ["owned", "plain"] {
        let machine = machine(ownership);
        let _daemon = machine.start(machine.kband());
        machine.log(&addresses(BANS - 1).iter().map(|address| failed_password(address)).collect::<String>());
        machine.log(&failed_password("192.0.2.2"));
        eventually("all are banned", || held(&machine) == BANS as usize);
        let mut flood = Flood::start(&machine);
        let dropped = || firewall(&machine)["packets"].as_u64().unwrap_or(0);
        let before = dropped();
        eventually("the flood arrives", || dropped() > before + 10_000);
        assert_eq!(flood.through(), 0, "it is dropped");
        for flushes in 1..=3 {
            let (before, begin) = (flood.through(), dropped());
            machine.sh("nft flush ruleset");
            eventually("restored", || whole(&machine));
            let through = flood.through() - before;
            println!("{ownership}: {through} packets of the flood came through flush {flushes}");
            // A ban that is back holds.
            let restored = flood.through();
            eventually("it goes on to arrive", || dropped() < begin || dropped() > begin + 10_000);
            assert_eq!(flood.through(), restored, "{ownership}");
            // Where the kernel does not keep owned tables, it is a plain one.
            let owned = firewall(&machine)["owned"] == true;
            assert!(!owned || through == 0, "{through} packets came through an owned table");
        }
    }
}

/// What other front ends of the kernel's firewall do when they are started, reloaded and stopped, after `prepare`.
fn others_leave_it_alone(prepare: &str, services: &[&[&str]], ready: &str, others: &[&str]) {
    for ownership in ["owned", "plain"] {
        let machine = Machine::of_root();
        configure(&machine, ownership);
        let _daemon = machine.start(machine.kband());
        ban_many(&machine);
        machine.sh(prepare);
        let start = |service: &&[&str]| {
            let log = std::fs::File::create(machine.path("service.log")).unwrap();
            let mut command = machine.command(service[0]);
            Background(command.args(&service[1..]).stdout(Stdio::null()).stderr(log).spawn().unwrap())
        };
        let services: Vec<Background> = services.iter().map(start).collect();
        eventually(ready, || machine.command("sh").args(["-c", ready]).output().unwrap().status.success());
        for command in others {
            machine.sh(command);
            assert!(whole(&machine), "{ownership}: {command}");
        }
        // The last one is stopped first.
        services.into_iter().rev().for_each(drop);
        assert!(whole(&machine), "{ownership}: stopped");
        assert_eq!(firewall(&machine)["changed_by_others"], 0, "{ownership}");
    }
}

#[test]
fn iptables_leaves_it_alone() {
    others_leave_it_alone(
        "iptables-nft -A INPUT -s 198.51.100.1 -j DROP",
        &[],
        "iptables-nft -C INPUT -s 198.51.100.1 -j DROP",
        &["iptables-nft -F", "iptables-nft -X", "ip6tables-nft -F"],
    );
}

#[test]
fn ufw_leaves_it_alone() {
    // Its configuration is written to copies that only this namespace sees.
    others_leave_it_alone(
        "cp -a /etc/ufw /etc/default /run/; mount --bind /run/ufw /etc/ufw; mount --bind /run/default /etc/default",
        &[],
        "ufw --force enable",
        &["ufw allow 22/tcp", "ufw reload", "ufw --force disable"],
    );
}

#[test]
fn firewalld_leaves_it_alone() {
    others_leave_it_alone(
        "mkdir -p /run/dbus; cp -a /etc/firewalld /run/; mount --bind /run/firewalld /etc/firewalld",
        &[
            &["dbus-daemon", "--system", "--nofork", "--nopidfile"],
            &[
                "sh",
                "-c",
                "until [ -S /run/dbus/system_bus_socket ]; do sleep 0.1; done; exec firewalld --nofork --nopid",
            ],
        ],
        "firewall-cmd --state",
        &["firewall-cmd --add-port=22/tcp", "firewall-cmd --reload", "firewall-cmd --complete-reload"],
    );
}
