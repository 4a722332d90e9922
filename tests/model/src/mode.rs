//! The three levels of guarantee.

/// How the handler's effect and the key's record are tied together.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Mode {
    /// The effect is outside of the store; the layer completes the key afterwards.
    Leased,
    /// The handler completes the key in the transaction that holds its effect.
    Fenced,
    /// The layer hands the handler the transaction: lock, effect and record are one.
    Transactional,
}
