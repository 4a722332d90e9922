//! The time-limited right to execute.

use std::{cell::RefCell, time::Instant};

use uuid::{Builder, Uuid};

/// The random fencing value that names one execution.
///
/// The caller mints it before it asks the store, so that a claim whose acknowledgement was lost
/// recognises its own record when it is tried again.
/// Stores keep it and compare it verbatim; they never make one.
///
/// # Example
///
/// ```
/// use tower_idempotency_core::LeaseToken;
///
/// assert_ne!(LeaseToken::random(), LeaseToken::random());
/// ```
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct LeaseToken(Uuid);

impl LeaseToken {
    /// Makes a fresh token (122 random bits).
    #[must_use]
    pub fn random() -> Self {
        Self(Builder::from_random_bytes(random_bytes()).into_uuid())
    }

    /// Takes a token back from what a store kept.
    #[must_use]
    pub const fn from_uuid(uuid: Uuid) -> Self {
        Self(uuid)
    }

    /// Takes a token back from the 16 bytes that a store kept.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(Uuid::from_bytes(bytes))
    }

    /// Returns the 16 bytes that a store without UUIDs keeps.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 16] {
        self.0.as_bytes()
    }

    /// Returns the UUID that a store keeps.
    #[must_use]
    pub const fn as_uuid(&self) -> Uuid {
        self.0
    }
}

/// How many random bytes are drawn at a time: what the system hands out in one piece.
const DRAWN: usize = 256;

/// Random bytes that this thread has drawn from the system and not used up.
struct Drawn {
    bytes: [u8; DRAWN],
    used: usize,
    at: Option<Instant>,
}

thread_local! {
    static RANDOM: RefCell<Drawn> = const {
        RefCell::new(Drawn {
            bytes: [0; DRAWN],
            used: DRAWN,
            at: None,
        })
    };
}

/// Returns random bytes from the system, which is asked for several tokens at a time: a call into
/// it takes longer than a claim in memory.
///
/// The copy of a process, forked or restored from a snapshot, has the same bytes in stock.
/// A token that both made would let both execute, so the time goes in, too, which is another one
/// whenever either of them gets here.
fn random_bytes() -> [u8; 16] {
    RANDOM.with_borrow_mut(|drawn| {
        if drawn.used == DRAWN {
            getrandom::fill(&mut drawn.bytes).expect("the system has random bytes");
            drawn.used = 0;
            drawn.at = Some(Instant::now());
        }
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&drawn.bytes[drawn.used..drawn.used + 16]);
        drawn.used += 16;
        let since = drawn.at.map_or(0, |at| at.elapsed().as_nanos());
        for (byte, time) in bytes.iter_mut().zip(since.to_le_bytes()) {
            *byte ^= time;
        }
        bytes
    })
}

/// Which try of a key an execution is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Attempt {
    /// Counts the executions of this key from 1, failed and abandoned ones included.
    pub number: u32,
    /// Is true if an earlier execution ran out of its lease without an end:
    /// its effects may have happened.
    pub takeover: bool,
}

impl Attempt {
    /// The first execution of a key.
    pub const FIRST: Self = Self::new(1, false);

    /// Describes execution `number`.
    #[must_use]
    pub const fn new(number: u32, takeover: bool) -> Self {
        Self { number, takeover }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn tokens_differ_within_a_thread_and_between_threads() {
        let many = || (0..1_000).map(|_| LeaseToken::random()).collect::<Vec<_>>();
        let other = std::thread::spawn(many);
        let mut tokens: HashSet<_> = many().into_iter().collect();
        tokens.extend(other.join().unwrap());
        assert_eq!(tokens.len(), 2_000);
        assert!(tokens.iter().all(|token| token.0.get_version_num() == 4));
    }
}
