//! Refusals in the language of whoever reads them.

use http::{Request, StatusCode};
use http_body_util::{BodyExt, Full};
use serde_json::Value;
use tower::{Service, ServiceExt};
use tower_idempotency::{ProblemCode, ProblemRenderer, Stored};
use tower_idempotency_testkit::run;

use crate::support::{App, builder, counting, store, wrap};

fn renderer() -> ProblemRenderer {
    ProblemRenderer::envelope().language("ru", |problem| match problem.code {
        ProblemCode::IdempotencyKeyReused => Some("Ключ уже использован.".to_owned()),
        ProblemCode::IdempotencyKeyMissing => Some("Нужен ключ.".to_owned()),
        ProblemCode::HandlerPanicked => Some("Не получилось.".to_owned()),
        _ => None,
    })
}

struct Answer {
    status: u16,
    message: String,
    language: String,
    vary: bool,
}

async fn post(app: &App, key: Option<&str>, body: &'static str, language: &str) -> Answer {
    let mut request = Request::post("/payments").header("accept-language", language);
    if let Some(key) = key {
        request = request.header("idempotency-key", key);
    }
    let request = request.body(Full::from(body)).unwrap();
    let mut app = app.clone();
    let response = app.ready().await.unwrap().call(request).await.unwrap();
    let language = response.headers().get("content-language");
    let language = language.map_or("", |value| value.to_str().unwrap());
    let (language, vary) = (language.to_owned(), response.headers().contains_key("vary"));
    let status = response.status().as_u16();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    let document: Value = serde_json::from_slice(&body).unwrap_or_default();
    let message = document["error"]["message"].as_str().unwrap_or_default();
    Answer {
        status,
        message: message.to_owned(),
        language,
        vary,
    }
}

#[test]
fn a_refusal_is_in_the_language_that_the_client_prefers() {
    run(async {
        let (store, _) = store();
        let layer = builder(store).problems(renderer()).build().unwrap();
        let (app, _) = counting(&layer.required());
        let first = post(&app, Some("k"), "1", "ru").await;
        assert_eq!((first.status, first.vary), (201, false));
        let cases = [
            (Some("k"), "ru-RU, en;q=0.5", 422, "Ключ уже использован."),
            (None, "ru", 400, "Нужен ключ."),
        ];
        for (key, language, status, message) in cases {
            let refused = post(&app, key, "2", language).await;
            assert_eq!(
                (refused.status, refused.message.as_str()),
                (status, message)
            );
            assert_eq!((refused.language.as_str(), refused.vary), ("ru", true));
            let english = post(&app, key, "2", "en-GB, ru;q=0.5").await;
            assert_eq!((english.status, english.language.as_str()), (status, "en"));
            assert!(english.message.is_ascii() && english.vary);
        }
        // Nobody has translated this one.
        let invalid = post(&app, Some(""), "1", "ru").await;
        assert_eq!((invalid.status, invalid.language.as_str()), (400, "en"));
        assert!(invalid.message.is_ascii());
    });
}

/// Every replay has the body of the first answer, whatever language its client reads.
#[test]
fn a_refusal_that_is_kept_stays_as_it_is_kept() {
    run(async {
        for (stored, is_kept) in [(Stored::default(), false), (Stored::everything(), true)] {
            let (store, _) = store();
            let layer = builder(store).problems(renderer()).stored(stored);
            let app = wrap(&layer.build().unwrap(), |_| async {
                assert!(
                    std::env::args().count() == 0,
                    "the handler was asked to panic"
                );
                (StatusCode::OK, String::new())
            });
            let first = post(&app, Some("k"), "1", "ru").await;
            let second = post(&app, Some("k"), "1", "ru").await;
            assert_eq!((first.status, second.status), (500, 500));
            assert_eq!(first.message, second.message);
            assert_eq!(first.message.is_ascii(), is_kept, "{}", first.message);
        }
    });
}

#[test]
fn without_translations_nothing_varies() {
    run(async {
        let (store, _) = store();
        let layer = builder(store).problems(ProblemRenderer::envelope());
        let (app, _) = counting(&layer.build().unwrap().required());
        let refused = post(&app, None, "1", "ru").await;
        assert_eq!((refused.status, refused.vary), (400, false));
        assert_eq!(refused.language, "en");
    });
}
