//! One signature for many texts.
//!
//! To sign and to verify a text of its own each costs tens of microseconds, and there may be a million; a hash costs less than one. So
//! the texts that are signed together are the leaves of a tree of hashes, of which the root is signed. A text's seal is that signature and the
//! hashes that lead from it to the root: each text can be verified alone, and of those that were signed together only the first
//! one costs a signature.
//!
//! A node is the hash of its two children in the order of their values, so that a seal need not say which of them is on the left.
//! Leaves and nodes are hashed with different bytes in front: no text can be taken for a node.

//!
//! What is published is the text, a newline, and its seal in base64.

use data_encoding::BASE64;
use nkeys::KeyPair;
use sha2::{Digest, Sha256};

use super::decision::Distrust;

/// So many texts are signed together at most: their seals have six hashes.
const TOGETHER: usize = 64;
/// No seal has more hashes: a sealer of more than 65,536 texts does not exist.
const DEEPEST: usize = 16;
/// The bytes of a hash.
const HASH: usize = 32;
/// The bytes of a signature.
const SIGNATURE: usize = 64;

type Hash = [u8; HASH];

fn leaf(text: &[u8]) -> Hash {
    Sha256::new().chain_update([0]).chain_update(text).finalize().into()
}

fn node(one: &Hash, other: &Hash) -> Hash {
    let (low, high) = if one <= other { (one, other) } else { (other, one) };
    Sha256::new().chain_update([1]).chain_update(low).chain_update(high).finalize().into()
}

/// The seal of each of `texts`, signed with `words` in front of the root. A key that cannot sign makes seals that nobody trusts.
fn seal(words: &[u8], texts: &[Vec<u8>], key: &KeyPair) -> Vec<Vec<u8>> {
    let mut level: Vec<Hash> = texts.iter().map(|text| leaf(text)).collect();
    let mut paths = vec![Vec::new(); texts.len()];
    // How many leaves are below each node of the level.
    let mut width = 1;
    while level.len() > 1 {
        for (path, below) in paths.chunks_mut(width).zip(0_usize..) {
            // The last one of an odd number goes up as it is.
            if let Some(sibling) = level.get(below ^ 1) {
                path.iter_mut().for_each(|path: &mut Vec<u8>| path.extend(sibling));
            }
        }
        let above = |pair: &[Hash]| match pair {
            [one, other] => Some(node(one, other)),
            alone => alone.first().copied(),
        };
        level = level.chunks(2).filter_map(above).collect();
        width *= 2;
    }
    let Some(root) = level.first() else { return Vec::new() };
    let signature = key.sign(&[words, root].concat()).unwrap_or_default();
    paths.into_iter().map(|path| [&*signature, &*path].concat()).collect()
}

/// What is published of each of `texts`; up to 64 of them cost one signature.
pub(super) fn sealed(words: &[u8], mut texts: Vec<Vec<u8>>, key: &KeyPair) -> Vec<Vec<u8>> {
    for together in texts.chunks_mut(TOGETHER) {
        let seals = seal(words, together, key);
        for (text, seal) in together.iter_mut().zip(seals) {
            text.push(b'\n');
            text.extend(BASE64.encode(&seal).into_bytes());
        }
    }
    texts
}

/// Looks at the seals of one signer; remembers the last root that was signed.
pub struct Reader<'a> {
    words: &'a [u8],
    signer: &'a KeyPair,
    last: Option<(Hash, [u8; SIGNATURE])>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(words: &'a [u8], signer: &'a KeyPair) -> Self {
        Self { words, signer, last: None }
    }

    /// The text of what the signer has published.
    ///
    /// # Errors
    /// It is longer than `longest` bytes, has no seal, or somebody else's.
    pub(super) fn opened<'m>(&mut self, message: &'m [u8], longest: usize) -> Result<&'m [u8], Distrust> {
        if message.len() > longest {
            return Err(Distrust::Unreadable);
        }
        let end = memchr::memrchr(b'\n', message).ok_or(Distrust::Unreadable)?;
        let (text, seal) = message.split_at(end);
        let seal = BASE64.decode(seal.get(1..).unwrap_or_default()).map_err(|_| Distrust::Unreadable)?;
        if self.trusts(text, &seal) { Ok(text) } else { Err(Distrust::Forged) }
    }

    /// Whether `seal` is the signer's, for `text`.
    fn trusts(&mut self, text: &[u8], seal: &[u8]) -> bool {
        let Some((signature, path)) = seal.split_first_chunk::<SIGNATURE>() else { return false };
        let (path, rest) = path.as_chunks::<HASH>();
        if !rest.is_empty() || path.len() > DEEPEST {
            return false;
        }
        let root = path.iter().fold(leaf(text), |below, beside| node(&below, beside));
        if self.last == Some((root, *signature)) {
            return true;
        }
        let signed = self.signer.verify(&[self.words, &root].concat(), signature).is_ok();
        if signed {
            self.last = Some((root, *signature));
        }
        signed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(count: usize) -> Vec<Vec<u8>> {
        (0..count).map(|number| format!("text {number}").into_bytes()).collect()
    }

    #[test]
    fn each_text_is_verified_alone_however_many_were_signed_with_it() {
        let (key, other) = (KeyPair::new_user(), KeyPair::new_user());
        for count in [1, 2, 3, 5, 8, 33, TOGETHER] {
            let texts = texts(count);
            let seals = seal(b"words", &texts, &key);
            for (text, seal) in texts.iter().zip(&seals) {
                assert!(Reader::new(b"words", &key).trusts(text, seal), "of {count}");
                assert!(!Reader::new(b"other", &key).trusts(text, seal));
                assert!(!Reader::new(b"words", &other).trusts(text, seal));
                for at in 0..seal.len() {
                    let mut changed = seal.clone();
                    changed[at] ^= 1;
                    assert!(!Reader::new(b"words", &key).trusts(text, &changed), "byte {at} of {count}");
                }
            }
            assert!(seals.iter().all(|seal| seal.len() <= SIGNATURE + 6 * HASH), "of {count}");
        }
        assert!(seal(b"words", &[], &key).is_empty());
    }

    #[test]
    fn what_was_trusted_before_helps_nobody_else() {
        let key = KeyPair::new_user();
        let (texts, strange) = (texts(4), b"text 9".to_vec());
        let seals = seal(b"words", &texts, &key);
        let mut reader = Reader::new(b"words", &key);
        assert!(reader.trusts(&texts[0], &seals[0]));
        assert!(!reader.trusts(&strange, &seals[0]), "another text");
        assert!(!reader.trusts(&texts[1], &seals[0]), "another one's seal");
        assert!(!reader.trusts(&texts[0], &seals[0][..SIGNATURE]), "a shorter way");
        // A node offered as a text, with what was beside it.
        let inner = [leaf(&texts[0]), leaf(&texts[1])].concat();
        let short = [&seals[0][..SIGNATURE], &seals[0][SIGNATURE + HASH..]].concat();
        assert!(!reader.trusts(&inner, &short));
        assert!(!reader.trusts(&texts[0], &[&seals[0][..], &[0; HASH * DEEPEST]].concat()));
        assert!(reader.trusts(&texts[3], &seals[3]));
    }
}
