//! What the tests of sources have in common: sources that run, what they hand over, and waiting that has an end.

use std::path::Path;
use std::time::Duration;

use tokio::sync::mpsc;

use super::syslog::Keeper;
use super::{Block, Input, Manner, Readings, SourceConfig, SourceId, SourceStatus, Sources, State, spawn};

/// So long without an answer means that none will come. No test measures time.
const NEVER: Duration = Duration::from_secs(120);
/// How often is looked whether something is so.
const LOOK: Duration = Duration::from_millis(1);

/// What is read for the first time, and as usual.
pub(super) fn config(id: usize, input: Input) -> SourceConfig {
    SourceConfig { id: SourceId(id), input, resume: Readings::new(), manner: Manner::default() }
}

/// Sources that run, and where their blocks come out.
pub(super) struct Run {
    pub(super) sources: Sources,
    pub(super) blocks: mpsc::Receiver<Block>,
}

impl Run {
    /// Several, whose blocks go into a channel with so much room.
    pub(super) fn start(config: Vec<SourceConfig>, room: usize) -> Self {
        let (sender, blocks) = mpsc::channel(room);
        Self { sources: spawn(config, sender, Keeper::default()), blocks }
    }

    /// One.
    pub(super) fn of(input: Input) -> Self {
        Self::start(vec![config(0, input)], 4)
    }

    /// How the first stream of the first source is doing.
    pub(super) fn status(&self) -> SourceStatus {
        self.status_of(0)
    }

    /// How the first stream of a source is doing.
    pub(super) fn status_of(&self, source: usize) -> SourceStatus {
        self.sources.statuses().into_iter().find(|status| status.id.0 == source).unwrap()
    }

    /// Waits until something is so.
    pub(super) async fn eventually(&self, so: impl Fn(&Self) -> bool) {
        let wait = async {
            while !so(self) {
                tokio::time::sleep(LOOK).await;
            }
        };
        tokio::time::timeout(NEVER, wait).await.unwrap_or_else(|_| panic!("{:?}", self.sources.statuses()));
    }

    /// Waits until the first source is doing so.
    pub(super) async fn until(&self, so: impl Fn(&SourceStatus) -> bool) -> SourceStatus {
        self.eventually(|run| so(&run.status())).await;
        self.status()
    }

    /// Waits until it is in this state; what is wrong with it then.
    pub(super) async fn until_state(&self, state: State) -> String {
        self.until(|status| status.state == state).await.error.unwrap_or_default()
    }

    /// The next block.
    pub(super) async fn block(&mut self) -> Block {
        tokio::time::timeout(NEVER, self.blocks.recv())
            .await
            .unwrap_or_else(|_| panic!("{:?}", self.sources.statuses()))
            .expect("reading has died")
    }

    /// As many bytes as `expected` has, which must be those.
    pub(super) async fn expect(&mut self, expected: &str) {
        let mut got = Vec::new();
        while got.len() < expected.len() {
            got.extend(self.block().await.bytes);
        }
        assert_eq!(String::from_utf8_lossy(&got), expected);
    }

    /// So many lines, sorted, each with the last name of its stream.
    pub(super) async fn lines(&mut self, count: usize) -> Vec<String> {
        let mut lines = Vec::new();
        while lines.len() < count {
            let block = self.block().await;
            let name = Path::new(&*block.stream).file_name().unwrap().to_str().unwrap().to_owned();
            let text = String::from_utf8(block.bytes).unwrap();
            lines.extend(text.lines().map(|line| format!("{name}: {line}")));
        }
        lines.sort();
        lines
    }
}
