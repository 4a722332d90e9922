//! A request as a client makes it: a connection, an answer, and a bound for both.

use std::{net::SocketAddr, time::Duration};

use anyhow::{Context, Result};
use bytes::Bytes;
use chaos::{Answer, Content, EXECUTION_HEADER};
use http::{HeaderMap, Request, header};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::{net::TcpStream, time::timeout};

/// Sends a POST and reads the whole answer.
///
/// When the time is over, the connection is closed: the client has gone away.
pub(crate) async fn post(
    address: SocketAddr,
    path: &str,
    key: Option<&str>,
    body: &str,
    bound: Duration,
) -> Result<Answer, String> {
    match timeout(bound, exchange(address, path, key, body)).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(error)) => Err(format!("{error:#}")),
        Err(_) => Err("no answer in time".to_owned()),
    }
}

async fn exchange(
    address: SocketAddr,
    path: &str,
    key: Option<&str>,
    body: &str,
) -> Result<Answer> {
    let stream = TcpStream::connect(address).await.context("no connection")?;
    stream.set_nodelay(true)?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let mut request = Request::post(path)
        .header(header::HOST, address.to_string())
        .header(header::CONTENT_TYPE, "application/json");
    if let Some(key) = key {
        request = request.header("idempotency-key", key);
    }
    let request = request.body(Full::new(Bytes::from(body.to_owned())))?;
    let answer = async {
        let response = sender.send_request(request).await.context("no answer")?;
        let (head, body) = response.into_parts();
        let body = body.collect().await.context("half an answer")?.to_bytes();
        anyhow::Ok((head, body))
    };
    // The connection lives in this future, so that dropping it closes the socket.
    let mut connection = std::pin::pin!(connection);
    let mut answer = std::pin::pin!(answer);
    let (head, body) = tokio::select! {
        biased;
        answer = &mut answer => answer?,
        _ = &mut connection => answer.await?,
    };
    let body = String::from_utf8_lossy(&body).into_owned();
    let says = |name: &str| head.headers.get(name).is_some_and(|value| value == "true");
    Ok(Answer {
        code: problem_code(&head.headers, &body),
        retry_after_seconds: retry_after(&head.headers),
        stored: says("x-idempotency-stored"),
        replay: says("x-idempotency-replay"),
        content: Content {
            status: head.status.as_u16(),
            headers: kept_headers(&head.headers),
            body,
        },
    })
}

/// Returns the headers that a replay must repeat.
pub(crate) fn kept_headers(headers: &HeaderMap) -> Vec<(String, String)> {
    [header::CONTENT_TYPE.as_str(), EXECUTION_HEADER]
        .into_iter()
        .filter_map(|name| {
            let value = headers.get(name)?.to_str().ok()?;
            Some((name.to_owned(), value.to_owned()))
        })
        .collect()
}

fn retry_after(headers: &HeaderMap) -> Option<u64> {
    let seconds = headers.get(header::RETRY_AFTER)?.to_str().ok()?;
    seconds.parse().ok()
}

fn problem_code(headers: &HeaderMap, body: &str) -> Option<String> {
    let content_type = headers.get(header::CONTENT_TYPE)?.to_str().ok()?;
    if !content_type.starts_with("application/problem+json") {
        return None;
    }
    let problem: serde_json::Value = serde_json::from_str(body).ok()?;
    problem["code"].as_str().map(str::to_owned)
}
