//! G8: effects and completed records agree.

use super::Violation;
use crate::{History, Mode, Timeline};

/// Compares the rows that handlers wrote with the record of their key.
pub(super) fn check(history: &History, timeline: &Timeline<'_>) -> Vec<Violation> {
    let mut violations = Vec::new();
    let kept = kept_execution(timeline);
    let of_kept = timeline
        .effects
        .iter()
        .filter(|effect| Some(effect.execution.as_str()) == kept.as_deref());
    if kept.is_some() && of_kept.count() != 1 {
        let what = "a kept answer does not have exactly one effect";
        violations.push(Violation::of_key("G8", timeline.key, what));
    }
    if history.mode == Mode::Leased {
        violations.extend(lost_effects(timeline));
    } else if timeline.effects.len() != usize::from(kept.is_some()) {
        let effects = timeline.effects.len();
        let what = format!(
            "{effects} effects, where the record says {}",
            u8::from(kept.is_some())
        );
        violations.push(Violation::of_key("G8", timeline.key, what));
    }
    violations
}

/// Counts the effects that belong to no kept answer.
pub(super) fn beyond_the_kept(timeline: &Timeline<'_>) -> usize {
    timeline.effects.len()
        - usize::from(kept_execution(timeline).is_some()).min(timeline.effects.len())
}

/// An effect that the database confirmed is there: otherwise these figures prove nothing.
fn lost_effects(timeline: &Timeline<'_>) -> impl Iterator<Item = Violation> {
    let confirmed = timeline
        .runs
        .iter()
        .filter(|run| run.effect_ended.is_some_and(|(_, confirmed)| confirmed));
    let lost = confirmed.filter(|run| {
        let mut effects = timeline.effects.iter();
        !effects.any(|effect| effect.execution == run.execution)
    });
    lost.map(|run| {
        let what = format!("the confirmed effect of {} is not there", run.execution);
        Violation::of_key("G8", timeline.key, what)
    })
}

/// Returns the execution whose effect is the kept one.
fn kept_execution(timeline: &Timeline<'_>) -> Option<String> {
    let answer = timeline.record?.answer.as_ref()?;
    let body: serde_json::Value = serde_json::from_str(&answer.body).ok()?;
    let execution = body["execution"].as_str()?;
    (answer.status == 201).then(|| execution.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Scene;

    const KEPT: &str = r#"{"execution":"e-1"}"#;

    fn judge(scene: &Scene, mode: Mode) -> usize {
        let mut history = scene.history();
        history.mode = mode;
        check(&history, &history.timelines()[0]).len()
    }

    fn scene(effects: &[&str]) -> Scene {
        let mut scene = Scene::default();
        scene.keep(1, KEPT);
        for effect in effects {
            scene.effect(effect);
        }
        scene
    }

    #[test]
    fn one_effect_of_the_kept_execution_is_right() {
        assert_eq!(judge(&scene(&["e-1"]), Mode::Fenced), 0);
    }

    #[test]
    fn a_second_effect_is_a_violation_unless_only_the_lease_guards_it() {
        let scene = scene(&["e-0", "e-1"]);
        assert_eq!(judge(&scene, Mode::Fenced), 1);
        assert_eq!(judge(&scene, Mode::Transactional), 1);
        assert_eq!(judge(&scene, Mode::Leased), 0);
        let history = scene.history();
        assert_eq!(beyond_the_kept(&history.timelines()[0]), 1);
    }

    #[test]
    fn a_kept_answer_without_its_effect_is_a_violation() {
        assert!(judge(&scene(&[]), Mode::Leased) > 0);
        assert!(judge(&scene(&["e-0"]), Mode::Fenced) > 0);
    }

    #[test]
    fn an_effect_without_a_record_is_a_violation_unless_only_the_lease_guards_it() {
        let mut scene = Scene::default();
        scene.effect("e-1");
        assert_eq!(judge(&scene, Mode::Fenced), 1);
        assert_eq!(judge(&scene, Mode::Leased), 0);
    }

    #[test]
    fn a_confirmed_effect_that_is_not_there_is_a_violation() {
        let mut scene = scene(&["e-1"]);
        scene.confirmed_effect("x", "e-2", 0..10);
        assert_eq!(judge(&scene, Mode::Leased), 1);
        scene.effect("e-2");
        assert_eq!(judge(&scene, Mode::Leased), 0);
    }
}
