/// No message is longer: Postgres itself allows no more than a gigabyte.
const LONGEST: usize = 1 << 30;

/// Cuts a stream into messages, and keeps the head of each.
#[derive(Debug)]
pub(super) struct Frames {
    /// The first message of a client has no type.
    typed: bool,
    /// How much of a message is kept; what is longer is read over.
    keep: usize,
    header: Vec<u8>,
    head: Vec<u8>,
    missing: usize,
}

/// A whole message.
#[derive(Debug, Eq, PartialEq)]
pub(super) struct Message {
    /// 0 for a message without one.
    pub(super) kind: u8,
    pub(super) head: Vec<u8>,
    /// The head is not all of it.
    pub(super) is_cut: bool,
}

#[derive(Debug, Eq, PartialEq)]
pub(super) enum Step {
    /// All bytes were taken, and the message is not whole.
    More,
    Whole(Message),
    /// This is not Postgres' protocol.
    Broken,
}

impl Frames {
    pub(super) const fn new(typed: bool, keep: usize) -> Self {
        Self {
            typed,
            keep,
            header: Vec::new(),
            head: Vec::new(),
            missing: 0,
        }
    }

    /// Takes bytes up to the end of a message.
    pub(super) fn take(&mut self, bytes: &mut &[u8]) -> Step {
        let header_length = if self.typed { 5 } else { 4 };
        if self.header.len() < header_length {
            let wanted = header_length - self.header.len();
            self.header.extend_from_slice(split(bytes, wanted));
            if self.header.len() < header_length {
                return Step::More;
            }
            match payload(&self.header) {
                Some(length) => self.missing = length,
                None => return Step::Broken,
            }
        }
        let part = split(bytes, self.missing);
        self.missing -= part.len();
        let room = self.keep.saturating_sub(self.head.len());
        self.head.extend_from_slice(&part[..part.len().min(room)]);
        if self.missing > 0 {
            return Step::More;
        }
        let length = payload(&self.header).unwrap_or_default();
        let head = std::mem::take(&mut self.head);
        let message = Message {
            kind: if self.typed { self.header[0] } else { 0 },
            is_cut: head.len() < length,
            head,
        };
        self.header.clear();
        Step::Whole(message)
    }
}

/// Takes up to `length` bytes off the front.
fn split<'a>(bytes: &mut &'a [u8], length: usize) -> &'a [u8] {
    let (taken, rest) = bytes.split_at(length.min(bytes.len()));
    *bytes = rest;
    taken
}

/// Reads the length at the end of a header, which counts itself.
fn payload(header: &[u8]) -> Option<usize> {
    let bytes = header.last_chunk::<4>()?;
    let length = usize::try_from(u32::from_be_bytes(*bytes)).ok()?;
    (length <= LONGEST).then(|| length.checked_sub(4)).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(kind: u8, head: &[u8]) -> Step {
        Step::Whole(Message {
            kind,
            head: head.to_vec(),
            is_cut: false,
        })
    }

    #[test]
    fn messages_are_found_however_the_stream_is_cut() {
        let stream = b"Q\0\0\0\x0aSELECTX\0\0\0\x04";
        for length in 1..=stream.len() {
            let mut frames = Frames::new(true, 100);
            let mut found = Vec::new();
            for mut chunk in stream.chunks(length) {
                while !chunk.is_empty() {
                    let step = frames.take(&mut chunk);
                    if step != Step::More {
                        found.push(step);
                    }
                }
            }
            assert_eq!(found, [message(b'Q', b"SELECT"), message(b'X', b"")]);
        }
    }

    #[test]
    fn a_long_message_is_cut_and_a_senseless_one_is_refused() {
        let mut frames = Frames::new(true, 2);
        let Step::Whole(message) = frames.take(&mut &b"Q\0\0\0\x07abc"[..]) else {
            panic!("the message is whole")
        };
        assert_eq!((&message.head[..], message.is_cut), (&b"ab"[..], true));
        for header in [&b"Q\0\0\0\x03"[..], b"Qello"] {
            assert_eq!(Frames::new(true, 2).take(&mut &*header), Step::Broken);
        }
    }
}
