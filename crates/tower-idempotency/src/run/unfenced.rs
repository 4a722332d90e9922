//! Answering for a handler that has not used the transaction that its store asks for.

use std::sync::Arc;

use tower_idempotency_core::{
    Completed, Execution, Retention, Settled, Store, StoreError, StoredResponse,
};

use super::{
    later,
    settle::{Settledness, Settling},
};
use crate::{ProblemCode, Settlement};

impl<St: Store> Settling<'_, St> {
    /// Keeps a refusal in the place of a success that was not kept in the handler's transaction.
    ///
    /// The handler has done something, or nothing; nobody can tell, so it is not run again.
    pub(super) async fn refuse_success(mut self: Box<Self>, retention: Retention) -> Settledness {
        tracing::error!(
            record = %self.id,
            "a handler said success without `complete_in`, which its store asks for"
        );
        let code = ProblemCode::NotCompletedInTransaction;
        let refusal = self.shared.render(&self.shared.problem(code));
        let headers = self
            .shared
            .settings
            .replayed_headers
            .filter(refusal.headers());
        let response =
            StoredResponse::from_parts(refusal.status(), headers, Some(refusal.into_body()));
        let completed = Completed::new(response, retention);
        let kept: Result<Settled, StoreError> = self.execution.complete(&completed).await;
        match kept {
            Ok(Settled::Applied) => Settledness::Unfenced(Settlement::Stored),
            Ok(Settled::Stale) => Settledness::Stale,
            Err(error) => {
                let error = crate::log::chain(&error);
                tracing::error!(record = %self.id, error, "a refusal could not be stored yet");
                later::complete_later(Arc::clone(self.shared), self.execution, self.id, completed);
                Settledness::Unfenced(Settlement::Pending)
            }
        }
    }
}
