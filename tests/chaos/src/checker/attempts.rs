//! G1 and G5, as the record itself counts: each attempt is one execution's, and has an owner.

use std::collections::BTreeMap;

use super::{
    Acquisition, Violation, acquisitions, forgotten,
    stuck::{IN_FLIGHT, latest_effect},
};
use crate::{CallResult, History, Moment, Timeline, Verb};

/// Compares the attempts that were acquired with those that the store has counted.
///
/// No answer of these runs gives a key up without a trace, so attempts count from 1 without gaps.
/// An attempt that nobody acquired is a claim that took effect and whose caller was told otherwise;
/// that is right only for claims that failed or never returned.
pub(super) fn check(history: &History, timeline: &Timeline<'_>) -> Vec<Violation> {
    let mut violations = Vec::new();
    let mut acquired = BTreeMap::new();
    for acquisition in acquisitions(timeline) {
        if let Some(CallResult::Acquired { attempt, .. }) = acquisition.call.result()
            && let Some(earlier) = acquired.insert(*attempt, acquisition)
            && !forgotten::may_be(history, timeline, &earlier, acquisition.returned)
        {
            let what = format!("two executions were told that they are attempt {attempt}");
            violations.push(Violation::of_key("G1", timeline.key, what));
        }
    }
    let counted = timeline.record.map_or(0, |record| record.attempt);
    let mut before = (0, None);
    let ends = acquired.iter().map(|(&attempt, at)| (attempt, Some(at)));
    for after in ends.chain([(counted + 1, None)]) {
        if after.0 > before.0 {
            violations.extend(gap(history, timeline, before, after));
            before = after;
        }
    }
    violations
}

/// An attempt and who acquired it; nobody at both ends of a key's history.
type End<'a, 'b> = (u32, Option<&'a Acquisition<'b>>);

/// Looks for claims that can have been the attempts between two others.
fn gap(
    history: &History,
    timeline: &Timeline<'_>,
    (before, first): End<'_, '_>,
    (after, last): End<'_, '_>,
) -> Option<Violation> {
    let nobodys = (after - before) as usize - 1;
    let earliest = first.map_or_else(Moment::default, |first| first.call.begun);
    // Nobody gives such an attempt up, so it lasted as long as its lease.
    let latest = last.map_or(Moment::NEVER, |last| last.returned.minus(history.lease));
    let candidates = timeline.calls.iter().filter(|call| {
        call.verb == Verb::Claim
            && call.is_unknown()
            && call.begun <= latest
            && latest_effect(history, call, IN_FLIGHT) >= earliest
    });
    (nobodys > candidates.count()).then(|| {
        let what = format!(
            "nobody was told that the key was theirs between attempts {before} and {after}"
        );
        Violation::of_key("G5", timeline.key, what)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Scene;

    fn rules(scene: &Scene) -> Vec<&'static str> {
        let history = scene.history();
        let violations = check(&history, &history.timelines()[0]);
        violations.iter().map(|violation| violation.rule).collect()
    }

    fn third_attempt() -> Scene {
        let mut scene = Scene::default();
        scene.acquire("x", 1, 0..10);
        scene.acquire("z", 3, 3_000..3_010);
        scene
    }

    #[test]
    fn attempts_without_a_gap_are_right() {
        let mut scene = third_attempt();
        scene.acquire("y", 2, 1_500..1_510);
        scene.keep(3, "{}");
        assert_eq!(rules(&scene), [""; 0]);
    }

    #[test]
    fn an_attempt_may_be_that_of_a_claim_that_failed() {
        let mut scene = third_attempt();
        let kind = "Timeout".to_owned();
        scene.call(Verb::Claim, "y", 1_500..1_800, CallResult::Failed { kind });
        assert_eq!(rules(&scene), [""; 0]);
    }

    #[test]
    fn a_claim_that_failed_at_another_time_is_not_that_attempt() {
        // The second one would have had the key for a whole lease when the third acquired it.
        for begun in [2_500, 10_000] {
            let mut scene = third_attempt();
            let kind = "Timeout".to_owned();
            let time = begun..begun + 100;
            scene.call(Verb::Claim, "y", time, CallResult::Failed { kind });
            assert_eq!(rules(&scene), ["G5"]);
        }
    }

    #[test]
    fn an_attempt_that_nobody_knows_of_is_a_violation() {
        let mut scene = third_attempt();
        scene.call(Verb::Claim, "y", 1_500..1_510, CallResult::InProgress);
        assert_eq!(rules(&scene), ["G5"]);
    }

    #[test]
    fn a_record_of_an_attempt_that_nobody_knows_of_is_a_violation() {
        let mut scene = Scene::default();
        scene.acquire("x", 1, 0..10);
        scene.keep(2, "{}");
        assert_eq!(rules(&scene), ["G5"]);
    }

    #[test]
    fn one_attempt_for_two_is_a_violation() {
        let mut scene = Scene::default();
        scene.acquire("x", 1, 0..10);
        scene.acquire("y", 1, 5_000..5_010);
        assert_eq!(rules(&scene), ["G1"]);
    }
}
