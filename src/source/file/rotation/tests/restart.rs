//! What a restart reads again, and what of that is new.

use super::*;

#[test]
fn a_restart_goes_on_where_it_left_off() {
    let mut bench = Bench::new();
    bench.add("log", "1\nha");
    assert_eq!(bench.settle(), "1\n");
    let stored = bench.last;
    bench.add("log", "lf\n");
    bench.restart(stored);
    assert_eq!(bench.settle(), "half\n");

    // Rotated twice meanwhile.
    let stored = bench.last;
    bench.add("log", "2\n");
    bench.rotate();
    bench.add("log", "3\n");
    bench.rotate();
    bench.add("log", "4\n");
    bench.restart(stored);
    assert_eq!(bench.settle(), "2\n3\n4\n");

    // Moved away under a name that says nothing, with nothing in its place.
    let stored = bench.last;
    bench.add("log", "5\n");
    fs::rename(bench.path("log"), bench.path("kept")).unwrap();
    bench.restart(stored);
    assert_eq!(bench.settle(), "5\n");
    bench.add("log", "6\n");
    assert_eq!(bench.settle(), "6\n");
}

#[test]
fn a_restart_does_not_read_older_generations() {
    let mut bench = Bench::new();
    for n in 0..5 {
        bench.add("log", &format!("{n}\n"));
        bench.settle();
        bench.rotate();
    }
    bench.add("log", "5\n");
    bench.settle();
    let stored = bench.last;
    bench.rotate();
    bench.add("log", "6\n");
    bench.restart(stored);
    assert_eq!(bench.settle(), "6\n");
    bench.rotate();
    assert_eq!(bench.settle(), "");
}

#[test]
fn a_restart_after_which_the_old_file_is_gone_reads_the_whole_new_one() {
    let mut bench = Bench::new();
    bench.add("log", "1\n");
    bench.settle();
    // Kept open, so that its inode number is not given to the next file.
    let _old = bench.create();
    fs::remove_file(bench.path("log")).unwrap();
    bench.add("log", "2\n");
    bench.restart(bench.last);
    assert_eq!(bench.settle(), "2\n");
}

#[test]
fn a_restart_with_another_device_number_finds_the_file_by_inode() {
    let mut bench = Bench::new();
    bench.add("log", "1\n");
    bench.settle();
    bench.add("log", "2\n");
    let stored = bench.last.map(|position| FilePosition { device: position.device + 1, ..position });
    bench.restart(stored);
    assert_eq!(bench.settle(), "2\n");
}

#[test]
fn a_restart_tells_what_is_known_from_what_is_new() {
    let mut bench = Bench::new();
    bench.add("log", "1\n2\n3\n");
    let until = bench.end_of("log");
    bench.add("log", "4\n");
    bench.restart_with(Some(Reading { from: bench.place("log", 2), until }));
    assert_eq!(bench.settle_divided(), ("2\n3\n".into(), "4\n".into()));
    bench.rotate();
    bench.add("log", "5\n");
    assert_eq!(bench.settle_divided(), (String::new(), "5\n".into()));
}

#[test]
fn a_restart_after_truncation_knows_nothing_of_the_file() {
    for (from, text) in
        [(0, "new\n"), (4, "new\n"), (4, "new 1\n"), (0, "long enough\n"), (4, "long enough\n")]
    {
        let mut bench = Bench::new();
        bench.add("log", "1\n2\n3\n4\n");
        let until = bench.end_of("log");
        let from = bench.place("log", from);
        fs::write(bench.path("log"), text).unwrap();
        bench.restart_with(Some(Reading { from, until }));
        assert_eq!(bench.settle_divided(), (String::new(), text.into()), "{from:?}");
        assert_eq!(bench.follower.restarts(), 1);
    }
}

#[test]
fn a_restart_after_two_rotations_knows_all_of_the_file_in_between() {
    let mut bench = Bench::new();
    bench.add("log", "1\n2\n");
    let from = bench.place("log", 2);
    bench.rotate();
    bench.add("log", "3\n");
    bench.rotate();
    bench.add("log", "4\n");
    let until = bench.end_of("log");
    bench.add("log", "5\n");
    bench.restart_with(Some(Reading { from, until }));
    assert_eq!(bench.settle_divided(), ("2\n3\n4\n".into(), "5\n".into()));

    // One rotation more while nobody reads.
    bench.rotate();
    bench.add("log", "6\n");
    bench.restart_with(Some(Reading { from, until }));
    assert_eq!(bench.settle_divided(), ("2\n3\n4\n".into(), "5\n6\n".into()));

    // The oldest one is compressed meanwhile.
    fs::rename(bench.path("log.3"), bench.dir.path().join("elsewhere.gz")).unwrap();
    fs::remove_file(bench.path("elsewhere.gz")).unwrap();
    bench.restart_with(Some(Reading { from, until }));
    assert_eq!(bench.settle_divided(), ("4\n".into(), "5\n6\n".into()));
}

#[test]
fn what_an_older_file_gets_after_a_restart_is_new() {
    let mut bench = Bench::new();
    bench.add("log", "1\n");
    let from = bench.place("log", 0);
    bench.rotate();
    bench.add("log", "2\n");
    bench.restart_with(Some(Reading { from, until: bench.end_of("log") }));
    assert_eq!(bench.settle_divided(), ("1\n2\n".into(), String::new()));
    bench.add("log.1", "late\n");
    assert_eq!(bench.settle_divided(), (String::new(), "late\n".into()));
}

#[test]
fn a_known_line_that_has_got_its_end_meanwhile_is_not_new() {
    let mut bench = Bench::new();
    bench.add("log", "1\nhalf");
    let until = bench.end_of("log");
    bench.add("log", " and half\n2\n");
    bench.restart_with(Some(Reading { from: bench.place("log", 0), until }));
    assert_eq!(bench.settle_divided(), ("1\nhalf\n".into(), " and half\n2\n".into()));
}

#[test]
fn a_new_file_under_an_old_inode_number_is_a_new_file() {
    let mut bench = Bench::new();
    bench.add("log", "1\n2\n");
    let until = bench.end_of("log");
    // As if it had been deleted, and its number given to this one.
    fs::write(bench.path("log"), "another one\n").unwrap();
    bench.restart(Some(until));
    assert_eq!(bench.settle_divided(), (String::new(), "another one\n".into()));
    // A position that an older version stored.
    bench.restart(Some(FilePosition { print: None, ..until }));
    assert_eq!(bench.settle(), "her one\n");
}
