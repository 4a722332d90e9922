//! G2: whatever is kept never changes. G6: whatever says that it is stored, is.

use super::{Violation, acquisitions};
use crate::{Answer, Moment, Timeline};

/// Codes of the layer that a client of such a run has to reckon with.
const EXPECTED_CODES: [&str; 4] = [
    "HANDLER_PANICKED",
    "IDEMPOTENCY_STORE_UNAVAILABLE",
    "REQUEST_IN_PROGRESS",
    "TRANSACTION_ROLLED_BACK",
];

/// Statuses that a handler gives.
const EXPECTED_STATUSES: [u16; 3] = [201, 402, 500];

/// Compares all kept answers of a key with each other and with its record.
pub(super) fn check(timeline: &Timeline<'_>) -> Vec<Violation> {
    let mut violations = Vec::new();
    let answers = timeline.requests.iter();
    let answers =
        answers.filter_map(|request| Some((request.ended, request.answer.as_ref().ok()?)));
    let answers: Vec<_> = answers.collect();
    for (_, answer) in &answers {
        if !is_expected(answer) {
            let code = answer.code.as_deref().unwrap_or_default();
            let what = format!("an answer that cannot be: {} {code}", answer.content.status);
            violations.push(Violation::of_key("G2", timeline.key, what));
        }
    }
    let kept: Vec<_> = answers
        .into_iter()
        .filter(|(_, answer)| answer.is_final())
        .collect();
    let Some(((first_at, first), others)) = kept.split_first() else {
        return violations;
    };
    if others
        .iter()
        .any(|(_, other)| other.content != first.content)
    {
        let what = "two kept answers differ";
        violations.push(Violation::of_key("G2", timeline.key, what));
    }
    violations.extend(without_record(timeline, first));
    let earliest = others
        .iter()
        .map(|(at, _)| *at)
        .fold(*first_at, Moment::min);
    violations.extend(claimed_again(timeline, earliest));
    violations
}

fn is_expected(answer: &Answer) -> bool {
    match &answer.code {
        Some(code) => EXPECTED_CODES.contains(&code.as_str()),
        None => EXPECTED_STATUSES.contains(&answer.content.status),
    }
}

/// Records live longer than a run, so the one of an answer must still be there, and the same.
fn without_record(timeline: &Timeline<'_>, answer: &Answer) -> Option<Violation> {
    let Some(kept) = timeline.record.and_then(|record| record.answer.as_ref()) else {
        let what = "an answer says that it is stored, and there is no record of it";
        return Some(Violation::of_key("G6", timeline.key, what));
    };
    (answer.content != *kept).then(|| {
        let what = "a kept answer differs from the record";
        Violation::of_key("G2", timeline.key, what)
    })
}

/// A key whose answer a client has seen stored cannot be acquired any more.
fn claimed_again(timeline: &Timeline<'_>, kept_at: Moment) -> Option<Violation> {
    let acquired = acquisitions(timeline);
    let again = acquired.iter().find(|again| again.call.begun >= kept_at)?;
    let token = &again.call.token;
    let what = format!("{token} acquired the key although its answer had been stored");
    Some(Violation::of_key("G6", timeline.key, what))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Scene;

    fn rules(scene: &Scene) -> Vec<&'static str> {
        let history = scene.history();
        let violations = check(&history.timelines()[0]);
        violations.iter().map(|violation| violation.rule).collect()
    }

    fn answered() -> Scene {
        let mut scene = Scene::default();
        scene.acquire("x", 1, 0..10);
        scene.answer(0..50, "one", |answer| answer.stored = true);
        scene.keep(1, "one");
        scene
    }

    #[test]
    fn replays_of_the_record_are_right() {
        let mut scene = answered();
        scene.answer(60..70, "one", |answer| answer.replay = true);
        assert_eq!(rules(&scene), [""; 0]);
    }

    #[test]
    fn a_replay_that_differs_is_a_violation() {
        let mut scene = answered();
        scene.answer(60..70, "two", |answer| answer.replay = true);
        assert_eq!(rules(&scene), ["G2"]);
    }

    #[test]
    fn a_replay_that_differs_in_a_header_is_a_violation() {
        let mut scene = answered();
        scene.answer(60..70, "one", |answer| {
            answer.replay = true;
            answer.content.headers.clear();
        });
        assert_eq!(rules(&scene), ["G2"]);
    }

    #[test]
    fn a_record_that_differs_is_a_violation() {
        let mut scene = answered();
        scene.keep(1, "two");
        assert_eq!(rules(&scene), ["G2"]);
    }

    #[test]
    fn a_stored_answer_without_a_record_is_a_violation() {
        let mut scene = answered();
        scene.forget();
        assert_eq!(rules(&scene), ["G6"]);
    }

    #[test]
    fn a_claim_that_acquires_what_was_stored_is_a_violation() {
        let mut scene = answered();
        scene.acquire("y", 2, 60..70);
        assert_eq!(rules(&scene), ["G6"]);
    }

    #[test]
    fn an_answer_that_says_nothing_may_differ() {
        let mut scene = answered();
        scene.answer(20..30, "two", |_| {});
        assert_eq!(rules(&scene), [""; 0]);
    }

    #[test]
    fn a_refusal_that_no_client_earned_is_a_violation() {
        let mut scene = answered();
        scene.answer(60..70, "", |answer| {
            answer.content.status = 422;
            answer.code = Some("IDEMPOTENCY_KEY_REUSED".to_owned());
        });
        assert_eq!(rules(&scene), ["G2"]);
    }
}
