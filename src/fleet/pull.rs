//! Taking messages from a consumer of the server's, as many at a time as are wanted.
//!
//! The library's own way needs rights that an edge must not have (to ask about streams and consumers). Here is the one request
//! that it may send, as `CONSUMER.MSG.NEXT` of JetStream's wire API is documented
//! (<https://docs.nats.io/reference/reference-protocols/nats_api_reference>).

use std::time::Duration;

use async_nats::{Client, Message, StatusCode, Subscriber};
use futures_util::{FutureExt, StreamExt};
use serde_json::json;

/// So many messages are asked for at once. With [`LOW`] it is less than the library keeps, which throws away what is more, and
/// less than the server leaves unacknowledged.
const ASKED: usize = 8_000;
/// When fewer than this are on their way, more are asked for.
const LOW: usize = 4_000;
/// No batch is longer.
const LONGEST: usize = 2_000;
/// The server forgets a request after this.
const EXPIRES: Duration = Duration::from_secs(20);
/// A request of which nothing was heard for so long is lost.
const LOST: Duration = Duration::from_secs(30);

/// Why there are no messages.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Broken {
    /// The consumer is not there.
    #[error("the server has nothing ready for this machine")]
    NoConsumer,
    /// The connection.
    #[error("{0}")]
    Connection(String),
}

/// A consumer, and what was asked of it.
pub(super) struct Pull {
    client: Client,
    subject: String,
    inbox: String,
    messages: Subscriber,
    /// On their way.
    asked: usize,
}

impl Pull {
    /// From `consumer` of `stream`.
    pub(super) async fn new(client: &Client, stream: &str, consumer: &str) -> Result<Self, Broken> {
        let inbox = client.new_inbox();
        let messages =
            client.subscribe(inbox.clone()).await.map_err(|error| Broken::Connection(error.to_string()))?;
        let subject = format!("$JS.API.CONSUMER.MSG.NEXT.{stream}.{consumer}");
        Ok(Self { client: client.clone(), subject, inbox, messages, asked: 0 })
    }

    /// The connection was made anew: what was asked before is forgotten.
    pub(super) fn ask_again(&mut self) {
        self.asked = 0;
    }

    async fn ask(&mut self) -> Result<(), Broken> {
        let expires = u64::try_from(EXPIRES.as_nanos()).unwrap_or(u64::MAX);
        let request = json!({ "batch": ASKED, "expires": expires }).to_string();
        let sent = self.client.publish_with_reply(self.subject.clone(), self.inbox.clone(), request.into());
        sent.await.map_err(|error| Broken::Connection(error.to_string()))?;
        self.asked += ASKED;
        Ok(())
    }

    /// The next messages, at least one. To be dropped and called again at any time.
    pub(super) async fn batch(&mut self) -> Result<Vec<Message>, Broken> {
        loop {
            if self.asked < LOW {
                self.ask().await?;
            }
            let gone = || Broken::Connection("the connection was closed".to_owned());
            let first = match tokio::time::timeout(LOST, self.messages.next()).await {
                Ok(first) => first.ok_or_else(gone)?,
                // A consumer says when a request has expired; across accounts, one that is not there says nothing.
                Err(_) => {
                    self.asked = 0;
                    return Err(Broken::NoConsumer);
                }
            };
            let mut batch = Vec::new();
            self.sort(first, &mut batch)?;
            while batch.len() < LONGEST
                && let Some(Some(more)) = self.messages.next().now_or_never()
            {
                self.sort(more, &mut batch)?;
            }
            if !batch.is_empty() {
                return Ok(batch);
            }
        }
    }

    /// A message, or what the server says of a request.
    fn sort(&mut self, message: Message, batch: &mut Vec<Message>) -> Result<(), Broken> {
        match message.status {
            None | Some(StatusCode::OK) => {
                self.asked = self.asked.saturating_sub(1);
                batch.push(message);
            }
            Some(StatusCode::IDLE_HEARTBEAT) => {}
            Some(StatusCode::NO_RESPONDERS) => {
                self.asked = 0;
                return Err(Broken::NoConsumer);
            }
            // It has expired, or the server has ended it; what is on its way still comes.
            Some(status) => {
                self.asked = 0;
                let said = message.description.unwrap_or_default();
                if status == StatusCode::REQUEST_TERMINATED && said.to_lowercase().contains("deleted") {
                    return Err(Broken::NoConsumer);
                }
            }
        }
        Ok(())
    }
}
