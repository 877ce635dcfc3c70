//! A clock that is set while kband runs.

use std::fs;
use std::path::Path;

use crate::harness::{Machine, eventually, failed_password};

#[test]
fn bans_end_when_they_should_although_the_clock_is_set() {
    let library = format!(
        "target/peers/libfaketime/usr/lib/{}-linux-gnu/faketime/libfaketimeMT.so.1",
        std::env::consts::ARCH
    );
    let library = Path::new(env!("CARGO_MANIFEST_DIR")).join(library);
    assert!(library.exists(), "there is no libfaketime: scripts/install-tools test fetches it");
    let machine = Machine::new();
    machine.configure("maxretry = 1\nbantime = \"2h\"\nfindtime = \"2h\"\n");
    let clock = machine.path("clock");
    // Another file in its place, so that none is read half written.
    let set = |by: &str| {
        fs::write(machine.path("clock.new"), by).unwrap();
        fs::rename(machine.path("clock.new"), &clock).unwrap();
    };
    set("+0");
    let mut kband = machine.kband();
    kband
        .env("LD_PRELOAD", library)
        .env("FAKETIME_TIMESTAMP_FILE", &clock)
        .env("FAKETIME_NO_CACHE", "1")
        .env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
    let _daemon = machine.start(kband);
    machine.log(&failed_password("203.0.113.9"));
    let left = || machine.set("host4").first().map_or(0, |(_, left)| *left);
    let list = || machine.banctl_json(&["list"])["bans"][0]["in_kernel"].clone();
    eventually("banned", || left() > 3600);
    // Any event has it look at its clock.
    set("+1h");
    eventually("the kernel is told that an hour has gone", || list() == true && left() <= 3600);
    assert!(left() > 1800);
    set("+0");
    eventually("and that it has come back", || list() == true && left() > 3600);
    assert!(left() <= 7200);
    assert_eq!(machine.kband_log().matches("the clock has moved by").count(), 2);
    set("+3h");
    eventually("the ban is over", || machine.listed().is_empty() && machine.set("host4").is_empty());
    assert_eq!(machine.banctl_json(&["status"])["firewall"]["repaired"], 0);
}
