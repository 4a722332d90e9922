//! Whether a request got as far as a connection.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use reqwest::{Body, Request};
use reqwest_middleware::Error;

/// Watches one try.
///
/// An error that says that no connection could be made is not enough to know that nothing was
/// sent: it may be about the address to which a first server, which has carried the request out,
/// redirects. And a try that ran out of its time may have been waiting for a connection. The body
/// knows: a connection looks at it before anything is written.
#[derive(Debug)]
pub(crate) struct Watch(Option<Arc<Seen>>);

#[derive(Debug, Default)]
struct Seen {
    by_connection: AtomicBool,
    dropped: AtomicBool,
}

impl Watch {
    /// Watches the body of a request.
    pub(crate) fn over(mut request: Request) -> (Request, Self) {
        let seen = Arc::new(Seen::default());
        let body = Watched {
            body: request.body_mut().take().unwrap_or_default(),
            seen: Arc::clone(&seen),
        };
        *request.body_mut() = Some(Body::wrap(body));
        (request, Self(Some(seen)))
    }

    /// Leaves the request as it is, and believes what errors say.
    pub(crate) const fn nothing() -> Self {
        Self(None)
    }

    /// Tells whether it is certain that nothing was sent before this error.
    pub(crate) fn nothing_left(&self, error: &Error) -> bool {
        let had_connection = self.0.as_ref().is_some_and(|seen| seen.by_connection());
        (error.is_connect() || error.is_builder()) && !had_connection
    }

    /// Tells whether the request, which was not dropped yet, waits for a connection.
    pub(crate) fn is_waiting(&self) -> bool {
        // Dropped before, by a middleware that sends something else: nobody knows.
        let waits = |seen: &Arc<Seen>| !seen.by_connection() && !seen.dropped();
        self.0.as_ref().is_some_and(waits)
    }

    /// Tells whether the request, which was dropped, is gone without a connection having seen it.
    ///
    /// If it waited until then, that is certain. One that is not gone is in the hands of a
    /// connection, which may be about to send it.
    pub(crate) fn is_gone_unseen(&self) -> bool {
        let is_gone = |seen: &Arc<Seen>| seen.dropped() && !seen.by_connection();
        self.0.as_ref().is_some_and(is_gone)
    }
}

impl Seen {
    fn by_connection(&self) -> bool {
        self.by_connection.load(Ordering::SeqCst)
    }

    fn dropped(&self) -> bool {
        self.dropped.load(Ordering::SeqCst)
    }
}

/// A body that notes when a connection looks at it.
#[derive(Debug)]
struct Watched {
    body: Body,
    seen: Arc<Seen>,
}

impl Watched {
    fn look(&self) {
        self.seen.by_connection.store(true, Ordering::SeqCst);
    }
}

impl http_body::Body for Watched {
    type Data = Bytes;
    type Error = reqwest::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, reqwest::Error>>> {
        self.look();
        Pin::new(&mut self.body).poll_frame(cx)
    }

    /// Asked by the connection, before it writes the head of the request.
    fn is_end_stream(&self) -> bool {
        self.look();
        self.body.is_end_stream()
    }

    /// Asked without a connection as well, to prepare for redirects.
    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.seen.dropped.store(true, Ordering::SeqCst);
    }
}
