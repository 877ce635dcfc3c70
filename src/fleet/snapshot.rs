//! Everything that is in force on the firewall, for an edge that knows nothing of it: in pages, each signed once.
//!
//! The stream has a message for each prefix, whose seals a late edge would look at a million times. A page has some two hundred bans
//! and one signature. The edge's own nonce is signed with it, so that no page can be shown again; pages are numbered and the
//! last one says so, so that none can be left out; and they are in order, so that whoever is not in them is not banned.
//! The floor is a serial number: decisions up to it are in the pages, or over.

use std::collections::VecDeque;

use ipnet::IpNet;
use jiff::Timestamp;
use nkeys::KeyPair;
use serde::{Deserialize, Serialize};

use super::decision::{Decision, Distrust};
use super::seal::{self, Reader};

/// The version of the document.
const VERSION: u32 = 1;
/// What every signed page begins with, and nothing else.
const WORDS: &[u8] = b"kban snapshot 1\n";
/// A page takes bans until its rows have so many bytes.
const FULL: usize = 12 * 1024;
/// The bytes of a row, at most: an IPv6 network and two times.
const ROW: usize = 96;
/// No page is longer, in bytes: it is what the server carries.
const LONGEST: usize = 16 * 1024;

/// A ban: whom, since when and until when (microseconds since 1970; `null`: until it is lifted), the place of its reason, and that of its ports
/// (`null`: all of them).
type Row = (IpNet, i64, Option<i64>, usize, Option<usize>);

/// A page as it is signed.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    v: u32,
    nonce: String,
    number: u32,
    floor: u64,
    now: Timestamp,
    last: bool,
    reasons: Vec<String>,
    ports: Vec<Vec<String>>,
    bans: Vec<Row>,
}

/// A page that can be trusted.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Page {
    /// Decisions up to this serial number are in the pages, or over.
    pub(super) floor: u64,
    /// What the firewall's clock said.
    pub(super) now: Timestamp,
    /// Whether there is none behind it.
    pub(super) last: bool,
    /// In order.
    pub(super) decisions: Vec<Decision>,
}

/// What the pages of one request have in common.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Request {
    /// What the edge has made up.
    pub(super) nonce: String,
    /// See [`Page::floor`].
    pub(super) floor: u64,
}

/// Signs page `number`, which takes what it has room for from `waiting`; it is the last one if `all` are in `waiting` and all found room.
pub(super) fn signed(
    request: &Request,
    number: u32,
    waiting: &mut VecDeque<Decision>,
    all: bool,
    key: &KeyPair,
) -> Vec<u8> {
    let (mut reasons, mut ports, mut bans) = (Vec::new(), Vec::new(), Vec::new());
    let mut length = 0;
    while length < FULL
        && let Some(decision) = waiting.pop_front()
    {
        let Decision { prefix, since, until, ports: closed, reason, .. } = decision;
        length += ROW;
        let reason = place(&mut reasons, reason, |reason| length += written(reason));
        let closed = closed.map(|closed| place(&mut ports, closed, |closed| length += written(closed)));
        bans.push((prefix, since.as_microsecond(), until.map(Timestamp::as_microsecond), reason, closed));
    }
    let document = Document {
        v: VERSION,
        nonce: request.nonce.clone(),
        number,
        floor: request.floor,
        now: Timestamp::now(),
        last: all && waiting.is_empty(),
        reasons,
        ports,
        bans,
    };
    // A struct of strings and numbers can always be written.
    let text = serde_json::to_vec(&document).unwrap_or_default();
    seal::sealed(WORDS, vec![text], key).pop().unwrap_or_default()
}

/// How many bytes it takes in a page.
fn written(one: &impl Serialize) -> usize {
    serde_json::to_vec(one).map_or(0, |text| text.len() + 1)
}

/// Where `one` is in `list`; the last ones are most likely the same.
fn place<T: PartialEq>(list: &mut Vec<T>, one: T, added: impl FnOnce(&T)) -> usize {
    list.iter().rposition(|other| *other == one).unwrap_or_else(|| {
        added(&one);
        list.push(one);
        list.len() - 1
    })
}

/// Reads page `number` of those that were asked for with `nonce`, which begins behind `after`.
///
/// # Errors
/// It is another one, unreadable, not in order, or signed by somebody else.
pub(super) fn verified(
    message: &[u8],
    nonce: &str,
    number: u32,
    after: Option<IpNet>,
    signer: &KeyPair,
) -> Result<Page, Distrust> {
    let text = Reader::new(WORDS, signer).opened(message, LONGEST)?;
    let Document { v, nonce: told, number: place, floor, now, last, reasons, ports, bans } =
        serde_json::from_slice(text).map_err(|_| Distrust::Unreadable)?;
    if v != VERSION {
        return Err(Distrust::Version);
    }
    if told != nonce || place != number {
        return Err(Distrust::Replayed);
    }
    let read = |(prefix, since, until, reason, closed): Row| {
        let ports = closed.map(|place| ports.get(place).cloned().ok_or(Distrust::Unreadable)).transpose()?;
        let time = |microsecond| Timestamp::from_microsecond(microsecond).map_err(|_| Distrust::Unreadable);
        Ok(Decision {
            serial: floor,
            ports,
            since: time(since)?,
            reason: reasons.get(reason).ok_or(Distrust::Unreadable)?.clone(),
            lifted: false,
            ..Decision::lifting(prefix.trunc(), until.map(time).transpose()?, now)
        })
    };
    let decisions = bans.into_iter().map(read).collect::<Result<Vec<_>, Distrust>>()?;
    let in_order = decisions.is_sorted_by_key(|one| one.prefix)
        && decisions.first().is_none_or(|first| after.is_none_or(|after| after <= first.prefix));
    if in_order { Ok(Page { floor, now, last, decisions }) } else { Err(Distrust::Unreadable) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decisions(count: u32) -> Vec<Decision> {
        let at = |second: u32| Timestamp::from_second(1_800_000_000 + i64::from(second)).unwrap();
        let one = |number: u32| Decision {
            lifted: false,
            since: at(number),
            reason: format!("sshd: {} failures", number % 3),
            ports: number.is_multiple_of(5).then(|| vec!["tcp/22".to_owned(), "tcp/1000-2000".to_owned()]),
            serial: 7,
            ..Decision::lifting(
                IpNet::from(std::net::IpAddr::from((0x0b00_0000 + number).to_be_bytes())),
                (!number.is_multiple_of(7)).then(|| at(number + 60)),
                at(0),
            )
        };
        (0..count).map(one).collect()
    }

    fn request() -> Request {
        Request { nonce: "n".into(), floor: 7 }
    }

    #[test]
    fn pages_hold_everything_once_and_in_order() {
        let key = KeyPair::new_user();
        let all = decisions(1_000);
        let mut waiting: VecDeque<Decision> = all.clone().into();
        let (mut read, mut number) = (Vec::new(), 0);
        loop {
            let message = signed(&request(), number, &mut waiting, true, &key);
            assert!(message.len() < LONGEST, "{}", message.len());
            let after = read.last().map(|last: &Decision| last.prefix);
            let page = verified(&message, "n", number, after, &key).unwrap();
            assert_eq!(page.floor, 7);
            read.extend(page.decisions);
            if page.last {
                break;
            }
            number += 1;
        }
        assert_eq!(read, all);
        assert!((3..10).contains(&number), "{number}");
    }

    #[test]
    fn the_longest_reasons_and_ports_find_room() {
        let key = KeyPair::new_user();
        let ports = vec!["tcp/10000-20000".to_owned(); 15];
        let long = |one: Decision| Decision {
            reason: format!("{}{}", one.prefix, "\u{1}".repeat(180)),
            ports: Some(ports.iter().map(|port| format!("{port}{}", one.prefix)).collect()),
            ..one
        };
        let mut waiting: VecDeque<Decision> = decisions(100).into_iter().map(long).collect();
        let message = signed(&request(), 0, &mut waiting, true, &key);
        assert!(message.len() < LONGEST, "{}", message.len());
        assert!(!verified(&message, "n", 0, None, &key).unwrap().last);
    }

    #[test]
    fn no_page_is_taken_for_another() {
        let (key, other) = (KeyPair::new_user(), KeyPair::new_user());
        let mut waiting: VecDeque<Decision> = decisions(3).into();
        let message = signed(&request(), 4, &mut waiting, true, &key);
        let verify = |message: &[u8], nonce, number, after, key| verified(message, nonce, number, after, key);
        assert!(verify(&message, "n", 4, None, &key).unwrap().last);
        assert_eq!(verify(&message, "m", 4, None, &key), Err(Distrust::Replayed), "another's");
        assert_eq!(verify(&message, "n", 5, None, &key), Err(Distrust::Replayed), "shown again");
        assert_eq!(verify(&message, "n", 4, None, &other), Err(Distrust::Forged));
        let behind = "11.0.0.1/32".parse().ok();
        assert_eq!(verify(&message, "n", 4, behind, &key), Err(Distrust::Unreadable), "not in order");
        for at in 0..message.len() {
            let mut changed = message.clone();
            changed[at] ^= 1;
            assert!(verify(&changed, "n", 4, None, &key).is_err(), "byte {at}");
        }
        let decision =
            Decision::signed(&decisions(1), &key, super::super::audience::Audience::Edges).remove(0);
        assert_eq!(verify(&decision, "n", 4, None, &key), Err(Distrust::Forged), "a decision is no page");
    }
}
