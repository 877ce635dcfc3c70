//! Which texts are searched for together.
//!
//! Teddy puts its texts into eight buckets and compares half bytes: of a bucket it knows, for each of the first four bytes, which
//! upper and which lower halves stand in any of its texts. It stops wherever all eight halves fit, also where they come from
//! different texts, and a stop in vain costs as much as the search of a line or two. So texts go together that are alike: those
//! with which a bucket stops least often in what servers log when all is well. For the hundred filters of the catalogue, three
//! searches then stop a quarter as often as in the order of the alphabet, and take half the time.

use std::cmp::Reverse;

use super::{COMPARED, HEALTHY};

/// How many buckets Teddy has. The text with number N of a search goes into the one that N modulo this says (aho-corasick 1.1,
/// `packed/teddy/generic.rs`), if no text before it has the same lower halves.
const BUCKETS: usize = 8;

/// How many texts one search takes: of more, aho-corasick makes its fat Teddy, which is half as fast.
const MOST: usize = 32;

/// At which places of healthy text something stands: a bit for each.
type Places = Vec<u64>;

/// For the lower and the upper half of the first byte, and so on to the fourth: where each value of it stands.
struct Halves(Vec<[Places; 16]>);

/// Texts that are compared as one.
struct Bucket {
    texts: Vec<Vec<u8>>,
    room: usize,
    /// For each half, where healthy text has that of any of the texts.
    halves: Vec<Places>,
    /// How many times they stop in healthy text.
    stops: u32,
}

/// The texts of each search.
pub(super) fn searches(mut texts: Vec<Vec<u8>>) -> Vec<Vec<Vec<u8>>> {
    if texts.len() <= MOST {
        // One search stops little enough however its texts are put together (measured with sshd's), and starts the sooner.
        texts.sort();
        return texts.chunks(MOST).map(<[_]>::to_vec).collect();
    }
    let healthy = Halves::of(HEALTHY);
    let searches = texts.len().div_ceil(MOST);
    let room = |bucket| share(share(texts.len(), searches, bucket / BUCKETS), BUCKETS, bucket % BUCKETS);
    let mut buckets: Vec<Bucket> =
        (0..searches * BUCKETS).map(|bucket| healthy.bucket(room(bucket))).collect();
    let alone = |text: Vec<u8>| {
        let halves = healthy.of_text(&text);
        (healthy.bucket(1).stops_with(&halves), text, halves)
    };
    let mut waiting: Vec<_> = texts.into_iter().map(alone).collect();
    // What stops often by itself chooses first.
    waiting.sort_by(|(a, text, _), (b, other, _)| b.cmp(a).then_with(|| text.cmp(other)));
    for (_, text, halves) in waiting {
        let open = buckets.iter_mut().filter(|bucket| bucket.texts.len() < bucket.room);
        let stops = open.map(|bucket| (bucket.stops_with(&halves), bucket));
        let least = stops.min_by_key(|(stops, bucket)| (stops - bucket.stops, Reverse(bucket.texts.len())));
        if let Some((stops, bucket)) = least {
            bucket.take(text, &halves, stops);
        }
    }
    buckets.chunks(BUCKETS).map(in_order).collect()
}

/// How many of `all` the part `index` of `parts` gets: if they cannot all have as many, the first have one more.
fn share(all: usize, parts: usize, index: usize) -> usize {
    all / parts + usize::from(index < all % parts)
}

/// In the order in which each text comes into its bucket.
fn in_order(buckets: &[Bucket]) -> Vec<Vec<u8>> {
    let row = |row| buckets.iter().filter_map(move |bucket| bucket.texts.get(row).cloned());
    (0..MOST / BUCKETS).flat_map(row).collect()
}

/// The halves of the bytes that are compared.
fn halves(text: &[u8]) -> impl Iterator<Item = usize> {
    text.iter().take(COMPARED).flat_map(|byte| [usize::from(byte & 15), usize::from(byte >> 4)])
}

impl Halves {
    fn of(healthy: &[u8]) -> Self {
        let nowhere: Places = vec![0; healthy.len().div_ceil(64)];
        let mut all: Vec<[Places; 16]> =
            (0..2 * COMPARED).map(|_| std::array::from_fn(|_| nowhere.clone())).collect();
        for (place, bytes) in healthy.windows(COMPARED).enumerate() {
            for (half, places) in halves(bytes).zip(&mut all) {
                if let Some(word) = places.get_mut(half).and_then(|places| places.get_mut(place / 64)) {
                    *word |= 1 << (place % 64);
                }
            }
        }
        Self(all)
    }

    /// Where the halves of `text` stand; those that a short text does not have are everywhere.
    fn of_text(&self, text: &[u8]) -> Vec<Places> {
        let mut halves = halves(text);
        let stands = |places: &[Places; 16]| match halves.next().and_then(|half| places.get(half)) {
            Some(places) => places.clone(),
            None => places.first().map(|places| vec![u64::MAX; places.len()]).unwrap_or_default(),
        };
        self.0.iter().map(stands).collect()
    }

    fn bucket(&self, room: usize) -> Bucket {
        let nowhere =
            |places: &[Places; 16]| places.first().map(|places| vec![0; places.len()]).unwrap_or_default();
        Bucket { texts: Vec::new(), room, halves: self.0.iter().map(nowhere).collect(), stops: 0 }
    }
}

impl Bucket {
    /// How many times the bucket would stop with another text, that has these halves.
    fn stops_with(&self, others: &[Places]) -> u32 {
        let words = self.halves.first().map_or(0, Vec::len);
        let all = |word: usize| {
            let both = |(ours, theirs): (&Places, &Places)| Some(ours.get(word)? | theirs.get(word)?);
            self.halves.iter().zip(others).filter_map(both).fold(u64::MAX, |all, half| all & half)
        };
        (0..words).map(|word| all(word).count_ones()).sum()
    }

    fn take(&mut self, text: Vec<u8>, others: &[Places], stops: u32) {
        self.texts.push(text);
        self.stops = stops;
        for (ours, theirs) in self.halves.iter_mut().zip(others) {
            ours.iter_mut().zip(theirs).for_each(|(ours, theirs)| *ours |= theirs);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arranged(texts: &[&str]) -> Vec<Vec<String>> {
        let texts = texts.iter().map(|text| text.as_bytes().to_vec()).collect();
        let text = |text: Vec<u8>| String::from_utf8(text).unwrap();
        searches(texts).into_iter().map(|search| search.into_iter().map(text).collect()).collect()
    }

    #[test]
    fn every_text_is_searched_for_once_and_no_search_has_too_many() {
        for count in [0, 1, 7, 8, 9, 32, 33, 40, 77, 200] {
            let texts: Vec<String> =
                (0..count).map(|number| format!("{:04x}", number * 40_503 % 65_536)).collect();
            let searches = arranged(&texts.iter().map(String::as_str).collect::<Vec<_>>());
            assert!(searches.iter().all(|search| search.len() <= MOST), "{searches:?}");
            assert_eq!(searches.len(), usize::div_ceil(count, MOST));
            let mut all: Vec<String> = searches.into_iter().flatten().collect();
            all.sort();
            let mut expected = texts;
            expected.sort();
            assert_eq!(all, expected);
        }
    }

    #[test]
    fn texts_go_together_that_stop_seldom_together() {
        // In the order of the alphabet "seks" and "suss" would share the first bucket, and "sess" has halves of both.
        let others = (0..31).map(|number| format!("sg@{}", char::from(b'A' + number)));
        let mut texts: Vec<String> = others.chain(["seks".into(), "suss".into()]).collect();
        texts.sort();
        let searches = arranged(&texts.iter().map(String::as_str).collect::<Vec<_>>());
        let of = |search: &Vec<String>| search.iter().position(|known| known == "seks");
        let (search, place) = searches.iter().find_map(|search| Some((search, of(search)?))).unwrap();
        let beside = search.iter().skip(place % BUCKETS).step_by(BUCKETS);
        assert!(!beside.clone().any(|text| text == "suss"), "{:?}", beside.collect::<Vec<_>>());
    }

    #[test]
    fn a_short_text_stops_wherever_it_stands() {
        let healthy = Halves::of(b"abcd abce abd");
        let stops = |text: &[u8]| healthy.bucket(1).stops_with(&healthy.of_text(text));
        assert_eq!((stops(b"abc"), stops(b"abce"), stops(b"xyz")), (2, 1, 0));
    }
}
