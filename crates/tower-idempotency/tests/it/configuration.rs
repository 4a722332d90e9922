//! Settings that cannot work are refused by name, and nothing panics.

use std::time::Duration;

use tower_idempotency::{
    ConfigError, ConflictPolicy, IdempotencyLayer, IdempotencyLayerBuilder, KeySource, Principal,
    ResponseHeaders, Retention, SweepPolicy, WaitPolicy,
};
use tower_idempotency_memory::MemoryStore;

type Builder = IdempotencyLayerBuilder<MemoryStore>;

fn refused(change: impl FnOnce(Builder) -> Builder) -> ConfigError {
    let builder = IdempotencyLayer::builder(MemoryStore::new(), Principal::public());
    change(builder).build().unwrap_err()
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table has a line for each row")]
fn a_value_that_cannot_work_is_named() {
    let day = Duration::from_secs(24 * 60 * 60);
    let cases: Vec<(ConfigError, &str, &str)> = vec![
        (refused(|b| b.lease(Duration::ZERO)), "lease", "0ns"),
        (refused(|b| b.lease(day * 2)), "lease", "172800s"),
        (
            refused(|b| b.retention(Retention::For(Duration::ZERO))),
            "retention",
            "For(0ns)",
        ),
        (
            refused(|b| b.failed_retention(Retention::For(Duration::ZERO))),
            "failed_retention",
            "For(0ns)",
        ),
        (refused(|b| b.max_attempts(0)), "max_attempts", "0"),
        (
            refused(|b| b.retry_conflicts(ConflictPolicy::retries(101))),
            "retry_conflicts.retries",
            "101",
        ),
        (refused(|b| b.key_sources([])), "key_sources", "[]"),
        (
            refused(|b| b.key_sources([KeySource::header("")])),
            "key source header",
            "\"\"",
        ),
        (
            refused(|b| b.key_sources([KeySource::json_pointer("id")])),
            "key source JSON pointer",
            "\"id\"",
        ),
        (
            refused(|b| b.key_sources([KeySource::form_field("")])),
            "key source field",
            "\"\"",
        ),
        (
            refused(|b| b.response_headers(ResponseHeaders::named("a b"))),
            "response header",
            "\"a b\"",
        ),
        (
            refused(|b| b.max_response_bytes(usize::MAX)),
            "max_response_bytes",
            "18446744073709551615",
        ),
        (
            refused(|b| b.docs_url("/relative")),
            "docs_url",
            "\"/relative\"",
        ),
        (
            refused(|b| b.wait(WaitPolicy::at_most(Duration::ZERO))),
            "wait.at_most",
            "0ns",
        ),
        (
            refused(|b| b.sweep(SweepPolicy::every(Duration::ZERO))),
            "sweep.every",
            "0ns",
        ),
    ];
    for (error, setting, value) in cases {
        assert_eq!(
            (error.setting(), error.value()),
            (setting, value),
            "{error}"
        );
        assert!(error.to_string().contains(setting));
    }
}

#[test]
fn a_principal_without_a_header_name_is_refused() {
    let error = IdempotencyLayer::new(MemoryStore::new(), Principal::header("")).unwrap_err();
    assert_eq!(error.setting(), "principal header");
}

#[test]
fn a_store_that_holds_less_than_the_cap_is_refused() {
    let small = MemoryStore::builder().max_bytes(1_000).build().unwrap();
    let error = IdempotencyLayer::new(small, Principal::public()).unwrap_err();
    assert_eq!(error.setting(), "max_response_bytes");
}
