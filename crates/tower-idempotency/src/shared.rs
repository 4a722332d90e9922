//! What a layer, its services and its executions share.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use bytes::Bytes;
use http::{HeaderValue, Response};
use http_body::Body;
use tokio::sync::Semaphore;
use tower_idempotency_core::Store;

use crate::{
    Outcome, Problem, ProblemCode, ResponseBody, cache::ReplayCache, runtime::Runtime,
    settings::Settings, watch::Watch,
};

#[derive(Debug)]
pub(crate) struct Shared<St> {
    pub(crate) store: Arc<St>,
    pub(crate) runtime: Arc<Runtime>,
    pub(crate) settings: Arc<Settings>,
    /// The places for duplicates that wait.
    pub(crate) places: Arc<Semaphore>,
    /// Replays without asking the store, unless that is switched off or gains nothing.
    pub(crate) cache: Option<Arc<ReplayCache>>,
    pub(crate) watch: Arc<Watch>,
}

impl<St: Store> Shared<St> {
    pub(crate) fn new(store: Arc<St>, runtime: Arc<Runtime>, settings: Settings) -> Self {
        let is_cached = settings.caches() && !store.limits().in_process;
        let cache = is_cached.then(|| runtime.cache(settings.cache_bytes));
        let places = settings.wait.as_ref().map_or(0, |wait| wait.waiters);
        Self {
            store,
            runtime,
            places: Arc::new(Semaphore::new(places.min(Semaphore::MAX_PERMITS))),
            watch: Arc::default(),
            settings: Arc::new(settings),
            cache,
        }
    }
}

impl<St> Shared<St> {
    /// Starts the description of a refusal.
    pub(crate) fn problem(&self, code: ProblemCode) -> Problem {
        let docs_url = match &self.settings.docs_url {
            Ok(url) => url.clone(),
            // `build` has refused every other value.
            Err(_) => HeaderValue::from_static("about:blank"),
        };
        Problem::new(code, docs_url)
    }

    /// Turns a refusal into a response, and tells whoever wants to know.
    pub(crate) fn refuse<B: Body>(&self, problem: &Problem) -> Response<ResponseBody<B>> {
        let mut response = self.render(problem);
        self.report(Outcome::Refused(problem.code), &mut response);
        response.map(|bytes| ResponseBody::whole(bytes, None))
    }

    pub(crate) fn render(&self, problem: &Problem) -> Response<Bytes> {
        let renderer = &self.settings.renderer;
        let mut response = renderer.render(problem);
        if renderer.is_translated() {
            // Rendered again where the request's languages are known.
            response.extensions_mut().insert(problem.clone());
        }
        response
    }

    /// Publishes the outcome: in the response's extensions, in the log and to the hook.
    pub(crate) fn report<B>(&self, outcome: Outcome, response: &mut Response<B>) {
        response.extensions_mut().insert(outcome);
        self.announce(outcome);
    }

    /// Publishes an outcome that has no response.
    pub(crate) fn announce(&self, outcome: Outcome) {
        tracing::debug!(?outcome, "a covered request has ended");
        let Some(hook) = &self.settings.hook else {
            return;
        };
        if catch_unwind(AssertUnwindSafe(|| (hook.0)(outcome))).is_err() {
            tracing::error!(?outcome, "the outcome hook panicked");
        }
    }
}
