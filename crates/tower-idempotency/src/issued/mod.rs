//! Keys that the service has issued, instead of the client: invites, confirmations, coupons.

mod issuer;
mod mark;
mod policy;
mod signed;

pub(crate) use self::policy::outlasting;

pub use self::{
    issuer::{KeyIssuer, KeyStanding},
    policy::IssuedKeys,
    signed::{IssuedKey, SignedKeys},
};
