//! Completing the record in the handler's own transaction.

use std::{error::Error, fmt};

use bytes::Bytes;
use http::Response;
use tower_idempotency_core::{
    Completed, FencedCommit, FencedTransaction, Settled, StoreError, StoredResponse,
};

use super::{Fenced, Idempotency};
use crate::keep;

impl Idempotency {
    /// Keeps `response` in the handler's own database transaction, so that it is committed together
    /// with the handler's effects, or not at all.
    ///
    /// Call it last, right before the commit, and return the same response. The lease's token is
    /// compared in the transaction: an execution that stalled past its lease, and whose key
    /// somebody else has taken over, cannot commit.
    /// From here to the end of the transaction nobody can take the key over, however long that is.
    ///
    /// Give it the outermost transaction: with a savepoint that is rolled back afterwards the record
    /// would go and the effects before it stay.
    /// The transaction must be on the database that holds the records; the stores for Postgres and
    /// SQLite take `sqlx::Transaction`. Which responses are kept is not asked here: this one is.
    /// Its headers are filtered, and its body left out if it is over the layer's cap, as always.
    /// What the handler wishes has to be said before: [`retention`](Self::retention) and
    /// [`omit_body`](Self::omit_body) change nothing afterwards.
    ///
    /// If the handler then does not commit, the key is given up; a response that says success is
    /// replaced by a 500, since it would be a lie.
    /// To find out, the layer asks the store: where nothing is left to do but to commit,
    /// [`complete_and_commit`](Self::complete_and_commit) spares that.
    ///
    /// # Errors
    ///
    /// [`CompleteInError`]; the transaction cannot be committed any more.
    /// Return any response: the client gets the one that was kept by whoever has the key now.
    ///
    /// # Cancel safety
    ///
    /// After dropping the future, roll the transaction back.
    ///
    /// # Example
    ///
    /// For a whole handler see the documentation of the store's crate.
    ///
    /// ```
    /// use http::{Response, StatusCode};
    /// use tower_idempotency::{CompleteInError, FencedTransaction, Idempotency};
    ///
    /// /// Keeps "created" in a transaction of any store.
    /// async fn created<F, T>(
    ///     idempotency: &Idempotency,
    ///     transaction: &mut T,
    /// ) -> Result<Response<String>, CompleteInError>
    /// where
    ///     T: FencedTransaction<F>,
    ///     F: Clone + Send + Sync + 'static,
    /// {
    ///     let mut response = Response::new("{\"paid\":100}".to_owned());
    ///     *response.status_mut() = StatusCode::CREATED;
    ///     idempotency.complete_in(transaction, &response).await?;
    ///     Ok(response)
    /// }
    /// ```
    pub async fn complete_in<F, T, B>(
        &self,
        transaction: &mut T,
        response: &Response<B>,
    ) -> Result<(), CompleteInError>
    where
        T: FencedTransaction<F>,
        F: Clone + Send + Sync + 'static,
        B: AsRef<[u8]>,
    {
        let (fence, completed) = self.prepare(response)?;
        settled(transaction.complete(fence, &completed).await)
    }

    /// Keeps `response` in the handler's own database transaction, and commits it.
    ///
    /// It is [`complete_in`](Self::complete_in) and the commit in one, and as safe. The layer then
    /// knows how the transaction ended, and asks the store only if the commit was not answered.
    /// Return the same response.
    ///
    /// What [`complete_in`](Self::complete_in) says of the transaction holds here too; a savepoint
    /// is refused. The store for Postgres also takes a single statement in its place (`Effect`).
    ///
    /// # Errors
    ///
    /// [`CompleteInError`]. Nothing is committed, unless it is a [`CompleteInError::Store`] of the
    /// kind [`CommitUnknown`](tower_idempotency_core::StoreErrorKind::CommitUnknown).
    /// Return any response: the layer finds out what became of the transaction, and the client gets
    /// the response that was kept, if there is one.
    ///
    /// # Cancel safety
    ///
    /// After dropping the future, the transaction was or will be committed, or rolled back; the
    /// layer finds out which.
    ///
    /// # Example
    ///
    /// ```
    /// use http::{Response, StatusCode};
    /// use tower_idempotency::{CompleteInError, FencedCommit, Idempotency};
    ///
    /// /// Commits "created" in a transaction of any store.
    /// async fn created<F, T>(
    ///     idempotency: &Idempotency,
    ///     transaction: T,
    /// ) -> Result<Response<String>, CompleteInError>
    /// where
    ///     T: FencedCommit<F>,
    ///     F: Clone + Send + Sync + 'static,
    /// {
    ///     let mut response = Response::new("{\"paid\":100}".to_owned());
    ///     *response.status_mut() = StatusCode::CREATED;
    ///     idempotency.complete_and_commit(transaction, &response).await?;
    ///     Ok(response)
    /// }
    /// ```
    pub async fn complete_and_commit<F, T, B>(
        &self,
        transaction: T,
        response: &Response<B>,
    ) -> Result<(), CompleteInError>
    where
        T: FencedCommit<F>,
        F: Clone + Send + Sync + 'static,
        B: AsRef<[u8]>,
    {
        let (fence, completed) = self.prepare(response)?;
        settled(transaction.complete_and_commit(fence, &completed).await)?;
        let stored = completed.response;
        self.wish(|wishes| wishes.fenced = Fenced::Committed(stored));
        Ok(())
    }

    /// Notes that the store has to be asked, and returns what the transaction is completed with.
    ///
    /// It is noted first, for the case that the future is dropped midway. What is committed stays
    /// so, whatever a handler tries afterwards.
    fn prepare<F, B>(&self, response: &Response<B>) -> Result<(&F, Completed), CompleteInError>
    where
        F: Clone + Send + Sync + 'static,
        B: AsRef<[u8]>,
    {
        let Some(fence) = self.0.granted.get::<F>() else {
            return Err(CompleteInError::Unsupported);
        };
        let stored = self.to_keep(response);
        let retention = self.wishes().retention(&self.0.settings);
        let completed = Completed::new(stored.clone(), retention);
        self.wish(|wishes| {
            if !matches!(wishes.fenced, Fenced::Committed(_)) {
                wishes.fenced = Fenced::Tried(stored);
            }
        });
        Ok((fence, completed))
    }

    fn to_keep<B: AsRef<[u8]>>(&self, response: &Response<B>) -> StoredResponse {
        let data = response.body().as_ref();
        let settings = &self.0.settings;
        let headers = settings.replayed_headers.filter(response.headers());
        if self.wishes().omit_body || data.len() > settings.max_response_bytes {
            return keep::tombstone(response.status(), headers);
        }
        keep::whole(response.status(), headers, Bytes::copy_from_slice(data))
    }
}

fn settled(kept: Result<Settled, StoreError>) -> Result<(), CompleteInError> {
    match kept {
        Ok(Settled::Applied) => Ok(()),
        Ok(Settled::Stale) => Err(CompleteInError::LeaseLost),
        Err(error) => Err(CompleteInError::Store(error)),
    }
}

/// Why a response was not kept in the handler's transaction.
#[derive(Debug)]
#[non_exhaustive]
pub enum CompleteInError {
    /// Another execution has the key: this one stalled past its lease.
    LeaseLost,
    /// The store's part of the transaction failed.
    Store(StoreError),
    /// The layer's store keeps no records where such a transaction could reach them,
    /// or the request runs without protection since the store failed.
    Unsupported,
}

impl fmt::Display for CompleteInError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::LeaseLost => "another execution has taken the idempotency key over",
            Self::Store(_) => "the response could not be kept in the transaction",
            Self::Unsupported => {
                "the layer's store cannot keep a response in a transaction of this kind"
            }
        })
    }
}

impl Error for CompleteInError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Store(error) => Some(error),
            Self::LeaseLost | Self::Unsupported => None,
        }
    }
}
