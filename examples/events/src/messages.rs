//! What people read, in Russian and in English.

use axum::http::{HeaderMap, header::ACCEPT_LANGUAGE};
use tower_idempotency::{Problem, ProblemCode};

/// The layer's messages in Russian; those that nobody has written are in English.
pub(crate) fn russian(problem: &Problem) -> Option<String> {
    let text = match problem.code {
        ProblemCode::RequestInProgress => "Запрос уже выполняется. Повторите его позже.",
        ProblemCode::IdempotencyKeyReused => {
            "Этот ключ уже использован для другого запроса. Откройте форму заново."
        }
        ProblemCode::IdempotencyKeyMissing => "Нужен заголовок Idempotency-Key.",
        ProblemCode::IdempotencyKeyInvalid => "Ключ идемпотентности должен быть UUID версии 4.",
        ProblemCode::IdempotencyStoreUnavailable => {
            "Сервис временно недоступен. Повторите тот же запрос."
        }
        ProblemCode::HandlerPanicked => "Ошибка сервера. Повторите тот же запрос.",
        ProblemCode::RequestTooLarge => "Запрос слишком большой.",
        _ => return None,
    };
    Some(text.to_owned())
}

/// The question before an event on credit.
pub(crate) fn on_credit(headers: &HeaderMap, missing: i64) -> String {
    if reads_russian(headers) {
        format!("Не хватает {missing}. Подтвердите кредит.")
    } else {
        format!("{missing} would be missing. Confirm the credit.")
    }
}

/// The first language counts; the layer weighs all of them.
fn reads_russian(headers: &HeaderMap) -> bool {
    let languages = headers.get(ACCEPT_LANGUAGE);
    let languages = languages.and_then(|value| value.to_str().ok());
    languages.is_some_and(|languages| languages.trim_start().starts_with("ru"))
}
