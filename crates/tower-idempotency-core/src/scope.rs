//! Who a key belongs to.

use std::{fmt, sync::Arc};

use sha2::{Digest, Sha256};

use crate::IdempotencyKey;

/// Whom and what an idempotency key belongs to: a namespace, a principal and a route.
///
/// Two requests with the same key are the same request only inside one scope.
/// The parts are kept readable for operators;
/// stores identify a record by the [`RecordId`] made of them.
///
/// # Example
///
/// ```
/// use tower_idempotency_core::Scope;
///
/// let scope = Scope::new("alice", "POST /payments").in_namespace("billing");
/// assert_eq!(scope.principal(), "alice");
/// assert_ne!(scope, Scope::new("bob", "POST /payments").in_namespace("billing"));
/// ```
#[derive(Clone, Eq, Hash, PartialEq)]
pub struct Scope {
    namespace: Arc<str>,
    principal: Arc<str>,
    route: Arc<str>,
}

impl Scope {
    /// Creates the scope of `principal` on `route`, in the unnamed namespace.
    ///
    /// `route` is usually the method and the route template, `POST /payments/{id}`.
    /// An empty `route` makes a scope that spans every route of the principal.
    #[must_use]
    pub fn new(principal: impl Into<Arc<str>>, route: impl Into<Arc<str>>) -> Self {
        Self {
            namespace: Arc::default(),
            principal: principal.into(),
            route: route.into(),
        }
    }

    /// Puts the scope into `namespace`, so that several services can share one table.
    #[must_use]
    pub fn in_namespace(mut self, namespace: impl Into<Arc<str>>) -> Self {
        self.namespace = namespace.into();
        self
    }

    /// Returns the namespace; empty by default.
    #[must_use]
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// Returns the principal.
    #[must_use]
    pub fn principal(&self) -> &str {
        &self.principal
    }

    /// Returns the route; empty for a scope that spans all routes.
    #[must_use]
    pub fn route(&self) -> &str {
        &self.route
    }
}

/// Shows the route only: a principal can be personal data.
impl fmt::Debug for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scope")
            .field("namespace", &self.namespace)
            .field("route", &self.route)
            .finish_non_exhaustive()
    }
}

/// The fixed-size identity of a record: a SHA-256 over scope and key.
///
/// Every part enters with its length, so no two (scope, key) pairs share an identity.
/// It is safe to log: it does not reveal the key.
///
/// # Example
///
/// ```
/// use tower_idempotency_core::{IdempotencyKey, RecordId, Scope};
///
/// let key = IdempotencyKey::new("k-1")?;
/// let left = RecordId::new(&Scope::new("ab", "c"), &key);
/// let right = RecordId::new(&Scope::new("a", "bc"), &key);
/// assert_ne!(left, right);
/// # Ok::<(), tower_idempotency_core::KeyError>(())
/// ```
#[derive(Clone, Copy, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct RecordId([u8; 32]);

impl RecordId {
    /// Computes the identity of `key` in `scope`.
    #[must_use]
    pub fn new(scope: &Scope, key: &IdempotencyKey) -> Self {
        let mut hasher = Sha256::new();
        for part in [
            scope.namespace(),
            scope.principal(),
            scope.route(),
            key.as_str(),
        ] {
            hasher.update((part.len() as u64).to_be_bytes());
            hasher.update(part.as_bytes());
        }
        Self(hasher.finalize().into())
    }

    /// Takes an identity back from the bytes that a store kept.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Returns the 32 bytes that a store keeps.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for RecordId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RecordId({self})")
    }
}

/// Writes the first eight bytes in hex: enough to find a record, short enough for a log line.
impl fmt::Display for RecordId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0[..8]
            .iter()
            .try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(namespace: &str, principal: &str, route: &str, key: &str) -> RecordId {
        let scope = Scope::new(principal, route).in_namespace(namespace);
        RecordId::new(&scope, &IdempotencyKey::new(key).unwrap())
    }

    #[test]
    fn moving_a_byte_between_parts_changes_the_identity() {
        let ids = [
            id("n", "p", "r", "k"),
            id("np", "", "r", "k"),
            id("", "np", "r", "k"),
            id("n", "pr", "", "k"),
            id("n", "p", "", "rk"),
        ];
        for (index, left) in ids.iter().enumerate() {
            assert!(ids[index + 1..].iter().all(|right| left != right));
        }
    }

    #[test]
    fn debug_output_hides_the_principal() {
        let shown = format!("{:?}", Scope::new("alice@example.com", "POST /"));
        assert!(!shown.contains("alice"), "{shown}");
    }
}
