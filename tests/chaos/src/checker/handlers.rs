//! G4: a client that goes away never cancels a claimed execution.

use super::Violation;
use crate::{History, RunEnd, Timeline};

/// Looks for handlers that were dropped, or that had not ended when everything was over.
///
/// The run waits for all handlers before it ends, so only a killed server may owe an end.
pub(super) fn check(history: &History, timeline: &Timeline<'_>) -> Vec<Violation> {
    let violations = timeline.runs.iter().filter_map(|run| {
        let what = match &run.ended {
            Some((_, RunEnd::Dropped)) => "was dropped in its middle",
            None if history.killed(run.server).is_none() => "never ended, and nobody killed it",
            _ => return None,
        };
        let what = format!("the handler of {} on {} {what}", run.token, run.server);
        Some(Violation::of_key("G4", timeline.key, what))
    });
    violations.collect()
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
    fn a_handler_that_ended_is_right() {
        let mut scene = Scene::default();
        scene.run("x", 1, 0..10, RunEnd::Answered { status: 201 });
        scene.run("y", 2, 20..30, RunEnd::Panicked);
        assert_eq!(judge(&scene), 0);
    }

    #[test]
    fn a_dropped_handler_is_a_violation() {
        let mut scene = Scene::default();
        scene.run("x", 1, 0..10, RunEnd::Dropped);
        assert_eq!(judge(&scene), 1);
    }

    #[test]
    fn a_handler_without_an_end_is_right_only_on_a_killed_server() {
        let mut scene = Scene::default();
        scene.unfinished_run("x", 1, 0);
        assert_eq!(judge(&scene), 1);
        scene.kill(50);
        assert_eq!(judge(&scene), 0);
    }
}
