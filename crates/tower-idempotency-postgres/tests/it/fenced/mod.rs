//! The store that keeps successes in the handlers' transactions alone.

mod conformance;
mod crashes;
mod duties;
mod through;
