//! Where the table is.

use tower_idempotency_core::ConfigError;

/// The place in the statements where the schema's name goes.
const PLACE: &str = "/* schema. */";

/// A schema's name, or none: then the search path decides.
#[derive(Clone, Debug, Default)]
pub(crate) struct Schema(Option<String>);

impl Schema {
    /// Accepts a plain identifier.
    ///
    /// Postgres would take anything quoted; a name that needs it is far more often a mistake.
    pub(crate) fn parse(name: &str) -> Result<Self, ConfigError> {
        let mut chars = name.chars();
        let begins_well = chars
            .next()
            .is_some_and(|first| first == '_' || first.is_ascii_alphabetic());
        let goes_on_well = chars.all(|next| next == '_' || next.is_ascii_alphanumeric());
        if begins_well && goes_on_well && name.len() <= 63 {
            Ok(Self(Some(name.to_owned())))
        } else {
            Err(ConfigError::new(
                "schema",
                format!("{name:?}"),
                "must be 1 to 63 ASCII letters, digits and underscores, and not begin with a digit",
            ))
        }
    }

    /// Puts the name into a statement.
    pub(crate) fn apply(&self, sql: &str) -> String {
        let prefix = self
            .0
            .as_ref()
            .map_or_else(String::new, |name| format!("\"{name}\"."));
        sql.replace(PLACE, &prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_quoted_in_every_place() {
        let schema = Schema::parse("billing_2").unwrap();
        let sql = schema.apply("SELECT FROM /* schema. */a, /* schema. */b");
        assert_eq!(sql, "SELECT FROM \"billing_2\".a, \"billing_2\".b");
    }

    #[test]
    fn a_name_that_would_need_care_is_refused() {
        let long = "x".repeat(64);
        for name in ["", "1a", "a.b", "a\"; drop table x; --", "ä", &long] {
            assert!(Schema::parse(name).is_err(), "{name}");
        }
    }
}
