//! What the fleet's thread says to the daemon's loop, which alone knows the bans.

use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use tokio::sync::{mpsc, oneshot};

use super::audience::Audience;
use super::decision::Decision;
use super::decisions::Page;
use super::report::Taken;
use crate::jail::votes::Vote;

/// What the daemon's loop made of decisions or votes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Followed {
    /// Those that were not followed because of this machine's own exceptions.
    pub spared: u64,
    /// The store is slower than they come: whoever has more is to wait a moment.
    pub behind: bool,
}

/// How long whoever has more for a store that is behind waits.
const MOMENT: Duration = Duration::from_millis(10);

impl Followed {
    /// Waits if the store is behind.
    pub(super) async fn rest(self) {
        if self.behind {
            tokio::time::sleep(MOMENT).await;
        }
    }
}

/// What the fleet's thread has for the daemon's loop, and waits for.
#[derive(Debug)]
pub enum News {
    /// Firewall: reports that were looked at.
    Reports {
        /// In the order in which they came.
        reports: Vec<Taken>,
        /// To be told when they are judged: of each, whether its offender is not banned then.
        done: oneshot::Sender<Vec<bool>>,
    },
    /// Firewall: it wants to know what is in force.
    Intent {
        /// Who is to read it.
        audience: Audience,
        /// Behind this row.
        after: Option<(IpNet, Arc<str>)>,
        /// The next page.
        reply: oneshot::Sender<Page>,
    },
    /// Edge: decisions that can be trusted.
    Decisions {
        /// One for each prefix.
        decisions: Vec<Decision>,
        /// To be told when they are followed.
        done: oneshot::Sender<Followed>,
    },
    /// Edge: all decisions in force about a range of prefixes. Whoever in it is not named is not banned any more.
    InForce {
        /// Where the range begins: behind this prefix.
        after: Option<IpNet>,
        /// Where it ends, inclusively; `None`: nowhere.
        upto: Option<IpNet>,
        /// In order.
        decisions: Vec<Decision>,
        /// To be told when they are followed.
        done: oneshot::Sender<Followed>,
    },
    /// What a friend's fleet says of whom.
    Votes {
        /// The fleet.
        peer: Arc<str>,
        /// One for each prefix.
        votes: Vec<Vote>,
        /// It had said so before a restart.
        recalled: bool,
        /// To be told when they are counted.
        done: oneshot::Sender<Followed>,
    },
    /// Every vote from before a restart was handed over.
    Recalled {
        /// To be told when what nobody wants any more is being lifted.
        done: oneshot::Sender<()>,
    },
}

impl News {
    /// Hands news over, and waits for the loop's answer. If the daemon is about to end there is none, and nothing goes on.
    pub(super) async fn hand_over<T>(
        news: &mpsc::Sender<Self>,
        made: impl FnOnce(oneshot::Sender<T>) -> Self,
    ) -> T {
        match Self::offer(news, made).await.await {
            Ok(answer) => answer,
            Err(_) => std::future::pending().await,
        }
    }

    /// Hands news over. Where the loop's answer will be, if there is one.
    pub(super) async fn offer<T>(
        news: &mpsc::Sender<Self>,
        made: impl FnOnce(oneshot::Sender<T>) -> Self,
    ) -> oneshot::Receiver<T> {
        let (answer, answered) = oneshot::channel();
        // Unsent, the sender of the answer is dropped with it.
        let _ = news.send(made(answer)).await;
        answered
    }
}
