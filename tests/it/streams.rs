//! Sources that are programs and pipes.

use std::fs;

use crate::harness::{Machine, eventually, failed_password};

#[test]
fn what_a_command_and_a_pipe_say_bans_and_is_told() {
    let machine = Machine::new();
    let (pipe, line) = (machine.path("app.pipe"), machine.path("line"));
    fs::write(&line, failed_password("10.0.0.1")).unwrap();
    nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let text = format!(
        "[source.pods]\ncommand = [\"sh\", \"-c\", \"cat {}; exec sleep 1000\"]\n[source.app]\npipe = {pipe:?}\n\
         [jail.sshd]\nenabled = true\nmaxretry = 1\nsource = [\"pods\", \"app\"]\n",
        line.display()
    );
    fs::write(machine.path("kban.toml"), text).unwrap();
    let daemon = machine.start(machine.kband());
    let source = |address: &str| {
        let why = machine.banctl_json(&["why", address]);
        why["bans"][0]["source"].as_str().unwrap().to_owned()
    };
    eventually("the command is read", || machine.listed() == ["10.0.0.1"]);
    fs::write(&pipe, failed_password("10.0.0.2")).unwrap();
    eventually("the pipe is read", || machine.listed().len() == 2);
    assert_eq!([source("10.0.0.1"), source("10.0.0.2")], ["command pods", "pipe app"]);
    let children = || fs::read_to_string(format!("/proc/{0}/task/{0}/children", daemon.pid())).unwrap();
    let child = children();
    // A reload leaves the child alone, one that takes the source away ends it.
    assert!(machine.banctl(&["reload"]).status.success());
    assert_eq!(children(), child);
    machine.configure("");
    assert!(machine.banctl(&["reload"]).status.success());
    eventually("the child has ended", || children().is_empty());
    daemon.stop();
}
