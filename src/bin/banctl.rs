//! banctl, the command line.
fn main() {}
