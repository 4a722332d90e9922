//! The protocol as it is: every state within the bounds is visited, and every property holds.

use protocol_model::{Bounds, Mode, Protocol};

use crate::search::holds;

#[test]
fn leased_execution_holds_for_two_keys() {
    holds(Protocol::new(Mode::Leased, Bounds::MAIN));
}

#[test]
fn leased_execution_holds_under_more_faults() {
    holds(Protocol::new(Mode::Leased, Bounds::DEEP));
}

#[test]
fn leased_execution_holds_for_a_key_with_two_requests() {
    holds(Protocol::new(Mode::Leased, Bounds::MISUSE));
}

#[test]
fn fenced_commit_holds_for_two_keys() {
    holds(Protocol::new(Mode::Fenced, Bounds::MAIN));
}

#[test]
fn fenced_commit_holds_under_more_faults() {
    holds(Protocol::new(Mode::Fenced, Bounds::DEEP));
}

#[test]
fn fenced_commit_holds_for_a_key_with_two_requests() {
    holds(Protocol::new(Mode::Fenced, Bounds::MISUSE));
}

#[test]
fn transactional_mode_holds() {
    holds(Protocol::new(Mode::Transactional, Bounds::TRANSACTIONAL));
}
