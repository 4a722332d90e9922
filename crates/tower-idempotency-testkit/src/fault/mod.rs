//! A store that fails on purpose.

mod gate;
mod script;
mod store;

pub use self::{
    gate::Gate,
    script::{Faults, Verb},
    store::{FaultExecution, FaultStore},
};
