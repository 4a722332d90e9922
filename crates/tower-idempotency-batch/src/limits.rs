//! How much goes together, and how much may wait.

/// How much goes together, and how much may wait.
///
/// # Example
///
/// ```
/// use tower_idempotency_batch::Limits;
///
/// let mut limits = Limits::default();
/// limits.lanes = 1;
/// ```
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Limits {
    /// How many batches run at the same time at most, each on a connection of its own; at least
    /// one. Default: 2, so that under load one batch is put together and sent while another one is
    /// written, and one that is stuck does not stop everybody.
    pub lanes: usize,
    /// How many operations have to wait before another batch is begun beside one that runs, unless
    /// that one has been running for long. Default: 64.
    ///
    /// A batch costs about as much as a dozen of its operations, so two small ones cost more than
    /// one that comes a moment later. With 1, no lane is idle while anything waits.
    pub crowd: usize,
    /// How many operations a batch has at most. Default: 256.
    pub operations: usize,
    /// How much the operations of a batch weigh at most, in bytes. An operation that is heavier
    /// goes alone. Default: 4 MiB.
    pub bytes: usize,
    /// How many operations wait at most before [`run_if_room`](crate::Batcher::run_if_room)
    /// refuses more. Default: 16,384.
    pub queued: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            lanes: 2,
            crowd: 64,
            operations: 256,
            bytes: 4 * 1024 * 1024,
            queued: 16_384,
        }
    }
}
