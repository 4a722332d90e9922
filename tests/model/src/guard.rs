//! What the protocol's safety rests on, piece by piece.

/// One guard of the protocol.
///
/// A [`Protocol`](crate::Protocol) can do without one of them,
/// to show that the checker then finds what goes wrong.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Guard {
    /// `complete` compares the token.
    FenceOnComplete,
    /// `renew` compares the token.
    FenceOnRenew,
    /// `release` compares the token.
    FenceOnRelease,
    /// `release` acts on nothing but a record in progress.
    ReleaseOfInProgressOnly,
    /// A claim finds its own record again when its acknowledgement was lost.
    RecognitionOfOwnToken,
    /// A takeover replaces nothing but the token that was judged.
    TokenSeenInTakeover,
    /// A takeover looks in the same statement whether the record's time is still over.
    TimeOverInTakeover,
    /// It replaces a record only for the reason that was judged. A claim that is so late that it
    /// makes a second record with its token would otherwise lose that one to a takeover that had
    /// judged the first, and had not compared fingerprints since it had expired or failed.
    ReasonSeenInTakeover,
    /// Completing in the handler's transaction compares the token there.
    CheckInTransaction,
    /// The transactional mode looks the record up after it has the lock, not before.
    LookupUnderLock,
    /// The server ends the transaction of an owner that is gone.
    LockDiesWithOwner,
    /// Leases run out.
    LeaseRunsOut,
}
