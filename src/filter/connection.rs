//! What the lines of one connection add up to, for filters in TOML with `[connection]`.
//!
//! # Who may say what
//! Lines belong together when host, program and process id of their heads are the same, which the logging daemon wrote, or
//! when patterns capture the same `<F-CONN>` behind the same head. Who it is comes from `<HOST>`, as everywhere. When a line names another
//! address than the lines before it, the identifier is in use again, and what was known is of somebody else.
//!
//! # Nothing counts twice
//! A failure with its own address counts as it comes. It takes the place of what is withheld, and of as many failures as have
//! counted by the connection's address alone; afterwards those say nothing new.

use std::borrow::Cow;
use std::net::IpAddr;
use std::time::Duration;

use jiff::Timestamp;

use super::host::Host;
use super::own::Found;
use super::prefix::Head;
use super::recent::Recent;

/// How many connections are remembered.
const MOST: usize = 4096;
/// How long one is remembered after its first line.
const LONGEST: Duration = Duration::from_secs(3600);
/// How many of the last failures are remembered as counted.
const MOST_COUNTED: usize = 1024;

/// What a pattern says of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// A failure.
    Failure,
    /// Who it is.
    Known,
    /// A failure that counts when the connection ends without success.
    Withheld,
    /// The client is who it says.
    Success,
    /// The connection's end.
    Close,
}

impl Role {
    /// Its lines only tell what a later line may ask for.
    pub(super) fn is_late(self) -> bool {
        matches!(self, Self::Known | Self::Success)
    }
}

/// What comes of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// So many failures of this address; none: of the name in the line.
    Failed(Option<IpAddr>, u32),
    /// It says something about a connection.
    Partial,
    /// A connection ended, and nothing was owed.
    Forget,
    /// A success.
    Gain,
    /// Nothing: no line ever said who it is, and none can.
    Nobody,
}

/// What is known of one connection.
#[derive(Debug, Default)]
struct State {
    address: Option<IpAddr>,
    /// Failures that wait for an address or the end.
    owed: u32,
    /// Failures that counted by this connection's address.
    lent: u32,
}

/// The connections of one source, for one filter.
#[derive(Debug)]
pub(super) struct Connections {
    known: Recent<State>,
    /// Hashes of the connections of the last failures with an address of their own, in a ring: remembering each in `known`
    /// would cost more than finding it.
    counted: Box<[u64]>,
    next: usize,
}

impl Default for Connections {
    fn default() -> Self {
        Self { known: Recent::new(MOST, LONGEST), counted: vec![0; MOST_COUNTED].into_boxed_slice(), next: 0 }
    }
}

impl Connections {
    /// Whether the line asks for what is known of its connection. A failure that says who, on a connection that is not known,
    /// does not; most failures are such.
    pub(super) fn is_asked(&self, role: Role, found: &Found<'_>, head: &Head<'_>) -> bool {
        let is_known = || id(found, head).is_some_and(|id| self.known.contains(&id));
        role != Role::Failure || found.host.address().is_none() || !self.known.is_empty() && is_known()
    }

    /// What comes of a line, given those before it.
    pub(super) fn hear(&mut self, role: Role, found: &Found<'_>, head: &Head<'_>, now: Timestamp) -> Outcome {
        let attempts = head.attempts;
        let Some(id) = id(found, head) else {
            return match (role, found.host) {
                (Role::Failure, Host::Absent) => Outcome::Nobody,
                (Role::Failure, host) => Outcome::Failed(host.address(), attempts),
                (Role::Known | Role::Withheld, _) => Outcome::Nobody,
                (Role::Success, _) => Outcome::Gain,
                (Role::Close, _) => Outcome::Forget,
            };
        };
        let address = found.host.address();
        match role {
            Role::Failure if found.host != Host::Absent => self.failed(&id, address, attempts, now),
            Role::Failure => {
                if self.counted.contains(&hash(&id)) {
                    return Outcome::Partial;
                }
                let state = self.state(&id, None, now);
                match state.address {
                    Some(address) => {
                        state.lent = state.lent.saturating_add(attempts);
                        Outcome::Failed(Some(address), attempts)
                    }
                    None => {
                        state.owed = state.owed.saturating_add(attempts);
                        Outcome::Partial
                    }
                }
            }
            Role::Known => {
                self.state(&id, address, now);
                Outcome::Partial
            }
            Role::Withheld => {
                let state = self.state(&id, address, now);
                state.owed = state.owed.saturating_add(attempts);
                Outcome::Partial
            }
            Role::Success => {
                self.known.remove(&id, now);
                Outcome::Gain
            }
            Role::Close => {
                let Some(state) = self.forget(&id, now) else { return Outcome::Forget };
                match (state.address, address) {
                    (Some(known), Some(own)) if known != own => Outcome::Forget,
                    (known, own) => match known.or(own) {
                        Some(address) if state.owed > 0 => Outcome::Failed(Some(address), state.owed),
                        _ => Outcome::Forget,
                    },
                }
            }
        }
    }

    /// A failure whose line says who; without address, it has a name.
    fn failed(&mut self, id: &[u8], own: Option<IpAddr>, attempts: u32, now: Timestamp) -> Outcome {
        if let Some(place) = self.counted.get_mut(self.next) {
            *place = hash(id);
        }
        self.next = (self.next + 1) % MOST_COUNTED;
        let known = if self.known.is_empty() { None } else { self.known.get(id, now) };
        let Some(state) = known else { return Outcome::Failed(own, attempts) };
        let address = own.or(state.address);
        if state.address.is_some_and(|known| Some(known) != address) {
            *state = State::default();
        }
        state.address = address;
        state.owed = 0;
        let twice = state.lent.min(attempts);
        state.lent -= twice;
        match attempts - twice {
            0 => Outcome::Partial,
            new => Outcome::Failed(address, new),
        }
    }

    /// The state of a connection, of which a line may have said who it is.
    fn state(&mut self, id: &[u8], own: Option<IpAddr>, now: Timestamp) -> &mut State {
        let is_other = |state: &mut State| own.is_some() && state.address.is_some() && state.address != own;
        if self.known.get(id, now).is_some_and(is_other) {
            self.known.remove(id, now);
        }
        let state = self.known.get_or_default(id, now);
        state.address = state.address.or(own);
        state
    }

    /// The connection is over; its identifier may be another's next.
    fn forget(&mut self, id: &[u8], now: Timestamp) -> Option<State> {
        let over = hash(id);
        self.counted.iter_mut().filter(|counted| **counted == over).for_each(|counted| *counted = 0);
        self.known.remove(id, now)
    }
}

/// What names the connection; none if nothing does.
fn id<'a>(found: &Found<'a>, head: &Head<'a>) -> Option<Cow<'a, [u8]>> {
    // A line that the service wrote itself has no head, whatever its beginning looks like.
    let sender = if found.in_message { head.sender } else { b"" };
    match found.connection {
        Some(caught) => Some(Cow::Owned([sender, b"\n", caught].concat())),
        None if found.in_message => head.pid.map(|_| Cow::Borrowed(sender)),
        None => None,
    }
}

/// Each step is a bijection of the sum, so that texts of one length that differ in one word differ in the end.
fn hash(id: &[u8]) -> u64 {
    let mix = |sum: u64, word: u64| (sum ^ word).wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(29);
    let (mut sum, mut rest) = (id.len() as u64, id);
    while let Some((word, more)) = rest.split_first_chunk() {
        sum = mix(sum, u64::from_le_bytes(*word));
        rest = more;
    }
    mix(sum, rest.iter().fold(0, |word, byte| word << 8 | u64::from(*byte)))
}
