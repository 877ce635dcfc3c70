//! A firewall looks after its edges: each has a place in the stream of decisions, which it may ask to have set back.

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

use super::api::{self, DECISIONS};
use super::link::{Link, Shared};
use super::members::Members;
use crate::control::fleet::EdgeStatus;

/// How often it is asked how far the edges are.
const LOOK: Duration = Duration::from_secs(10);
/// An edge is heard no more often: whoever has its key keeps nobody else waiting.
const OFTENEST: Duration = Duration::from_secs(1);
/// What goes wrong.
const CARE: &str = "edges cannot be looked after";

/// What an edge asks of its firewall, on `ban.edge.NAME`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wish {
    /// The version of this document: 1.
    pub(super) v: u32,
    /// From the beginning, because it knows nothing; otherwise from where it was.
    pub(super) anew: bool,
}

/// What it is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Granted {
    /// Whether it was done.
    pub(super) done: bool,
    /// What the firewall's clock says.
    pub(super) now: Timestamp,
}

/// Looks after edges for as long as the machine is a firewall.
pub(super) async fn serve(mut members: watch::Receiver<Arc<Members>>, link: Link, shared: Shared) {
    let mut heard = BTreeMap::new();
    let work = async |link: &mut Link| serve_while_up(&mut members, link, &shared, &mut heard).await;
    link.keep_at(&shared, CARE, work).await;
}

async fn serve_while_up(
    members: &mut watch::Receiver<Arc<Members>>,
    link: &mut Link,
    shared: &Shared,
    heard: &mut BTreeMap<Arc<str>, Instant>,
) -> Result<(), String> {
    let client = link.client.clone();
    api::prepare_decisions(&client).await.map_err(|error| error.to_string())?;
    let mut wishes = client.subscribe("ban.edge.*").await.map_err(|error| error.to_string())?;
    prepare(members, link).await?;
    shared.mended(CARE);
    let mut look = tokio::time::interval(LOOK);
    look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            wish = wishes.next() => match wish {
                Some(wish) => grant(members, link, &wish, heard).await?,
                None => return Ok(()),
            },
            changed = members.changed() => match changed {
                Ok(()) => prepare(members, link).await?,
                Err(_) => return std::future::pending().await,
            },
            _ = look.tick() => ask_how_far(members, link, shared).await,
            () = link.changed() => return Ok(()),
        }
    }
}

/// Each edge gets its place; those who are none any more lose it.
async fn prepare(members: &mut watch::Receiver<Arc<Members>>, link: &Link) -> Result<(), String> {
    let members = Arc::clone(&members.borrow_and_update());
    for edge in members.edges() {
        api::consumer(&link.client, DECISIONS, &edge, "all").await.map_err(|error| error.to_string())?;
    }
    for (name, _) in members.0.iter().filter(|(_, member)| member.edge.is_some() && member.revoked.is_some())
    {
        api::remove_consumer(&link.client, DECISIONS, name).await;
    }
    Ok(())
}

async fn grant(
    members: &watch::Receiver<Arc<Members>>,
    link: &Link,
    wish: &Message,
    heard: &mut BTreeMap<Arc<str>, Instant>,
) -> Result<(), String> {
    let name = wish.subject.rsplit('.').next().unwrap_or_default();
    let edge = members.borrow().edges().into_iter().find(|edge| &**edge == name);
    let read = serde_json::from_slice::<Wish>(&wish.payload).ok().filter(|wish| wish.v == 1);
    let (Some(edge), Some(Wish { anew, .. })) = (edge, read) else { return Ok(()) };
    if heard.get(&edge).is_some_and(|last| last.elapsed() < OFTENEST) {
        return Ok(());
    }
    heard.insert(Arc::clone(&edge), Instant::now());
    if anew {
        api::remove_consumer(&link.client, DECISIONS, &edge).await;
    }
    api::consumer(&link.client, DECISIONS, &edge, "all").await.map_err(|error| error.to_string())?;
    if let Some(reply) = wish.reply.clone() {
        let granted = serde_json::to_vec(&Granted { done: true, now: Timestamp::now() }).unwrap_or_default();
        link.client.publish(reply, granted.into()).await.map_err(|error| error.to_string())?;
    }
    Ok(())
}

/// How far each edge is. One that cannot be asked about keeps what was known.
async fn ask_how_far(members: &watch::Receiver<Arc<Members>>, link: &Link, shared: &Shared) {
    let edges = members.borrow().edges();
    shared.lock().edges.retain(|name, _| edges.iter().any(|edge| **edge == *name));
    for edge in edges {
        let info = api::ask(&link.client, &format!("CONSUMER.INFO.{DECISIONS}.{edge}"), &json!({})).await;
        let Ok(info) = info else { continue };
        let number = |key: &str| info.get(key).and_then(Value::as_u64).unwrap_or(0);
        let active = info.get("delivered").and_then(|delivered| delivered.get("last_active"));
        let last_seen = active.and_then(Value::as_str).and_then(|time| time.parse::<Timestamp>().ok());
        let lag = number("num_pending") + number("num_ack_pending");
        shared.lock().edges.insert(edge.to_string(), EdgeStatus { lag, last_seen });
    }
}
