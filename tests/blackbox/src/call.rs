//! Building and sending a request.

use std::{future::Future, time::Duration};

use anyhow::{Context, Result};
use bytes::Bytes;
use futures_util::stream;
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request,
    header::{AUTHORIZATION, CONTENT_TYPE, HOST},
};
use http_body::Frame;
use http_body_util::{BodyExt, Full, StreamBody};

use crate::{
    Reply, Streaming,
    connection::{SentBody, Transport},
};

/// The bound of every request.
const BOUND: Duration = Duration::from_secs(20);

/// A request that is not sent yet. A clone sends the same request again.
#[derive(Clone, Debug)]
#[must_use = "call `send`"]
pub struct Call {
    transport: Transport,
    method: Method,
    path: String,
    headers: HeaderMap,
    body: Sent,
}

#[derive(Clone, Debug)]
enum Sent {
    Whole(Bytes),
    Chunked(Vec<Bytes>),
}

impl Call {
    pub(crate) fn new(transport: Transport, method: Method, path: &str) -> Self {
        let call = Self {
            transport,
            method,
            path: path.to_owned(),
            headers: HeaderMap::new(),
            body: Sent::Whole(Bytes::new()),
        };
        call.bearer("alice")
    }

    /// Sends the key as it stands here, bare or quoted.
    pub fn key(self, key: impl AsRef<[u8]>) -> Self {
        self.header("idempotency-key", key)
    }

    /// Sends the request as this caller. Default: alice.
    ///
    /// # Panics
    ///
    /// If the name is no valid header value.
    pub fn bearer(mut self, caller: &str) -> Self {
        let value = HeaderValue::try_from(format!("Bearer {caller}"));
        self.headers
            .insert(AUTHORIZATION, value.expect("callers have plain names"));
        self
    }

    /// Sends no authorization.
    pub fn anonymous(mut self) -> Self {
        self.headers.remove(AUTHORIZATION);
        self
    }

    /// Adds a header line.
    ///
    /// # Panics
    ///
    /// If it is none; malformed heads are for [`raw`](crate::raw).
    pub fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        let name = HeaderName::try_from(name).expect("the name is valid");
        let value = HeaderValue::from_bytes(value.as_ref()).expect("the value is valid");
        self.headers.append(name, value);
        self
    }

    /// Sets the content type.
    ///
    /// # Panics
    ///
    /// If it is no valid header value.
    pub fn content_type(mut self, content_type: &str) -> Self {
        let value = HeaderValue::from_str(content_type).expect("the value is valid");
        self.headers.insert(CONTENT_TYPE, value);
        self
    }

    /// Sets the body, sent with its length.
    pub fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = Sent::Whole(body.into());
        self
    }

    /// Sets the body, sent in these pieces without an announced length.
    pub fn chunked<P: Into<Bytes>>(mut self, pieces: impl IntoIterator<Item = P>) -> Self {
        self.body = Sent::Chunked(pieces.into_iter().map(Into::into).collect());
        self
    }

    /// Sets a JSON body and its content type.
    pub fn json(self, body: &serde_json::Value) -> Self {
        self.content_type("application/json").body(body.to_string())
    }

    /// Sends the request and reads the whole answer.
    ///
    /// # Panics
    ///
    /// If there is no answer, or not in time.
    pub async fn send(self) -> Reply {
        let what = format!("{} {}", self.method, self.path);
        match self.try_send().await {
            Ok(reply) => reply,
            Err(error) => panic!("{what}: {error:#}"),
        }
    }

    /// Sends the request and reads the whole answer.
    ///
    /// # Errors
    ///
    /// If there is no answer, or not in time. A body that breaks off is no error;
    /// see [`Reply::broken`].
    pub async fn try_send(self) -> Result<Reply> {
        bounded(async { Reply::read(self.transmit().await?).await }).await
    }

    /// Sends the request and reads the head of the answer.
    ///
    /// # Panics
    ///
    /// If there is no answer, or not in time.
    pub async fn open(self) -> Streaming {
        let response = bounded(self.transmit()).await;
        Streaming::new(response.expect("there is an answer"))
    }

    async fn transmit(self) -> Result<http::Response<hyper::body::Incoming>> {
        let mut request = Request::builder().method(self.method);
        request = match &self.transport {
            Transport::Fresh(addr) => request.uri(&self.path).header(HOST, addr.to_string()),
            Transport::Stream(_) => request.uri(format!("http://fixture.example{}", self.path)),
        };
        let mut request = request.body(self.body.into_body())?;
        request.headers_mut().extend(self.headers);
        self.transport.send(request).await
    }
}

impl Sent {
    fn into_body(self) -> SentBody {
        match self {
            Self::Whole(bytes) => Full::new(bytes)
                .map_err(|never| match never {})
                .boxed_unsync(),
            Self::Chunked(pieces) => {
                let frames = pieces.into_iter().map(|piece| Ok(Frame::data(piece)));
                StreamBody::new(stream::iter(frames)).boxed_unsync()
            }
        }
    }
}

async fn bounded<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    tokio::time::timeout(BOUND, work)
        .await
        .context("there is no answer in time")?
}
