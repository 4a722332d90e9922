//! The judge: pure functions over a [`History`], a file for each guarantee.
//!
//! Events carry a moment before and a moment behind what they tell of,
//! so two things have a certain order only if one had ended before the other began.
//! A rule accuses only where every order that is possible breaks the guarantee.

mod answers;
mod attempts;
mod effects;
mod fencing;
mod forgotten;
mod handlers;
mod leases;
mod reruns;
mod stuck;
mod surroundings;

use std::{collections::BTreeMap, fmt, time::Duration};

use crate::{Call, History, Mode, Moment, Timeline, Verb};

/// What the wall clock of the store and the monotonic clock of the events may differ by within
/// the length of a lease, and what stores round away.
const CLOCK_SLACK: Duration = Duration::from_millis(5);

/// A guarantee that did not hold.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Violation {
    /// The guarantee's number.
    pub rule: &'static str,
    /// The key, if it is about one.
    pub key: Option<String>,
    /// What happened.
    pub what: String,
}

impl Violation {
    fn of_key(rule: &'static str, key: &str, what: impl Into<String>) -> Self {
        Self {
            rule,
            key: Some(key.to_owned()),
            what: what.into(),
        }
    }

    fn of_run(rule: &'static str, what: impl Into<String>) -> Self {
        Self {
            rule,
            key: None,
            what: what.into(),
        }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { rule, what, .. } = self;
        match &self.key {
            Some(key) => write!(f, "{rule} {key}: {what}"),
            None => write!(f, "{rule}: {what}"),
        }
    }
}

/// What the judge says of a run.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Judgement {
    /// Every guarantee that did not hold.
    pub violations: Vec<Violation>,
    /// How often a handler ran again, by the reason.
    pub reruns: BTreeMap<&'static str, usize>,
    /// How many effects are left that belong to no kept answer.
    pub extra_effects: usize,
    /// The longest time for which a key was refused beyond the end of its last lease.
    pub longest_stuck: Duration,
}

/// Tells whether the calls alone show a violation that nothing that may come can undo.
#[must_use]
pub fn is_violated_already(history: &History) -> bool {
    history.timelines().iter().any(|timeline| {
        let is_leased = history.mode != Mode::Transactional;
        !fencing::check(history, timeline).is_empty()
            || is_leased && !leases::check(history, timeline).is_empty()
            || is_leased && !attempts::check(history, timeline).is_empty()
    })
}

/// Judges a run.
#[must_use]
pub fn judge(history: &History) -> Judgement {
    let mut judgement = Judgement::default();
    for timeline in history.timelines() {
        let violations = &mut judgement.violations;
        // A transaction is no lease: it leaves nothing when it ends, and no time bounds it.
        if history.mode != Mode::Transactional {
            violations.extend(leases::check(history, &timeline));
            violations.extend(attempts::check(history, &timeline));
            let stuck = stuck::check(history, &timeline);
            violations.extend(stuck.violation);
            judgement.longest_stuck = judgement.longest_stuck.max(stuck.longest);
        }
        violations.extend(answers::check(&timeline));
        violations.extend(fencing::check(history, &timeline));
        violations.extend(handlers::check(history, &timeline));
        violations.extend(effects::check(history, &timeline));
        let reruns = reruns::check(history, &timeline);
        violations.extend(reruns.violations);
        for reason in reruns.reasons {
            *judgement.reruns.entry(reason).or_default() += 1;
        }
        judgement.extra_effects += effects::beyond_the_kept(&timeline);
    }
    judgement.violations.extend(stuck::unfinished(history));
    judgement.violations.extend(surroundings::check(history));
    judgement
}

/// A claim that acquired its key, and when it returned.
#[derive(Clone, Copy, Debug)]
struct Acquisition<'a> {
    call: &'a Call,
    returned: Moment,
}

/// Lists the claims that acquired the key, in the order of their beginnings.
fn acquisitions<'a>(timeline: &Timeline<'a>) -> Vec<Acquisition<'a>> {
    let claims = timeline
        .calls
        .iter()
        .filter(|call| call.verb == Verb::Claim);
    let acquired = claims.filter_map(|call| {
        let returned = call.acquired()?;
        Some(Acquisition { call, returned })
    });
    acquired.collect()
}
