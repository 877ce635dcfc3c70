//! A host: whom its jails ban is reported to the firewall. What cannot be reported now is kept on disk.
//!
//! Everything goes through the spool, so that a crash between a ban and its report loses nothing; a report is forgotten when the
//! server says that it has it. One that arrives twice counts once.

use async_nats::HeaderMap;
use async_nats::client::RequestErrorKind;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;

use super::api::{self, Unstored};
use super::audience::Audience;
use super::link::{Link, RETRY, Shared};
use super::report::Report;
use super::spool::Spool;
use super::tap::Tap;

/// So many reports are on their way at once.
const TOGETHER: u32 = 256;
/// What goes wrong with the disk.
const DISK: &str = "reports cannot be kept";
/// What goes wrong on the way.
const WAY: &str = "reports do not arrive";

/// Reports for as long as the machine is a host.
pub(super) async fn work(name: &str, tap: Tap, mut spool: Spool, mut link: Link, shared: Shared) {
    let subject = format!("ban.report.{name}");
    // Numbers begin anew with a new spool: another run of this machine is another series.
    let series = jiff::Timestamp::now().as_microsecond();
    loop {
        let kept = take_in(&tap, &mut spool, &shared);
        let due = if link.is_up() { spool.read(0, TOGETHER) } else { Ok(Vec::new()) };
        let due = due.unwrap_or_else(|error| {
            shared.trouble(DISK, &error.to_string());
            Vec::new()
        });
        if due.is_empty() {
            let waits = !kept || !link.is_up() && spool.waiting() > 0;
            tokio::select! {
                () = tap.told(Audience::Edges) => {}
                () = link.changed() => {}
                () = tokio::time::sleep(RETRY), if waits => {}
            }
            continue;
        }
        let mut on_their_way: FuturesUnordered<_> =
            due.into_iter().map(|(id, payload)| send(&link, &subject, name, series, id, payload)).collect();
        let (mut arrived, mut trouble) = (Vec::new(), None);
        while let Some((id, outcome)) = on_their_way.next().await {
            match outcome {
                Ok(()) => arrived.push(id),
                Err(why) => trouble = Some(why),
            }
        }
        drop(on_their_way);
        shared.lock().reported += arrived.len() as u64;
        if let Err(error) = spool.taken(&arrived) {
            shared.trouble(DISK, &error.to_string());
            // They are reported again, and count once; but not all the time.
            tokio::time::sleep(RETRY).await;
        }
        shared.lock().spooled = spool.waiting();
        match trouble {
            None => shared.mended(WAY),
            Some(why) => {
                shared.trouble(WAY, &why);
                tokio::select! {
                    () = link.changed() => {}
                    () = tokio::time::sleep(RETRY) => {}
                }
            }
        }
    }
}

/// From memory to the disk. Whether that went well: if not, they wait in memory.
fn take_in(tap: &Tap, spool: &mut Spool, shared: &Shared) -> bool {
    let (reports, mut lost) = tap.reports();
    let mut in_memory = 0;
    if !reports.is_empty() {
        let encoded: Vec<Vec<u8>> = reports.iter().map(Report::encoded).collect();
        match spool.keep(&encoded) {
            Ok(gone) => {
                lost += gone;
                shared.mended(DISK);
            }
            Err(error) => {
                shared.trouble(DISK, &error.to_string());
                in_memory = reports.len() as u64;
                tap.put_back_reports(reports);
            }
        }
    }
    let mut status = shared.lock();
    if lost > 0 && status.dropped == 0 {
        tracing::warn!("[fleet] too many reports wait for the server: the oldest are given up");
    }
    status.dropped += lost;
    status.spooled = spool.waiting() + in_memory;
    in_memory == 0
}

async fn send(
    link: &Link,
    subject: &str,
    name: &str,
    series: i64,
    id: i64,
    payload: Vec<u8>,
) -> (i64, Result<(), String>) {
    let mut headers = HeaderMap::new();
    headers.insert("Nats-Msg-Id", format!("{name}-{series}-{id}"));
    let sent = link.client.request_with_headers(subject.to_owned(), headers, payload.into()).await;
    let outcome = match sent {
        Ok(answer) => api::stored(&answer.payload).map_err(|error| match error {
            Unstored::Refused(why) => {
                format!("the server cannot keep them: {why} (when there is room, start it anew)")
            }
            Unstored::Senseless => error.to_string(),
        }),
        Err(error) => Err(match error.kind() {
            RequestErrorKind::NoResponders => {
                "nobody takes them: has the firewall's kband ever run?".to_owned()
            }
            _ => api::unanswered(&error),
        }),
    };
    (id, outcome)
}
