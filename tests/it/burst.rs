//! Restarts in the middle of a burst: no line is lost, and none is counted twice.
//!
//! Half of the attackers fail once less often than is allowed: one line that counts twice bans one of them. The other half
//! fail just often enough: one line that is lost spares one of them. Their lines lie across the whole burst, so that most of
//! them count over several restarts.

use std::collections::BTreeSet;
use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::harness::{Daemon, Machine, addresses, append, eventually, failed_password};

const ATTACKERS: u32 = 1_000;
const ALLOWED: u32 = 5;
const RESTARTS: u32 = 4;

/// The burst, and who is to be banned after it.
fn burst() -> (Vec<String>, BTreeSet<String>) {
    let all = addresses(ATTACKERS);
    let mut lines = Vec::new();
    for round in 0..ALLOWED {
        let guilty = |number: usize| number.is_multiple_of(2) || round > 0;
        lines.extend(
            all.iter().enumerate().filter(|(number, _)| guilty(*number)).map(|(_, it)| failed_password(it)),
        );
    }
    (lines, all.iter().step_by(2).cloned().collect())
}

fn survives(rotated: bool, end: impl Fn(Daemon<'_>)) {
    let machine = Machine::new();
    machine.configure(&format!("maxretry = {ALLOWED}\nfindtime = \"1h\"\nbantime = \"1h\"\n"));
    machine.log("first\n");
    let (lines, guilty) = burst();
    let written = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let mut daemon = machine.start(machine.kband());
        scope.spawn(|| {
            for part in lines.chunks(10) {
                // Opened each time, as it may have been rotated.
                append(&machine.path("auth.log"), part.concat().as_bytes());
                std::thread::sleep(Duration::from_millis(10));
            }
            written.store(true, Ordering::Relaxed);
        });
        for restart in 0..RESTARTS {
            std::thread::sleep(Duration::from_millis(700));
            end(daemon);
            if rotated {
                let generation = machine.path(&format!("auth.log.{}", RESTARTS - restart));
                fs::rename(machine.path("auth.log"), generation).unwrap();
            }
            daemon = machine.start(machine.kband());
        }
        eventually("all is written", || written.load(Ordering::Relaxed));
        machine.log(&failed_password("203.0.113.250").repeat(5));
        eventually("all is read", || machine.listed().contains(&"203.0.113.250".to_owned()));
        let listed: BTreeSet<String> = machine.listed().into_iter().collect();
        let lost: Vec<_> = guilty.difference(&listed).collect();
        let twice: Vec<_> =
            listed.iter().filter(|it| *it != "203.0.113.250" && !guilty.contains(*it)).collect();
        assert!(
            lost.is_empty() && twice.is_empty(),
            "lost: {lost:?}, twice: {twice:?}\n{}",
            machine.kband_log()
        );
        drop(daemon);
    });
}

#[test]
fn stopped() {
    survives(false, |daemon| daemon.stop());
}

#[test]
fn killed() {
    survives(false, |daemon| daemon.kill());
}

#[test]
fn stopped_and_rotated_meanwhile() {
    survives(true, |daemon| daemon.stop());
}

#[test]
fn killed_and_rotated_meanwhile() {
    survives(true, |daemon| daemon.kill());
}
