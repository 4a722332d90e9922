//! A webhook inbox on `tower-idempotency`.

mod answer;
mod arrival;
mod attempt;
mod builder;
mod deliveries;
mod delivery;
mod error;
mod inbox;
mod kept_request;
mod layer;
#[cfg(feature = "axum")]
mod operator;
mod provider;
mod retry_schedule;
mod rows;
mod settings;
mod sql;
mod trigger;
mod verdict;
mod worker;

pub use crate::{
    builder::{InboxBuilder, ReplayLimit},
    deliveries::Deliveries,
    delivery::{DayStatistics, Delivery, DeliveryId, DeliveryPage, DeliveryState, Redelivery},
    error::{InboxError, InboxErrorKind},
    inbox::Inbox,
    layer::{InboxBody, InboxLayer, InboxService},
    provider::Provider,
    retry_schedule::RetrySchedule,
    trigger::Trigger,
    verdict::Verdict,
    worker::Worker,
};
#[doc(no_inline)]
pub use tower_idempotency_core::{ConfigError, Failure, FailureCategory};

/// Any error, as bodies report it.
type BoxError = Box<dyn std::error::Error + Send + Sync>;
