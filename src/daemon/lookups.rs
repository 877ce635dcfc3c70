//! Who is meant by the names and files of `ignoreip`: asked for again and again, each on a thread of its own.
//!
//! Nothing here is waited for: a name server that is down delays neither a ban nor another name. What was found last
//! counts until something else is found, and over a restart if it is a name (`names`).

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::{IpAddr, ToSocketAddrs};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant, SystemTime};

use ipnet::IpNet;
use tokio::sync::{mpsc, watch};

use super::names::Names;
use crate::config::network::{Lookup, folded, too_wide};
use crate::feed;

/// How often a name is asked for: what its zone says of that, getaddrinfo(3) does not tell.
const EVERY: Duration = Duration::from_secs(300);
/// How soon after a failure it is asked for again; doubled each time, up to [`EVERY`].
const RETRY: Duration = Duration::from_secs(10);
/// How often it is looked whether a file has changed.
const LOOK: Duration = Duration::from_secs(2);
/// A file that was written to so recently may not be whole yet.
const WRITTEN: Duration = Duration::from_secs(1);
/// How many addresses of one name count.
const MOST_ADDRESSES: usize = 64;
/// How many entries of one file count: each change writes all of them to the kernel.
const MOST_ENTRIES: usize = 10_000;
/// How many findings may wait for the loop.
const WAITING: usize = 4;

/// What a name or a file has come to.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) lookup: Lookup,
    pub(super) prefixes: Vec<IpNet>,
}

/// What was read, and what is wrong with some of it.
type Reading = (Vec<IpNet>, Option<String>);

/// The running lookups. Dropping it stops them.
pub(super) struct Lookups {
    running: BTreeMap<Lookup, Running>,
    names: Names,
    news: mpsc::Sender<Found>,
    found: mpsc::Receiver<Found>,
}

struct Running {
    /// A word means: look at once. Closed, it means: stop.
    orders: Sender<()>,
    warning: watch::Receiver<Option<String>>,
}

impl Lookups {
    /// None yet; what names come to is kept in the directory `state`.
    pub(super) fn new(state: &Path) -> Self {
        let (news, found) = mpsc::channel(WAITING);
        Self { running: BTreeMap::new(), names: Names::new(state), news, found }
    }

    /// Stops what is not wanted any more, starts what is new, and has everything looked up again.
    pub(super) fn configure(&mut self, wanted: &BTreeSet<Lookup>) {
        self.running.retain(|lookup, _| wanted.contains(lookup));
        self.names.keep_only(wanted);
        for running in self.running.values() {
            // One that has ended has said why.
            let _ = running.orders.send(());
        }
        for lookup in wanted {
            if !self.running.contains_key(lookup) {
                let running = start(lookup.clone(), self.names.clone(), self.news.clone());
                self.running.insert(lookup.clone(), running);
            }
        }
    }

    /// The next finding. To be dropped and called again at any time.
    pub(super) async fn found(&mut self) -> Found {
        match self.found.recv().await {
            Some(found) => found,
            None => std::future::pending().await,
        }
    }

    /// What the administrator should know.
    pub(super) fn warnings(&self) -> Vec<String> {
        self.running.values().filter_map(|running| running.warning.borrow().clone()).collect()
    }
}

fn start(lookup: Lookup, names: Names, news: mpsc::Sender<Found>) -> Running {
    let (orders, taken) = channel();
    let (warning, seen) = watch::channel(None);
    let worker = Worker { lookup, names, news, warning, orders: taken };
    if let Err(error) = std::thread::Builder::new().name("lookup".into()).spawn(move || worker.work()) {
        tracing::error!(
            "nobody is allowed by names and files of ignoreip: {error}: reload when there is memory"
        );
    }
    Running { orders, warning: seen }
}

struct Worker {
    lookup: Lookup,
    names: Names,
    news: mpsc::Sender<Found>,
    warning: watch::Sender<Option<String>>,
    orders: Receiver<()>,
}

/// Names one state of a file.
type Stamp = Option<(u64, u64, u64, SystemTime)>;

impl Worker {
    fn work(self) {
        let (mut last, mut failures) = (Vec::new(), 0);
        // Since when it has been what it was when kband last ran, until somebody answers.
        let mut kept = None;
        if let Lookup::Name(name) = &self.lookup
            && let Some((addresses, since)) = self.names.last(name)
        {
            (last, kept) = (addresses, Some(since));
            if !self.found(&last) {
                return;
            }
        }
        loop {
            let stamp = self.stamp();
            let read = match &self.lookup {
                Lookup::Name(name) => addresses(name).map(|prefixes| (prefixes, None)),
                Lookup::File(path) => entries(path),
            };
            match read {
                Ok((prefixes, warning)) => {
                    (failures, kept) = (0, None);
                    self.tell(warning);
                    if prefixes != last {
                        last = prefixes;
                        if let Lookup::Name(name) = &self.lookup {
                            self.names.keep(name, &last);
                        }
                        if !self.found(&last) {
                            return;
                        }
                    }
                }
                Err(error) => {
                    failures += 1;
                    let rest = match kept {
                        _ if last.is_empty() => "nobody is allowed by it yet".to_owned(),
                        None => "who was allowed by it stays so".to_owned(),
                        Some(since) => {
                            format!("who was allowed by it when kband last ran stays so (since {since:.0})")
                        }
                    };
                    self.tell(Some(format!("ignoreip: {error}; {rest}")));
                }
            }
            let wait = if failures == 0 { EVERY } else { RETRY.saturating_mul(1 << (failures - 1).min(5)) };
            if !self.wait(wait.min(EVERY), stamp) {
                return;
            }
        }
    }

    /// Tells what it has come to; `false` means: stop.
    fn found(&self, prefixes: &[IpNet]) -> bool {
        let found = Found { lookup: self.lookup.clone(), prefixes: prefixes.to_vec() };
        self.news.blocking_send(found).is_ok()
    }

    /// Until it is time, somebody wants it now, or the file has changed; `false` means: stop.
    fn wait(&self, wait: Duration, stamp: Stamp) -> bool {
        let deadline = Instant::now() + wait;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let look = if matches!(self.lookup, Lookup::File(_)) { left.min(LOOK) } else { left };
            match self.orders.recv_timeout(look) {
                Ok(()) => return true,
                Err(RecvTimeoutError::Disconnected) => return false,
                Err(RecvTimeoutError::Timeout) if look == left => return true,
                Err(RecvTimeoutError::Timeout) => {
                    let now = self.stamp();
                    let written = now.and_then(|(.., written)| written.elapsed().ok());
                    if now != stamp && written.is_none_or(|ago| ago >= WRITTEN) {
                        return true;
                    }
                }
            }
        }
    }

    /// `None` for a name, and for a file that is not there.
    fn stamp(&self) -> Stamp {
        let Lookup::File(path) = &self.lookup else { return None };
        let metadata = fs::metadata(path).ok()?;
        Some((metadata.dev(), metadata.ino(), metadata.len(), metadata.modified().ok()?))
    }

    /// Said once for as long as it is the same.
    fn tell(&self, warning: Option<String>) {
        if *self.warning.borrow() == warning {
            return;
        }
        match &warning {
            Some(warning) => tracing::warn!("{warning}"),
            None => tracing::info!("ignoreip: {} can be read again", shown(&self.lookup)),
        }
        self.warning.send_replace(warning);
    }
}

fn shown(lookup: &Lookup) -> String {
    match lookup {
        Lookup::Name(name) => name.to_string(),
        Lookup::File(path) => path.display().to_string(),
    }
}

fn addresses(name: &str) -> Result<Vec<IpNet>, String> {
    let found = (name, 0).to_socket_addrs().map_err(|error| {
        format!("{name} cannot be resolved ({error}): check the name, and whether a DNS server answers")
    })?;
    let found: BTreeSet<IpAddr> = found.map(|address| address.ip().to_canonical()).collect();
    Ok(found
        .into_iter()
        .filter(|address| !address.is_unspecified())
        .take(MOST_ADDRESSES)
        .map(IpNet::from)
        .collect())
}

fn entries(path: &Path) -> Result<Reading, String> {
    let text = feed::text_of(path).map_err(|error| error.to_string())?;
    let (mut entries, mut bad, mut first) = (Vec::new(), 0, None);
    for (number, line, read) in feed::list::lines(&text) {
        let prefixes =
            read.map(|read| read.into_iter().map(|prefix| folded(prefix.trunc())).collect::<Vec<_>>());
        match prefixes {
            Some(prefixes) if prefixes.iter().all(|prefix| too_wide(prefix).is_none()) => {
                entries.extend(prefixes);
            }
            read => {
                bad += 1;
                let what = if read.is_some() {
                    "is a large part of the Internet"
                } else {
                    "is neither an address nor a prefix"
                };
                first.get_or_insert_with(|| {
                    format!("line {number} (`{}`) {what}", feed::list::beginning(line))
                });
            }
        }
        if entries.len() > MOST_ENTRIES {
            return Err(format!(
                "{} has more than {MOST_ENTRIES} entries: join them into networks",
                path.display()
            ));
        }
    }
    let warning = first.map(|first| {
        let others = match bad - 1 {
            0 => String::new(),
            more => format!(", as are {more} more lines"),
        };
        format!("ignoreip: {}: {first}{others}: left out; correct the file", path.display())
    });
    Ok((entries, warning))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_as_a_list_and_bad_lines_are_told() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("office");
        let read = |text: &str| {
            fs::write(&path, text).unwrap();
            entries(&path)
        };
        let (found, warning) =
            read("192.0.2.7 # Anna\n\n; all of Berlin\n10.1.2.3/16\n2001:db8::1\nfe80::/10\n").unwrap();
        let found: Vec<String> = found.iter().map(ToString::to_string).collect();
        assert_eq!(found, ["192.0.2.7/32", "10.1.0.0/16", "2001:db8::1/128", "fe80::/10"].map(str::to_owned));
        assert_eq!(warning, None);
        let (found, warning) = read("192.0.2.7\nAnna\n0.0.0.0/0\n\u{1b}[2J\n").unwrap();
        assert_eq!(found.len(), 1);
        let warning = warning.unwrap();
        assert!(
            warning.contains("line 2 (`Anna`) is neither") && warning.contains("2 more lines"),
            "{warning}"
        );
        let (_, warning) = read("::/0\n").unwrap();
        assert!(warning.unwrap().contains("line 1 (`::/0`) is a large part of the Internet"));
        assert_eq!(read("").unwrap(), (Vec::new(), None));
        let many: String = (0..=MOST_ENTRIES).map(|n| format!("10.0.{}.{}\n", n / 256, n % 256)).collect();
        assert!(read(&many).unwrap_err().contains("more than 10000 entries"));
        fs::remove_file(&path).unwrap();
        assert!(entries(&path).unwrap_err().contains("cannot be read"));
    }
}
