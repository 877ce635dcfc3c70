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
    /// What has been read and not yet been taken.
    waiting: Option<Block>,
}

impl Flow {
    /// Nothing has come yet.
    pub(super) fn new(id: SourceId, stream: Stream, board: &Board, blocks: mpsc::Sender<Block>) -> Self {
        let teller = Teller(Arc::new(board.report(id, Arc::clone(&stream))));
        Self { id, stream, lines: Lines::new(), teller, blocks, waiting: None }
    }

    /// Hands over every line until there are no more. What was written last is a line, ended or not. When this is dropped
    /// before, the next call goes on with what was read.
    pub(super) async fn run(&mut self, reader: &mut (impl AsyncRead + Unpin)) -> Ended {
        let mut chunk = vec![0; CHUNK];
        loop {
            if !self.hand_over().await {
                return Ended::Reader;
            }
            let mut bytes = Vec::new();
            let read = reader.read(&mut chunk).await;
            match read {
                Ok(count @ 1..) => self.lines.take(chunk.get(..count).unwrap_or_default(), &mut bytes),
                Ok(0) | Err(_) => self.lines.end(&mut bytes),
            }
            if !bytes.is_empty() {
                self.waiting = Some(self.block(bytes));
            }
            let ended = match read {
                Ok(1..) => continue,
                Ok(0) => Ok(()),
                Err(error) => Err(error),
            };
            return if self.hand_over().await { Ended::Writer(ended) } else { Ended::Reader };
        }
    }

    fn block(&mut self, bytes: Vec<u8>) -> Block {
        let lines = memchr::memchr_iter(b'\n', &bytes).count() as u64;
        let cut = self.lines.take_cut();
        self.teller.0.update(|status| {
            status.lines += lines;
            status.bytes += bytes.len() as u64;
            status.lines_cut += cut;
        });
        Block { source: self.id, stream: Arc::clone(&self.stream), bytes, span: None, again: false }
    }

    /// False: nobody takes the blocks any more.
    async fn hand_over(&mut self) -> bool {
        if self.waiting.is_none() {
            return true;
        }
        let Ok(room) = self.blocks.reserve().await else { return false };
        if let Some(block) = self.waiting.take() {
            room.send(block);
        }
        true
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
