//! The testkit proves itself: a right store passes, and wrong ones are caught.

mod broken;
mod faults;
