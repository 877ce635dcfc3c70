//! What comes in: keys, signals, the daemon's events and its answers; each has a thread that waits for it.

use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread;
use std::time::{Duration, Instant};

use ipnet::IpNet;
use ratatui::crossterm::event::{self, Event as Terminal, KeyEvent, KeyEventKind};

use crate::cli::exit::Failure;
use crate::cli::{Shared, why};
use crate::control::client::{Client, ClientError};
use crate::control::events::Event;
use crate::control::protocol::{Answer, Request, Status};
use crate::control::recall::EventRow;

/// How often the status is asked for.
const SECOND: Duration = Duration::from_secs(1);

/// One thing that came in.
pub(super) enum Input {
    Key(KeyEvent),
    /// The terminal has another size: only to be drawn again.
    Resized,
    Event(Event),
    Status(Box<Status>),
    /// What had happened before, newest first.
    Past(Vec<EventRow>),
    /// A text about somebody, to be read.
    Told {
        about: String,
        text: String,
    },
    /// A sentence: what was done, or why not.
    Said(String),
    /// The daemon does not answer.
    Silent(String),
    /// A second has passed.
    Tick,
    /// Somebody wants us to end.
    End,
}

/// What the daemon is to be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wish {
    Why(IpNet),
    Unban(IpNet),
}

/// Starts all threads. They end with the process.
pub(super) fn start(shared: &Shared) -> Result<(Receiver<Input>, Sender<Wish>), Failure> {
    let (inputs, received) = mpsc::channel();
    let (wishes, wished) = mpsc::channel();
    let signals = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let to = inputs.clone();
    thread::spawn(move || until_signal(&signals, &to));
    let (to, daemon) = (inputs.clone(), shared.clone());
    thread::spawn(move || watch(&daemon, &to));
    let to = inputs.clone();
    thread::spawn(move || keys(&to));
    let to = inputs.clone();
    thread::spawn(move || tick(&to));
    let daemon = shared.clone();
    thread::spawn(move || ask(&daemon, &wished, &inputs));
    Ok((received, wishes))
}

/// Gone is who listened: the program ends.
struct Gone;

impl<T> From<mpsc::SendError<T>> for Gone {
    fn from(_: mpsc::SendError<T>) -> Self {
        Self
    }
}

fn until_signal(runtime: &tokio::runtime::Runtime, inputs: &Sender<Input>) {
    use tokio::signal::unix::{SignalKind, signal};
    runtime.block_on(async {
        let kinds = [SignalKind::terminate(), SignalKind::hangup(), SignalKind::interrupt()];
        let [Ok(mut term), Ok(mut hup), Ok(mut int)] = kinds.map(signal) else { return };
        tokio::select! { _ = term.recv() => {}, _ = hup.recv() => {}, _ = int.recv() => {} }
    });
    // Nobody listens if we end already.
    let _ = inputs.send(Input::End);
}

/// Time passes at its own pace, whatever the daemon is asked, and however long it takes to answer.
fn tick(inputs: &Sender<Input>) {
    let mut next = Instant::now();
    loop {
        next += SECOND;
        thread::sleep(next.saturating_duration_since(Instant::now()));
        if inputs.send(Input::Tick).is_err() {
            return;
        }
    }
}

fn keys(inputs: &Sender<Input>) {
    loop {
        let input = match event::read() {
            Ok(Terminal::Key(key)) if key.kind != KeyEventKind::Release => Input::Key(key),
            Ok(_) => Input::Resized,
            // The terminal is gone.
            Err(_) => Input::End,
        };
        let last = matches!(input, Input::End);
        if inputs.send(input).is_err() || last {
            return;
        }
    }
}

/// Tells what happens, from as many daemons as come and go.
fn watch(daemon: &Shared, inputs: &Sender<Input>) {
    loop {
        if let Err(Stop::Gone) = watch_one(daemon, inputs) {
            return;
        }
        thread::sleep(SECOND);
    }
}

enum Stop {
    Gone,
    /// The daemon's trouble is told by whoever asks for its status.
    Daemon,
}

impl From<Gone> for Stop {
    fn from(_: Gone) -> Self {
        Self::Gone
    }
}

impl From<ClientError> for Stop {
    fn from(_: ClientError) -> Self {
        Self::Daemon
    }
}

fn watch_one(daemon: &Shared, inputs: &Sender<Input>) -> Result<(), Stop> {
    let mut client = daemon.connect()?;
    let Answer::Watching = client.ask(&Request::Watch)? else { return Ok(()) };
    while let Some(line) = client.next_event()? {
        let event = client.understand_event(&line)?;
        inputs.send(Input::Event(event)).map_err(Gone::from)?;
    }
    Ok(())
}

/// Asks for the status every second, and for what is wished.
fn ask(daemon: &Shared, wished: &Receiver<Wish>, inputs: &Sender<Input>) {
    let (mut client, mut knows_past) = (None, false);
    loop {
        let again = Instant::now() + SECOND;
        let answered = asked(daemon, &mut client, &Request::Status);
        if !knows_past && answered.is_ok() {
            let past = Request::History { within: None, jail: None, since: None, after: None };
            // Without a history there is nothing to begin with.
            if let Ok(Answer::History { events, .. }) = asked(daemon, &mut client, &past)
                && inputs.send(Input::Past(events)).is_err()
            {
                return;
            }
            knows_past = true;
        }
        let input = match answered {
            Ok(Answer::Status(status)) => Input::Status(status),
            Ok(_) => Input::Silent("kband answers something else: install the same version of both".into()),
            Err(error) => Input::Silent(error.to_string()),
        };
        if inputs.send(input).is_err() {
            return;
        }
        loop {
            match wished.recv_timeout(again.saturating_duration_since(Instant::now())) {
                Ok(wish) if inputs.send(fulfil(daemon, &mut client, wish)).is_ok() => {}
                Err(RecvTimeoutError::Timeout) => break,
                Ok(_) | Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }
}

/// By the connection that is there, or a new one.
fn asked(daemon: &Shared, client: &mut Option<Client>, request: &Request) -> Result<Answer, ClientError> {
    let mut connected = match client.take() {
        Some(client) => client,
        None => daemon.connect()?,
    };
    let answer = connected.ask(request);
    // A refusal is an answer; after anything else the connection is of no more use.
    if matches!(answer, Ok(_) | Err(ClientError::Refused(_))) {
        *client = Some(connected);
    }
    answer
}

fn fulfil(daemon: &Shared, client: &mut Option<Client>, wish: Wish) -> Input {
    let (address, request) = match wish {
        Wish::Why(address) => (address, Request::Why { address }),
        Wish::Unban(address) => (address, Request::Unban { within: Some(address), jail: None }),
    };
    let about = crate::jail::shown(&address);
    match asked(daemon, client, &request) {
        Ok(Answer::Why(known)) => {
            let mut text = Vec::new();
            // Writing to memory cannot fail.
            let _ = why::print(&known, &mut text);
            Input::Told { about, text: String::from_utf8_lossy(&text).into_owned() }
        }
        Ok(Answer::Lifted { bans }) => {
            let bans = crate::cli::output::counted(bans, "ban", "bans");
            Input::Said(format!("{about}: {bans} lifted"))
        }
        Ok(_) => Input::Said("kband answered something else".into()),
        Err(error) => Input::Said(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::duration::Period;

    #[test]
    fn to_ask_something_makes_no_time_pass() {
        let nowhere = tempfile::tempdir().unwrap();
        let daemon = Shared {
            socket: Some(nowhere.path().join("none")),
            timeout: Period::HALF_A_DAY,
            json: false,
            config: None,
        };
        let (inputs, received) = mpsc::channel();
        let (wishes, wished) = mpsc::channel();
        for _ in 0..3 {
            wishes.send(Wish::Unban("203.0.113.9/32".parse().unwrap())).unwrap();
        }
        drop(wishes);
        ask(&daemon, &wished, &inputs);
        drop(inputs);
        let all: Vec<Input> = received.iter().collect();
        let said = all.iter().filter(|input| matches!(input, Input::Said(_))).count();
        assert!(said == 3 && matches!(all.first(), Some(Input::Silent(_))));
        assert!(!all.iter().any(|input| matches!(input, Input::Tick)));
    }
}
