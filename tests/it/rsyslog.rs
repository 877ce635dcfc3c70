//! A real rsyslog writing, a real logrotate rotating: no line is lost, none is counted twice.

use std::fs;
use std::os::unix::net::UnixDatagram;
use std::process::Stdio;

use crate::harness::{Background, Machine, PATIENCE, eventually};

const ROTATIONS: u32 = 50;
const LINES_EACH: u32 = 200;

#[test]
fn nothing_is_lost_over_fifty_rotations_under_load() {
    let machine = Machine::new();
    machine.configure("maxretry = 1\n");
    let (socket, pid, log) =
        (machine.path("dev-log"), machine.path("rsyslogd.pid"), machine.path("auth.log"));
    let configuration = machine.path("rsyslog.conf");
    fs::write(
        &configuration,
        format!(
            "global(workDirectory={dir:?})\n\
             module(load=\"imuxsock\" SysSock.Use=\"off\")\n\
             input(type=\"imuxsock\" Socket={socket:?} RateLimit.Interval=\"0\")\n\
             action(type=\"omfile\" file={log:?} template=\"RSYSLOG_FileFormat\" asyncWriting=\"on\" flushInterval=\"1\" ioBufferSize=\"8k\")\n",
            dir = machine.dir.path(),
        ),
    )
    .unwrap();
    let rotation = machine.path("logrotate.conf");
    fs::write(
        &rotation,
        format!(
            "{log:?} {{\n  su {user} {group}\n  rotate {ROTATIONS}\n  missingok\n  create 0640\n  sharedscripts\n  postrotate\n    kill -HUP $(cat {pid})\n  endscript\n}}\n",
            user = "root",
            group = "root",
            pid = pid.display(),
        ),
    )
    .unwrap();
    fs::set_permissions(machine.dir.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let mut rsyslogd = machine.command("rsyslogd");
    rsyslogd.arg("-n").arg("-f").arg(&configuration).arg("-i").arg(&pid);
    let _rsyslogd = Background(rsyslogd.stdout(Stdio::null()).spawn().unwrap());
    eventually("rsyslogd listens", || socket.exists() && pid.exists());
    let _daemon = machine.start(machine.kband());

    let sender = UnixDatagram::unbound().unwrap();
    sender.connect(&socket).unwrap();
    let mut sent = Vec::new();
    for rotation_number in 0..ROTATIONS {
        for n in 0..LINES_EACH {
            let address = std::net::Ipv4Addr::from(0x0a00_0001 + rotation_number * LINES_EACH + n);
            let line = format!("<38>sshd[1]: Failed password for root from {address} port 22 ssh2");
            sender.send(line.as_bytes()).unwrap();
            sent.push(address.to_string());
        }
        let rotated = machine
            .command("logrotate")
            .args(["--force", "--state"])
            .arg(machine.path("logrotate.state"))
            .arg(&rotation)
            .output()
            .unwrap();
        assert!(rotated.status.success(), "{}", String::from_utf8_lossy(&rotated.stderr));
    }
    let listed = || machine.listed().into_iter().collect::<std::collections::BTreeSet<_>>();
    let begin = std::time::Instant::now();
    while listed().len() < sent.len() {
        // Which lines are missing says more than that some are.
        assert!(begin.elapsed() < PATIENCE, "{}", whereabouts(&machine, &sent, &listed()));
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    let status = machine.banctl_json(&["status"]);
    assert_eq!(status["jails"][0]["failures"], sent.len(), "each line was counted once");
    assert!(machine.path(&format!("auth.log.{}", ROTATIONS / 2)).exists(), "logrotate did rotate");
}

/// In which file the lines stand that nobody has counted, and what kband reads.
fn whereabouts(machine: &Machine, sent: &[String], listed: &std::collections::BTreeSet<String>) -> String {
    let missing: Vec<&String> = sent.iter().filter(|address| !listed.contains(*address)).collect();
    let mut told = format!("{} of {} are missing\n", missing.len(), sent.len());
    for number in 0..=ROTATIONS {
        let name = if number == 0 { "auth.log".to_owned() } else { format!("auth.log.{number}") };
        let text = std::fs::read_to_string(machine.path(&name)).unwrap_or_default();
        let here = missing.iter().filter(|address| text.contains(&format!("from {address} "))).count();
        if here > 0 {
            told += &format!("{here} of them among {} lines of {name}\n", text.lines().count());
        }
    }
    told + &machine.banctl_json(&["status"])["sources"].to_string() + &machine.kband_log()
}
