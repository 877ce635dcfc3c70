//! The command line of `kband`.

use std::path::PathBuf;

use clap::Parser;

use crate::config::Layout;
use crate::control::{RUNTIME_DIR, SOCKET};
use crate::store::STATE_DIR;

/// Watch logs and ban attackers in the kernel.
#[derive(Debug, Parser)]
#[command(name = "kband", version, after_help = AFTER_HELP)]
pub(super) struct Options {
    /// Read this file, or this directory with kban.toml, kban.d and filter.d [default: /etc/kban].
    #[arg(long, value_name = "PATH")]
    config: Option<PathBuf>,
    /// Where bans and file positions are kept.
    #[arg(long, value_name = "DIR", default_value = STATE_DIR)]
    pub(super) state_dir: PathBuf,
    /// Where the control socket is made.
    #[arg(long, value_name = "DIR", default_value = RUNTIME_DIR)]
    pub(super) runtime_dir: PathBuf,
    /// Check the configuration and exit: 0, or 78 with every error.
    #[arg(long)]
    pub(super) check: bool,
    /// Remove the table, and with it every ban, when stopping.
    #[arg(long)]
    pub(super) flush_on_exit: bool,
    /// Let kband, and the programs that it runs, write beyond its own directories and temporary ones.
    #[arg(long)]
    pub(super) unconfined: bool,
}

const AFTER_HELP: &str = "\
Signals: SIGTERM and SIGINT stop (bans stay in the kernel), SIGHUP reloads.
Environment: KBAN_LOG sets the log level (error, warn, info, debug).
With NotifyAccess=main and FileDescriptorStoreMax=64 in its unit, systemd keeps the socket that owns the table over a restart,
and those that syslog messages come in on.";

impl Options {
    /// Where the configuration is.
    pub(super) fn layout(&self) -> Layout {
        self.config.as_ref().map_or_else(Layout::default, Layout::at)
    }

    /// The control socket.
    pub(super) fn socket(&self) -> PathBuf {
        self.runtime_dir.join(SOCKET)
    }
}
