//! The layer's own answers.

mod code;
mod render;

use http::HeaderValue;

pub use self::{code::ProblemCode, render::ProblemRenderer};

/// One refusal of the layer, before it becomes a response.
///
/// It never holds the key or anything of the first request.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Problem {
    /// What is wrong: stable, for programs.
    pub code: ProblemCode,
    /// What happened in this case and what to do, in English, for people.
    pub detail: String,
    /// How many seconds to wait before the same request is sent again.
    pub retry_after: Option<u64>,
    /// Where the codes are documented.
    pub docs_url: HeaderValue,
}

impl Problem {
    /// The page about this code: the documentation's address with the code as its fragment.
    #[must_use]
    pub fn type_url(&self) -> String {
        let docs = self.docs_url.to_str().unwrap_or_default();
        format!("{docs}#{}", self.code.as_str())
    }
}
