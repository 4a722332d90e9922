//! One completed record in memory.

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use http::HeaderMap;
use tokio::time::Instant;
use tower_idempotency_core::{Fingerprint, StoredResponse};

use crate::settings::Settings;

/// About what an entry takes besides the bytes of its response: its places in map and queue, and
/// the header map.
const OVERHEAD: usize = 768;

/// What is known of a record besides its response.
pub(crate) struct Known {
    settings: Arc<Settings>,
    fingerprint: Fingerprint,
    until: Instant,
}

impl Known {
    /// Describes a record that matched `fingerprint` and lives for `life` after `asked`.
    pub(crate) fn new(
        settings: &Arc<Settings>,
        fingerprint: Fingerprint,
        asked: Instant,
        life: Option<Duration>,
    ) -> Self {
        let staleness = settings.cache_staleness;
        let life = life.map_or(staleness, |life| life.min(staleness));
        Self {
            settings: Arc::clone(settings),
            fingerprint,
            // A time that cannot be told is not waited for.
            until: asked.checked_add(life).unwrap_or(asked),
        }
    }
}

/// A completed record in memory.
pub(crate) struct Entry {
    known: Known,
    response: StoredResponse,
    /// Most records are never asked for, so the headers are made for the first who asks.
    headers: OnceLock<HeaderMap>,
}

impl Entry {
    pub(super) const fn new(response: StoredResponse, known: Known) -> Self {
        Self {
            known,
            response,
            headers: OnceLock::new(),
        }
    }

    /// Returns the response, if the store would replay it for this request.
    ///
    /// For an equal fingerprint it decides as it has decided before. For another one it may
    /// find that the requests differ, or that they cannot be compared, and has to be asked.
    /// Another layer may replay other headers.
    pub(crate) fn replay(
        &self,
        settings: &Arc<Settings>,
        fingerprint: Fingerprint,
    ) -> Option<&StoredResponse> {
        let counts =
            fingerprint == self.known.fingerprint && Arc::ptr_eq(settings, &self.known.settings);
        counts.then_some(&self.response)
    }

    /// Returns the headers of a replay, which are made once.
    pub(crate) fn headers(&self, make: impl FnOnce() -> HeaderMap) -> &HeaderMap {
        self.headers.get_or_init(make)
    }

    pub(super) const fn until(&self) -> Instant {
        self.known.until
    }

    /// Returns about how many bytes the entry takes.
    pub(super) fn weight(&self) -> usize {
        // The headers are there twice.
        let body = self.response.body().map_or(0, bytes::Bytes::len);
        let head = self.response.size_bytes().saturating_sub(body);
        OVERHEAD + body + head * 2
    }
}
