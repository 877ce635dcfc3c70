//! A real sshd and a real client on two hosts: who guesses passwords is cut off, and comes back afterwards.

use std::fs;
use std::process::{Output, Stdio};

use crate::harness::{Background, Machine, eventually};

/// A client at 198.51.100.2 and a server at 198.51.100.1, joined by a cable.
fn two_hosts() -> Machine {
    let machine = Machine::of_root();
    machine.sh(
        "ip netns add client; ip link add server type veth peer name client netns client
         ip addr add 198.51.100.1/24 dev server; ip link set server up
         ip -n client addr add 198.51.100.2/24 dev client; ip -n client link set client up; ip -n client link set lo up
         mkdir -m 755 /run/sshd",
    );
    fs::set_permissions(machine.dir.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    machine
}

fn start_sshd(machine: &Machine) -> Background {
    let key = machine.path("host_key");
    machine.sh(&format!("ssh-keygen -q -t ed25519 -N '' -f {}", key.display()));
    let configuration = machine.path("sshd_config");
    fs::write(
        &configuration,
        format!("HostKey {}\nUsePAM no\nPasswordAuthentication yes\nPermitRootLogin yes\nMaxAuthTries 10\nPidFile none\n", key.display()),
    )
    .unwrap();
    let sshd = machine.sh("command -v sshd || echo /usr/sbin/sshd");
    let mut command = machine.command(sshd.trim());
    command.arg("-D").arg("-f").arg(&configuration).arg("-E").arg(machine.path("auth.log"));
    let sshd = Background(command.stdin(Stdio::null()).spawn().unwrap());
    eventually("sshd listens", || machine.sh("ss -Hltn sport = :22").contains(":22"));
    sshd
}

/// One login with a wrong password.
fn guess(machine: &Machine) -> Output {
    let askpass = machine.path("askpass");
    if !askpass.exists() {
        machine.sh(&format!("printf '#!/bin/sh\\necho wrong\\n' > {0}; chmod 755 {0}", askpass.display()));
    }
    let mut command = machine.command("ip");
    command.args([
        "netns",
        "exec",
        "client",
        "ssh",
        "-F",
        "none",
        "-o",
        "StrictHostKeyChecking=no",
        "-o",
        "UserKnownHostsFile=/dev/null",
    ]);
    command.args([
        "-o",
        "NumberOfPasswordPrompts=1",
        "-o",
        "PreferredAuthentications=password",
        "-o",
        "ConnectTimeout=3",
    ]);
    command
        .env("SSH_ASKPASS", askpass)
        .env("SSH_ASKPASS_REQUIRE", "force")
        .args(["root@198.51.100.1", "true"]);
    command.stdin(Stdio::null()).output().unwrap()
}

/// Whether the server's banner arrives.
fn reachable(machine: &Machine) -> bool {
    let line = "exec 3<>/dev/tcp/198.51.100.1/22 && read -r -t 2 banner <&3 && echo $banner";
    let output = machine
        .command("timeout")
        .args(["3", "ip", "netns", "exec", "client", "bash", "-c", line])
        .output()
        .unwrap();
    String::from_utf8_lossy(&output.stdout).starts_with("SSH-2.0-")
}

#[test]
fn a_guesser_is_cut_off_and_comes_back_after_the_ban() {
    let machine = two_hosts();
    machine.configure("maxretry = 3\nbantime = \"15s\"\n");
    let _sshd = start_sshd(&machine);
    let _daemon = machine.start(machine.kband());
    assert!(reachable(&machine));

    // A connection that was there before the ban, and speaks after it.
    let go = machine.path("go");
    let talk = format!(
        "exec 3<>/dev/tcp/198.51.100.1/22; read -r banner <&3; while [ ! -e {} ]; do sleep 0.1; done
         echo SSH-2.0-late >&3; sleep 1000",
        go.display()
    );
    let mut held = machine.command("ip");
    let _held = Background(held.args(["netns", "exec", "client", "bash", "-c", &talk]).spawn().unwrap());
    let established = || machine.sh("ip netns exec client ss -Htn state established dst 198.51.100.1");
    eventually("it is connected", || !established().is_empty());

    for guesses in 1..=3 {
        assert!(machine.listed().is_empty(), "after {} guesses", guesses - 1);
        let denied = guess(&machine);
        assert!(!denied.status.success());
    }
    eventually("banned", || machine.listed() == ["198.51.100.2"]);
    assert!(!reachable(&machine), "the kernel drops its packets");
    fs::write(go, "").unwrap();
    let unheard = || established().split_whitespace().nth(1).is_some_and(|queued| queued != "0");
    eventually("what the old connection says is not heard either", unheard);

    let in_kernel = machine.set("host4");
    let listed = machine.banctl_json(&["list"]);
    assert_eq!(in_kernel[0].0, "198.51.100.2");
    let left = listed["bans"][0]["seconds_left"].as_u64().unwrap();
    assert!(left <= 15 && left.abs_diff(in_kernel[0].1) <= 2, "{left} {in_kernel:?}");
    assert_eq!(listed["bans"][0]["jail"], "sshd");

    let before = machine.banctl_json(&["status"])["firewall"]["packets"].as_u64().unwrap();
    assert!(before > 0, "packets were dropped");
    eventually("the ban is over", || machine.listed().is_empty());
    assert!(machine.set("host4").is_empty());
    assert!(reachable(&machine), "after its time the client connects again");
}
