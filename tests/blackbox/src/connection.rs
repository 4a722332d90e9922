//! Connections to the fixture server.

use std::net::SocketAddr;

use anyhow::{Context, Result};
use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::combinators::UnsyncBoxBody;
use hyper::{
    body::Incoming,
    client::conn::{http1, http2},
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;

use crate::Call;

pub(crate) type SentBody = UnsyncBoxBody<Bytes, std::io::Error>;

/// How a request is sent.
#[derive(Clone, Debug)]
pub(crate) enum Transport {
    /// On a connection of its own, with HTTP/1.1.
    Fresh(SocketAddr),
    /// As a stream of an HTTP/2 connection.
    Stream(http2::SendRequest<SentBody>),
}

impl Transport {
    pub(crate) async fn send(self, request: Request<SentBody>) -> Result<Response<Incoming>> {
        match self {
            Self::Fresh(addr) => {
                let stream = TcpStream::connect(addr).await.context("cannot connect")?;
                stream.set_nodelay(true)?;
                let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
                tokio::spawn(connection.with_upgrades());
                Ok(sender.send_request(request).await?)
            }
            Self::Stream(mut sender) => Ok(sender.send_request(request).await?),
        }
    }
}

/// One HTTP/2 connection.
///
/// A request whose future is dropped is reset, and the connection goes on.
#[derive(Clone, Debug)]
pub struct Http2 {
    sender: http2::SendRequest<SentBody>,
}

impl Http2 {
    pub(crate) async fn connect(addr: SocketAddr) -> Self {
        let stream = TcpStream::connect(addr).await.expect("the server listens");
        stream.set_nodelay(true).expect("the socket is open");
        let (sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
            .await
            .expect("the server speaks HTTP/2");
        tokio::spawn(connection);
        Self { sender }
    }

    /// Begins a request on this connection.
    pub fn request(&self, method: Method, path: &str) -> Call {
        Call::new(Transport::Stream(self.sender.clone()), method, path)
    }

    /// Begins a POST on this connection.
    pub fn post(&self, path: &str) -> Call {
        self.request(Method::POST, path)
    }
}
