//! A server that is only played, for tests about time.

use std::{collections::VecDeque, sync::Mutex};

use http::Extensions;
use reqwest::{Request, Response};
use reqwest_middleware::{ClientWithMiddleware, Error, Middleware, Next, Result};
use tower_idempotency_client::{IdempotencyMiddleware, Operation, RetryPolicy, WithOperation};

use crate::support::client_with;

/// What becomes of a try.
#[derive(Clone, Copy)]
pub(crate) enum Act {
    /// It is answered with this status, header and body.
    Answer(u16, (&'static str, &'static str), &'static str),
    /// The connection breaks.
    Break,
    /// It is sent, and nothing comes back.
    Hang,
    /// It waits for a connection for ever.
    Wait,
}

pub(crate) const fn answer(status: u16) -> Act {
    Act::Answer(status, ("x-none", ""), "")
}

/// Plays these acts; the last one again and again.
pub(crate) struct Script(Mutex<VecDeque<Act>>);

impl Script {
    fn next(&self) -> Act {
        let mut acts = self.0.lock().unwrap();
        let act = *acts.front().unwrap();
        if acts.len() > 1 {
            acts.pop_front();
        }
        act
    }
}

#[async_trait::async_trait]
impl Middleware for Script {
    async fn handle(&self, request: Request, _: &mut Extensions, _: Next<'_>) -> Result<Response> {
        assert!(request.headers().contains_key("idempotency-key"));
        match self.next() {
            Act::Answer(status, (name, value), body) => {
                let answer = http::Response::builder().status(status).header(name, value);
                let answer = answer.header("content-type", "application/problem+json");
                Ok(answer.body(body).unwrap().into())
            }
            Act::Break => Err(Error::middleware(std::io::Error::other("broken"))),
            Act::Hang => {
                drop(request);
                std::future::pending().await
            }
            Act::Wait => std::future::pending().await,
        }
    }
}

pub(crate) fn client(policy: RetryPolicy, acts: &[Act]) -> ClientWithMiddleware {
    let script = Script(Mutex::new(acts.iter().copied().collect()));
    client_with(IdempotencyMiddleware::new().retry(policy), script)
}

/// Sends an operation to a server that plays this.
pub(crate) async fn play(
    policy: RetryPolicy,
    operation: &Operation,
    acts: &[Act],
) -> Result<Response> {
    let request = client(policy, acts).post("http://server.test/payments");
    request.body("12.50").operation(operation).send().await
}
