//! Paths with wildcards: logs that come and go.

use super::*;
use crate::namespace::without_privilege;
use crate::source::file::family::MOST_LOGS;

impl Run {
    /// One pattern, left off where `stored` says; waits until it was looked at and `logs` of its logs are followed.
    async fn pattern(pattern: &Path, stored: Readings, logs: usize) -> Self {
        let config = SourceConfig { resume: stored, ..config(0, Input::File(pattern.to_owned())) };
        let run = Self::start(vec![config], 100);
        // The first look is part of the task's first turn.
        tokio::task::yield_now().await;
        run.following(logs).await;
        run
    }

    async fn following(&self, logs: usize) {
        self.eventually(|run| run.logs().len() == logs && run.status().lag.is_none()).await;
    }

    /// The logs that are followed, without the pattern itself.
    fn logs(&self) -> Vec<SourceStatus> {
        let all = self.sources.statuses().into_iter().filter(|status| status.lag.is_some());
        all.filter(|status| status.state == State::Following).collect()
    }

    fn readings(&self) -> Readings {
        let logs = self.logs().into_iter();
        logs.map(|log| {
            let at = log.position.unwrap();
            (log.stream, Reading { from: at.clone(), until: at })
        })
        .collect()
    }
}

#[tokio::test]
async fn new_files_and_directories_are_noticed() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    fs::create_dir_all(at("a/.vnc")).unwrap();
    add(&at("a/.vnc/old.log"), "old\n");
    let mut run = Run::pattern(&at("*/.vnc/*.log"), Readings::new(), 1).await;
    add(&at("a/.vnc/old.log"), "1\n");
    add(&at("a/.vnc/new.log"), "2\n");
    assert_eq!(run.lines(2).await, ["new.log: 2", "old.log: 1"]);
    fs::create_dir_all(at("b/.vnc")).unwrap();
    add(&at("b/.vnc/b.log"), "3\n");
    assert_eq!(run.lines(1).await, ["b.log: 3"]);
    fs::create_dir_all(at("elsewhere/.vnc")).unwrap();
    add(&at("elsewhere/.vnc/c.log"), "4\n");
    add(&at("elsewhere/.vnc/c.txt"), "not this\n");
    fs::rename(at("elsewhere"), at("c")).unwrap();
    assert_eq!(run.lines(1).await, ["c.log: 4"]);
    fs::remove_dir_all(at("b")).unwrap();
    add(&at("c/.vnc/c.log"), "5\n");
    assert_eq!(run.lines(1).await, ["c.log: 5"]);
}

#[tokio::test]
async fn a_pattern_whose_directory_appears_later_is_read_from_its_beginning() {
    let dir = tempfile::tempdir().unwrap();
    let mut run = Run::pattern(&dir.path().join("x/y/*.log"), Readings::new(), 0).await;
    assert_eq!(run.status().state, State::Waiting);
    fs::create_dir_all(dir.path().join("x/y")).unwrap();
    add(&dir.path().join("x/y/1.log"), "1\n");
    assert_eq!(run.lines(1).await, ["1.log: 1"]);
    assert_eq!(run.status().state, State::Following);
}

#[tokio::test]
async fn a_pattern_that_had_no_log_when_it_was_looked_at_is_known_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let pattern = dir.path().join("*.log");
    let run = Run::pattern(&pattern, Readings::new(), 0).await;
    let began = run.until(|status| status.began.is_some()).await.began.unwrap();
    assert_eq!(began.to_string().parse(), Ok(began.clone()), "it can be stored");
    drop(run);
    add(&dir.path().join("1.log"), "1\n");
    let stored = [(pattern.as_os_str().into(), Reading { from: began.clone(), until: began })].into();
    assert_eq!(Run::pattern(&pattern, stored, 1).await.lines(1).await, ["1.log: 1"]);
}

#[tokio::test]
async fn rotations_of_the_logs_of_a_pattern_are_read_once() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("app.log");
    File::create(&log).unwrap();
    // It matches every generation, too, and what logrotate makes of them.
    let mut run = Run::pattern(&dir.path().join("*"), Readings::new(), 1).await;
    let mut expected = Vec::new();
    for n in 10..30 {
        add(&log, format!("{n}\n"));
        expected.push(format!("app.log: {n}"));
        match n % 4 {
            0 => rotate(&log, 9),
            1 => {
                run.until_read().await;
                rotate(&log, 9);
                fs::rename(dir.path().join("app.log.1"), dir.path().join(format!("app.log.{n}.gz"))).unwrap();
            }
            2 => {
                fs::rename(&log, dir.path().join(format!("app.log-202611{n}"))).unwrap();
                File::create(&log).unwrap();
            }
            _ => {
                fs::copy(&log, dir.path().join("app.log.bak.gz")).unwrap();
                fs::copy(&log, dir.path().join("app.log.1")).unwrap();
                run.until_read().await;
                File::create(&log).unwrap();
            }
        }
    }
    add(&log, "last\n");
    expected.push("app.log: last".to_owned());
    assert_eq!(run.lines(expected.len()).await, expected);
    assert_eq!(run.logs().len(), 1);
}

impl Run {
    async fn until_read(&self) {
        self.eventually(|run| run.logs().iter().all(|log| log.lag == Some(0))).await;
        // The event of what was just written may be on its way.
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_log_that_is_renamed_within_its_pattern_is_read_on() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    add(&at("a.log"), "old\n");
    let mut run = Run::pattern(&at("*.log"), Readings::new(), 1).await;
    add(&at("a.log"), "1\n");
    assert_eq!(run.lines(1).await, ["a.log: 1"]);
    fs::rename(at("a.log"), at("b.log")).unwrap();
    add(&at("b.log"), "2\n");
    add(&at("a.log"), "3\n");
    let lines = run.lines(2).await;
    assert!(
        lines.iter().any(|line| line.ends_with(": 2")) && lines.contains(&"a.log: 3".into()),
        "{lines:?}"
    );
    run.following(2).await;
    // And while nobody reads.
    let stored = run.readings();
    drop(run);
    fs::rename(at("b.log"), at("c.log")).unwrap();
    add(&at("c.log"), "4\n");
    add(&at("new.log"), "5\n");
    let mut run = Run::pattern(&at("*.log"), stored, 3).await;
    assert_eq!(run.lines(2).await, ["c.log: 4", "new.log: 5"]);
}

#[tokio::test]
async fn a_log_that_was_renamed_and_replaced_while_nobody_read_is_read_once() {
    for name in ["0.log", "b.log"] {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        add(&at("a.log"), "old\n");
        let mut run = Run::pattern(&at("*.log"), Readings::new(), 1).await;
        add(&at("a.log"), "1\n");
        run.lines(1).await;
        run.until_read().await;
        let stored = run.readings();
        drop(run);
        fs::rename(at("a.log"), at(name)).unwrap();
        add(&at(name), "2\n");
        add(&at("a.log"), "3\n");
        let mut run = Run::pattern(&at("*.log"), stored, 2).await;
        run.until_read().await;
        for log in ["a.log", name] {
            add(&at(log), "last\n");
        }
        let mut expected =
            [format!("{name}: 2"), format!("{name}: last"), "a.log: 3".into(), "a.log: last".into()];
        expected.sort();
        assert_eq!(run.lines(4).await, expected);
        assert!(run.blocks.try_recv().is_err());
    }
}

/// As it is when the name under which a file was read has changed while it was read.
#[tokio::test]
async fn a_file_that_was_left_off_under_two_names_is_read_on_from_the_later_place() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    add(&at("a.log"), "1\n2\n");
    let reading = |offset| {
        let at = place(&at("a.log"), offset);
        Reading { from: at.clone(), until: at }
    };
    for (early, late, now) in
        [("a.log", "b.log", "a.log"), ("b.log", "a.log", "a.log"), ("a.log", "b.log", "b.log")]
    {
        let stored =
            [(early, 2), (late, 4)].map(|(name, offset)| (at(name).as_os_str().into(), reading(offset)));
        fs::rename(at("a.log"), at(now)).unwrap();
        let mut run = Run::pattern(&at("*.log"), stored.into(), 1).await;
        // Neither the other place nor the other name means anything any more.
        let other = if now == "a.log" { "b.log" } else { "a.log" };
        add(&at(other), "new\n");
        assert_eq!(run.lines(1).await, [format!("{other}: new")], "{early} {late} {now}");
        run.until_read().await;
        assert!(run.blocks.try_recv().is_err());
        drop(run);
        fs::remove_file(at(other)).unwrap();
        fs::rename(at(now), at("a.log")).unwrap();
    }
}

#[tokio::test]
async fn no_more_logs_are_read_than_a_thousand_and_it_is_told() {
    let dir = tempfile::tempdir().unwrap();
    for n in 0..MOST_LOGS + 7 {
        File::create(dir.path().join(format!("{n:04}.log"))).unwrap();
    }
    let mut run = Run::pattern(&dir.path().join("*.log"), Readings::new(), MOST_LOGS).await;
    let error = run.status().error.unwrap();
    assert!(error.contains("matches 7 files more than the 1024"), "{error}");
    // Every one of them has its turn.
    for n in 0..MOST_LOGS {
        add(&dir.path().join(format!("{n:04}.log")), "x\n");
    }
    let lines = run.lines(MOST_LOGS).await;
    assert!((0..MOST_LOGS).all(|n| lines[n] == format!("{n:04}.log: x")));
}

#[test]
fn a_directory_that_may_not_be_listed_is_told_and_read_once_it_may() {
    without_privilege(
        "source::file::follow::tests::patterns::a_directory_that_may_not_be_listed_is_told_and_read_once_it_may",
        || {
            let body = async {
                let dir = tempfile::tempdir().unwrap();
                let closed = dir.path().join("closed");
                fs::create_dir(&closed).unwrap();
                let allow = |mode| {
                    let mode = std::os::unix::fs::PermissionsExt::from_mode(mode);
                    fs::set_permissions(&closed, mode).unwrap();
                };
                allow(0o300);
                let mut run = Run::pattern(&dir.path().join("closed/*.log"), Readings::new(), 0).await;
                run.until(|status| status.error.as_ref().is_some_and(|it| it.contains("cannot be listed")))
                    .await;
                add(&closed.join("x.log"), "1\n");
                allow(0o700);
                assert_eq!(run.lines(1).await, ["x.log: 1"]);
                run.until(|status| status.error.is_none()).await;
            };
            tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(body);
        },
    );
}
