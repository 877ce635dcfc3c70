//! The firewalls of friends' fleets: whom their own jails ban is read, verified and counted as a vote of that fleet. What comes
//! of votes is decided by the daemon's jails.
//!
//! A friend is no part of this fleet: its server may be hostile, and so may whoever has its key. It can name single remote
//! hosts, so many at a time, and take that back.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_nats::Message;
use futures_util::future::join_all;
use jiff::Timestamp;
use nkeys::KeyPair;
use tokio::sync::mpsc;

use super::audience::Audience;
use super::ballots::{Ballot, Ballots};
use super::decision::{Decision, Distrust};
use super::disk::DiskError;
use super::link::{Link, Shared, Way};
use super::pull::{Broken, Pull};
use super::reading::{verify, wish};
use super::report::{self, Refusal};
use super::setup::peer_files;
use super::{FleetError, Followed, News};
use crate::config::plan::{PeerPlan, PeersPlan};
use crate::jail::votes::{Named, Vote};

/// How often what is over is forgotten while nothing comes.
const FORGET: Duration = Duration::from_secs(60);
/// So many votes are recalled at once.
const PAGE: u32 = 1_000;
/// No name of a jail is longer, in characters.
const LONGEST_NAME: usize = 64;

/// Why a friend's message is not counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
enum Doubt {
    #[error("{0}")]
    Distrust(#[from] Distrust),
    #[error("it is {0}")]
    Refusal(#[from] Refusal),
    #[error("it names more than max_offenders")]
    TooMany,
}

/// One of them.
struct Peer<'p> {
    name: &'p Arc<str>,
    plan: &'p PeerPlan,
    signer: KeyPair,
    ballots: Ballots,
    most: u64,
    /// What it has said is to be read from the beginning.
    anew: bool,
    shared: &'p Shared,
    news: &'p mpsc::Sender<News>,
}

/// Reads what all of them say, for as long as this machine is to.
pub(super) async fn follow(
    plan: &PeersPlan,
    directory: &Path,
    state: Option<PathBuf>,
    shared: &Shared,
    news: &mpsc::Sender<News>,
) {
    let mut peers = Vec::new();
    for (name, peer) in &plan.peers {
        let begun = async {
            let signer = super::running::public(&peer.signer)?;
            let ballots = Ballots::open(state.as_deref())?;
            ballots.forget_others(&plan.peers)?;
            let most = plan.max_offenders.into();
            let peer = Peer { name, plan: peer, signer, ballots, most, anew: true, shared, news };
            peer.recall().await?;
            Ok::<_, FleetError>(peer)
        };
        match begun.await {
            Ok(peer) => peers.push(peer),
            Err(error) => shared.trouble(&following(name), &error.to_string()),
        }
    }
    // Whom a fleet named that is none any more, or that took it back while this machine was away.
    News::hand_over(news, |done| News::Recalled { done }).await;
    join_all(peers.into_iter().map(|peer| async move {
        let (what, shared) = (following(peer.name), peer.shared);
        if let Err(error) = peer.work(directory, &what).await {
            shared.trouble(&what, &error.to_string());
        }
    }))
    .await;
}

/// What goes wrong.
fn following(peer: &str) -> String {
    format!("the offenders of {peer} cannot be read")
}

impl Peer<'_> {
    /// What it said before a restart.
    async fn recall(&self) -> Result<(), DiskError> {
        self.ballots.forget_over(self.name, Timestamp::now())?;
        let mut after = None;
        loop {
            let votes = self.ballots.votes(self.name, after.as_ref(), PAGE)?;
            let Some(last) = votes.last() else { break };
            after = Some(last.prefix);
            self.hand_over(votes, true).await;
        }
        self.tell_count()
    }

    async fn work(mut self, directory: &Path, what: &str) -> Result<(), FleetError> {
        let (seed, ca) = peer_files(self.name);
        let connection = format!("peer {}", self.name);
        let way = Way { server: &self.plan.server, seed: &seed, ca: &ca, inbox: &self.plan.name };
        let link = Link::open(directory, &way, &connection, self.shared).await?;
        let shared = self.shared;
        let work = async |link: &mut Link| self.read_while_up(link, what).await;
        link.keep_at(shared, what, work).await;
        Ok(())
    }

    async fn read_while_up(&mut self, link: &mut Link, what: &str) -> Result<(), String> {
        let (audience, name) = (Audience::Peers, &*self.plan.name);
        wish(audience, name, link, self.shared, self.anew).await?;
        self.anew = false;
        let mut pull =
            Pull::new(&link.client, audience.stream(), name).await.map_err(|error| error.to_string())?;
        self.shared.mended(what);
        let mut forget = tokio::time::interval(FORGET);
        forget.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            let batch = tokio::select! {
                batch = pull.batch() => batch,
                () = link.changed() => return Ok(()),
                _ = forget.tick() => Ok(Vec::new()),
            };
            let batch = match batch {
                Ok(batch) => batch,
                Err(Broken::NoConsumer) => {
                    wish(audience, name, link, self.shared, false).await?;
                    pull.ask_again();
                    continue;
                }
                Err(error) => return Err(error.to_string()),
            };
            self.count(&batch, Timestamp::now()).await.map_err(|error| error.to_string())?;
            // It stands for all before it.
            if let Some(reply) = batch.into_iter().next_back().and_then(|last| last.reply) {
                link.client.publish(reply, "+ACK".into()).await.map_err(|error| error.to_string())?;
            }
        }
    }

    /// Counts what came, and takes back what is over.
    async fn count(&mut self, batch: &[Message], now: Timestamp) -> Result<(), DiskError> {
        let over = self.ballots.forget_over(self.name, now)?;
        let mut votes: Vec<Vote> = over.into_iter().map(|prefix| Vote { prefix, named: None }).collect();
        let ballots = self.sift(verify(batch, &self.signer, Audience::Peers), now)?;
        votes.extend(ballots.iter().map(|ballot| ballot.vote.clone()));
        self.hand_over(votes, false).await;
        // Not before: what was not counted comes again.
        self.ballots.keep(self.name, &ballots)?;
        if !batch.is_empty() {
            self.shared.lock().peers.entry(self.name.to_string()).or_default().last_seen = Some(now);
        }
        self.tell_count()
    }

    async fn hand_over(&self, votes: Vec<Vote>, recalled: bool) {
        if votes.is_empty() {
            return;
        }
        let peer = Arc::clone(self.name);
        let Followed { spared, .. } =
            News::hand_over(self.news, |done| News::Votes { peer, votes, recalled, done }).await;
        self.shared.lock().peers.entry(self.name.to_string()).or_default().spared += spared;
    }

    fn tell_count(&self) -> Result<(), DiskError> {
        let named = self.ballots.count(self.name)?;
        self.shared.lock().peers.entry(self.name.to_string()).or_default().offenders = named;
        Ok(())
    }

    /// What is new, the last of each prefix; what is not trusted is counted by its reason.
    fn sift(
        &self,
        verified: Vec<Result<Decision, Distrust>>,
        now: Timestamp,
    ) -> Result<Vec<Ballot>, DiskError> {
        let mut newest: BTreeMap<_, Ballot> = BTreeMap::new();
        let mut room = self.most.saturating_sub(self.ballots.count(self.name)?);
        for one in verified {
            let judged = one.map_err(Doubt::from).and_then(|decision| judge(decision, now));
            let ballot = match judged {
                Ok(Some(ballot)) => ballot,
                // It was over when it came: nobody's fault.
                Ok(None) => continue,
                Err(doubt) => {
                    self.refuse(doubt);
                    continue;
                }
            };
            let prefix = ballot.vote.prefix;
            let last = match newest.get(&prefix) {
                Some(known) => Some(known.serial),
                None => self.ballots.last_serial(self.name, &prefix)?,
            };
            match last {
                // It was read before.
                Some(last) if ballot.serial == last => continue,
                Some(last) if ballot.serial < last => {
                    self.refuse(Distrust::Replayed.into());
                    continue;
                }
                Some(_) => {}
                None if room == 0 => {
                    self.refuse(Doubt::TooMany);
                    continue;
                }
                None => room -= 1,
            }
            newest.insert(prefix, ballot);
        }
        Ok(newest.into_values().collect())
    }

    fn refuse(&self, doubt: Doubt) {
        let mut status = self.shared.lock();
        let peer = status.peers.entry(self.name.to_string()).or_default();
        let times = peer.refused.entry(doubt.to_string()).or_default();
        *times += 1;
        if *times == 1 {
            tracing::warn!("[fleet] a message of {} is not counted: {doubt}", self.name);
        }
    }
}

/// What a friend's word comes to; `None` if it is over.
fn judge(decision: Decision, now: Timestamp) -> Result<Option<Ballot>, Doubt> {
    let Decision { serial, prefix, lifted, since, until, reason, .. } = decision;
    report::is_offender(&prefix, false)?;
    report::is_past(since, now)?;
    // As it is kept.
    let whole = |time: Timestamp| Timestamp::from_microsecond(time.as_microsecond()).unwrap_or(time);
    let (since, until) = (whole(since.min(now)), until.map(whole));
    if until.is_some_and(|until| until <= now) {
        return Ok(None);
    }
    let jail: String = reason.chars().filter(|letter| !letter.is_control()).take(LONGEST_NAME).collect();
    let named = (!lifted).then(|| Named { jail: jail.into(), since, until });
    Ok(Some(Ballot { serial, vote: Vote { prefix, named }, until }))
}
