//! Reading the handler's response so that it can be kept.

use std::{collections::VecDeque, pin::Pin};

use bytes::Bytes;
use http::{HeaderMap, Response, header::CONTENT_TYPE, response::Parts};
use http_body::Body;
use http_body_util::BodyExt;

use super::pieces::Pieces;
use crate::ResponseBody;

/// A response as far as it was read.
///
/// What is large of it is behind pointers: it is moved through several futures.
pub(super) struct Captured<B: Body> {
    pub(super) head: Box<Parts>,
    pub(super) body: CapturedBody<B>,
}

/// How far a body was read.
pub(super) enum CapturedBody<B: Body> {
    /// To its end, within the cap.
    Whole {
        data: Bytes,
        trailers: Option<Box<HeaderMap>>,
    },
    /// Not to its end: it is a stream, or over the cap.
    Unfinished {
        prefix: VecDeque<Bytes>,
        rest: Pin<Box<B>>,
    },
    /// Up to an error.
    Broken {
        prefix: VecDeque<Bytes>,
        error: B::Error,
    },
}

impl<B: Body<Data = Bytes>> Captured<B> {
    /// Reads up to `cap` bytes of the body.
    pub(super) fn read(response: Response<B>, cap: usize) -> impl Future<Output = Self> {
        let (head, body) = response.into_parts();
        let head = Box::new(head);
        let is_kept = !is_stream(&head) && body.size_hint().lower() <= cap as u64;
        let body = Box::pin(body);
        async move {
            let body = if !is_kept {
                CapturedBody::Unfinished {
                    prefix: VecDeque::new(),
                    rest: body,
                }
            } else if body.is_end_stream() {
                CapturedBody::Whole {
                    data: Bytes::new(),
                    trailers: None,
                }
            } else {
                read_body(body, cap).await
            };
            Self { head, body }
        }
    }

    /// Makes one of a response that is here already.
    pub(super) fn whole(response: Response<Bytes>) -> Self {
        let (head, data) = response.into_parts();
        Self {
            head: Box::new(head),
            body: CapturedBody::Whole {
                data,
                trailers: None,
            },
        }
    }

    /// Gives the client what the handler sent, byte for byte.
    pub(super) fn into_response(self) -> Response<ResponseBody<B>> {
        let body = match self.body {
            CapturedBody::Whole { data, trailers } => ResponseBody::whole(data, trailers),
            CapturedBody::Unfinished { prefix, rest } => ResponseBody::resumed(prefix, rest),
            CapturedBody::Broken { prefix, error } => ResponseBody::broken(prefix, error),
        };
        Response::from_parts(*self.head, body)
    }
}

async fn read_body<B: Body<Data = Bytes>>(mut rest: Pin<Box<B>>, cap: usize) -> CapturedBody<B> {
    let mut pieces = Pieces::default();
    let mut trailers = None;
    while let Some(frame) = rest.frame().await {
        let frame = match frame {
            Ok(frame) => frame,
            Err(error) => {
                let prefix = pieces.into_list();
                return CapturedBody::Broken { prefix, error };
            }
        };
        match frame.into_data() {
            Ok(data) => pieces.push(data),
            Err(frame) => trailers = frame.into_trailers().ok().map(Box::new),
        }
        if pieces.length() > cap {
            let prefix = pieces.into_list();
            return CapturedBody::Unfinished { prefix, rest };
        }
    }
    CapturedBody::Whole {
        data: pieces.joined(),
        trailers,
    }
}

/// Tells whether the body has to reach the client while it is being made.
fn is_stream(head: &Parts) -> bool {
    const EVENTS: &[u8] = b"text/event-stream";
    let events = head.headers.get(CONTENT_TYPE).is_some_and(|kind| {
        kind.as_bytes()
            .get(..EVENTS.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(EVENTS))
    });
    events || head.status.is_informational()
}
