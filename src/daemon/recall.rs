//! Questions about the past are answered by a thread of its own: however long the disk takes, no ban waits for it.

use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};

use tokio::sync::oneshot;

use crate::control::protocol::{Answer, Kind, Refused};
use crate::store::Archive;

/// How many questions may wait.
const WAITING: usize = 32;

type Question = Box<dyn FnOnce(&Archive) -> Answer + Send>;

/// The way to that thread, which begins with the first question.
#[derive(Debug, Default)]
pub(super) struct Recall {
    queue: Option<SyncSender<Job>>,
}

struct Job {
    archive: Archive,
    question: Question,
    reply: oneshot::Sender<Answer>,
}

impl Recall {
    /// Has a question answered.
    pub(super) fn ask(
        &mut self,
        archive: &Archive,
        reply: oneshot::Sender<Answer>,
        question: impl FnOnce(&Archive) -> Answer + Send + 'static,
    ) {
        let job = Job { archive: archive.clone(), question: Box::new(question), reply };
        let refused = match self.queue() {
            Ok(queue) => queue.try_send(job).err().map(|error| match error {
                TrySendError::Full(job) | TrySendError::Disconnected(job) => {
                    (job, "too many ask about the past: try again".to_owned())
                }
            }),
            Err(error) => Some((job, format!("the past cannot be told: {error}"))),
        };
        if let Some((job, message)) = refused {
            // A client that has gone away does not want its answer.
            let _ = job.reply.send(Answer::Refused(Refused::new(Kind::No, message)));
        }
    }

    fn queue(&mut self) -> std::io::Result<&SyncSender<Job>> {
        let queue = match self.queue.take() {
            Some(queue) => queue,
            None => {
                let (queue, jobs) = sync_channel(WAITING);
                std::thread::Builder::new().name("recall".into()).spawn(move || work(&jobs))?;
                queue
            }
        };
        Ok(self.queue.insert(queue))
    }
}

fn work(jobs: &Receiver<Job>) {
    while let Ok(Job { archive, question, reply }) = jobs.recv() {
        // Whoever has gone away meanwhile is not worth the disk's time.
        if !reply.is_closed() {
            let _ = reply.send(question(&archive));
        }
    }
}
