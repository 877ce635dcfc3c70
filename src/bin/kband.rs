//! kband, the daemon.

use std::process::ExitCode;

fn main() -> ExitCode {
    kban::daemon::main()
}
