//! The few requests of JetStream's wire API that a firewall needs: streams, consumers, messages.

use async_nats::Client;
use async_nats::client::{RequestError, RequestErrorKind};
use serde_json::{Value, json};

use super::audience::Audience;

/// Where reports wait.
pub(super) const REPORTS: &str = "REPORTS";
/// The firewall's own place in the stream of reports.
pub(super) const FIREWALL: &str = "firewall";
/// JetStream's code for a stream of that name with another configuration.
const OTHER_CONFIGURATION: u64 = 10058;
/// Nanoseconds, which the API counts in.
const SECOND: u64 = 1_000_000_000;

/// Why the server did not do something.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(super) struct Refused(pub(super) String);

/// Why a message is not in its stream.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Unstored {
    /// JetStream said no.
    #[error("{0}")]
    Refused(String),
    /// What was answered is no acknowledgement.
    #[error("the server's answer makes no sense")]
    Senseless,
}

/// What JetStream answers to a message that was to be stored.
pub(super) fn stored(answer: &[u8]) -> Result<(), Unstored> {
    #[derive(serde::Deserialize)]
    struct Answer {
        error: Option<Value>,
    }
    match serde_json::from_slice(answer) {
        Ok(Answer { error: None }) => Ok(()),
        Ok(Answer { error: Some(error) }) => Err(Unstored::Refused(description(&error).to_owned())),
        Err(_) => Err(Unstored::Senseless),
    }
}

/// What an error of JetStream's says.
fn description(error: &Value) -> &str {
    error.get("description").and_then(Value::as_str).unwrap_or("refused")
}

/// Why a request has no answer. A server that cannot write does not answer at all from 2.15 on; its own log says it.
pub(super) fn unanswered(error: &RequestError) -> String {
    match error.kind() {
        RequestErrorKind::TimedOut => "the server does not answer: is there room on its disk?".to_owned(),
        _ => error.to_string(),
    }
}

/// One request, and its answer.
pub(super) async fn ask(client: &Client, what: &str, body: &Value) -> Result<Value, Refused> {
    let answer = client.request(format!("$JS.API.{what}"), body.to_string().into()).await;
    let answer = answer.map_err(|error| Refused(format!("{what}: {}", unanswered(&error))))?;
    let answer: Value = serde_json::from_slice(&answer.payload)
        .map_err(|_| Refused(format!("{what}: no answer of JetStream's")))?;
    match answer.get("error") {
        None => Ok(answer),
        Some(error) => {
            if error.get("err_code").and_then(Value::as_u64) == Some(OTHER_CONFIGURATION) {
                return Box::pin(ask(client, &what.replace("STREAM.CREATE", "STREAM.UPDATE"), body)).await;
            }
            Err(Refused(format!("{what}: {}", description(error))))
        }
    }
}

/// Makes the stream of reports and the firewall's place in it, if they are not there.
pub(super) async fn prepare_reports(client: &Client) -> Result<(), Refused> {
    let stream = json!({
        "name": REPORTS,
        "subjects": ["ban.report.*"],
        "retention": "workqueue",
        "storage": "file",
        "discard": "old",
        // A host that floods pushes out its own reports.
        "max_msgs_per_subject": 100_000,
        "max_bytes": 1_u64 << 30,
        "max_msg_size": 16_384,
        "max_age": 86_400 * SECOND,
        "duplicate_window": 120 * SECOND,
        "num_replicas": 1,
    });
    made(client, &stream, &["max_msgs_per_subject", "max_age", "retention"]).await?;
    consumer(client, REPORTS, FIREWALL, "explicit", From::Beginning).await
}

/// Makes the stream of what is signed for `audience`, if it is not there.
pub(super) async fn prepare_signed(client: &Client, audience: Audience) -> Result<(), Refused> {
    let stream = json!({
        "name": audience.stream(),
        "subjects": [audience.subjects()],
        "retention": "limits",
        "storage": "file",
        "discard": "old",
        "max_msgs_per_subject": 1,
        "max_msg_size": 16_384,
        "num_replicas": 1,
    });
    made(client, &stream, &["max_msgs_per_subject", "retention", "subjects"]).await
}

/// The server takes options that it does not know, and leaves them out: what matters has to come back.
async fn made(client: &Client, stream: &Value, matters: &[&str]) -> Result<(), Refused> {
    let name = stream.get("name").and_then(Value::as_str).unwrap_or_default();
    let answer = ask(client, &format!("STREAM.CREATE.{name}"), stream).await?;
    for key in matters {
        let echoed = answer.get("config").and_then(|config| config.get(key));
        if echoed != stream.get(key) {
            return Err(Refused(format!(
                "the server does not keep {key} of stream {name}: take another version of it"
            )));
        }
    }
    Ok(())
}

/// Where in its stream a consumer begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum From {
    /// With the first message.
    Beginning,
    /// With the next one that is published.
    Now,
}

/// Makes a durable consumer, if it is not there.
pub(super) async fn consumer(
    client: &Client,
    stream: &str,
    name: &str,
    ack: &str,
    from: From,
) -> Result<(), Refused> {
    let policy = match from {
        From::Beginning => "all",
        From::Now => "new",
    };
    let body = json!({
        "stream_name": stream,
        "config": {
            "durable_name": name,
            "deliver_policy": policy,
            "ack_policy": ack,
            "ack_wait": 60 * SECOND,
            "max_ack_pending": 20_000,
            "max_deliver": -1,
        },
    });
    ask(client, &format!("CONSUMER.DURABLE.CREATE.{stream}.{name}"), &body).await.map(drop)
}

/// Whether a consumer is there. One that cannot be asked about is not.
pub(super) async fn has_consumer(client: &Client, stream: &str, name: &str) -> bool {
    ask(client, &format!("CONSUMER.INFO.{stream}.{name}"), &json!({})).await.is_ok()
}

/// Removes a consumer; one that is not there is gone as well.
pub(super) async fn remove_consumer(client: &Client, stream: &str, name: &str) {
    let _ = ask(client, &format!("CONSUMER.DELETE.{stream}.{name}"), &json!({})).await;
}

/// A consumer that reads all of a stream once; its name, and how many messages there are.
pub(super) async fn reader(client: &Client, stream: &str) -> Result<(String, u64), Refused> {
    let config = json!({
        "deliver_policy": "all",
        "ack_policy": "none",
        "mem_storage": true,
        "inactive_threshold": 60 * SECOND,
    });
    let body = json!({ "stream_name": stream, "config": config });
    let answer = ask(client, &format!("CONSUMER.CREATE.{stream}"), &body).await?;
    let name = answer.get("name").and_then(Value::as_str).unwrap_or_default().to_owned();
    Ok((name, answer.get("num_pending").and_then(Value::as_u64).unwrap_or(0)))
}

/// Where in its stream a message is, and how many come behind it: as its reply subject has it
/// (`$JS.ACK.STREAM.CONSUMER.DELIVERED.SEQUENCE.CONSUMER_SEQUENCE.TIME.PENDING`).
pub(super) fn place(reply: &str) -> Option<(u64, u64)> {
    let mut from_the_end = reply.rsplit('.');
    let pending = from_the_end.next()?.parse().ok()?;
    let sequence = from_the_end.nth(2)?.parse().ok()?;
    Some((sequence, pending))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_acknowledgement_says_that_a_message_is_stored() {
        assert_eq!(stored(br#"{"stream":"REPORTS","seq":4}"#), Ok(()));
        let refused = stored(br#"{"error":{"code":400,"description":"no room"}}"#);
        assert_eq!(refused, Err(Unstored::Refused("no room".to_owned())));
        for senseless in ["", "no", "7", "\"x\""] {
            assert_eq!(stored(senseless.as_bytes()), Err(Unstored::Senseless), "{senseless}");
        }
    }

    #[test]
    fn a_reply_subject_tells_the_place() {
        let reply = "$JS.ACK.DECISIONS.2SvbI3FD.1.7.5.1795301982738044803.4";
        assert_eq!(super::place(reply), Some((7, 4)));
        assert_eq!(super::place("$JS.ACK.x"), None);
    }
}
