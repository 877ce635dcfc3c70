//! A connection to the fleet's server: TLS with the fleet's own certificate, an nkey, and an eye on what goes wrong.
//!
//! The server's refusals are no answers to what was asked, but events of the connection: they are counted and told by name.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_nats::{Client, ConnectOptions, Event, ServerError};
use jiff::Timestamp;
use tokio::sync::watch;

use super::FleetError;
use super::decision::Distrust;
use super::keys;
use super::trust;
use crate::control::fleet::{Connection, FleetStatus};

/// How long an answer may take.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);
/// How long after a failure the next attempt is made.
pub(super) const RETRY: Duration = Duration::from_secs(2);
/// The longest pause between two attempts to connect.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// How often the server is asked whether it is there.
const PING: Duration = Duration::from_secs(15);
/// How many messages of a subscription may wait.
const MESSAGES: usize = 16_384;
/// What the server means by an authorization violation.
const STRANGER: &str = "the server does not know this machine's key: was it revoked, or not accepted yet?";
/// Messages came faster than they were taken, and the library has thrown some away: what goes wrong, and what of it.
const SLOW: (&str, &str) = (
    "messages were lost",
    "they came faster than this machine could take them; what was lost is asked for again",
);
/// No error of the server is told at greater length, in characters.
const LONGEST_ERROR: usize = 300;

/// How the machine is doing, for whoever asks.
#[derive(Debug, Clone, Default)]
pub(super) struct Shared(Arc<Mutex<FleetStatus>>);

impl Shared {
    pub(super) fn new(status: FleetStatus) -> Self {
        Self(Arc::new(Mutex::new(status)))
    }

    /// Nobody holds it for longer than it takes to change a number.
    pub(super) fn lock(&self) -> MutexGuard<'_, FleetStatus> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A message is not followed: it is counted, and the first one of its kind is told.
    pub(super) fn distrust(&self, distrust: Distrust) {
        let mut status = self.lock();
        let times = status.distrusted.entry(distrust.to_string()).or_default();
        *times += 1;
        if *times == 1 {
            tracing::warn!("[fleet] a message among the decisions is not followed: {distrust}");
        }
    }

    /// Something goes wrong; said in the log when it changes.
    pub(super) fn trouble(&self, what: &str, why: &str) {
        let before = self.lock().trouble.insert(what.to_owned(), why.to_owned());
        if before.as_deref() != Some(why) {
            tracing::warn!("[fleet] {what}: {why}");
        }
    }

    /// It goes well again.
    pub(super) fn mended(&self, what: &str) {
        if self.lock().trouble.remove(what).is_some() {
            tracing::info!("[fleet] {what}: it works again");
        }
    }
}

/// How to get to a server, with files of the fleet's directory.
#[derive(Debug, Clone, Copy)]
pub(super) struct Way<'w> {
    /// HOST:PORT.
    pub(super) server: &'w str,
    /// The file of this machine's key.
    pub(super) seed: &'w str,
    /// That of the certificate that the server is known by.
    pub(super) ca: &'w str,
    /// What comes is addressed to inboxes that begin so.
    pub(super) inbox: &'w str,
}

/// A connection.
#[derive(Debug, Clone)]
pub(super) struct Link {
    pub(super) client: Client,
    /// How often it was made; 0 while it is not there.
    up: watch::Receiver<u64>,
}

impl Link {
    /// Begins to connect; the connection is called `what`.
    pub(super) async fn open(
        directory: &Path,
        way: &Way<'_>,
        what: &str,
        shared: &Shared,
    ) -> Result<Self, FleetError> {
        let Way { server, seed, ca, inbox } = *way;
        let key = keys::load(&directory.join(seed))?;
        let secret = key.seed().map_err(|_| keys::KeyError::NoSeed { path: directory.join(seed) })?;
        let ca = directory.join(ca);
        if let Err(error) = std::fs::File::open(&ca) {
            return Err(FleetError::Certificate { path: ca, error });
        }
        let (told, up) = watch::channel(0);
        let connection = Connection { server: server.to_owned(), ..Connection::default() };
        shared.lock().connections.insert(what.to_owned(), connection);
        let watch = Arc::new(Watch {
            shared: shared.clone(),
            what: what.to_owned(),
            told,
            server: server.to_owned(),
            ca: ca.clone(),
        });
        let options = ConnectOptions::with_nkey(secret)
            .name(format!("kban {inbox}"))
            .add_root_certificates(ca)
            .require_tls(true)
            .custom_inbox_prefix(format!("_INBOX.{inbox}"))
            .ignore_discovered_servers()
            .retry_on_initial_connect()
            .max_reconnects(None)
            .reconnect_delay_callback(|attempts| {
                let doubled = Duration::from_millis(50).saturating_mul(1 << attempts.min(10));
                doubled.min(LONGEST_PAUSE)
            })
            .connection_timeout(PATIENCE)
            .request_timeout(Some(PATIENCE))
            .ping_interval(PING)
            .subscription_capacity(MESSAGES)
            .event_callback(move |event| {
                let watch = Arc::clone(&watch);
                async move { watch.note(event).await }
            });
        let client = options
            .connect(format!("tls://{server}"))
            .await
            .map_err(|error| FleetError::Connect { server: server.to_owned(), error: error.to_string() })?;
        Ok(Self { client, up })
    }

    /// Whether it is there.
    pub(super) fn is_up(&self) -> bool {
        *self.up.borrow() > 0
    }

    /// Waits until it is there. How often it was made until then.
    pub(super) async fn up(&mut self) -> u64 {
        loop {
            let made = *self.up.borrow_and_update();
            if made > 0 {
                return made;
            }
            if self.up.changed().await.is_err() {
                // The client is gone, and with it everybody who could wait.
                return std::future::pending().await;
            }
        }
    }

    /// Has `work` done whenever it is there, for as long as somebody waits for it: `work` ends with the connection, or says
    /// why `what` goes wrong.
    pub(super) async fn keep_at(
        mut self,
        shared: &Shared,
        what: &str,
        mut work: impl AsyncFnMut(&mut Self) -> Result<(), String>,
    ) {
        loop {
            self.up().await;
            if let Err(why) = work(&mut self).await {
                shared.trouble(what, &why);
                tokio::time::sleep(RETRY).await;
            }
        }
    }

    /// Waits until it is made anew or lost.
    pub(super) async fn changed(&mut self) {
        if self.up.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

/// Makes something of the events of a connection.
struct Watch {
    shared: Shared,
    what: String,
    told: watch::Sender<u64>,
    server: String,
    ca: PathBuf,
}

impl Watch {
    async fn note(self: Arc<Self>, event: Event) {
        let error = match &event {
            // While it connects, the library has words of its own for what is wrong: an error of input and output, or of TLS.
            Event::ClientError(error) if error.to_string().contains("authorization violation") => {
                STRANGER.to_owned()
            }
            Event::ClientError(error) => {
                let watch = Arc::clone(&self);
                let found = tokio::task::spawn_blocking(move || trust::obstacle(&watch.server, &watch.ca));
                found.await.ok().flatten().unwrap_or_else(|| error.to_string())
            }
            Event::ServerError(ServerError::AuthorizationViolation) => STRANGER.to_owned(),
            Event::ServerError(error) => error.to_string(),
            Event::LameDuckMode => "the server is about to stop".to_owned(),
            Event::SlowConsumer(_) => return self.shared.trouble(SLOW.0, SLOW.1),
            Event::Connected => {
                self.shared.mended(SLOW.0);
                return self.made();
            }
            Event::Disconnected | Event::Closed => return self.lost(),
            Event::Draining => return,
        };
        self.failed(&error, matches!(event, Event::ServerError(_)));
    }

    fn change(&self, change: impl FnOnce(&mut Connection)) {
        if let Some(connection) = self.shared.lock().connections.get_mut(&self.what) {
            change(connection);
        }
    }

    fn made(&self) {
        static MADE: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(1);
        tracing::info!("[fleet] {}: connected", self.what);
        self.change(|connection| {
            (connection.up, connection.since, connection.error) = (true, Some(Timestamp::now()), None);
        });
        self.told.send_replace(MADE.fetch_add(1, std::sync::atomic::Ordering::Relaxed));
    }

    fn lost(&self) {
        self.change(|connection| {
            if std::mem::replace(&mut connection.up, false) {
                tracing::warn!("[fleet] {}: the connection is lost", self.what);
                connection.since = Some(Timestamp::now());
            }
        });
        self.told.send_replace(0);
    }

    fn failed(&self, why: &str, refused: bool) {
        let why: String = why.chars().take(LONGEST_ERROR).collect();
        self.change(|connection| {
            connection.refused += u64::from(refused);
            if connection.error.as_deref() != Some(&why) {
                tracing::warn!("[fleet] {}: {why}", self.what);
            }
            connection.error = Some(why);
        });
    }
}
