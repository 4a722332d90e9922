//! Claims that a crash of the database may have taken with it, where they are not durable first.

use super::Acquisition;
use crate::{CallResult, FaultKind, History, Moment, Timeline};

/// Tells whether the store may have forgotten before `until` that this claim acquired its key.
///
/// Whatever else the execution has got confirmed before the crash was durable, and the claim
/// with it: the database writes its log in order.
pub(super) fn may_be(
    history: &History,
    timeline: &Timeline<'_>,
    claim: &Acquisition<'_>,
    until: Moment,
) -> bool {
    let mut crashes = history.faults.iter().filter(|fault| {
        fault.kind == FaultKind::Crash && fault.from <= until && fault.to >= claim.call.begun
    });
    history.relaxed_claims && crashes.any(|crash| !was_durable(timeline, claim, crash.from))
}

fn was_durable(timeline: &Timeline<'_>, claim: &Acquisition<'_>, before: Moment) -> bool {
    timeline.calls.iter().any(|call| {
        let confirmed =
            call.when(|result| matches!(result, CallResult::Renewed | CallResult::Applied));
        call.token == claim.call.token && confirmed.is_some_and(|confirmed| confirmed < before)
    })
}

#[cfg(test)]
mod tests {
    use crate::{CallResult, FaultKind, History, Verb, checker, testing::Scene};

    fn rules(history: &History) -> Vec<&'static str> {
        let judgement = checker::judge(history);
        let g1 = judgement.violations.iter().map(|violation| violation.rule);
        g1.filter(|rule| *rule == "G1").collect()
    }

    fn claimed_twice() -> Scene {
        let mut scene = Scene::default();
        scene.acquire("x", 1, 0..10);
        scene.acquire("y", 1, 500..510);
        scene
    }

    #[test]
    fn a_claim_that_a_crash_took_may_be_made_again() {
        let mut scene = claimed_twice();
        scene.fault(FaultKind::Crash, 100..300);
        let mut history = scene.history();
        history.relaxed_claims = true;
        assert_eq!(rules(&history), [""; 0]);
    }

    #[test]
    fn a_durable_claim_is_not_taken_by_a_crash() {
        let mut scene = claimed_twice();
        scene.fault(FaultKind::Crash, 100..300);
        assert_eq!(rules(&scene.history()), ["G1", "G1"]);
    }

    #[test]
    fn no_claim_is_lost_without_a_crash() {
        let mut history = claimed_twice().history();
        history.relaxed_claims = true;
        assert_eq!(rules(&history), ["G1", "G1"]);
    }

    #[test]
    fn what_was_renewed_is_not_taken_by_a_crash() {
        let mut scene = claimed_twice();
        scene.call(Verb::Renew, "x", 50..60, CallResult::Renewed);
        scene.fault(FaultKind::Crash, 100..300);
        let mut history = scene.history();
        history.relaxed_claims = true;
        assert_eq!(rules(&history), ["G1", "G1"]);
    }
}
