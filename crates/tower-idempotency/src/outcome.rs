use std::{fmt, sync::Arc};

use crate::ProblemCode;

/// What the layer did with a covered request.
///
/// It is put into the extensions of every response of the layer, so that outer layers
/// (traces, metrics) can see it, and given to the hook of
/// [`on_outcome`](crate::IdempotencyLayerBuilder::on_outcome).
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum Outcome {
    /// The handler ran, and its answer was kept, or its key given up, as the policy says.
    Executed(Settlement),
    /// The layer refused the request; the handler did not run for it.
    Refused(ProblemCode),
    /// A kept response was sent.
    Replayed {
        /// Whether it came from this process's memory, without asking the store
        /// (see [`cache_bytes`](crate::IdempotencyLayerBuilder::cache_bytes)).
        cached: bool,
    },
    /// The handler ran, but lost its lease meanwhile; the client got the winner's answer.
    Superseded,
    /// The store failed and the handler ran without protection, as configured.
    Unprotected,
}

/// What became of the key after an execution.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum Settlement {
    /// The store failed to keep the response, or it is not known whether it is kept. It is tried again in the background,
    /// and the key is not given up meanwhile.
    Pending,
    /// The key can be claimed again.
    Released,
    /// The transaction that held effect and response was rolled back, and the key is free.
    RolledBack,
    /// The response is kept.
    Stored,
    /// That the request was executed is kept, without the body.
    Tombstone,
}

type Observe = Arc<dyn Fn(Outcome) + Send + Sync>;

/// The user's function that is told every outcome.
#[derive(Clone)]
pub(crate) struct OutcomeHook(pub(crate) Observe);

impl fmt::Debug for OutcomeHook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<fn>")
    }
}
