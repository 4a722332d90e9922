use sqlx::{Database, Execute, SqlStr, error::BoxDynError};

use crate::{Error, ErrorKind};

/// An insert that passes over the conflict that it names, and over no other.
///
/// A bare `ON CONFLICT DO NOTHING` would pass over every unique constraint of the table.
pub(crate) struct Checked<DB: Database> {
    sql: SqlStr,
    arguments: Option<DB::Arguments>,
    persistent: bool,
}

impl<DB: Database> Checked<DB> {
    pub(crate) fn new<'q>(mut query: impl Execute<'q, DB>) -> Result<Self, Error> {
        let arguments = query.take_arguments().map_err(sqlx::Error::Encode)?;
        let persistent = query.persistent();
        let sql = query.sql();
        if !names_its_conflict(sql.as_str()) {
            return Err(Error::new(ErrorKind::Statement));
        }
        Ok(Self {
            sql,
            arguments,
            persistent,
        })
    }
}

impl<DB: Database> Execute<'_, DB> for Checked<DB> {
    fn sql(self) -> SqlStr {
        self.sql
    }

    fn statement(&self) -> Option<&DB::Statement> {
        None
    }

    fn take_arguments(&mut self) -> Result<Option<DB::Arguments>, BoxDynError> {
        Ok(self.arguments.take())
    }

    fn persistent(&self) -> bool {
        self.persistent
    }
}

fn names_its_conflict(sql: &str) -> bool {
    let mut dense = sql.to_ascii_lowercase();
    dense.retain(|character| !character.is_ascii_whitespace());
    let Some((_, clause)) = dense.split_once("onconflict") else {
        return false;
    };
    let is_named = clause.starts_with('(') || clause.starts_with("onconstraint");
    // Behind this nothing may be done but returning the row.
    is_named
        && clause
            .split_once("donothing")
            .is_some_and(|(_, rest)| rest.starts_with("returning"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_insert_has_to_name_the_conflict_and_do_nothing() {
        let insert = |end: &str| format!("INSERT INTO t (a) VALUES ($1)\n  {end}");
        for right in [
            "ON CONFLICT (a) DO NOTHING RETURNING a",
            "on conflict(a)\n where a is not null do  nothing\treturning *",
            "ON CONFLICT ON CONSTRAINT t_a_key DO NOTHING RETURNING a",
        ] {
            assert!(names_its_conflict(&insert(right)), "{right}");
        }
        for wrong in [
            "",
            "RETURNING a",
            "ON CONFLICT DO NOTHING RETURNING a",
            "ON CONFLICT (a) DO NOTHING",
            "ON CONFLICT (a) DO UPDATE SET a = 1 RETURNING a",
        ] {
            assert!(!names_its_conflict(&insert(wrong)), "{wrong}");
        }
    }
}
