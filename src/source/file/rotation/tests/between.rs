//! What happens between two looks: files that nobody has seen at the path.

use super::*;

#[test]
fn rotations_between_two_looks_lose_nothing() {
    for rotations in [2, 3, 10, 80] {
        let mut bench = Bench::new();
        let mut expected = String::new();
        for n in 0..rotations {
            let line = format!("line {n}\n");
            bench.add("log", &line);
            expected.push_str(&line);
            bench.rotate();
        }
        bench.add("log", "last\n");
        expected.push_str("last\n");
        assert_eq!(bench.settle(), expected);
        assert!(bench.follower.files().count() <= MOST_OPEN);
        assert_eq!(bench.settle(), "");
    }
}

#[test]
fn a_file_that_is_renamed_right_after_it_was_opened_is_read_from_its_beginning() {
    for crowded in [false, true] {
        let mut bench = Bench::new();
        if crowded {
            for n in 1..2 * MOST_OPEN {
                bench.add(&format!("log.{n}"), "");
            }
        }
        bench.rotate();
        bench.add("log", "1\n");
        let opened = open::open(&bench.path("log")).unwrap();
        bench.rotate();
        bench.add("log", "2\n");
        assert_eq!(bench.follower.extend(opened, bench.now), !crowded);
        assert_eq!(bench.settle(), "1\n2\n");
    }
}

#[test]
fn dated_rotations_between_two_looks_lose_nothing() {
    let mut bench = Bench::new();
    for day in 10..20 {
        bench.add("log", &format!("{day}\n"));
        fs::rename(bench.path("log"), bench.path(&format!("log-202611{day}"))).unwrap();
    }
    assert_eq!(
        bench.settle(),
        "10\n11\n12\n13\n14\n15\n16\n17\n18\n19\n",
        "also while nothing is at the path"
    );
}

#[test]
fn generations_and_copies_that_were_there_before_are_not_read() {
    let mut bench = Bench::missing();
    bench.add("log.1", "old\n");
    bench.add("log", "");
    bench.check();
    bench.add("log", "1\n");
    fs::copy(bench.path("log"), bench.path("log.bak")).unwrap();
    fs::copy(bench.path("log"), bench.path("log.1.gz")).unwrap();
    bench.rotate();
    bench.rotate();
    assert_eq!(bench.settle(), "1\n");
    // Uncompressed by an administrator: written long ago.
    bench.add("log.9", "ancient\n");
    let long_ago = fs::FileTimes::new().set_modified(SystemTime::UNIX_EPOCH);
    OpenOptions::new().append(true).open(bench.path("log.9")).unwrap().set_times(long_ago).unwrap();
    bench.rotate();
    assert_eq!(bench.settle(), "");
}
