//! The layer in one process, over the memory store and one that fails on purpose.

#![expect(clippy::unwrap_used, reason = "a test that meets an error has failed")]

#[cfg(feature = "axum")]
mod attended;
#[cfg(feature = "axum")]
mod axum_layer;
mod axum_router;
mod caching;
mod configuration;
mod faults;
mod issued;
mod languages;
mod mechanics;
mod not_final;
mod passing;
mod steps;
mod support;
mod sweeping;
mod transactions;
mod waiting;
