//! banctl, the command line.

use std::process::ExitCode;

fn main() -> ExitCode {
    kban::cli::main()
}
