//! A firewall hands out what is in force, page by page, to edges that know nothing of it.
//!
//! An edge that was broken into may ask for all of it again and again: it gets one page after the other, and may begin anew now and
//! then only.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use ipnet::IpNet;
use nkeys::KeyPair;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::News;
use super::audience::Audience;
use super::decision::Decision;
use super::decisions::Page;
use super::snapshot::{self, Request};

/// An edge may begin anew this often.
const BEGIN: Duration = Duration::from_secs(10);
/// A page that got lost is sent again so many times.
const AGAIN: u32 = 3;
/// No nonce is longer, in bytes.
const NONCE: usize = 64;
/// When fewer decisions wait for their page, more are asked for: no page takes more.
const LOW: usize = 200;

/// Which page an edge asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PageWish {
    /// What it has made up for all the pages that it asks for now.
    pub(super) nonce: String,
    /// 0: the first one, from which on the stream tells it what changes.
    pub(super) number: u32,
}

/// The serial number up to which every decision is in the stream; none until what is published was compared with what is in force.
#[derive(Debug, Clone, Default)]
pub(super) struct Settled(Arc<AtomicU64>);

impl Settled {
    /// Everything up to `serial` is in the stream.
    pub(super) fn note(&self, serial: u64) {
        self.0.store(serial, Ordering::Relaxed);
    }

    /// What was noted.
    pub(super) fn serial(&self) -> Option<u64> {
        Some(self.0.load(Ordering::Relaxed)).filter(|serial| *serial > 0)
    }
}

/// Who hands out pages, and how far each edge is.
pub(super) struct Hand {
    key: KeyPair,
    news: mpsc::Sender<News>,
    /// See [`Settled`].
    pub(super) settled: Settled,
    edges: BTreeMap<Arc<str>, Session>,
}

/// The pages that one edge asks for.
struct Session {
    request: Request,
    begun: Instant,
    waiting: VecDeque<Decision>,
    /// Behind whom the loop goes on.
    after: Option<(IpNet, Arc<str>)>,
    /// The loop has no more.
    all: bool,
    /// The number of the next page.
    next: u32,
    /// The last page that was sent, in case it got lost.
    sent: Vec<u8>,
    /// How often it was sent again.
    again: u32,
}

impl Hand {
    /// Signs with `key` what the loop says is in force.
    pub(super) fn new(key: KeyPair, news: mpsc::Sender<News>, settled: Settled) -> Self {
        Self { key, news, settled, edges: BTreeMap::new() }
    }

    /// Whether `edge` asks for the first page of a new request, and may: its place in the stream has to begin now.
    pub(super) fn may_begin(&self, edge: &str, wish: &PageWish) -> bool {
        let rested =
            |session: &Session| session.request.nonce != wish.nonce && session.begun.elapsed() >= BEGIN;
        wish.number == 0
            && wish.nonce.len() <= NONCE
            && self.settled.serial().is_some()
            && self.edges.get(edge).is_none_or(rested)
    }

    /// Begins to hand out pages, of which decisions up to `floor` are a part.
    pub(super) fn begin(&mut self, edge: &Arc<str>, wish: &PageWish, floor: u64) {
        let session = Session {
            request: Request { nonce: wish.nonce.clone(), floor },
            begun: Instant::now(),
            waiting: VecDeque::new(),
            after: None,
            all: false,
            next: 0,
            sent: Vec::new(),
            again: 0,
        };
        self.edges.insert(Arc::clone(edge), session);
    }

    /// The page that `edge` asks for, if it is the next one or the last one that it was sent.
    pub(super) async fn page(&mut self, edge: &str, wish: &PageWish) -> Option<Vec<u8>> {
        let session = self.edges.get_mut(edge).filter(|session| session.request.nonce == wish.nonce)?;
        if wish.number.checked_add(1) == Some(session.next) {
            session.again += 1;
            return Some(session.sent.clone()).filter(|_| session.again <= AGAIN);
        }
        let is_over = session.all && session.waiting.is_empty() && session.next > 0;
        if wish.number != session.next || is_over {
            return None;
        }
        while session.waiting.len() < LOW && !session.all {
            let after = session.after.take();
            let intent = |reply| News::Intent { audience: Audience::Edges, after, reply };
            let page: Page = News::hand_over(&self.news, intent).await;
            session.waiting.extend(page.decisions);
            session.all = page.next.is_none();
            session.after = page.next;
        }
        session.sent =
            snapshot::signed(&session.request, wish.number, &mut session.waiting, session.all, &self.key);
        (session.next, session.again) = (session.next + 1, 0);
        Some(session.sent.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::Timestamp;

    fn wish(nonce: &str, number: u32) -> PageWish {
        PageWish { nonce: nonce.into(), number }
    }

    /// A loop with so many bans, which answers two hundred at a time.
    fn hand(bans: u32) -> Hand {
        let (news, mut heard) = mpsc::channel(1);
        tokio::spawn(async move {
            while let Some(News::Intent { after, reply, .. }) = heard.recv().await {
                let prefix =
                    |number: u32| IpNet::from(std::net::IpAddr::from((0x0b00_0000 + number).to_be_bytes()));
                let all = (0..bans)
                    .map(prefix)
                    .filter(|prefix| after.as_ref().is_none_or(|(last, _)| prefix > last));
                let some: Vec<IpNet> = all.take(200).collect();
                let next = some.last().filter(|_| some.len() == 200).map(|last| (*last, "fleet".into()));
                let decision = |prefix| Decision {
                    lifted: false,
                    ..Decision::lifting(prefix, None, Timestamp::UNIX_EPOCH)
                };
                let _ = reply.send(Page { decisions: some.into_iter().map(decision).collect(), next });
            }
        });
        Hand::new(KeyPair::new_user(), news, Settled::default())
    }

    #[tokio::test(start_paused = true)]
    async fn an_edge_gets_one_page_after_the_other_and_begins_anew_now_and_then() {
        let mut hand = hand(1_000);
        let edge: Arc<str> = "edge".into();
        assert!(!hand.may_begin(&edge, &wish("a", 0)), "nothing is settled yet");
        hand.settled.note(7);
        assert!(!hand.may_begin(&edge, &wish("a", 1)) && !hand.may_begin(&edge, &wish(&"a".repeat(65), 0)));
        assert!(hand.may_begin(&edge, &wish("a", 0)));
        assert_eq!(hand.page(&edge, &wish("a", 0)).await, None, "it has not begun");
        hand.begin(&edge, &wish("a", 0), 7);
        let (mut bans, mut number, mut after) = (0, 0, None);
        loop {
            let message = hand.page(&edge, &wish("a", number)).await.unwrap();
            for _ in 0..AGAIN {
                assert_eq!(
                    hand.page(&edge, &wish("a", number)).await.as_ref(),
                    Some(&message),
                    "it got lost"
                );
            }
            assert_eq!(hand.page(&edge, &wish("a", number)).await, None, "so often");
            assert_eq!(hand.page(&edge, &wish("a", number + 2)).await, None);
            assert_eq!(hand.page(&edge, &wish("b", number + 1)).await, None);
            assert_eq!(hand.page("other", &wish("a", number + 1)).await, None);
            let page = snapshot::verified(&message, "a", number, after, &hand.key).unwrap();
            bans += page.decisions.len();
            after = page.decisions.last().map(|last| last.prefix);
            number += 1;
            if page.last {
                break;
            }
        }
        assert_eq!(bans, 1_000);
        assert_eq!(hand.page(&edge, &wish("a", number)).await, None, "there are no more");
        assert!(!hand.may_begin(&edge, &wish("b", 0)), "so soon");
        assert!(hand.may_begin("other", &wish("b", 0)));
        tokio::time::advance(BEGIN).await;
        assert!(hand.may_begin(&edge, &wish("b", 0)) && !hand.may_begin(&edge, &wish("a", 0)));
    }

    #[tokio::test]
    async fn who_has_nothing_says_so_with_one_page() {
        let mut hand = hand(0);
        hand.settled.note(1);
        hand.begin(&"edge".into(), &wish("a", 0), 1);
        let message = hand.page("edge", &wish("a", 0)).await.unwrap();
        let page = snapshot::verified(&message, "a", 0, None, &hand.key).unwrap();
        assert!(page.last && page.decisions.is_empty());
    }
}
