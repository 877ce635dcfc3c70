//! Any interleaving of what writers, rotators and readers do hands over each line once.

use proptest::prelude::*;

use super::*;

#[derive(Debug, Clone)]
enum Op {
    Write(usize),
    Partial,
    /// The writer goes on in the old file until it reopens.
    Rotate,
    Reopen,
    DeleteAndRecreate,
    RenameOver,
    /// With the copy that logrotate makes; and what the writer has written before anybody looks again.
    CopyTruncate {
        lines: usize,
        times: usize,
        /// So many lines are written, and read, between the copying and the truncating.
        between: usize,
    },
    Look,
    Read,
    Settle,
    Grace,
    Restart,
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        6 => (1usize..40).prop_map(Op::Write),
        2 => Just(Op::Partial),
        4 => Just(Op::Rotate),
        3 => Just(Op::Reopen),
        1 => Just(Op::DeleteAndRecreate),
        1 => Just(Op::RenameOver),
        2 => (0usize..60, 1usize..4, 0usize..3)
            .prop_map(|(lines, times, between)| Op::CopyTruncate { lines, times, between }),
        3 => Just(Op::Look),
        3 => Just(Op::Read),
        2 => Just(Op::Settle),
        1 => Just(Op::Grace),
        1 => Just(Op::Restart),
    ]
}

struct World {
    bench: Bench,
    writer: File,
    /// What was written to each file between two truncations; the writer's is the one at `open`.
    files: Vec<String>,
    open: usize,
    /// The file at the path.
    current: usize,
    counter: usize,
    late: bool,
    stored: Option<FilePosition>,
    got: String,
}

impl World {
    fn new() -> Self {
        let bench = Bench::new();
        let writer = bench.create();
        let (files, got) = (vec![String::new()], String::new());
        Self { bench, writer, files, open: 0, current: 0, counter: 0, late: false, stored: None, got }
    }

    fn write(&mut self, text: &str) {
        self.writer.write_all(text.as_bytes()).unwrap();
        self.files[self.open].push_str(text);
        self.late |= self.open != self.current;
    }

    fn line(&mut self) {
        self.counter += 1;
        self.write(&format!("line {}\n", self.counter));
    }

    fn lines(&mut self, count: usize) {
        (0..count).for_each(|_| self.line());
    }

    /// As logrotate does it. The writer has the log open.
    fn copy_and_truncate(&mut self, between: usize) {
        let (log, copy) = (self.bench.path("log"), self.bench.path("log.1"));
        self.bench.rename_away();
        fs::rename(&copy, &log).unwrap();
        fs::copy(&log, &copy).unwrap();
        if between > 0 {
            self.lines(between);
            self.settle();
        }
        OpenOptions::new().write(true).truncate(true).open(&log).unwrap();
        self.new_current();
        self.open = self.current;
    }

    fn settle(&mut self) {
        self.got.push_str(&self.bench.settle());
        self.late = false;
    }

    fn new_current(&mut self) {
        self.files.push(String::new());
        self.current = self.files.len() - 1;
    }

    fn reopen(&mut self) {
        self.writer = self.bench.create();
        self.open = self.current;
    }

    /// The grace is over, and the writer no longer in an old file: nothing is due any more.
    fn grace(&mut self) {
        self.reopen();
        self.settle();
        self.bench.let_grace_pass();
        self.settle();
    }

    fn apply(&mut self, op: &Op) {
        match op {
            Op::Write(lines) => self.lines(*lines),
            Op::Partial => {
                self.counter += 1;
                self.write(&format!("partial {} ", self.counter));
            }
            Op::Rotate => {
                self.bench.rotate();
                self.new_current();
            }
            Op::Reopen => self.reopen(),
            Op::DeleteAndRecreate => {
                // A file has to be met before it is deleted.
                self.settle();
                fs::remove_file(self.bench.path("log")).unwrap();
                self.bench.create();
                self.new_current();
            }
            Op::RenameOver => {
                self.settle();
                self.counter += 1;
                let line = format!("prepared {}\n", self.counter);
                self.bench.add("prepared", &line);
                fs::rename(self.bench.path("prepared"), self.bench.path("log")).unwrap();
                self.new_current();
                self.files[self.current].push_str(&line);
            }
            Op::CopyTruncate { lines, times, between } => {
                // Of a file of which nothing was read, nobody can tell that it was truncated.
                self.grace();
                self.line();
                self.settle();
                for time in 0..*times {
                    self.lines(*lines);
                    // Once, while what was there before was read.
                    self.copy_and_truncate(if time == 0 { *between } else { 0 });
                }
                // A restart would not find the copy that ends before what was read, and so not know which came later.
                if *between > 0 {
                    self.settle();
                }
                self.lines(*lines);
            }
            Op::Look => {
                self.bench.check();
            }
            Op::Read => {
                let now = self.bench.now;
                let turn = self.bench.follower.read(&mut [0; 64], now).unwrap();
                if let Turn::Lines(lines, _) = turn {
                    self.got.push_str(std::str::from_utf8(&lines.bytes).unwrap());
                }
            }
            Op::Settle => self.settle(),
            Op::Grace => self.grace(),
            Op::Restart => {
                // Late lines, unended lines and deleted files are not covered by one position.
                if self.late || self.files.iter().any(|file| !file.is_empty() && !file.ends_with('\n')) {
                    self.grace();
                }
                if self.bench.follower.chain.iter().any(|link| link.tail.is_unlinked()) {
                    self.grace();
                }
                // A new process that was stopped before its first look has nothing better than what it was given.
                self.stored = self.bench.follower.position().or(self.stored);
                self.bench.begin(self.stored.map(|at| Reading { from: at, until: at }));
            }
        }
    }
}

fn sorted(text: &str) -> Vec<&str> {
    let mut lines: Vec<&str> = text.lines().collect();
    lines.sort_unstable();
    lines
}

proptest! {
    #[test]
    fn every_line_once(ops in proptest::collection::vec(op(), 1..40)) {
        let mut world = World::new();
        for op in &ops {
            world.apply(op);
        }
        world.grace();
        world.write("\n");
        world.grace();
        let mut written = String::new();
        for file in &world.files {
            written.push_str(file);
            if !file.is_empty() && !file.ends_with('\n') {
                written.push('\n');
            }
        }
        prop_assert_eq!(sorted(&world.got), sorted(&written));
    }
}
