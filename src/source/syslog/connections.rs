//! Messages over TCP: many connections, each with its own turn, none with more than its share.
//!
//! A connection is read only when the channel has room for its block: a busy daemon slows the senders, and nothing is
//! lost. Idle connections cost nothing and are left alone, as senders keep theirs; when there are too many, that one ends
//! which has been silent for longest. One whose message does not end is ended as well.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use ipnet::IpNet;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{AbortHandle, Id, JoinSet};
use tokio::time::Instant;

use super::datagrams::now;
use super::frame::Frames;
use super::intake::{Batch, Intake};
use super::message::Envelope;
use super::socket;
use crate::source::{BLOCK_BYTES, State};

/// How many connections are open at once.
const MOST: usize = 1024;
/// How many of these one address may have.
const MOST_EACH: usize = 64;
/// How long one message may take to come.
const PATIENCE: Duration = Duration::from_secs(60);
/// How much is read at once.
const CHUNK: usize = 32 * 1024;
/// When accepting is tried again after an error.
const RETRY: Duration = Duration::from_secs(1);

/// One connection, for whoever has to choose which one ends.
#[derive(Debug)]
struct Connection {
    address: IpAddr,
    /// When its last message ended, in milliseconds since listening began.
    last: Arc<AtomicU64>,
    task: AbortHandle,
}

/// Accepts connections, and hands over what comes, until nobody takes it any more.
pub(super) async fn accept(listener: &TcpListener, allowed: &[IpNet], intake: &Arc<Intake>) {
    let began = Instant::now();
    let mut tasks = JoinSet::new();
    let mut open = HashMap::<Id, Connection>::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            Some(ended) = tasks.join_next_with_id(), if !tasks.is_empty() => {
                open.remove(&ended.map_or_else(|error| error.id(), |(id, ())| id));
                continue;
            }
            () = intake.blocks().closed() => return,
        };
        let (stream, address) = match accepted {
            Ok((stream, address)) => (stream, address.ip().to_canonical()),
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => continue,
            Err(error) => {
                let error = format!("no connection can be accepted ({error}); it is tried again");
                intake.tell(State::Failed, Some(error));
                tokio::time::sleep(RETRY).await;
                intake.tell(State::Following, None);
                continue;
            }
        };
        if !allowed.iter().any(|network| network.contains(&address)) {
            intake.count("senders that are not in `allow` were refused", |it| it.refused += 1);
            continue;
        }
        make_room(&mut open, address, intake);
        socket::keep_alive(&stream);
        let last = Arc::new(AtomicU64::new(since(began)));
        let sender = Sender { address, began, last: Arc::clone(&last) };
        let task = tasks.spawn(read(stream, sender, Arc::clone(intake)));
        open.insert(task.id(), Connection { address, last, task });
        tokio::task::yield_now().await;
    }
}

fn since(began: Instant) -> u64 {
    u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX)
}

/// Ends the connection that has been silent for longest, of the same address if that has too many, if one has to end.
fn make_room(open: &mut HashMap<Id, Connection>, address: IpAddr, intake: &Intake) {
    let same = open.values().filter(|other| other.address == address).count();
    if open.len() < MOST && same < MOST_EACH {
        return;
    }
    let eligible = |other: &Connection| same < MOST_EACH || other.address == address;
    let oldest = open
        .iter()
        .filter(|(_, connection)| eligible(connection))
        .min_by_key(|(_, connection)| connection.last.load(Ordering::Relaxed))
        .map(|(id, _)| *id);
    if let Some(ended) = oldest.and_then(|id| open.remove(&id)) {
        ended.task.abort();
        intake.count("connections were ended, too many were open", |it| it.closed += 1);
    }
}

struct Sender {
    address: IpAddr,
    began: Instant,
    last: Arc<AtomicU64>,
}

/// Reads one connection to its end.
async fn read(stream: TcpStream, sender: Sender, intake: Arc<Intake>) {
    let name = sender.address.to_string();
    let mut frames = Frames::new();
    let mut patience: Option<Instant> = None;
    loop {
        let overdue = async {
            match patience {
                Some(at) => tokio::time::sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            ready = stream.readable() => if ready.is_err() { return },
            () = overdue => {
                return intake.count("connections were ended, a message took more than 60 s", |it| it.closed += 1);
            }
        }
        let Ok(room) = intake.blocks().reserve().await else { return };
        let mut batch = Batch::default();
        let going_on = take(&stream, &mut frames, &mut batch, &name, &intake);
        if batch.len() > 0 {
            sender.last.store(since(sender.began), Ordering::Relaxed);
            patience = None;
        }
        patience = match frames.is_amid() {
            true => patience.or_else(|| Some(Instant::now() + PATIENCE)),
            false => None,
        };
        if let Some(block) = intake.block(Arc::from(OsStr::new(&name)), batch) {
            room.send(block);
        }
        if !going_on {
            return;
        }
        tokio::task::yield_now().await;
    }
}

/// Reads what is there, one block at most. False: the connection is over.
fn take(stream: &TcpStream, frames: &mut Frames, batch: &mut Batch, name: &str, intake: &Intake) -> bool {
    let received = now();
    let envelope = Envelope { sender: name, received: &received };
    let mut chunk = [0; CHUNK];
    while batch.len() < BLOCK_BYTES - CHUNK {
        let taken = match stream.try_read(&mut chunk) {
            Ok(0) => None,
            Ok(count) => chunk.get(..count),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return true,
            Err(_) => None,
        };
        let each = &mut |frame: super::frame::Frame<'_>| batch.take(frame.message, frame.cut, envelope);
        let Some(bytes) = taken else {
            if !frames.end(each) {
                intake.count("connections ended amid a message", |it| it.broken += 1);
            }
            return false;
        };
        if let Err(error) = frames.take(bytes, each) {
            intake.count(error.said(), |it| {
                it.broken += 1;
                it.closed += 1;
            });
            return false;
        }
    }
    true
}
