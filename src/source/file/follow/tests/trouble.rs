//! What goes wrong around a log: events lost, no events at all, no permission, no file.

use std::os::unix::fs::PermissionsExt;

use super::*;
use crate::namespace::{after_setup, in_mounts, run_program, without_privilege};
use crate::source::Manner;
use crate::source::file::error::FileError;

#[tokio::test]
async fn a_queue_overflow_makes_everybody_look() {
    let limit: usize =
        fs::read_to_string("/proc/sys/fs/inotify/max_queued_events").unwrap().trim().parse().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("log");
    File::create(&log).unwrap();
    let mut run = Run::one(&log, State::Following).await;
    // One thread runs both the test and the source: nothing is taken off the queue meanwhile.
    for _ in 0..limit / 2 + 10 {
        File::create(dir.path().join("other")).unwrap();
        fs::remove_file(dir.path().join("other")).unwrap();
    }
    add(&log, "1\n");
    rotate(&log, 3);
    add(&log, "2\n");
    run.expect("1\n2\n").await;
}

#[tokio::test]
async fn what_is_not_a_file_is_told_and_tried_again_when_it_changes() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("log");
    fs::create_dir(&log).unwrap();
    let mut run = Run::one(&log, State::Failed).await;
    assert_eq!(
        run.status().error.unwrap(),
        format!("{log:?} is a directory and not a log file: name a regular file")
    );
    fs::remove_dir(&log).unwrap();
    add(&log, "1\n");
    run.expect("1\n").await;
    assert_eq!((run.status().state, run.status().error), (State::Following, None));
}

fn run(body: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(body);
}

#[test]
fn without_permission() {
    without_privilege("source::file::follow::tests::trouble::without_permission", || {
        run(async {
            let dir = tempfile::tempdir().unwrap();
            let log = dir.path().join("log");
            add(&log, "old\n");
            let allow = |mode| fs::set_permissions(&log, fs::Permissions::from_mode(mode)).unwrap();
            allow(0o200);
            let mut run = Run::one(&log, State::Failed).await;
            assert_eq!(run.status().error.unwrap(), FileError::Denied { path: log.clone() }.to_string());
            add(&log, "1\n");
            allow(0o600);
            run.expect("1\n").await;
            assert_eq!(run.status().error, None);
        });
    });
}

#[test]
fn without_watches() {
    after_setup(
        "source::file::follow::tests::trouble::without_watches",
        "echo 1 > /proc/sys/user/max_inotify_watches",
        || {
            run(async {
                let dir = tempfile::tempdir().unwrap();
                let log = dir.path().join("log");
                File::create(&log).unwrap();
                let mut run = Run::one(&log, State::Following).await;
                let error = run.status().error.unwrap();
                assert!(
                    error.contains("limit of inotify watches") && error.contains("max_user_watches"),
                    "{error}"
                );
                add(&log, "1\n");
                rotate(&log, 3);
                add(&log, "2\n");
                run.expect("1\n2\n").await;
            });
        },
    );
}

#[test]
fn without_inotify() {
    after_setup(
        "source::file::follow::tests::trouble::without_inotify",
        "echo 0 > /proc/sys/user/max_inotify_instances",
        || {
            run(async {
                let dir = tempfile::tempdir().unwrap();
                let log = dir.path().join("log");
                let mut run = Run::one(&log, State::Waiting).await;
                assert!(run.status().error.unwrap().contains("max_user_instances"));
                add(&log, "1\n");
                run.expect("1\n").await;
            });
        },
    );
}

#[test]
fn growth_without_an_event() {
    in_mounts("source::file::follow::tests::trouble::growth_without_an_event", || {
        run(async {
            let dir = tempfile::tempdir().unwrap();
            let log = dir.path().join("log");
            File::create(&log).unwrap();
            let mut run = Run::one(&log, State::Following).await;
            assert_eq!(run.status().error, None);
            // What is mounted over a directory makes no event.
            run_program("mount", &["-t", "tmpfs", "none", dir.path().to_str().unwrap()]);
            add(&log, "1\n");
            assert_eq!(run.status().error, None, "the event may be on its way");
            let minute_ago = std::time::SystemTime::now() - Duration::from_secs(60);
            let times = fs::FileTimes::new().set_modified(minute_ago);
            OpenOptions::new().append(true).open(&log).unwrap().set_times(times).unwrap();
            let error = run.status().error.unwrap();
            assert!(error.contains("the kernel did not tell") && error.contains("poll = true"), "{error}");
            run.expect("1\n").await;
            assert!(run.status().error.is_some(), "it will happen again");
        });
    });
}

#[test]
fn polled() {
    in_mounts("source::file::follow::tests::trouble::polled", || {
        run(async {
            let dir = tempfile::tempdir().unwrap();
            let log = dir.path().join("log");
            File::create(&log).unwrap();
            let manner = Manner { poll: true, catch_up: None };
            let mut run = Run::start(vec![SourceConfig { manner, ..config(0, Input::File(log.clone())) }], 4);
            run.until_state(State::Following).await;
            run_program("mount", &["-t", "tmpfs", "none", dir.path().to_str().unwrap()]);
            add(&log, "1\n");
            run.expect("1\n").await;
            assert_eq!(run.status().error, None);
        });
    });
}
