//! Programs of others that kban starts: each leads a process group of its own, and what it has started ends with it.
//!
//! A process keeps its number until it is reaped, and so does the group that it leads. So the group is killed first and
//! its leader reaped then: the other way round, the number could be anybody's, and what runs on could not be ended.

use std::io;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;

use nix::sys::signal::{Signal, killpg};
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid};
use nix::unistd::Pid;

/// How much of its complaints is kept, in bytes.
const KEPT: usize = 4096;
/// How much of them is shown, in characters.
const SHOWN: usize = 200;
/// What a wait status has beside the signal's number if memory was dumped (wait(2), `WCOREDUMP`).
const DUMPED: i32 = 0x80;

/// A program and whatever it has started that has not left its group; its leader is not reaped yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Group(Pid);

impl Group {
    /// The group of a child, by the child's number; it was started with `process_group(0)`.
    #[must_use]
    pub fn led_by(child: u32) -> Self {
        Self(Pid::from_raw(child.cast_signed()))
    }

    /// How its leader has ended, if it has. It is not reaped by this.
    ///
    /// # Errors
    /// waitid(2): there is no such child, or it is reaped already.
    pub fn ended(self) -> io::Result<Option<ExitStatus>> {
        let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
        Ok(match waitid(Id::Pid(self.0), flags)? {
            WaitStatus::Exited(_, code) => Some(ExitStatus::from_raw((code & 0xff) << 8)),
            WaitStatus::Signaled(_, signal, dumped) => {
                Some(ExitStatus::from_raw(signal as i32 | if dumped { DUMPED } else { 0 }))
            }
            _ => None,
        })
    }

    /// Kills all of it. Reap its leader afterwards.
    pub fn kill(self) {
        // Whoever has ended already needs no signal.
        let _ = killpg(self.0, Signal::SIGKILL);
    }
}

/// The end of what a program has written to its standard error. Constant memory, whatever comes.
#[derive(Debug, Default)]
pub struct Complaints(Vec<u8>);

impl Complaints {
    /// It has written this.
    pub fn take(&mut self, bytes: &[u8]) {
        let newest = bytes.get(bytes.len().saturating_sub(KEPT)..).unwrap_or_default();
        let over = (self.0.len() + newest.len()).saturating_sub(KEPT);
        self.0.drain(..over);
        self.0.extend_from_slice(newest);
    }

    /// The last line that is not blank, without what a terminal would take for orders.
    #[must_use]
    pub fn last(&self) -> String {
        let said = String::from_utf8_lossy(&self.0);
        let line = said.lines().map(str::trim).rfind(|line| !line.is_empty()).unwrap_or_default();
        line.chars().filter(|c| !c.is_control()).take(SHOWN).collect()
    }

    /// The same as the rest of a sentence; empty if there is none.
    #[must_use]
    pub fn saying(&self) -> String {
        let said = self.last();
        if said.is_empty() { said } else { format!(", saying `{said}`") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::process::CommandExt;
    use std::process::{Child, Command, Stdio};

    fn sh(script: &str) -> (Child, Group) {
        let mut command = Command::new("/bin/sh");
        let child = command.args(["-c", script]).process_group(0).stdout(Stdio::piped()).spawn().unwrap();
        let group = Group::led_by(child.id());
        (child, group)
    }

    fn ended(group: Group) -> ExitStatus {
        loop {
            if let Some(status) = group.ended().unwrap() {
                return status;
            }
            std::thread::yield_now();
        }
    }

    #[test]
    fn how_it_ended_is_known_before_it_is_reaped() {
        for (script, code, signal) in
            [("exit 0", Some(0), None), ("exit 255", Some(255), None), ("kill -TERM $$", None, Some(15))]
        {
            let (mut child, group) = sh(script);
            let status = ended(group);
            assert_eq!((status.code(), status.signal()), (code, signal));
            assert_eq!(child.wait().unwrap(), status, "there is one to be reaped still");
            assert!(group.ended().is_err());
        }
    }

    #[test]
    fn who_outlives_the_leader_is_killed_too() {
        let (mut child, group) = sh("sleep 1000 & echo $!");
        ended(group);
        group.kill();
        // Whoever has the other end of the pipe open is gone when it ends.
        let mut pid = String::new();
        io::Read::read_to_string(child.stdout.as_mut().unwrap(), &mut pid).unwrap();
        assert!(!pid.is_empty() && child.wait().unwrap().success());
    }

    #[test]
    fn complaints_are_bounded_and_tame() {
        let mut complaints = Complaints::default();
        assert_eq!(complaints.saying(), "");
        for _ in 0..100 {
            complaints.take(&[b'x'; 1000]);
            assert!(complaints.0.len() <= KEPT);
        }
        complaints.take(&[b'y'; 10_000]);
        assert_eq!(complaints.last(), "y".repeat(SHOWN));
        complaints.take(b"\nfirst\n no \x1b[31mroute\xff \n\n");
        assert_eq!(complaints.saying(), ", saying `no [31mroute\u{fffd}`");
    }
}
