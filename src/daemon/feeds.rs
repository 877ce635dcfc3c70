//! Putting lists in place, slice by slice: between two slices blocks and requests have their turn.

use std::collections::VecDeque;
use std::sync::mpsc::Sender;

use jiff::Timestamp;

use super::pipeline::Pipeline;
use crate::feed::{Feeds, Generation, News};
use crate::jail::FEED;
use crate::jail::feed::Swap;

/// How many changes one slice makes: some 10 ms of the kernel's time.
const SLICE: usize = 2000;

/// The lists on their way into force, one after the other.
#[derive(Debug, Default)]
pub(super) struct Swaps {
    waiting: VecDeque<Entry>,
}

#[derive(Debug)]
struct Entry {
    swap: Swap,
    /// The feed that waits for it; none waits for its own end.
    feed: Option<(Generation, Sender<()>)>,
}

impl Swaps {
    /// Whether nothing is to be done.
    pub(super) fn is_idle(&self) -> bool {
        self.waiting.is_empty()
    }

    /// How far the list of `feed` is: how many of its entries are settled, and how many it has; `None`: none is on its way.
    pub(super) fn progress(&self, feed: &str) -> Option<(usize, usize)> {
        let mut of_feed = self.waiting.iter().map(|entry| &entry.swap);
        Some(of_feed.find(|swap| swap.jail().strip_prefix(FEED) == Some(feed))?.progress())
    }

    /// A list has come.
    pub(super) fn begin(&mut self, news: News, feeds: &Feeds) {
        // Of a feed that a reload has stopped meanwhile.
        if feeds.is_current(news.generation) {
            let swap = Swap::new(&news.feed, news.entries, news.until);
            self.waiting.push_back(Entry { swap, feed: Some((news.generation, news.done)) });
        }
    }

    /// The plan has changed: feeds may have been stopped, those that are `gone` for good.
    pub(super) fn reload<'a>(&mut self, feeds: &Feeds, gone: impl Iterator<Item = &'a str>) {
        self.waiting
            .retain(|entry| entry.feed.as_ref().is_none_or(|(generation, _)| feeds.is_current(*generation)));
        self.waiting.extend(gone.map(|feed| Entry { swap: Swap::end(feed), feed: None }));
    }

    /// One slice of the first one.
    pub(super) fn slice(&mut self, pipeline: &mut Pipeline, now: Timestamp) {
        let Some(Entry { swap, feed }) = self.waiting.front_mut() else { return };
        let verdicts = pipeline.engine.swap(swap, SLICE, now);
        pipeline.take_slice(&verdicts, None, now);
        if !swap.is_done() {
            return;
        }
        let (tally, jail) = (swap.tally(), swap.jail());
        if tally.new + tally.gone > 0 {
            let bans = pipeline.engine.bans().count(jail);
            tracing::info!("[{jail}] {} new, {} gone, {bans} banned", tally.new, tally.gone);
        }
        if let Some((_, done)) = feed {
            // A feed that was stopped does not wait.
            let _ = done.send(());
        }
        self.waiting.pop_front();
    }
}
