//! A stand-in for systemd, as far as kband has to do with it.

use std::io::{BufRead, BufReader, Write};
use std::process::{ChildStdout, Stdio};

use crate::harness::{Background, Machine, eventually};

/// A service manager with a descriptor store, and kband as its service.
pub(crate) struct Manager<'a> {
    machine: &'a Machine,
    program: Background,
    answers: BufReader<ChildStdout>,
}

impl<'a> Manager<'a> {
    pub(crate) fn new(machine: &'a Machine) -> Self {
        let mut command = machine.command("/usr/bin/python3");
        command
            .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/beside/manager.py"))
            .arg(machine.path("notify"));
        command.arg(env!("CARGO_BIN_EXE_kband")).args(machine.kband_arguments());
        let log = std::fs::File::create(machine.path("kband.log")).unwrap();
        let mut program = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(log).spawn().unwrap();
        let answers = BufReader::new(program.stdout.take().unwrap());
        Self { machine, program: Background(program), answers }
    }

    /// What the store holds after an order.
    pub(crate) fn order(&mut self, order: &str) -> String {
        writeln!(self.program.0.stdin.as_ref().unwrap(), "{order}").unwrap();
        let mut answer = String::new();
        self.answers.read_line(&mut answer).unwrap();
        if order == "start" {
            eventually("kband answers", || self.machine.banctl(&["status"]).status.success());
        }
        answer.trim().to_owned()
    }
}
