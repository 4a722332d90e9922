//! The claim protocol as a model that is checked exhaustively.
//!
//! [`Protocol`] is a [`stateright::Model`]: the store, the workers, and everything that can happen
//! to them in any order, within [`Bounds`]. The integration tests visit every state of it,
//! in each [`Mode`], and ask for each of the [`properties`].
//! Then they take one [`Guard`] away at a time, and the checker has to find what goes wrong;
//! so every property is known to be able to fail, and every guard to be needed.
//!
//! # What is in it
//!
//! Workers serve requests for keys. A request gets a fresh token; a retry by the client, also
//! after a crash, is another request with another token. A worker that has no answer sends
//! the same statement with the same token again.
//!
//! | in the model | in a store |
//! |---|---|
//! | `Claim` | the statement that reads the record and inserts only if there is none, and the judgement of what it read (`RawClaim::judge`) |
//! | `TakeOver` | the guarded `UPDATE` for a record that expired, failed or lost its lease, naming the token and which of the three was judged; a row that is held is skipped, and counts as in progress |
//! | `Renew` | the `UPDATE` of the lease; a row that is held is skipped, and then the record's owner is read |
//! | `Complete`, `Release` | the `UPDATE` or `DELETE` that compares the token; if it changed nothing, the state is read, since an earlier try may have done it (a key without a record is as a release without a trace has asked). They wait for a row that is held |
//! | `CompleteIn` | completion in the handler's transaction: the row is locked and the token compared there |
//! | `Lock`, `LookUp` | the transactional mode: the lock is tried in one statement, and the record looked up in the next, whose snapshot is younger than the lock |
//! | `Commit` | the COMMIT of effect and record, in the fenced and in the transactional mode |
//! | `LeaseEnds`, `Expires` | the store's clock passes the end of a lease or of a retention |
//! | `Sweep` | the sweeper's `DELETE`; a row that is held is skipped |
//! | `Abort` | the server ends a transaction: its connection broke, or it was idle for too long |
//!
//! Every statement that has no answer in time meets one of two [`Fate`]s: it was carried out and
//! the acknowledgement is lost, or it is late and carried out at any time afterwards, or never,
//! whatever the worker has done meanwhile. A worker that pauses is one that takes no step while
//! others do and time passes; a stale one takes its next step after all that.
//!
//! # What is left out, and why that hides nothing
//!
//! - **Sending, carrying out and answering are one step.** What a worker does with an answer
//!   is its own affair until it sends the next statement, so whatever happens between the store's
//!   step and the arrival of its answer could as well happen right after the arrival.
//!   For the same reason a request begins with its first statement.
//! - **A claim that lost the race of two inserts** runs its statement again; here it only runs
//!   when it sees what the winner made.
//! - **Times are not numbers.** A lease is live or dead, a record expired or not, and each ends at
//!   any moment: every length of lease, retention and pause is among them.
//!   Only that a lease ends before its abandoned record expires is taken for granted.
//! - **Tokens are numbers**, given out in turn; the protocol only asks whether two are equal.
//! - **Effects in a transaction** do not exist before the commit, so a handler that has not yet
//!   completed its key in there is like one that has not begun. What aborted is gone.
//! - **Bodies** are the token of the execution that made them. **Fingerprints** are equal or not.
//! - **Names.** States that differ only in the names of workers, keys and tokens are visited once
//!   ([`State::representative`]).
//! - **`CrashPolicy::Hold`, a limit on attempts, and what an operator resolves** are not in the
//!   model: they give a key out less often, and leave to a person what time does here.
//!
//! # What holds
//!
//! The guarantees that a store's statements decide, numbered as the [`properties`] are; exactly:
//!
//! - *G1.* A key has at most one live lease by the store's clock.
//! - *G2.* The response that was kept first is replayed until the record expires.
//! - *G3.* A renewal, completion or release with a token that is not the present one
//!   changes nothing, and is told so.
//! - *G5.* In every state, when the present lease and transaction have ended by time alone,
//!   a retry is given the key or the response. A claim never waits for its own earlier try.
//! - *G7, leased.* A key whose completion was stored is not given out before the record expires.
//!   A key whose handler ended and whose completion is under way is not given out while the lease
//!   lasts; when it has run out, the key may be taken over, the handler runs again, and the late
//!   completion is refused. The key is also given out when the policy released it.
//! - *G8, fenced and transactional.* Until a record expires, there are as many committed effects
//!   as completed records: none or one. So it is after a crash at any instant, after a COMMIT
//!   whose acknowledgement was lost, and after one that was carried out late.
//! - Without a number: a claim takes the place of no other request's record,
//!   unless that failed or expired.
//!
//! Without bounds nothing is shown: a mistake that needs more workers, requests or faults than
//! [`Bounds`] allow is not found. All those of `tests/it/broken.rs` need eight steps at most.

mod action;
mod bounds;
mod guard;
mod history;
mod mode;
mod possible;
pub mod properties;
mod protocol;
mod state;
mod step;
mod store;
mod symmetry;

pub use action::{Action, Fate, Verdict};
pub use bounds::Bounds;
pub use guard::Guard;
pub use mode::Mode;
pub use protocol::Protocol;
pub use state::{State, Statement};
