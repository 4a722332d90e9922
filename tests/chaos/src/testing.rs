//! Short histories, written by hand, for the tests of the judge.

use std::{collections::BTreeMap, ops::Range, time::Duration};

use crate::{
    Answer, Call, CallResult, Content, EffectRow, Fault, FaultKind, History, Kept, Life, Mode,
    Moment, Request, Run, RunEnd, ServerId, Verb, Whom,
};

/// A history of the one key `k`, with leases of a second; times in milliseconds.
#[derive(Default)]
pub(crate) struct Scene {
    killed: Option<Moment>,
    faults: Vec<Fault>,
    calls: Vec<Call>,
    runs: Vec<Run>,
    requests: Vec<Request>,
    record: Option<Kept>,
    effects: Vec<EffectRow>,
}

impl Scene {
    pub(crate) const SERVER: ServerId = ServerId {
        slot: 0,
        generation: 1,
    };

    pub(crate) fn acquire(&mut self, token: &str, attempt: u32, time: Range<u64>) {
        let takeover = attempt > 1;
        self.call(
            Verb::Claim,
            token,
            time,
            CallResult::Acquired { attempt, takeover },
        );
    }

    pub(crate) fn call(&mut self, verb: Verb, token: &str, time: Range<u64>, result: CallResult) {
        self.calls.push(Call {
            server: Self::SERVER,
            verb,
            key: "k".to_owned(),
            token: token.to_owned(),
            begun: Moment::at_millis(time.start),
            ended: Some((Moment::at_millis(time.end), result)),
        });
    }

    pub(crate) fn run(&mut self, token: &str, attempt: u32, time: Range<u64>, end: RunEnd) {
        self.run_on(Self::SERVER.slot, token, attempt, time, end);
    }

    pub(crate) fn run_on(
        &mut self,
        slot: usize,
        token: &str,
        attempt: u32,
        time: Range<u64>,
        end: RunEnd,
    ) {
        self.unfinished_run(token, attempt, time.start);
        let run = self.runs.last_mut().unwrap();
        run.server.slot = slot;
        run.ended = Some((Moment::at_millis(time.end), end));
    }

    pub(crate) fn unfinished_run(&mut self, token: &str, attempt: u32, begun: u64) {
        self.runs.push(Run {
            server: Self::SERVER,
            key: "k".to_owned(),
            token: token.to_owned(),
            attempt,
            execution: format!("execution of {token}"),
            begun: Moment::at_millis(begun),
            effect_begun: None,
            effect_ended: None,
            ended: None,
        });
    }

    pub(crate) fn confirmed_effect(&mut self, token: &str, execution: &str, time: Range<u64>) {
        self.run(token, 1, time.clone(), RunEnd::Answered { status: 201 });
        let run = self.runs.last_mut().unwrap();
        run.execution = execution.to_owned();
        run.effect_ended = Some((Moment::at_millis(time.end), true));
    }

    pub(crate) fn answer(&mut self, time: Range<u64>, body: &str, change: impl Fn(&mut Answer)) {
        let mut answer = Answer {
            content: content(body),
            code: None,
            retry_after_seconds: None,
            stored: false,
            replay: false,
        };
        change(&mut answer);
        self.requests.push(Request {
            client: 0,
            key: "k".to_owned(),
            server: Self::SERVER,
            begun: Moment::at_millis(time.start),
            ended: Moment::at_millis(time.end),
            answer: Ok(answer),
        });
    }

    pub(crate) fn keep(&mut self, attempt: u32, body: &str) {
        self.record = Some(Kept {
            state: "completed".to_owned(),
            attempt,
            answer: Some(content(body)),
        });
    }

    pub(crate) fn forget(&mut self) {
        self.record = None;
    }

    pub(crate) fn effect(&mut self, execution: &str) {
        self.effects.push(EffectRow {
            key: "k".to_owned(),
            attempt: 1,
            execution: execution.to_owned(),
        });
    }

    pub(crate) fn kill(&mut self, at: u64) {
        self.killed = Some(Moment::at_millis(at));
        self.fault(FaultKind::Kill, at..at);
    }

    pub(crate) fn fault(&mut self, kind: FaultKind, time: Range<u64>) {
        self.faults.push(Fault {
            kind,
            whom: Whom::Process(Self::SERVER),
            from: Moment::at_millis(time.start),
            to: Moment::at_millis(time.end),
        });
    }

    pub(crate) fn history(&self) -> History {
        let life = Life {
            server: Self::SERVER,
            from: Moment::default(),
            killed: self.killed,
        };
        let record = self.record.clone().map(|record| ("k".to_owned(), record));
        History {
            mode: Mode::Leased,
            relaxed_claims: false,
            lease: Duration::from_secs(1),
            lives: vec![life],
            faults: self.faults.clone(),
            calls: self.calls.clone(),
            runs: self.runs.clone(),
            requests: self.requests.clone(),
            probes: Vec::new(),
            operations: BTreeMap::new(),
            unfinished: Vec::new(),
            records: record.into_iter().collect(),
            effects: self.effects.clone(),
            leaks: Vec::new(),
            end: Moment::at_millis(100_000),
        }
    }
}

fn content(body: &str) -> Content {
    Content {
        status: 201,
        headers: vec![("content-type".to_owned(), "application/json".to_owned())],
        body: body.to_owned(),
    }
}
