use super::frames::{Frames, Step};

/// What a server answers.
#[derive(Debug)]
pub(super) struct Replies {
    frames: Frames,
    /// The next byte answers a request for encryption.
    pub(super) was_asked: bool,
    /// The batches that were answered to their end.
    answered: u64,
    foreign: bool,
}

/// What is left of a chunk of replies.
#[derive(Debug, Default, Eq, PartialEq)]
pub(crate) struct Left {
    /// What the client shall see.
    pub(crate) passed: Vec<u8>,
    /// The last byte of the batch that is to be swallowed was among the rest.
    pub(crate) swallowed: bool,
}

impl Default for Replies {
    fn default() -> Self {
        Self {
            frames: Frames::new(true, 0),
            was_asked: false,
            answered: 0,
            foreign: false,
        }
    }
}

impl Replies {
    pub(super) const fn give_up(&mut self) {
        self.foreign = true;
    }

    /// Takes what belongs to batch `unwanted`, and to any after it, out of a chunk.
    pub(super) fn filter(&mut self, bytes: &[u8], unwanted: Option<u64>) -> Left {
        let mut left = Left::default();
        let mut rest = bytes;
        while !rest.is_empty() {
            if self.foreign {
                left.passed.extend_from_slice(rest);
                break;
            }
            if self.was_asked && self.answer(&mut rest, &mut left) {
                continue;
            }
            let (begun, batch) = (rest, self.answered + 1);
            let is_unwanted = unwanted.is_some_and(|unwanted| batch >= unwanted);
            let step = self.frames.take(&mut rest);
            if !is_unwanted {
                let taken = begun.len() - rest.len();
                left.passed.extend_from_slice(&begun[..taken]);
            }
            match step {
                Step::Whole(message) if message.kind == b'Z' => {
                    self.answered = batch;
                    if is_unwanted {
                        left.swallowed = true;
                        break;
                    }
                }
                Step::Broken => self.give_up(),
                Step::Whole(_) | Step::More => {}
            }
        }
        left
    }

    /// Passes the byte that answers a request for encryption; not so an error message.
    fn answer(&mut self, rest: &mut &[u8], left: &mut Left) -> bool {
        self.was_asked = false;
        match rest.split_first() {
            Some((answer, after)) if *answer != b'E' => {
                // From `S` or `G` on, everything is encrypted.
                self.foreign = *answer != b'N';
                left.passed.push(*answer);
                *rest = after;
                true
            }
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DONE: &[u8] = b"C\0\0\0\x0bCOMMIT\0";
    const READY: &[u8] = b"Z\0\0\0\x05I";

    #[test]
    fn only_the_unwanted_batch_is_taken_out() {
        let stream = [READY, DONE, READY, DONE, READY].concat();
        for length in 1..=stream.len() {
            let mut replies = Replies::default();
            let mut passed = Vec::new();
            let mut swallowed = 0;
            for chunk in stream.chunks(length) {
                let left = replies.filter(chunk, Some(3));
                passed.extend(left.passed);
                swallowed += usize::from(left.swallowed);
            }
            assert_eq!((passed, swallowed), ([READY, DONE, READY].concat(), 1));
        }
    }

    #[test]
    fn an_answer_without_a_frame_passes() {
        let mut replies = Replies {
            was_asked: true,
            ..Replies::default()
        };
        assert_eq!(replies.filter(b"N", None).passed, b"N");
        assert_eq!(replies.filter(READY, Some(1)).passed, b"");
        replies.was_asked = true;
        assert_eq!(replies.filter(b"S", None).passed, b"S");
        assert_eq!(
            replies.filter(b"\x16\x03\x01", Some(1)).passed,
            b"\x16\x03\x01"
        );
    }
}
