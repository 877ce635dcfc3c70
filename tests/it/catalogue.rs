//! kban's own filters over the corpus of the installed fail2ban.
//!
//! No line that must not match may match. A line that must match does, with the right host, or its kind is listed
//! here with the reason and the number of evaluations: one more or one less fails the test. Nothing of the corpus
//! is quoted; `says` are words of the services themselves.

use std::collections::BTreeMap;
use std::net::IpAddr;

use kban::filter::{Filter, LineVerdict, Scanner, catalogue};

use crate::corpus::{Case, Package, cases};
use crate::dialect::clock;

/// Filters that exist for fail2ban's own tests; no service writes such lines, or its corpus counts elsewhere.
const OF_ITS_TESTS: &str = "zzz-";

/// Lines of one kind that a filter leaves out.
struct Exception {
    filter: &'static str,
    kind: Kind,
    /// Evaluations, each mode counted.
    count: usize,
    why: &'static str,
}

#[derive(Debug, PartialEq, Eq)]
enum Kind {
    /// Octets with leading zeros are octal to some readers and decimal to others.
    LeadingZeros,
    /// The line has the address and we decide otherwise; words of the service that tell which lines are meant.
    Otherwise(&'static str),
}

const EXCEPTIONS: &[Exception] = &[
    Exception {
        filter: "sshd",
        kind: Kind::LeadingZeros,
        count: 4,
        why: "an address is read in one way or not at all",
    },
    Exception {
        filter: "mysqld-auth",
        kind: Kind::Otherwise("'localhost'"),
        count: 1,
        why: "the machine itself",
    },
    Exception {
        filter: "sshd",
        kind: Kind::Otherwise("Connection closed by"),
        count: 2,
        why: "the line before it, of the same connection, has counted",
    },
    Exception {
        filter: "sshd",
        kind: Kind::Otherwise("Accepted "),
        count: 4,
        why: "a success of another user; sshd lets no connection change its user",
    },
    Exception {
        filter: "sshd",
        kind: Kind::Otherwise("authentication failure; "),
        count: 2,
        why: "PAM's line of a second user; withheld like that of the first, see above",
    },
    Exception {
        filter: "sshd",
        kind: Kind::Otherwise("ssh2: from "),
        count: 4,
        why: "the user name ends in a forged address; the real one is the last, and it is the one we take",
    },
    Exception {
        filter: "nginx-http-auth",
        kind: Kind::Otherwise("password mismatch"),
        count: 2,
        why: "a user name with a colon, which HTTP's Basic scheme cannot carry",
    },
];

impl Exception {
    fn covers(&self, filter: &str, case: &Case) -> bool {
        let text = String::from_utf8_lossy(&case.line);
        self.filter == filter
            && match self.kind {
                Kind::LeadingZeros => {
                    host(case).is_some_and(|host| host.parse::<IpAddr>().is_err() && dotted(host))
                }
                Kind::Otherwise(says) => text.contains(says),
            }
    }
}

fn dotted(host: &str) -> bool {
    host.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.')
}

fn host(case: &Case) -> Option<&str> {
    case.expected.get("host").and_then(|host| host.as_str())
}

/// Where the corpus leaves open who, any address will do.
fn is_meant(case: &Case, found: &str) -> bool {
    let address = |text: &str| text.parse::<IpAddr>().ok().map(|address| address.to_canonical());
    match host(case) {
        None => address(found).is_some(),
        Some(host) => host == found || address(host).is_some_and(|host| address(found) == Some(host)),
    }
}

/// The catalogue's filter in the mode that stands for fail2ban's; what else fail2ban's options choose (the shape of
/// dates, the source) ours find out by themselves.
fn scanner(name: &str, case: &Case) -> Option<Scanner> {
    catalogue::text(name)?;
    let mode = case.options.get("mode").map_or("normal", String::as_str);
    let filter = Filter::load(&format!("{name}[mode={mode}]"), &[]).unwrap();
    Some(Scanner::new(&[filter.into()]))
}

/// The corpus has journal lines without a date; ours are as `journalctl -o short` writes them.
fn line(case: &Case) -> Vec<u8> {
    let dated = case.line.first().is_some_and(u8::is_ascii_digit) || case.line.starts_with(b"[");
    match case.options.get("logtype").map(String::as_str) {
        Some("journal") if !dated => [b"Jun 21 16:47:48 ", case.line.as_slice()].concat(),
        _ => case.line.clone(),
    }
}

#[test]
fn our_filters_find_what_the_corpus_names_but_for_what_is_listed_here() {
    let package = Package::find();
    let clock = clock();
    let (mut must, mut matched, mut must_not) = (0, 0, 0);
    let mut covered = vec![0; EXCEPTIONS.len()];
    let mut wrong = Vec::new();
    for (name, _) in package.filters().into_iter().filter(|(name, _)| !name.starts_with(OF_ITS_TESTS)) {
        let mut scanners: BTreeMap<_, Option<Scanner>> = BTreeMap::new();
        for case in cases(&package, &name) {
            let scanner = scanners.entry(case.options.clone()).or_insert_with(|| scanner(&name, &case));
            let verdict = scanner
                .as_mut()
                .map_or(LineVerdict::Miss, |scanner| scanner.line(0, &line(&case), &clock, false));
            let found = match &verdict {
                LineVerdict::Match { first, .. } => Some(first.host.as_str()),
                _ => None,
            };
            let told = || {
                let text = String::from_utf8_lossy(&case.line);
                format!("{name} {:?} {}: {found:?}: {text}", case.options, case.place)
            };
            if !case.must_match() {
                must_not += 1;
                if matches!(verdict, LineVerdict::Match { .. }) {
                    wrong.push(format!("must not match: {}", told()));
                }
                continue;
            }
            must += 1;
            if found.is_some_and(|found| is_meant(&case, found)) {
                matched += 1;
            } else if let Some(at) = EXCEPTIONS.iter().position(|exception| exception.covers(&name, &case)) {
                covered[at] += 1;
            } else {
                wrong.push(format!("must match {:?}: {}", host(&case), told()));
            }
        }
    }
    for (exception, found) in EXCEPTIONS.iter().zip(&covered) {
        let Exception { filter, kind, count, why } = exception;
        println!("{filter:<16} {found:>3}  {kind:?}: {why}");
        if found != count {
            wrong.push(format!("{filter} {kind:?}: {found} evaluations instead of the {count} listed"));
        }
    }
    let listed: usize = covered.iter().sum();
    let share = |part: usize, of: usize| 100.0 * part as f64 / of as f64;
    println!("{must_not} must not match; of {must} that must, {matched} do: {:.1} %", share(matched, must));
    println!("{listed} are listed above; of the others {:.1} % match", share(matched, must - listed));
    assert!(wrong.is_empty(), "{}:\n{}", wrong.len(), wrong.join("\n"));
    assert!(share(matched, must) >= 98.0);
    assert!(must > 800 && must_not > 150, "{must} and {must_not}: is the corpus complete?");
}
