//! Answers after which the operation goes on.

/// Marks a response as not the end of its operation: the client will come again with the same key.
///
/// For a confirmation step: `POST /events` asks "on credit?", and `POST /events?confirm_credit=1`
/// comes with the same key and has to run. Return it beside the question (feature `axum`), or put
/// it into the extensions of any response; [`Idempotency::not_final`](crate::Idempotency::not_final)
/// is the same for handlers that have the handle.
///
/// The response is not kept, and its key is as if it had never been claimed:
///
/// - the next request with it runs, and may be another one than this;
/// - a duplicate that waited for this response runs the handler itself, one at a time, and gets an
///   answer of its own. Without a [`WaitPolicy`](crate::WaitPolicy) it was answered 409;
/// - another request with the key that comes **while** the handler runs is refused with 422, as
///   always: nobody can confirm what was not asked yet;
/// - results of [`steps`](crate::Idempotency::step) go with the record, while a
///   [derived key](crate::Idempotency::derive_key) stays the same.
///
/// What the handler wrote before it asked:
///
/// | mode | |
/// |---|---|
/// | leased | stays; ask before anything is written |
/// | transactional | is rolled back, so that the question may be asked any number of times |
/// | fenced | is the handler's to roll back. What it has completed with [`complete_in`](crate::Idempotency::complete_in) and committed is final, and is kept in spite of the mark |
///
/// If the store fails to give the key up, that is tried again in the background. Until then the
/// same request is told to wait, and another one is refused.
///
/// # Example
///
/// ```
/// use axum::{extract::Query, http::StatusCode, response::{IntoResponse, Response}};
/// use std::collections::HashMap;
/// use tower_idempotency::NotFinal;
///
/// async fn create(Query(query): Query<HashMap<String, String>>) -> Response {
///     if !query.contains_key("confirm_credit") {
///         return (StatusCode::PAYMENT_REQUIRED, NotFinal, "on credit?").into_response();
///     }
///     (StatusCode::CREATED, "created").into_response()
/// }
/// # let _ = create;
///
/// // Without axum:
/// let mut question = http::Response::new("on credit?");
/// question.extensions_mut().insert(NotFinal);
/// ```
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "it is a mark, and holds nothing")]
pub struct NotFinal;

#[cfg(feature = "axum")]
impl axum::response::IntoResponseParts for NotFinal {
    type Error = std::convert::Infallible;

    fn into_response_parts(
        self,
        mut parts: axum::response::ResponseParts,
    ) -> Result<axum::response::ResponseParts, Self::Error> {
        parts.extensions_mut().insert(self);
        Ok(parts)
    }
}
