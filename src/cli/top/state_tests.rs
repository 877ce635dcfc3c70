use super::*;
use crate::control::events::{Banned, Event};

pub(in crate::cli::top) fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + second).unwrap()
}

pub(in crate::cli::top) fn event(second: i64, what: What) -> Input {
    Input::Event(Event { schema: 1, time: at(second), what })
}

pub(in crate::cli::top) fn failure(address: &str, jail: &str) -> What {
    What::Failure {
        jail: jail.into(),
        address: address.into(),
        source: "log".into(),
        logged: at(0),
        attempts: 1,
    }
}

pub(in crate::cli::top) fn ban(address: &str) -> What {
    What::Ban(Banned {
        jail: "sshd".into(),
        address: address.into(),
        until: None,
        count: 1,
        ports: None,
        source: "log".into(),
        reason: "3 failures".into(),
    })
}

fn press(state: &mut State, keys: &str) -> Then {
    let mut then = Then::Draw;
    for key in keys.chars() {
        let code = match key {
            '\n' => KeyCode::Enter,
            '\u{1b}' => KeyCode::Esc,
            key => KeyCode::Char(key),
        };
        then = state.take(Input::Key(code.into()));
    }
    then
}

fn listed(state: &State) -> Vec<String> {
    state.rows().iter().map(|row| crate::jail::shown(&row.prefix)).collect()
}

fn attacked() -> State {
    let mut state = State::new(String::new(), true);
    for (second, address) in [(1, "203.0.113.1"), (2, "203.0.113.2"), (3, "203.0.113.2"), (4, "2001:db8::1")]
    {
        state.take(event(second, failure(address, if second == 4 { "postfix" } else { "sshd" })));
    }
    state
}

#[test]
fn whoever_rises_is_on_top_and_sinks_when_it_is_quiet() {
    let mut state = attacked();
    assert_eq!(listed(&state), ["203.0.113.2", "2001:db8::1", "203.0.113.1"]);
    for _ in 0..u64::try_from(SLICES).unwrap() * SLICE {
        state.take(Input::Tick);
    }
    state.take(event(99, failure("203.0.113.1", "sshd")));
    assert_eq!(listed(&state)[0], "203.0.113.1");
    press(&mut state, "s");
    assert_eq!(listed(&state).len(), 3);
    assert_eq!(state.sort, Sort::Failures);
    press(&mut state, "ss");
    assert_eq!(listed(&state), ["203.0.113.1", "203.0.113.2", "2001:db8::1"]);
    assert_eq!((state.failures.len(), state.failures.front()), (61, Some(&1)));
}

#[test]
fn networks_are_the_sum_of_their_members() {
    let mut state = attacked();
    press(&mut state, "n");
    let rows = state.rows();
    assert_eq!(listed(&state), ["203.0.113.0/24", "2001:db8::/48"]);
    assert_eq!((rows[0].members, rows[0].offender.failures, rows[0].offender.lately()), (2, 3, 3));
}

#[test]
fn a_filter_chooses_by_address_and_jail() {
    let mut state = attacked();
    press(&mut state, "/post\n");
    assert_eq!(listed(&state), ["2001:db8::1"]);
    assert_eq!(state.lately().count(), 1);
    press(&mut state, "/\u{1b}");
    assert_eq!((listed(&state).len(), state.lately().count()), (3, 4));
    // Keys are letters while the filter is typed.
    press(&mut state, "/q");
    assert_eq!((state.filter.as_str(), &state.mode), ("q", &Mode::Filter));
}

#[test]
fn a_ban_is_lifted_only_after_a_yes() {
    let mut state = attacked();
    assert_eq!(press(&mut state, "u"), Then::Draw);
    assert_eq!(state.said, "203.0.113.2 is not banned");
    state.take(event(5, ban("203.0.113.2")));
    assert_eq!(press(&mut state, "un"), Then::Draw);
    assert_eq!(state.mode, Mode::List);
    let prefix: IpNet = "203.0.113.2/32".parse().unwrap();
    assert_eq!(press(&mut state, "uy"), Then::Ask(Wish::Unban(prefix)));
    assert_eq!(press(&mut state, "w"), Then::Ask(Wish::Why(prefix)));
    state.take(event(
        6,
        What::Unban { jail: "sshd".into(), address: "203.0.113.2".into(), why: "expired".into() },
    ));
    assert!(state.rows().iter().all(|row| row.offender.banned.is_none()));
}

/// The address of a failure is one, that of its ban may be its network.
#[test]
fn the_ban_of_a_network_is_a_ban_of_its_members() {
    let mut state = attacked();
    state.take(event(5, ban("2001:db8::/64")));
    press(&mut state, "/2001\n");
    assert!(state.rows().iter().all(|row| row.offender.banned.is_some()));
    assert_eq!(press(&mut state, "uy"), Then::Ask(Wish::Unban("2001:db8::/64".parse().unwrap())));
}

#[test]
fn nothing_grows() {
    let mut state = State::new(String::new(), true);
    for number in 0..u32::try_from(OFFENDERS).unwrap() + 100 {
        let address = std::net::Ipv4Addr::from(0x0a00_0000 + number).to_string();
        state.take(event(i64::from(number), failure(&address, "sshd")));
        state.take(Input::Tick);
    }
    assert_eq!(
        (state.offenders.len(), state.events.len(), state.failures.len()),
        (OFFENDERS, EVENTS, SECONDS)
    );
}

#[test]
fn it_ends_when_asked() {
    let mut state = attacked();
    assert_eq!(press(&mut state, "q"), Then::Quit);
    assert_eq!(state.take(Input::End), Then::Quit);
    let control_c = KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL);
    press(&mut state, "/");
    assert_eq!(state.take(Input::Key(control_c)), Then::Quit);
}
