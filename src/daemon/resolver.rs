//! Addresses of hosts of which a log has only the name: for jails with `usedns`.
//!
//! Asking takes seconds when a name server is slow, and never delays anybody else's ban: a few threads ask, and what they
//! find comes back as one more event of the daemon's loop. Questions and remembered answers are bounded; who owns an
//! address's reverse zone chooses the name, and could fill both.

use std::net::{IpAddr, ToSocketAddrs};
use std::sync::Arc;

use super::pool::{Memory, Pool};
use crate::filter::Named;

/// How many names are remembered.
const REMEMBERED: usize = 1024;
/// How many addresses of one name count.
const MOST_ADDRESSES: usize = 8;

/// A failure of a named host, and the jail that it counts in.
#[derive(Debug)]
pub(super) struct Question {
    pub(super) jail: Arc<str>,
    pub(super) source: Arc<str>,
    pub(super) named: Named,
    /// What of the line may be kept, if any of it is.
    pub(super) line: Option<Box<[u8]>>,
}

/// What a name came to: its addresses, or none.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) question: Question,
    pub(super) addresses: Vec<IpAddr>,
    /// It was asked for just now, rather than remembered.
    pub(super) is_new: bool,
}

/// Asks for names beside everything else. The threads end when it is dropped.
pub(super) struct Resolver {
    pool: Pool<Question, Answer>,
    /// Questions that were not asked because too many waited.
    dropped: u64,
}

impl Resolver {
    /// Starts the threads.
    ///
    /// # Errors
    /// When the system has no threads left.
    pub(super) fn start() -> std::io::Result<Self> {
        let memory = Arc::new(Memory::new(REMEMBERED));
        let pool = Pool::start("resolver", move |question: Question| {
            let (addresses, is_new) = resolve(&question.named.name, &memory);
            Answer { question, addresses, is_new }
        })?;
        Ok(Self { pool, dropped: 0 })
    }

    /// Asks; the answer comes later. Too many questions at once are dropped and counted.
    pub(super) fn ask(&mut self, question: Question) {
        if !self.pool.ask(question) {
            if self.dropped == 0 {
                tracing::warn!("too many names wait for an answer: failures of further ones are not counted");
            }
            self.dropped += 1;
        }
    }

    /// How many questions were not asked.
    pub(super) fn dropped(&self) -> u64 {
        self.dropped
    }

    /// The next answer. To be dropped and called again at any time.
    pub(super) async fn answer(&mut self) -> Option<Answer> {
        self.pool.answer().await
    }
}

fn resolve(name: &str, memory: &Memory<String, Vec<IpAddr>>) -> (Vec<IpAddr>, bool) {
    if let Some(known) = memory.recall(name) {
        return (known, false);
    }
    let mut addresses: Vec<IpAddr> = match (name, 0).to_socket_addrs() {
        Ok(found) => found.map(|address| address.ip().to_canonical()).collect(),
        Err(error) => {
            tracing::debug!("{name}: {error}");
            Vec::new()
        }
    };
    addresses.sort_unstable();
    addresses.dedup();
    addresses.truncate(MOST_ADDRESSES);
    memory.remember(name.to_owned(), addresses.clone());
    (addresses, true)
}
