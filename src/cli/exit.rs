//! The exit codes of `banctl`, in one place.

use std::process::ExitCode;

use super::output;
use crate::control::client::ClientError;
use crate::control::protocol::{Kind, Refused};
use crate::firewall::FirewallError;

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// Done, or yes.
    Done = 0,
    /// No: not banned, no match, errors found.
    No = 1,
    /// The command line makes no sense.
    Usage = 2,
    /// The daemon cannot be reached.
    Unreachable = 3,
    /// Whoever asks may not.
    Permission = 4,
    /// The allow list forbids it.
    Allowed = 5,
    /// The kernel refused.
    Kernel = 6,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

impl From<Kind> for Exit {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::No => Self::No,
            Kind::Usage => Self::Usage,
            Kind::Permission => Self::Permission,
            Kind::Allowed => Self::Allowed,
            Kind::Kernel => Self::Kernel,
        }
    }
}

/// A command that was not done: its exit code, and the sentence for standard error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The exit code.
    pub exit: Exit,
    /// What went wrong and what to do.
    pub message: String,
}

impl Failure {
    /// A failure with its sentence.
    pub fn new(exit: Exit, message: impl std::fmt::Display) -> Self {
        Self { exit, message: message.to_string() }
    }
}

/// The command line makes no sense, and why.
pub(super) fn usage(message: impl std::fmt::Display) -> Failure {
    Failure::new(Exit::Usage, output::harmless_lines(&message.to_string()))
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        let exit = match &error {
            ClientError::Permission { .. } => Exit::Permission,
            ClientError::Refused(Refused { kind, .. }) => (*kind).into(),
            _ => Exit::Unreachable,
        };
        Self::new(exit, output::harmless_lines(&error.to_string()))
    }
}

impl From<FirewallError> for Failure {
    fn from(error: FirewallError) -> Self {
        let exit = if error.is_permission() { Exit::Permission } else { Exit::Kernel };
        Self::new(exit, error)
    }
}

/// Writing to standard output failed. A reader that has seen enough (`banctl list | head`) is no failure.
impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        if error.kind() == std::io::ErrorKind::BrokenPipe {
            return Self::new(Exit::Done, "");
        }
        Self::new(
            Exit::No,
            format!("cannot write the output: {error}; make room there, or have it written elsewhere"),
        )
    }
}
