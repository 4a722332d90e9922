//! The published suite.

use crate::support::postgres;

tower_idempotency_testkit::store_conformance!(postgres);
