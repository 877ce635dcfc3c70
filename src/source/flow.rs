//! Bytes that come once, from whoever writes them: a restart cannot go back to what was taken.

use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::sync::mpsc;

use super::lines::Lines;
use super::status::{Board, Reporter};
use super::{Block, SourceId, State, Stream};

/// How much is taken at once: what a pipe holds.
const CHUNK: usize = 64 * 1024;

/// How a flow ended.
#[derive(Debug)]
pub(super) enum Ended {
    /// Whoever writes has ended, or reading failed.
    Writer(std::io::Result<()>),
    /// Nobody takes the blocks any more.
    Reader,
}

/// The lines of one stream of bytes. It takes no more bytes until what it has was taken from it.
#[derive(Debug)]
pub(super) struct Flow {
    id: SourceId,
    stream: Stream,
    lines: Lines,
    pub(super) teller: Teller,
    blocks: mpsc::Sender<Block>,
}

impl Flow {
    /// Nothing has come yet.
    pub(super) fn new(id: SourceId, stream: Stream, board: &Board, blocks: mpsc::Sender<Block>) -> Self {
        let teller = Teller(Arc::new(board.report(id, Arc::clone(&stream))));
        Self { id, stream, lines: Lines::new(), teller, blocks }
    }

    /// Hands over every line until there are no more. What was written last is a line, ended or not.
    pub(super) async fn run(&mut self, mut reader: impl AsyncRead + Unpin) -> Ended {
        let mut chunk = vec![0; CHUNK];
        loop {
            let mut bytes = Vec::new();
            let read = reader.read(&mut chunk).await;
            match read {
                Ok(count @ 1..) => self.lines.take(chunk.get(..count).unwrap_or_default(), &mut bytes),
                Ok(0) | Err(_) => self.lines.end(&mut bytes),
            }
            if !bytes.is_empty() && !self.hand_over(bytes).await {
                return Ended::Reader;
            }
            match read {
                Ok(0) => return Ended::Writer(Ok(())),
                Ok(_) => {}
                Err(error) => return Ended::Writer(Err(error)),
            }
        }
    }

    async fn hand_over(&mut self, bytes: Vec<u8>) -> bool {
        let lines = memchr::memchr_iter(b'\n', &bytes).count() as u64;
        let cut = self.lines.take_cut();
        self.teller.0.update(|status| {
            status.lines += lines;
            status.bytes += bytes.len() as u64;
            status.lines_cut += cut;
        });
        let stream = Arc::clone(&self.stream);
        self.blocks.send(Block { source: self.id, stream, bytes, span: None, again: false }).await.is_ok()
    }

    /// Returns when nobody takes the blocks any more.
    pub(super) async fn closed(&self) {
        self.blocks.closed().await;
    }
}

/// Says how a flow is doing, also while it runs.
#[derive(Debug, Clone)]
pub(super) struct Teller(Arc<Reporter>);

impl Teller {
    /// Says how it stands; an error is logged once.
    pub(super) fn tell(&self, state: State, error: Option<String>) {
        self.0.tell(state, error);
    }

    /// Reading began anew.
    pub(super) fn restarted(&self) {
        self.0.update(|status| status.restarts += 1);
    }
}
