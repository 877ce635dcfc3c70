//! Messages that other hosts and programs send: kband listens, and needs no syslog daemon of its own.
//!
//! ```text
//! endpoint -> socket -> datagrams ----------------------> intake -> Block
//!                  \--> connections -> frame (RFC 6587) ---/ message (RFC 3164, 5424: one line each)
//! ```
//!
//! The stream of a block is the sender's address. What a message says of its host is only part of the line.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

mod connections;
mod datagrams;
mod endpoint;
mod frame;
mod intake;
mod lost;
mod message;
mod socket;

#[cfg(test)]
mod tests;

use super::pause::Pause;
use super::status::Board;
use super::{Block, SourceId, State};
pub use endpoint::{Endpoint, NoEndpoint};
use intake::Intake;

/// When a socket is opened again that could not be opened, the first time; then twice as long each time.
const SOONEST: Duration = Duration::from_millis(250);
/// No longer than that.
const LATEST: Duration = Duration::from_secs(30);

/// One `[source.NAME]` that listens.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Syslog {
    /// NAME.
    pub name: Arc<str>,
    /// Where; never nowhere.
    pub listen: Vec<Endpoint>,
    /// The hosts that may send over UDP and TCP; empty: this machine only.
    pub allow: Vec<IpNet>,
    /// The group that may write to its unix sockets, beside root.
    pub group: Option<String>,
}

impl Syslog {
    fn allowed(&self) -> Vec<IpNet> {
        if !self.allow.is_empty() {
            return self.allow.clone();
        }
        let loopback = [IpAddr::from(Ipv4Addr::LOCALHOST), IpAddr::from(Ipv6Addr::LOCALHOST)];
        let network = |address: IpAddr| IpNet::new(address, if address.is_ipv4() { 8 } else { 128 }).ok();
        loopback.into_iter().filter_map(network).collect()
    }

    /// Whether IPv4 has a socket of its own beside this one of IPv6.
    fn only6(&self, endpoint: &Endpoint) -> bool {
        let beside = |mine: &SocketAddr, other: &SocketAddr| other.is_ipv4() && mine.port() == other.port();
        self.listen.iter().any(|other| match (endpoint, other) {
            (Endpoint::Udp(mine), Endpoint::Udp(other)) | (Endpoint::Tcp(mine), Endpoint::Tcp(other)) => {
                beside(mine, other)
            }
            _ => false,
        })
    }
}

/// Listens everywhere until nobody takes what comes.
pub(super) fn follow(
    syslog: Syslog,
    id: SourceId,
    board: &Board,
    blocks: &mpsc::Sender<Block>,
) -> impl Future<Output = ()> + Send + use<> {
    let source = format!("syslog {}", syslog.name);
    let intake = |endpoint: &Endpoint| {
        let intake = Intake::new(id, &source, &endpoint.to_string(), board, blocks.clone());
        (endpoint.clone(), Arc::new(intake))
    };
    let intakes: Vec<_> = syslog.listen.iter().map(intake).collect();
    async move {
        let syslog = Arc::new(syslog);
        let mut tasks = JoinSet::new();
        for (endpoint, intake) in intakes {
            tasks.spawn(listen(Arc::clone(&syslog), endpoint, intake));
        }
        while tasks.join_next().await.is_some() {}
    }
}

/// Listens on one socket, which is opened until that succeeds.
async fn listen(syslog: Arc<Syslog>, endpoint: Endpoint, intake: Arc<Intake>) {
    let mut pause = Pause::between(SOONEST, LATEST);
    while !intake.blocks().is_closed() {
        match serve(&syslog, &endpoint, &intake).await {
            Ok(()) => pause.reset(),
            Err(error) => intake.tell(State::Failed, Some(error.to_string())),
        }
        tokio::select! {
            () = tokio::time::sleep(pause.take()) => {}
            () = intake.blocks().closed() => return,
        }
    }
}

async fn serve(
    syslog: &Syslog,
    endpoint: &Endpoint,
    intake: &Arc<Intake>,
) -> Result<(), socket::SocketError> {
    let only6 = syslog.only6(endpoint);
    match endpoint {
        Endpoint::Tcp(address) => {
            let listener = socket::tcp(*address, only6)?;
            intake.tell(State::Following, None);
            connections::accept(&listener, &syslog.allowed(), intake).await;
        }
        Endpoint::Udp(address) => {
            let socket = datagrams::Socket::Udp(socket::udp(*address, only6)?, syslog.allowed());
            intake.tell(State::Following, None);
            datagrams::receive(&socket, intake).await;
        }
        Endpoint::Unix(path) => {
            let socket = datagrams::Socket::Unix(socket::unix(path, syslog.group.as_deref())?);
            intake.tell(State::Following, None);
            datagrams::receive(&socket, intake).await;
        }
    }
    Ok(())
}
