//! What a worker makes of an answer, and of none.

use crate::{
    Guard, Mode, Protocol,
    state::{Phase, Release, Verb},
    store::Answer,
};

impl Protocol {
    /// Says where a worker goes after an answer; `None`: its client has got one, too.
    pub(super) fn after_answer(&self, phase: Phase, verb: Verb, answer: Answer) -> Option<Phase> {
        match answer {
            Answer::Acquired => Some(Phase::Running),
            Answer::MayTakeOver(seen) => Some(Phase::TakingOver(seen)),
            Answer::Missed => Some(Phase::Claiming),
            Answer::InProgress | Answer::Replay(_) | Answer::Mismatch | Answer::Committed => None,
            Answer::Locked if self.has(Guard::LookupUnderLock) => Some(Phase::LookingUp),
            Answer::Absent if !self.has(Guard::LookupUnderLock) => Some(Phase::Locking),
            Answer::Locked | Answer::Absent => Some(Phase::Running),
            Answer::Gone => self.after_failed_transaction(),
            Answer::Applied | Answer::Stale => match verb {
                // An execution that lost its lease goes on: its effects cannot be undone.
                Verb::Renew => Some(phase),
                Verb::CompleteIn if answer == Answer::Applied => Some(Phase::Committing),
                Verb::CompleteIn => self.after_failed_transaction(),
                _ => None,
            },
        }
    }

    /// Says where a worker goes when it does not know what became of its statement.
    pub(super) fn after_silence(&self, phase: Phase, verb: Verb) -> Option<Phase> {
        match verb {
            Verb::Claim | Verb::TakeOver(_) => Some(Phase::Claiming),
            Verb::Renew | Verb::Complete | Verb::Release(_) => Some(phase),
            Verb::CompleteIn | Verb::Commit => self.after_failed_transaction(),
            Verb::Lock | Verb::LookUp => None,
        }
    }

    /// The handler sees an error where it had to commit, and answers with a failure:
    /// the worst that the layer can be told, since the commit may have happened.
    fn after_failed_transaction(&self) -> Option<Phase> {
        (self.mode == Mode::Fenced).then_some(Phase::Releasing(Release::Failed))
    }
}
