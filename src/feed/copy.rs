//! The last good copy of each list, so that a restart without network has it: `feeds/NAME.list` in the state
//! directory, a list as any other. Its time is when it was last seen to be right.
//!
//! While a new list is being put in place of another, both may have entries in the kernel. So `NAME.before` holds what
//! was listed until that is done: a crash in between leaves nobody banned of whom nothing is known.

use std::fmt::Write as _;
use std::fs::{self, DirBuilder, File};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use ipnet::IpNet;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::fetch::Tag;
use super::list::List;
use crate::config::plan::FeedPlan;

/// The directory in the state directory.
const DIRECTORY: &str = "feeds";
/// Who may read copies.
const MODE: u32 = 0o640;
/// How the first line begins; the head follows as JSON.
const MARK: &str = "# kban ";

/// What is said of a copy in its first line.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Head {
    /// Where it comes from.
    pub(super) source: String,
    /// Which version it is.
    pub(super) tag: Tag,
}

/// One copy.
#[derive(Debug)]
pub(super) struct Copy {
    pub(super) head: Head,
    pub(super) entries: Vec<IpNet>,
    /// When the list was last seen to be this.
    pub(super) read: Timestamp,
}

/// The copies of one feed.
#[derive(Debug)]
pub(super) struct Keeper {
    list: PathBuf,
    before: PathBuf,
}

impl Keeper {
    pub(super) fn new(state: &Path, feed: &str) -> Self {
        let path = |suffix| state.join(DIRECTORY).join(format!("{feed}.{suffix}"));
        Self { list: path("list"), before: path("before") }
    }

    /// The last good copy. One that is damaged is none.
    pub(super) fn load(&self) -> Option<Copy> {
        let text = fs::read(&self.list).ok()?;
        let first = text.split(|byte| *byte == b'\n').next()?;
        let head = serde_json::from_slice(first.strip_prefix(MARK.as_bytes())?).ok()?;
        let read = Timestamp::try_from(fs::metadata(&self.list).ok()?.modified().ok()?).ok()?;
        Some(Copy { head, entries: entries(&text)?, read })
    }

    /// Keeps a list in place of the one before, which is still remembered until [`Keeper::settled`].
    pub(super) fn save(&self, head: &Head, entries: &[IpNet]) -> io::Result<()> {
        if let Ok(text) = fs::read(&self.list) {
            let mut before = File::options().create(true).append(true).mode(MODE).open(&self.before)?;
            before.write_all(&text)?;
            before.write_all(b"\n")?;
            before.sync_all()?;
        }
        let mut text = format!("{MARK}{}\n", serde_json::to_string(head)?);
        for entry in entries {
            writeln!(text, "{entry}").map_err(io::Error::other)?;
        }
        replace(&self.list, text.as_bytes())
    }

    /// The list is still right.
    pub(super) fn touch(&self) -> io::Result<()> {
        File::options().append(true).open(&self.list)?.set_modified(SystemTime::now())
    }

    /// What was listed before is out of the kernel.
    pub(super) fn settled(&self) {
        // It is not there unless the list has changed. One that stays costs a start some work.
        let _ = fs::remove_file(&self.before);
    }
}

/// What was listed when the daemon last ran.
#[derive(Debug, Default)]
pub struct Kept {
    /// The lists of the feeds that go on, and until when their entries are banned.
    pub lists: Vec<(Arc<str>, Vec<IpNet>, Option<Timestamp>)>,
    /// What may be in the kernel although no list that goes on has it.
    pub gone: Vec<IpNet>,
    files: Vec<PathBuf>,
}

impl Kept {
    /// Reads all copies in the state directory.
    #[must_use]
    pub fn load(state: &Path, feeds: &[FeedPlan], now: Timestamp) -> Self {
        let mut kept = Self::default();
        for feed in feeds {
            let Some(copy) = Keeper::new(state, &feed.name).load() else { continue };
            let until = feed.until(copy.read);
            if until.is_none_or(|until| until > now) {
                kept.lists.push((Arc::clone(&feed.name), copy.entries, until));
            }
        }
        let Ok(directory) = fs::read_dir(state.join(DIRECTORY)) else { return kept };
        let goes_on = |name: &str| feeds.iter().any(|feed| name.strip_suffix(".list") == Some(&feed.name));
        for path in directory.flatten().map(|entry| entry.path()) {
            if path.file_name().is_some_and(|name| name.to_str().is_some_and(goes_on)) {
                continue;
            }
            kept.gone.extend(fs::read(&path).ok().and_then(|text| entries(&text)).unwrap_or_default());
            kept.files.push(path);
        }
        kept
    }

    /// What is gone is out of the kernel.
    pub fn settled(&self) {
        for path in &self.files {
            if let Err(error) = fs::remove_file(path) {
                tracing::warn!("{} cannot be removed: {error}: remove it", path.display());
            }
        }
    }
}

fn entries(text: &[u8]) -> Option<Vec<IpNet>> {
    List::read(text, usize::MAX).ok().map(|list| list.entries)
}

/// Writes a file anew, all of it or nothing, and the directory that it is in if need be.
///
/// # Errors
/// What the file system says; what was there before is still there then.
pub fn replace(path: &Path, text: &[u8]) -> io::Result<()> {
    if let Some(directory) = path.parent() {
        DirBuilder::new().recursive(true).mode(0o750).create(directory)?;
    }
    let new = path.with_extension("new");
    let mut file = File::options().create(true).write(true).truncate(true).mode(MODE).open(&new)?;
    file.write_all(text)?;
    file.sync_all()?;
    fs::rename(&new, path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::plan::FeedSource;
    use std::time::Duration;

    fn nets(texts: &[&str]) -> Vec<IpNet> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    fn feed(name: &str, bantime: Option<Duration>) -> FeedPlan {
        let source = FeedSource::File("/list".into());
        FeedPlan { name: name.into(), source, every: Duration::from_secs(60), bantime, max_entries: 10 }
    }

    fn head(etag: &str) -> Head {
        let tag = Tag { etag: Some(etag.into()), modified: None };
        Head { source: "https://example.org/\n\u{1b}".into(), tag }
    }

    #[test]
    fn a_copy_comes_back_as_it_was_kept() {
        let dir = tempfile::tempdir().unwrap();
        let keeper = Keeper::new(dir.path(), "x");
        assert!(keeper.load().is_none());
        let entries = nets(&["192.0.2.0/24", "203.0.113.9/32", "2001:db8::/48"]);
        keeper.save(&head("\"1\""), &entries).unwrap();
        let copy = keeper.load().unwrap();
        assert_eq!((copy.head, copy.entries), (head("\"1\""), entries));
        assert!(Timestamp::now().duration_since(copy.read).as_secs() < 60);
        fs::write(&keeper.list, "# kban {}\n<html>\n").unwrap();
        assert!(keeper.load().is_none());
    }

    #[test]
    fn what_was_listed_before_is_known_until_it_is_settled() {
        let dir = tempfile::tempdir().unwrap();
        let keeper = Keeper::new(dir.path(), "x");
        for address in ["192.0.2.1/32", "192.0.2.2/32", "192.0.2.3/32"] {
            keeper.save(&head("1"), &nets(&[address])).unwrap();
        }
        Keeper::new(dir.path(), "off").save(&head("1"), &nets(&["192.0.2.4/32"])).unwrap();
        let now = Timestamp::now();
        let kept = Kept::load(dir.path(), &[feed("x", None)], now);
        assert_eq!(kept.lists, [("x".into(), nets(&["192.0.2.3/32"]), None)]);
        let mut gone = kept.gone.clone();
        gone.sort();
        assert_eq!(gone, nets(&["192.0.2.1/32", "192.0.2.2/32", "192.0.2.4/32"]));
        kept.settled();
        assert!(Kept::load(dir.path(), &[feed("x", None)], now).gone.is_empty());
        keeper.save(&head("2"), &nets(&["192.0.2.9/32"])).unwrap();
        keeper.settled();
        assert!(Kept::load(dir.path(), &[feed("x", None)], now).gone.is_empty());
    }

    #[test]
    fn bans_that_have_run_out_do_not_come_back() {
        let dir = tempfile::tempdir().unwrap();
        let keeper = Keeper::new(dir.path(), "x");
        keeper.save(&head("1"), &nets(&["192.0.2.1/32"])).unwrap();
        let feeds = [feed("x", Some(Duration::from_secs(3600)))];
        let kept = |hours: i64| {
            Kept::load(dir.path(), &feeds, Timestamp::now() + jiff::SignedDuration::from_hours(hours))
        };
        assert_eq!(kept(0).lists.len(), 1);
        assert!(kept(2).lists.is_empty());
    }
}
