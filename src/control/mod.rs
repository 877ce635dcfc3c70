//! How `banctl` talks to `kband`: JSON lines over `/run/kban/control.sock`.
//!
//! [`protocol`] is what both sides say (with [`status`], the part in a [`fleet`], and the rows of [`allowed`]), [`server`] the daemon's end, [`client`] the command
//! line's; [`events`] is what happens, told to whoever watches, [`recall`] what has happened, and [`moved`] a ban on its way
//! to another kban.

pub mod allowed;
pub mod client;
pub mod events;
pub mod fleet;
pub mod moved;
pub mod protocol;
pub mod recall;
pub mod server;
pub mod status;

/// The socket's name in the runtime directory.
pub const SOCKET: &str = "control.sock";
/// The runtime directory, unless `--runtime-dir` or `--socket` says otherwise.
pub const RUNTIME_DIR: &str = "/run/kban";
