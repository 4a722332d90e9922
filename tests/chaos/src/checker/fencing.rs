//! G3: whoever lost the key changes nothing, and is told so.

use super::{Violation, acquisitions, forgotten};
use crate::{Call, CallResult, History, Mode, Moment, Timeline, Verb};

/// Looks for calls of an execution that began after another one had acquired the key,
/// and were carried out all the same; and for records that name another attempt than their body.
pub(super) fn check(history: &History, timeline: &Timeline<'_>) -> Vec<Violation> {
    let mut violations = Vec::new();
    let acquired = acquisitions(timeline);
    for (index, x) in acquired.iter().enumerate() {
        let successors = &acquired[index + 1..];
        let successor = successors
            .iter()
            .filter(|y| y.call.token != x.call.token && x.returned <= y.call.begun)
            .min_by_key(|y| y.returned);
        let Some(y) = successor else { continue };
        let late = timeline.calls.iter().filter(|call| {
            call.token == x.call.token && call.verb != Verb::Claim && call.begun >= y.returned
        });
        for call in late {
            let ended = call.ended.as_ref().map_or(Moment::NEVER, |(at, _)| *at);
            if is_carried_out(history, call) && !forgotten::may_be(history, timeline, y, ended) {
                let what = format!(
                    "{} by {} was carried out after {} had acquired the key",
                    call.verb, x.call.token, y.call.token
                );
                violations.push(Violation::of_key("G3", timeline.key, what));
            }
        }
    }
    violations.extend(stale_completion(timeline));
    violations
}

/// Tells whether a call says that it has changed the record, or prolonged the lease.
///
/// Where the execution is a transaction, only its commit changes anything: there is no lease,
/// and its release is a roll-back, which is always possible.
fn is_carried_out(history: &History, call: &Call) -> bool {
    match call.result() {
        Some(CallResult::Applied) => {
            history.mode != Mode::Transactional || call.verb == Verb::Complete
        }
        Some(CallResult::Renewed) => history.mode != Mode::Transactional,
        _ => false,
    }
}

/// The record counts attempts itself; the body was written by the handler of one of them.
fn stale_completion(timeline: &Timeline<'_>) -> Option<Violation> {
    let record = timeline.record?;
    let body = &record.answer.as_ref()?.body;
    let body: serde_json::Value = serde_json::from_str(body).ok()?;
    let attempt = body["attempt"].as_u64()?;
    (attempt != u64::from(record.attempt)).then(|| {
        let kept = record.attempt;
        let what = format!("attempt {kept} is kept with the answer of attempt {attempt}");
        Violation::of_key("G3", timeline.key, what)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Scene;

    fn judge(scene: &Scene) -> usize {
        let history = scene.history();
        check(&history, &history.timelines()[0]).len()
    }

    fn takeover() -> Scene {
        let mut scene = Scene::default();
        scene.acquire("x", 1, 0..10);
        scene.acquire("y", 2, 2_000..2_010);
        scene
    }

    #[test]
    fn a_stale_worker_that_is_refused_is_right() {
        let mut scene = takeover();
        scene.call(Verb::Renew, "x", 2_020..2_030, CallResult::Lost);
        scene.call(Verb::Complete, "x", 2_040..2_050, CallResult::Stale);
        scene.call(Verb::Complete, "y", 2_060..2_070, CallResult::Applied);
        assert_eq!(judge(&scene), 0);
    }

    #[test]
    fn each_verb_of_a_stale_worker_that_is_carried_out_is_a_violation() {
        let applied = [
            (Verb::Renew, CallResult::Renewed),
            (Verb::Complete, CallResult::Applied),
            (Verb::Release, CallResult::Applied),
        ];
        for (verb, result) in applied {
            let mut scene = takeover();
            scene.call(verb, "x", 2_020..2_030, result);
            assert_eq!(judge(&scene), 1, "{verb}");
        }
    }

    #[test]
    fn of_a_transaction_only_the_commit_counts() {
        let mut scene = takeover();
        scene.call(Verb::Renew, "x", 2_020..2_030, CallResult::Renewed);
        scene.call(Verb::Release, "x", 2_040..2_050, CallResult::Applied);
        let mut history = scene.history();
        history.mode = Mode::Transactional;
        assert_eq!(check(&history, &history.timelines()[0]).len(), 0);

        scene.call(Verb::Complete, "x", 2_060..2_070, CallResult::Applied);
        let mut history = scene.history();
        history.mode = Mode::Transactional;
        assert_eq!(check(&history, &history.timelines()[0]).len(), 1);
    }

    #[test]
    fn a_call_that_was_under_way_during_the_takeover_proves_nothing() {
        let mut scene = takeover();
        scene.call(Verb::Complete, "x", 1_990..2_030, CallResult::Applied);
        assert_eq!(judge(&scene), 0);
    }

    #[test]
    fn a_record_with_the_body_of_another_attempt_is_a_violation() {
        let mut scene = takeover();
        scene.keep(2, r#"{"attempt":2}"#);
        assert_eq!(judge(&scene), 0);
        scene.keep(2, r#"{"attempt":1}"#);
        assert_eq!(judge(&scene), 1);
    }
}
