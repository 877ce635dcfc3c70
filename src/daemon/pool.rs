//! Threads that answer questions beside everything else, and what is remembered of their answers: both bounded.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::Hash;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::mpsc;

/// How many questions are answered at once.
const THREADS: usize = 4;
/// How many may wait.
pub(super) const WAITING: usize = 256;
/// For how long an answer is remembered: attackers move, and failures come in bursts.
const LASTS: Duration = Duration::from_secs(300);

/// A few threads. They end when it is dropped.
pub(super) struct Pool<Q, A> {
    questions: SyncSender<Q>,
    answers: mpsc::Receiver<A>,
}

impl<Q: Send + 'static, A: Send + 'static> Pool<Q, A> {
    /// Starts threads of this name, which answer one question each at a time.
    ///
    /// # Errors
    /// When the system has no threads left.
    pub(super) fn start(
        name: &str,
        answer: impl Fn(Q) -> A + Clone + Send + 'static,
    ) -> std::io::Result<Self> {
        let (questions, asked) = sync_channel::<Q>(WAITING);
        let (tell, answers) = mpsc::channel(WAITING);
        let asked = Arc::new(Mutex::new(asked));
        for _ in 0..THREADS {
            let (asked, tell, answer) = (Arc::clone(&asked), tell.clone(), answer.clone());
            std::thread::Builder::new().name(name.into()).spawn(move || {
                loop {
                    // Whoever waits holds the lock; the others wait for the lock.
                    let question = asked.lock().unwrap_or_else(PoisonError::into_inner).recv();
                    let Ok(question) = question else { return };
                    if tell.blocking_send(answer(question)).is_err() {
                        return;
                    }
                }
            })?;
        }
        Ok(Self { questions, answers })
    }

    /// Asks; the answer comes later. False: too many wait.
    pub(super) fn ask(&self, question: Q) -> bool {
        self.questions.try_send(question).is_ok()
    }

    /// The next answer; `None` once no thread is left. To be dropped and called again at any time.
    pub(super) async fn answer(&mut self) -> Option<A> {
        self.answers.recv().await
    }
}

/// Answers of the last minutes, shared by the threads; who asks for many does not fill the memory.
pub(super) struct Memory<K, V> {
    known: Mutex<HashMap<K, (V, Instant)>>,
    most: usize,
}

impl<K: Clone + Eq + Hash, V: Clone> Memory<K, V> {
    /// Remembers no more than so many.
    pub(super) fn new(most: usize) -> Self {
        Self { known: Mutex::default(), most }
    }

    /// What is remembered, if it is fresh enough.
    pub(super) fn recall<B: Eq + Hash + ?Sized>(&self, key: &B) -> Option<V>
    where
        K: Borrow<B>,
    {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(key).filter(|(_, until)| *until > Instant::now()).map(|(value, _)| value.clone())
    }

    /// Remembers an answer.
    pub(super) fn remember(&self, key: K, value: V) {
        let now = Instant::now();
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= self.most && !known.contains_key(&key) {
            known.retain(|_, (_, until)| *until > now);
            let oldest = known.iter().min_by_key(|(_, (_, until))| *until).map(|(key, _)| key.clone());
            if let Some(oldest) = oldest.filter(|_| known.len() >= self.most) {
                known.remove(&oldest);
            }
        }
        known.insert(key, (value, now + LASTS));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_bounded() {
        let memory = Memory::new(10);
        for number in 0..30 {
            memory.remember(number, ());
            assert_eq!(memory.recall(&number), Some(()));
        }
        assert_eq!(memory.known.lock().unwrap().len(), 10);
        let left: Vec<_> = (0..30).filter(|number| memory.recall(number).is_some()).collect();
        assert_eq!(left, (20..30).collect::<Vec<_>>(), "the oldest leave");
        memory.remember(20, ());
        assert_eq!(memory.recall(&21), Some(()), "one that is known takes no room");
    }

    #[tokio::test]
    async fn questions_are_answered_or_refused() {
        let mut pool = Pool::start("test", |number: usize| number + 1).unwrap();
        assert!(pool.ask(1));
        assert_eq!(pool.answer().await, Some(2));
        let (hold, held) = sync_channel::<()>(0);
        let held = Arc::new(Mutex::new(held));
        let full = Pool::start("test", move |(): ()| {
            let _ = held.lock().unwrap().recv();
        })
        .unwrap();
        while full.ask(()) {}
        drop(hold);
    }
}
