//! Through a real database.

mod history;

use super::*;
use crate::jail::Ending;
use crate::source::{FilePosition, Position};
use std::ffi::OsStr;
use std::net::{IpAddr, Ipv4Addr};

/// Nobody waits.
const HURRIED: Pace = Pace { every: Duration::from_millis(1), retry: Duration::from_millis(5) };

fn open(directory: &Path) -> (Store, Memory) {
    Store::open_with(directory, Limits::default(), HURRIED).unwrap()
}

fn note(store: &mut Store, verdicts: impl IntoIterator<Item = Verdict>) {
    let now = Timestamp::now();
    verdicts.into_iter().for_each(|verdict| store.note(&verdict, now, None, Vec::new()));
}

fn ban(prefix: &str, until: Option<i64>) -> Ban {
    Ban {
        prefix: prefix.parse().unwrap(),
        jail: "sshd".into(),
        since: "2026-11-21T06:00:00.25Z".parse().unwrap(),
        until: until.map(|second| Timestamp::from_second(second).unwrap()),
        count: 3,
        source: "/var/log/auth.log".into(),
        reason: "because".into(),
        services: None,
        renew: None,
    }
}

fn auth_log() -> StreamKey {
    let path = "/var/log/auth.log";
    StreamKey { source: path.into(), stream: OsStr::new(path).into() }
}

#[test]
fn what_was_committed_is_there_after_reopening() {
    let directory = tempfile::tempdir().unwrap();
    let (mut store, memory) = open(directory.path());
    assert!(memory.bans.is_empty() && memory.readings.is_empty());
    let renew = crate::tier::Tier::of(Duration::from_secs(u64::from(u32::MAX)));
    let kept = [Ban { renew, ..ban("192.0.2.1/32", Some(1_900_000_000)) }, ban("2001:db8::/64", None)];
    note(&mut store, [Verdict::Ban(ban("192.0.2.9/32", None))]);
    note(&mut store, kept.clone().map(Verdict::Ban));
    store.commit();
    note(&mut store, [Verdict::Unban(ban("192.0.2.9/32", None), Ending::Expired)]);
    let place = |offset| Position::File(FilePosition { device: u64::MAX, inode: 2, offset, print: None });
    let reading = Reading { from: place(77), until: place(99) };
    store.note_reading(auth_log(), reading.clone());
    let [ban, other] = kept.clone();
    let allowed = Allowance {
        prefix: ban.prefix,
        since: ban.since,
        until: ban.until,
        reason: "x".into(),
        who: Some("anna".into()),
    };
    let gone = Allowance { prefix: other.prefix, until: None, ..allowed.clone() };
    store.note_allowed(&allowed);
    store.note_allowed(&gone);
    store.commit();
    store.note_disallowed(&gone, None, gone.since);
    store.close();

    let (store, memory) = open(directory.path());
    store.close();
    assert_eq!(memory.bans, kept);
    assert_eq!(memory.allowed, [allowed]);
    assert_eq!(memory.readings.into_iter().collect::<Vec<_>>(), [(auth_log(), reading)]);
}

#[test]
fn places_are_forgotten_when_they_are_and_known_to_be_old_after_a_week() {
    let directory = tempfile::tempdir().unwrap();
    let (mut store, _) = open(directory.path());
    let place = Position::File(FilePosition { device: 1, inode: 2, offset: 3, print: None });
    let key = |stream: &str| StreamKey { source: "/var/log/*".into(), stream: OsStr::new(stream).into() };
    for stream in ["new", "old", "gone"] {
        store.note_reading(key(stream), Reading { from: place.clone(), until: place.clone() });
    }
    store.close();
    let database = rusqlite::Connection::open(directory.path().join(FILE)).unwrap();
    let aged = "UPDATE readings SET noted = noted - 8 * 86400000000 WHERE stream <> CAST('new' AS BLOB)";
    assert_eq!(database.execute(aged, []).unwrap(), 2);
    drop(database);
    let (mut store, memory) = open(directory.path());
    assert_eq!(memory.readings.len(), 3);
    assert_eq!(memory.stale, [key("gone"), key("old")].into());
    store.forget_reading(key("gone"));
    store.close();
    let (store, memory) = open(directory.path());
    store.close();
    assert_eq!(memory.readings.into_keys().collect::<Vec<_>>(), [key("new"), key("old")]);
}

/// A trigger stands for a full disk: the statement fails, and works again when the trigger is gone.
#[test]
fn a_failed_write_is_said_kept_and_made_good() {
    let directory = tempfile::tempdir().unwrap();
    let (mut store, _) = open(directory.path());
    let beside = rusqlite::Connection::open(directory.path().join(FILE)).unwrap();
    beside
        .execute_batch(
            "CREATE TRIGGER full BEFORE INSERT ON bans BEGIN SELECT RAISE(FAIL, 'disk is full'); END",
        )
        .unwrap();
    note(
        &mut store,
        [Verdict::Ban(ban("192.0.2.1/32", None)), Verdict::Ban(ban("192.0.2.2/32", Some(1_900_000_000)))],
    );
    store.commit();
    until(|| !store.is_durable());
    // What comes meanwhile is kept as well, and the newer row replaces the older.
    let position = Position::File(FilePosition { device: 1, inode: 2, offset: 99, print: None });
    store.note_reading(auth_log(), Reading { from: position.clone(), until: position });
    note(&mut store, [Verdict::Ban(ban("192.0.2.2/32", None))]);
    store.commit();
    let rows = |table: &str| -> i64 {
        beside.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0)).unwrap()
    };
    assert_eq!((rows("bans"), rows("readings")), (0, 0), "a position never moves on without its bans");

    beside.execute_batch("DROP TRIGGER full").unwrap();
    until(|| store.is_durable());
    store.close();
    let (store, memory) = open(directory.path());
    store.close();
    assert_eq!(memory.bans, [ban("192.0.2.1/32", None), ban("192.0.2.2/32", None)]);
    assert_eq!(memory.readings.len(), 1);
}

#[test]
fn what_failed_is_tried_once_more_at_the_end() {
    let directory = tempfile::tempdir().unwrap();
    let (mut store, _) =
        Store::open_with(directory.path(), Limits::default(), Pace { retry: Duration::MAX, ..HURRIED })
            .unwrap();
    let beside = rusqlite::Connection::open(directory.path().join(FILE)).unwrap();
    beside
        .execute_batch("CREATE TRIGGER full BEFORE INSERT ON bans BEGIN SELECT RAISE(FAIL, 'full'); END")
        .unwrap();
    note(&mut store, [Verdict::Ban(ban("192.0.2.1/32", None))]);
    store.commit();
    until(|| !store.is_durable());
    beside.execute_batch("DROP TRIGGER full").unwrap();
    store.close();
    assert_eq!(open(directory.path()).1.bans, [ban("192.0.2.1/32", None)]);
}

#[test]
fn a_disk_that_fails_for_long_fills_no_memory() {
    let mut waiting = Batch::default();
    let row = |n: usize| {
        ((IpNet::from(IpAddr::from(Ipv4Addr::from_bits(u32::try_from(n).unwrap()))), "j".into()), None)
    };
    assert!(!waiting.is_much());
    waiting.merge(Batch { bans: (0..MOST_WAITING).map(row).collect(), ..Batch::default() });
    assert!(waiting.is_much());
    waiting.merge(Batch { bans: (0..MOST_WAITING).map(row).collect(), ..Batch::default() });
    assert!(!waiting.is_too_much(), "rows of one name are one row");
    waiting.merge(Batch { bans: [row(MOST_WAITING)].into(), ..Batch::default() });
    assert!(waiting.is_too_much());
}

#[test]
fn whoever_waits_when_told_to_loses_no_history() {
    let mut waiting = Batch::default();
    let event =
        || Event::new(&Verdict::Ban(ban("192.0.2.1/32", None)), Timestamp::UNIX_EPOCH, None, Vec::new());
    while !waiting.is_much() {
        waiting.history.push(event());
    }
    // As many again as come in one go before that is heard.
    (0..4_000).for_each(|_| waiting.history.push(event()));
    assert_eq!(waiting.history.lost, 0);
    assert!(waiting.history.events.len() > 10_000);
}

fn until(so: impl Fn() -> bool) {
    let begin = std::time::Instant::now();
    while !so() {
        assert!(begin.elapsed() < Duration::from_secs(60), "it never came to pass");
        std::thread::sleep(Duration::from_millis(2));
    }
}

#[test]
fn a_damaged_file_is_set_aside() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join(FILE), vec![7; 4096]).unwrap();
    let (store, memory) = open(directory.path());
    assert!(store.is_durable() && memory.bans.is_empty());
    store.close();
    assert_eq!(std::fs::read(directory.path().join("kban.sqlite3.damaged")).unwrap(), vec![7; 4096]);
}

#[test]
fn a_damaged_file_takes_its_log_with_it() {
    let directory = tempfile::tempdir().unwrap();
    let write = |name: &str, bytes: &[u8]| std::fs::write(directory.path().join(name), bytes).unwrap();
    write(FILE, &[7; 4096]);
    write("kban.sqlite3-wal", b"log");
    write("kban.sqlite3.damaged-shm", b"of an earlier accident");
    open(directory.path()).0.close();
    let read = |name: &str| std::fs::read(directory.path().join(name)).ok();
    assert_eq!(read("kban.sqlite3.damaged-wal").as_deref(), Some(&b"log"[..]));
    assert_ne!(read("kban.sqlite3.damaged-shm").as_deref(), Some(&b"of an earlier accident"[..]));
}

#[test]
fn a_row_that_makes_no_sense_is_skipped() {
    let directory = tempfile::tempdir().unwrap();
    let (mut store, _) = open(directory.path());
    note(&mut store, [Verdict::Ban(ban("192.0.2.1/32", None))]);
    store.close();
    let database = rusqlite::Connection::open(directory.path().join(FILE)).unwrap();
    database
        .execute_batch(
            "INSERT INTO bans VALUES ('192.0.2.300', 'sshd', 1, NULL, 1, '', '', NULL, NULL);
             INSERT INTO bans VALUES ('192.0.2.3', 'sshd', 'today', NULL, 1, '', '', NULL, NULL);
             INSERT INTO bans VALUES ('192.0.2.4', 'sshd', 1, NULL, -1, '', '', NULL, NULL);
             INSERT INTO readings VALUES ('/var/log/x', X'78', 'here', 'file 1 1 1', 1);",
        )
        .unwrap();
    drop(database);
    let (store, memory) = open(directory.path());
    store.close();
    assert_eq!(memory.bans, [ban("192.0.2.1/32", None)]);
    assert!(memory.readings.is_empty());
    assert!(!directory.path().join("kban.sqlite3.damaged").exists());
}

#[test]
fn a_newer_format_is_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let database = rusqlite::Connection::open(directory.path().join(FILE)).unwrap();
    database.pragma_update(None, "user_version", 99).unwrap();
    drop(database);
    assert!(matches!(
        Store::open(directory.path(), Limits::default()),
        Err(StoreError::Newer { found: 99, .. })
    ));
}

/// What was told before the damage was met is void.
#[test]
fn damage_amid_the_bans_is_told() {
    let directory = tempfile::tempdir().unwrap();
    let (mut store, _) = open(directory.path());
    for number in 0..30_000_u32 {
        let prefix = IpNet::from(IpAddr::from(Ipv4Addr::from_bits(0x0b00_0000 + number))).to_string();
        note(&mut store, [Verdict::Ban(ban(&prefix, None))]);
    }
    store.close();
    let file = directory.path().join(FILE);
    let mut bytes = std::fs::read(&file).unwrap();
    let last = bytes.windows(12).rposition(|text| text == b"11.0.99.9/32").unwrap();
    let page = last / 4096 * 4096;
    bytes[page..page + 4096].fill(0xa5);
    std::fs::write(&file, &bytes).unwrap();

    let (store, memory, recalling) = Store::begin_with(directory.path(), Limits::default(), HURRIED).unwrap();
    let told: Vec<Recalled> = recalling.collect();
    assert!(matches!(told.first(), Some(Recalled::Bans(_))), "{:?}", told.first());
    assert!(matches!(told.last(), Some(Recalled::Damaged)), "{:?}", told.last());
    assert!(memory.bans.is_empty() && store.is_durable());
    store.close();
    assert!(open(directory.path()).1.bans.is_empty());
    assert_eq!(std::fs::read(directory.path().join("kban.sqlite3.damaged")).unwrap(), bytes);
}
