//! Content addresses: BLAKE3-256 digests, and the one way to build a digest of several parts.
//!
//! Every part is written with its length in front, so no two lists of parts share an encoding, and
//! every kind of digest has its own domain, so a blob never equals a key by accident.

use std::cell::RefCell;
use std::fmt;
use std::str::FromStr;

use blake3::hazmat::{ContextKey, HasherExt, hash_derive_key_context};
use serde::{Deserialize, Serialize};

/// The 32-byte BLAKE3 digest of some content.
///
/// ```
/// use giornata::base::Digest;
/// let digest = Digest::of_blob(b"a,b\n1,2\n");
/// assert_eq!(digest.to_string().len(), 64);
/// assert_eq!(digest.to_string().parse::<Digest>().unwrap(), digest);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest([u8; 32]);

impl Digest {
    /// The digest of a file's or a value's bytes: plain BLAKE3, the same as `b3sum` prints.
    pub fn of_blob(bytes: &[u8]) -> Digest {
        Digest(*blake3::hash(bytes).as_bytes())
    }

    /// Starts a digest of several parts; `domain` says what kind of thing is digested.
    pub fn builder(domain: &'static str) -> DigestBuilder {
        DigestBuilder(blake3::Hasher::new_from_context_key(&context_key(domain)))
    }

    pub const fn from_bytes(bytes: [u8; 32]) -> Digest {
        Digest(bytes)
    }

    /// Reads the 32 bytes that `as_bytes` gave; `None` if there are not exactly 32.
    pub fn from_slice(bytes: &[u8]) -> Option<Digest> {
        bytes.try_into().ok().map(Digest)
    }

    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The first eight hexadecimal digits: enough to tell two versions apart on a screen.
    pub fn short(&self) -> String {
        self.to_string()[..8].to_owned()
    }
}

impl From<blake3::Hash> for Digest {
    fn from(hash: blake3::Hash) -> Digest {
        Digest(*hash.as_bytes())
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&blake3::Hash::from_bytes(self.0).to_hex())
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digest({})", self.short())
    }
}

impl FromStr for Digest {
    type Err = blake3::HexError;

    fn from_str(text: &str) -> Result<Digest, blake3::HexError> {
        blake3::Hash::from_hex(text).map(Digest::from)
    }
}

impl Serialize for Digest {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.collect_str(self)
        } else {
            self.0.serialize(serializer)
        }
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Digest, D::Error> {
        if deserializer.is_human_readable() {
            let text = String::deserialize(deserializer)?;
            text.parse().map_err(serde::de::Error::custom)
        } else {
            <[u8; 32]>::deserialize(deserializer).map(Digest)
        }
    }
}

thread_local! {
    /// The keys of the domains that were digested so far, a dozen or two; each takes as long as a short digest.
    static CONTEXT_KEYS: RefCell<Vec<(&'static str, ContextKey)>> = const { RefCell::new(Vec::new()) };
}

fn context_key(domain: &'static str) -> ContextKey {
    CONTEXT_KEYS.with_borrow_mut(|keys| {
        // By address: the same text at another one only has an entry of its own.
        let known = keys.iter().find(|(known, _)| std::ptr::eq(*known, domain));
        if let Some((_, key)) = known {
            return *key;
        }
        let key = hash_derive_key_context(domain);
        keys.push((domain, key));
        key
    })
}

/// Collects the parts of a digest; see [`Digest::builder`].
#[derive(Clone)]
pub struct DigestBuilder(blake3::Hasher);

impl DigestBuilder {
    /// Adds one part, with its length in front.
    pub fn part(&mut self, bytes: impl AsRef<[u8]>) -> &mut Self {
        let bytes = bytes.as_ref();
        self.0.update(&(bytes.len() as u64).to_le_bytes());
        self.0.update(bytes);
        self
    }

    /// Adds a digest, which has a fixed length and needs none in front.
    pub fn digest(&mut self, digest: &Digest) -> &mut Self {
        self.0.update(&digest.0);
        self
    }

    /// Adds a number, such as how many parts follow.
    pub fn number(&mut self, number: u64) -> &mut Self {
        self.0.update(&number.to_le_bytes());
        self
    }

    pub fn finish(&self) -> Digest {
        Digest(*self.0.finalize().as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_do_not_run_together() {
        let digest = |parts: &[&str]| {
            let mut builder = Digest::builder("test");
            for part in parts {
                builder.part(part);
            }
            builder.finish()
        };
        assert_ne!(digest(&["a", "bc"]), digest(&["ab", "c"]));
        assert_ne!(digest(&["abc"]), digest(&["abc", ""]));
    }
}
