use std::{fmt, sync::Arc};

use bytes::Bytes;
use http::{
    HeaderName, HeaderValue, Response,
    header::{CACHE_CONTROL, CONTENT_LANGUAGE, CONTENT_TYPE, LINK, RETRY_AFTER},
};
use serde_json::json;

use super::Problem;

/// How the layer's own answers look.
///
/// The default is RFC 9457 `application/problem+json` with the members `type`, `title`, `status`,
/// `detail` and `code`.
#[derive(Clone, Default)]
pub struct ProblemRenderer(Kind);

type Render = Arc<dyn Fn(&Problem) -> Response<Bytes> + Send + Sync>;

#[derive(Clone, Default)]
enum Kind {
    #[default]
    ProblemJson,
    Envelope,
    Function(Render),
}

impl ProblemRenderer {
    /// Answers with `{"success":false,"error":{"code":"..","message":".."}}`.
    #[must_use]
    pub const fn envelope() -> Self {
        Self(Kind::Envelope)
    }

    /// Lets a function make the response, in another shape or another language.
    ///
    /// The layer adds `Retry-After`, `Link` and `Cache-Control: no-store`
    /// where the function did not set them; the status should be that of the code.
    ///
    /// # Example
    ///
    /// ```
    /// use bytes::Bytes;
    /// use http::Response;
    /// use tower_idempotency::ProblemRenderer;
    ///
    /// let plain = ProblemRenderer::from_fn(|problem| {
    ///     let mut response = Response::new(Bytes::from(problem.code.title()));
    ///     *response.status_mut() = problem.code.status();
    ///     response
    /// });
    /// # let _ = plain;
    /// ```
    pub fn from_fn(render: impl Fn(&Problem) -> Response<Bytes> + Send + Sync + 'static) -> Self {
        Self(Kind::Function(Arc::new(render)))
    }

    pub(crate) fn render(&self, problem: &Problem) -> Response<Bytes> {
        let mut response = match &self.0 {
            Kind::ProblemJson => problem_json(problem),
            Kind::Envelope => envelope(problem),
            Kind::Function(render) => render(problem),
        };
        let add = |response: &mut Response<Bytes>, name: HeaderName, value: HeaderValue| {
            response.headers_mut().entry(name).or_insert(value);
        };
        add(
            &mut response,
            CACHE_CONTROL,
            HeaderValue::from_static("no-store"),
        );
        let link = format!(
            "<{}>; rel=\"describedby\"; type=\"text/html\"",
            problem.type_url()
        );
        if let Ok(link) = HeaderValue::try_from(link) {
            add(&mut response, LINK, link);
        }
        if let Some(seconds) = problem.retry_after {
            add(&mut response, RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

impl fmt::Debug for ProblemRenderer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Kind::ProblemJson => "ProblemRenderer::default()",
            Kind::Envelope => "ProblemRenderer::envelope()",
            Kind::Function(_) => "ProblemRenderer(<fn>)",
        })
    }
}

fn problem_json(problem: &Problem) -> Response<Bytes> {
    let document = json!({
        "type": problem.type_url(),
        "title": problem.code.title(),
        "status": problem.code.status().as_u16(),
        "detail": problem.detail,
        "code": problem.code.as_str(),
    });
    respond(problem, "application/problem+json", &document)
}

fn envelope(problem: &Problem) -> Response<Bytes> {
    let document = json!({
        "success": false,
        "error": { "code": problem.code.as_str(), "message": problem.detail },
    });
    respond(problem, "application/json", &document)
}

fn respond(
    problem: &Problem,
    content_type: &'static str,
    document: &serde_json::Value,
) -> Response<Bytes> {
    let mut response = Response::new(Bytes::from(document.to_string()));
    *response.status_mut() = problem.code.status();
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(CONTENT_LANGUAGE, HeaderValue::from_static("en"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ProblemCode;

    fn problem() -> Problem {
        Problem {
            code: ProblemCode::RequestInProgress,
            detail: "later".to_owned(),
            retry_after: Some(2),
            docs_url: HeaderValue::from_static("https://api.example.com/idempotency"),
        }
    }

    #[test]
    fn the_default_is_a_problem_document_that_links_to_its_page() {
        let response = ProblemRenderer::default().render(&problem());
        let document: serde_json::Value = serde_json::from_slice(response.body()).unwrap();
        assert_eq!(response.headers()[CONTENT_TYPE], "application/problem+json");
        assert_eq!(document["status"], response.status().as_u16());
        assert_eq!(
            document["type"],
            "https://api.example.com/idempotency#REQUEST_IN_PROGRESS"
        );
        assert!(
            response.headers()[LINK]
                .to_str()
                .unwrap()
                .contains("describedby")
        );
    }

    #[test]
    fn a_custom_response_still_says_when_to_come_back() {
        let renderer = ProblemRenderer::from_fn(|_| Response::new(Bytes::from_static(b"nanti")));
        let response = renderer.render(&problem());
        assert_eq!(response.headers()[RETRY_AFTER], "2");
        assert_eq!(response.headers()[CACHE_CONTROL], "no-store");
    }

    #[test]
    fn the_envelope_holds_code_and_message() {
        let response = ProblemRenderer::envelope().render(&problem());
        let document: serde_json::Value = serde_json::from_slice(response.body()).unwrap();
        assert_eq!(document["success"], false);
        assert_eq!(document["error"]["code"], "REQUEST_IN_PROGRESS");
    }
}
