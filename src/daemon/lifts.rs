//! Many bans on their way out, slice by slice: between two slices blocks and requests have their turn.

use std::collections::VecDeque;
use std::sync::Arc;

use jiff::Timestamp;
use tokio::sync::oneshot;

use super::answer;
use super::pipeline::Pipeline;
use crate::control::protocol::Answer;
use crate::firewall::FirewallError;
use crate::jail::lift::Lift;

/// How many bans one slice lifts: some 20 ms.
const SLICE: usize = 2000;

/// The lifts that are not done, one after the other.
#[derive(Debug, Default)]
pub(super) struct Lifts {
    waiting: VecDeque<Entry>,
}

#[derive(Debug)]
struct Entry {
    lift: Lift,
    /// Who asked for it, and waits.
    client: Option<Client>,
    /// The first thing that the kernel did not take.
    refused: Option<FirewallError>,
}

/// Somebody who wants bans to be lifted.
#[derive(Debug)]
pub(super) struct Client {
    pub(super) who: Arc<str>,
    pub(super) reply: oneshot::Sender<Answer>,
}

impl Lifts {
    /// Whether nothing is to be done.
    pub(super) fn is_idle(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Begins a lift, whose end is told to whoever asked for it; a short one is done when this returns, unless others are on their way.
    pub(super) fn begin(
        &mut self,
        lift: Lift,
        client: Option<Client>,
        pipeline: &mut Pipeline,
        now: Timestamp,
    ) {
        self.waiting.push_back(Entry { lift, client, refused: None });
        if self.waiting.len() == 1 {
            self.slice(pipeline, now);
        }
    }

    /// One slice of the first one.
    pub(super) fn slice(&mut self, pipeline: &mut Pipeline, now: Timestamp) {
        let Some(entry) = self.waiting.front_mut() else { return };
        let who = entry.client.as_ref().map(|client| &client.who);
        let refused = pipeline.lift(&mut entry.lift, who, SLICE, now);
        entry.refused = entry.refused.take().or(refused);
        if !entry.lift.is_done() {
            return;
        }
        let Some(Entry { lift, client, refused }) = self.waiting.pop_front() else { return };
        if let Some(Client { reply, .. }) = client {
            // A client that has gone away does not want its answer.
            let _ = reply.send(answer::lifted(pipeline.engine.bans(), &lift, refused));
        }
    }
}
