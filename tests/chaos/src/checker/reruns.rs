//! G7: after a handler ran to its end, its key is not given free unless the policy says so.

use std::time::Duration;

use super::{Violation, acquisitions};
use crate::{CallResult, FaultKind, History, Mode, Moment, Run, Timeline, Verb};

/// Why handlers ran again, and where there was no reason.
#[derive(Debug, Default)]
pub(super) struct Reruns {
    pub(super) reasons: Vec<&'static str>,
    pub(super) violations: Vec<Violation>,
}

/// Looks for the reason of every run but the first of a key.
pub(super) fn check(history: &History, timeline: &Timeline<'_>) -> Reruns {
    let mut reruns = Reruns::default();
    for pair in timeline.runs.windows(2) {
        let (run, again) = (pair[0], pair[1]);
        match reason(history, timeline, run, again) {
            Some(reason) => reruns.reasons.push(reason),
            None => {
                let what = format!(
                    "the handler of {} ran although nothing had befallen that of {}",
                    again.token, run.token
                );
                let violation = Violation::of_key("G7", timeline.key, what);
                reruns.violations.push(violation);
            }
        }
    }
    reruns.violations.extend(claimed_after_completion(timeline));
    reruns
}

/// Says what gave the key of `run` to `again`.
fn reason(
    history: &History,
    timeline: &Timeline<'_>,
    run: &Run,
    again: &Run,
) -> Option<&'static str> {
    let ended = run.ended.as_ref().filter(|(at, _)| *at <= again.begun);
    if ended.is_some_and(|(_, end)| !end.is_kept()) {
        return Some("after a failure");
    }
    let from = claimed(timeline, run);
    // Dead from the moment on in which the signal may have come, not only once it is buried.
    let mut faults = history.faults_of(run.server, from, again.begun);
    if faults.any(|fault| fault.kind == FaultKind::Kill) {
        return Some("killed");
    }
    if still_time(history, run, from, again.begun) >= history.lease / 2 {
        return Some("paused");
    }
    if cut_off(history, timeline, run, from, again.begun) {
        return Some("cut off from the store");
    }
    rolled_back(history, timeline, run).then_some("rolled back")
}

/// Returns when the claim of a run began: what befell its server from then on may cost the key.
fn claimed(timeline: &Timeline<'_>, run: &Run) -> Moment {
    let mut calls = timeline.calls.iter();
    let claim = calls.find(|call| call.token == run.token && call.verb == Verb::Claim);
    claim.map_or(run.begun, |claim| claim.begun)
}

/// Adds up for how long the run's process stood still.
///
/// A lease is renewed at a third of its length, so it takes about two thirds to lose one.
fn still_time(history: &History, run: &Run, from: Moment, until: Moment) -> Duration {
    let still = history
        .faults_of(run.server, from, until)
        .filter(|fault| matches!(fault.kind, FaultKind::Pause | FaultKind::Stall));
    still
        .map(|fault| fault.to.min(until).since(fault.from.max(from)))
        .sum()
}

/// Tells whether the store was out of reach, or so slow that a heartbeat came too late.
fn cut_off(
    history: &History,
    timeline: &Timeline<'_>,
    run: &Run,
    from: Moment,
    until: Moment,
) -> bool {
    let faults = history.faults_of(run.server, from, until);
    let mut calls = timeline
        .calls
        .iter()
        .filter(|call| call.token == run.token && call.verb != Verb::Claim && call.begun <= until);
    let slow = history.lease / 4;
    faults
        .into_iter()
        .any(|fault| matches!(fault.kind, FaultKind::Store(_) | FaultKind::Crash))
        || calls.any(|call| {
            let ended = call.ended.as_ref().map_or(Moment::NEVER, |(at, _)| *at);
            call.is_unknown() || ended.min(until).since(call.begun) > slow
        })
}

/// Tells whether the layer's transaction was given up, so that nothing of the run has happened.
fn rolled_back(history: &History, timeline: &Timeline<'_>, run: &Run) -> bool {
    let broke = run.effect_ended.is_some_and(|(_, confirmed)| !confirmed);
    let stale = timeline.calls.iter().any(|call| {
        call.token == run.token
            && call.verb == Verb::Complete
            && call.result() == Some(&CallResult::Stale)
    });
    history.mode == Mode::Transactional && (broke || stale)
}

/// Whatever befell a server: a key whose completion was confirmed cannot be acquired again.
fn claimed_after_completion(timeline: &Timeline<'_>) -> Option<Violation> {
    let completed = timeline
        .calls
        .iter()
        .filter(|call| call.verb == Verb::Complete)
        .filter_map(|call| call.when(|result| *result == CallResult::Applied))
        .min()?;
    let acquired = acquisitions(timeline);
    let again = acquired
        .iter()
        .find(|again| again.call.begun >= completed)?;
    let what = format!("{} acquired the key after its completion", again.call.token);
    Some(Violation::of_key("G7", timeline.key, what))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{RunEnd, testing::Scene};

    const CREATED: RunEnd = RunEnd::Answered { status: 201 };

    fn judge(scene: &Scene) -> Result<Vec<&'static str>, usize> {
        let history = scene.history();
        let reruns = check(&history, &history.timelines()[0]);
        match reruns.violations.len() {
            0 => Ok(reruns.reasons),
            violations => Err(violations),
        }
    }

    fn run_twice(first: RunEnd) -> Scene {
        let mut scene = Scene::default();
        scene.run("x", 1, 0..100, first);
        scene.run_on(1, "y", 2, 1_200..1_300, CREATED);
        scene
    }

    #[test]
    fn a_run_after_a_failure_is_right() {
        for end in [RunEnd::Panicked, RunEnd::Answered { status: 500 }] {
            assert_eq!(judge(&run_twice(end)), Ok(vec!["after a failure"]));
        }
    }

    #[test]
    fn a_run_without_a_reason_is_a_violation() {
        assert_eq!(judge(&run_twice(CREATED)), Err(1));
    }

    #[test]
    fn a_run_after_a_kill_is_right_only_if_the_kill_came_first() {
        let mut scene = run_twice(CREATED);
        scene.kill(1_100);
        assert_eq!(judge(&scene), Ok(vec!["killed"]));
        let mut scene = run_twice(CREATED);
        scene.kill(1_250);
        assert_eq!(judge(&scene), Err(1));
    }

    /// Between the signal and the burial nobody knows when the process stopped.
    #[test]
    fn a_run_beside_a_process_that_is_being_killed_is_right() {
        let mut scene = run_twice(CREATED);
        scene.fault(FaultKind::Kill, 1_100..1_300);
        assert_eq!(judge(&scene), Ok(vec!["killed"]));
    }

    #[test]
    fn a_pause_is_a_reason_only_if_it_was_long() {
        let mut scene = run_twice(CREATED);
        scene.fault(FaultKind::Pause, 50..200);
        assert_eq!(judge(&scene), Err(1));
        scene.fault(FaultKind::Pause, 300..1_000);
        assert_eq!(judge(&scene), Ok(vec!["paused"]));
    }

    #[test]
    fn a_store_out_of_reach_is_a_reason() {
        let mut scene = run_twice(CREATED);
        scene.fault(FaultKind::Store("cut".to_owned()), 90..150);
        assert_eq!(judge(&scene), Ok(vec!["cut off from the store"]));
        let mut scene = run_twice(CREATED);
        let kind = "Timeout".to_owned();
        scene.call(Verb::Complete, "x", 100..400, CallResult::Failed { kind });
        assert_eq!(judge(&scene), Ok(vec!["cut off from the store"]));
    }

    #[test]
    fn a_transaction_that_was_given_up_is_a_reason() {
        let mut scene = run_twice(CREATED);
        scene.call(Verb::Complete, "x", 100..110, CallResult::Stale);
        assert_eq!(judge(&scene), Err(1));
        let mut history = scene.history();
        history.mode = Mode::Transactional;
        let reruns = check(&history, &history.timelines()[0]);
        assert_eq!(reruns.reasons, ["rolled back"]);
    }

    #[test]
    fn nothing_excuses_a_claim_after_a_confirmed_completion() {
        let mut scene = run_twice(CREATED);
        scene.kill(1_100);
        scene.call(Verb::Complete, "x", 100..110, CallResult::Applied);
        scene.acquire("y", 2, 1_190..1_199);
        assert_eq!(judge(&scene), Err(1));
    }
}
