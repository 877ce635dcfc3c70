//! A firewall takes reports: each is looked at, then handed to the daemon's loop, whose jails decide. The server forgets it when
//! they have.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_nats::Message;
use jiff::{SignedDuration, Timestamp};
use tokio::sync::{mpsc, watch};

use super::News;
use super::api;
use super::counted::Counted;
use super::link::{Link, Shared};
use super::members::Members;
use super::pull::Pull;
use super::report::{self, Refusal, Taken};

/// What goes wrong.
const INTAKE: &str = "reports cannot be taken";
/// The same of the disk.
const KEEPING: &str = "reports that were counted are not kept over a restart";
/// So many hosts are shown of whom nobody knows.
const STRANGERS: usize = 64;

/// Who may report, and how much.
pub(super) struct Door {
    pub(super) members: watch::Receiver<Arc<Members>>,
    /// Reports of private addresses are taken.
    pub(super) private: bool,
    /// How many reports of one host are taken in a minute.
    pub(super) quota: u32,
    /// Since when a minute of each host counts, and what came in it.
    pub(super) minutes: BTreeMap<Arc<str>, (Timestamp, u32)>,
}

impl Door {
    /// Looks at one message.
    fn judge(
        &mut self,
        host: &str,
        payload: &[u8],
        hosts: &BTreeMap<Arc<str>, u32>,
        now: Timestamp,
    ) -> Result<Taken, Refusal> {
        let (host, weight) = hosts.get_key_value(host).ok_or(Refusal::Stranger)?;
        let (since, count) = self.minutes.entry(Arc::clone(host)).or_insert((now, 0));
        if now.duration_since(*since).abs() >= SignedDuration::from_mins(1) {
            (*since, *count) = (now, 0);
        }
        if *count >= self.quota {
            return Err(Refusal::TooMany);
        }
        *count += 1;
        let (report, prefix, time) = report::read(payload, host, self.private, now)?;
        Ok(Taken { host: Arc::clone(host), weight: *weight, prefix, time, report })
    }

    /// A report that was counted at `time`, before a restart; none if its host does not belong to the fleet any more.
    fn again(&self, time: Timestamp, payload: &[u8], now: Timestamp) -> Option<Taken> {
        let host = report::host(payload)?;
        let weight = self.members.borrow().hosts().get(&host).copied()?;
        let (report, prefix, _) = report::read(payload, &host, self.private, now).ok()?;
        Some(Taken { host, weight, prefix, time, report })
    }

    /// Looks at what came, and counts it.
    fn sift(&mut self, batch: &[Message], shared: &Shared, now: Timestamp) -> Vec<Taken> {
        let hosts = self.members.borrow().hosts();
        let mut taken = Vec::new();
        let mut status = shared.lock();
        for message in batch {
            let host = message.subject.rsplit('.').next().unwrap_or_default();
            let judged = self.judge(host, &message.payload, &hosts, now);
            if !status.hosts.contains_key(host)
                && !hosts.contains_key(host)
                && status.hosts.len() >= hosts.len() + STRANGERS
            {
                continue;
            }
            let row = status.hosts.entry(host.to_owned()).or_default();
            row.last_seen = Some(now);
            match judged {
                Ok(one) => {
                    row.reports += 1;
                    taken.push(one);
                }
                Err(refusal) => {
                    let times = row.refused.entry(refusal.to_string()).or_default();
                    *times += 1;
                    if *times == 1 {
                        tracing::warn!("[fleet] a report of {host} was refused: {refusal}");
                    }
                }
            }
        }
        taken
    }
}

/// Takes reports for as long as the machine is a firewall.
pub(super) async fn take(
    mut door: Door,
    mut counted: Counted,
    link: Link,
    shared: Shared,
    news: mpsc::Sender<News>,
) {
    let now = Timestamp::now();
    let before = counted.all(now).unwrap_or_else(|error| {
        shared.trouble(KEEPING, &error.to_string());
        Vec::new()
    });
    // What was counted before a restart counts as of then.
    let again: Vec<Taken> =
        before.iter().filter_map(|(time, report)| door.again(*time, report, now)).collect();
    judge(again, &mut counted, &shared, &news).await;
    let work = async |link: &mut Link| take_while_up(&mut door, &mut counted, link, &shared, &news).await;
    link.keep_at(&shared, INTAKE, work).await;
}

/// Has the daemon's loop judge reports, and keeps what may count later.
async fn judge(reports: Vec<Taken>, counted: &mut Counted, shared: &Shared, news: &mpsc::Sender<News>) {
    if reports.is_empty() {
        return;
    }
    let kept = reports.clone();
    // If the daemon is about to end, what was not judged comes again.
    let open = News::hand_over(news, |done| News::Reports { reports, done }).await;
    let judged: Vec<(Taken, bool)> = kept.into_iter().zip(open).collect();
    match counted.judged(&judged) {
        Ok(()) => shared.mended(KEEPING),
        Err(error) => shared.trouble(KEEPING, &error.to_string()),
    }
}

async fn take_while_up(
    door: &mut Door,
    counted: &mut Counted,
    link: &mut Link,
    shared: &Shared,
    news: &mpsc::Sender<News>,
) -> Result<(), String> {
    let client = link.client.clone();
    api::prepare_reports(&client).await.map_err(|error| error.to_string())?;
    let mut pull =
        Pull::new(&client, api::REPORTS, api::FIREWALL).await.map_err(|error| error.to_string())?;
    shared.mended(INTAKE);
    loop {
        let batch = tokio::select! {
            batch = pull.batch() => batch.map_err(|error| error.to_string())?,
            () = link.changed() => return Ok(()),
        };
        let reports = door.sift(&batch, shared, Timestamp::now());
        judge(reports, counted, shared, news).await;
        for message in batch {
            if let Some(reply) = message.reply {
                client.publish(reply, "+ACK".into()).await.map_err(|error| error.to_string())?;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::members::Member;
    use super::*;
    use crate::control::fleet::FleetStatus;

    fn message(host: &str, payload: &str) -> Message {
        Message {
            subject: format!("ban.report.{host}").into(),
            reply: None,
            payload: payload.to_owned().into(),
            headers: None,
            status: None,
            description: None,
            length: payload.len(),
        }
    }

    fn said(host: &str, address: &str) -> String {
        format!(
            r#"{{"v":1,"host":"{host}","address":"{address}","jail":"sshd","time":"2027-01-15T07:59:00Z","until":null,"count":1}}"#
        )
    }

    fn member(weight: u32, revoked: Option<Timestamp>) -> Member {
        Member {
            host: Some("U".into()),
            edge: None,
            peer: None,
            weight,
            since: Timestamp::UNIX_EPOCH,
            revoked,
        }
    }

    #[test]
    fn a_host_has_its_quota_and_strangers_and_revoked_ones_have_none() {
        let now: Timestamp = "2027-01-15T08:00:00Z".parse().unwrap();
        let members = Members(BTreeMap::from([
            ("web1".into(), member(2, None)),
            ("web2".into(), member(1, None)),
            ("old".into(), member(1, Some(now))),
        ]));
        let (_told, members) = watch::channel(Arc::new(members));
        let mut door = Door { members, private: false, quota: 1_000, minutes: BTreeMap::new() };
        let shared = Shared::new(FleetStatus::default());
        // A million reports in a minute.
        let flood: Vec<Message> = (0..1_000).map(|_| message("web1", &said("web1", "203.0.113.9"))).collect();
        let mut taken = 0;
        for _ in 0..1_000 {
            taken += door.sift(&flood, &shared, now).len();
        }
        assert_eq!(taken, 1_000);
        let others = [
            message("web2", &said("web2", "203.0.113.9")),
            message("web2", &said("web1", "203.0.113.9")),
            message("web2", &said("web2", "10.0.0.1")),
            message("old", &said("old", "203.0.113.9")),
            message("nobody", &said("nobody", "203.0.113.9")),
        ];
        let taken = door.sift(&others, &shared, now);
        assert_eq!(taken.iter().map(|one| (&*one.host, one.weight)).collect::<Vec<_>>(), [("web2", 1)]);
        let later = now + SignedDuration::from_mins(1);
        assert_eq!(door.sift(&flood[..1], &shared, later)[0].weight, 2, "a minute later");
        let status = shared.lock().clone();
        assert_eq!(status.hosts["web1"].refused, [(Refusal::TooMany.to_string(), 999_000)].into());
        assert_eq!(
            status.hosts["web2"].refused,
            [(Refusal::Forged.to_string(), 1), (Refusal::Private.to_string(), 1)].into()
        );
        for name in ["old", "nobody"] {
            assert_eq!(status.hosts[name].refused, [(Refusal::Stranger.to_string(), 1)].into(), "{name}");
        }
    }
}
