//! The layer's own answers.

mod code;
mod language;
mod render;
mod translation;

use std::borrow::Cow;

use http::HeaderValue;

pub(crate) use self::translation::Translation;
pub use self::{code::ProblemCode, render::ProblemRenderer};

/// One refusal of the layer, before it becomes a response.
///
/// It never holds the key or anything of the first request.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Problem {
    /// What is wrong: stable, for programs.
    pub code: ProblemCode,
    /// What happened in this case and what to do, for people.
    pub detail: String,
    /// The language of `detail`, as in `Content-Language`: `en`, unless it was translated (see
    /// [`ProblemRenderer::language`]).
    pub language: Cow<'static, str>,
    /// How many seconds to wait before the same request is sent again.
    pub retry_after: Option<u64>,
    /// Where the codes are documented.
    pub docs_url: HeaderValue,
}

impl Problem {
    /// Describes a refusal in the layer's own words.
    pub(crate) fn new(code: ProblemCode, docs_url: HeaderValue) -> Self {
        Self {
            code,
            detail: code.detail().to_owned(),
            language: Cow::Borrowed(language::ENGLISH),
            retry_after: None,
            docs_url,
        }
    }

    /// The page about this code: the documentation's address with the code as its fragment.
    #[must_use]
    pub fn type_url(&self) -> String {
        let docs = self.docs_url.to_str().unwrap_or_default();
        format!("{docs}#{}", self.code.as_str())
    }
}
