//! From where whoever runs `banctl` is logged in.
//!
//! sshd(8) says it in `SSH_CONNECTION`. sudo(8) takes that away from what it runs, but not from the shell that it was
//! called in: so the environments of the parents are looked at as well, as far as they can be read.

use std::fs;
use std::net::IpAddr;

/// How many parents are looked at.
const PARENTS: usize = 32;

/// The address that the SSH session comes from, if there is one and it can be seen.
pub(super) fn caller() -> Option<IpAddr> {
    let own = std::env::var("SSH_CONNECTION").ok();
    own.as_deref().and_then(address).or_else(|| of_parents(std::os::unix::process::parent_id()))
}

fn of_parents(mut process: u32) -> Option<IpAddr> {
    for _ in 0..PARENTS {
        let environment = fs::read(format!("/proc/{process}/environ")).unwrap_or_default();
        let found =
            environment.split(|byte| *byte == 0).find_map(|entry| entry.strip_prefix(b"SSH_CONNECTION="));
        if let Some(found) = found.and_then(|value| address(&String::from_utf8_lossy(value))) {
            return Some(found);
        }
        process = parent(&fs::read_to_string(format!("/proc/{process}/stat")).ok()?)?;
    }
    None
}

/// `SSH_CONNECTION` begins with the client's address; a zone behind `%` belongs to no address.
fn address(connection: &str) -> Option<IpAddr> {
    connection.split([' ', '%']).next()?.parse().ok()
}

/// The parent in a /proc/PID/stat (proc(5)); the name before it may have blanks and brackets.
fn parent(stat: &str) -> Option<u32> {
    stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok().filter(|parent| *parent > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sshds_words_are_read() {
        assert_eq!(address("203.0.113.9 50022 198.51.100.1 22"), "203.0.113.9".parse().ok());
        assert_eq!(address("fe80::1%eth0 50022 fe80::2%eth0 22"), "fe80::1".parse().ok());
        assert_eq!(address("UNKNOWN 65535 UNKNOWN 65535"), None);
        assert_eq!(address(""), None);
        assert_eq!(parent("42 (a) b (c) S 7 42 42 0"), Some(7));
        assert_eq!(parent("1 (init) S 0 1 1 0"), None);
    }
}
