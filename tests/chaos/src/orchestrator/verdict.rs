//! Saying what came of it.

use std::collections::BTreeMap;

use chaos::{CallResult, History, checker, tell};

use crate::{
    arena::{Arena, read},
    arguments::Arguments,
};

/// Of so many violated keys the whole story is told.
const STORIES: usize = 5;

/// Judges the history, tells the stories of violated keys, and returns the number of violations.
pub(crate) fn pronounce(
    arguments: &Arguments,
    seed: u64,
    arena: &Arena,
    history: &History,
) -> usize {
    let judgement = checker::judge(history);
    let violations = &judgement.violations;
    for violation in violations {
        println!("VIOLATION {violation}");
    }
    let timelines: BTreeMap<_, _> = history
        .timelines()
        .into_iter()
        .map(|timeline| (timeline.key.to_owned(), timeline))
        .collect();
    let keys = violations
        .iter()
        .filter_map(|violation| violation.key.as_ref());
    let keys: std::collections::BTreeSet<_> = keys.collect();
    for key in keys.into_iter().take(STORIES) {
        if let Some(timeline) = timelines.get(key) {
            println!("the history of {key}:\n{}", tell(history, timeline));
        }
    }
    if !violations.is_empty() {
        println!("seed {seed}; to run it again: {}", arguments.again(seed));
    }
    let figures = &arena.figures;
    println!(
        "servers killed {}, databases killed {}, keys {}, handler runs {}, re-runs {:?}, \
         effects beyond the kept one {}, longest time stuck beyond a lease {} ms",
        read(&figures.server_kills),
        read(&figures.database_kills),
        history.operations.len(),
        history.runs.len(),
        judgement.reruns,
        judgement.extra_effects,
        judgement.longest_stuck.as_millis(),
    );
    violations.len()
}

/// The line that programs read.
pub(crate) fn last_line(
    arguments: &Arguments,
    arena: &Arena,
    history: &History,
    violations: usize,
) -> String {
    let figures = &arena.figures;
    let is_takeover =
        |result: &CallResult| matches!(result, CallResult::Acquired { takeover: true, .. });
    let takeovers = history
        .calls
        .iter()
        .filter(|call| call.when(is_takeover).is_some());
    format!(
        "chaos {} {}: requests {} kills {} pauses {} takeovers {} replays {} effects {} \
         violations {violations}",
        arguments.mode,
        arguments.store,
        read(&figures.requests),
        read(&figures.server_kills) + read(&figures.database_kills),
        read(&figures.pauses),
        takeovers.count(),
        read(&figures.replays),
        history.effects.len(),
    )
}
