use ratatui::Terminal;
use ratatui::backend::TestBackend;

use super::super::feed::Input;
use super::super::state::tests::{ban, event, failure};
use super::*;

fn screen(state: &State, columns: u16, rows: u16) -> String {
    let mut terminal = Terminal::new(TestBackend::new(columns, rows)).unwrap();
    terminal.draw(|frame| draw(frame, state)).unwrap();
    let buffer = terminal.backend().buffer().clone();
    let lines = buffer.content.chunks(usize::from(columns));
    let lines = lines.map(|line| line.iter().map(|cell| cell.symbol()).collect::<String>());
    lines.map(|line| line.trim_end().to_owned() + "\n").collect()
}

fn attacked(blocks: bool) -> State {
    let mut state = State::new(String::new(), blocks);
    let mut status = crate::cli::status::tests::busy();
    // How long it is up depends on the clock.
    status.started = Timestamp::now();
    state.take(Input::Status(Box::new(status)));
    for (second, address) in [(1, "203.0.113.1"), (2, "203.0.113.2"), (3, "203.0.113.2"), (4, "2001:db8::1")]
    {
        state.take(event(second, failure(address, "sshd\u{1b}[2J")));
        state.take(Input::Tick);
    }
    state.take(event(5, ban("203.0.113.2")));
    state.take(Input::Tick);
    state
}

#[test]
fn it_fits_eighty_columns_and_is_harmless() {
    let text = screen(&attacked(true), 80, 24);
    assert!(!text.contains('\u{1b}'), "{text:?}");
    for part in [
        "4 banned",
        "340 packets dropped",
        "203.0.113.2",
        "banned",
        "LATELY",
        "4 a minute",
        "q quit",
        "postfix",
        "\u{2588}",
    ] {
        assert!(text.contains(part), "{part} is missing in\n{text}");
    }
}

/// Times are of this machine's zone, and how long it is up depends on the clock.
#[test]
fn the_screen_is_as_it_is() {
    let text = screen(&attacked(true), 80, 24);
    let times = fancy_regex::Regex::new(r"\d\d:\d\d:\d\d|up \ds").unwrap();
    insta::assert_snapshot!(times.replace_all(&text, "(time)"));
}

#[test]
fn a_small_terminal_and_one_without_blocks_have_what_matters() {
    for (columns, rows) in [(40, 12), (20, 5), (1, 1), (200, 60)] {
        let text = screen(&attacked(false), columns, rows);
        assert!(text.is_ascii(), "{text}");
        assert_eq!(text.lines().count(), usize::from(rows));
        assert!(columns < 40 || text.contains("203.0.113.2"), "{text}");
    }
}

#[test]
fn what_was_asked_for_is_shown_over_the_list() {
    let mut state = attacked(true);
    state.take(Input::Told { about: "203.0.113.2".into(), text: "BANNED\nby \u{1b}[2Jsshd\n".into() });
    let text = screen(&state, 80, 24);
    assert!(text.starts_with("why 203.0.113.2\n\nBANNED\nby \\u{1b}[2Jsshd\n"), "{text}");
    state.take(Input::Silent("no kband listens".into()));
    state.mode = Mode::List;
    assert!(screen(&state, 80, 24).contains("no kband listens"));
}
