//! Servers that are killed, paused and cut off, and a judge of what became of their keys.
//!
//! The program `chaos` starts several processes of `chaos-server`, sends them requests as real
//! clients do, and breaks everything it can reach meanwhile.
//! All of them write down what they see. This library is what they share:
//! the words of the [history](History), and the [`checker`] that judges it.
//!
//! The judge errs on one side only: whatever could have happened in an order that is right,
//! as far as the clocks of the events can tell, is taken for right.

pub mod checker;
mod event;
mod gather;
mod history;
mod instructions;
mod journal;
mod mode;
mod moment;
mod story;
#[cfg(test)]
mod testing;

pub use crate::{
    event::{CallResult, Event, RunEnd, Seen, Verb},
    gather::{Gathered, gather},
    history::{
        Answer, Call, Content, EffectRow, Fault, FaultKind, History, Kept, Life, Probe, Request,
        Run, ServerId, Timeline, Whom,
    },
    instructions::{FailureKind, Instructions},
    journal::{Journal, read_journal},
    mode::{Mode, Sabotage, StoreKind},
    moment::Moment,
    story::tell,
};

/// What every key begins with, so that one that leaked into a log can be found.
pub const KEY_MARK: &str = "chaoskey-";

/// What every request's body holds, so that one that leaked into a log can be found.
pub const BODY_MARK: &str = "chaosbody-";

/// The header in which a handler says which execution it is.
pub const EXECUTION_HEADER: &str = "x-chaos-execution";
