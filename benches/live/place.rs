//! Where benches of running programs take place, and how they wait.

use std::error::Error;
use std::net::Ipv4Addr;
use std::process::Command;
use std::time::{Duration, Instant};

pub(crate) type Outcome<T> = Result<T, Box<dyn Error>>;

/// Longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(300);

const INSIDE: &str = "KBAN_BENCH_INSIDE";

/// Whether this is a network namespace of its own. If not, the bench was run again in one, and is done.
pub(crate) fn in_namespace() -> Outcome<bool> {
    if std::env::var_os(INSIDE).is_some() {
        return Ok(true);
    }
    let mut unshare = Command::new("unshare");
    if !nix::unistd::geteuid().is_root() {
        unshare.args(["--user", "--map-root-user"]);
    }
    unshare.args(["--net", "--", "sh", "-c", "ip link set lo up && exec \"$0\" \"$@\""]);
    unshare.arg(std::env::current_exe()?).args(std::env::args_os().skip(1)).env(INSIDE, "1");
    if unshare.status()?.success() { Ok(false) } else { Err("the bench failed".into()) }
}

pub(crate) fn until(mut so: impl FnMut() -> Outcome<bool>) -> Outcome<Duration> {
    let begin = Instant::now();
    while !so()? {
        if begin.elapsed() > PATIENCE {
            return Err("it never came to pass".into());
        }
    }
    Ok(begin.elapsed())
}

/// The `n`th of the addresses from 11.0.0.0 on.
pub(crate) fn address(n: u32) -> Ipv4Addr {
    Ipv4Addr::from_bits(0x0b00_0000 + n)
}
