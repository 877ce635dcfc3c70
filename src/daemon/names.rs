//! What the names of `ignoreip` last came to, so that a restart without a name server has it: `names/NAME.list` in the
//! state directory, a list as any other. Its time is when the name first came to that.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use ipnet::IpNet;
use jiff::Timestamp;

use crate::config::network::Lookup;
use crate::feed;

/// The directory in the state directory.
const DIRECTORY: &str = "names";

/// The copies of answers.
#[derive(Debug, Clone)]
pub(super) struct Names {
    directory: PathBuf,
}

impl Names {
    pub(super) fn new(state: &Path) -> Self {
        Self { directory: state.join(DIRECTORY) }
    }

    /// Names of hosts have no slash, and are never `..` (`config::network`).
    fn path(&self, name: &str) -> PathBuf {
        self.directory.join(format!("{name}.list"))
    }

    /// What `name` last came to, and since when.
    pub(super) fn last(&self, name: &str) -> Option<(Vec<IpNet>, Timestamp)> {
        let path = self.path(name);
        let text = fs::read(&path).ok()?;
        let since = Timestamp::try_from(fs::metadata(&path).ok()?.modified().ok()?).ok()?;
        let read = feed::list::lines(&text).filter_map(|(_, _, read)| read).flatten();
        // Whoever wrote something else into it is asked no questions.
        let hosts = read.filter(|prefix| prefix.prefix_len() == prefix.max_prefix_len());
        Some((hosts.collect(), since))
    }

    /// Keeps what `name` has come to now.
    pub(super) fn keep(&self, name: &str, addresses: &[IpNet]) {
        let text: String = addresses.iter().map(|address| format!("{address}\n")).collect();
        if let Err(error) = feed::replace(&self.path(name), text.as_bytes()) {
            tracing::warn!(
                "ignoreip: what {name} is cannot be kept ({error}): after a restart without DNS nobody is allowed by it"
            );
        }
    }

    /// Removes the copies of names that are not `wanted` any more.
    pub(super) fn keep_only(&self, wanted: &BTreeSet<Lookup>) {
        let kept: BTreeSet<PathBuf> = wanted
            .iter()
            .filter_map(|lookup| match lookup {
                Lookup::Name(name) => Some(self.path(name)),
                Lookup::File(_) => None,
            })
            .collect();
        let there = fs::read_dir(&self.directory).into_iter().flatten().flatten();
        for path in there.map(|entry| entry.path()).filter(|path| !kept.contains(path)) {
            // One that stays harms nobody: it is not read.
            let _ = fs::remove_file(path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_come_back_until_nobody_wants_them() {
        let dir = tempfile::tempdir().unwrap();
        let names = Names::new(dir.path());
        assert_eq!(names.last("office.example.net"), None);
        names.keep_only(&BTreeSet::new());
        let addresses = ["192.0.2.7/32", "2001:db8::1/128"].map(|text| text.parse::<IpNet>().unwrap());
        names.keep("office.example.net", &addresses[..1]);
        names.keep("office.example.net", &addresses);
        let (last, since) = names.last("office.example.net").unwrap();
        assert_eq!(last, addresses);
        assert!(Timestamp::now().duration_since(since).as_secs() < 60);
        names.keep_only(&[Lookup::Name("office.example.net".into())].into());
        assert!(names.last("office.example.net").is_some());
        names.keep_only(&[Lookup::Name("other.example.net".into())].into());
        assert_eq!(names.last("office.example.net"), None);
        fs::write(names.path("wide"), "0.0.0.0/0\n192.0.2.0/24\n").unwrap();
        assert_eq!(names.last("wide").unwrap().0, []);
    }
}
