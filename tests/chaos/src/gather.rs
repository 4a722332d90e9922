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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{CallResult, Moment, RunEnd, Verb};

    const SERVER: ServerId = ServerId {
        slot: 0,
        generation: 1,
    };

    fn gathered(seen: Vec<Seen>) -> Gathered {
        let events = seen.into_iter().zip(1..).map(|(seen, at)| Event {
            at: Moment::at_millis(at),
            seen,
        });
        gather(SERVER, events.collect())
    }

    fn call_begins(call: u64, verb: Verb) -> Seen {
        let (key, token) = ("k".to_owned(), "x".to_owned());
        Seen::CallBegins {
            call,
            verb,
            key,
            token,
        }
    }

    #[test]
    fn calls_that_cross_each_other_get_their_own_ends() {
        let result = CallResult::Applied;
        let gathered = gathered(vec![
            call_begins(1, Verb::Renew),
            call_begins(2, Verb::Complete),
            Seen::CallEnds { call: 2, result },
        ]);
        assert!(gathered.calls[0].ended.is_none());
        let end = (Moment::at_millis(3), CallResult::Applied);
        assert_eq!(gathered.calls[1].ended, Some(end));
    }

    #[test]
    fn a_run_remembers_how_far_it_came() {
        let (key, token) = ("k".to_owned(), "x".to_owned());
        let run = 1;
        let gathered = gathered(vec![
            Seen::RunBegins {
                run,
                key,
                token,
                attempt: 1,
                execution: "e".to_owned(),
            },
            Seen::EffectBegins { run },
            Seen::EffectEnds {
                run,
                confirmed: false,
            },
            Seen::RunEnds {
                run,
                end: RunEnd::Panicked,
            },
        ]);
        let run = &gathered.runs[0];
        assert_eq!(run.effect_begun, Some(Moment::at_millis(2)));
        assert_eq!(run.effect_ended, Some((Moment::at_millis(3), false)));
        assert_eq!(run.ended, Some((Moment::at_millis(4), RunEnd::Panicked)));
    }
}
