//! A firewall publishes what it has decided, for its edges and for friends' fleets: one signed message for each prefix, of
//! which the server keeps the last.
//!
//! What is published is compared with what is in force whenever the connection was made anew, and once an hour: so nothing has
//! to be kept for a server that is away, and whatever a crash, a restored backup or somebody else has done to it is put right.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use ipnet::IpNet;
use jiff::Timestamp;
use nkeys::KeyPair;
use serde_json::json;
use tokio::sync::mpsc;

use super::News;
use super::api;
use super::audience::Audience;
use super::decision::Decision;
use super::handing::Settled;
use super::link::{Link, Shared};
use super::pull::Pull;
use super::tap::Tap;

/// So many decisions are on their way at once.
const TOGETHER: usize = 1_000;
/// How often what is published is compared with what is in force.
const COMPARE: Duration = Duration::from_secs(3_600);

/// Who signs for whom, and the last serial number that was given.
pub(super) struct Signer {
    pub(super) audience: Audience,
    pub(super) key: KeyPair,
    pub(super) public: KeyPair,
    pub(super) last: u64,
    /// What of them is published.
    pub(super) settled: Settled,
}

impl Signer {
    /// Numbers go up, also over restarts, as the time does; and if the clock goes back, by one.
    fn sign(&mut self, decisions: &mut [Decision]) -> Vec<Vec<u8>> {
        let now = u64::try_from(Timestamp::now().as_microsecond()).unwrap_or(0);
        for decision in &mut *decisions {
            self.last = now.max(self.last + 1);
            decision.serial = self.last;
        }
        Decision::signed(decisions, &self.key, self.audience)
    }
}

/// What is published about a prefix.
type Published = HashMap<IpNet, Box<Decision>>;

/// Publishes for as long as the machine is a firewall.
pub(super) async fn publish(
    mut signer: Signer,
    tap: Tap,
    link: Link,
    shared: Shared,
    news: mpsc::Sender<News>,
) {
    let audience = signer.audience;
    let work = async |link: &mut Link| publish_while_up(&mut signer, &tap, link, &shared, &news).await;
    link.keep_at(&shared, audience.publishing(), work).await;
}

async fn publish_while_up(
    signer: &mut Signer,
    tap: &Tap,
    link: &mut Link,
    shared: &Shared,
    news: &mpsc::Sender<News>,
) -> Result<(), String> {
    let audience = signer.audience;
    api::prepare_signed(&link.client, audience).await.map_err(|error| error.to_string())?;
    loop {
        let compared = tokio::time::Instant::now();
        tap.begin_anew(audience);
        compare(signer, link, shared, news).await?;
        // Zero says that nothing is.
        signer.last = signer.last.max(1);
        signer.settled.note(signer.last);
        shared.mended(audience.publishing());
        while compared.elapsed() < COMPARE && !tap.is_overrun(audience) {
            let (decisions, left) = tap.decisions(audience, TOGETHER);
            shared.lock().unpublished = (decisions.len() + left) as u64;
            if decisions.is_empty() {
                tokio::select! {
                    () = tap.told(audience) => {}
                    () = link.changed() => return Ok(()),
                    () = tokio::time::sleep_until(compared + COMPARE) => {}
                }
                continue;
            }
            let (failed, why) = send(signer, link, shared, decisions).await;
            if let Some(why) = why {
                tap.put_back(audience, failed);
                return Err(why);
            }
            signer.settled.note(signer.last);
        }
    }
}

/// Those that did not arrive, and why the last of them did not.
async fn send(
    signer: &mut Signer,
    link: &Link,
    shared: &Shared,
    mut decisions: Vec<Decision>,
) -> (Vec<Decision>, Option<String>) {
    let audience = signer.audience;
    let messages = signer.sign(&mut decisions);
    let mut on_their_way: FuturesUnordered<_> = decisions
        .into_iter()
        .zip(messages)
        .map(|(decision, message)| {
            let sent = link.client.request(audience.subject(&decision.prefix), message.into());
            async move {
                let outcome = match sent.await {
                    Ok(answer) => api::stored(&answer.payload).map_err(|error| error.to_string()),
                    Err(error) => Err(api::unanswered(&error)),
                };
                (decision, outcome)
            }
        })
        .collect();
    let (mut failed, mut trouble, mut sent) = (Vec::new(), None, 0);
    while let Some((decision, outcome)) = on_their_way.next().await {
        match outcome {
            Ok(()) => sent += 1,
            Err(why) => {
                failed.push(decision);
                trouble = Some(why);
            }
        }
    }
    shared.lock().published += sent;
    (failed, trouble)
}

/// Publishes what is in force and is not published, and lifts what is published and not in force.
async fn compare(
    signer: &mut Signer,
    link: &Link,
    shared: &Shared,
    news: &mpsc::Sender<News>,
) -> Result<(), String> {
    let audience = signer.audience;
    let mut published = read(signer, link).await?;
    let mut after = None;
    loop {
        let page: Page = News::hand_over(news, |reply| News::Intent { audience, after, reply }).await;
        let missing: Vec<Decision> = page
            .decisions
            .into_iter()
            .filter(|decision| {
                !published.remove(&decision.prefix).is_some_and(|known| known.says_the_same(decision))
            })
            .collect();
        if let (_, Some(why)) = send(signer, link, shared, missing).await {
            return Err(why);
        }
        match page.next {
            Some(next) => after = Some(next),
            None => break,
        }
    }
    let now = Timestamp::now();
    let stale: Vec<Decision> = published
        .into_values()
        .filter(|known| !known.lifted && !known.is_over(now))
        .map(|known| Decision::lifting(known.prefix, known.until, now))
        .collect();
    for lifting in stale.chunks(TOGETHER) {
        if let (_, Some(why)) = send(signer, link, shared, lifting.to_vec()).await {
            return Err(why);
        }
    }
    Ok(())
}

/// What is published. What says nothing any more is deleted on the way.
async fn read(signer: &mut Signer, link: &Link) -> Result<Published, String> {
    let told = |error: &dyn std::fmt::Display| error.to_string();
    let stream = signer.audience.stream();
    let (name, messages) = api::reader(&link.client, stream).await.map_err(|error| told(&error))?;
    let (mut published, mut over) = (Published::new(), Vec::new());
    if messages == 0 {
        api::remove_consumer(&link.client, stream, &name).await;
        return Ok(published);
    }
    let mut pull = Pull::new(&link.client, stream, &name).await.map_err(|error| told(&error))?;
    let now = Timestamp::now();
    let mut reader = Decision::reader(&signer.public, signer.audience);
    let mut foreign = 0_u64;
    loop {
        let batch = pull.batch().await.map_err(|error| told(&error))?;
        let mut left = 1;
        for message in &batch {
            let place = message.reply.as_deref().and_then(api::place);
            let Some((sequence, pending)) = place else { continue };
            left = pending;
            match Decision::verified(&message.payload, &mut reader) {
                Ok(decision) => {
                    signer.last = signer.last.max(decision.serial);
                    if decision.is_over(now) {
                        over.push(sequence);
                    } else {
                        published.insert(decision.prefix, Box::new(decision));
                    }
                }
                Err(_) => {
                    foreign += 1;
                    over.push(sequence);
                }
            }
        }
        if left == 0 {
            break;
        }
    }
    api::remove_consumer(&link.client, stream, &name).await;
    if foreign > 0 {
        tracing::warn!(
            "[fleet] {foreign} messages in the stream {stream} were not signed by this firewall: they are deleted"
        );
    }
    for sequences in over.chunks(TOGETHER) {
        let mut deleting: FuturesUnordered<_> =
            sequences.iter().map(|sequence| delete(link, stream, *sequence)).collect();
        while deleting.next().await.is_some() {}
    }
    Ok(published)
}

async fn delete(link: &Link, stream: &str, sequence: u64) {
    let body = json!({ "seq": sequence, "no_erase": true });
    // Whatever stays is looked at the next time.
    let _ = api::ask(&link.client, &format!("STREAM.MSG.DELETE.{stream}"), &body).await;
}

/// A page of what is in force.
#[derive(Debug, Default)]
pub struct Page {
    /// One decision for each prefix; the same may be in two pages.
    pub decisions: Vec<Decision>,
    /// Behind whom the next page begins, if there is one.
    pub next: Option<(IpNet, Arc<str>)>,
}
