//! Real sockets on loopback.

use std::io::Write;
use std::net::{TcpStream, UdpSocket};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixDatagram;

use super::*;
use crate::source::bench::{self, Run};
use crate::source::{Input, SourceConfig};

/// A port that is free at the moment.
fn port() -> u16 {
    let probe = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    probe.local_addr().unwrap().port()
}

fn config(listen: Vec<Endpoint>, allow: &[&str]) -> SourceConfig {
    let allow = allow.iter().map(|network| network.parse().unwrap()).collect();
    bench::config(0, Input::Syslog(Syslog { name: "edge".into(), listen, allow, group: None }))
}

impl Run {
    async fn listening(listen: Vec<Endpoint>, allow: &[&str]) -> Self {
        let run = Self::start(vec![config(listen, allow)], 4);
        run.until_state(State::Following).await;
        run
    }

    /// So many lines, each with its sender.
    async fn messages(&mut self, count: usize) -> Vec<String> {
        let mut lines = Vec::new();
        while lines.len() < count {
            let block = self.block().await;
            assert_eq!((block.span, block.again), (None, false));
            let text = String::from_utf8(block.bytes).unwrap();
            lines.extend(text.lines().map(|line| format!("{} {line}", block.stream.display())));
        }
        lines
    }
}

fn loopback() -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, port()))
}

#[tokio::test]
async fn datagrams_over_udp() {
    let address = loopback();
    let mut listening = Run::listening(vec![Endpoint::Udp(address)], &[]).await;
    let sender = UdpSocket::bind("127.0.0.2:0").unwrap();
    sender.send_to(b"<38>Nov 21 06:50:25 sshd[7]: one\nline", address).unwrap();
    assert_eq!(listening.messages(1).await, ["127.0.0.2 Nov 21 06:50:25 127.0.0.2 sshd[7]: one#012line"]);
    sender.send_to(b"<34>1 - h sshd 7 - [x Failed", address).unwrap();
    assert!(listening.messages(1).await[0].ends_with("Z h sshd[7]: [x Failed"));
    let status = listening.until(|status| status.lines == 2).await;
    assert_eq!(status.reception.broken, 1);
}

#[tokio::test]
async fn who_is_not_allowed_is_refused_and_counted() {
    let (udp, tcp) = (loopback(), loopback());
    for endpoint in [Endpoint::Udp(udp), Endpoint::Tcp(tcp)] {
        let listening = Run::listening(vec![endpoint.clone()], &["127.0.0.3/32"]).await;
        match endpoint {
            Endpoint::Udp(address) => {
                UdpSocket::bind("127.0.0.2:0").unwrap().send_to(b"<38>sshd: x", address).unwrap();
            }
            _ => drop(TcpStream::connect(tcp).unwrap()),
        }
        let status = listening.until(|status| status.reception.refused == 1).await;
        assert_eq!(status.lines, 0);
    }
}

#[tokio::test]
async fn both_framings_over_tcp() {
    let address = loopback();
    let mut listening = Run::listening(vec![Endpoint::Tcp(address)], &[]).await;
    for bytes in ["<38>sshd[7]: one\n<38>sshd[7]: two", "16 <38>sshd[7]: one16 <38>sshd[7]: two"] {
        TcpStream::connect(address).unwrap().write_all(bytes.as_bytes()).unwrap();
        let lines = listening.messages(2).await;
        assert!(
            lines[0].ends_with("127.0.0.1 sshd[7]: one") && lines[1].ends_with("sshd[7]: two"),
            "{lines:?}"
        );
    }
}

#[tokio::test]
async fn absurd_lengths_end_the_connection() {
    let address = loopback();
    let mut listening = Run::listening(vec![Endpoint::Tcp(address)], &[]).await;
    let mut sender = TcpStream::connect(address).unwrap();
    sender.write_all(b"16 <38>sshd[7]: one9999999999 <38>sshd[7]: two").unwrap();
    assert_eq!(listening.messages(1).await.len(), 1);
    let status = listening.until(|status| status.reception.closed == 1).await;
    assert_eq!(status.reception.broken, 1);
    assert!(
        std::io::Read::read(&mut sender, &mut [0]).is_ok_and(|read| read == 0) || sender.write(b"x").is_err()
    );
}

#[tokio::test]
async fn too_many_connections_end_those_that_are_silent_for_longest() {
    let address = loopback();
    let mut listening = Run::listening(vec![Endpoint::Tcp(address)], &[]).await;
    let mut senders = Vec::new();
    for number in 0..200 {
        // Otherwise the queue of those that wait to be accepted would overflow.
        let sender = tokio::net::TcpStream::connect(address).await.unwrap();
        let mut sender = sender.into_std().unwrap();
        sender.set_nonblocking(false).unwrap();
        // The first one never rests.
        let speaker = senders.first_mut().unwrap_or(&mut sender);
        writeln!(speaker, "<38>sshd[7]: {number}").unwrap();
        assert!(listening.messages(1).await[0].ends_with(&format!(": {number}")));
        senders.push(sender);
    }
    let status = listening.until(|status| status.reception.closed > 0).await;
    assert!(status.reception.closed >= 200 - 64 && status.lines == 200, "{status:?}");
}

#[tokio::test(start_paused = true)]
async fn a_message_that_does_not_end_ends_the_connection() {
    let address = loopback();
    let listening = Run::listening(vec![Endpoint::Tcp(address)], &[]).await;
    let mut slow = TcpStream::connect(address).unwrap();
    // A byte a minute keeps nothing alive.
    slow.write_all(b"<38>").unwrap();
    let _idle = TcpStream::connect(address).unwrap();
    let status = listening.until(|status| status.reception.closed > 0).await;
    tokio::time::sleep(Duration::from_secs(36_000)).await;
    assert_eq!(status.reception.closed, listening.sources.statuses()[0].reception.closed, "idle ones stay");
}

#[tokio::test]
async fn a_unix_socket_is_for_whom_its_path_lets_write() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("log");
    // One that nobody listens on any more is replaced.
    drop(UnixDatagram::bind(&path).unwrap());
    let mut listening = Run::listening(vec![Endpoint::Unix(path.clone())], &[]).await;
    assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    let sender = UnixDatagram::unbound().unwrap();
    sender.send_to(b"<38>Nov 21 06:50:25 sshd[7]: x\0", &path).unwrap();
    assert_eq!(listening.messages(1).await, ["local Nov 21 06:50:25 localhost sshd[7]: x"]);
    let long = [b"<38>sshd[7]: ".to_vec(), vec![b'x'; 100_000]].concat();
    sender.send_to(&long, &path).unwrap();
    listening.messages(1).await;
    assert_eq!(listening.sources.statuses()[0].lines_cut, 1);
}

#[tokio::test]
async fn what_is_in_the_way_of_a_unix_socket_stays() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("file");
    std::fs::write(&file, "kept").unwrap();
    assert!(matches!(socket::unix(&file, None), Err(socket::SocketError::Occupied(_))));
    assert_eq!(std::fs::read(&file).unwrap(), b"kept");
    let other = directory.path().join("other");
    let _listener = UnixDatagram::bind(&other).unwrap();
    assert!(matches!(socket::unix(&other, None), Err(socket::SocketError::InUse)));
    let missing = directory.path().join("missing/log");
    assert!(matches!(socket::unix(&missing, None), Err(socket::SocketError::NoDirectory(_))));
    let group = socket::unix(&directory.path().join("x"), Some("no such group"));
    assert!(matches!(group, Err(socket::SocketError::NoGroup(_))));
}

#[tokio::test]
async fn a_place_that_is_taken_is_told_and_tried_again() {
    let address = loopback();
    let taken = std::net::TcpListener::bind(address).unwrap();
    let config = config(vec![Endpoint::Tcp(address)], &[]);
    let mut run = Run::start(vec![config.clone()], 4);
    assert!(run.until_state(State::Failed).await.contains("somebody else listens"));
    drop(taken);
    assert_eq!(run.until_state(State::Following).await, "");
    // The same configuration interrupts nobody; without it nobody is listened to.
    let mut connected = TcpStream::connect(address).unwrap();
    run.sources.configure(vec![config]);
    tokio::time::sleep(Duration::from_millis(20)).await;
    connected.write_all(b"<38>sshd[7]: x\n").unwrap();
    run.until(|status| status.lines == 1).await;
    run.sources.configure(Vec::new());
    run.eventually(|_| TcpStream::connect(address).is_err()).await;
}

#[tokio::test]
async fn ipv4_and_ipv6_listen_beside_each_other_or_together() {
    let port = port();
    let both =
        |port| [format!("udp://0.0.0.0:{port}"), format!("udp://[::]:{port}")].map(|it| it.parse().unwrap());
    let listening = Run::listening(both(port).to_vec(), &["127.0.0.0/8", "::1/128"]).await;
    listening.eventually(|run| run.sources.statuses().iter().all(|it| it.state == State::Following)).await;
    drop(listening);
    let [_, six] = both(self::port());
    let Endpoint::Udp(address) = six else { unreachable!() };
    let mut listening = Run::listening(vec![six.clone()], &["127.0.0.0/8"]).await;
    let sender = UdpSocket::bind("127.0.0.2:0").unwrap();
    sender.send_to(b"<38>sshd[7]: x", (Ipv4Addr::LOCALHOST, address.port())).unwrap();
    assert!(listening.messages(1).await[0].starts_with("127.0.0.2 "), "an IPv4 address, as it is allowed");
}
