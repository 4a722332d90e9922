//! One run of a handler, and how far it came.

use std::{sync::Arc, thread};

use chaos::{RunEnd, Seen};
use http::StatusCode;
use uuid::Uuid;

use crate::{
    effects::Effect,
    notes::{Identity, Notes},
};

/// Notes the end of a run, however it ends.
#[derive(Debug)]
pub(crate) struct RunGuard {
    pub(crate) notes: Arc<Notes>,
    pub(crate) identity: Identity,
    pub(crate) attempt: u32,
    /// Names the run to the client.
    pub(crate) execution: String,
    number: u64,
    is_over: bool,
}

impl RunGuard {
    pub(crate) fn begin(notes: &Arc<Notes>, identity: Identity, attempt: u32) -> Self {
        let run = Self {
            notes: Arc::clone(notes),
            number: notes.number(),
            attempt,
            execution: Uuid::new_v4().to_string(),
            is_over: false,
            identity,
        };
        notes.note(Seen::RunBegins {
            run: run.number,
            key: run.identity.key.clone(),
            token: run.identity.token.clone(),
            attempt,
            execution: run.execution.clone(),
        });
        run
    }

    /// Returns the effect of this run.
    pub(crate) fn row(&self) -> Effect {
        Effect {
            operation: self.identity.key.clone(),
            attempt: self.attempt,
            execution: self.execution.clone(),
        }
    }

    /// Lets `write` write the effect, and says whether that was confirmed.
    pub(crate) async fn effect<T>(&self, write: impl Future<Output = anyhow::Result<T>>) -> bool {
        self.notes.note(Seen::EffectBegins { run: self.number });
        let written = write.await;
        self.notes.note(Seen::EffectEnds {
            run: self.number,
            confirmed: written.is_ok(),
        });
        if let Err(error) = &written {
            tracing::info!(error = format!("{error:#}"), "an effect was not confirmed");
        }
        written.is_ok()
    }

    pub(crate) fn end(mut self, status: StatusCode) {
        self.is_over = true;
        self.note(RunEnd::Answered {
            status: status.as_u16(),
        });
    }

    fn note(&self, end: RunEnd) {
        self.notes.note(Seen::RunEnds {
            run: self.number,
            end,
        });
    }
}

impl Drop for RunGuard {
    fn drop(&mut self) {
        if self.is_over {
            return;
        }
        self.note(if thread::panicking() {
            RunEnd::Panicked
        } else {
            RunEnd::Dropped
        });
    }
}
