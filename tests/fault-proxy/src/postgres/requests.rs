use std::collections::HashMap;

use super::frames::{Frames, Message, Step};

/// Longer statements are never a COMMIT, and of their text this much is known.
const KEEP: usize = 256 * 1024;
/// Postgres accepts no longer first message.
const LONGEST_STARTUP: usize = 10_000;

const SSL_REQUEST: u32 = 80_877_103;
const GSS_REQUEST: u32 = 80_877_104;
const MAJOR_VERSION: u32 = 3;

type Name = Vec<u8>;

/// What a client says, and how many answers it may expect.
#[derive(Debug)]
pub(super) struct Requests {
    frames: Frames,
    stage: Stage,
    statements: HashMap<Name, String>,
    portals: HashMap<Name, Name>,
    /// The batches that are whole, each of which is answered with one `ReadyForQuery`.
    batches: u64,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Stage {
    Startup,
    Messages,
    /// Not Postgres, or encrypted: nothing can be known.
    Foreign,
}

/// What the other half of the session has to know.
#[derive(Debug, Eq, PartialEq)]
pub(super) enum Event {
    /// The client has asked for encryption; the answer is a single byte.
    Asked,
    /// A statement runs, in the batch of this number.
    Runs {
        text: String,
        batch: u64,
    },
    Foreign,
}

impl Default for Requests {
    fn default() -> Self {
        Self {
            frames: Frames::new(false, KEEP),
            stage: Stage::Startup,
            statements: HashMap::new(),
            portals: HashMap::new(),
            batches: 0,
        }
    }
}

impl Requests {
    pub(super) fn read(&mut self, mut bytes: &[u8]) -> Vec<Event> {
        let mut events = Vec::new();
        while !bytes.is_empty() && self.stage != Stage::Foreign {
            let event = match self.frames.take(&mut bytes) {
                Step::More => None,
                Step::Broken => Some(self.give_up()),
                Step::Whole(message) if self.stage == Stage::Startup => self.startup(&message),
                Step::Whole(message) => self.message(&message),
            };
            events.extend(event);
        }
        events
    }

    pub(super) const fn give_up(&mut self) -> Event {
        self.stage = Stage::Foreign;
        Event::Foreign
    }

    fn startup(&mut self, message: &Message) -> Option<Event> {
        let code = message
            .head
            .first_chunk()
            .map(|code| u32::from_be_bytes(*code));
        match code {
            Some(SSL_REQUEST | GSS_REQUEST) => Some(Event::Asked),
            Some(version)
                if version >> 16 == MAJOR_VERSION && message.head.len() <= LONGEST_STARTUP =>
            {
                self.stage = Stage::Messages;
                self.frames = Frames::new(true, KEEP);
                // The greeting ends as a batch does.
                self.batches = 1;
                None
            }
            _ => Some(self.give_up()),
        }
    }

    fn message(&mut self, message: &Message) -> Option<Event> {
        let mut head = &message.head[..];
        match message.kind {
            b'Q' => {
                self.batches += 1;
                let text = text(&mut head, message.is_cut);
                let batch = self.batches;
                return Some(Event::Runs { text, batch });
            }
            b'P' => {
                let name = string(&mut head).to_vec();
                let text = text(&mut head, message.is_cut);
                self.statements.insert(name, text);
            }
            b'B' => {
                let portal = string(&mut head).to_vec();
                let statement = string(&mut head).to_vec();
                self.portals.insert(portal, statement);
            }
            b'E' => {
                let statement = self.portals.get(string(&mut head));
                let text = statement.and_then(|statement| self.statements.get(statement));
                let text = text.cloned().unwrap_or_default();
                let batch = self.batches + 1;
                return Some(Event::Runs { text, batch });
            }
            b'C' => self.close(head),
            // Sync, and a function call of old.
            b'S' | b'F' => self.batches += 1,
            _ => {}
        }
        None
    }

    fn close(&mut self, head: &[u8]) {
        if let Some((kind, mut name)) = head.split_first() {
            let name = string(&mut name);
            if *kind == b'S' {
                self.statements.remove(name);
            } else {
                self.portals.remove(name);
            }
        }
    }
}

/// Takes a string up to its zero.
fn string<'a>(bytes: &mut &'a [u8]) -> &'a [u8] {
    let end = bytes.iter().position(|byte| *byte == 0);
    let (taken, rest) = bytes.split_at(end.unwrap_or(bytes.len()));
    *bytes = rest.get(1..).unwrap_or_default();
    taken
}

fn text(bytes: &mut &[u8], is_cut: bool) -> String {
    let mut text = String::from_utf8_lossy(string(bytes)).into_owned();
    if is_cut {
        // It does not end where it was cut, and so must not look like a COMMIT.
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(kind: u8, payload: &[u8]) -> Vec<u8> {
        let length = u32::try_from(payload.len() + 4).unwrap();
        let mut bytes = vec![kind];
        bytes.extend_from_slice(&length.to_be_bytes());
        bytes.extend_from_slice(payload);
        bytes
    }

    fn greeted() -> Requests {
        let mut requests = Requests::default();
        assert_eq!(requests.read(b"\0\0\0\x08\x04\xd2\x16\x2f"), [Event::Asked]);
        assert_eq!(requests.read(b"\0\0\0\x09\0\x03\0\0\0"), []);
        requests
    }

    fn runs(text: &str, batch: u64) -> Event {
        Event::Runs {
            text: text.to_owned(),
            batch,
        }
    }

    #[test]
    fn a_simple_query_is_a_batch() {
        let mut requests = greeted();
        let seen = requests.read(&message(b'Q', b"COMMIT\0"));
        assert_eq!(seen, [runs("COMMIT", 2)]);
        let seen = requests.read(&message(b'Q', b"SELECT 1\0"));
        assert_eq!(seen, [runs("SELECT 1", 3)]);
    }

    #[test]
    fn a_prepared_statement_is_known_when_it_runs() {
        let mut requests = greeted();
        let prepared = [
            message(b'P', b"s1\0COMMIT\0\0\0"),
            message(b'P', b"\0SELECT 1\0\0\0"),
            message(b'S', b""),
        ];
        assert_eq!(requests.read(&prepared.concat()), []);
        let run = [
            message(b'B', b"\0s1\0\0\0\0\0\0\0"),
            message(b'E', b"\0\0\0\0\0"),
            message(b'S', b""),
        ];
        assert_eq!(requests.read(&run.concat()), [runs("COMMIT", 3)]);
        let closed = [message(b'C', b"Ss1\0"), run.concat()];
        assert_eq!(requests.read(&closed.concat()), [runs("", 4)]);
    }

    #[test]
    fn what_is_not_postgres_is_left_alone() {
        for first in [
            &b"GET / HTTP/1.1\r\n"[..],
            b"\0\0\0\x08\0\x09\0\0",
            b"\0\0\0\x01",
        ] {
            let mut requests = Requests::default();
            assert_eq!(requests.read(first), [Event::Foreign]);
            assert_eq!(requests.read(&message(b'Q', b"COMMIT\0")), []);
        }
    }
}
