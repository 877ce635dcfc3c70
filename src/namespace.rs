//! Unit tests against a live kernel: each in a user namespace of its own, and others with it.
//!
//! A test cannot change the namespace of a process that has threads, so the test binary runs itself
//! again, for the one test, inside `unshare`. Nothing of the host is seen or touched, and
//! no privilege is needed. Where user namespaces are forbidden, the test fails and says so.

use std::process::Command;

const INSIDE: &str = "KBAN_TEST_NAMESPACE";

/// Runs `body` as root of a network namespace of its own. `test` is the test's full path in the
/// crate, as `cargo test -- --list` prints it.
pub(crate) fn in_namespace(test: &str, body: impl FnOnce()) {
    run(test, &["--user", "--map-root-user", "--net"], "true", body);
}

/// Runs `body` without any privilege over the network namespace it is in.
pub(crate) fn without_privilege(test: &str, body: impl FnOnce()) {
    run(test, &["--user"], "true", body);
}

/// Runs `body` as root of a mount namespace of its own.
pub(crate) fn in_mounts(test: &str, body: impl FnOnce()) {
    run(test, &["--user", "--map-root-user", "--mount"], "true", body);
}

/// Runs `body` as root of a user namespace after `setup`, a line for the shell.
pub(crate) fn after_setup(test: &str, setup: &str, body: impl FnOnce()) {
    run(test, &["--user", "--map-root-user"], setup, body);
}

fn run(test: &str, unshare: &[&str], setup: &str, body: impl FnOnce()) {
    if std::env::var(INSIDE).as_deref() == Ok(test) {
        return body();
    }
    let output = Command::new("unshare")
        .args(unshare)
        .args(["--", "sh", "-c", &format!("{setup} && exec \"$0\" \"$@\"")])
        .arg(std::env::current_exe().expect("the test binary has a path"))
        .args(["--exact", test, "--nocapture", "--test-threads=1"])
        .env(INSIDE, test)
        .output()
        .unwrap_or_else(|error| panic!("this test needs unshare (package util-linux): {error}"));
    let said = String::from_utf8_lossy(&output.stdout);
    let complained = String::from_utf8_lossy(&output.stderr);
    assert!(
        !complained.starts_with("unshare:"),
        "this test needs user namespaces, which this system refuses ({}); allow them (sysctl \
         kernel.unprivileged_userns_clone=1, kernel.apparmor_restrict_unprivileged_userns=0) or run the tests as root",
        complained.trim()
    );
    assert!(output.status.success(), "inside the namespace:\n{said}\n{complained}");
    assert!(said.contains("1 passed"), "no test is called {test}:\n{said}\n{complained}");
}

/// Runs a program that must succeed, and returns what it printed.
pub(crate) fn run_program(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program)
        .args(arguments)
        .output()
        .unwrap_or_else(|error| panic!("this test needs the program {program}: {error}"));
    assert!(output.status.success(), "{program} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("programs print UTF-8")
}

/// Runs `nft` with a command line as one would type it.
pub(crate) fn nft(command: &str) -> String {
    run_program("nft", &command.split(' ').collect::<Vec<_>>())
}
