//! An edge: it follows what the firewall has decided, if the firewall has signed it and nothing newer is known.

use std::collections::BTreeMap;

use async_nats::{Client, Subject};
use ipnet::IpNet;
use jiff::Timestamp;
use nkeys::KeyPair;
use tokio::sync::{mpsc, oneshot};

use super::audience::Audience;
use super::catching_up::catch_up;
use super::decision::{Decision, Distrust};
use super::disk::DiskError;
use super::link::{Link, Shared};
use super::pull::{Broken, Pull};
use super::reading::{verify, wish};
use super::spool::Spool;
use super::{Followed, News};

/// What goes wrong.
const FOLLOWING: &str = "decisions cannot be followed";

/// Follows for as long as the machine is an edge.
pub(super) async fn follow(
    name: &str,
    signer: KeyPair,
    mut spool: Spool,
    link: Link,
    shared: Shared,
    news: mpsc::Sender<News>,
) {
    let mut lost = false;
    let work = async |link: &mut Link| {
        follow_while_up(name, &signer, &mut spool, link, &shared, &news, &mut lost).await
    };
    link.keep_at(&shared, FOLLOWING, work).await;
}

async fn follow_while_up(
    name: &str,
    signer: &KeyPair,
    spool: &mut Spool,
    link: &mut Link,
    shared: &Shared,
    news: &mpsc::Sender<News>,
    lost: &mut bool,
) -> Result<(), String> {
    let told = |error: DiskError| error.to_string();
    // If there is no place in the stream, who knows what was in it.
    let knows = !*lost && spool.floor().map_err(told)?.is_some();
    if !(knows && wish(Audience::Edges, name, link, shared, false).await?) {
        *lost = true;
        let floor = catch_up(name, signer, link, shared, news).await?;
        spool.know_all(floor).map_err(told)?;
        *lost = false;
    }
    let floor = spool.floor().map_err(told)?.unwrap_or(0);
    let mut pull =
        Pull::new(&link.client, Audience::Edges.stream(), name).await.map_err(|error| error.to_string())?;
    shared.mended(FOLLOWING);
    let client = link.client.clone();
    // What the daemon's loop has not answered yet: while it works, the next decisions are looked at.
    let mut asked: Option<Asked> = None;
    loop {
        let batch = tokio::select! {
            batch = pull.batch() => batch,
            () = link.changed() => return Ok(()),
            () = answered(&mut asked, &client, shared) => continue,
        };
        let batch = match batch {
            Ok(batch) => batch,
            Err(Broken::NoConsumer) => {
                if asked.is_some() {
                    answered(&mut asked, &client, shared).await;
                }
                return Ok(());
            }
            Err(error) => return Err(error.to_string()),
        };
        let verified = verify(&batch, signer, Audience::Edges);
        let sifted = sift(verified, spool, floor, shared, Timestamp::now()).map_err(told)?;
        let known: Vec<_> = sifted.iter().map(|one| (one.prefix, one.serial, one.until)).collect();
        let many = sifted.len() as u64;
        let followed = News::offer(news, |done| News::Decisions { decisions: sifted, done }).await;
        // What is known but was not followed comes again, and the same number is no replay.
        spool.know(&known, Timestamp::now()).map_err(told)?;
        if asked.is_some() {
            answered(&mut asked, &client, shared).await;
        }
        let reply = batch.into_iter().next_back().and_then(|last| last.reply);
        asked = Some(Asked { followed, many, reply });
    }
}

/// Decisions that the daemon's loop was given.
struct Asked {
    followed: oneshot::Receiver<Followed>,
    many: u64,
    /// Where the last of them is acknowledged, which stands for all before it.
    reply: Option<Subject>,
}

/// Waits until the loop has followed what it was given, and tells everybody. To be dropped and called again at any time.
async fn answered(asked: &mut Option<Asked>, client: &Client, shared: &Shared) {
    let Some(Asked { followed, many, reply }) = asked else { return std::future::pending().await };
    // If the daemon is about to end, there is no answer.
    let Ok(Followed { spared, .. }) = followed.await else { return std::future::pending().await };
    let (many, reply) = (*many, reply.take());
    *asked = None;
    {
        let mut status = shared.lock();
        status.followed += many - spared.min(many);
        status.spared += spared;
    }
    if let Some(reply) = reply {
        // If the connection is gone, they come again.
        let _ = client.publish(reply, "+ACK".into()).await;
    }
}

/// Whom to trust, the newest of each prefix; what is not trusted is counted.
fn sift(
    verified: Vec<Result<Decision, Distrust>>,
    spool: &Spool,
    floor: u64,
    shared: &Shared,
    now: Timestamp,
) -> Result<Vec<Decision>, DiskError> {
    let mut newest: BTreeMap<IpNet, Decision> = BTreeMap::new();
    let known = spool.last_serials(verified.iter().flatten().map(|one| one.prefix))?;
    for one in verified {
        let trusted = one.and_then(|decision| {
            if decision.is_over(now) { Err(Distrust::Expired) } else { decision.decided().map(|_| decision) }
        });
        let trusted = match trusted {
            Ok(decision) => {
                let newer = newest.get(&decision.prefix).map(|newer| newer.serial);
                let last = newer.or_else(|| known.get(&decision.prefix).copied());
                // Up to the floor all of them are known, but not each by itself.
                if decision.serial < last.unwrap_or(floor + 1) {
                    Err(Distrust::Replayed)
                } else {
                    Ok(decision)
                }
            }
            Err(distrust) => Err(distrust),
        };
        match trusted {
            Ok(decision) => {
                newest.insert(decision.prefix, decision);
            }
            // A ban that is over by the time it arrives is nobody's fault.
            Err(Distrust::Expired) => {}
            Err(distrust) => shared.distrust(distrust),
        }
    }
    Ok(newest.into_values().collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::fleet::FleetStatus;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).unwrap()
    }

    fn decision(address: &str, serial: u64, until: Option<i64>, lifted: bool) -> Decision {
        let prefix = address.parse().unwrap();
        Decision { serial, lifted, ..Decision::lifting(prefix, until.map(at), at(0)) }
    }

    #[test]
    fn nothing_unsigned_expired_or_older_is_followed() {
        let mut spool = Spool::open(None, 1_000).unwrap();
        let shared = Shared::new(FleetStatus::default());
        let lifted = decision("203.0.113.9/32", 7, Some(60), true);
        let follow = |spool: &Spool, all: Vec<Result<Decision, Distrust>>| {
            sift(all, spool, 3, &shared, at(0)).unwrap()
        };
        assert_eq!(
            follow(&spool, vec![Ok(decision("203.0.113.9/32", 6, Some(60), false)), Ok(lifted.clone())]),
            std::slice::from_ref(&lifted)
        );
        spool.know(&[(lifted.prefix, 7, lifted.until)], at(0)).unwrap();
        let wrong = vec![
            // The ban that was lifted, said again.
            Ok(decision("203.0.113.9/32", 6, Some(60), false)),
            // One that was over when everything in force was known.
            Ok(decision("203.0.113.6/32", 3, Some(60), false)),
            Ok(decision("203.0.113.8/32", 9, Some(-1), false)),
            Ok(Decision { ports: Some(vec!["x".into()]), ..decision("203.0.113.7/32", 9, None, false) }),
            Err(Distrust::Forged),
        ];
        assert_eq!(follow(&spool, wrong), []);
        assert_eq!(follow(&spool, vec![Ok(lifted.clone())]), [lifted], "the same once more does no harm");
        let distrusted = shared.lock().distrusted.clone();
        let once = |distrust: Distrust| (distrust.to_string(), 1);
        assert_eq!(
            distrusted,
            [(Distrust::Replayed.to_string(), 2), once(Distrust::Unreadable), once(Distrust::Forged)].into()
        );
    }
}
