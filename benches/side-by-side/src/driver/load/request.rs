//! Requests that are built once; only the key changes.

use std::sync::Arc;

/// A UUID in its usual form.
pub(crate) type Key = [u8; 36];

/// Where the keys of the requests come from.
#[derive(Clone, Debug)]
pub(crate) enum Keys {
    /// The requests have none.
    None,
    /// Each has one of its own.
    Fresh,
    /// These, again and again.
    Replayed(Arc<Vec<Key>>),
    /// Each of these, once.
    Once(Arc<Vec<Key>>),
}

#[derive(Debug)]
pub(crate) struct Request {
    bytes: Vec<u8>,
    key_at: Option<usize>,
    keys: Keys,
    next: usize,
    random: fastrand::Rng,
}

const BODY: &str = "{\"amount\":100,\"currency\":\"EUR\",\"reference\":\"invoice 2026-000001\"}";
const HEXADECIMAL: &[u8; 16] = b"0123456789abcdef";

impl Request {
    pub(crate) fn new(keys: Keys) -> Self {
        let keyed = !matches!(keys, Keys::None);
        let mut text = String::from(
            "POST /payments HTTP/1.1\r\nhost: localhost\r\n\
             authorization: Bearer 0123456789abcdef0123456789abcdef\r\n\
             content-type: application/json\r\naccept: */*\r\n",
        );
        text.push_str(&format!("content-length: {}\r\n", BODY.len()));
        let mut key_at = None;
        if keyed {
            text.push_str("idempotency-key: ");
            key_at = Some(text.len());
            text.push_str(&" ".repeat(size_of::<Key>()));
            text.push_str("\r\n");
        }
        text.push_str("\r\n");
        text.push_str(BODY);
        Self {
            bytes: text.into_bytes(),
            key_at,
            keys,
            next: 0,
            random: fastrand::Rng::new(),
        }
    }

    /// Returns the next request; `None` if all have been sent.
    pub(crate) fn next(&mut self) -> Option<&[u8]> {
        let key = match &self.keys {
            Keys::None => return Some(&self.bytes),
            Keys::Fresh => uuid(&mut self.random),
            Keys::Replayed(keys) => keys[self.next % keys.len()],
            Keys::Once(keys) => *keys.get(self.next)?,
        };
        self.next += 1;
        if let Some(at) = self.key_at {
            self.bytes[at..at + key.len()].copy_from_slice(&key);
        }
        Some(&self.bytes)
    }
}

/// Draws a UUID of version 4.
pub(crate) fn uuid(random: &mut fastrand::Rng) -> Key {
    let mut bits = random.u128(..);
    let mut text = [b'-'; 36];
    for (at, place) in text.iter_mut().enumerate() {
        if !matches!(at, 8 | 13 | 18 | 23) {
            *place = HEXADECIMAL[usize::from(bits as u8 & 0xf)];
            bits >>= 4;
        }
    }
    text[14] = b'4';
    text[19] = b'8';
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fresh_keys_are_uuids_that_differ() {
        let mut request = Request::new(Keys::Fresh);
        let mut key = || {
            let text = String::from_utf8(request.next().unwrap().to_vec()).unwrap();
            let key = text.split("idempotency-key: ").nth(1).unwrap();
            key[..36].to_owned()
        };
        let (first, second) = (key(), key());
        assert_ne!(first, second);
        assert_eq!(uuid::Uuid::parse_str(&first).unwrap().get_version_num(), 4);
    }

    #[test]
    fn prepared_keys_are_sent_once_or_in_turns() {
        let keys = Arc::new(vec![[b'a'; 36], [b'b'; 36]]);
        let mut once = Request::new(Keys::Once(Arc::clone(&keys)));
        assert!(once.next().is_some() && once.next().is_some() && once.next().is_none());
        let mut replayed = Request::new(Keys::Replayed(keys));
        let first = replayed.next().unwrap().to_vec();
        assert_ne!(replayed.next().unwrap(), first);
        assert_eq!(replayed.next().unwrap(), first);
    }
}
