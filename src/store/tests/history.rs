//! The history: what goes in comes out, in the order of its time, for as long as it is to be kept.

use super::*;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + second).unwrap()
}

/// A first ban, for ten minutes.
fn banned(prefix: &str, jail: &str, since: Timestamp) -> Ban {
    let until = since.checked_add(Duration::from_secs(600)).ok();
    Ban { count: 1, jail: jail.into(), since, until, ..ban(prefix, None) }
}

fn line(text: &[u8]) -> Line {
    Line { time: at(0), bytes: text.into() }
}

/// What the history has, newest first: time after `at(0)`, prefix, what, who.
fn told(store: &Store, query: &Query) -> Vec<(i64, String, &'static str, Option<String>)> {
    let found = store.archive().unwrap().history(&Query { most: 1_000, ..query.clone() }).unwrap();
    let row = |(_, event): &(Place, Event)| {
        let who = event.who.as_ref().map(ToString::to_string);
        (event.time.as_second() - 1_800_000_000, event.prefix.to_string(), event.what.name(), who)
    };
    found.events.iter().map(row).collect()
}

fn count(store: &Store) -> usize {
    store.archive().unwrap().history(&Query { most: 100_000, ..Query::default() }).unwrap().events.len()
}

/// As if the daemon had been closed and started again.
fn reopened(store: Store, directory: &Path) -> (Store, Memory) {
    store.close();
    open(directory)
}

#[test]
fn bans_and_their_ends_are_told_with_their_lines_and_who_did_it() {
    let directory = tempfile::tempdir().unwrap();
    let (mut store, _) = open(directory.path());
    let (first, second) = (banned("192.0.2.1/32", "sshd", at(0)), banned("2001:db8::/64", "web", at(5)));
    let lines = vec![line(b"\x1b[2J\xff\n"), line(b"two")];
    store.note(&Verdict::Ban(first.clone()), at(0), None, lines.clone());
    store.note(&Verdict::Ban(second.clone()), at(5), Some(&"alice".into()), Vec::new());
    // Nobody was there when its time was over.
    store.note(&Verdict::Unban(first.clone(), Ending::Expired), at(9_000), None, Vec::new());
    store.note(&Verdict::Unban(second, Ending::ByHand), at(9_001), Some(&"root".into()), Vec::new());
    let (store, memory) = reopened(store, directory.path());
    assert!(memory.bans.is_empty());
    let row = |second, prefix: &str, what, who: Option<&str>| {
        (second, prefix.to_owned(), what, who.map(str::to_owned))
    };
    assert_eq!(
        told(&store, &Query::default()),
        [
            row(9_001, "2001:db8::/64", "by_hand", Some("root")),
            row(600, "192.0.2.1/32", "expired", None),
            row(5, "2001:db8::/64", "ban", Some("alice")),
            row(0, "192.0.2.1/32", "ban", None),
        ]
    );
    let within = |text: &str| Query { within: Some(text.parse().unwrap()), ..Query::default() };
    assert_eq!(told(&store, &within("192.0.2.0/24")).len(), 2);
    assert_eq!(told(&store, &within("2001:db8::5/128")).len(), 2, "an address of the network");
    assert_eq!(told(&store, &within("192.0.2.2/32")), []);
    assert_eq!(told(&store, &Query { jail: Some("web".into()), ..Query::default() }).len(), 2);
    assert_eq!(told(&store, &Query { since: Some(at(600)), ..Query::default() }).len(), 2);

    let archive = store.archive().unwrap();
    let mut all = Vec::new();
    let mut query = Query { most: 3, ..Query::default() };
    let pages = std::iter::from_fn(|| {
        let found = archive.history(&query).unwrap();
        all.extend(found.events);
        query.after = Some(found.next?);
        Some(())
    });
    assert_eq!(pages.count(), 1);
    assert_eq!(all.len(), 4);
    assert_eq!(archive.lines(all[3].0).unwrap(), lines);
    assert_eq!((&all[3].1.reason[..], all[3].1.until, all[3].1.count), ("because", first.until, 1));
    store.close();
}

#[test]
fn lists_and_what_was_found_in_the_kernel_have_no_history_but_by_hand() {
    let directory = tempfile::tempdir().unwrap();
    let (mut store, _) = open(directory.path());
    let (feed, adopted) = (banned("192.0.2.1/32", "feed.x", at(0)), banned("192.0.2.2/32", ADOPTED, at(0)));
    note(&mut store, [Verdict::Ban(feed.clone()), Verdict::Unban(adopted.clone(), Ending::Expired)]);
    store.note(&Verdict::Unban(feed, Ending::ByHand), at(1), Some(&"root".into()), Vec::new());
    store.note(&Verdict::Unban(adopted, Ending::ByHand), at(2), Some(&"root".into()), Vec::new());
    let (store, _) = reopened(store, directory.path());
    assert_eq!(told(&store, &Query::default()), [(2, "192.0.2.2/32".into(), "by_hand", Some("root".into()))]);
    store.close();
}

#[test]
fn offenders_are_counted_for_the_next_start() {
    let directory = tempfile::tempdir().unwrap();
    let (mut store, _) = open(directory.path());
    let now = Timestamp::now();
    let ago = |days: i64| now.checked_sub(jiff::SignedDuration::from_hours(24 * days)).unwrap();
    for (prefix, jail, days) in [
        ("192.0.2.1/32", "sshd", 91),
        ("192.0.2.1/32", "sshd", 80),
        ("192.0.2.1/32", "sshd", 3),
        ("192.0.2.1/32", "web", 2),
        ("192.0.2.2/32", "sshd", 92),
        ("2001:db8::/64", "sshd", 1),
    ] {
        note(&mut store, [Verdict::Ban(banned(prefix, jail, ago(days)))]);
    }
    note(&mut store, [Verdict::Unban(banned("192.0.2.1/32", "sshd", ago(1)), Ending::Expired)]);
    let (store, memory) = reopened(store, directory.path());
    store.close();
    let offenders: Vec<_> =
        memory.offenders.iter().map(|known| (known.prefix.to_string(), &*known.jail, known.count)).collect();
    assert_eq!(
        offenders,
        [
            ("2001:db8::/64".into(), "sshd", 1),
            ("192.0.2.1/32".into(), "web", 1),
            ("192.0.2.1/32".into(), "sshd", 3)
        ]
    );
    assert_eq!(memory.offenders[2].last.as_microsecond(), ago(3).as_microsecond());
}

#[test]
fn what_is_old_goes_with_its_lines_and_the_limits_may_change() {
    let directory = tempfile::tempdir().unwrap();
    let (mut store, _) = open(directory.path());
    let now = Timestamp::now();
    let before = |seconds| now.checked_sub(jiff::SignedDuration::from_secs(seconds)).unwrap();
    for seconds in [7_776_100, 86_500, 10] {
        let verdict = Verdict::Ban(banned("192.0.2.1/32", "sshd", before(seconds)));
        store.note(&verdict, now, None, vec![line(b"x")]);
    }
    store.commit();
    until(|| count(&store) == 2);
    store.set_limits(Limits { keep: Duration::from_secs(86_400), ..Limits::default() });
    until(|| count(&store) == 1);
    store.close();
    let database = rusqlite::Connection::open(directory.path().join(FILE)).unwrap();
    let lines: i64 = database.query_row("SELECT count(*) FROM evidence", [], |row| row.get(0)).unwrap();
    assert_eq!(lines, 1);
}

#[test]
fn a_store_that_is_too_large_loses_the_oldest_of_its_history_and_gives_room_back() {
    let directory = tempfile::tempdir().unwrap();
    let (mut store, _) = open(directory.path());
    let now = Timestamp::now();
    let file = directory.path().join(FILE);
    for number in 0..20_000_u32 {
        let address = Ipv4Addr::from_bits(0x0a00_0000 + number);
        let verdict = Verdict::Ban(banned(&format!("{address}/32"), "sshd", now));
        store.note(&verdict, now, None, vec![line(&[b'x'; 400])]);
    }
    let (mut store, memory) = reopened(store, directory.path());
    assert_eq!((count(&store), memory.bans.len(), memory.offenders.len()), (20_000, 20_000, 20_000));
    let large = std::fs::metadata(&file).unwrap().len();
    assert!(large > 12 << 20, "{large}");
    store.set_limits(Limits { max_size: 8 << 20, ..Limits::default() });
    until(|| count(&store) < 20_000);
    until(|| std::fs::metadata(&file).unwrap().len() <= 9 << 20);
    let (store, memory) = reopened(store, directory.path());
    let kept = count(&store);
    assert!((1..20_000).contains(&kept), "{kept}");
    assert_eq!(memory.bans.len(), 20_000, "bans in force never go");
    let newest = store.archive().unwrap().history(&Query { most: 1, ..Query::default() }).unwrap();
    assert_eq!(newest.events[0].1.prefix.to_string(), "10.0.78.31/32");
    store.close();
}

/// A trigger stands for a full disk.
#[test]
fn a_history_that_cannot_be_written_costs_no_ban_and_no_time() {
    let directory = tempfile::tempdir().unwrap();
    // Whoever is beside gets a turn between two attempts.
    let pace = Pace { retry: Duration::from_millis(500), ..HURRIED };
    let (mut store, _) = Store::open_with(directory.path(), Limits::default(), pace).unwrap();
    let beside = rusqlite::Connection::open(directory.path().join(FILE)).unwrap();
    beside.busy_timeout(Duration::from_secs(60)).unwrap();
    beside
        .execute_batch(
            "CREATE TRIGGER full BEFORE INSERT ON history BEGIN SELECT RAISE(FAIL, 'disk is full'); END",
        )
        .unwrap();
    let now = Timestamp::now();
    const BANS: u32 = 40_000;
    for number in 0..BANS {
        let address = Ipv4Addr::from_bits(0x0a00_0000 + number);
        let verdict = Verdict::Ban(banned(&format!("{address}/32"), "sshd", now));
        store.note(&verdict, now, None, vec![line(&[b'x'; 400]); 5]);
        store.commit();
    }
    // That none of it waited for the disk shows in that nothing is on it.
    until(|| !store.is_durable());
    let rows = |table: &str| -> i64 {
        beside.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0)).unwrap()
    };
    assert_eq!((rows("bans"), rows("history")), (0, 0));
    beside.execute_batch("DROP TRIGGER full").unwrap();
    until(|| store.is_durable());
    let (store, memory) = reopened(store, directory.path());
    assert_eq!(memory.bans.len(), BANS as usize, "every ban");
    let kept = count(&store);
    assert!(kept > 5_000 && kept < BANS as usize, "the history is bounded: {kept}");
    let newest = store.archive().unwrap().history(&Query { most: 1, ..Query::default() }).unwrap();
    assert_eq!(
        newest.events[0].1.prefix.to_string(),
        format!("{}/32", Ipv4Addr::from_bits(0x0a00_0000 + BANS - 1))
    );
    store.close();
}

#[test]
fn a_clock_that_went_back_loses_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let (mut store, _) = open(directory.path());
    let now = Timestamp::now();
    let later = now.checked_add(jiff::SignedDuration::from_hours(24 * 365)).unwrap();
    note(&mut store, [Verdict::Ban(banned("192.0.2.1/32", "sshd", later))]);
    let (mut store, memory) = reopened(store, directory.path());
    assert_eq!((memory.bans.len(), memory.offenders.len()), (1, 1));
    note(&mut store, [Verdict::Ban(banned("192.0.2.2/32", "sshd", now))]);
    store.commit();
    until(|| count(&store) == 2);
    let (store, _) = reopened(store, directory.path());
    let prefixes: Vec<String> = told(&store, &Query::default()).into_iter().map(|row| row.1).collect();
    assert_eq!(prefixes, ["192.0.2.1/32", "192.0.2.2/32"], "by their time");
    store.close();
}

#[test]
fn the_format_before_becomes_this_one() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join(FILE);
    let database = rusqlite::Connection::open(&path).unwrap();
    database
        .execute_batch(
            "PRAGMA journal_mode = WAL;
             CREATE TABLE bans (prefix TEXT NOT NULL, jail TEXT NOT NULL, since INTEGER NOT NULL, until INTEGER,
                 count INTEGER NOT NULL, source TEXT NOT NULL, reason TEXT NOT NULL, services TEXT,
                 PRIMARY KEY (prefix, jail)) WITHOUT ROWID;
             CREATE TABLE positions (path BLOB PRIMARY KEY, device INTEGER NOT NULL, inode INTEGER NOT NULL,
                 offset INTEGER NOT NULL, from_device INTEGER NOT NULL, from_inode INTEGER NOT NULL,
                 from_offset INTEGER NOT NULL) WITHOUT ROWID;
             CREATE TABLE allowed (prefix TEXT PRIMARY KEY, since INTEGER NOT NULL, until INTEGER, reason TEXT NOT NULL)
                 WITHOUT ROWID;
             INSERT INTO allowed VALUES ('192.0.2.5/32', 7, NULL, 'the office');
             INSERT INTO bans VALUES ('192.0.2.1/32', 'sshd', 1, NULL, 4, 'auth.log', 'x', 'tcp/22');
             INSERT INTO positions VALUES (CAST('/var/log/x' AS BLOB), 1, 2, 3, 1, 2, 3);
             PRAGMA user_version = 2;",
        )
        .unwrap();
    drop(database);
    let archive = Archive::of(directory.path());
    let error = archive.stats(None).unwrap_err();
    assert!(matches!(error, StoreError::Older { found: 2, .. }), "{error}");
    let (mut store, memory) = open(directory.path());
    assert_eq!((memory.bans.len(), memory.bans[0].count), (1, 4));
    assert_eq!((&*memory.allowed[0].reason, &memory.allowed[0].who), ("the office", &None));
    let (key, reading) = memory.readings.first_key_value().unwrap();
    assert_eq!((&*key.source, key.stream.to_str()), ("/var/log/x", Some("/var/log/x")));
    assert_eq!(
        (reading.from.to_string(), reading.until.to_string()),
        ("file 1 2 3".into(), "file 1 2 3".into())
    );
    note(&mut store, [Verdict::Ban(banned("192.0.2.9/32", "sshd", at(0)))]);
    store.close();
    let database = rusqlite::Connection::open(&path).unwrap();
    let pragma = |name| database.pragma_query_value(None, name, |row| row.get::<_, i64>(0)).unwrap();
    assert_eq!((pragma("user_version"), pragma("auto_vacuum")), (6, 2), "it can shrink");
    assert_eq!(archive.history(&Query { most: 9, ..Query::default() }).unwrap().events.len(), 1);
}

#[test]
fn the_history_adds_up() {
    let directory = tempfile::tempdir().unwrap();
    let (mut store, _) = open(directory.path());
    for (prefix, jail, second) in [
        ("192.0.2.1/32", "sshd", 0),
        ("192.0.2.1/32", "sshd", 800),
        ("192.0.2.2/32", "sshd", 1_000),
        ("198.51.100.1/32", "web", 1_000),
        ("2001:db8:1:2::/64", "web", 2_000),
        ("2001:db8:1:3::/64", "web", 2_000),
        ("2001:db8:1:3::/64", "web", -5),
    ] {
        note(&mut store, [Verdict::Ban(banned(prefix, jail, at(second)))]);
    }
    let gone = banned("192.0.2.1/32", "sshd", at(0));
    store.note(&Verdict::Unban(gone, Ending::ByHand), at(9), None, Vec::new());
    let (store, _) = reopened(store, directory.path());
    let stats = store.archive().unwrap().stats(Some(at(0))).unwrap();
    store.close();
    let jails: Vec<_> =
        stats.jails.iter().map(|jail| (&*jail.jail, jail.bans, jail.unbans, jail.offenders)).collect();
    assert_eq!(jails, [("sshd", 3, 1, 2), ("web", 3, 0, 3)]);
    let networks: Vec<_> =
        stats.networks.iter().map(|known| (known.network.to_string(), known.bans, known.offenders)).collect();
    assert_eq!(
        networks,
        [("192.0.2.0/24".into(), 3, 2), ("2001:db8:1::/48".into(), 2, 2), ("198.51.100.0/24".into(), 1, 1)]
    );
    let quarters: Vec<_> =
        stats.quarters.iter().map(|(time, bans)| (time.as_second() - 1_800_000_000, *bans)).collect();
    assert_eq!(quarters, [(0, 2), (900, 2), (1_800, 2)]);
}

#[test]
fn a_store_in_memory_remembers_until_it_ends() {
    let mut store = Store::in_memory(Limits::default());
    let other = Store::in_memory(Limits::default());
    assert!(!store.is_durable());
    store.note(
        &Verdict::Ban(banned("192.0.2.1/32", "sshd", Timestamp::now())),
        at(0),
        None,
        vec![line(b"x")],
    );
    store.commit();
    until(|| count(&store) == 1);
    assert_eq!(count(&other), 0, "each has its own");
    other.close();
    store.close();
}

#[test]
fn a_history_nobody_wrote_is_an_error_that_says_so() {
    let directory = tempfile::tempdir().unwrap();
    let error = Archive::of(directory.path()).stats(None).unwrap_err();
    assert!(error.to_string().starts_with("cannot read the history in "), "{error}");
    let database = rusqlite::Connection::open(directory.path().join(FILE)).unwrap();
    database.pragma_update(None, "user_version", 99).unwrap();
    assert!(matches!(Archive::of(directory.path()).stats(None), Err(StoreError::Newer { found: 99, .. })));
}

#[test]
fn an_end_that_moves_is_no_history() {
    let directory = tempfile::tempdir().unwrap();
    let (mut store, _) = open(directory.path());
    let first = banned("192.0.2.1/32", "sshd", Timestamp::now());
    note(&mut store, [Verdict::Ban(first.clone())]);
    let until = first.until.and_then(|until| until.checked_add(Duration::from_secs(600)).ok());
    let later = Ban { until, ..first.clone() };
    store.note_moved(&later);
    let (mut store, memory) = reopened(store, directory.path());
    assert_eq!(
        (memory.bans[0].until.map(Timestamp::as_second), count(&store)),
        (until.map(Timestamp::as_second), 1)
    );
    note(&mut store, [Verdict::Unban(later, Ending::ByHand)]);
    let (store, memory) = reopened(store, directory.path());
    store.close();
    assert_eq!(memory.offenders[0].until.map(Timestamp::as_second), until.map(Timestamp::as_second));
}
