use std::{fmt, sync::Arc};

use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, HeaderValue, Response,
    header::{CACHE_CONTROL, CONTENT_LANGUAGE, CONTENT_TYPE, LINK, RETRY_AFTER},
};
use serde_json::json;
use tower_idempotency_core::ConfigError;

use super::{Problem, Translation, language::Languages};

/// How the layer's own answers look.
///
/// The default is RFC 9457 `application/problem+json` with the members `type`, `title`, `status`,
/// `detail` and `code`.
///
/// Messages are English, and in as many other [languages](Self::language) as you write them in.
#[derive(Clone, Default)]
pub struct ProblemRenderer {
    kind: Kind,
    languages: Option<Arc<Languages>>,
}

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
        Self::of(Kind::Envelope)
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
        Self::of(Kind::Function(Arc::new(render)))
    }

    const fn of(kind: Kind) -> Self {
        Self {
            kind,
            languages: None,
        }
    }

    /// Writes messages in one more language, for clients whose `Accept-Language` prefers it.
    /// Default: English only.
    ///
    /// `message` makes the text of [`Problem::detail`]; where it returns `None`, the client gets it
    /// in English. The response then says `Content-Language` and `Vary: Accept-Language`.
    /// Codes stay what they are, and so do the titles of problem documents, which name them.
    /// A refusal that is kept (see [`Stored::everything`](crate::Stored::everything)) is kept in
    /// English.
    ///
    /// # Example
    ///
    /// ```
    /// use tower_idempotency::{ProblemCode, ProblemRenderer};
    ///
    /// let renderer = ProblemRenderer::envelope().language("ru", |problem| {
    ///     let text = match problem.code {
    ///         ProblemCode::RequestInProgress => "Запрос уже выполняется.",
    ///         ProblemCode::IdempotencyKeyReused => "Ключ уже использован.",
    ///         _ => return None,
    ///     };
    ///     Some(text.to_owned())
    /// });
    /// # let _ = renderer;
    /// ```
    #[must_use]
    pub fn language(
        mut self,
        tag: impl AsRef<str>,
        message: impl Fn(&Problem) -> Option<String> + Send + Sync + 'static,
    ) -> Self {
        self.languages_mut().add(tag.as_ref(), message);
        self
    }

    /// Chooses the language for clients that prefer none of those there are. Default: `en`.
    ///
    /// With one language and this, messages are in that language for everybody who does not ask
    /// for English.
    #[must_use]
    pub fn fallback_language(mut self, tag: impl AsRef<str>) -> Self {
        self.languages_mut().set_fallback(tag.as_ref());
        self
    }

    fn languages_mut(&mut self) -> &mut Languages {
        Arc::make_mut(self.languages.get_or_insert_default())
    }

    pub(crate) fn validate(&self) -> Result<(), ConfigError> {
        self.languages.as_ref().map_or(Ok(()), |it| it.validate())
    }

    /// Tells whether anything is written in another language than English.
    pub(crate) fn is_translated(&self) -> bool {
        self.languages.as_ref().is_some_and(|it| !it.is_empty())
    }

    /// Prepares the translation of what will be answered to a request; `None` if none is needed.
    pub(crate) fn translation(&self, request: &HeaderMap) -> Option<Translation> {
        let languages = self.languages.as_ref().filter(|it| !it.is_empty())?;
        let chosen = languages.choose(request);
        Some(Translation::new(
            self.clone(),
            Arc::clone(languages),
            chosen,
        ))
    }

    pub(crate) fn render(&self, problem: &Problem) -> Response<Bytes> {
        let mut response = match &self.kind {
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
        f.write_str(match self.kind {
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
    // `build` has refused what is no tag.
    if let Ok(language) = HeaderValue::try_from(&*problem.language) {
        headers.insert(CONTENT_LANGUAGE, language);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ProblemCode;

    fn problem() -> Problem {
        let docs_url = HeaderValue::from_static("https://api.example.com/idempotency");
        Problem {
            retry_after: Some(2),
            ..Problem::new(ProblemCode::RequestInProgress, docs_url)
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
