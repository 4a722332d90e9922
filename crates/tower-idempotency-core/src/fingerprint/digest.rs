use std::fmt;

/// The length of the digest in bytes.
const DIGEST_BYTES: usize = 32;

/// A digest of a request, and the version of the algorithm that made it.
///
/// A key names one operation. If it comes back with another request, the client
/// has a bug, and replaying the first response would hide it. Comparing
/// fingerprints finds it, without the store keeping the request itself.
///
/// [`FingerprintPolicy`](super::FingerprintPolicy) makes one.
///
/// # Example
///
/// ```
/// use tower_idempotency_core::Fingerprint;
///
/// let mut stored = [7; Fingerprint::BYTES];
/// stored[0] = Fingerprint::VERSION;
/// let fingerprint = Fingerprint::from_bytes(&stored).expect("33 bytes");
///
/// assert_eq!(fingerprint.to_bytes(), stored);
/// assert_eq!(Fingerprint::from_bytes(b"short"), None);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fingerprint {
    version: u8,
    digest: [u8; DIGEST_BYTES],
}

impl Fingerprint {
    /// The length of the stored form in bytes.
    pub const BYTES: usize = 1 + DIGEST_BYTES;

    /// The version of the algorithm that this release uses.
    pub const VERSION: u8 = 1;

    /// The fingerprint of a request of which nothing is compared. It has
    /// version 0 and matches every other.
    pub const OFF: Self = Self {
        version: 0,
        digest: [0; DIGEST_BYTES],
    };

    pub(super) const fn new(digest: [u8; DIGEST_BYTES]) -> Self {
        Self {
            version: Self::VERSION,
            digest,
        }
    }

    /// Reads the stored form: one byte of version, then the digest.
    ///
    /// Versions of later releases are read too, because servers of two releases
    /// can share a store during an upgrade. `None` means that the length is
    /// wrong, which no release writes.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (version, digest) = bytes.split_first()?;
        let digest = digest.try_into().ok()?;
        // There is one value of version 0, whatever follows.
        if *version == Self::OFF.version {
            return Some(Self::OFF);
        }
        Some(Self {
            version: *version,
            digest,
        })
    }

    /// The stored form.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; Self::BYTES] {
        let mut bytes = [self.version; Self::BYTES];
        bytes[1..].copy_from_slice(&self.digest);
        bytes
    }

    /// The version of the algorithm, 0 for [`Fingerprint::OFF`].
    #[must_use]
    pub const fn version(&self) -> u8 {
        self.version
    }

    /// Whether a request with this fingerprint may be answered from a record
    /// with the stored one.
    ///
    /// True if both are equal, if either is [`Fingerprint::OFF`], or if their
    /// versions differ. Digests of two algorithms cannot be compared, and a
    /// correct retry must not be refused because the server was upgraded in
    /// between; the price is that a misused key goes unnoticed then.
    ///
    /// # Example
    ///
    /// ```
    /// use tower_idempotency_core::Fingerprint;
    ///
    /// let stored = Fingerprint::from_bytes(&[1; 33]).expect("33 bytes");
    /// assert!(stored.matches(&stored));
    /// assert!(Fingerprint::OFF.matches(&stored));
    /// ```
    #[must_use]
    pub fn matches(&self, stored: &Self) -> bool {
        // This covers OFF too, unless both are, which makes them equal.
        self.version != stored.version || self.digest == stored.digest
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, ..] = self.digest;
        let short = u32::from_be_bytes([a, b, c, d]);
        write!(f, "Fingerprint(v{}, {short:08x})", self.version)
    }
}
