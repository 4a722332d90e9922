//! The operator's routes.
