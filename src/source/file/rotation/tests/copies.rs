//! What `copytruncate` and other copies leave behind is read once.

use super::*;

#[test]
fn copytruncate_starts_over_and_does_not_read_the_copy() {
    let mut bench = Bench::new();
    bench.add("log", "1\n2\n");
    assert_eq!(bench.settle(), "1\n2\n");
    fs::copy(bench.path("log"), bench.path("log.1")).unwrap();
    File::create(bench.path("log")).unwrap();
    assert_eq!(bench.settle(), "");
    bench.add("log", "3\n");
    assert_eq!(bench.settle(), "3\n");
    bench.rotate();
    bench.add("log", "4\n");
    assert_eq!(bench.settle(), "4\n");
}

#[test]
fn what_was_not_read_before_truncating_is_read_in_the_copy() {
    let mut bench = Bench::new();
    bench.add("log", "1\nha");
    assert_eq!(bench.settle(), "1\n");
    for new in ["", "4\n", "more than there was before\n"] {
        bench.add("log", "lf\n2\nunended");
        fs::remove_file(bench.path("log.1")).ok();
        fs::copy(bench.path("log"), bench.path("log.1")).unwrap();
        fs::write(bench.path("log"), new).unwrap();
        assert_eq!(bench.settle(), format!("half\n2\n{new}"));
        bench.let_grace_pass();
        assert_eq!(bench.settle(), "unended\n", "as of any file that leaves");
        assert_eq!(bench.follower.files().count(), 1);
        File::create(bench.path("log")).unwrap();
        bench.add("log", "ha");
        assert_eq!(bench.settle(), "");
    }
}

#[test]
fn a_copy_without_truncating_is_not_read_after_the_next_rotation_either() {
    let mut bench = Bench::new();
    bench.add("log", "1\n");
    bench.settle();
    fs::copy(bench.path("log"), bench.path("log.1")).unwrap();
    bench.add("log", "2\n");
    bench.rotate();
    bench.add("log", "3\n");
    assert_eq!(bench.settle(), "2\n3\n");
}

#[test]
fn a_restart_after_copytruncate_reads_the_rest_in_the_copies() {
    for new in ["6\n", "longer than the old one was\n"] {
        for from in [0, 2, 4] {
            let mut bench = Bench::new();
            bench.add("log", "1\n2\n");
            let reading = Reading { from: bench.place("log", from), until: bench.end_of("log") };
            bench.add("log", "3\n");
            fs::copy(bench.path("log"), bench.path("log.2")).unwrap();
            fs::write(bench.path("log"), "4\n5\n").unwrap();
            fs::copy(bench.path("log"), bench.path("log.1")).unwrap();
            fs::write(bench.path("log"), new).unwrap();
            bench.restart_with(Some(reading));
            let again = "1\n2\n"[usize::try_from(from).unwrap()..].to_owned();
            assert_eq!(bench.settle_divided(), (again, format!("3\n4\n5\n{new}")), "from {from}");
        }
    }
}

#[test]
fn generations_that_begin_with_the_same_header_are_no_copies() {
    const HEADER: &str = "#Fields: date time c-ip cs-uri-stem\n";
    let mut bench = Bench::new();
    bench.add("log", HEADER);
    assert_eq!(bench.settle(), HEADER);
    bench.rotate();
    bench.add("log", &format!("{HEADER}1\n"));
    bench.rotate();
    bench.add("log", HEADER);
    assert_eq!(bench.settle(), format!("{HEADER}1\n{HEADER}"));
}

#[test]
fn the_last_line_of_a_truncated_file_is_read_although_another_is_in_its_place() {
    let mut bench = Bench::new();
    bench.add("log", "1\nunended");
    assert_eq!(bench.settle(), "1\n");
    fs::write(bench.path("log"), "2\n").unwrap();
    bench.rotate();
    bench.add("log", "3\n");
    assert_eq!(bench.settle(), "unended\n2\n3\n");
}

/// logrotate copies, then truncates: what is written and read in between is not in the copy.
#[test]
fn two_copies_of_which_the_first_ends_before_what_was_read() {
    for new in ["", "6\n", "longer than the old one was\n"] {
        let mut bench = Bench::new();
        bench.add("log", "1\n2\n");
        fs::copy(bench.path("log"), bench.path("log.1")).unwrap();
        bench.add("log", "3\nunended");
        assert_eq!(bench.settle(), "1\n2\n3\n");
        fs::write(bench.path("log"), "4\n5\n").unwrap();
        fs::rename(bench.path("log.1"), bench.path("log.2")).unwrap();
        fs::copy(bench.path("log"), bench.path("log.1")).unwrap();
        fs::write(bench.path("log"), new).unwrap();
        let mut lines: Vec<String> = bench.settle().lines().map(str::to_owned).collect();
        lines.sort();
        let mut expected: Vec<&str> = ["4", "5", "unended"].into_iter().chain(new.lines()).collect();
        expected.sort();
        assert_eq!(lines, expected);
    }
}

/// As logrotate does it: the generations move on, and the log is copied.
fn copy_away(bench: &Bench) {
    bench.rename_away();
    fs::rename(bench.path("log.1"), bench.path("log")).unwrap();
    fs::copy(bench.path("log"), bench.path("log.1")).unwrap();
}

#[test]
fn copies_that_were_read_are_remembered_however_often_it_is_truncated() {
    let mut bench = Bench::new();
    for n in 10..40 {
        bench.add("log", &format!("{n}\n"));
        copy_away(&bench);
        // Not in the copy: nothing tells where to go on.
        bench.add("log", "more\n");
        assert_eq!(bench.settle(), format!("{n}\nmore\n"));
        File::create(bench.path("log")).unwrap();
        assert_eq!(bench.settle(), "");
    }
}

#[test]
fn what_is_being_copied_when_truncating_is_noticed_is_read_where_it_is() {
    for copied in ["2\n", ""] {
        let mut bench = Bench::new();
        bench.add("log", "0\n1\n");
        copy_away(&bench);
        assert_eq!(bench.settle(), "0\n1\n");
        fs::write(bench.path("log"), "2\n").unwrap();
        bench.rename_away();
        fs::rename(bench.path("log.1"), bench.path("log")).unwrap();
        fs::write(bench.path("log.1"), copied).unwrap();
        assert_eq!(bench.settle(), "2\n");
        bench.add("log", "3\n");
        fs::copy(bench.path("log"), bench.path("log.1")).unwrap();
        fs::write(bench.path("log"), "4\n").unwrap();
        assert_eq!(bench.settle(), "3\n4\n");
    }
}

#[test]
fn a_file_that_is_truncated_before_it_was_its_turn_is_read_in_its_copy() {
    for times in 1..4 {
        let mut bench = Bench::new();
        bench.rotate();
        bench.add("log.1", "1\n");
        bench.add("log", "2\n");
        bench.check();
        let turn = bench.follower.read(&mut [0; 64], bench.now).unwrap();
        assert!(matches!(turn, Turn::Lines(lines, _) if lines.bytes == b"1\n"));
        let mut expected = String::new();
        for n in 2..2 + times {
            copy_away(&bench);
            fs::write(bench.path("log"), format!("{}\n", n + 1)).unwrap();
            expected.push_str(&format!("{n}\n"));
        }
        assert_eq!(bench.settle(), format!("{expected}{}\n", 2 + times));
    }
}
