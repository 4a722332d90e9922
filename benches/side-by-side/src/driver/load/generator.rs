//! The loop over all connections.

use std::{
    net::{SocketAddr, TcpStream as Blocking},
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use mio::{Events, Interest, Poll, Token, net::TcpStream};

use super::{
    Histogram, Keys, Request,
    connection::{Connection, Progress},
    response::Head,
};

/// How long an answer may take, whatever the load.
const PATIENCE: Duration = Duration::from_secs(20);

/// Which part of a run counts.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Span {
    pub(crate) from: Instant,
    pub(crate) to: Instant,
}

/// What others see of a run, and how they end it.
#[derive(Debug, Default)]
pub(crate) struct Control {
    /// How many requests have been answered, within the span or not.
    pub(crate) answered: AtomicU64,
    /// Whether no more are sent.
    pub(crate) stop: AtomicBool,
}

/// What became of all requests.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    /// Of the requests that were answered within the span.
    pub(crate) latencies: Histogram,
    pub(crate) errors: u64,
    pub(crate) first_error: Option<String>,
}

pub(crate) struct Generator {
    poll: Poll,
    connections: Vec<Connection>,
    request: Request,
    status: u16,
    replayed: bool,
    buffer: Vec<u8>,
    in_flight: usize,
    outcome: Outcome,
}

impl Generator {
    /// Opens the connections.
    ///
    /// Each answer must have `status`, and say that it is a replay if `replayed` and only then.
    pub(crate) fn connect(
        server: SocketAddr,
        connections: usize,
        keys: Keys,
        status: u16,
        replayed: bool,
    ) -> Result<Self> {
        let poll = Poll::new()?;
        let mut opened = Vec::with_capacity(connections);
        for index in 0..connections {
            let stream = Blocking::connect(server).context("cannot connect to the contender")?;
            stream.set_nodelay(true)?;
            stream.set_nonblocking(true)?;
            let mut stream = TcpStream::from_std(stream);
            poll.registry()
                .register(&mut stream, Token(index), Interest::READABLE)?;
            opened.push(Connection::new(stream));
        }
        Ok(Self {
            poll,
            connections: opened,
            request: Request::new(keys),
            status,
            replayed,
            buffer: vec![0; 64 * 1024],
            in_flight: 0,
            outcome: Outcome::default(),
        })
    }

    /// Sends until it is stopped, or there are no more keys, and waits for all answers.
    pub(crate) fn run(mut self, span: Span, control: &Control) -> Result<Outcome> {
        for index in 0..self.connections.len() {
            self.send(index, Instant::now());
        }
        let mut events = Events::with_capacity(1024);
        while self.in_flight > 0 {
            self.poll.poll(&mut events, Some(Duration::from_secs(1)))?;
            if events.is_empty() && Instant::now() > span.to + PATIENCE {
                let unanswered = format!("{} requests were not answered", self.in_flight);
                self.failed(unanswered);
                break;
            }
            for event in &events {
                self.serve(event.token().0, span, control);
            }
        }
        Ok(self.outcome)
    }

    fn serve(&mut self, index: usize, span: Span, control: &Control) {
        match self.connections[index].read(&mut self.buffer) {
            Progress::Waiting => {}
            Progress::Answered(head) => {
                let now = Instant::now();
                let sent = self.connections[index].sent.take();
                self.in_flight -= 1;
                self.judge(head);
                if let Some(sent) = sent
                    && (span.from..span.to).contains(&now)
                {
                    self.outcome.latencies.record(now - sent);
                }
                control.answered.fetch_add(1, Ordering::Relaxed);
                if !control.stop.load(Ordering::Relaxed) {
                    self.send(index, now);
                }
            }
            Progress::Broken(why) => {
                if self.connections[index].sent.take().is_some() {
                    self.in_flight -= 1;
                }
                self.failed(why);
            }
        }
    }

    fn send(&mut self, index: usize, now: Instant) {
        let Some(request) = self.request.next() else {
            return;
        };
        match self.connections[index].send(request, now) {
            Ok(()) => self.in_flight += 1,
            Err(why) => self.failed(why),
        }
    }

    fn judge(&mut self, head: Head) {
        if head.status != self.status {
            self.failed(format!("status {} instead of {}", head.status, self.status));
        } else if head.replayed != self.replayed {
            let wrong = if head.replayed { "a" } else { "no" };
            self.failed(format!("{wrong} replay"));
        }
    }

    fn failed(&mut self, why: String) {
        self.outcome.errors += 1;
        self.outcome.first_error.get_or_insert(why);
    }
}
