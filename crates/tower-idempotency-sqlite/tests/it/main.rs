//! The SQLite store on real files.

mod conformance;
mod file;
mod package;
mod processes;
mod support;
