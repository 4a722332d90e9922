//! What goes into batches, and what comes out.

use std::{borrow::Cow, sync::Arc};

use tower_idempotency_core::{
    Attempt, ClaimRequest, Completed, Failure, LeaseToken, RecordId, StoredResponse, Takeable,
};

use crate::{
    claim::{Found, readable},
    place::Place,
};

/// One of those that share a statement.
#[derive(Debug)]
pub(crate) enum Operation {
    Claim {
        request: Arc<ClaimRequest>,
        /// Whether a crash of the server must not undo it.
        durable: bool,
    },
    /// Rare, so that it has a statement of its own.
    TakeOver {
        request: Arc<ClaimRequest>,
        seen: LeaseToken,
        because: Takeable,
    },
    End(End),
}

/// What an execution does with its record.
#[derive(Debug)]
pub(crate) struct End {
    pub(crate) id: RecordId,
    pub(crate) token: LeaseToken,
    /// Where the record's row is, if it has not been changed since the claim.
    pub(crate) place: Option<Place>,
    pub(crate) change: Change,
}

#[derive(Debug)]
pub(crate) enum Change {
    Complete(Arc<Completed>),
    Fail {
        kept_ms: Option<i64>,
        failure: Failure,
    },
    Renew {
        lease_ms: Option<i64>,
        abandoned_ms: Option<i64>,
    },
    Free,
}

impl Change {
    /// Returns the number that the statement knows the change by.
    pub(crate) const fn number(&self) -> i16 {
        match self {
            Self::Complete(_) => 1,
            Self::Fail { .. } => 2,
            Self::Renew { .. } => 3,
            Self::Free => 4,
        }
    }

    /// Returns how long the record is kept from now; `None` if for ever.
    pub(crate) fn kept_ms(&self) -> Option<i64> {
        match self {
            Self::Complete(completed) => completed.retention.milliseconds(),
            Self::Fail { kept_ms, .. } => *kept_ms,
            Self::Renew {
                lease_ms,
                abandoned_ms,
            } => lease_ms
                .zip(*abandoned_ms)
                .map(|(a, b)| a.saturating_add(b)),
            Self::Free => None,
        }
    }

    pub(crate) const fn lease_ms(&self) -> Option<i64> {
        match self {
            Self::Renew { lease_ms, .. } => *lease_ms,
            Self::Complete(_) | Self::Fail { .. } | Self::Free => None,
        }
    }

    pub(crate) fn status(&self) -> Option<i16> {
        let status = self.response()?.status().as_u16();
        Some(i16::try_from(status).unwrap_or(i16::MAX))
    }

    pub(crate) fn head(&self) -> Option<Vec<u8>> {
        self.response().map(StoredResponse::head)
    }

    pub(crate) fn body(&self) -> Option<&[u8]> {
        self.response()?.body().map(AsRef::as_ref)
    }

    pub(crate) fn category(&self) -> Option<&'static str> {
        self.failure().map(|failure| failure.category.as_str())
    }

    pub(crate) fn error(&self) -> Option<Cow<'_, str>> {
        self.failure().map(|failure| readable(&failure.error))
    }

    fn response(&self) -> Option<&StoredResponse> {
        match self {
            Self::Complete(completed) => Some(&completed.response),
            Self::Fail { .. } | Self::Renew { .. } | Self::Free => None,
        }
    }

    fn failure(&self) -> Option<&Failure> {
        match self {
            Self::Fail { failure, .. } => Some(failure),
            Self::Complete(_) | Self::Renew { .. } | Self::Free => None,
        }
    }
}

impl Operation {
    /// Tells whether a crash of the server must not undo the operation, once it is answered.
    pub(crate) const fn is_durable(&self) -> bool {
        match self {
            Self::Claim { durable, .. } => *durable,
            Self::TakeOver { .. } | Self::End(_) => true,
        }
    }

    /// Returns about how many bytes the operation adds to a statement.
    pub(crate) fn weight(&self) -> usize {
        /// Digests, tokens and times.
        const FIXED: usize = 200;
        match self {
            Self::Claim { request, .. } => {
                let scope = &request.scope;
                let texts = [scope.namespace(), scope.principal(), scope.route()];
                let texts: usize = texts.iter().map(|text| text.len()).sum();
                FIXED + texts + request.key.as_str().len()
            }
            // Alone.
            Self::TakeOver { .. } => usize::MAX,
            Self::End(end) => {
                FIXED
                    + match &end.change {
                        Change::Complete(completed) => completed.response.size_bytes(),
                        Change::Fail { failure, .. } => failure.error.len(),
                        Change::Renew { .. } | Change::Free => 0,
                    }
            }
        }
    }
}

/// What an operation came to.
#[derive(Debug)]
pub(crate) enum Answer {
    /// A record that cannot be read is its own claim's affair.
    Claimed(sqlx::Result<Found>),
    TakenOver(Option<Attempt>),
    /// Whether the record was changed. If not, it is another's, or held by somebody.
    Ended(bool),
}
