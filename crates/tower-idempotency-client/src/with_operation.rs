//! Gives a request its operation.

use reqwest_middleware::RequestBuilder;

use crate::Operation;

/// Gives a request its operation.
///
/// Implemented for [`reqwest_middleware::RequestBuilder`]. The client needs the
/// [`IdempotencyMiddleware`](crate::IdempotencyMiddleware); without it, nothing happens.
pub trait WithOperation {
    /// Sends the request for this operation: with its key, and again until there is an answer.
    ///
    /// An `Idempotency-Key` that the request has by itself is replaced.
    #[must_use]
    fn operation(self, operation: &Operation) -> Self;
}

impl WithOperation for RequestBuilder {
    fn operation(self, operation: &Operation) -> Self {
        self.with_extension(operation.clone())
    }
}
