//! G9: requests without a key need no store. G10: nothing of a caller appears in logs.

use std::time::Duration;

use super::Violation;
use crate::{FaultKind, History, Probe};

/// A connection that was made to a server that is just being killed breaks a moment later.
const AFTERMATH: Duration = Duration::from_millis(200);

/// Looks at what is not about one key.
pub(super) fn check(history: &History) -> Vec<Violation> {
    let mut violations = Vec::new();
    for probe in &history.probes {
        if let Some(failure) = &probe.failure
            && !is_excused(history, probe)
        {
            let what = format!(
                "a request without a key to {} failed: {failure}",
                probe.server
            );
            violations.push(Violation::of_run("G9", what));
        }
    }
    if let Some(line) = history.leaks.first() {
        let lines = history.leaks.len();
        let what = format!("{lines} lines of the logs hold a key or a body, the first: {line}");
        violations.push(Violation::of_run("G10", what));
    }
    violations
}

/// Only a server that was killed or stood still may fail; a store that is down is no excuse.
fn is_excused(history: &History, probe: &Probe) -> bool {
    let until = probe.ended.plus(AFTERMATH);
    history
        .faults_of(probe.server, probe.begun, until)
        .any(|fault| {
            matches!(
                fault.kind,
                FaultKind::Kill | FaultKind::Pause | FaultKind::Stall
            )
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Moment, testing::Scene};

    fn failed_probe(scene: &Scene) -> History {
        let mut history = scene.history();
        history.probes.push(Probe {
            server: Scene::SERVER,
            begun: Moment::at_millis(100),
            ended: Moment::at_millis(200),
            failure: Some("status 503".to_owned()),
        });
        history
    }

    #[test]
    fn a_failed_probe_is_a_violation_even_while_the_store_is_down() {
        let mut scene = Scene::default();
        scene.fault(FaultKind::Store("cut".to_owned()), 0..1_000);
        assert_eq!(check(&failed_probe(&scene)).len(), 1);
    }

    #[test]
    fn a_killed_or_paused_server_may_fail() {
        for kind in [FaultKind::Kill, FaultKind::Pause, FaultKind::Stall] {
            let mut scene = Scene::default();
            scene.fault(kind, 150..160);
            assert_eq!(check(&failed_probe(&scene)).len(), 0);
        }
    }

    #[test]
    fn a_line_with_a_key_is_a_violation() {
        let mut history = Scene::default().history();
        assert_eq!(check(&history).len(), 0);
        history.leaks.push("key=chaoskey-1".to_owned());
        assert_eq!(check(&history)[0].rule, "G10");
    }
}
