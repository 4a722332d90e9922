//! An operation that outlives its process.

use std::num::NonZeroU32;

use fault_proxy::Fault;
use tower_idempotency_client::{AnswerExt, Operation, SendErrorKind};

use crate::support::{Payments, failure, quick};

#[tokio::test]
async fn an_operation_goes_on_after_a_restart() {
    let payments = Payments::start(0, |proxy| proxy.set(Fault::CutAfter(0))).await;
    let stored = {
        let operation = Operation::new();
        let stored = serde_json::to_string(&operation).unwrap();
        let client = payments.client(quick().max_tries(NonZeroU32::MIN));
        let sent = payments.pay(&client, &operation).send().await;
        assert_eq!(failure(&sent), (SendErrorKind::OutcomeUnknown, 1));
        stored
    };
    payments.proxy.get().unwrap().clear();

    let operation: Operation = serde_json::from_str(&stored).unwrap();
    assert!(operation.is_in_doubt());
    let client = payments.client(quick());
    let answer = payments.pay(&client, &operation).send().await.unwrap();
    assert!(answer.is_replay());
    assert!(!operation.is_in_doubt());
    assert_eq!(payments.runs(), 1);
}
