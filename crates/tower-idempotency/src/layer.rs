use std::{fmt, sync::Arc};

use tower_idempotency_core::{ConfigError, Store};
use tower_layer::Layer;

use crate::{IdempotencyLayerBuilder, IdempotencyService, Principal, shared::Shared};

/// Makes retried requests to the services it wraps safe.
///
/// See the [crate docs](crate) for what it does. Cloning is cheap, and clones share everything.
#[must_use]
pub struct IdempotencyLayer<St> {
    shared: Arc<Shared<St>>,
    requirement: Requirement,
}

/// Whether a request must have a key.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Requirement {
    /// A request without a key passes through.
    Optional,
    /// A request without a key is refused.
    Required,
}

impl<St: Store> IdempotencyLayer<St> {
    /// Makes a layer with the default settings.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] if the store or the principal does not fit the defaults: a store that
    /// holds less than 1 MiB for a response, a header name that is none.
    pub fn new(store: St, principal: Principal) -> Result<Self, ConfigError> {
        Self::builder(store, principal).build()
    }

    /// Starts to set up a layer.
    ///
    /// Give it an `Arc` of the store to go on using the store elsewhere.
    pub fn builder(store: St, principal: Principal) -> IdempotencyLayerBuilder<St> {
        IdempotencyLayerBuilder::new(Arc::new(store), principal)
    }

    /// Starts to set up a layer with other settings for some routes.
    ///
    /// It begins with the settings of this one and shares its store, its sweeper and
    /// [`drain`](Self::drain).
    pub fn customize(&self) -> IdempotencyLayerBuilder<St> {
        IdempotencyLayerBuilder::from_shared(&self.shared)
    }
}

impl<St> IdempotencyLayer<St> {
    pub(crate) fn from_shared(shared: Shared<St>) -> Self {
        Self {
            shared: Arc::new(shared),
            requirement: Requirement::Optional,
        }
    }

    /// Returns this layer for routes that refuse a request without a key: 400.
    pub fn required(&self) -> Self {
        Self {
            requirement: Requirement::Required,
            ..self.clone()
        }
    }

    /// Returns this layer for routes where a request without a key passes through: the default.
    pub fn optional(&self) -> Self {
        Self {
            requirement: Requirement::Optional,
            ..self.clone()
        }
    }

    /// Returns this layer for axum, a little faster there.
    ///
    /// axum puts a box around every body that is not its own, that of [`ResponseBody`] included.
    /// This layer answers with axum's body, so that a request without a key costs no allocation.
    /// It needs an inner service that does, too: an axum router, a method router or a handler.
    ///
    /// [`ResponseBody`]: crate::ResponseBody
    ///
    /// # Example
    ///
    /// ```
    /// use axum::{Router, routing::post};
    /// use tower_idempotency::{IdempotencyLayer, Principal};
    /// use tower_idempotency_memory::MemoryStore;
    ///
    /// # fn main() -> Result<(), tower_idempotency::ConfigError> {
    /// let layer = IdempotencyLayer::new(MemoryStore::new(), Principal::public())?;
    /// let app: Router = Router::new()
    ///     .route("/payments", post(async || "paid"))
    ///     .layer(layer.for_axum());
    /// # let _ = app;
    /// # Ok(())
    /// # }
    /// ```
    #[cfg(feature = "axum")]
    pub fn for_axum(&self) -> crate::AxumLayer<St> {
        crate::AxumLayer::new(self.clone())
    }

    /// Waits until no execution is running and nothing waits to be stored or given up.
    ///
    /// Executions outlive their connections, so a graceful shutdown has to wait for them:
    /// call it after the server has stopped accepting, and bound it with
    /// [`tokio::time::timeout`]. Requests that come meanwhile are served and waited for too.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future stops the waiting and nothing else.
    ///
    /// # Example
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use tower_idempotency::{IdempotencyLayer, Principal};
    /// # use tower_idempotency_memory::MemoryStore;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), tower_idempotency::ConfigError> {
    /// let layer = IdempotencyLayer::new(MemoryStore::new(), Principal::public())?;
    /// // axum::serve(listener, router).with_graceful_shutdown(signal).await?;
    /// if tokio::time::timeout(Duration::from_secs(30), layer.drain()).await.is_err() {
    ///     // Keys that are still in progress stay blocked until their leases end.
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub async fn drain(&self) {
        let tracker = &self.shared.runtime.tracker;
        // A closed tracker still takes tasks; `wait` merely needs it closed.
        tracker.close();
        tracker.wait().await;
    }
}

impl<St> Clone for IdempotencyLayer<St> {
    fn clone(&self) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
            requirement: self.requirement,
        }
    }
}

impl<St> fmt::Debug for IdempotencyLayer<St> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IdempotencyLayer")
            .field("requirement", &self.requirement)
            .field("settings", &self.shared.settings)
            .finish_non_exhaustive()
    }
}

impl<S, St> Layer<S> for IdempotencyLayer<St> {
    type Service = IdempotencyService<S, St>;

    fn layer(&self, inner: S) -> Self::Service {
        IdempotencyService::new(inner, Arc::clone(&self.shared), self.requirement)
    }
}
