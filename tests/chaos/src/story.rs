//! The history of one key, for a person to read.

use std::fmt::Write;

use crate::{History, Moment, Timeline};

/// Writes down all that was seen of a key and of the servers that had to do with it, in order.
#[must_use]
pub fn tell(history: &History, timeline: &Timeline<'_>) -> String {
    let mut lines = lines_of_key(timeline);
    let from = lines.iter().map(|(at, _)| *at).min().unwrap_or_default();
    let to = lines.iter().map(|(at, _)| *at).max().unwrap_or_default();
    for fault in &history.faults {
        let mut calls = timeline.calls.iter().map(|call| call.server);
        let mut requests = timeline.requests.iter().map(|request| request.server);
        let concerns = |server| fault.whom.is(server);
        let is_part = calls.any(concerns) || requests.any(concerns);
        if is_part && fault.to >= from && fault.from <= to {
            let (kind, whom) = (&fault.kind, fault.whom);
            lines.push((fault.from, format!("nemesis: {kind:?} {whom} begins")));
            lines.push((fault.to, format!("nemesis: {kind:?} {whom} ends")));
        }
    }
    lines.sort();
    let mut story = String::new();
    for (at, line) in lines {
        let after = at.since(from).as_secs_f64();
        writeln!(story, "  {after:>9.4} s  {line}").expect("writing to a string cannot fail");
    }
    for effect in &timeline.effects {
        let (attempt, execution) = (effect.attempt, &effect.execution);
        writeln!(
            story,
            "  at the end   effect of attempt {attempt}, execution {execution}"
        )
        .expect("writing to a string cannot fail");
    }
    writeln!(story, "  at the end   record {:?}", timeline.record)
        .expect("writing to a string cannot fail");
    story
}

fn lines_of_key(timeline: &Timeline<'_>) -> Vec<(Moment, String)> {
    let mut lines = Vec::new();
    for call in &timeline.calls {
        let token = call.token.get(..8).unwrap_or(&call.token);
        let what = format!("{}: {} by {token}", call.server, call.verb);
        if let Some((at, result)) = &call.ended {
            lines.push((*at, format!("{what}: {result:?}")));
        }
        lines.push((call.begun, format!("{what} ..")));
    }
    for run in &timeline.runs {
        let token = run.token.get(..8).unwrap_or(&run.token);
        let what = format!("{}: handler of {token}", run.server);
        let execution = &run.execution;
        lines.push((
            run.begun,
            format!(
                "{what} begins, attempt {}, execution {execution}",
                run.attempt
            ),
        ));
        if let Some(at) = run.effect_begun {
            lines.push((at, format!("{what}: effect ..")));
        }
        if let Some((at, confirmed)) = run.effect_ended {
            let word = if confirmed {
                "confirmed"
            } else {
                "unconfirmed"
            };
            lines.push((at, format!("{what}: effect {word}")));
        }
        if let Some((at, end)) = &run.ended {
            lines.push((*at, format!("{what} ends: {end:?}")));
        }
    }
    for request in &timeline.requests {
        let what = format!("client {} to {}", request.client, request.server);
        lines.push((request.begun, format!("{what}: request")));
        let answer = match &request.answer {
            Err(error) => error.clone(),
            Ok(answer) => format!(
                "{} {}{}{} {}",
                answer.content.status,
                answer.code.as_deref().unwrap_or_default(),
                if answer.stored { "stored" } else { "" },
                if answer.replay { "replay" } else { "" },
                if answer.is_handlers() {
                    &answer.content.body
                } else {
                    ""
                },
            ),
        };
        lines.push((request.ended, format!("{what}: {answer}")));
    }
    lines
}
