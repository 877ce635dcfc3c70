//! `banctl top`: what happens at this moment, on one calm screen.
//!
//! [`state`] is what is known, and what keys do with it; [`view`] draws it; [`feed`] are the threads that talk to the
//! daemon and wait for keys. All of them end in one channel, so nothing here waits for two things at once.

mod feed;
mod state;
mod view;

use std::io::IsTerminal;
use std::sync::mpsc::{self, Receiver};
use std::time::Duration;

use clap::Args;
use ratatui::DefaultTerminal;

use self::feed::{Input, Wish};
use self::state::{State, Then};
use super::exit::{Exit, Failure, usage};
use super::{Shared, complete, output};

#[derive(Debug, Args)]
pub(super) struct Options {
    /// Only what is about this jail, address or network: a part of its name is enough.
    #[arg(value_name = "FILTER", add = complete::jails())]
    filter: Option<String>,
}

/// The screen is drawn no more often than this.
const FRAME: Duration = Duration::from_millis(60);
/// How much of what has happened goes into one drawing at most.
const TAKEN: usize = 10_000;

pub(super) fn run(shared: &Shared, options: &Options) -> Result<Exit, Failure> {
    let why_not = match std::env::var("TERM").as_deref() {
        _ if shared.json => Some("`top` is for eyes: `banctl watch --jsonl` tells programs what happens"),
        _ if !std::io::stdout().is_terminal() || !std::io::stdin().is_terminal() => {
            Some("`top` draws on a terminal, and this is none: `banctl status` or `banctl watch` print lines")
        }
        Ok("dumb" | "") | Err(_) => Some(
            "`top` draws, and this terminal cannot (TERM=dumb): `banctl status` or `banctl watch` print lines",
        ),
        Ok(_) => None,
    };
    if let Some(why_not) = why_not {
        return Err(usage(why_not));
    }
    // Whoever may not, or where nothing runs, is told so on a screen that is still as it was.
    shared.connect()?;
    let (inputs, wishes) = feed::start(shared)?;
    let mut state = State::new(options.filter.clone().unwrap_or_default(), output::speaks_utf8());
    // From here on a panic puts the terminal back, too.
    let mut terminal = ratatui::try_init()?;
    let ended = live(&mut terminal, &mut state, &inputs, &wishes);
    ratatui::restore();
    ended?;
    Ok(Exit::Done)
}

fn live(
    terminal: &mut DefaultTerminal,
    state: &mut State,
    inputs: &Receiver<Input>,
    wishes: &mpsc::Sender<Wish>,
) -> std::io::Result<()> {
    loop {
        terminal.draw(|frame| view::draw(frame, state))?;
        // All senders are gone when all threads have died; nothing will come any more.
        let Ok(first) = inputs.recv() else { return Ok(()) };
        for input in std::iter::once(first).chain(inputs.try_iter().take(TAKEN)) {
            match state.take(input) {
                Then::Draw => {}
                Then::Ask(wish) => {
                    // As above.
                    let _ = wishes.send(wish);
                }
                Then::Quit => return Ok(()),
            }
        }
        std::thread::sleep(FRAME);
    }
}
