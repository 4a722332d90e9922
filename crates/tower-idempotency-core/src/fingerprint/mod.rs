//! A digest of the request that a key was first used with.
//!
//! Everything that is digested carries its length, and every option of the
//! policy is digested too. Two requests with one fingerprint are therefore
//! either the same as far as the policy looks, or a collision of SHA-256.

mod canonical;
mod digest;
mod encoder;
mod input;
mod json;
mod pointer;
mod policy;

#[cfg(test)]
mod tests;

pub use self::{
    digest::Fingerprint,
    input::FingerprintInput,
    pointer::{JsonPointer, PointerError, PointerErrorKind},
    policy::FingerprintPolicy,
};
