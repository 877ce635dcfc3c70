//! The fleet's thread: what starts it, what works in it, and how it is doing.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;

use nkeys::KeyPair;
use tokio::sync::{mpsc, oneshot, watch};

use super::audience::Audience;
use super::certificates;
use super::counted::Counted;
use super::decisions::{self, Signer};
use super::disk::DiskError;
use super::edge;
use super::edges;
use super::firewall::{self, Door};
use super::handing::{Hand, Settled};
use super::host;
use super::keys::{self, KeyError};
use super::link::{Link, Shared, Way};
use super::members::{Members, MembersError};
use super::news::News;
use super::peers;
use super::setup::{CA, DECISIONS_SEED, EDGE_SEED, HOST_SEED, REPORTS_SEED, SIGNER_SEED};
use super::spool::Spool;
use super::tap::Tap;
use crate::config::fleet::FLEET;
use crate::config::plan::FleetPlan;
use crate::control::fleet::FleetStatus;

/// So long before the server's certificate ends it is told.
const WARN: jiff::SignedDuration = jiff::SignedDuration::from_hours(30 * 24);
/// How much news may wait for the daemon's loop.
const NEWS: usize = 2;

/// Why this machine does not take part in its fleet. It bans as it does without.
#[derive(Debug, thiserror::Error)]
pub enum FleetError {
    /// A key.
    #[error("{0}; `banctl fleet init` makes a fleet, `banctl fleet join` joins one")]
    Key(#[from] KeyError),
    /// The certificate that the server is known by.
    #[error("{}: {error}; `banctl fleet init` makes a fleet, `banctl fleet join` joins one", .path.display())]
    Certificate {
        /// Its file.
        path: PathBuf,
        /// What the file system says.
        error: io::Error,
    },
    /// The list of members.
    #[error("{0}")]
    Members(#[from] MembersError),
    /// The disk.
    #[error("{0}")]
    Disk(#[from] DiskError),
    /// `signer` in the configuration.
    #[error("[fleet] signer = \"{0}\" is no public key: take the line of `banctl fleet invite` again")]
    Signer(String),
    /// The server's place or its certificate cannot even be tried.
    #[error("{server}: {error}")]
    Connect {
        /// HOST:PORT.
        server: String,
        /// What is wrong.
        error: String,
    },
    /// No thread.
    #[error("its thread cannot be started: {0}")]
    Thread(io::Error),
}

/// A machine that takes part in its fleet. Dropping it ends that.
#[derive(Debug)]
pub struct Running {
    plan: FleetPlan,
    tap: Tap,
    news: mpsc::Receiver<News>,
    shared: Shared,
    members: watch::Sender<Arc<Members>>,
    /// Dropped, it stops the thread.
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// What the thread begins with.
struct Begin {
    plan: FleetPlan,
    tap: Tap,
    shared: Shared,
    news: mpsc::Sender<News>,
    members: watch::Receiver<Arc<Members>>,
    /// Of a firewall.
    signer: Option<KeyPair>,
    /// Of a firewall.
    counted: Option<Counted>,
    /// Of a host.
    reports: Option<Spool>,
    /// Of an edge.
    decisions: Option<Spool>,
    /// Where it is kept what friends' fleets have said.
    state: Option<PathBuf>,
}

impl Running {
    /// Takes part as `plan` says. Reports that wait are kept in the directory `state`; with none, in memory.
    ///
    /// # Errors
    /// What has to be there is not. Whatever the server says is told by [`Running::status`].
    pub fn start(plan: &FleetPlan, state: Option<&Path>) -> Result<Self, FleetError> {
        let role = match (plan.firewall, plan.host, plan.edge) {
            (true, ..) => "firewall",
            (_, true, true) => "host and edge",
            (_, true, _) => "host",
            (_, _, true) => "edge",
            _ => "peer",
        };
        let shared = Shared::new(FleetStatus {
            role: role.into(),
            name: plan.name.to_string(),
            server: plan.server.clone(),
            ..FleetStatus::default()
        });
        let (mut signer, mut found) = (None, Members::default());
        if plan.firewall {
            let key = keys::load(&plan.directory.join(SIGNER_SEED))?;
            signer = Some(key);
            found = Members::load(&plan.directory)?;
        }
        let spool = || Spool::open(state, plan.spool);
        let reports = plan.host.then(spool).transpose()?;
        let counted = plan.firewall.then(|| Counted::open(state)).transpose()?;
        let decisions = plan.edge.then(spool).transpose()?;
        let (told, members) = watch::channel(Arc::new(found));
        let (sender, news) = mpsc::channel(NEWS);
        let (stop, stopped) = oneshot::channel::<()>();
        let tap = Tap::default();
        let begin = Begin {
            plan: plan.clone(),
            tap: tap.clone(),
            shared: shared.clone(),
            news: sender,
            members,
            signer,
            counted,
            reports,
            decisions,
            state: state.map(Path::to_path_buf),
        };
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(FleetError::Thread)?;
        let work = move || {
            runtime.block_on(async {
                let shared = begin.shared.clone();
                tokio::select! {
                    _ = stopped => {}
                    ended = work(begin) => if let Err(error) = ended {
                        shared.trouble("this machine does not take part", &error.to_string());
                    }
                }
            });
            // A name that is being looked up is waited for by nobody.
            runtime.shutdown_background();
        };
        let thread =
            std::thread::Builder::new().name(FLEET.into()).spawn(work).map_err(FleetError::Thread)?;
        Ok(Self {
            plan: plan.clone(),
            tap,
            news,
            shared,
            members: told,
            stop: Some(stop),
            thread: Some(thread),
        })
    }

    /// What it was started with.
    #[must_use]
    pub fn plan(&self) -> &FleetPlan {
        &self.plan
    }

    /// Where the loop leaves what the fleet is to be told.
    #[must_use]
    pub fn tap(&self) -> &Tap {
        &self.tap
    }

    /// The next news. To be dropped and called again at any time.
    pub async fn heard(&mut self) -> News {
        match self.news.recv().await {
            Some(news) => news,
            // The thread has said why it ended.
            None => std::future::pending().await,
        }
    }

    /// Reads the list of members again.
    ///
    /// # Errors
    /// It cannot be read; those who were known stay.
    pub fn reload(&self) -> Result<(), MembersError> {
        if self.plan.firewall {
            self.members.send_replace(Arc::new(Members::load(&self.plan.directory)?));
        }
        Ok(())
    }

    /// How it is doing.
    #[must_use]
    pub fn status(&self) -> FleetStatus {
        let mut status = self.shared.lock().clone();
        let now = jiff::Timestamp::now();
        if self.plan.firewall
            && let Some(end) =
                certificates::end(&self.plan.directory).filter(|end| end.duration_since(now) < WARN)
        {
            let ends = if end < now { "has ended" } else { "ends" };
            let why = format!("it {ends} on {}: `banctl fleet renew` makes another", end.strftime("%F"));
            status.trouble.insert("the server's certificate".to_owned(), why);
        }
        status
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.stop.take());
        // It may wait for the loop to take news, or to say that it has: nobody does any more.
        self.news.close();
        while self.news.try_recv().is_ok() {}
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the fleet's thread has panicked");
        }
    }
}

/// Who signs with `key`.
pub(super) fn public(key: &str) -> Result<KeyPair, FleetError> {
    KeyPair::from_public_key(key).map_err(|_| FleetError::Signer(key.to_owned()))
}

async fn work(begin: Begin) -> Result<(), FleetError> {
    let Begin { plan, tap, shared, news, members, signer, counted, reports, decisions, state } = begin;
    let open = async |seed, inbox: &str, what| {
        let way = Way { server: &plan.server, seed, ca: CA, inbox };
        Link::open(&plan.directory, &way, what, &shared).await
    };
    let peers = async {
        if !plan.peers.peers.is_empty() {
            peers::follow(&plan.peers, &plan.directory, state, &shared, &news).await;
        }
        Ok(())
    };
    let firewall = async {
        let (Some(key), Some(counted)) = (signer, counted) else { return Ok(()) };
        let reports = open(REPORTS_SEED, FLEET, "reports").await?;
        let decisions = open(DECISIONS_SEED, FLEET, "decisions").await?;
        let door = Door {
            members: members.clone(),
            private: plan.private,
            quota: plan.max_reports_per_minute,
            minutes: BTreeMap::new(),
        };
        let serve = async |audience| {
            let mut members = members.clone();
            // Friends' fleets are none of the business of whoever has none.
            let mine = audience == Audience::Edges;
            if members.wait_for(|members| mine || !members.readers(audience).is_empty()).await.is_err() {
                return Ok(());
            }
            let settled = Settled::default();
            let hand = Hand::new(key.clone(), news.clone(), settled.clone());
            let signer =
                Signer { audience, public: public(&key.public_key())?, key: key.clone(), last: 0, settled };
            tokio::join!(
                decisions::publish(signer, tap.clone(), decisions.clone(), shared.clone(), news.clone()),
                edges::serve(audience, members, decisions.clone(), shared.clone(), hand),
            );
            Ok(())
        };
        let take = async {
            firewall::take(door, counted, reports, shared.clone(), news.clone()).await;
            Ok(())
        };
        tokio::try_join!(take, serve(Audience::Edges), serve(Audience::Peers)).map(drop)
    };
    let host = async {
        if let Some(spool) = reports {
            let link = open(HOST_SEED, &plan.name, "reports").await?;
            host::work(&plan.name, tap.clone(), spool, link, shared.clone()).await;
        }
        Ok(())
    };
    let edge = async {
        if let (Some(spool), Some(signer)) = (decisions, &plan.signer) {
            let link = open(EDGE_SEED, &plan.name, "decisions").await?;
            edge::follow(&plan.name, public(signer)?, spool, link, shared.clone(), news.clone()).await;
        }
        Ok(())
    };
    tokio::try_join!(firewall, host, edge, peers).map(drop)
}
