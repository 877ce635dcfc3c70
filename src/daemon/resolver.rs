//! Addresses of hosts of which a log has only the name: for jails with `usedns`.
//!
//! Asking takes seconds when a name server is slow, and never delays anybody else's ban: a few threads ask, and what they
//! find comes back as one more event of the daemon's loop. Questions and remembered answers are bounded; who owns an
//! address's reverse zone chooses the name, and could fill both.

use std::collections::HashMap;
use std::net::{IpAddr, ToSocketAddrs};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::mpsc;

use crate::filter::Named;

/// How many questions are asked at once.
const THREADS: usize = 4;
/// How many questions may wait.
const WAITING: usize = 256;
/// How many names are remembered.
const REMEMBERED: usize = 1024;
/// For how long: addresses of attackers move, and failures come in bursts.
const LASTS: Duration = Duration::from_secs(300);
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
    questions: std::sync::mpsc::SyncSender<Question>,
    answers: mpsc::Receiver<Answer>,
    /// Questions that were not asked because too many waited.
    dropped: u64,
}

type Memory = HashMap<String, (Vec<IpAddr>, Instant)>;

impl Resolver {
    /// Starts the threads.
    ///
    /// # Errors
    /// When the system has no threads left.
    pub(super) fn start() -> std::io::Result<Self> {
        let (questions, asked) = std::sync::mpsc::sync_channel::<Question>(WAITING);
        let (answer, answers) = mpsc::channel(WAITING);
        let (asked, memory) = (Arc::new(Mutex::new(asked)), Arc::new(Mutex::new(Memory::new())));
        for _ in 0..THREADS {
            let (asked, memory, answer) = (Arc::clone(&asked), Arc::clone(&memory), answer.clone());
            std::thread::Builder::new().name("resolver".into()).spawn(move || {
                loop {
                    // Whoever waits holds the lock; the others wait for the lock.
                    let question = asked.lock().unwrap_or_else(PoisonError::into_inner).recv();
                    let Ok(question) = question else { return };
                    let (addresses, is_new) = resolve(&question.named.name, &memory);
                    if answer.blocking_send(Answer { question, addresses, is_new }).is_err() {
                        return;
                    }
                }
            })?;
        }
        Ok(Self { questions, answers, dropped: 0 })
    }

    /// Asks; the answer comes later. Too many questions at once are dropped and counted.
    pub(super) fn ask(&mut self, question: Question) {
        if self.questions.try_send(question).is_err() {
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
        self.answers.recv().await
    }
}

fn resolve(name: &str, memory: &Mutex<Memory>) -> (Vec<IpAddr>, bool) {
    let now = Instant::now();
    let recall = || {
        let memory = memory.lock().unwrap_or_else(PoisonError::into_inner);
        memory.get(name).filter(|(_, until)| *until > now).map(|(addresses, _)| addresses.clone())
    };
    if let Some(known) = recall() {
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
    let mut memory = memory.lock().unwrap_or_else(PoisonError::into_inner);
    if memory.len() >= REMEMBERED {
        memory.retain(|_, (_, until)| *until > now);
        if memory.len() >= REMEMBERED {
            memory.clear();
        }
    }
    memory.insert(name.to_owned(), (addresses.clone(), now + LASTS));
    (addresses, true)
}
