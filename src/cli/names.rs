//! The names of addresses, as the resolver tells them: many at a time, and for a bounded time.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use super::{fold, output};

/// How long all of them together may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// How many are asked for at a time.
const THREADS: usize = 32;

/// The names of those that have one, as far as they are told in time. What is missing is said on standard error.
pub(super) fn of(addresses: impl Iterator<Item = IpAddr>) -> BTreeMap<IpAddr, String> {
    of_with(addresses, PATIENCE, |address| dns_lookup::lookup_addr(&address).ok())
}

fn of_with(
    addresses: impl Iterator<Item = IpAddr>,
    patience: Duration,
    ask: fn(IpAddr) -> Option<String>,
) -> BTreeMap<IpAddr, String> {
    let wanted: BTreeSet<IpAddr> = addresses.collect();
    let (mut left, mut names) = (wanted.len(), BTreeMap::new());
    let end = Instant::now() + patience;
    let queue = Arc::new(Mutex::new(wanted.into_iter()));
    let (told, answers) = mpsc::channel();
    for _ in 0..THREADS.min(left) {
        let (queue, told) = (Arc::clone(&queue), told.clone());
        let next = move || queue.lock().unwrap_or_else(PoisonError::into_inner).next();
        // A thread that a resolver keeps waiting ends with the process.
        thread::spawn(move || {
            while let Some(address) = next() {
                // Nobody listens any more: the time is up.
                if told.send((address, ask(address))).is_err() {
                    return;
                }
            }
        });
    }
    drop(told);
    while let Ok((address, name)) = answers.recv_timeout(end.saturating_duration_since(Instant::now())) {
        left -= 1;
        names.extend(name.map(|name| (address, name)));
    }
    if left > 0 {
        // The list is right without them.
        let _ = writeln!(
            fold::stderr(),
            "banctl: the resolver said nothing of {} in {} s: ask for fewer, with a jail or a prefix",
            output::counted(left, "address", "addresses"),
            patience.as_secs()
        );
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(count: u8) -> impl Iterator<Item = IpAddr> {
        (0..count).map(|last| IpAddr::from([192, 0, 2, last]))
    }

    #[test]
    fn all_are_asked_and_some_have_names() {
        let even = |address: IpAddr| match address {
            IpAddr::V4(v4) if v4.octets()[3] % 2 == 0 => Some(format!("host{v4}")),
            _ => None,
        };
        let names = of_with(addresses(200), Duration::from_secs(60), even);
        assert_eq!((names.len(), names[&"192.0.2.4".parse().unwrap()].as_str()), (100, "host192.0.2.4"));
        assert!(of_with(addresses(0), Duration::from_secs(60), even).is_empty());
    }

    #[test]
    fn a_resolver_that_hangs_keeps_nobody() {
        let hang = |address: IpAddr| {
            if address != IpAddr::from([192, 0, 2, 0]) {
                loop {
                    thread::park();
                }
            }
            Some("quick".to_owned())
        };
        // The quick one may be waited for as long as a busy machine takes; the others answer never.
        let names = of_with(addresses(1), Duration::from_secs(60), hang);
        assert_eq!(names.into_values().collect::<Vec<_>>(), ["quick"]);
        let all_but_the_quick = addresses(3).skip(1);
        assert!(of_with(all_but_the_quick, Duration::from_millis(300), hang).is_empty());
    }
}
