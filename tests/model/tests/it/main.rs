//! Every state of the claim protocol, within bounds.

mod broken;
mod holds;
mod search;
