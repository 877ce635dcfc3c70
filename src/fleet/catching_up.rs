//! An edge that knows nothing catches up: it asks the firewall for all that is in force, page by page, while the stream keeps what changes.

use std::io::Read;

use async_nats::Subscriber;
use futures_util::StreamExt;
use ipnet::IpNet;
use jiff::Timestamp;
use nkeys::KeyPair;
use tokio::sync::{mpsc, oneshot};

use super::audience::Audience;
use super::decision::{Decision, Distrust};
use super::edges::{Granted, Wish};
use super::handing::PageWish;
use super::link::{Link, Shared};
use super::reading::compare_clocks;
use super::snapshot;
use super::{Followed, News};
use crate::words::counted;

/// So many decisions are followed in one go.
const TOGETHER: usize = 2_000;
/// So long an answer is waited for.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(10);

/// Follows everything that is in force. Up to which serial number every decision is known then.
pub(super) async fn catch_up(
    name: &str,
    signer: &KeyPair,
    link: &Link,
    shared: &Shared,
    news: &mpsc::Sender<News>,
) -> Result<u64, String> {
    let mut pages = Pages::ask(name, link).await?;
    // While the loop works on some, the next pages are read.
    let mut following: Option<Following> = None;
    let (mut gathered, mut begins, mut after, mut all) = (Vec::new(), None, None, 0);
    loop {
        let answer = pages.next().await?;
        let page = snapshot::verified(&answer, &pages.nonce, pages.number, after, signer)
            .map_err(|distrust| no_page(&answer, distrust, shared))?;
        if pages.number == 0 {
            compare_clocks(page.now, Timestamp::now(), shared);
        }
        if !page.last {
            pages.ask_next().await?;
        }
        after = page.decisions.last().map(|last| last.prefix).or(after);
        gathered.extend(page.decisions);
        if !page.last && gathered.len() < TOGETHER {
            continue;
        }
        let decisions = sound(std::mem::take(&mut gathered), shared);
        all += decisions.len();
        let upto = after.filter(|_| !page.last);
        if let Some(following) = following.take() {
            following.end(shared).await;
        }
        let begun = Following::begin(news, begins, upto, decisions).await;
        if page.last {
            begun.end(shared).await;
            tracing::info!("[fleet] {} in force", counted(all, "decision is", "decisions are"));
            return Ok(page.floor);
        }
        following = Some(begun);
        begins = upto;
    }
}

/// Those that can be followed; what cannot be is counted.
fn sound(mut decisions: Vec<Decision>, shared: &Shared) -> Vec<Decision> {
    let now = Timestamp::now();
    decisions.retain(|decision| {
        let decided = decision.decided();
        if decided.is_err() {
            shared.distrust(Distrust::Unreadable);
        }
        decided.is_ok() && !decision.is_over(now)
    });
    decisions.dedup_by_key(|decision| decision.prefix);
    decisions
}

/// Pages that were asked for.
struct Pages<'l> {
    name: &'l str,
    link: &'l Link,
    inbox: String,
    answers: Subscriber,
    nonce: String,
    /// Of the page that was asked for last.
    number: u32,
}

impl<'l> Pages<'l> {
    /// Asks for the first one.
    async fn ask(name: &'l str, link: &'l Link) -> Result<Self, String> {
        let inbox = link.client.new_inbox();
        let answers = link.client.subscribe(inbox.clone()).await.map_err(|error| error.to_string())?;
        let pages = Self { name, link, inbox, answers, nonce: nonce()?, number: 0 };
        pages.send().await?;
        Ok(pages)
    }

    async fn ask_next(&mut self) -> Result<(), String> {
        self.number += 1;
        self.send().await?;
        // It leaves before this one is worked on.
        tokio::task::yield_now().await;
        Ok(())
    }

    async fn send(&self) -> Result<(), String> {
        let page = Some(PageWish { nonce: self.nonce.clone(), number: self.number });
        let wish = serde_json::to_vec(&Wish { v: 1, anew: true, page }).unwrap_or_default();
        let subject = Audience::Edges.wishes(self.name);
        let sent = self.link.client.publish_with_reply(subject, self.inbox.clone(), wish.into());
        sent.await.map_err(|error| error.to_string())
    }

    /// The answer to what was asked for last.
    async fn next(&mut self) -> Result<Vec<u8>, String> {
        match tokio::time::timeout(PATIENCE, self.answers.next()).await {
            Ok(Some(answer)) if answer.status.is_none() => Ok(answer.payload.into()),
            Ok(None) => Err("the connection was closed".to_owned()),
            // Nobody listens, or nobody has said anything.
            Ok(Some(_)) | Err(_) => Err("the firewall's kband does not answer".to_owned()),
        }
    }
}

/// Why an answer is no page that can be followed.
fn no_page(answer: &[u8], distrust: Distrust, shared: &Shared) -> String {
    if let Ok(Granted { now, .. }) = serde_json::from_slice(answer) {
        compare_clocks(now, Timestamp::now(), shared);
        return "the firewall is not ready to say what is in force: it is asked again".to_owned();
    }
    shared.distrust(distrust);
    format!("a page of what is in force is not followed: {distrust}")
}

/// Decisions that the daemon's loop was given.
struct Following {
    followed: oneshot::Receiver<Followed>,
    many: u64,
}

impl Following {
    async fn begin(
        news: &mpsc::Sender<News>,
        after: Option<IpNet>,
        upto: Option<IpNet>,
        decisions: Vec<Decision>,
    ) -> Self {
        let many = decisions.len() as u64;
        let followed = News::offer(news, |done| News::InForce { after, upto, decisions, done }).await;
        Self { followed, many }
    }

    /// Waits until the loop has followed them.
    async fn end(self, shared: &Shared) {
        // If the daemon is about to end, there is no answer.
        let Ok(followed) = self.followed.await else { return std::future::pending().await };
        {
            let mut status = shared.lock();
            status.followed += self.many - followed.spared.min(self.many);
            status.spared += followed.spared;
        }
        followed.rest().await;
    }
}

/// What nobody can know beforehand, so that no page can be kept ready for it.
fn nonce() -> Result<String, String> {
    let mut bytes = [0; 16];
    let read = std::fs::File::open("/dev/urandom").and_then(|mut file| file.read_exact(&mut bytes));
    read.map_err(|error| format!("/dev/urandom: {error}"))?;
    Ok(data_encoding::HEXLOWER.encode(&bytes))
}
