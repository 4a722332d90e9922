//! The axum extractor.

use axum_core::{
    extract::{FromRequestParts, OptionalFromRequestParts},
    response::{IntoResponse, Response},
};
use http::{StatusCode, request::Parts};

use super::tx::{Tx, TxError};

/// Refuses a request that has no transaction to give.
#[derive(Debug)]
pub struct TxRejection(TxError);

impl TxRejection {
    /// Returns why there is none.
    #[must_use]
    pub const fn reason(&self) -> &TxError {
        &self.0
    }
}

impl IntoResponse for TxRejection {
    fn into_response(self) -> Response {
        tracing::error!(reason = %self.0, "a handler asked for a transaction in vain");
        let status = match self.0 {
            TxError::Store(_) => StatusCode::SERVICE_UNAVAILABLE,
            TxError::Ended | TxError::NoTransaction | TxError::Taken => {
                StatusCode::INTERNAL_SERVER_ERROR
            }
        };
        (status, self.0.to_string()).into_response()
    }
}

impl<S: Sync> FromRequestParts<S> for Tx {
    type Rejection = TxRejection;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, TxRejection> {
        Self::take_from(&parts.extensions)
            .await
            .map_err(TxRejection)
    }
}

/// `None` if no key was claimed, as where the key is optional and the request has none.
impl<S: Sync> OptionalFromRequestParts<S> for Tx {
    type Rejection = TxRejection;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Option<Self>, TxRejection> {
        match Self::take_from(&parts.extensions).await {
            Ok(tx) => Ok(Some(tx)),
            Err(TxError::NoTransaction) => Ok(None),
            Err(reason) => Err(TxRejection(reason)),
        }
    }
}
