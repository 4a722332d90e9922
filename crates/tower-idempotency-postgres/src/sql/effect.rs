//! A handler's statement and the completion of its record in one.

use super::{Sql, renumbered};

/// What the server says, as an error that undoes all of it, if the key is somebody else's by now.
pub(crate) const LOST: &str = "tower-idempotency: this execution has lost its key";
/// The same if the handler's statement changed another number of rows than it was to.
pub(crate) const OTHER_ROWS: &str = "tower-idempotency: not the rows that were expected";

/// How many rows the handler's statement is to change.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Rows {
    /// One or more.
    Some,
    /// As many as the last parameter says.
    Exactly(i64),
    Any,
}

impl Sql {
    /// Returns `effect`, which has so many parameters, and the completion as one statement, so that
    /// both are committed, or neither. The parameters of `complete_in` come behind the handler's,
    /// and the number of rows comes last where there is one.
    ///
    /// What must not be committed is turned into a number that is none: the server then refuses the
    /// whole statement, and its log says why. The handler's part comes first and sees no names of
    /// ours. It stands on lines of its own, so that a comment at its end stays one.
    pub(crate) fn effect(&self, effect: &str, parameters: usize, rows: Rows) -> String {
        let complete = renumbered(&self.complete_in.0, parameters);
        let counted = if rows == Rows::Any { "" } else { "RETURNING 1" };
        let wrong = match rows {
            Rows::Some => "NOT EXISTS (SELECT FROM effect)".to_owned(),
            Rows::Exactly(_) => {
                let number = parameters + COMPLETE_PARAMETERS + 1;
                format!("(SELECT count(*) FROM effect) <> ${number}::bigint")
            }
            Rows::Any => "false".to_owned(),
        };
        format!(
            "WITH effect AS (
{effect}
{counted}),
completed AS ({complete} RETURNING 1)
SELECT (CASE WHEN NOT EXISTS (SELECT FROM completed) THEN '{LOST}'
             WHEN {wrong} THEN '{OTHER_ROWS}'
             ELSE '0' END)::integer"
        )
    }
}

const COMPLETE_PARAMETERS: usize = 6;
