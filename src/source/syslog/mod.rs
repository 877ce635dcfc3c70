//! Messages that other hosts and programs send: kband listens, and needs no syslog daemon of its own.
//!
//! ```text
//! endpoint -> socket -> datagrams ----------------------> intake -> Block
//!                  \--> connections -> frame (RFC 6587) ---/ message (RFC 3164, 5424: one line each)
//! ```
//!
//! Where a service manager keeps descriptors, `keeper` has it keep the sockets over a restart.
//!
//! The stream of a block is the sender's address. What a message says of its host is only part of the line.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use tokio::net::{TcpListener, UdpSocket, UnixDatagram};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

mod connections;
mod datagrams;
mod endpoint;
mod frame;
mod intake;
mod keeper;
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
pub use keeper::Keeper;

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
    keeper: &Keeper,
) -> impl Future<Output = ()> + Send + use<> {
    let source = format!("syslog {}", syslog.name);
    let listeners = |endpoint: &Endpoint| {
        let intake = Intake::new(id, &source, &endpoint.to_string(), board, blocks.clone());
        (endpoint.clone(), keeper.take(endpoint), Arc::new(intake))
    };
    let listeners: Vec<_> = syslog.listen.iter().map(listeners).collect();
    let keeper = keeper.clone();
    async move {
        let syslog = Arc::new(syslog);
        let mut tasks = JoinSet::new();
        for (endpoint, kept, intake) in listeners {
            let listener = Listener { syslog: Arc::clone(&syslog), endpoint, keeper: keeper.clone(), intake };
            tasks.spawn(listener.listen(kept));
        }
        while tasks.join_next().await.is_some() {}
    }
}

/// Listens on one socket.
struct Listener {
    syslog: Arc<Syslog>,
    endpoint: Endpoint,
    keeper: Keeper,
    intake: Arc<Intake>,
}

impl Listener {
    /// Goes on with the socket that was kept, if there is one; else it is opened until that succeeds.
    async fn listen(self, mut kept: Option<OwnedFd>) {
        let mut pause = Pause::between(SOONEST, LATEST);
        let closed = self.intake.blocks().clone();
        while !closed.is_closed() {
            match self.serve(kept.take()).await {
                Ok(()) => pause.reset(),
                Err(error) => self.intake.tell(State::Failed, Some(error.to_string())),
            }
            tokio::select! {
                () = tokio::time::sleep(pause.take()) => {}
                () = closed.closed() => return,
            }
        }
    }

    async fn serve(&self, kept: Option<OwnedFd>) -> Result<(), socket::SocketError> {
        let Self { syslog, endpoint, keeper, intake } = self;
        let (only6, group) = (syslog.only6(endpoint), syslog.group.as_deref());
        let kept = kept.filter(|kept| socket::is_as_wanted(kept, endpoint, only6, group));
        let socket = match kept {
            Some(kept) => kept,
            None => socket::open(endpoint, only6, group)?,
        };
        let _kept = keeper.keep(endpoint, &socket);
        match endpoint {
            Endpoint::Tcp(_) => {
                let listener = TcpListener::from_std(socket.into())?;
                intake.tell(State::Following, None);
                connections::accept(&listener, &syslog.allowed(), intake).await;
            }
            Endpoint::Udp(_) => {
                let socket = UdpSocket::from_std(socket.into())?;
                intake.tell(State::Following, None);
                datagrams::receive(&datagrams::Socket::Udp(socket, syslog.allowed()), intake).await;
            }
            Endpoint::Unix(_) => {
                let socket = UnixDatagram::from_std(socket.into())?;
                intake.tell(State::Following, None);
                datagrams::receive(&datagrams::Socket::Unix(socket), intake).await;
            }
        }
        Ok(())
    }
}
