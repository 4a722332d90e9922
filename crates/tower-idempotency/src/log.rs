//! Errors as log fields.

use std::{error::Error, fmt::Write};

/// Writes an error and its sources in one line.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut line = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        write!(line, ": {cause}").expect("writing to a string cannot fail");
        source = cause.source();
    }
    line
}
