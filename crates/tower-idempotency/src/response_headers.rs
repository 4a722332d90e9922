use http::{HeaderMap, HeaderName, HeaderValue, Response};
use tower_idempotency_core::ConfigError;

/// The headers by which the layer marks its answers.
///
/// | | a kept first response | a replay | a replay without its body |
/// |---|---|---|---|
/// | `default()` | `X-Idempotency-Stored: true` | `X-Idempotency-Replay: true` | `X-Idempotency-Replay: omitted` |
/// | `idempotency_replayed()` | | `Idempotency-Replayed: true` | `Idempotency-Replayed: omitted` |
/// | `stripe()` | | `Idempotent-Replayed: true` | `Idempotent-Replayed: omitted` |
///
/// A first response that ran without protection says `false` in the header for stored ones.
#[derive(Clone, Debug)]
pub struct ResponseHeaders {
    replay: Result<HeaderName, String>,
    stored: Option<Result<HeaderName, String>>,
}

impl ResponseHeaders {
    /// Marks replays with the header `replay`, and first responses not at all.
    pub fn named(replay: impl AsRef<str>) -> Self {
        Self {
            replay: parse(replay.as_ref()),
            stored: None,
        }
    }

    /// Marks kept first responses with the header `stored`.
    #[must_use]
    pub fn stored(mut self, stored: impl AsRef<str>) -> Self {
        self.stored = Some(parse(stored.as_ref()));
        self
    }

    /// `Idempotency-Replayed`, as several APIs have it.
    #[must_use]
    pub fn idempotency_replayed() -> Self {
        Self::named("idempotency-replayed")
    }

    /// `Idempotent-Replayed`, as Stripe has it.
    #[must_use]
    pub fn stripe() -> Self {
        Self::named("idempotent-replayed")
    }

    pub(crate) fn validate(&self) -> Result<(), ConfigError> {
        let names = [Some(&self.replay), self.stored.as_ref()];
        for name in names.into_iter().flatten() {
            if let Err(name) = name {
                return Err(ConfigError::new(
                    "response header",
                    format!("{name:?}"),
                    "must be a valid header name",
                ));
            }
        }
        Ok(())
    }

    /// Removes marks that are the layer's to set.
    pub(crate) fn clear<B>(&self, response: &mut Response<B>) {
        for name in [Some(&self.replay), self.stored.as_ref()]
            .into_iter()
            .flatten()
            .flatten()
        {
            response.headers_mut().remove(name);
        }
    }

    pub(crate) fn mark_stored<B>(&self, response: &mut Response<B>, stored: bool) {
        if let Some(Ok(name)) = &self.stored {
            let value = HeaderValue::from_static(if stored { "true" } else { "false" });
            response.headers_mut().insert(name.clone(), value);
        }
    }

    pub(crate) fn mark_replay(&self, headers: &mut HeaderMap, omitted: bool) {
        if let Ok(name) = &self.replay {
            let value = HeaderValue::from_static(if omitted { "omitted" } else { "true" });
            headers.insert(name.clone(), value);
        }
    }
}

/// `X-Idempotency-Stored` and `X-Idempotency-Replay`.
impl Default for ResponseHeaders {
    fn default() -> Self {
        Self::named("x-idempotency-replay").stored("x-idempotency-stored")
    }
}

fn parse(name: &str) -> Result<HeaderName, String> {
    HeaderName::try_from(name).map_err(|_| name.to_owned())
}
