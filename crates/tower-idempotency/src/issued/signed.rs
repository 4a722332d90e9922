//! Keys that carry their own proof, so that nothing has to be kept of those that are not used.

use std::{
    convert::Infallible,
    fmt,
    sync::Arc,
    time::{Duration, SystemTime},
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use hmac::{Hmac, Mac};
use http::request::Parts;
use sha2::Sha256;
use tower_idempotency_core::{Clock, ConfigError, IdempotencyKey, SystemClock};

use super::{KeyIssuer, KeyStanding};

const VERSION: u8 = 1;
const RANDOM: usize = 16;
/// Version, seconds of the expiry, random bytes.
const PAYLOAD: usize = 1 + 8 + RANDOM;
const SIGNATURE: usize = 32;
/// A multiple of three: its Base64 has no bits left over, in which one key could have two texts.
const KEY: usize = PAYLOAD + SIGNATURE;
/// The latest expiry, in the year 5138: a time that every platform can tell.
const LATEST: u64 = 100_000_000_000;
/// What a secret must have at least: as much as its digest.
const SECRET: usize = 32;

type Signer = Hmac<Sha256>;

/// Issues keys that need no table: 128 random bits and an expiry, signed with HMAC-SHA256.
///
/// A key is 76 characters of the URL-safe Base64 alphabet, fit for a link. It says when it expires
/// and nothing else. Whoever has the secret can issue keys; nobody can revoke a single one, which
/// needs a table (see [`KeyIssuer`]). Cloning is cheap.
///
/// The purpose is part of the signature, so a key for one purpose is unknown at all others.
///
/// # Changing the secret
///
/// 1. [Accept](Self::accept) the new secret beside the old one, in every process;
/// 2. sign with the new one and accept the old one;
/// 3. drop the old one when the last key that it signed has expired and its record is no longer
///    wanted: without it, replays of used keys are answered 400, too.
///
/// # Example
///
/// ```
/// use std::time::Duration;
/// use tower_idempotency::{KeyStanding, SignedKeys};
///
/// let invites = SignedKeys::new("invites", "a secret of 32 bytes or more ...")?;
/// let invite = invites.issue(Duration::from_secs(60));
/// assert!(matches!(invites.verify(&invite.key), KeyStanding::Valid { .. }));
///
/// let coupons = SignedKeys::new("coupons", "a secret of 32 bytes or more ...")?;
/// assert_eq!(coupons.verify(&invite.key), KeyStanding::Unknown);
/// # Ok::<(), tower_idempotency::ConfigError>(())
/// ```
#[derive(Clone)]
pub struct SignedKeys {
    purpose: Arc<str>,
    signer: Signer,
    accepted: Vec<Signer>,
    clock: Arc<dyn Clock>,
}

/// A key that was issued.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct IssuedKey {
    /// The key, to be sent to whoever may use it.
    pub key: IdempotencyKey,
    /// When it can no longer be used, in whole seconds.
    pub expires_at: SystemTime,
}

impl SignedKeys {
    /// Signs keys for `purpose` with `secret`: at least 32 bytes that nobody can guess.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] if the secret is shorter, or the purpose empty.
    pub fn new(
        purpose: impl Into<Arc<str>>,
        secret: impl AsRef<[u8]>,
    ) -> Result<Self, ConfigError> {
        let purpose = purpose.into();
        if purpose.is_empty() {
            let must = "must have a name";
            return Err(ConfigError::new("signed_keys.purpose", "\"\"", must));
        }
        Ok(Self {
            signer: signer(&purpose, secret.as_ref())?,
            purpose,
            accepted: Vec::new(),
            clock: Arc::new(SystemClock::new()),
        })
    }

    /// Accepts keys that were signed with another secret, too: while secrets are exchanged.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] if it is shorter than 32 bytes.
    pub fn accept(mut self, secret: impl AsRef<[u8]>) -> Result<Self, ConfigError> {
        self.accepted.push(signer(&self.purpose, secret.as_ref())?);
        Ok(self)
    }

    /// Judges expiry by this clock. Default: the machine's, as it went on from the start of the
    /// process.
    ///
    /// All processes have to agree about it as well as about the expiry of a key.
    #[must_use]
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Issues a key that can be used for `life`, rounded up to a whole second, and not beyond the
    /// year 5138.
    ///
    /// Whoever has it can use it: send it as you would send a password.
    #[must_use]
    #[expect(
        clippy::missing_panics_doc,
        reason = "a system without random bytes cannot do anything safely"
    )]
    pub fn issue(&self, life: Duration) -> IssuedKey {
        let end = self.since_epoch().saturating_add(life);
        let whole = end
            .as_secs()
            .saturating_add(u64::from(end.subsec_nanos() > 0));
        let seconds = whole.min(LATEST);
        let mut key = [0; KEY];
        key[0] = VERSION;
        key[1..9].copy_from_slice(&seconds.to_be_bytes());
        getrandom::fill(&mut key[9..PAYLOAD]).expect("the system has random bytes");
        let signature = self.signer.clone().chain_update(&key[..PAYLOAD]);
        key[PAYLOAD..].copy_from_slice(&signature.finalize().into_bytes());
        IssuedKey {
            key: IdempotencyKey::new(URL_SAFE_NO_PAD.encode(key))
                .expect("Base64 is printable ASCII, and short"),
            expires_at: SystemTime::UNIX_EPOCH + Duration::from_secs(seconds),
        }
    }

    /// Says whether a key was issued here, and whether it has expired.
    ///
    /// Signatures are compared in constant time.
    #[must_use]
    pub fn verify(&self, key: &IdempotencyKey) -> KeyStanding {
        let Some(expiry) = self.expiry(key) else {
            return KeyStanding::Unknown;
        };
        match expiry.checked_sub(self.since_epoch()) {
            None | Some(Duration::ZERO) => KeyStanding::Expired,
            remaining => KeyStanding::Valid { remaining },
        }
    }

    pub(super) fn purpose(&self) -> &Arc<str> {
        &self.purpose
    }

    /// Returns when the key expires, since the epoch, if its signature is one of ours.
    fn expiry(&self, key: &IdempotencyKey) -> Option<Duration> {
        let decoded = URL_SAFE_NO_PAD.decode(key.as_str()).ok()?;
        let decoded: [u8; KEY] = decoded.try_into().ok()?;
        let (payload, signature) = decoded.split_at(PAYLOAD);
        let mut signers = [&self.signer].into_iter().chain(&self.accepted);
        let is_ours = signers.any(|signer| {
            let signer = signer.clone().chain_update(payload);
            signer.verify_slice(signature).is_ok()
        });
        let (&[version, a, b, c, d, e, f, g, h], _) = payload.split_first_chunk()?;
        let seconds = u64::from_be_bytes([a, b, c, d, e, f, g, h]);
        (is_ours && version == VERSION).then(|| Duration::from_secs(seconds))
    }

    fn since_epoch(&self) -> Duration {
        let now = self.clock.now().duration_since(SystemTime::UNIX_EPOCH);
        now.unwrap_or_default()
    }
}

/// Begins a signature with what it is for, the purpose with its length.
fn signer(purpose: &str, secret: &[u8]) -> Result<Signer, ConfigError> {
    if secret.len() < SECRET {
        let value = format!("{} bytes", secret.len());
        let must = format!("must have at least {SECRET} bytes");
        return Err(ConfigError::new("signed_keys.secret", value, must));
    }
    let signer = Signer::new_from_slice(secret).expect("HMAC takes secrets of any length");
    Ok(signer
        .chain_update(b"tower-idempotency issued key")
        .chain_update((purpose.len() as u64).to_be_bytes())
        .chain_update(purpose))
}

impl KeyIssuer for SignedKeys {
    type Error = Infallible;

    async fn standing(
        &self,
        key: &IdempotencyKey,
        _request: &Parts,
    ) -> Result<KeyStanding, Infallible> {
        Ok(self.verify(key))
    }
}

/// Shows no secret.
impl fmt::Debug for SignedKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SignedKeys")
            .field("purpose", &self.purpose)
            .field("accepted", &self.accepted.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
