use std::sync::Arc;

use http::{HeaderValue, Response, header::VARY};
use http_body::Body;

use super::{
    Problem, ProblemRenderer,
    language::{Chosen, Languages},
};
use crate::ResponseBody;

/// Writes the refusal of one request in its client's language.
pub(crate) struct Translation {
    renderer: ProblemRenderer,
    languages: Arc<Languages>,
    chosen: Chosen,
}

impl Translation {
    pub(super) const fn new(
        renderer: ProblemRenderer,
        languages: Arc<Languages>,
        chosen: Chosen,
    ) -> Self {
        Self {
            renderer,
            languages,
            chosen,
        }
    }

    /// Renders a refusal again; any other response is left as it is.
    pub(crate) fn of<B: Body>(
        self,
        mut response: Response<ResponseBody<B>>,
    ) -> Response<ResponseBody<B>> {
        let Some(problem) = response.extensions_mut().remove::<Problem>() else {
            return response;
        };
        if let Some(problem) = self.languages.translate(&problem, self.chosen) {
            let rendered = self.renderer.render(&problem);
            let extensions = std::mem::take(response.extensions_mut());
            response = rendered.map(|bytes| ResponseBody::whole(bytes, None));
            response.extensions_mut().extend(extensions);
        }
        let by_language = HeaderValue::from_static("accept-language");
        response.headers_mut().append(VARY, by_language);
        response
    }
}
