//! A real rsyslog writing, a real logrotate rotating: no line is lost, none is counted twice.

use std::fs;
use std::os::unix::net::UnixDatagram;
use std::process::Stdio;

use crate::harness::{Background, Machine, eventually};

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
    eventually("everybody is banned", || machine.listed().len() == sent.len());
    let status = machine.banctl_json(&["status"]);
    assert_eq!(status["jails"][0]["failures"], sent.len(), "each line was counted once");
    assert!(machine.path(&format!("auth.log.{}", ROTATIONS / 2)).exists(), "logrotate did rotate");
}
