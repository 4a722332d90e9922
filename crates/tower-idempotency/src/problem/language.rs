//! Which language a client reads.

use std::{borrow::Cow, fmt, sync::Arc};

use http::{HeaderMap, header::ACCEPT_LANGUAGE};
use tower_idempotency_core::ConfigError;

use super::Problem;

/// The language of the layer's own messages.
pub(super) const ENGLISH: &str = "en";

type Translate = Arc<dyn Fn(&Problem) -> Option<String> + Send + Sync>;

/// The languages that messages are written in besides English.
#[derive(Clone, Default)]
pub(super) struct Languages {
    translations: Vec<(Arc<str>, Translate)>,
    fallback: Option<Arc<str>>,
}

/// The place of a language in the list of translations; `None` is English.
pub(super) type Chosen = Option<usize>;

impl Languages {
    pub(super) const fn is_empty(&self) -> bool {
        self.translations.is_empty()
    }

    pub(super) fn add(
        &mut self,
        tag: &str,
        translate: impl Fn(&Problem) -> Option<String> + Send + Sync + 'static,
    ) {
        self.translations
            .push((Arc::from(tag), Arc::new(translate)));
    }

    pub(super) fn set_fallback(&mut self, tag: &str) {
        self.fallback = Some(Arc::from(tag));
    }

    pub(super) fn validate(&self) -> Result<(), ConfigError> {
        let is_tag = |tag: &str| {
            let part = |part: &str| {
                (1..=8).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_alphanumeric())
            };
            tag.split('-').all(part)
        };
        for (tag, _) in &self.translations {
            if !is_tag(tag) {
                let must = "must be a language tag, such as pt or pt-BR";
                return Err(ConfigError::new("problems.language", &**tag, must));
            }
        }
        match &self.fallback {
            Some(tag) if tag.as_ref() != ENGLISH && self.find(tag).is_none() => {
                let must = "must be one of the languages that messages are written in";
                Err(ConfigError::new("problems.fallback_language", &**tag, must))
            }
            _ => Ok(()),
        }
    }

    /// Chooses by `Accept-Language`, as RFC 4647, section 3.4 (lookup) says: the client's ranges in
    /// the order of their weights, each shortened from its end until it is one of ours.
    pub(super) fn choose(&self, headers: &HeaderMap) -> Chosen {
        let values = headers.get_all(ACCEPT_LANGUAGE).iter();
        let texts = values.filter_map(|value| value.to_str().ok());
        let mut ranges: Vec<_> = texts
            .flat_map(|text| text.split(','))
            .filter_map(weighted)
            .collect();
        // Stable: among equals the client's order counts.
        ranges.sort_by_key(|(_, weight)| std::cmp::Reverse(*weight));
        ranges
            .into_iter()
            .find_map(|(range, _)| self.look_up(range))
            .unwrap_or_else(|| self.fallback.as_deref().and_then(|tag| self.find(tag)))
    }

    /// `None` if the range is none of ours.
    fn look_up(&self, mut range: &str) -> Option<Chosen> {
        loop {
            if let Some(found) = self.find(range) {
                return Some(Some(found));
            }
            if range.eq_ignore_ascii_case(ENGLISH) {
                return Some(None);
            }
            range = range.rsplit_once('-')?.0;
        }
    }

    fn find(&self, tag: &str) -> Chosen {
        let mut tags = self.translations.iter().map(|(tag, _)| tag);
        tags.position(|ours| ours.eq_ignore_ascii_case(tag))
    }

    /// Writes the message in the chosen language, or leaves it in English.
    pub(super) fn translate(&self, problem: &Problem, chosen: Chosen) -> Option<Problem> {
        let (tag, translate) = self.translations.get(chosen?)?;
        Some(Problem {
            detail: translate(problem)?,
            language: Cow::Owned((**tag).to_owned()),
            ..problem.clone()
        })
    }
}

impl fmt::Debug for Languages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tags = self.translations.iter().map(|(tag, _)| tag);
        f.debug_list().entries(tags).finish()
    }
}

/// Reads one range with its weight in thousandths; `None` if it is not wanted, or makes no sense.
fn weighted(item: &str) -> Option<(&str, u16)> {
    let (range, parameters) = item.split_once(';').unwrap_or((item, ""));
    let weight = match parameters.trim() {
        "" => 1.0,
        parameter => parameter.strip_prefix("q=")?.trim().parse::<f32>().ok()?,
    };
    let range = range.trim();
    // "Any" says nothing about which; the fallback stands for it.
    if range.is_empty() || range == "*" || !(0.001..=1.0).contains(&weight) {
        return None;
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "it is between 1 and 1000"
    )]
    let thousandths = (weight * 1000.0) as u16;
    Some((range, thousandths))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn languages(fallback: Option<&str>) -> Languages {
        let mut languages = Languages::default();
        for tag in ["ru", "pt-BR"] {
            languages.add(tag, move |_| Some(tag.to_owned()));
        }
        if let Some(tag) = fallback {
            languages.set_fallback(tag);
        }
        languages
    }

    fn chosen(languages: &Languages, accepted: &'static str) -> &'static str {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT_LANGUAGE, HeaderValue::from_static(accepted));
        match languages.choose(&headers) {
            None => "en",
            Some(0) => "ru",
            Some(_) => "pt-BR",
        }
    }

    #[test]
    fn the_clients_most_wanted_language_wins() {
        let cases = [
            ("ru", "ru"),
            ("RU-ru", "ru"),
            ("pt-br", "pt-BR"),
            ("pt", "en"),
            ("de, ru;q=0.8, en;q=0.9", "en"),
            ("de, ru;q=0.9, en;q=0.8", "ru"),
            ("ru;q=0, pt-BR;q=0.1", "pt-BR"),
            ("en-GB, ru", "en"),
            ("de", "en"),
            ("*", "en"),
            ("", "en"),
            ("ru;q=much, ;;, pt-BR;q=0.5", "pt-BR"),
        ];
        for (accepted, expected) in cases {
            assert_eq!(chosen(&languages(None), accepted), expected, "{accepted}");
        }
    }

    #[test]
    fn whoever_reads_none_of_them_gets_the_fallback() {
        let languages = languages(Some("ru"));
        for (accepted, expected) in [("de", "ru"), ("*", "ru"), ("en", "en"), ("de, en", "en")] {
            assert_eq!(chosen(&languages, accepted), expected, "{accepted}");
        }
        assert_eq!(languages.choose(&HeaderMap::new()), Some(0));
    }

    #[test]
    fn a_tag_that_is_none_and_a_fallback_that_is_not_there_are_refused() {
        let mut wrong = Languages::default();
        wrong.add("ru_RU", |_| None);
        assert_eq!(wrong.validate().unwrap_err().setting(), "problems.language");
        let wrong = languages(Some("fr"));
        let error = wrong.validate().unwrap_err();
        assert_eq!(error.setting(), "problems.fallback_language");
        for fallback in ["en", "pt-BR"] {
            languages(Some(fallback)).validate().unwrap();
        }
    }
}
