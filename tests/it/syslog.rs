//! Real syslog daemons and logger(1) send to kband over every transport, and what they must not be able to do.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::harness::{Background, Daemon, Machine, eventually};
use crate::manager::Manager;

const UDP: u16 = 5514;
const TCP: u16 = 5601;

/// A machine on which jail sshd reads the source edge, and the socket of that.
fn listening(jail: &str) -> (Machine, PathBuf) {
    let machine = Machine::new();
    let socket = machine.path("edge.sock");
    let text = format!(
        "[source.edge]\nsyslog = [\"udp://127.0.0.1:{UDP}\", \"tcp://127.0.0.1:{TCP}\", \"unix://{}\"]\n\
         [jail.sshd]\nenabled = true\nsource = \"edge\"\n{jail}\n",
        socket.display()
    );
    fs::write(machine.path("kban.toml"), text).unwrap();
    (machine, socket)
}

fn start(machine: &Machine) -> Daemon<'_> {
    let daemon = machine.start(machine.kband());
    listens(machine);
    daemon
}

fn listens(machine: &Machine) {
    eventually("kband listens", || {
        let status = machine.banctl_json(&["status"]);
        status["sources"].as_array().unwrap().iter().all(|source| source["state"] == "following")
    });
}

fn failed(address: &str) -> String {
    format!("Failed password for root from {address} port 22 ssh2")
}

/// Where the message about each address came from, by the bans.
fn banned_by(machine: &Machine) -> Vec<(String, String)> {
    let text = |row: &serde_json::Value, key: &str| row[key].as_str().unwrap_or_default().to_owned();
    let list = machine.banctl_json(&["list"]);
    let mut bans: Vec<_> = list["bans"]
        .as_array()
        .unwrap()
        .iter()
        .map(|ban| (text(ban, "address"), text(ban, "source")))
        .collect();
    bans.sort();
    bans
}

/// Each of `count` addresses is banned; over the network the sender is told, and the last `local` are of this machine.
fn all_are_banned(machine: &Machine, count: u32, local: u32) {
    eventually("everybody is banned", || machine.listed().len() == count as usize);
    let mut expected: Vec<_> = (1..=count)
        .map(|n| {
            let sender = if n > count - local { "local" } else { "127.0.0.1" };
            (address(n), format!("syslog edge from {sender}"))
        })
        .collect();
    expected.sort();
    assert_eq!(banned_by(machine), expected);
    let why = machine.banctl_json(&["why", &address(1)]);
    assert_eq!(why["bans"][0]["source"], "syslog edge from 127.0.0.1");
    let status = machine.banctl_json(&["status"]);
    for source in status["sources"].as_array().unwrap() {
        assert_eq!(source["broken"], 0, "{source}");
    }
}

fn address(n: u32) -> String {
    format!("10.0.0.{n}")
}

#[test]
fn rsyslog_sends_over_every_transport_in_every_format() {
    let (machine, socket) = listening("maxretry = 1");
    let (input, pid) = (machine.path("dev-log"), machine.path("rsyslogd.pid"));
    let mut rules = String::new();
    let mut number = 0;
    for format in
        ["RSYSLOG_TraditionalForwardFormat", "RSYSLOG_ForwardFormat", "RSYSLOG_SyslogProtocol23Format"]
    {
        for transport in [
            format!("port=\"{UDP}\" protocol=\"udp\""),
            format!("port=\"{TCP}\" protocol=\"tcp\" TCP_Framing=\"traditional\""),
            format!("port=\"{TCP}\" protocol=\"tcp\" TCP_Framing=\"octet-counted\""),
        ] {
            number += 1;
            rules.push_str(&format!(
                "if $msg contains \"{} \" then action(type=\"omfwd\" target=\"127.0.0.1\" template=\"{format}\" {transport})\n",
                address(number)
            ));
        }
    }
    number += 1;
    rules.push_str(&format!(
        "$OMUxSockSocket {}\nif $msg contains \"{} \" then :omuxsock:;RSYSLOG_TraditionalForwardFormat\n",
        socket.display(),
        address(number)
    ));
    let configuration = machine.path("rsyslog.conf");
    let text = format!(
        "global(workDirectory={:?})\nmodule(load=\"omuxsock\")\nmodule(load=\"imuxsock\" SysSock.Use=\"off\")\n\
         input(type=\"imuxsock\" Socket={input:?} RateLimit.Interval=\"0\")\n{rules}",
        machine.dir.path()
    );
    fs::write(&configuration, text).unwrap();
    let _daemon = start(&machine);
    let mut rsyslogd = machine.command("rsyslogd");
    rsyslogd.arg("-n").arg("-f").arg(&configuration).arg("-i").arg(&pid);
    let _rsyslogd = Background(rsyslogd.stdout(Stdio::null()).spawn().unwrap());
    eventually("rsyslogd listens", || input.exists() && pid.exists());
    let sender = std::os::unix::net::UnixDatagram::unbound().unwrap();
    for n in 1..=number {
        sender.send_to(format!("<38>sshd[1]: {}", failed(&address(n))).as_bytes(), &input).unwrap();
    }
    all_are_banned(&machine, number, 1);
}

/// syslog-ng as Debian has it, unpacked beside: it and rsyslog cannot both be installed.
fn syslog_ng(machine: &Machine) -> Command {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/peers/syslog-ng-core");
    assert!(root.is_dir(), "syslog-ng is missing: scripts/install-tools test unpacks it");
    let sub = |parent: PathBuf, part: &str| {
        let mut entries = fs::read_dir(parent).into_iter().flatten().map(|entry| entry.unwrap().path());
        entries.find(|path| path.is_dir() && path.to_str().unwrap().contains(part))
    };
    let version = sub(root.join("usr/lib/syslog-ng"), "usr/lib/syslog-ng/").unwrap();
    let libraries = [sub(root.join("usr/lib"), "-linux-gnu"), sub(root.join("lib"), "-linux-gnu")];
    let libraries = libraries.into_iter().flatten().chain([root.join("usr/lib/syslog-ng")]);
    let libraries: Vec<String> = libraries.map(|path| path.display().to_string()).collect();
    let mut command = machine.command("env");
    command.arg(format!("LD_LIBRARY_PATH={}", libraries.join(":"))).arg(root.join("usr/sbin/syslog-ng"));
    command.arg(format!("--module-path={}", version.display()));
    command
}

#[test]
fn syslog_ng_sends_over_every_transport_in_both_formats() {
    let (machine, socket) = listening("maxretry = 1");
    let input = machine.path("dev-log");
    let mut paths = String::new();
    let destinations = [
        format!("network(\"127.0.0.1\" persist-name(\"NAME\") port({UDP}) transport(\"udp\"))"),
        format!("network(\"127.0.0.1\" persist-name(\"NAME\") port({TCP}) transport(\"tcp\"))"),
        format!("syslog(\"127.0.0.1\" persist-name(\"NAME\") port({UDP}) transport(\"udp\"))"),
        format!("syslog(\"127.0.0.1\" persist-name(\"NAME\") port({TCP}) transport(\"tcp\"))"),
        format!("unix-dgram(\"{}\")", socket.display()),
    ];
    for (n, destination) in (1..).zip(&destinations) {
        let destination = destination.replace("NAME", &address(n));
        let pattern = address(n).replace('.', "\\.");
        paths.push_str(&format!(
            "log {{ source(s); filter {{ message('{pattern} ') }}; destination {{ {destination}; }}; }};\n"
        ));
    }
    let configuration = machine.path("syslog-ng.conf");
    let text = format!("@version: 3.38\nsource s {{ unix-dgram({input:?}); }};\n{paths}");
    fs::write(&configuration, text).unwrap();
    let _daemon = start(&machine);
    let mut command = syslog_ng(&machine);
    command.arg("--foreground").arg("--no-caps").arg("-f").arg(&configuration);
    for (flag, file) in [("--persist-file", "ng.persist"), ("--pidfile", "ng.pid"), ("--control", "ng.ctl")] {
        command.arg(format!("{flag}={}", machine.path(file).display()));
    }
    let _syslog_ng = Background(command.spawn().unwrap());
    eventually("syslog-ng listens", || input.exists());
    let sender = std::os::unix::net::UnixDatagram::unbound().unwrap();
    let count = u32::try_from(destinations.len()).unwrap();
    for n in 1..=count {
        sender.send_to(format!("<38>sshd[1]: {}", failed(&address(n))).as_bytes(), &input).unwrap();
    }
    all_are_banned(&machine, count, 1);
}

#[test]
fn logger_sends_over_every_transport_in_both_formats() {
    let (machine, socket) = listening("maxretry = 1");
    let _daemon = start(&machine);
    let (udp, tcp) = (format!("-n 127.0.0.1 -d -P {UDP}"), format!("-n 127.0.0.1 -T -P {TCP}"));
    let ways = [
        format!("{udp} --rfc3164"),
        format!("{udp} --rfc5424"),
        format!("{tcp} --rfc3164"),
        format!("{tcp} --rfc5424"),
        format!("{tcp} --octet-count --rfc3164"),
        format!("{tcp} --octet-count --rfc5424"),
        format!("-u {}", socket.display()),
    ];
    for (n, way) in (1..).zip(&ways) {
        machine.sh(&format!("logger {way} -p auth.info -t sshd --id=77 '{}'", failed(&address(n))));
    }
    all_are_banned(&machine, u32::try_from(ways.len()).unwrap(), 1);
}

/// Sends `messages` from inside, by a program that says how.
fn send(machine: &Machine, program: &str, arguments: &[&str]) {
    let mut command = machine.command("/usr/bin/python3");
    let output = command.args(["-c", program]).args(arguments).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

const MANY: u64 = 100_000;

#[test]
fn a_hundred_thousand_messages_over_tcp_are_each_counted() {
    let (machine, _) = listening("maxretry = 1000");
    let daemon = start(&machine);
    let mut bytes = Vec::new();
    for n in 0..MANY {
        let message = format!("<38>sshd[{n}]: {}", failed(&address(1 + u32::try_from(n % 250).unwrap())));
        write!(bytes, "{} {message}", message.len()).unwrap();
    }
    let file = machine.path("messages");
    fs::write(&file, bytes).unwrap();
    // A reload in the middle interrupts nobody.
    let program = format!(
        "import os, signal, socket, sys\nto = socket.create_connection(('127.0.0.1', {TCP}))\n\
         data = open(sys.argv[1], 'rb').read()\nhalf = len(data) // 2\n\
         to.sendall(data[:half])\nos.kill(int(sys.argv[2]), signal.SIGHUP)\nto.sendall(data[half:])"
    );
    send(&machine, &program, &[file.to_str().unwrap(), &daemon.pid().to_string()]);
    eventually("all are counted", || machine.banctl_json(&["status"])["jails"][0]["failures"] == MANY);
    assert!(machine.kband_log().contains("reloaded"), "{}", machine.kband_log());
}

#[test]
fn over_udp_what_is_lost_is_counted() {
    let (machine, _) = listening("maxretry = 1000000");
    let daemon = start(&machine);
    let program = format!(
        "import socket\nto = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n\
         for n in range({MANY}): to.sendto(b'<38>sshd[7]: {}' + b' ' * 500 + b'.', ('127.0.0.1', {UDP}))",
        failed("10.0.0.1")
    );
    // While kband stands still, the kernel runs out of room.
    daemon.signal(nix::sys::signal::Signal::SIGSTOP);
    send(&machine, &program, &[]);
    daemon.signal(nix::sys::signal::Signal::SIGCONT);
    let counts = || {
        let status = machine.banctl_json(&["status"]);
        let sources = status["sources"].as_array().unwrap();
        let udp = sources.iter().find(|source| source["path"].as_str().unwrap().contains("udp://")).unwrap();
        (udp["lines"].as_u64().unwrap(), udp["lost"].as_u64().unwrap())
    };
    eventually("each is read or lost", || {
        let (lines, lost) = counts();
        lines + lost == MANY
    });
    let (lines, lost) = counts();
    assert!(lines > 1000 && lost > 1000, "{lines} read, {lost} lost");
    let warnings = machine.banctl_json(&["status"])["warnings"].to_string();
    assert!(warnings.contains("datagrams were lost"), "{warnings}");
}

#[test]
fn ten_thousand_connections_shut_nobody_out() {
    let (machine, _) = listening("maxretry = 1");
    let _daemon = start(&machine);
    let program = format!(
        "import resource, socket\nhard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]\n\
         resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))\nopen = []\n\
         for n in range(10000):\n  to = socket.create_connection(('127.0.0.1', {TCP}))\n  to.sendall(b'<38>')\n  open.append(to)\n\
         to = socket.create_connection(('127.0.0.1', {TCP}))\nto.sendall(b'<38>sshd[7]: {}\\n')\n",
        failed("10.0.0.1")
    );
    send(&machine, &program, &[]);
    eventually("who attacks is banned", || machine.listed() == ["10.0.0.1"]);
    let status = machine.banctl_json(&["status"]);
    let closed: u64 =
        status["sources"].as_array().unwrap().iter().filter_map(|row| row["closed"].as_u64()).sum();
    // The last ones may end by themselves, with the program.
    assert!(closed >= 9_000, "{closed}");
    let said = machine.kband_log().matches("too many were open").count();
    assert!((1..10).contains(&said), "said {said} times");
}

#[test]
fn a_sender_that_is_not_allowed_bans_nobody() {
    let (machine, _) = listening("maxretry = 1");
    let text = fs::read_to_string(machine.path("kban.toml")).unwrap();
    let text = text.replace("[jail.sshd]", "allow = \"127.0.0.7\"\n[jail.sshd]");
    fs::write(machine.path("kban.toml"), text).unwrap();
    let _daemon = start(&machine);
    let program = format!(
        "import socket\nfor sender, address in (('127.0.0.6', '10.0.0.1'), ('127.0.0.7', '10.0.0.2')):\n  \
         to = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n  to.bind((sender, 0))\n  \
         to.sendto(b'<38>sshd[7]: Failed password for root from ' + address.encode() + b' port 22 ssh2', ('127.0.0.1', {UDP}))"
    );
    send(&machine, &program, &[]);
    eventually("the allowed one is heard", || !machine.listed().is_empty());
    assert_eq!(banned_by(&machine), [("10.0.0.2".to_owned(), "syslog edge from 127.0.0.7".to_owned())]);
    let status = machine.banctl_json(&["status"]);
    assert!(status["warnings"].to_string().contains("`allow` does not name"), "{status}");
}

#[test]
fn what_is_sent_while_kband_is_started_again_is_received_where_sockets_are_kept() {
    let (machine, socket) = listening("maxretry = 1");
    let mut manager = Manager::new(&machine);
    manager.order("start");
    listens(&machine);
    let ways = [
        format!("-n 127.0.0.1 -d -P {UDP}"),
        format!("-n 127.0.0.1 -T -P {TCP}"),
        format!("-u {}", socket.display()),
    ];
    let mut sent = 0;
    for end in ["stop", "kill"] {
        let kept = manager.order(end);
        assert_eq!(kept.matches("kban-syslog ").count(), ways.len(), "{kept}");
        for way in &ways {
            sent += 1;
            machine.sh(&format!("logger {way} -p auth.info -t sshd '{}'", failed(&address(sent))));
        }
        manager.order("start");
        eventually("all are banned", || machine.listed().len() == sent as usize);
        listens(&machine);
    }
    // What is not wanted any more is not kept either, and the way is free.
    let file = machine.path("kban.toml");
    let text = fs::read_to_string(&file).unwrap().replace(&format!("\"udp://127.0.0.1:{UDP}\", "), "");
    fs::write(&file, &text).unwrap();
    assert!(machine.banctl(&["reload"]).status.success());
    eventually("it is given up", || !machine.sh("cat /proc/net/udp").contains(&format!(":{UDP:04X} ")));
    listens(&machine);
    let kept = manager.order("stop");
    assert!(!kept.contains("udp") && kept.contains("tcp"), "{kept}");
    fs::write(&file, text.replace(&format!("\"tcp://127.0.0.1:{TCP}\", "), "")).unwrap();
    manager.order("start");
    eventually("so is what was kept in vain", || {
        !machine.sh("cat /proc/net/tcp").contains(&format!(":{TCP:04X} 00000000:0000 0A"))
    });
}
