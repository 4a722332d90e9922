//! The axum extractor.

use axum_core::{
    extract::{FromRequestParts, OptionalFromRequestParts},
    response::{IntoResponse, Response},
};
use http::{StatusCode, request::Parts};

use super::tx::{Tx, TxUnavailable};

/// Refuses a request that has no transaction to give: the service is put together wrongly.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct TxRejection(TxUnavailable);

impl TxRejection {
    /// Returns why there is none.
    #[must_use]
    pub const fn reason(&self) -> TxUnavailable {
        self.0
    }
}

impl IntoResponse for TxRejection {
    fn into_response(self) -> Response {
        tracing::error!(reason = %self.0, "a handler asked for a transaction in vain");
        (StatusCode::INTERNAL_SERVER_ERROR, self.0.to_string()).into_response()
    }
}

impl<S: Sync> FromRequestParts<S> for Tx {
    type Rejection = TxRejection;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, TxRejection> {
        Self::take_from(&parts.extensions).map_err(TxRejection)
    }
}

/// `None` if no key was claimed, as where the key is optional and the request has none.
impl<S: Sync> OptionalFromRequestParts<S> for Tx {
    type Rejection = TxRejection;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Option<Self>, TxRejection> {
        match Self::take_from(&parts.extensions) {
            Ok(tx) => Ok(Some(tx)),
            Err(TxUnavailable::NoTransaction) => Ok(None),
            Err(reason) => Err(TxRejection(reason)),
        }
    }
}
