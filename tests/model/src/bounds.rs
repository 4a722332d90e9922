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
    };

    /// Three workers at one key that comes with two different requests.
    pub const MISUSE: Self = Self {
        workers: 3,
        keys: 1,
        fingerprints: 2,
        requests: 3,
        faults: 1,
        renewals: 1,
        expiries: 1,
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
    };
}
