//! Putting the lines of journals together.

use std::collections::HashMap;

use crate::{Call, Event, Fault, FaultKind, Run, Seen, ServerId, Whom};

/// What a journal tells.
#[derive(Clone, Debug, Default)]
#[expect(clippy::exhaustive_structs, reason = "plain data of the history")]
pub struct Gathered {
    /// Calls of the store's verbs.
    pub calls: Vec<Call>,
    /// Runs of the handler.
    pub runs: Vec<Run>,
    /// Stalls that the process saw by itself.
    pub stalls: Vec<Fault>,
}

/// Puts the beginnings and ends of one process's journal together.
#[must_use]
pub fn gather(server: ServerId, events: Vec<Event>) -> Gathered {
    let mut gathered = Gathered::default();
    let mut calls = HashMap::new();
    let mut runs = HashMap::new();
    for Event { at, seen } in events {
        match seen {
            Seen::CallBegins {
                call,
                verb,
                key,
                token,
            } => {
                calls.insert(call, gathered.calls.len());
                gathered.calls.push(Call {
                    server,
                    verb,
                    key,
                    token,
                    begun: at,
                    ended: None,
                });
            }
            Seen::CallEnds { call, result } => {
                if let Some(&index) = calls.get(&call) {
                    gathered.calls[index].ended = Some((at, result));
                }
            }
            Seen::Stalled { from } => gathered.stalls.push(Fault {
                kind: FaultKind::Stall,
                whom: Whom::Process(server),
                from,
                to: at,
            }),
            of_a_run => note_run(server, &mut gathered.runs, &mut runs, at, of_a_run),
        }
    }
    gathered
}

fn note_run(
    server: ServerId,
    all: &mut Vec<Run>,
    indices: &mut HashMap<u64, usize>,
    at: crate::Moment,
    seen: Seen,
) {
    if let Seen::RunBegins {
        run,
        key,
        token,
        attempt,
        execution,
    } = seen
    {
        indices.insert(run, all.len());
        all.push(Run {
            server,
            key,
            token,
            attempt,
            execution,
            begun: at,
            effect_begun: None,
            effect_ended: None,
            ended: None,
        });
        return;
    }
    let (Seen::EffectBegins { run } | Seen::EffectEnds { run, .. } | Seen::RunEnds { run, .. }) =
        &seen
    else {
        return;
    };
    let Some(run) = indices.get(run).map(|&index| &mut all[index]) else {
        return;
    };
    match seen {
        Seen::EffectBegins { .. } => run.effect_begun = Some(at),
        Seen::EffectEnds { confirmed, .. } => run.effect_ended = Some((at, confirmed)),
        Seen::RunEnds { end, .. } => run.ended = Some((at, end)),
        _ => {}
    }
}
