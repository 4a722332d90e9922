use http::StatusCode;

/// What the layer can refuse a request for.
///
/// The codes are stable: clients may match on them.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum ProblemCode {
    /// 409: every attempt that a key has was used, and the last one failed.
    AttemptsExhausted,
    /// 410: the key was issued by the service, was not used, and its time is over.
    IdempotencyKeyExpired,
    /// 400: the key is malformed, repeated, too long or of another format than asked for.
    IdempotencyKeyInvalid,
    /// 400: the route requires a key and the request has none.
    IdempotencyKeyMissing,
    /// 422: the key was used with another request.
    IdempotencyKeyReused,
    /// 400: the service issues the keys itself, and has not issued this one, or has revoked it.
    IdempotencyKeyUnknown,
    /// 409: the key was issued by the service and was used, and the response is not kept.
    IdempotencyKeyUsed,
    /// 403: the request names no principal, so its key belongs to nobody.
    IdempotencyScopeMissing,
    /// 503: the store failed, and the handler was not run, or it is not known whether what it did
    /// was committed.
    IdempotencyStoreUnavailable,
    /// 500: the handler panicked.
    HandlerPanicked,
    /// 500: the handler said success without completing the key in its transaction, as its store
    /// asks for.
    NotCompletedInTransaction,
    /// 409: an execution ended without a trace, and an operator has to say what became of it.
    OutcomeUnknown,
    /// 400: the body could not be read to its end.
    RequestBodyUnreadable,
    /// 409: the first request with this key is still running.
    RequestInProgress,
    /// 413: the body is larger than the layer reads.
    RequestTooLarge,
    /// 500: a response is kept and cannot be read back; the handler was not run again.
    StoredResponseUnreadable,
    /// 500: the handler said success, but has not committed the transaction it completed in.
    TransactionNotCommitted,
    /// 503: the handler ran in a transaction that was rolled back.
    TransactionRolledBack,
}

impl ProblemCode {
    /// Returns the code as it stands in responses.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AttemptsExhausted => "ATTEMPTS_EXHAUSTED",
            Self::IdempotencyKeyExpired => "IDEMPOTENCY_KEY_EXPIRED",
            Self::IdempotencyKeyInvalid => "IDEMPOTENCY_KEY_INVALID",
            Self::IdempotencyKeyMissing => "IDEMPOTENCY_KEY_MISSING",
            Self::IdempotencyKeyReused => "IDEMPOTENCY_KEY_REUSED",
            Self::IdempotencyKeyUnknown => "IDEMPOTENCY_KEY_UNKNOWN",
            Self::IdempotencyKeyUsed => "IDEMPOTENCY_KEY_USED",
            Self::IdempotencyScopeMissing => "IDEMPOTENCY_SCOPE_MISSING",
            Self::IdempotencyStoreUnavailable => "IDEMPOTENCY_STORE_UNAVAILABLE",
            Self::HandlerPanicked => "HANDLER_PANICKED",
            Self::NotCompletedInTransaction => "NOT_COMPLETED_IN_TRANSACTION",
            Self::OutcomeUnknown => "OUTCOME_UNKNOWN",
            Self::RequestBodyUnreadable => "REQUEST_BODY_UNREADABLE",
            Self::RequestInProgress => "REQUEST_IN_PROGRESS",
            Self::RequestTooLarge => "REQUEST_TOO_LARGE",
            Self::StoredResponseUnreadable => "STORED_RESPONSE_UNREADABLE",
            Self::TransactionNotCommitted => "TRANSACTION_NOT_COMMITTED",
            Self::TransactionRolledBack => "TRANSACTION_ROLLED_BACK",
        }
    }

    /// Returns the status of the response.
    #[must_use]
    pub const fn status(self) -> StatusCode {
        match self {
            Self::IdempotencyKeyInvalid
            | Self::IdempotencyKeyMissing
            | Self::IdempotencyKeyUnknown
            | Self::RequestBodyUnreadable => StatusCode::BAD_REQUEST,
            Self::IdempotencyKeyExpired => StatusCode::GONE,
            Self::IdempotencyKeyReused => StatusCode::UNPROCESSABLE_ENTITY,
            Self::IdempotencyScopeMissing => StatusCode::FORBIDDEN,
            Self::IdempotencyStoreUnavailable | Self::TransactionRolledBack => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            Self::HandlerPanicked
            | Self::NotCompletedInTransaction
            | Self::StoredResponseUnreadable
            | Self::TransactionNotCommitted => StatusCode::INTERNAL_SERVER_ERROR,
            Self::AttemptsExhausted
            | Self::IdempotencyKeyUsed
            | Self::OutcomeUnknown
            | Self::RequestInProgress => StatusCode::CONFLICT,
            Self::RequestTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        }
    }

    /// Returns the title: constant for each code, as RFC 9457 asks.
    #[must_use]
    pub const fn title(self) -> &'static str {
        match self {
            Self::AttemptsExhausted => "Every attempt of this operation has failed",
            Self::IdempotencyKeyExpired => "The idempotency key has expired",
            Self::IdempotencyKeyInvalid => "The idempotency key is invalid",
            Self::IdempotencyKeyMissing => "An idempotency key is required",
            Self::IdempotencyKeyReused => "The idempotency key was used with another request",
            Self::IdempotencyKeyUnknown => "The idempotency key is not one of this service",
            Self::IdempotencyKeyUsed => "The idempotency key was used",
            Self::IdempotencyScopeMissing => "The request names nobody to whom the key belongs",
            Self::IdempotencyStoreUnavailable => "Idempotency cannot be guaranteed at present",
            Self::HandlerPanicked => "The request failed",
            Self::NotCompletedInTransaction => "The outcome of the request cannot be kept",
            Self::OutcomeUnknown => "The outcome of the first request is unknown",
            Self::RequestBodyUnreadable => "The request body could not be read",
            Self::RequestInProgress => "The first request with this key is in progress",
            Self::RequestTooLarge => "The request body is too large",
            Self::StoredResponseUnreadable => "The stored response cannot be read",
            Self::TransactionNotCommitted => "The request was not carried out",
            Self::TransactionRolledBack => "The request could not be carried out at present",
        }
    }

    /// Returns what a client should know and do, where a case has nothing of its own to say.
    #[must_use]
    pub(crate) const fn detail(self) -> &'static str {
        match self {
            Self::AttemptsExhausted => {
                "The request is not tried again. Ask the operator of this service."
            }
            Self::IdempotencyKeyExpired => "Nothing was done. Ask for a new key.",
            Self::IdempotencyKeyInvalid => {
                "Send one Idempotency-Key of 1 to 255 printable ASCII characters."
            }
            Self::IdempotencyKeyMissing => {
                "Send an Idempotency-Key that is new for each operation, and the same for each of its retries."
            }
            Self::IdempotencyKeyReused => {
                "Send the original request again, or use a new key for this one."
            }
            Self::IdempotencyKeyUnknown => {
                "Send the key exactly as this service has issued it, or ask for a new one."
            }
            Self::IdempotencyKeyUsed => {
                "The request was carried out before, and its answer was not kept."
            }
            Self::IdempotencyScopeMissing => "Authenticate, then send the same request again.",
            Self::IdempotencyStoreUnavailable => {
                "The request was not carried out. Send it again with the same key."
            }
            Self::HandlerPanicked => "Send the same request again with the same key.",
            Self::OutcomeUnknown | Self::NotCompletedInTransaction => {
                "The request may have been carried out. Do not use a new key; ask the operator of this service."
            }
            Self::RequestBodyUnreadable => "Send the whole request again with the same key.",
            Self::RequestInProgress => {
                "No correction is needed. Send the same request again with the same key later."
            }
            Self::RequestTooLarge => "Send a smaller request.",
            Self::StoredResponseUnreadable => {
                "The request was carried out. Do not use a new key; ask the operator of this service."
            }
            Self::TransactionNotCommitted | Self::TransactionRolledBack => {
                "Nothing was done. Send the same request again with the same key."
            }
        }
    }
}
