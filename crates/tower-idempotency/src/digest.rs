//! Digests of what must not be kept or logged in the clear.

use std::sync::Arc;

use sha2::{Digest, Sha256};

/// Returns the SHA-256 of `bytes` as 64 hex digits.
///
/// By hand: every request with a credential has one made, and formatting byte by byte took longer
/// than the digest itself.
pub(crate) fn hex_digest(bytes: &[u8]) -> Arc<str> {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digest = Sha256::digest(bytes);
    let mut hex = [0; 64];
    for (pair, byte) in hex.chunks_exact_mut(2).zip(digest) {
        pair[0] = DIGITS[usize::from(byte >> 4)];
        pair[1] = DIGITS[usize::from(byte & 0xf)];
    }
    std::str::from_utf8(&hex)
        .expect("hex digits are ASCII")
        .into()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Records of earlier versions are found by it.
    #[test]
    fn a_digest_is_written_in_small_letters_with_every_zero() {
        let expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(&*hex_digest(b"abc"), expected);
    }
}
