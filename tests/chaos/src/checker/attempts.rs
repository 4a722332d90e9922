//! G1 and G5, as the record itself counts: each attempt is one execution's, and has an owner.

use std::collections::BTreeSet;

use super::{Violation, acquisitions};
use crate::{CallResult, Timeline, Verb};

/// Compares the attempts that were acquired with those that the store has counted.
///
/// No answer of these runs gives a key up without a trace, so attempts count from 1 without gaps.
/// An attempt that nobody acquired is a claim that took effect and whose caller was told otherwise;
/// that is right only for claims that failed or never returned.
pub(super) fn check(timeline: &Timeline<'_>) -> Vec<Violation> {
    let mut violations = Vec::new();
    let mut acquired = BTreeSet::new();
    for acquisition in acquisitions(timeline) {
        if let Some(CallResult::Acquired { attempt, .. }) = acquisition.call.result()
            && !acquired.insert(*attempt)
        {
            let what = format!("two executions were told that they are attempt {attempt}");
            violations.push(Violation::of_key("G1", timeline.key, what));
        }
    }
    let counted = timeline.record.map_or(0, |record| record.attempt);
    let last = acquired.last().map_or(counted, |last| counted.max(*last));
    let nobodys = (1..=last).filter(|attempt| !acquired.contains(attempt));
    let claims = timeline
        .calls
        .iter()
        .filter(|call| call.verb == Verb::Claim);
    let unknown = claims.filter(|call| call.is_unknown()).count();
    if nobodys.clone().count() > unknown {
        let nobodys: Vec<_> = nobodys.collect();
        let what = format!("nobody was told that the key is theirs in attempts {nobodys:?}");
        violations.push(Violation::of_key("G5", timeline.key, what));
    }
    violations
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
