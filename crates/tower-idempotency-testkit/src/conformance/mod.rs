//! The cases of the suite, by topic.
//!
//! Each is an ordinary function of a [`Harness`](crate::Harness) that panics if the store breaks
//! the contract. [`store_conformance!`](crate::store_conformance) makes a test of each.

#![expect(
    clippy::missing_panics_doc,
    reason = "a case says that a store is wrong by panicking, and only so"
)]

pub mod attempts;
pub mod claim;
pub mod complete;
pub mod concurrency;
pub mod ended;
pub mod expiry;
pub mod hammer;
pub mod lookup;
pub mod lost_acknowledgement;
pub mod release;
pub mod renew;
pub mod replay;
pub mod resolve;
pub mod steps;
mod support;
pub mod sweep;
pub mod takeover;

/// Makes one test of each case of the conformance suite.
///
/// It takes the path of an `async fn() -> impl Harness`; see the [crate docs](crate).
#[macro_export]
macro_rules! store_conformance {
    ($harness:path) => {
        $crate::conformance_cases! { [$crate::__store_conformance] $harness; }
    };
}

/// Hands the list of all cases to another macro, as `topic: case;` for each of them.
///
/// Each stands for the function `tower_idempotency_testkit::conformance::topic::case`.
/// A store needs [`store_conformance!`](crate::store_conformance) only;
/// this is for tests that do something else with every case.
///
/// # Example
///
/// ```
/// macro_rules! names {
///     ($($topic:ident: $case:ident;)*) => { [$(stringify!($case)),*] };
/// }
///
/// let names = tower_idempotency_testkit::conformance_cases! { [names] };
/// assert!(names.contains(&"a_fresh_key_is_acquired"));
/// ```
#[macro_export]
macro_rules! conformance_cases {
    ([$($callback:tt)+] $($before:tt)*) => {
        $($callback)+! {
            $($before)*
            claim: a_fresh_key_is_acquired;
            claim: a_duplicate_is_in_progress;
            claim: a_lease_has_the_length_that_was_asked_for;
            claim: the_longest_lease_is_no_shorter;
            claim: every_part_of_the_scope_keeps_keys_apart;
            claim: another_request_is_a_mismatch_while_the_first_runs;
            claim: another_request_is_a_mismatch_after_completion;
            claim: a_mismatch_changes_nothing;
            claim: a_refused_duplicate_changes_nothing;
            claim: a_switched_off_fingerprint_matches_everything;
            claim: fingerprints_of_two_algorithms_are_not_compared;
            claim: unusual_keys_and_scopes_are_kept_apart;
            complete: a_completed_key_is_replayed;
            complete: completing_is_fenced_by_the_token;
            complete: a_completed_record_cannot_be_changed_by_another;
            complete: a_late_completion_counts_if_nobody_took_over;
            complete: a_completion_after_expiry_is_stale;
            complete: a_completed_key_cannot_be_renewed_or_released;
            complete: a_failed_key_cannot_be_completed_or_renewed;
            release: a_failed_key_is_claimed_again;
            release: a_failed_key_takes_another_request;
            release: a_failure_is_kept_for_inspection;
            release: a_failure_may_say_anything;
            release: a_freed_key_is_absent;
            release: a_freed_key_cannot_be_completed_or_renewed;
            release: releasing_is_fenced_by_the_token;
            release: whoever_freed_a_key_cannot_touch_the_next_execution;
            release: whoever_failed_cannot_touch_the_next_execution;
            release: a_late_release_counts_if_nobody_took_over;
            renew: a_renewed_lease_lasts_its_whole_length_again;
            renew: renewing_changes_nothing_but_the_lease;
            renew: renewing_is_fenced_by_the_token;
            renew: a_dead_lease_that_nobody_took_is_revived;
            renew: a_held_lease_is_revived;
            renew: an_expired_execution_has_lost_its_key;
            takeover: a_dead_lease_is_taken_over;
            takeover: a_mismatch_takes_nothing_over;
            takeover: a_held_key_waits_for_an_operator;
            takeover: a_held_key_is_completed_by_its_late_owner;
            takeover: the_later_claim_decides_about_a_dead_lease;
            takeover: a_held_key_is_freed_by_a_takeover;
            takeover: attempts_are_counted_over_takeovers_and_failures;
            takeover: a_takeover_leaves_the_age_of_the_record;
            takeover: whoever_lost_the_key_changes_nothing;
            expiry: a_completed_key_is_absent_after_its_retention;
            expiry: a_key_begun_anew_has_a_new_age;
            expiry: whoever_expired_cannot_touch_the_next_execution;
            expiry: retention_counts_from_the_end;
            expiry: replays_do_not_prolong_the_retention;
            expiry: a_record_kept_for_ever_does_not_expire;
            expiry: a_replay_tells_how_long_its_record_lives;
            expiry: a_replay_kept_for_ever_has_no_end;
            expiry: a_replay_has_always_some_time_left;
            expiry: the_longest_retention_does_not_overflow;
            expiry: a_failed_key_is_absent_after_its_retention;
            expiry: an_abandoned_key_is_absent_after_the_failed_retention;
            expiry: a_claim_chooses_its_failed_retention;
            expiry: a_response_can_have_a_retention_of_its_own;
            replay: status_headers_and_body_come_back_byte_for_byte;
            replay: an_empty_body_is_not_a_tombstone;
            replay: a_tombstone_has_no_body;
            replay: a_large_body_comes_back;
            replay: a_damaged_record_is_unreadable_and_never_acquired;
            replay: a_damaged_record_expires;
            lookup: an_absent_key_is_none;
            lookup: a_record_tells_its_life;
            lookup: a_record_tells_when_it_expires;
            lookup: unusual_keys_and_scopes_are_shown_as_they_are;
            lookup: a_list_has_pages_and_states;
            lookup: a_list_shows_what_a_lookup_shows;
            lookup: a_page_can_begin_behind_an_absent_record;
            lookup: a_list_may_be_asked_for_everything;
            lookup: expired_records_are_not_listed;
            lost_acknowledgement: a_claim_recognises_its_own_record;
            lost_acknowledgement: a_claim_recognises_its_own_takeover;
            lost_acknowledgement: a_claim_recognises_its_own_replacement;
            lost_acknowledgement: a_claim_recognises_its_own_dead_lease;
            lost_acknowledgement: a_claim_that_was_taken_over_is_in_progress;
            lost_acknowledgement: completing_again_changes_nothing;
            lost_acknowledgement: failing_again_changes_nothing;
            lost_acknowledgement: freeing_again_changes_nothing;
            lost_acknowledgement: a_completed_claim_tried_again_is_completed;
            sweep: only_expired_records_are_deleted;
            sweep: a_retention_that_became_longer_counts;
            sweep: a_dead_lease_is_not_deleted;
            sweep: a_sweep_is_bounded_and_says_that_more_is_waiting;
            sweep: a_sweep_may_be_asked_to_delete_everything;
            sweep: abandoned_and_failed_records_are_deleted;
            sweep: an_empty_store_is_swept;
            sweep: sweeps_at_once_do_no_harm;
            concurrency: one_of_many_claims_wins;
            concurrency: one_of_many_takes_a_dead_lease_over;
            concurrency: one_of_many_claims_an_expired_key;
            concurrency: one_of_many_claims_a_failed_key;
            concurrency: distinct_keys_do_not_hinder_each_other;
            concurrency: one_token_claims_once_however_often_it_asks;
            concurrency: a_completion_and_a_takeover_have_one_winner;
            concurrency: a_renewal_and_a_takeover_have_one_winner;
            concurrency: a_release_and_a_claim_do_not_mix;
            concurrency: a_sweep_spares_a_key_that_is_begun_anew;
            concurrency: sweeping_disturbs_nobody;
            concurrency: dropped_claims_leave_the_key_usable;
            attempts: the_last_failure_exhausts_a_key;
            attempts: the_last_dead_lease_is_not_taken_over;
            attempts: a_higher_bound_goes_on;
            attempts: a_freed_key_has_all_its_attempts;
            resolve: a_held_key_is_answered;
            resolve: a_held_key_is_freed;
            resolve: a_failed_key_is_answered;
            resolve: a_live_lease_is_not_resolved;
            resolve: a_completed_key_is_not_resolved;
            resolve: an_absent_key_is_not_resolved;
            steps: an_execution_finds_its_own_steps;
            steps: a_takeover_finds_the_steps;
            steps: a_failed_execution_leaves_its_steps;
            steps: another_request_finds_no_steps;
            steps: a_key_begun_anew_has_no_steps;
            steps: an_execution_knows_where_it_stands;
            ended: ended_executions_are_told_apart;
            ended: many_keys_are_asked_about_at_once;
            hammer: many_workers_never_own_one_key_at_once;
        }
    };
}

/// Makes one test of each case that holds for a store whose execution is a transaction too.
///
/// Such a store has no record of an execution that runs, and no lease: what the other cases say of
/// those does not apply to it. A harness needs a pool of at least 16 connections.
/// It takes the path of an `async fn() -> impl Harness`; see the [crate docs](crate).
#[macro_export]
macro_rules! transactional_conformance {
    ($harness:path) => {
        $crate::__store_conformance! {
            $harness;
            claim: a_fresh_key_is_acquired;
            claim: a_duplicate_is_in_progress;
            claim: every_part_of_the_scope_keeps_keys_apart;
            claim: another_request_is_a_mismatch_after_completion;
            claim: a_switched_off_fingerprint_matches_everything;
            claim: fingerprints_of_two_algorithms_are_not_compared;
            claim: unusual_keys_and_scopes_are_kept_apart;
            complete: a_completed_key_is_replayed;
            complete: a_late_completion_counts_if_nobody_took_over;
            complete: a_completed_key_cannot_be_renewed_or_released;
            release: a_failed_key_is_claimed_again;
            release: a_failure_may_say_anything;
            release: a_freed_key_is_absent;
            release: a_late_release_counts_if_nobody_took_over;
            expiry: retention_counts_from_the_end;
            expiry: replays_do_not_prolong_the_retention;
            expiry: a_record_kept_for_ever_does_not_expire;
            expiry: a_replay_tells_how_long_its_record_lives;
            expiry: a_replay_kept_for_ever_has_no_end;
            expiry: a_replay_has_always_some_time_left;
            expiry: a_failed_key_is_absent_after_its_retention;
            expiry: a_response_can_have_a_retention_of_its_own;
            replay: status_headers_and_body_come_back_byte_for_byte;
            replay: an_empty_body_is_not_a_tombstone;
            replay: a_tombstone_has_no_body;
            replay: a_large_body_comes_back;
            replay: a_damaged_record_is_unreadable_and_never_acquired;
            replay: a_damaged_record_expires;
            lookup: an_absent_key_is_none;
            lookup: unusual_keys_and_scopes_are_shown_as_they_are;
            lookup: a_page_can_begin_behind_an_absent_record;
            lookup: a_list_may_be_asked_for_everything;
            lookup: expired_records_are_not_listed;
            lost_acknowledgement: completing_again_changes_nothing;
            lost_acknowledgement: failing_again_changes_nothing;
            lost_acknowledgement: a_completed_claim_tried_again_is_completed;
            sweep: a_retention_that_became_longer_counts;
            sweep: a_sweep_is_bounded_and_says_that_more_is_waiting;
            sweep: a_sweep_may_be_asked_to_delete_everything;
            sweep: an_empty_store_is_swept;
            sweep: sweeps_at_once_do_no_harm;
            concurrency: one_of_many_claims_wins;
            concurrency: one_of_many_claims_an_expired_key;
            concurrency: one_of_many_claims_a_failed_key;
            concurrency: a_sweep_spares_a_key_that_is_begun_anew;
            concurrency: sweeping_disturbs_nobody;
            attempts: the_last_failure_exhausts_a_key;
            attempts: a_higher_bound_goes_on;
            attempts: a_freed_key_has_all_its_attempts;
            resolve: a_failed_key_is_answered;
            resolve: a_completed_key_is_not_resolved;
            steps: an_execution_finds_its_own_steps;
            steps: a_failed_execution_leaves_its_steps;
            steps: another_request_finds_no_steps;
            steps: a_key_begun_anew_has_no_steps;
            ended: many_keys_are_asked_about_at_once;
            hammer: many_workers_never_own_one_key_at_once;
        }
    };
}

/// Makes the tests; not for direct use.
#[doc(hidden)]
#[macro_export]
macro_rules! __store_conformance {
    ($harness:path; $($topic:ident: $case:ident;)*) => {
        $(
            #[test]
            fn $case() {
                $crate::run(async {
                    let harness = ::std::sync::Arc::new($harness().await);
                    $crate::conformance::$topic::$case(&harness).await;
                });
            }
        )*
    };
}
