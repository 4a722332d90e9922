//! G1: for one key at most one lease is live.

use super::{Acquisition, CLOCK_SLACK, Violation, acquisitions, forgotten};
use crate::{CallResult, History, Moment, Timeline, Verb};

/// Looks at each pair of executions of a key.
///
/// A lease that was granted by a call lasts at least its length from the call's *beginning*,
/// since the store cannot have granted it before; another execution acquired the key at the latest
/// when its claim *returned*.
pub(super) fn check(history: &History, timeline: &Timeline<'_>) -> Vec<Violation> {
    let acquired = acquisitions(timeline);
    let mut violations = Vec::new();
    for (index, x) in acquired.iter().enumerate() {
        for y in &acquired[index + 1..] {
            if x.call.token != y.call.token && overlap(history, timeline, x, y) {
                let what = format!(
                    "{} acquired the key while the lease of {} was live",
                    y.call.token, x.call.token
                );
                violations.push(Violation::of_key("G1", timeline.key, what));
            }
        }
    }
    violations
}

/// Tells whether the leases of both were certainly live at one time; `x` began first.
fn overlap(
    history: &History,
    timeline: &Timeline<'_>,
    x: &Acquisition<'_>,
    y: &Acquisition<'_>,
) -> bool {
    let last = x.returned.max(y.returned);
    if [x, y]
        .into_iter()
        .any(|claim| forgotten::may_be(history, timeline, claim, last))
    {
        return false;
    }
    let is_certain = x.returned <= y.call.begun;
    if is_certain {
        let granted = last_grant(timeline, x, y.call.begun);
        return !gave_up(timeline, x, y.returned) && lasts(history, granted, y.returned);
    }
    // Either may have been first, so both must have held on to it.
    let held = !gave_up(timeline, x, last) && !gave_up(timeline, y, last);
    held && lasts(history, x.call.begun, last)
}

/// Tells whether a lease that was granted at `from` or later was live at `at`.
fn lasts(history: &History, from: Moment, at: Moment) -> bool {
    at.plus(CLOCK_SLACK) < from.plus(history.lease)
}

/// Returns when the last claim or renewal began that certainly took effect before `before`.
fn last_grant(timeline: &Timeline<'_>, x: &Acquisition<'_>, before: Moment) -> Moment {
    let renewals = timeline.calls.iter().filter(|call| {
        let renewed = call.when(|result| *result == CallResult::Renewed);
        call.token == x.call.token && renewed.is_some_and(|returned| returned <= before)
    });
    renewals
        .map(|call| call.begun)
        .fold(x.call.begun, Moment::max)
}

/// Tells whether the execution may have ended its lease itself before `before`.
fn gave_up(timeline: &Timeline<'_>, x: &Acquisition<'_>, before: Moment) -> bool {
    timeline.calls.iter().any(|call| {
        call.token == x.call.token
            && matches!(call.verb, Verb::Complete | Verb::Release)
            && call.begun < before
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

    #[test]
    fn a_takeover_after_the_lease_is_right() {
        let mut scene = Scene::default();
        scene.acquire("x", 1, 0..10);
        scene.acquire("y", 2, 1_000..1_020);
        assert_eq!(judge(&scene), 0);
    }

    #[test]
    fn a_takeover_that_returned_within_the_lease_is_a_violation() {
        let mut scene = Scene::default();
        scene.acquire("x", 1, 0..10);
        scene.acquire("y", 2, 900..950);
        assert_eq!(judge(&scene), 1);
    }

    #[test]
    fn a_takeover_that_may_have_come_at_the_end_of_the_lease_is_right() {
        let mut scene = Scene::default();
        scene.acquire("x", 1, 0..10);
        scene.acquire("y", 2, 900..1_001);
        assert_eq!(judge(&scene), 0);
    }

    #[test]
    fn a_renewal_prolongs_the_lease() {
        let mut scene = Scene::default();
        scene.acquire("x", 1, 0..10);
        scene.call(Verb::Renew, "x", 600..610, CallResult::Renewed);
        scene.acquire("y", 2, 1_100..1_120);
        assert_eq!(judge(&scene), 1);
    }

    #[test]
    fn a_renewal_that_was_under_way_proves_nothing() {
        let mut scene = Scene::default();
        scene.acquire("x", 1, 0..10);
        scene.call(Verb::Renew, "x", 990..1_050, CallResult::Renewed);
        scene.acquire("y", 2, 1_010..1_020);
        assert_eq!(judge(&scene), 0);
    }

    #[test]
    fn a_released_key_may_be_claimed_at_once() {
        let mut scene = Scene::default();
        scene.acquire("x", 1, 0..10);
        scene.call(Verb::Release, "x", 50..60, CallResult::Applied);
        scene.acquire("y", 2, 55..70);
        assert_eq!(judge(&scene), 0);
    }

    #[test]
    fn two_claims_at_once_that_both_acquire_are_a_violation() {
        let mut scene = Scene::default();
        scene.acquire("x", 1, 0..20);
        scene.acquire("y", 1, 10..30);
        assert_eq!(judge(&scene), 1);
    }
}
