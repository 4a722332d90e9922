//! An answer, and what tests ask of it.

use anyhow::Result;
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Response};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use serde_json::Value;

/// A whole answer.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Reply {
    /// The status.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The body, as far as it came.
    pub body: Bytes,
    /// The trailers, if there were any.
    pub trailers: Option<HeaderMap>,
    /// Whether the body broke off.
    pub broken: bool,
}

impl Reply {
    pub(crate) async fn read(response: Response<Incoming>) -> Result<Self> {
        let (head, mut body) = response.into_parts();
        let mut read = BytesMut::new();
        let mut trailers = None;
        let mut broken = false;
        while let Some(frame) = body.frame().await {
            match frame.map(hyper::body::Frame::into_data) {
                Ok(Ok(data)) => read.extend_from_slice(&data),
                Ok(Err(frame)) => trailers = frame.into_trailers().ok(),
                Err(_) => {
                    broken = true;
                    break;
                }
            }
        }
        Ok(Self {
            status: head.status.as_u16(),
            headers: head.headers,
            body: read.freeze(),
            trailers,
            broken,
        })
    }

    /// Returns the body as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// Returns the body as JSON.
    ///
    /// # Panics
    ///
    /// If it is none.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|_| panic!("not JSON: {} {}", self.status, self.text()))
    }

    /// Returns the code of a problem document; empty if the body is none.
    #[must_use]
    pub fn code(&self) -> String {
        let document: Value = serde_json::from_slice(&self.body).unwrap_or_default();
        document["code"].as_str().unwrap_or_default().to_owned()
    }

    /// Returns the value of a header; `None` if it is absent.
    ///
    /// # Panics
    ///
    /// If there are several lines, or the value is not text.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut values = self.headers.get_all(name).iter();
        let value = values.next()?;
        assert!(values.next().is_none(), "{name} has several lines");
        Some(value.to_str().expect("the value is text"))
    }

    /// Returns all values of a header, in their order.
    #[must_use]
    pub fn header_lines(&self, name: &str) -> Vec<String> {
        let values = self.headers.get_all(name).iter();
        values
            .map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
            .collect()
    }

    /// Tells whether this is a replay, with its body or without.
    #[must_use]
    pub fn is_replay(&self) -> bool {
        self.headers.contains_key("x-idempotency-replay")
    }

    /// Tells whether the layer says that it has kept this first response.
    #[must_use]
    pub fn is_stored(&self) -> bool {
        self.header("x-idempotency-stored") == Some("true")
    }

    /// Asserts that this answer is the layer's refusal with this status and code.
    ///
    /// # Panics
    ///
    /// If it is another one.
    #[track_caller]
    pub fn assert_problem(&self, status: u16, code: &str) {
        assert_eq!(
            (self.status, self.code().as_str()),
            (status, code),
            "{}",
            self.text()
        );
        assert!(!self.is_replay(), "a refusal is no replay");
        assert!(!self.is_stored(), "a refusal is not kept");
    }

    /// Asserts that this answer is a replay of `first`: the same status, body and kept headers.
    ///
    /// # Panics
    ///
    /// If it is not.
    #[track_caller]
    pub fn assert_replay_of(&self, first: &Self) {
        assert_eq!(
            self.header("x-idempotency-replay"),
            Some("true"),
            "{} {}",
            self.status,
            self.text()
        );
        assert!(!self.is_stored(), "a replay is no first response");
        assert_eq!(self.status, first.status);
        assert_eq!(self.body, first.body);
        for name in ["content-type", "location", "link", "etag"] {
            assert_eq!(self.header_lines(name), first.header_lines(name), "{name}");
        }
    }

    /// Asserts that this answer comes from a handler that ran for it.
    ///
    /// # Panics
    ///
    /// If it is a replay or a refusal of the layer's.
    #[track_caller]
    pub fn assert_executed(&self, status: u16) {
        assert_eq!(self.status, status, "{}", self.text());
        assert!(!self.is_replay(), "{} is replayed", self.status);
        assert_eq!(self.code(), "", "{}", self.text());
    }
}

/// An answer whose body is still to come.
#[derive(Debug)]
#[non_exhaustive]
pub struct Streaming {
    /// The status.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    body: Incoming,
}

impl Streaming {
    pub(crate) fn new(response: Response<Incoming>) -> Self {
        let (head, body) = response.into_parts();
        Self {
            status: head.status.as_u16(),
            headers: head.headers,
            body,
        }
    }

    /// Waits for the next piece of the body; `None` at its end.
    ///
    /// # Panics
    ///
    /// If the body breaks off.
    pub async fn next(&mut self) -> Option<Bytes> {
        loop {
            let frame = self.body.frame().await?.expect("the body goes on");
            if let Ok(data) = frame.into_data() {
                return Some(data);
            }
        }
    }
}
