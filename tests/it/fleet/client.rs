//! A client of the test's own, which runs inside a machine with any key it is given: this very binary, started again.
//!
//! Each line of `KBAN_CLIENT` is one thing to do: `pub SUBJECT REPLY PAYLOAD` (`-` for no reply, `\n` for a newline), `req SUBJECT PAYLOAD`,
//! `sub SUBJECT`, `flood SUBJECT TIMES`. It prints what came of it, one line each, and what the server said meanwhile.

use std::path::Path;
use std::sync::mpsc;
use std::time::Duration;

use async_nats::{ConnectOptions, Event};

use super::{FIREWALL, PORT, Site};
use crate::harness::{stderr, stdout};

/// The name of this test, by which it is started again.
const SELF: &str = "fleet::client::what_a_client_does";

impl Site {
    /// What a client with the key in `seed` gets to hear that does `lines` on the machine `who`, under the name `name`.
    pub(super) fn client(&self, who: &str, seed: &Path, name: &str, lines: &[String]) -> Vec<String> {
        let mut command = self.command(who, &std::env::current_exe().unwrap());
        command.args(["--exact", SELF, "--ignored", "--nocapture"]);
        command.env("KBAN_CLIENT", lines.join("\n")).env("KBAN_CLIENT_SEED", seed);
        command.env("KBAN_CLIENT_CA", self.path("fw", "fleet/ca.pem")).env("KBAN_CLIENT_NAME", name);
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}{}", stdout(&output), stderr(&output));
        stdout(&output).lines().filter_map(|line| line.strip_prefix("> ").map(str::to_owned)).collect()
    }
}

#[test]
#[ignore = "a part of other tests"]
fn what_a_client_does() {
    let setting = |name: &str| std::env::var(name).unwrap();
    let seed = std::fs::read_to_string(setting("KBAN_CLIENT_SEED")).unwrap();
    let (told, events) = mpsc::channel();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let client = ConnectOptions::with_nkey(seed.trim().to_owned())
            .add_root_certificates(setting("KBAN_CLIENT_CA").into())
            .require_tls(true)
            .custom_inbox_prefix(format!("_INBOX.{}", setting("KBAN_CLIENT_NAME")))
            .request_timeout(Some(Duration::from_secs(2)))
            .event_callback(move |event| {
                if let Event::ServerError(error) = event {
                    let _ = told.send(error.to_string());
                }
                std::future::ready(())
            })
            .connect(format!("tls://{FIREWALL}:{PORT}"))
            .await;
        let client = match client {
            Ok(client) => client,
            Err(error) => return println!("> not connected: {error}"),
        };
        for line in setting("KBAN_CLIENT").lines() {
            let mut words = line.splitn(4, ' ');
            let (what, subject) = (words.next().unwrap(), words.next().unwrap().to_owned());
            match what {
                "pub" => {
                    let (reply, payload) = (words.next().unwrap(), words.next().unwrap_or(""));
                    let payload = payload.replace("\\n", "\n");
                    let sent = match reply {
                        "-" => client.publish(subject, payload.into()).await,
                        reply => client.publish_with_reply(subject, reply.to_owned(), payload.into()).await,
                    };
                    sent.unwrap();
                }
                "flood" => {
                    for _ in 0..words.next().unwrap().parse().unwrap() {
                        client.publish(subject.clone(), "{}".into()).await.unwrap();
                    }
                }
                "sub" => std::mem::forget(client.subscribe(subject).await.unwrap()),
                _ => {
                    let payload = words.collect::<Vec<_>>().join(" ");
                    match client.request(subject.clone(), payload.into()).await {
                        Ok(answer) => println!("> {subject}: {}", String::from_utf8_lossy(&answer.payload)),
                        Err(error) => println!("> {subject}: {error}"),
                    }
                }
            }
            client.flush().await.unwrap();
            // A refusal comes as an event, some time later.
            tokio::time::sleep(Duration::from_millis(200)).await;
            for error in events.try_iter() {
                println!("> refused {line}: {error}");
            }
        }
    });
}
