use std::{fmt, sync::Arc};

use tokio::sync::Notify;
use tokio_util::task::TaskTracker;
use tower_idempotency::{BoxStore, ConfigError, IdempotencyLayer, Store};

use crate::{
    DayStatistics, Deliveries, Delivery, DeliveryId, DeliveryPage, DeliveryState, InboxBuilder,
    InboxError, InboxLayer, Redelivery, Trigger, rows, settings::Settings,
};

/// An inbox for webhooks, and what operators can do with it.
///
/// See the [crate docs](crate). Cloning is cheap, and clones share everything.
#[derive(Clone)]
pub struct Inbox {
    shared: Arc<Shared>,
}

/// What layers, workers and operators share.
pub(crate) struct Shared {
    pub(crate) deliveries: Deliveries,
    pub(crate) guard: IdempotencyLayer<BoxStore>,
    pub(crate) settings: Settings,
    /// Attempts outlive the connections of their senders.
    pub(crate) attempts: TaskTracker,
    /// Tells the worker of this process that something is due.
    pub(crate) due: Notify,
}

impl Shared {
    pub(crate) fn new(
        deliveries: Deliveries,
        guard: IdempotencyLayer<BoxStore>,
        settings: Settings,
    ) -> Self {
        Self {
            deliveries,
            guard,
            settings,
            attempts: TaskTracker::new(),
            due: Notify::new(),
        }
    }
}

impl Inbox {
    /// Starts to set up an inbox: where deliveries are kept, and where the keys of their attempts.
    ///
    /// With a transactional store, or one whose fence the handlers use, a handler's effects and
    /// the note that it succeeded are one commit.
    pub fn builder(deliveries: Deliveries, store: impl Store) -> InboxBuilder {
        InboxBuilder::new(deliveries, store)
    }

    pub(crate) fn from_shared(shared: Shared) -> Self {
        Self {
            shared: Arc::new(shared),
        }
    }

    pub(crate) const fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Returns the layer for the route of a trigger.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] if the trigger's id or one of its places for keys cannot be one.
    pub fn layer(&self, trigger: Trigger) -> Result<InboxLayer, ConfigError> {
        trigger.validate()?;
        Ok(InboxLayer::new(Arc::clone(&self.shared), trigger))
    }

    /// Lists deliveries, the latest first.
    ///
    /// # Errors
    ///
    /// [`InboxError`] if the database fails.
    ///
    /// # Cancel safety
    ///
    /// It only reads.
    pub async fn list(&self, page: &DeliveryPage) -> Result<Vec<Delivery>, InboxError> {
        self.shared.deliveries.list(page).await
    }

    /// Lists dead letters, the latest first; the page's own state does not count.
    ///
    /// # Errors
    ///
    /// [`InboxError`] if the database fails.
    ///
    /// # Cancel safety
    ///
    /// It only reads.
    pub async fn dead_letters(&self, page: &DeliveryPage) -> Result<Vec<Delivery>, InboxError> {
        self.list(&page.in_state(DeliveryState::Dead)).await
    }

    /// Returns one delivery.
    ///
    /// # Errors
    ///
    /// [`InboxError`] if the database fails.
    ///
    /// # Cancel safety
    ///
    /// It only reads.
    pub async fn delivery(&self, id: DeliveryId) -> Result<Option<Delivery>, InboxError> {
        self.shared.deliveries.show(id).await
    }

    /// Asks for another attempt of a delivery that failed, dead letters above all.
    ///
    /// A [worker](Self::start) of any process makes it: one attempt more than it was allowed, and
    /// a dead letter again if that fails. What has succeeded is never run again.
    ///
    /// # Errors
    ///
    /// [`InboxError`] if the database fails; that too many were asked for is no error but a
    /// [`Redelivery`].
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves the wish noted or not.
    pub async fn redeliver(&self, id: DeliveryId) -> Result<Redelivery, InboxError> {
        let limit = self.shared.settings.replay;
        let replay = self
            .shared
            .deliveries
            .replay(id, limit.pause, limit.per_minute);
        let judged = replay.await?;
        if judged == Redelivery::Queued {
            tracing::info!(delivery = %id, "an operator asked for another attempt");
            self.shared.due.notify_one();
        }
        Ok(judged)
    }

    /// Counts by day, in UTC, the latest first: today, and as many days before it as make `days`.
    ///
    /// Days without deliveries are left out.
    ///
    /// # Errors
    ///
    /// [`InboxError`] if the database fails.
    ///
    /// # Cancel safety
    ///
    /// It only reads.
    pub async fn statistics(&self, days: u32) -> Result<Vec<DayStatistics>, InboxError> {
        let rows = self.shared.deliveries.statistics(days).await?;
        Ok(rows.into_iter().map(rows::day).collect())
    }

    /// Deletes up to `limit` deliveries that have ended and outlived their retention, and returns
    /// how many. A [worker](Self::start) does it once a minute.
    ///
    /// # Errors
    ///
    /// [`InboxError`] if the database fails.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves them deleted or not.
    pub async fn sweep(&self, limit: u32) -> Result<u64, InboxError> {
        let older = self.shared.settings.retention;
        self.shared.deliveries.sweep(older, limit).await
    }

    /// Waits until no attempt is running that a sender's request has begun.
    ///
    /// Attempts outlive their connections: call it when the server has stopped, and bound it with
    /// [`tokio::time::timeout`]. What is cut off runs again later.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future stops the waiting and nothing else.
    pub async fn drain(&self) {
        // A closed tracker still takes tasks; `wait` merely needs it closed.
        self.shared.attempts.close();
        self.shared.attempts.wait().await;
        self.shared.guard.drain().await;
    }
}

impl fmt::Debug for Inbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inbox")
            .field("settings", &self.shared.settings)
            .finish_non_exhaustive()
    }
}
