//! The testkit proves itself: a right store passes, and wrong ones are caught.

#![expect(clippy::unwrap_used, reason = "a test that meets an error has failed")]

mod broken;
mod faults;
