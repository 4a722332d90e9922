use super::{
    replies::{Left, Replies},
    requests::{Event, Requests},
};

/// One client's session: its statements, and which reply it shall not see.
#[derive(Debug, Default)]
pub(crate) struct Session {
    requests: Requests,
    replies: Replies,
    /// The batch that is to be swallowed.
    unwanted: Option<u64>,
}

impl Session {
    /// Reads along what goes to the server; `is_trapped` is asked about each statement that runs.
    pub(crate) fn read_requests(&mut self, bytes: &[u8], mut is_trapped: impl FnMut(&str) -> bool) {
        for event in self.requests.read(bytes) {
            match event {
                Event::Asked => self.replies.was_asked = true,
                Event::Foreign => self.replies.give_up(),
                // A trap is not used up by a session that is lost already.
                Event::Runs { text, batch } => {
                    if self.unwanted.is_none() && is_trapped(&text) {
                        self.unwanted = Some(batch);
                    }
                }
            }
        }
    }

    /// Returns what the client shall see of what the server says.
    pub(crate) fn filter_replies(&mut self, bytes: &[u8]) -> Left {
        self.replies.filter(bytes, self.unwanted)
    }
}
