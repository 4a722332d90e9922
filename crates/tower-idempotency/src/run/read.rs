//! Reading the request's body.

use bytes::Bytes;
use http_body::Body;
use http_body_util::{BodyExt, LengthLimitError, Limited};

use crate::{BoxError, Problem, ProblemCode, admission, shared::Shared};

/// Reads the whole body, up to the cap.
///
/// No key is claimed meanwhile: a client that stops in the middle leaves no trace.
pub(super) async fn read<St, B>(shared: &Shared<St>, body: B) -> Result<Bytes, Problem>
where
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    let limited = Limited::new(body, shared.settings.max_request_bytes);
    match std::pin::pin!(limited).collect().await {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if is_too_long(&*error) => Err(admission::too_large(shared)),
        Err(_) => Err(shared.problem(ProblemCode::RequestBodyUnreadable)),
    }
}

/// Recognises our cap, and that of a limit outside of this layer.
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
