//! Reads an answer as long as its try lasts.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{HeaderMap, header::CONTENT_TYPE};
use http_body::{Frame, SizeHint};
use reqwest::{Body, Response, ResponseBuilderExt};
use serde_json::Value;

use crate::verdict::{Answer, is_yes};

/// Bodies that say that they are not longer than this are read as a part of the try, so that a
/// connection that breaks in the middle of an answer loses it, and it is asked for again.
const WHOLE: u64 = 1024 * 1024;
/// So much of any other problem document is looked at.
const PROBLEM: u64 = 64 * 1024;

/// Reads what is needed of a response; its body can be read as if nothing had been.
pub(crate) async fn read(response: Response) -> reqwest::Result<Answer> {
    let is_short = response.content_length().is_some_and(|it| it <= WHOLE);
    let is_problem = !is_yes(response.status()) && is_json(response.headers());
    let bound = match (is_short, is_problem) {
        (true, _) => WHOLE,
        (false, true) => PROBLEM,
        (false, false) => {
            return Ok(Answer {
                response,
                code: None,
            });
        }
    };
    let (response, start) = read_to(bound, response).await?;
    let code = is_problem.then(|| code(&start)).flatten();
    Ok(Answer { response, code })
}

fn is_json(headers: &HeaderMap) -> bool {
    let value = headers.get(CONTENT_TYPE).map(|value| value.to_str());
    matches!(value, Some(Ok(value)) if value.contains("json"))
}

/// Finds the code of a problem document (`code`), or of the other common shape (`error.code`).
fn code(body: &[u8]) -> Option<String> {
    let body: Value = serde_json::from_slice(body).ok()?;
    let code = body
        .get("code")
        .or_else(|| body.get("error")?.get("code"))?;
    code.as_str().map(str::to_owned)
}

/// Reads until the end, or until there are more bytes than `bound`.
async fn read_to(bound: u64, mut response: Response) -> reqwest::Result<(Response, Bytes)> {
    let mut start = Vec::new();
    while start.len() as u64 <= bound {
        match response.chunk().await? {
            Some(chunk) => start.extend_from_slice(&chunk),
            None => {
                let start = Bytes::from(start);
                return Ok((with_body(response, |_| start.clone().into()), start));
            }
        }
    }
    let start = Bytes::from(start);
    let joined = |rest| {
        let start = Some(start.clone());
        Body::wrap(Joined { start, rest })
    };
    Ok((with_body(response, joined), start))
}

/// Puts another body into a response, in whose place it gets what is left of the first one.
fn with_body(response: Response, body: impl FnOnce(Body) -> Body) -> Response {
    let url = response.url().clone();
    let (parts, rest) = http::Response::<Body>::from(response).into_parts();
    // The only way to say where the response is from.
    let made = http::Response::builder().url(url).body(body(rest));
    let mut made = made.expect("an address is no header");
    *made.status_mut() = parts.status;
    *made.version_mut() = parts.version;
    *made.headers_mut() = parts.headers;
    made.extensions_mut().extend(parts.extensions);
    made.into()
}

/// A body whose start was read.
#[derive(Debug)]
struct Joined {
    start: Option<Bytes>,
    rest: Body,
}

impl http_body::Body for Joined {
    type Data = Bytes;
    type Error = reqwest::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, reqwest::Error>>> {
        match self.start.take() {
            Some(start) => Poll::Ready(Some(Ok(Frame::data(start)))),
            None => Pin::new(&mut self.rest).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.start.is_none() && self.rest.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let start = self.start.as_ref().map_or(0, |start| start.len() as u64);
        let rest = self.rest.size_hint();
        let mut hint = SizeHint::new();
        if let Some(upper) = rest.upper() {
            hint.set_upper(upper.saturating_add(start));
        }
        hint.set_lower(rest.lower().saturating_add(start));
        hint
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A body that does not tell its length.
    #[derive(Debug)]
    struct Chunks(Vec<&'static str>);

    impl http_body::Body for Chunks {
        type Data = Bytes;
        type Error = std::io::Error;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<std::io::Result<Frame<Bytes>>>> {
            let next = (!self.0.is_empty()).then(|| self.0.remove(0));
            Poll::Ready(next.map(|chunk| Ok(Frame::data(Bytes::from_static(chunk.as_bytes())))))
        }
    }

    fn response(status: u16, body: impl Into<Body>) -> Response {
        let url = "http://server.test/payments".parse().unwrap();
        let response = http::Response::builder().status(status).url(url);
        let response = response.header(CONTENT_TYPE, "application/problem+json");
        response.body(body.into()).unwrap().into()
    }

    #[tokio::test]
    async fn a_response_is_whole_after_its_code_was_read() {
        let problem = r#"{"code":"REQUEST_IN_PROGRESS"}"#;
        let answer = read(response(409, problem)).await.unwrap();
        assert_eq!(answer.code.as_deref(), Some("REQUEST_IN_PROGRESS"));
        assert_eq!(answer.response.status(), 409);
        assert_eq!(answer.response.url().path(), "/payments");
        assert_eq!(answer.response.text().await.unwrap(), problem);
    }

    #[tokio::test]
    async fn a_problem_of_unknown_length_is_read() {
        let chunks = Chunks(vec![r#"{"error":{"#, r#""code":"X"}}"#]);
        let answer = read(response(422, Body::wrap(chunks))).await.unwrap();
        assert_eq!(answer.code.as_deref(), Some("X"));
        assert_eq!(
            answer.response.text().await.unwrap(),
            r#"{"error":{"code":"X"}}"#
        );
    }

    #[tokio::test]
    async fn a_body_that_goes_on_is_joined_again() {
        let chunks = Body::wrap(Chunks(vec!["abc", "def", "ghi"]));
        let (response, start) = read_to(4, response(500, chunks)).await.unwrap();
        assert_eq!(start, "abcdef");
        assert_eq!(response.text().await.unwrap(), "abcdefghi");
    }

    #[tokio::test]
    async fn a_success_of_unknown_length_is_left_alone() {
        let chunks = Body::wrap(Chunks(vec![r#"{"code":"X"}"#]));
        let answer = read(response(200, chunks)).await.unwrap();
        assert_eq!(answer.code, None);
    }

    #[test]
    fn what_is_no_problem_document_has_no_code() {
        for body in ["", "[]", "{}", r#"{"code":1}"#, r#"{"error":"x"}"#] {
            assert_eq!(code(body.as_bytes()), None, "{body}");
        }
    }
}
