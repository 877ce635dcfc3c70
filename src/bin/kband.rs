//! kband, the daemon.
fn main() {}
