//! Reading the handler's response so that it can be kept.

use std::{collections::VecDeque, pin::Pin};

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Response, header::CONTENT_TYPE, response::Parts};
use http_body::Body;
use http_body_util::BodyExt;

use crate::ResponseBody;

/// A response as far as it was read.
pub(super) struct Captured<B: Body> {
    pub(super) head: Parts,
    pub(super) body: CapturedBody<B>,
}

/// How far a body was read.
pub(super) enum CapturedBody<B: Body> {
    /// To its end, within the cap.
    Whole {
        data: Bytes,
        trailers: Option<HeaderMap>,
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
    pub(super) async fn read(response: Response<B>, cap: usize) -> Self {
        let (head, body) = response.into_parts();
        let body = if is_stream(&head) || body.size_hint().lower() > cap as u64 {
            CapturedBody::Unfinished {
                prefix: VecDeque::new(),
                rest: Box::pin(body),
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

    /// Gives the client what the handler sent, byte for byte.
    pub(super) fn into_response(self) -> Response<ResponseBody<B>> {
        let body = match self.body {
            CapturedBody::Whole { data, trailers } => ResponseBody::whole(data, trailers),
            CapturedBody::Unfinished { prefix, rest } => ResponseBody::resumed(prefix, rest),
            CapturedBody::Broken { prefix, error } => ResponseBody::broken(prefix, error),
        };
        Response::from_parts(self.head, body)
    }
}

async fn read_body<B: Body<Data = Bytes>>(body: B, cap: usize) -> CapturedBody<B> {
    let mut rest = Box::pin(body);
    let mut prefix = VecDeque::new();
    let mut trailers = None;
    let mut length = 0;
    while let Some(frame) = rest.frame().await {
        let frame = match frame {
            Ok(frame) => frame,
            Err(error) => return CapturedBody::Broken { prefix, error },
        };
        match frame.into_data() {
            Ok(data) => {
                length += data.len();
                prefix.push_back(data);
            }
            Err(frame) => trailers = frame.into_trailers().ok(),
        }
        if length > cap {
            return CapturedBody::Unfinished { prefix, rest };
        }
    }
    CapturedBody::Whole {
        data: joined(prefix, length),
        trailers,
    }
}

/// Puts the pieces together; one piece, the usual case, is not copied.
fn joined(mut pieces: VecDeque<Bytes>, length: usize) -> Bytes {
    if pieces.len() <= 1 {
        return pieces.pop_front().unwrap_or_default();
    }
    let mut whole = BytesMut::with_capacity(length);
    for piece in pieces {
        whole.extend_from_slice(&piece);
    }
    whole.freeze()
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
