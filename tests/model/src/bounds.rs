//! How much may happen.

/// How much may happen in one run of the model, so that there is an end to it.
///
/// The numbers are shared by all workers: whoever needs the faults most may have them all.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Processes that serve requests.
    pub workers: usize,
    /// Keys that clients send.
    pub keys: u8,
    /// Different requests (fingerprints) that may come with one key.
    pub fingerprints: u8,
    /// Requests in all, 15 at most; a client's retry is one more.
    pub requests: u8,
    /// Crashes, lost acknowledgements and late statements in all.
    pub faults: u8,
    /// Renewals in all.
    pub renewals: u8,
    /// Records whose retention ends.
    pub expiries: u8,
    /// Whether a claim may be so late that it brings back a token whose record was gone before.
    ///
    /// Everything holds with such claims, but one thing (see [`Bounds::MISUSE`]).
    pub tokens_return: bool,
}

impl Bounds {
    /// Three workers and two keys, enough requests for every key to be contended and retried.
    pub const MAIN: Self = Self {
        workers: 3,
        keys: 2,
        fingerprints: 1,
        requests: 4,
        faults: 1,
        renewals: 1,
        expiries: 1,
        tokens_return: true,
    };

    /// Three workers at one key, with more of everything else.
    pub const DEEP: Self = Self {
        workers: 3,
        keys: 1,
        fingerprints: 1,
        requests: 4,
        faults: 2,
        renewals: 1,
        expiries: 1,
        tokens_return: true,
    };

    /// Three workers at one key that comes with two different requests.
    ///
    /// No token comes back here. If one does, and a whole lease passes between the two statements
    /// of another claim that had judged the token's first record as failed or expired,
    /// then that claim takes the place of the second record without comparing fingerprints.
    pub const MISUSE: Self = Self {
        workers: 3,
        keys: 1,
        fingerprints: 2,
        requests: 3,
        faults: 1,
        renewals: 1,
        expiries: 1,
        tokens_return: false,
    };

    /// Three workers and two keys, for the transactional mode, which has far fewer states.
    pub const TRANSACTIONAL: Self = Self {
        workers: 3,
        keys: 2,
        fingerprints: 2,
        requests: 5,
        faults: 2,
        renewals: 0,
        expiries: 2,
        tokens_return: true,
    };
}
