//! How many datagrams the kernel had no room for: the last column of /proc/net/udp.

use std::fs;
use std::os::fd::AsFd;

use nix::sys::stat::fstat;

/// Those that one socket has lost since it was opened; `None` if the kernel does not say.
pub(super) fn lost(socket: impl AsFd) -> Option<u64> {
    let inode = fstat(socket).ok()?.st_ino;
    ["/proc/self/net/udp", "/proc/self/net/udp6"].iter().find_map(|table| {
        let table = fs::read_to_string(table).ok()?;
        table.lines().skip(1).find_map(|row| drops(row, inode))
    })
}

/// `sl local remote st queues tr:when retrnsmt uid timeout inode ref pointer drops`
fn drops(row: &str, inode: u64) -> Option<u64> {
    let columns: Vec<&str> = row.split_ascii_whitespace().collect();
    (columns.get(9)?.parse() == Ok(inode)).then(|| columns.last()?.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::UdpSocket;

    #[test]
    fn what_a_small_buffer_cannot_hold_is_counted() {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        nix::sys::socket::setsockopt(&socket, nix::sys::socket::sockopt::RcvBuf, &4096).unwrap();
        assert_eq!(lost(&socket), Some(0));
        let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
        for _ in 0..100 {
            sender.send_to(&[b'x'; 1000], socket.local_addr().unwrap()).unwrap();
        }
        socket.set_nonblocking(true).unwrap();
        let received = std::iter::from_fn(|| socket.recv(&mut [0; 2000]).ok()).count() as u64;
        assert!(received < 100);
        assert_eq!(lost(&socket), Some(100 - received));
    }
}
