use std::fmt;

use hmac::{Hmac, Mac};
use sha2::{Digest, Sha256};

/// Feeds values into the hash such that no two sequences of values give it the
/// same bytes: everything of variable length is preceded by its length, and
/// everything optional by a tag.
pub(super) struct Encoder {
    hash: Hash,
    /// What the hash has not been given yet. Most values are of a few bytes,
    /// and the hash takes a while for each piece that it is given.
    waiting: [u8; WAITING],
    filled: usize,
}

/// The head of a request fits in usually, and so does a small body.
const WAITING: usize = 256;

enum Hash {
    Plain(Sha256),
    Keyed(Hmac<Sha256>),
}

impl Encoder {
    pub(super) fn new(secret: Option<&Secret>) -> Self {
        Self {
            hash: match secret {
                None => Hash::Plain(Sha256::new()),
                Some(secret) => Hash::Keyed(secret.0.clone()),
            },
            waiting: [0; WAITING],
            filled: 0,
        }
    }

    pub(super) fn tag(&mut self, tag: u8) {
        self.update(&[tag]);
    }

    pub(super) fn count(&mut self, count: usize) {
        self.update(&(count as u64).to_be_bytes());
    }

    pub(super) fn bytes(&mut self, bytes: &[u8]) {
        self.count(bytes.len());
        self.update(bytes);
    }

    pub(super) fn optional_bytes(&mut self, bytes: Option<&[u8]>) {
        match bytes {
            None => self.tag(0),
            Some(bytes) => {
                self.tag(1);
                self.bytes(bytes);
            }
        }
    }

    pub(super) fn finish(mut self) -> [u8; 32] {
        self.flush();
        match self.hash {
            Hash::Plain(hash) => hash.finalize().into(),
            Hash::Keyed(hash) => hash.finalize().into_bytes().into(),
        }
    }

    #[inline]
    fn update(&mut self, bytes: &[u8]) {
        if bytes.len() > WAITING - self.filled {
            self.flush();
        }
        if bytes.len() > WAITING {
            return self.hash.update(bytes);
        }
        self.waiting[self.filled..self.filled + bytes.len()].copy_from_slice(bytes);
        self.filled += bytes.len();
    }

    fn flush(&mut self) {
        self.hash.update(&self.waiting[..self.filled]);
        self.filled = 0;
    }
}

impl Hash {
    fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Plain(hash) => Digest::update(hash, bytes),
            Self::Keyed(hash) => Mac::update(hash, bytes),
        }
    }
}

/// The state of an HMAC after the secret. The secret itself is not kept.
#[derive(Clone)]
pub(super) struct Secret(Hmac<Sha256>);

impl Secret {
    pub(super) fn new(secret: &[u8]) -> Self {
        Self(Hmac::new_from_slice(secret).expect("HMAC takes a secret of any length"))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<redacted>")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_of_every_length_enter_the_hash_in_their_order() {
        let text: Vec<u8> = (0..=u8::MAX).cycle().take(4 * WAITING).collect();
        for first in [0, 1, WAITING - 1, WAITING, WAITING + 1] {
            for second in [0, 1, WAITING - 1, WAITING, WAITING + 1, 2 * WAITING] {
                let mut encoder = Encoder::new(None);
                encoder.update(&text[..first]);
                encoder.update(&text[first..first + second]);
                encoder.tag(7);
                let whole = [&text[..first + second], &[7]].concat();
                assert_eq!(encoder.finish()[..], Sha256::digest(whole)[..]);
            }
        }
    }
}
