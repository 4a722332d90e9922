//! G5: every claim ends, and its key is free again when its lease is over.

use std::{collections::HashSet, time::Duration};

use super::{Violation, acquisitions, forgotten};
use crate::{Call, CallResult, History, Moment, Timeline, Verb};

/// A call without an answer may take effect some time after its caller is gone:
/// what it sent may be under way, or wait in the store for a lock.
pub(super) const IN_FLIGHT: Duration = Duration::from_secs(3);

/// What a refusal may take beyond a heartbeat on a machine with much to do.
const SLACK: Duration = Duration::from_secs(1);

/// For how long a key was refused beyond its lease.
#[derive(Debug, Default)]
pub(super) struct Stuck {
    /// As far as the answers tell; calls whose outcome is unknown may have prolonged the lease.
    pub(super) longest: Duration,
    pub(super) violation: Option<Violation>,
}

/// Compares each refusal with the latest end that the leases before it can have.
pub(super) fn check(history: &History, timeline: &Timeline<'_>) -> Stuck {
    let refused = timeline
        .calls
        .iter()
        .filter(|call| call.result() == Some(&CallResult::InProgress));
    let mut stuck = Stuck::default();
    let bound = history.lease / 3 + SLACK;
    for refused in refused {
        let Some(lease_end) = latest_lease_end(history, timeline, refused, IN_FLIGHT) else {
            let what = "the key was refused although no execution could have it";
            stuck.violation = Some(Violation::of_key("G5", timeline.key, what));
            continue;
        };
        let certain = refused.begun.since(lease_end);
        if certain > bound {
            let what = format!("the key was refused {certain:?} after the end of its last lease");
            stuck.violation = Some(Violation::of_key("G5", timeline.key, what));
        }
        let seen = latest_lease_end(history, timeline, refused, Duration::ZERO);
        let seen = seen.map_or(Duration::ZERO, |end| refused.begun.since(end));
        stuck.longest = stuck.longest.max(seen);
    }
    stuck
}

/// Returns when the leases that a claim was refused for end at the latest, if calls without an
/// answer take effect within `in_flight`; `None` if nobody can have had one.
fn latest_lease_end(
    history: &History,
    timeline: &Timeline<'_>,
    refused: &Call,
    in_flight: Duration,
) -> Option<Moment> {
    let refused_at = refused.ended.as_ref().map_or(Moment::NEVER, |(at, _)| *at);
    let over = executions_over(history, timeline, refused.begun);
    let grants = timeline.calls.iter().filter(|call| {
        is_grant(call) && call.begun <= refused_at && !over.contains(call.token.as_str())
    });
    let effects = grants.map(|grant| latest_effect(history, grant, in_flight));
    Some(effects.max()?.plus(history.lease))
}

/// Lists the executions that certainly had no lease any more at `at`, whatever calls of theirs
/// were still under way: they had settled, or another one had acquired the key after them.
fn executions_over<'a>(history: &History, timeline: &Timeline<'a>, at: Moment) -> HashSet<&'a str> {
    let settled = timeline.calls.iter().filter(|call| {
        let applied = call.when(|result| *result == CallResult::Applied);
        applied.is_some_and(|applied| applied <= at)
    });
    let mut over: HashSet<_> = settled.map(|call| call.token.as_str()).collect();
    let acquired = acquisitions(timeline);
    let last_begun = acquired
        .iter()
        .filter(|next| next.returned <= at && !forgotten::may_be(history, timeline, next, at));
    if let Some(last_begun) = last_begun.map(|next| next.call.begun).max() {
        let superseded = acquired.iter().filter(|first| first.returned <= last_begun);
        over.extend(superseded.map(|first| first.call.token.as_str()));
    }
    over
}

/// Tells whether a call may have granted a lease.
fn is_grant(call: &Call) -> bool {
    match call.result() {
        Some(CallResult::Acquired { .. } | CallResult::Renewed) => true,
        None | Some(CallResult::Failed { .. }) => call.verb != Verb::Release,
        // Where the handler completes its key in a transaction, the record is locked to its end.
        Some(_) => call.verb == Verb::Complete,
    }
}

/// Returns the latest moment at which a call can have taken effect.
pub(super) fn latest_effect(history: &History, call: &Call, in_flight: Duration) -> Moment {
    match &call.ended {
        Some((at, CallResult::Failed { .. })) => at.plus(in_flight),
        Some((at, _)) => *at,
        None => {
            let gone = history.killed(call.server).unwrap_or(history.end);
            gone.plus(in_flight)
        }
    }
}

/// Lists the keys that had no final answer when everything had been healed.
pub(super) fn unfinished(history: &History) -> impl Iterator<Item = Violation> {
    let keys = history.unfinished.iter();
    keys.map(|key| Violation::of_key("G5", key, "no final answer, although all is well again"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Scene;

    fn judge(scene: &Scene) -> Stuck {
        let history = scene.history();
        check(&history, &history.timelines()[0])
    }

    fn refused_at(from: u64) -> Scene {
        let mut scene = Scene::default();
        scene.acquire("x", 1, 0..10);
        scene.call(Verb::Claim, "y", from..from + 10, CallResult::InProgress);
        scene
    }

    #[test]
    fn a_refusal_within_the_lease_is_not_stuck() {
        assert_eq!(judge(&refused_at(1_005)).longest, Duration::ZERO);
    }

    #[test]
    fn a_refusal_beyond_the_lease_is_measured() {
        let stuck = judge(&refused_at(1_110));
        assert_eq!(stuck.longest, Duration::from_millis(100));
        assert!(stuck.violation.is_none());
    }

    #[test]
    fn a_refusal_long_after_the_lease_is_a_violation() {
        assert!(judge(&refused_at(4_000)).violation.is_some());
    }

    #[test]
    fn a_renewal_prolongs_the_lease() {
        let mut scene = refused_at(4_000);
        scene.call(Verb::Renew, "x", 3_400..3_410, CallResult::Renewed);
        assert_eq!(judge(&scene).longest, Duration::ZERO);
    }

    #[test]
    fn a_renewal_without_an_answer_may_have_prolonged_the_lease() {
        let mut scene = refused_at(4_000);
        let failed = CallResult::Failed {
            kind: "Timeout".to_owned(),
        };
        scene.call(Verb::Renew, "x", 1_400..1_700, failed);
        let stuck = judge(&scene);
        assert!(stuck.violation.is_none());
        assert_eq!(stuck.longest, Duration::from_millis(1_300));
    }

    #[test]
    fn a_key_that_was_given_up_or_lost_is_nobodys() {
        let mut scene = refused_at(4_000);
        let failed = CallResult::Failed {
            kind: "Timeout".to_owned(),
        };
        scene.call(Verb::Renew, "x", 1_400..1_700, failed.clone());
        scene.call(Verb::Release, "x", 1_710..1_720, CallResult::Applied);
        assert!(judge(&scene).violation.is_some());

        let mut scene = refused_at(8_000);
        scene.acquire("z", 2, 1_200..1_210);
        scene.call(Verb::Renew, "x", 7_000..7_300, failed);
        assert!(judge(&scene).violation.is_some());
    }

    #[test]
    fn a_claim_that_does_not_know_its_own_record_is_a_violation() {
        let mut scene = Scene::default();
        scene.call(Verb::Claim, "y", 50..60, CallResult::InProgress);
        assert!(judge(&scene).violation.is_some());
    }

    #[test]
    fn a_key_without_an_end_is_a_violation() {
        let mut history = Scene::default().history();
        assert_eq!(unfinished(&history).count(), 0);
        history.unfinished.push("k".to_owned());
        assert_eq!(unfinished(&history).count(), 1);
    }
}
