//! What became of an operation.

use reqwest::Response;
use reqwest_middleware::Error;

use crate::{AnswerExt, SendError, SendErrorKind};

/// What became of an operation.
///
/// [`Outcome::of`] tells it from what `send` returned.
///
/// | what came | outcome |
/// |---|---|
/// | 2xx, 3xx | `Done` |
/// | any answer that is marked as stored or replayed | `Done` |
/// | another 4xx, and no request of the operation was lost before | `Done`: it was refused |
/// | 429 to the end, and nothing was lost before | `Done`: it was refused |
/// | another 4xx, or 429 to the end, after a lost answer | `Unknown`: it is about this request only |
/// | 408, 409 in progress or 5xx to the end; no answer to the end | `Unknown` |
/// | 409 `OUTCOME_UNKNOWN`, 409 `ATTEMPTS_EXHAUSTED` | `Unknown`: ask the operator |
/// | 422 `IDEMPOTENCY_KEY_REUSED` | `Unknown`: this request was refused, an earlier and different one may have been carried out |
/// | no connection at any try, and no request of the operation was sent before | `NotSent` |
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "there is no fourth thing to know")]
pub enum Outcome {
    /// The server has decided, and the response says how: done, or refused.
    Done,
    /// Nothing of it ever left this machine. Sending it again is safe, even with another key.
    NotSent,
    /// It was sent, and may have been carried out. Send the same [`Operation`](crate::Operation)
    /// again to find out, never another one.
    Unknown,
}

impl Outcome {
    /// Tells what became of an operation, from what `send` returned.
    ///
    /// An error of somebody else, such as another middleware, is [`Unknown`](Self::Unknown): it
    /// does not say what was sent.
    #[must_use]
    pub fn of(sent: &Result<Response, Error>) -> Self {
        match sent {
            Ok(response) => response.outcome(),
            Err(error) => match SendError::of(error).map(SendError::kind) {
                Some(SendErrorKind::NotSent) => Self::NotSent,
                Some(SendErrorKind::OutcomeUnknown | SendErrorKind::BodyUsedUp) | None => {
                    Self::Unknown
                }
            },
        }
    }
}
