use std::{
    collections::VecDeque,
    fmt,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::{Buf, Bytes};
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

pin_project! {
    /// The body of a response that went through the layer.
    ///
    /// A request that the layer did not cover keeps its response's body untouched.
    pub struct ResponseBody<B: Body> {
        #[pin]
        kind: Kind<B>,
    }
}

pin_project! {
    #[project = KindProjection]
    enum Kind<B: Body> {
        // The inner service's body, untouched.
        Inner { #[pin] body: B },
        // Bytes that are here already, then trailers if the inner service sent some.
        Whole { data: Bytes, trailers: Option<Box<HeaderMap>> },
        // What the layer read before it saw that it would not keep the body, then the rest.
        Resumed { prefix: VecDeque<Bytes>, rest: Pin<Box<B>> },
        // What came before the inner body broke off, then its error.
        Broken { prefix: VecDeque<Bytes>, error: Option<B::Error> },
    }
}

impl<B: Body> ResponseBody<B> {
    pub(crate) const fn inner(body: B) -> Self {
        Self {
            kind: Kind::Inner { body },
        }
    }

    pub(crate) const fn whole(data: Bytes, trailers: Option<Box<HeaderMap>>) -> Self {
        Self {
            kind: Kind::Whole { data, trailers },
        }
    }

    pub(crate) const fn resumed(prefix: VecDeque<Bytes>, rest: Pin<Box<B>>) -> Self {
        Self {
            kind: Kind::Resumed { prefix, rest },
        }
    }

    pub(crate) const fn broken(prefix: VecDeque<Bytes>, error: B::Error) -> Self {
        Self {
            kind: Kind::Broken {
                prefix,
                error: Some(error),
            },
        }
    }
}

#[cfg(feature = "axum")]
impl ResponseBody<axum::body::Body> {
    /// Takes the inner service's body out again, or makes axum's own of whatever is in its place.
    pub(crate) fn into_axum(self) -> axum::body::Body {
        match self.kind {
            Kind::Inner { body } => body,
            Kind::Whole {
                data,
                trailers: None,
            } => axum::body::Body::from(data),
            kind => axum::body::Body::new(Self { kind }),
        }
    }
}

impl<B: Body> fmt::Debug for ResponseBody<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match &self.kind {
            Kind::Inner { .. } => "Inner",
            Kind::Whole { .. } => "Whole",
            Kind::Resumed { .. } => "Resumed",
            Kind::Broken { .. } => "Broken",
        };
        f.debug_tuple("ResponseBody").field(&kind).finish()
    }
}

impl<B: Body<Data = Bytes>> Body for ResponseBody<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        match self.project().kind.project() {
            KindProjection::Inner { body } => body.poll_frame(cx),
            KindProjection::Whole { data, trailers } => Poll::Ready(next_of(data, trailers)),
            KindProjection::Resumed { prefix, rest } => match prefix.pop_front() {
                Some(data) => Poll::Ready(Some(Ok(Frame::data(data)))),
                None => rest.as_mut().poll_frame(cx),
            },
            KindProjection::Broken { prefix, error } => Poll::Ready(match prefix.pop_front() {
                Some(data) => Some(Ok(Frame::data(data))),
                None => error.take().map(Err),
            }),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.kind {
            Kind::Inner { body } => body.is_end_stream(),
            Kind::Whole { data, trailers } => data.is_empty() && trailers.is_none(),
            Kind::Resumed { prefix, rest } => prefix.is_empty() && rest.is_end_stream(),
            Kind::Broken { error, .. } => error.is_none(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            Kind::Inner { body } => body.size_hint(),
            Kind::Whole { data, .. } => SizeHint::with_exact(data.len() as u64),
            Kind::Resumed { prefix, rest } => plus(&rest.size_hint(), length(prefix)),
            // The end will not come, so no length may be promised.
            Kind::Broken { .. } => SizeHint::default(),
        }
    }
}

fn next_of<E>(
    data: &mut Bytes,
    trailers: &mut Option<Box<HeaderMap>>,
) -> Option<Result<Frame<Bytes>, E>> {
    if data.has_remaining() {
        return Some(Ok(Frame::data(std::mem::take(data))));
    }
    trailers
        .take()
        .map(|trailers| Ok(Frame::trailers(*trailers)))
}

fn length(prefix: &VecDeque<Bytes>) -> u64 {
    prefix.iter().map(|data| data.len() as u64).sum()
}

fn plus(rest: &SizeHint, more: u64) -> SizeHint {
    let mut hint = SizeHint::new();
    hint.set_lower(rest.lower().saturating_add(more));
    if let Some(upper) = rest.upper() {
        hint.set_upper(upper.saturating_add(more));
    }
    hint
}
