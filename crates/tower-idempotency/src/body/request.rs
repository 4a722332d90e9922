use std::{
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::Full;
use pin_project_lite::pin_project;

pin_project! {
    /// A request body for services without axum: as it came, or read by the layer.
    ///
    /// The layer reads the body of a keyed request before it claims the key,
    /// and hands the bytes on; so the body's type must be `From<Bytes>`.
    /// axum's `Body` is; a server's own incoming body is not, and goes into this type first.
    ///
    /// # Example
    ///
    /// ```
    /// use http::Request;
    /// use http_body_util::Full;
    /// use tower_idempotency::RequestBody;
    ///
    /// let incoming: Request<Full<bytes::Bytes>> = Request::new(Full::from("amount=12"));
    /// let request = incoming.map(RequestBody::incoming);
    /// # let _ = request;
    /// ```
    #[derive(Debug)]
    pub struct RequestBody<B> {
        #[pin]
        kind: Kind<B>,
    }
}

pin_project! {
    #[project = KindProjection]
    #[derive(Debug)]
    enum Kind<B> {
        Incoming { #[pin] body: B },
        Read { #[pin] body: Full<Bytes> },
    }
}

impl<B> RequestBody<B> {
    /// Wraps a body as it comes from the server.
    pub const fn incoming(body: B) -> Self {
        Self {
            kind: Kind::Incoming { body },
        }
    }
}

impl<B> From<Bytes> for RequestBody<B> {
    fn from(bytes: Bytes) -> Self {
        Self {
            kind: Kind::Read {
                body: Full::new(bytes),
            },
        }
    }
}

impl<B: Body<Data = Bytes>> Body for RequestBody<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        match self.project().kind.project() {
            KindProjection::Incoming { body } => body.poll_frame(cx),
            KindProjection::Read { body } => body.poll_frame(cx).map_err(|never| match never {}),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.kind {
            Kind::Incoming { body } => body.is_end_stream(),
            Kind::Read { body } => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            Kind::Incoming { body } => body.size_hint(),
            Kind::Read { body } => body.size_hint(),
        }
    }
}
