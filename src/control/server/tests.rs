//! Clients that behave badly, over a real socket, and the real client where it matters how it takes it.

use std::future::Future;
use std::path::PathBuf;

use super::*;
use crate::control::client::{Client, ClientError};

const PATIENT: Patience = Patience { line: Duration::from_secs(60), idle: Duration::from_secs(60) };
const HURRIED: Patience = Patience { line: Duration::from_millis(20), idle: Duration::from_millis(20) };

/// A server behind which every request lifts seven bans, and the way to it.
fn with_server<F: Future<Output = ()>>(patience: Patience, body: impl FnOnce(PathBuf) -> F) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("control.sock");
    runtime.block_on(async {
        let (calls, mut requests) = mpsc::channel::<Call>(1);
        let _server = Server::start_with(
            Place::Path(path.clone()),
            "no-such-group",
            Ends { calls, events: Events::default() },
            patience,
        )
        .unwrap();
        tokio::spawn(async move {
            while let Some(call) = requests.recv().await {
                let _ = call.reply.send(Answer::Lifted { bans: 7 });
            }
        });
        timeout(Duration::from_secs(60), body(path)).await.expect("nothing keeps a client waiting");
    });
}

/// One end of a conversation, byte by byte.
struct Raw(BufReader<UnixStream>);

impl Raw {
    async fn connect(path: &Path) -> Self {
        Self(BufReader::new(UnixStream::connect(path).await.unwrap()))
    }

    async fn greeted(path: &Path) -> Self {
        let mut raw = Self::connect(path).await;
        raw.say(&serde_json::to_string(&Hello::of("test")).unwrap()).await;
        assert_eq!(serde_json::from_str::<Hello>(&raw.hear().await).unwrap(), Hello::of("kband"));
        raw
    }

    async fn say(&mut self, line: &str) {
        self.0.get_mut().write_all(format!("{line}\n").as_bytes()).await.unwrap();
    }

    /// The next line; empty when the other end has hung up.
    async fn hear(&mut self) -> String {
        let mut line = String::new();
        match self.0.read_line(&mut line).await {
            Ok(_) => line,
            // It hung up before it had read everything.
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => String::new(),
            Err(error) => panic!("{error}"),
        }
    }

    async fn refused(&mut self) -> Refused {
        let line = self.hear().await;
        match serde_json::from_str(&line) {
            Ok(Answer::Refused(refused)) => refused,
            other => panic!("no refusal: {line:?} {other:?}"),
        }
    }
}

#[test]
fn a_request_is_answered_and_one_that_is_not_understood_does_no_harm() {
    with_server(PATIENT, async |path| {
        let mut client = Raw::greeted(&path).await;
        client.say(r#"{"request":"dance"}"#).await;
        let refused = client.refused().await;
        assert!(refused.kind == Kind::Usage && refused.message.contains("dance"), "{refused:?}");
        client.say(r#"{"request":"flush"}"#).await;
        assert!(client.hear().await.contains("7"));
    });
}

#[test]
fn a_line_without_end_is_refused() {
    with_server(PATIENT, async |path| {
        for (length, answered) in [(LONGEST_REQUEST - 1, true), (LONGEST_REQUEST, false)] {
            let mut client = Raw::greeted(&path).await;
            // Blanks before the document are part of the line.
            let request = r#"{"request":"flush"}"#;
            client.say(&(" ".repeat(length - request.len()) + request)).await;
            if answered {
                assert!(client.hear().await.contains("7"));
            } else {
                assert!(client.refused().await.message.contains("65536 bytes"));
                assert_eq!(client.hear().await, "", "and that is the end");
            }
        }
    });
}

#[test]
fn one_client_too_many_is_told_so_and_the_next_is_served() {
    with_server(PATIENT, async |path| {
        let mut clients = Vec::new();
        for _ in 0..CONNECTIONS {
            clients.push(Raw::greeted(&path).await);
        }
        let client = path.clone();
        let refused =
            tokio::task::spawn_blocking(move || Client::connect(&client)).await.unwrap().unwrap_err();
        let ClientError::Refused(refused) = refused else { panic!("{refused}") };
        assert!(refused.message.contains("serves 32 clients already"), "{refused:?}");
        let mut first = clients.pop().unwrap();
        first.0.get_mut().shutdown().await.unwrap();
        assert_eq!(first.hear().await, "");
        // The place is free when the task has ended, which may be a moment after it hung up.
        loop {
            let client = path.clone();
            match tokio::task::spawn_blocking(move || Client::connect(&client)).await.unwrap() {
                Ok(_) => break,
                Err(ClientError::Refused(_)) => tokio::task::yield_now().await,
                Err(error) => panic!("{error}"),
            }
        }
    });
}

#[test]
fn who_says_nothing_is_let_go() {
    with_server(HURRIED, async |path| {
        assert_eq!(Raw::connect(&path).await.hear().await, "");
        assert_eq!(Raw::greeted(&path).await.hear().await, "", "between two requests as well");
        let mut half = Raw::connect(&path).await;
        half.0.get_mut().write_all(b"{\"protocol\"").await.unwrap();
        assert_eq!(half.hear().await, "");
    });
}

#[test]
fn another_protocol_is_refused_with_both_versions() {
    with_server(PATIENT, async |path| {
        let mut client = Raw::connect(&path).await;
        client.say(r#"{"protocol":99,"program":"banctl 9.9"}"#).await;
        let message = client.refused().await.message;
        let ours = format!("kband {} speaks protocol {PROTOCOL}", env!("CARGO_PKG_VERSION"));
        assert!(message.contains(&ours) && message.contains("banctl 9.9 speaks 99"), "{message}");
        assert_eq!(client.hear().await, "");
    });
}

#[test]
fn whoever_does_not_say_hello_is_told_to() {
    with_server(PATIENT, async |path| {
        for garbage in ["GET / HTTP/1.1", r#"{"request":"flush"}"#, "\u{0}\u{1b}[2J", "[[[[[[[["] {
            let mut client = Raw::connect(&path).await;
            client.say(garbage).await;
            let refused = client.refused().await;
            assert!(refused.kind == Kind::Usage && refused.message.contains("hello"), "{refused:?}");
            assert_eq!(client.hear().await, "");
        }
    });
}

#[test]
fn a_second_server_is_refused_and_a_dead_ones_socket_replaced() {
    with_server(PATIENT, async |path| {
        let (calls, _requests) = mpsc::channel(1);
        let second =
            Server::start(Place::Path(path.clone()), "no-such-group", calls.clone(), Events::default());
        assert!(matches!(second, Err(ServerError::AlreadyRunning { .. })));
        let dead = path.with_file_name("dead.sock");
        drop(std::os::unix::net::UnixListener::bind(&dead).unwrap());
        assert!(Server::start(Place::Path(dead.clone()), "no-such-group", calls, Events::default()).is_ok());
        assert!(!dead.exists(), "it is removed at the end");
    });
}

#[tokio::test]
async fn root_the_own_user_and_the_group_may_and_nobody_else() {
    let own = geteuid().as_raw();
    let stranger = own.wrapping_add(12_345);
    let group = Some(Gid::from_raw(777_777));
    assert!(may_use(0, 1, None).await);
    assert!(may_use(own, 1, None).await);
    assert!(!may_use(stranger, 777_777, None).await, "without a group there are no members");
    assert!(may_use(stranger, 777_777, group).await);
    assert!(!may_use(stranger, 1, group).await);
    // Whoever the system's database calls a member of something. A fresh Debian has none.
    for line in std::fs::read_to_string("/etc/group").unwrap().lines() {
        let fields: Vec<&str> = line.split(':').collect();
        let [_, _, gid, members] = fields[..] else { continue };
        for member in members.split(',').filter_map(|name| User::from_name(name).ok().flatten()) {
            let group = Some(Gid::from_raw(gid.parse().unwrap()));
            assert!(may_use(member.uid.as_raw(), 1, group).await, "{line}");
            assert!(!may_use(member.uid.as_raw(), 1, Some(Gid::from_raw(777_777))).await, "{line}");
        }
    }
}

#[test]
fn who_asks_is_named_unless_names_are_not_to_be_kept() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let root = runtime.block_on(Who::of(0));
    assert_eq!((&*root.shown(true), &*root.shown(false)), ("root", "uid 0"));
    let nobody = runtime.block_on(Who::of(u32::MAX - 7));
    assert_eq!(&*nobody.shown(true), "uid 4294967288");
}
