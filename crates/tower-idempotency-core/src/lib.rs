//! The vocabulary of idempotent requests, and the contract of a store.
//!
//! A client sends an `Idempotency-Key`; a server claims the key in a store, runs its handler once,
//! keeps the response, and answers later requests with the kept response.
//! This crate holds what that needs and nothing that does I/O:
//! it knows no runtime, no HTTP framework and no database.
//!
//! | to | use |
//! |---|---|
//! | protect a router | the `tower-idempotency` crate, which builds on this one |
//! | write a store | [`Store`] and [`Execution`], and prove it with `tower-idempotency-testkit` |
//! | choose a store at run time | [`BoxStore`] |
//!
//! # The life of a record
//!
//! A [`Record`] belongs to a [`Scope`] and an [`IdempotencyKey`].
//! [`Store::claim`] makes it, in progress, with a [`LeaseToken`] and the end of a lease.
//! The owner of the token renews the lease while the handler runs, and then either completes the
//! record with a [`StoredResponse`] or releases the key.
//! All three compare the token, so an execution that lost its lease changes nothing.
//! An expired record counts as absent.
//!
//! Which clock judges: always the store's.

mod boxed;
mod claim;
mod clock;
mod error;
mod fence;
mod fingerprint;
mod key;
mod lease;
mod policy;
mod raw;
mod record;
mod response;
mod scope;
mod step;
mod store;

pub use crate::{
    boxed::{BoxExecution, BoxStore},
    claim::{
        Claim, ClaimRequest, Completed, Release, Renewal, Replay, Resolution, Resolved, Settled,
        Standing,
    },
    clock::{Clock, SystemClock},
    error::{ConfigError, StoreError, StoreErrorKind},
    fence::{FencedCommit, FencedTransaction},
    fingerprint::{
        Fingerprint, FingerprintInput, FingerprintPolicy, JsonPointer, PointerError,
        PointerErrorKind,
    },
    key::{
        IdempotencyKey, KeyError, KeyErrorKind, KeyFormat, KeySyntax, MAX_KEY_BYTES, parse_header,
    },
    lease::{Attempt, LeaseToken},
    policy::{CrashPolicy, Retention},
    raw::{Judgement, RawClaim, RawRecord, RawResponse, Takeable, unresolved},
    record::{Failure, FailureCategory, Record, RecordInfo, RecordState},
    response::StoredResponse,
    scope::{RecordId, Scope},
    step::{KeepSteps, StepJournal, Steps},
    store::{Execution, ListPage, Store, StoreLimits, Swept},
};
