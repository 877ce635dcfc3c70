//! The task that reads one journal for all who want something of it.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use jiff::tz::TimeZone;
use tokio::io::AsyncReadExt;
use tokio::sync::mpsc;

use super::child::{Following, JournalError, Span, look};
use super::cursor::JournalPosition;
use super::export::{Broken, Export};
use super::matches::Matches;
use super::subscriber::Subscriber;
use super::{Place, entry, past};
use crate::source::pause::Pause;
use crate::source::{BLOCK_BYTES, Block, State};

/// How much is taken from journalctl at once: what a pipe holds.
const CHUNK: usize = 64 * 1024;
/// When journalctl is started again that has ended: at once if it did well, for what is not read may be vacuumed; else
/// after a pause, twice as long each time, up to the longest.
const WELL: Duration = Duration::from_secs(2);
const SHORTEST: Duration = Duration::from_millis(500);
const LONGEST: Duration = Duration::from_secs(60);

/// Nobody takes the blocks any more.
struct Closed;

/// Reads the journal at `place` until nobody takes the blocks any more.
pub(in crate::source) async fn follow(
    place: Place,
    subscribers: Vec<Subscriber>,
    blocks: mpsc::Sender<Block>,
) {
    let fields = past::fields(subscribers.iter().map(|it| &it.matches));
    let arguments = Matches::arguments(subscribers.iter().map(|it| &it.matches));
    let zone = TimeZone::system();
    let mut journal = Journal { place, subscribers, blocks, zone, said: None, stuck: None };
    let mut pause = Pause::between(SHORTEST, LONGEST);
    let mut first = true;
    loop {
        let started = Instant::now();
        let Ok(error) = journal.read(&arguments, &fields, !std::mem::take(&mut first)).await else { return };
        journal.tell(State::Failed, Some(&error.to_string()));
        if started.elapsed() > WELL {
            pause.reset();
            continue;
        }
        tokio::select! {
            () = tokio::time::sleep(pause.take()) => {}
            () = journal.blocks.closed() => return,
        }
    }
}

struct Journal {
    place: Place,
    subscribers: Vec<Subscriber>,
    blocks: mpsc::Sender<Block>,
    zone: TimeZone,
    /// The last error that was logged.
    said: Option<String>,
    /// Where what was there before could not be read any further.
    stuck: Option<JournalPosition>,
}

impl Journal {
    /// Reads what was there, then what comes; why that is no more.
    async fn read(
        &mut self,
        arguments: &[String],
        fields: &str,
        again: bool,
    ) -> Result<JournalError, Closed> {
        self.subscribers.iter().for_each(|it| it.count(again.into(), 0));
        let mut from = self.begin()?;
        self.look_for_gap(&from).await;
        // One that follows knows one boot only; what was logged before the machine was started again is read first.
        if !self.place.is_merged() {
            let past = match Following::start(&self.place, Span::Past, arguments, fields, &from).await {
                Ok(past) => self.take_all(past).await?,
                Err(error) => return Ok(error),
            };
            from = self.begin()?;
            if !past.is_end() && self.stuck.as_ref() != Some(&from) {
                self.stuck = Some(from);
                return Ok(past);
            }
            if !past.is_end() {
                tracing::error!(
                    "{}: {past}; it came no further than before, and what is now logged goes first: entries of earlier \
                     boots are not read, if there are any: try `journalctl --verify`",
                    self.place
                );
                self.subscribers.iter().for_each(|it| it.count(0, 1));
            }
        }
        match Following::start(&self.place, Span::Coming, arguments, fields, &from).await {
            Ok(coming) => {
                self.tell(State::Following, None);
                self.take_all(coming).await
            }
            Err(error) => Ok(error),
        }
    }

    /// The earliest place where one of them goes on.
    fn begin(&mut self) -> Result<JournalPosition, Closed> {
        self.subscribers.iter_mut().for_each(Subscriber::begin);
        let places = self.subscribers.iter().map(Subscriber::at);
        places.reduce(|first, other| first.earlier(other)).cloned().ok_or(Closed)
    }

    /// Takes what one journalctl writes; why it is no more.
    async fn take_all(&mut self, mut following: Following) -> Result<JournalError, Closed> {
        let mut export = Export::new();
        let mut chunk = vec![0; CHUNK];
        loop {
            let (output, stderr, complaints) = following.ends();
            tokio::select! {
                read = output.read(&mut chunk) => match read {
                    Ok(count @ 1..) => {
                        let taken = self.take(&mut export, chunk.get(..count).unwrap_or_default()).await?;
                        if let Err(error) = taken {
                            return Ok(error);
                        }
                    }
                    Ok(0) | Err(_) => return Ok(following.ended().await),
                },
                said = Following::complaint(stderr, complaints) => {
                    self.tell(State::Following, Some(&format!("journalctl says `{said}`")));
                }
                () = self.blocks.closed() => return Err(Closed),
            }
            // Others have their turn.
            tokio::task::yield_now().await;
        }
    }

    /// Takes what journalctl has written, and hands it over.
    async fn take(&mut self, export: &mut Export, bytes: &[u8]) -> Result<Result<(), JournalError>, Closed> {
        let mut ready: Vec<Block> = Vec::new();
        let (subscribers, zone) = (&mut self.subscribers, &self.zone);
        let taken = export.take(bytes, &mut |entry| {
            let cursor = entry::cursor(entry).ok_or(Broken::NAMELESS)?;
            for subscriber in subscribers.iter_mut() {
                ready.extend(subscriber.take(entry, &cursor, zone));
                if subscriber.waiting() >= BLOCK_BYTES {
                    ready.extend(subscriber.hand_over(false));
                }
            }
            Ok(())
        });
        ready.extend(subscribers.iter_mut().filter_map(|it| it.hand_over(false)));
        subscribers.iter_mut().for_each(Subscriber::tell_untrusted);
        for block in ready {
            self.blocks.send(block).await.map_err(|_| Closed)?;
        }
        Ok(taken.map_err(JournalError::Broken))
    }

    /// What was to be read first may have been removed meanwhile, and more with it.
    async fn look_for_gap(&mut self, from: &JournalPosition) {
        let JournalPosition::Behind(cursor) = from else { return };
        let first = look(&self.place, Some(cursor)).await;
        let Some(first) = first.filter(|first| first != cursor) else { return };
        let shown = |time: Timestamp| time.to_zoned(self.zone.clone()).strftime("%F %T %z").to_string();
        tracing::warn!(
            "{}: the entry of {} behind which reading was to go on is gone; it goes on at the oldest there is behind it, of {}: \
             what lay between, if anything, was not read; raise SystemMaxUse or MaxRetentionSec in journald.conf",
            self.place,
            shown(cursor.time()),
            shown(first.time()),
        );
        self.subscribers.iter().for_each(|it| it.count(0, 1));
    }

    fn tell(&mut self, state: State, error: Option<&str>) {
        if let Some(error) = error.filter(|error| self.said.as_deref() != Some(*error)) {
            tracing::warn!("{}: {error}", self.place);
            self.said = Some(error.to_owned());
        }
        self.subscribers.iter().for_each(|it| it.tell(state, error));
    }
}
