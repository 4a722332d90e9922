//! Responses, in the form in which the designs keep them.

use axum::{
    body::{Body, to_bytes},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use http::{HeaderName, HeaderValue, StatusCode};

const MOST_BYTES: usize = 1 << 20;

#[derive(Clone)]
pub(crate) struct Kept {
    pub(crate) status: i16,
    pub(crate) headers: Vec<u8>,
    pub(crate) body: Bytes,
}

impl Kept {
    /// Takes what has to be kept, and returns the response as it was.
    pub(crate) async fn take(response: Response) -> anyhow::Result<(Self, Response)> {
        let (parts, body) = response.into_parts();
        let body = to_bytes(body, MOST_BYTES).await?;
        let mut headers = Vec::with_capacity(64);
        for (name, value) in &parts.headers {
            headers.extend_from_slice(name.as_str().as_bytes());
            headers.push(b':');
            headers.extend_from_slice(value.as_bytes());
            headers.push(b'\n');
        }
        let kept = Self {
            status: i16::try_from(parts.status.as_u16())?,
            headers,
            body: body.clone(),
        };
        Ok((kept, Response::from_parts(parts, Body::from(body))))
    }

    /// Answers a request that is not the first of its key: `kept` is what the first has left, if it
    /// has ended, and `is_same` whether it was the same request.
    pub(crate) fn answer(kept: Option<Self>, is_same: bool) -> anyhow::Result<Response> {
        match kept {
            _ if !is_same => Ok(StatusCode::UNPROCESSABLE_ENTITY.into_response()),
            Some(kept) => kept.replay(),
            None => Ok(StatusCode::CONFLICT.into_response()),
        }
    }

    fn replay(self) -> anyhow::Result<Response> {
        let mut response = Response::new(Body::from(self.body));
        *response.status_mut() = StatusCode::from_u16(u16::try_from(self.status)?)?;
        let headers = response.headers_mut();
        let lines = self.headers.split(|&byte| byte == b'\n');
        for line in lines.filter(|line| !line.is_empty()) {
            let colon = line.iter().position(|&byte| byte == b':').unwrap_or(0);
            let value = line.get(colon + 1..).unwrap_or_default();
            headers.append(
                HeaderName::from_bytes(&line[..colon])?,
                HeaderValue::from_bytes(value)?,
            );
        }
        let mark = HeaderName::from_static(side_by_side::REPLAY_HEADER);
        headers.insert(mark, HeaderValue::from_static("true"));
        Ok(response)
    }
}
