//! What edges and friends' fleets have in common: a place in a stream of a firewall, and messages that it has signed.

use async_nats::Message;
use jiff::{SignedDuration, Timestamp};
use nkeys::KeyPair;

use super::audience::Audience;
use super::decision::{Decision, Distrust};
use super::edges::{Granted, Wish};
use super::link::{Link, Shared};

/// What goes wrong with the time.
const CLOCK: &str = "this machine's clock is wrong, or the firewall's";
/// What to do about that.
const SET_CLOCK: &str = "see to both (timedatectl)";
/// Clocks that are no further apart agree: an answer takes its time.
const SKEW: SignedDuration = SignedDuration::from_mins(1);
/// With fewer messages, one processor is enough.
const MANY: usize = 64;

/// Has the firewall see to this reader's place in the stream. Whether there is one: an edge's begins with [`super::catching_up`].
pub(super) async fn wish(
    audience: Audience,
    name: &str,
    link: &Link,
    shared: &Shared,
    anew: bool,
) -> Result<bool, String> {
    let wish = serde_json::to_vec(&Wish { v: 1, anew, page: None }).unwrap_or_default();
    let answer = link.client.request(audience.wishes(name), wish.into()).await;
    let answer = answer.map_err(|error| format!("the firewall's kband does not answer: {error}"))?;
    let Ok(Granted { done, now }) = serde_json::from_slice(&answer.payload) else {
        return Err("the firewall's answer makes no sense".to_owned());
    };
    // Friends' fleets have clocks of their own.
    if audience == Audience::Edges {
        compare_clocks(now, Timestamp::now(), shared);
    }
    Ok(done)
}

/// Bans end by this machine's clock, and what has ended by it is not followed.
pub(super) fn compare_clocks(there: Timestamp, here: Timestamp, shared: &Shared) {
    let apart = here.duration_since(there);
    let minutes = apart.abs().as_mins();
    if apart.abs() < SKEW {
        shared.mended(CLOCK);
    } else if apart.is_positive() {
        shared.trouble(
            CLOCK,
            &format!("{minutes} minutes ahead of the firewall's, bans end too early here: {SET_CLOCK}"),
        );
    } else {
        shared.trouble(
            CLOCK,
            &format!("{minutes} minutes behind the firewall's, bans end too late here: {SET_CLOCK}"),
        );
    }
}

/// What costs most is done by as many processors as there are.
pub(super) fn verify(
    batch: &[Message],
    signer: &KeyPair,
    audience: Audience,
) -> Vec<Result<Decision, Distrust>> {
    let part = |part: &[Message]| {
        let mut reader = Decision::reader(signer, audience);
        part.iter().map(|message| Decision::verified(&message.payload, &mut reader)).collect::<Vec<_>>()
    };
    let workers = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    if batch.len() < MANY || workers < 2 {
        return part(batch);
    }
    std::thread::scope(|scope| {
        let parts: Vec<_> = batch
            .chunks(batch.len().div_ceil(workers))
            .map(|messages| (messages, scope.spawn(move || part(messages))))
            .collect();
        let joined = parts.into_iter().map(|(messages, worker)| {
            worker.join().unwrap_or_else(|_| messages.iter().map(|_| Err(Distrust::Unreadable)).collect())
        });
        joined.flatten().collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_signatures_are_looked_at_in_order() {
        let key = KeyPair::new_user();
        let public = KeyPair::from_public_key(&key.public_key()).unwrap();
        let decision = Decision::lifting("203.0.113.9/32".parse().unwrap(), None, Timestamp::UNIX_EPOCH);
        let decisions: Vec<Decision> =
            (0..301).map(|serial| Decision { serial, ..decision.clone() }).collect();
        let messages: Vec<Message> = Decision::signed(&decisions, &key, Audience::Edges)
            .into_iter()
            .map(|payload| {
                let length = payload.len();
                Message {
                    subject: "x".into(),
                    reply: None,
                    payload: payload.into(),
                    headers: None,
                    status: None,
                    description: None,
                    length,
                }
            })
            .collect();
        let serials: Vec<u64> =
            verify(&messages, &public, Audience::Edges).into_iter().map(|one| one.unwrap().serial).collect();
        assert_eq!(serials, (0..301).collect::<Vec<_>>());
    }
}
