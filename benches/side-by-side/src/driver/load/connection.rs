//! One connection with at most one request in flight.

use std::{
    io::{ErrorKind, Read, Write},
    time::Instant,
};

use mio::net::TcpStream;

use super::response::{Head, parse};

#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) stream: TcpStream,
    pub(crate) sent: Option<Instant>,
    /// A head of which only a part has arrived.
    part: Vec<u8>,
    /// The head whose body is on its way, and how much of it is missing.
    body: Option<(Head, usize)>,
}

/// What reading has brought.
pub(crate) enum Progress {
    Waiting,
    Answered(Head),
    Broken(String),
}

impl Connection {
    pub(crate) const fn new(stream: TcpStream) -> Self {
        Self {
            stream,
            sent: None,
            part: Vec::new(),
            body: None,
        }
    }

    pub(crate) fn send(&mut self, request: &[u8], now: Instant) -> Result<(), String> {
        self.sent = Some(now);
        // A request is much smaller than the socket's buffer, which is empty between requests.
        match self.stream.write(request) {
            Ok(written) if written == request.len() => Ok(()),
            Ok(written) => Err(format!("only {written} bytes could be sent")),
            Err(error) => Err(format!("cannot send: {error}")),
        }
    }

    /// Reads what is there: the system tells only of what comes later.
    pub(crate) fn read(&mut self, buffer: &mut [u8]) -> Progress {
        let mut progress = Progress::Waiting;
        loop {
            match self.stream.read(buffer) {
                Ok(0) => return Progress::Broken("the server has closed a connection".to_owned()),
                Ok(read) => {
                    if let Some(next) = self.take(&buffer[..read]) {
                        progress = next;
                    }
                    if read < buffer.len() {
                        return progress;
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return progress,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Progress::Broken(format!("cannot read: {error}")),
            }
        }
    }

    fn take(&mut self, bytes: &[u8]) -> Option<Progress> {
        let (head, missing, arrived) = if let Some((head, missing)) = self.body.take() {
            (head, missing, bytes.len())
        } else if self.part.is_empty() {
            let Some(head) = parse(bytes) else {
                self.part.extend_from_slice(bytes);
                return None;
            };
            (head, head.body, bytes.len() - head.size)
        } else {
            self.part.extend_from_slice(bytes);
            let head = parse(&self.part)?;
            let arrived = self.part.len() - head.size;
            self.part.clear();
            (head, head.body, arrived)
        };
        match missing.checked_sub(arrived) {
            Some(0) => Some(Progress::Answered(head)),
            Some(missing) => {
                self.body = Some((head, missing));
                None
            }
            None => Some(Progress::Broken("more came than was asked for".to_owned())),
        }
    }
}
