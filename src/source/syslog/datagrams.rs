//! Messages as datagrams, of UDP and of a socket such as /dev/log.
//!
//! What is there is taken together, and handed over in one block for each sender. While the channel is full nothing is
//! taken: then datagrams wait in the kernel, which counts those of UDP that it has no room for, and lets local senders wait.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use jiff::{Timestamp, Unit};
use tokio::net::{UdpSocket, UnixDatagram};
use tokio::time::Instant;

use super::intake::{Batch, Intake};
use super::lost::lost;
use super::message::Envelope;
use crate::source::lines::LONGEST_LINE;
use crate::source::{BLOCK_BYTES, State};

/// How many are taken together at most, so that each of so many senders can have a block.
const TOGETHER: usize = 2048;
/// When it is asked what was lost, after something came.
const ASK: Duration = Duration::from_secs(1);
/// When it is tried again after an error.
const RETRY: Duration = Duration::from_secs(1);
/// What stands for the address of senders of this machine.
const LOCAL: &str = "local";
/// What stands for the name of this machine where a message has none.
const HERE: &str = "localhost";

/// One socket that datagrams come from.
#[derive(Debug)]
pub(super) enum Socket {
    /// Of hosts that are allowed.
    Udp(UdpSocket, Vec<IpNet>),
    /// Of programs that its path lets write.
    Unix(UnixDatagram),
}

impl Socket {
    async fn readable(&self) -> io::Result<()> {
        match self {
            Self::Udp(socket, _) => socket.readable().await,
            Self::Unix(socket) => socket.readable().await,
        }
    }

    /// One datagram, and its sender's address if it has one.
    fn receive(&self, scratch: &mut [u8]) -> io::Result<(usize, Option<IpAddr>)> {
        match self {
            Self::Udp(socket, _) => {
                let (length, sender) = socket.try_recv_from(scratch)?;
                Ok((length, Some(sender.ip().to_canonical())))
            }
            Self::Unix(socket) => Ok((socket.try_recv(scratch)?, None)),
        }
    }

    fn allows(&self, sender: Option<IpAddr>) -> bool {
        match (self, sender) {
            (Self::Udp(_, allowed), Some(sender)) => allowed.iter().any(|network| network.contains(&sender)),
            _ => true,
        }
    }
}

/// Hands over what comes, until nobody takes it any more.
pub(super) async fn receive(socket: &Socket, intake: &Intake) {
    let mut scratch = vec![0; LONGEST_LINE + 1];
    let mut ask: Option<Instant> = None;
    loop {
        let asked = async {
            match ask {
                Some(at) => tokio::time::sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            ready = socket.readable() => if let Err(error) = ready {
                return intake.tell(State::Failed, Some(format!("receiving failed ({error}); it is tried again")));
            },
            () = asked => {
                ask = None;
                if let Socket::Udp(socket, _) = socket && let Some(lost) = lost(socket) {
                    intake.lost(lost);
                }
                continue;
            }
            () = intake.blocks().closed() => return,
        }
        let (batches, error) = take(socket, intake, &mut scratch);
        if !batches.is_empty() && matches!(socket, Socket::Udp(..)) {
            ask.get_or_insert_with(|| Instant::now() + ASK);
        }
        for (sender, batch) in batches {
            let sender = sender.map_or_else(|| LOCAL.to_owned(), |sender| sender.to_string());
            let sender = Arc::from(OsStr::new(&sender));
            if let Some(block) = intake.block(sender, batch)
                && intake.blocks().send(block).await.is_err()
            {
                return;
            }
        }
        if let Some(error) = error {
            intake.tell(State::Failed, Some(format!("receiving failed ({error}); it is tried again")));
            tokio::time::sleep(RETRY).await;
            intake.tell(State::Following, None);
        }
        tokio::task::yield_now().await;
    }
}

/// What is there, by sender, and what went wrong.
fn take(
    socket: &Socket,
    intake: &Intake,
    scratch: &mut [u8],
) -> (BTreeMap<Option<IpAddr>, Batch>, Option<io::Error>) {
    let mut batches = BTreeMap::<Option<IpAddr>, Batch>::new();
    let mut names = BTreeMap::<Option<IpAddr>, String>::new();
    let received = now();
    let mut bytes = 0;
    for _ in 0..TOGETHER {
        let (length, sender) = match socket.receive(scratch) {
            Ok(received) => received,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return (batches, None),
            Err(error) => return (batches, Some(error)),
        };
        if !socket.allows(sender) {
            intake.count("senders that are not in `allow` were refused", |it| it.refused += 1);
            continue;
        }
        let message = scratch.get(..length.min(LONGEST_LINE)).unwrap_or_default();
        let name = names.entry(sender).or_insert_with(|| sender.map_or(HERE.to_owned(), |it| it.to_string()));
        let batch = batches.entry(sender).or_default();
        let before = batch.len();
        batch.take(message, length > LONGEST_LINE, Envelope { sender: name, received: &received });
        bytes += batch.len() - before;
        if bytes >= BLOCK_BYTES {
            break;
        }
    }
    (batches, None)
}

/// The time, as messages have it that say none.
pub(super) fn now() -> String {
    let now = Timestamp::now();
    now.round(Unit::Millisecond).unwrap_or(now).to_string()
}
