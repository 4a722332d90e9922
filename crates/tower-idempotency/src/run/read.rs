//! Reading the request's body.

use std::pin::pin;

use bytes::Bytes;
use http_body::Body;
use http_body_util::{BodyExt, LengthLimitError};

use super::pieces::Pieces;
use crate::{BoxError, Problem, ProblemCode, admission, shared::Shared};

/// Reads the whole body, up to the cap.
///
/// No key is claimed meanwhile: a client that stops in the middle leaves no trace.
pub(super) async fn read<St, B>(shared: &Shared<St>, body: B) -> Result<Bytes, Problem>
where
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    let mut body = pin!(body);
    let mut pieces = Pieces::default();
    while let Some(frame) = body.frame().await {
        let frame = match frame.map_err(Into::into) {
            Ok(frame) => frame,
            Err(error) if is_too_long(&*error) => return Err(admission::too_large(shared)),
            Err(_) => return Err(shared.problem(ProblemCode::RequestBodyUnreadable)),
        };
        if let Ok(data) = frame.into_data() {
            pieces.push(data);
        }
        if pieces.length() > shared.settings.max_request_bytes {
            return Err(admission::too_large(shared));
        }
    }
    Ok(pieces.joined())
}

/// Recognises the cap of a limit outside of this layer.
fn is_too_long(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        if error.is::<LengthLimitError>() {
            return true;
        }
        next = error.source();
    }
    false
}
