//! A firewall looks after those who read what it signs, its edges and friends' fleets: each has a place in its stream, which it
//! may ask to have set back.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_nats::Message;
use futures_util::StreamExt;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::Instant;

use super::api::{self, From, Refused};
use super::audience::Audience;
use super::handing::{Hand, PageWish};
use super::link::{Link, Shared};
use super::members::Members;
use crate::control::fleet::{EdgeStatus, FleetStatus};

/// How often it is asked how far the edges are.
const LOOK: Duration = Duration::from_secs(10);
/// A reader is heard no more often: whoever has its key keeps nobody else waiting.
const OFTENEST: Duration = Duration::from_secs(1);

/// What a reader asks of a firewall, on `ban.edge.NAME` or `ban.peer.NAME`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wish {
    /// The version of this document: 1.
    pub(super) v: u32,
    /// A peer: from the beginning, because it knows nothing; otherwise from where it was.
    pub(super) anew: bool,
    /// An edge that knows nothing: a page of what is in force.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) page: Option<PageWish>,
}

/// What it is answered, unless that is a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Granted {
    /// Whether it was done.
    pub(super) done: bool,
    /// What the firewall's clock says.
    pub(super) now: Timestamp,
}

/// Looks after readers for as long as the machine is a firewall.
pub(super) async fn serve(
    audience: Audience,
    mut members: watch::Receiver<Arc<Members>>,
    link: Link,
    shared: Shared,
    mut hand: Hand,
) {
    let mut heard = BTreeMap::new();
    let work = async |link: &mut Link| {
        serve_while_up(audience, &mut members, link, &shared, &mut heard, &mut hand).await
    };
    link.keep_at(&shared, audience.care(), work).await;
}

async fn serve_while_up(
    audience: Audience,
    members: &mut watch::Receiver<Arc<Members>>,
    link: &mut Link,
    shared: &Shared,
    heard: &mut BTreeMap<Arc<str>, Instant>,
    hand: &mut Hand,
) -> Result<(), String> {
    let client = link.client.clone();
    api::prepare_signed(&client, audience).await.map_err(|error| error.to_string())?;
    let mut wishes = client.subscribe(audience.wishes("*")).await.map_err(|error| error.to_string())?;
    prepare(audience, members, link).await?;
    shared.mended(audience.care());
    let mut look = tokio::time::interval(LOOK);
    look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            wish = wishes.next() => match wish {
                Some(wish) => answer(audience, members, link, &wish, heard, hand).await?,
                None => return Ok(()),
            },
            changed = members.changed() => match changed {
                Ok(()) => prepare(audience, members, link).await?,
                Err(_) => return std::future::pending().await,
            },
            _ = look.tick() => ask_how_far(audience, members, link, shared, heard).await,
            () = link.changed() => return Ok(()),
        }
    }
}

/// Each peer gets its place, an edge when it begins; those who are none any more lose it.
async fn prepare(
    audience: Audience,
    members: &mut watch::Receiver<Arc<Members>>,
    link: &Link,
) -> Result<(), String> {
    let (members, stream) = (Arc::clone(&members.borrow_and_update()), audience.stream());
    if audience == Audience::Peers {
        for reader in members.readers(audience) {
            api::consumer(&link.client, stream, &reader, "all", From::Beginning)
                .await
                .map_err(|error| told(&error))?;
        }
    }
    let revoked = members.0.iter().filter(|(_, member)| member.revoked.is_some());
    for (name, _) in revoked.filter(|(_, member)| member.key(audience).is_some()) {
        api::remove_consumer(&link.client, stream, name).await;
    }
    Ok(())
}

fn told(error: &Refused) -> String {
    error.to_string()
}

/// Answers a reader's wish; not if it makes no sense, or comes too soon.
async fn answer(
    audience: Audience,
    members: &watch::Receiver<Arc<Members>>,
    link: &Link,
    wish: &Message,
    heard: &mut BTreeMap<Arc<str>, Instant>,
    hand: &mut Hand,
) -> Result<(), String> {
    let name = wish.subject.rsplit('.').next().unwrap_or_default();
    let reader = members.borrow().readers(audience).into_iter().find(|reader| &**reader == name);
    let read = serde_json::from_slice::<Wish>(&wish.payload).ok().filter(|wish| wish.v == 1);
    let (Some(reader), Some(Wish { anew, page, .. })) = (reader, read) else { return Ok(()) };
    let wanted = page.filter(|_| audience == Audience::Edges);
    let goes_on = wanted.as_ref().is_some_and(|wanted| wanted.number > 0);
    if !goes_on && heard.get(&reader).is_some_and(|last| last.elapsed() < OFTENEST) {
        return Ok(());
    }
    heard.insert(Arc::clone(&reader), Instant::now());
    let page = match &wanted {
        Some(wanted) => page_for(&reader, wanted, link, hand).await?,
        None => None,
    };
    let answer = match page {
        Some(page) => page,
        // Nobody who follows the rules asks for it.
        None if goes_on => return Ok(()),
        None => {
            let done = wanted.is_none() && has_place(audience, link, &reader, anew).await?;
            serde_json::to_vec(&Granted { done, now: Timestamp::now() }).unwrap_or_default()
        }
    };
    if let Some(reply) = wish.reply.clone() {
        link.client.publish(reply, answer.into()).await.map_err(|error| error.to_string())?;
    }
    Ok(())
}

/// Whether the reader's place in the stream is there. A peer's is made; an edge gets one with the first page of what is in force.
async fn has_place(audience: Audience, link: &Link, reader: &str, anew: bool) -> Result<bool, String> {
    let (client, stream) = (&link.client, audience.stream());
    if audience == Audience::Edges {
        return Ok(api::has_consumer(client, stream, reader).await);
    }
    if anew {
        api::remove_consumer(client, stream, reader).await;
    }
    api::consumer(client, stream, reader, "all", From::Beginning).await.map_err(|error| told(&error))?;
    Ok(true)
}

/// The page that an edge asks for, if it may. Before the first one, its place in the stream begins: the stream tells what changes while pages
/// are on their way.
async fn page_for(
    reader: &Arc<str>,
    wanted: &PageWish,
    link: &Link,
    hand: &mut Hand,
) -> Result<Option<Vec<u8>>, String> {
    if let Some(floor) = hand.settled.serial().filter(|_| hand.may_begin(reader, wanted)) {
        let stream = Audience::Edges.stream();
        api::remove_consumer(&link.client, stream, reader).await;
        api::consumer(&link.client, stream, reader, "all", From::Now).await.map_err(|error| told(&error))?;
        hand.begin(reader, wanted, floor);
    }
    Ok(hand.page(reader, wanted).await)
}

/// How far each reader is. One that cannot be asked about keeps what was known.
async fn ask_how_far(
    audience: Audience,
    members: &watch::Receiver<Arc<Members>>,
    link: &Link,
    shared: &Shared,
    heard: &BTreeMap<Arc<str>, Instant>,
) {
    /// What is known of them.
    fn known(audience: Audience, status: &mut FleetStatus) -> &mut BTreeMap<String, EdgeStatus> {
        match audience {
            Audience::Edges => &mut status.edges,
            Audience::Peers => &mut status.readers,
        }
    }
    let (readers, stream) = (members.borrow().readers(audience), audience.stream());
    known(audience, &mut shared.lock()).retain(|name, _| readers.iter().any(|reader| **reader == *name));
    for reader in readers {
        let info = api::ask(&link.client, &format!("CONSUMER.INFO.{stream}.{reader}"), &json!({})).await;
        let Ok(info) = info else { continue };
        let number = |key: &str| info.get(key).and_then(Value::as_u64).unwrap_or(0);
        let active = info.get("delivered").and_then(|delivered| delivered.get("last_active"));
        let active = active.and_then(Value::as_str).and_then(|time| time.parse::<Timestamp>().ok());
        // One that has asked for everything in force has taken nothing out of the stream yet.
        let asked = heard.get(&reader).and_then(|last| Timestamp::now().checked_sub(last.elapsed()).ok());
        let last_seen = active.max(asked);
        let lag = number("num_pending") + number("num_ack_pending");
        known(audience, &mut shared.lock()).insert(reader.to_string(), EdgeStatus { lag, last_seen });
    }
}
