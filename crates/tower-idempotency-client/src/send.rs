//! Tries until there is an answer, or no more time.

use std::{error::Error as StdError, time::Duration};

use http::{Extensions, StatusCode, header::LOCATION};
use reqwest::{Request, Response};
use reqwest_middleware::{Error, Next, Result};
use tokio::time::{Instant, sleep, timeout};

use crate::{
    Operation, Outcome, RetryPolicy, SendError, SendErrorKind, error::TooSlow, read::read,
    verdict::Answer, watch::Watch,
};

/// How to send.
#[derive(Clone, Debug)]
pub(crate) struct Rules {
    pub(crate) policy: RetryPolicy,
    /// Whether bodies are watched.
    pub(crate) watches: bool,
}

/// What one try led to.
enum Reply {
    Answer(Answer),
    Nothing(Loss),
}

/// A try without an answer.
struct Loss {
    error: Box<dyn StdError + Send + Sync>,
    /// Whether something may have left this machine.
    left: bool,
    /// Whether every other try would fail in the same way.
    is_lasting: bool,
}

/// Sends a request, which has its key already, until it has an answer.
pub(crate) async fn send(
    rules: &Rules,
    operation: &Operation,
    mut request: Request,
    extensions: &mut Extensions,
    next: Next<'_>,
) -> Result<Response> {
    let mut sending = Sending {
        rules,
        operation,
        began: Instant::now(),
        unsure: operation.is_in_doubt(),
        tries: 0,
    };
    loop {
        let again = request.try_clone();
        let reply = sending.once(request, extensions, next.clone()).await;
        let (pause, again) = match reply {
            Reply::Answer(answer) if !answer.is_worth_retrying() => {
                return Ok(sending.finish(answer));
            }
            Reply::Answer(answer) => {
                sending.note(!answer.is_refusal());
                match (sending.pause(answer.retry_after()), again) {
                    (Some(pause), Some(again)) => (pause, again),
                    _ => return Ok(sending.stop(answer)),
                }
            }
            Reply::Nothing(loss) => {
                sending.note(loss.left);
                match (sending.pause(Duration::ZERO), again) {
                    (Some(pause), Some(again)) if !loss.is_lasting => (pause, again),
                    (_, again) => return Err(sending.give_up(loss, again.is_none())),
                }
            }
        };
        sleep(pause).await;
        request = again;
    }
}

/// The tries of one `send`.
struct Sending<'a> {
    rules: &'a Rules,
    operation: &'a Operation,
    began: Instant,
    /// Whether a request of the operation was sent, now or earlier, whose outcome is not known.
    unsure: bool,
    tries: u32,
}

impl Sending<'_> {
    /// Tries once; the answer, and the code in it, have to be there in time.
    async fn once(
        &mut self,
        request: Request,
        extensions: &mut Extensions,
        next: Next<'_>,
    ) -> Reply {
        self.tries += 1;
        // Before it is sent: whoever drops the future now has lost the answer.
        self.operation.doubt().begin();
        let policy = &self.rules.policy;
        let time = policy.total.saturating_sub(self.began.elapsed());
        let (request, plain, watch) = self.watch(request);
        let mut exchange = Box::pin(exchange(request, plain, extensions, next));
        match timeout(policy.per_try.min(time), exchange.as_mut()).await {
            Ok(Ok(answer)) => Reply::Answer(answer),
            Ok(Err(error)) => Reply::Nothing(Loss {
                left: !watch.nothing_left(&error),
                is_lasting: error.is_builder() || error.is_redirect(),
                error: boxed(error),
            }),
            Err(_) => {
                let waited = watch.is_waiting();
                drop(exchange);
                Reply::Nothing(Loss {
                    left: !(waited && watch.is_gone_unseen()),
                    is_lasting: false,
                    error: TooSlow.into(),
                })
            }
        }
    }

    /// Watches a request, and keeps one that is not for a redirect.
    fn watch(&self, request: Request) -> (Request, Option<Request>, Watch) {
        if !self.rules.watches {
            return (request, None, Watch::nothing());
        }
        let has_body = request.body().is_some();
        let plain = has_body.then(|| request.try_clone()).flatten();
        let (request, watch) = Watch::over(request);
        (request, plain, watch)
    }

    /// Notes whether the try that has just ended may have been carried out.
    fn note(&mut self, is_doubtful: bool) {
        if is_doubtful {
            self.unsure = true;
        } else {
            self.operation.doubt().settle_one();
        }
    }

    /// Returns how long to wait for the next try, if there is to be one.
    fn pause(&self, retry_after: Duration) -> Option<Duration> {
        let policy = &self.rules.policy;
        let is_last = policy.max_tries.is_some_and(|it| it.get() <= self.tries);
        let pause = policy.pause(self.tries, retry_after);
        let is_late = self.began.elapsed().saturating_add(pause) >= policy.total;
        (!is_last && !is_late).then_some(pause)
    }

    /// Ends with an answer that no retry would change.
    fn finish(&self, answer: Answer) -> Response {
        let doubt = self.operation.doubt();
        let outcome = if answer.is_final() {
            doubt.settle_all();
            Outcome::Done
        } else if self.unsure || answer.is_undecided() {
            // A refusal by somebody in front says nothing about what was sent before.
            Outcome::Unknown
        } else {
            doubt.settle_one();
            Outcome::Done
        };
        answer.with(outcome, self.tries)
    }

    /// Ends with the last answer, though another try could bring another one.
    fn stop(&self, answer: Answer) -> Response {
        let outcome = match self.unsure {
            true => Outcome::Unknown,
            false => Outcome::Done,
        };
        answer.with(outcome, self.tries)
    }

    /// Ends without an answer.
    fn give_up(&self, loss: Loss, is_used_up: bool) -> Error {
        let kind = match (self.unsure, is_used_up) {
            (false, _) => SendErrorKind::NotSent,
            (true, true) => SendErrorKind::BodyUsedUp,
            (true, false) => SendErrorKind::OutcomeUnknown,
        };
        Error::middleware(SendError::new(kind, self.tries, loss.error))
    }
}

/// Sends a request and reads the answer, or sends `plain` if that was redirected.
async fn exchange(
    request: Request,
    plain: Option<Request>,
    extensions: &mut Extensions,
    next: Next<'_>,
) -> Result<Answer> {
    let mut response = next.clone().run(request, extensions).await?;
    // A watched body cannot be repeated, so the client could not follow.
    if let Some(plain) = plain.filter(|_| is_redirect(&response)) {
        response = next.run(plain, extensions).await?;
    }
    Ok(read(response).await?)
}

/// Tells whether this is a redirect that takes the body along.
fn is_redirect(response: &Response) -> bool {
    let kinds = [
        StatusCode::TEMPORARY_REDIRECT,
        StatusCode::PERMANENT_REDIRECT,
    ];
    kinds.contains(&response.status()) && response.headers().contains_key(LOCATION)
}

/// Takes out what failed, so that it is not wrapped twice.
fn boxed(error: Error) -> Box<dyn StdError + Send + Sync> {
    match error {
        Error::Middleware(error) => error.into(),
        Error::Reqwest(error) => error.into(),
    }
}
