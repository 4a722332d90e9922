use std::{net::SocketAddr, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::{net::TcpStream, task::JoinHandle};

/// The bound of every request.
const BOUND: Duration = Duration::from_secs(60);

/// A request that is not sent yet. A clone sends the same again, on a connection of its own.
#[derive(Clone, Debug)]
#[must_use = "call `send`"]
pub struct Request {
    addr: SocketAddr,
    method: Method,
    path: String,
    headers: HeaderMap,
    body: Bytes,
}

/// A whole answer.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Reply {
    /// The status.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

impl Request {
    pub(crate) fn new(addr: SocketAddr, method: Method, path: &str) -> Self {
        Self {
            addr,
            method,
            path: path.to_owned(),
            headers: HeaderMap::new(),
            body: Bytes::new(),
        }
    }

    /// Sends the key in its header.
    pub fn key(self, key: &str) -> Self {
        self.header("idempotency-key", key)
    }

    /// Sets a header.
    ///
    /// # Panics
    ///
    /// If it is none.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        let name: HeaderName = name.parse().expect("it is a name");
        let value: HeaderValue = value.parse().expect("it is a value");
        self.headers.insert(name, value);
        self
    }

    /// Sets a JSON body.
    pub fn json(mut self, body: &Value) -> Self {
        self.body = body.to_string().into();
        self.header("content-type", "application/json")
    }

    /// Sends the request and reads the whole answer.
    ///
    /// # Panics
    ///
    /// If there is none in time.
    pub async fn send(self) -> Reply {
        let answer = tokio::time::timeout(BOUND, self.transmit()).await;
        answer.expect("there is an answer in time")
    }

    /// Sends the request in a task. Aborting the task closes the connection.
    #[must_use = "it is a handle"]
    pub fn spawn(self) -> JoinHandle<Reply> {
        tokio::spawn(self.send())
    }

    async fn transmit(self) -> Reply {
        let stream = TcpStream::connect(self.addr).await;
        let stream = TokioIo::new(stream.expect("the server listens"));
        let (mut sender, connection) = http1::handshake(stream).await.expect("it speaks HTTP");
        let mut request = http::Request::builder()
            .method(self.method)
            .uri(self.path)
            .header(header::HOST, self.addr.to_string())
            .body(Full::new(self.body))
            .expect("the request is valid");
        request.headers_mut().extend(self.headers);
        let exchange = async {
            let answer = sender.send_request(request).await;
            let (head, body) = answer.expect("there is an answer").into_parts();
            let body = body.collect().await.expect("the body is whole");
            Reply {
                status: head.status.as_u16(),
                headers: head.headers,
                body: body.to_bytes(),
            }
        };
        // In one task: whoever drops it closes the connection.
        tokio::pin!(connection);
        tokio::pin!(exchange);
        let mut is_open = true;
        loop {
            tokio::select! {
                reply = &mut exchange => return reply,
                _ = &mut connection, if is_open => is_open = false,
            }
        }
    }
}

impl Reply {
    /// Returns the body as JSON.
    ///
    /// # Panics
    ///
    /// If it is none.
    #[must_use]
    pub fn json(&self) -> Value {
        let parsed = serde_json::from_slice(&self.body);
        parsed.unwrap_or_else(|_| panic!("not JSON: {} {}", self.status, self.text()))
    }

    /// Returns the body as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// Tells whether this is a replay.
    #[must_use]
    pub fn is_replay(&self) -> bool {
        self.headers.contains_key("x-idempotency-replay")
    }
}
