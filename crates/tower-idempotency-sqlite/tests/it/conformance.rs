//! The published suite.

use crate::support::sqlite;

tower_idempotency_testkit::store_conformance!(sqlite);
