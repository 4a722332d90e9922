//! The protocol without one of its guards: the checker has to find what goes wrong.
//!
//! The same bounds are searched to their end in `holds`, with all guards and no discovery.

use protocol_model::{Bounds, Guard, Mode, Protocol, properties};

use crate::search::breaks;

#[test]
fn completion_without_fence_lets_a_stale_worker_store() {
    let protocol = Protocol::new(Mode::Leased, Bounds::DEEP).without(Guard::FenceOnComplete);
    let broken = [properties::STALE_CHANGES_NOTHING, properties::STALE_IS_TOLD];
    breaks(protocol, &broken);
}

#[test]
fn renewal_without_fence_gives_a_stale_worker_a_lease() {
    let protocol = Protocol::new(Mode::Leased, Bounds::DEEP).without(Guard::FenceOnRenew);
    let broken = [
        properties::STALE_CHANGES_NOTHING,
        properties::STALE_IS_TOLD,
        properties::ONE_LIVE_LEASE,
    ];
    breaks(protocol, &broken);
}

#[test]
fn release_without_fence_frees_the_key_of_another_worker() {
    let protocol = Protocol::new(Mode::Leased, Bounds::DEEP).without(Guard::FenceOnRelease);
    let broken = [
        properties::STALE_CHANGES_NOTHING,
        properties::STALE_IS_TOLD,
        properties::ONE_LIVE_LEASE,
        properties::WAITING_IS_NOT_FREED,
    ];
    breaks(protocol, &broken);
}

/// The layer releases after a commit of which it does not know whether it happened.
#[test]
fn release_in_any_state_frees_a_committed_key() {
    let protocol =
        Protocol::new(Mode::Fenced, Bounds::DEEP).without(Guard::ReleaseOfInProgressOnly);
    let broken = [
        properties::EFFECT_AND_RECORD,
        properties::COMPLETED_IS_NOT_FREED,
    ];
    breaks(protocol, &broken);
}

#[test]
fn claim_that_does_not_know_its_own_token_waits_for_itself() {
    let protocol = Protocol::new(Mode::Leased, Bounds::DEEP).without(Guard::RecognitionOfOwnToken);
    breaks(protocol, &[properties::NO_CLAIM_WAITS_FOR_ITSELF]);
}

/// The fingerprint was compared with a record that is no longer there.
#[test]
fn takeover_of_any_token_ignores_the_fingerprint() {
    let protocol = Protocol::new(Mode::Leased, Bounds::MISUSE).without(Guard::TokenSeenInTakeover);
    breaks(protocol, &[properties::ANOTHER_REQUEST_IS_REFUSED]);
}

/// The token is the same after a renewal, and after a completion.
#[test]
fn takeover_that_does_not_look_at_the_time_again_takes_live_and_completed_keys() {
    let protocol = Protocol::new(Mode::Leased, Bounds::DEEP).without(Guard::TimeOverInTakeover);
    let broken = [
        properties::ONE_LIVE_LEASE,
        properties::COMPLETED_IS_NOT_FREED,
    ];
    breaks(protocol, &broken);
}

#[test]
fn commit_without_a_check_in_the_transaction_lets_two_effects_in() {
    let protocol = Protocol::new(Mode::Fenced, Bounds::DEEP).without(Guard::CheckInTransaction);
    let broken = [properties::EFFECT_AND_RECORD, properties::STALE_IS_TOLD];
    breaks(protocol, &broken);
}

#[test]
fn look_up_before_the_lock_lets_two_effects_in() {
    let protocol =
        Protocol::new(Mode::Transactional, Bounds::TRANSACTIONAL).without(Guard::LookupUnderLock);
    let broken = [
        properties::EFFECT_AND_RECORD,
        properties::FIRST_RESPONSE_STAYS,
        properties::COMPLETED_IS_NOT_FREED,
    ];
    breaks(protocol, &broken);
}

#[test]
fn lock_that_outlives_its_owner_is_stuck() {
    for (mode, bounds) in [
        (Mode::Fenced, Bounds::DEEP),
        (Mode::Transactional, Bounds::TRANSACTIONAL),
    ] {
        let protocol = Protocol::new(mode, bounds).without(Guard::LockDiesWithOwner);
        breaks(protocol, &[properties::NO_KEY_IS_STUCK]);
    }
}

#[test]
fn lease_that_does_not_run_out_is_stuck() {
    let protocol = Protocol::new(Mode::Leased, Bounds::DEEP).without(Guard::LeaseRunsOut);
    breaks(protocol, &[properties::NO_KEY_IS_STUCK]);
}

/// A late claim has brought the token back that was judged, with another request.
#[test]
fn takeover_for_another_reason_than_was_judged_ignores_the_fingerprint() {
    for mode in [Mode::Leased, Mode::Fenced] {
        let protocol = Protocol::new(mode, Bounds::MISUSE).without(Guard::ReasonSeenInTakeover);
        breaks(protocol, &[properties::ANOTHER_REQUEST_IS_REFUSED]);
    }
}
