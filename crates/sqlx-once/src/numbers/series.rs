use crate::{Error, ErrorKind};

const LONGEST_SERIES: usize = 30;
const LONGEST_PERIOD: usize = 16;

/// A series of numbers that begins anew with each period: `ASM` in `2025`.
///
/// | | [`next_gapless`](Self::next_gapless) | [`next_with_gaps`](Self::next_with_gaps) |
/// |---|---|---|
/// | handed out twice | never | never |
/// | gaps | none: what is rolled back is handed out again | after a rollback, a crash or a failover |
/// | in order of commit | yes | no |
/// | who else takes one | waits until this transaction has ended | waits for nobody (Postgres) |
/// | choose it for | invoices, and what the law or an auditor counts | everything else |
///
/// The table for them is made by [`migrate`](crate::migrate).
///
/// # When not to use it
///
/// Where nobody reads the number, a UUID or an identity column does it. A number says how many
/// there are: do not show one where that is a secret.
///
/// # Example
///
/// ```
/// use sqlx::PgPool;
/// use sqlx_once::Series;
///
/// async fn start(pool: &PgPool, year: &str) -> Result<String, sqlx_once::Error> {
///     let series = Series::new("ASM", year)?;
///     let mut transaction = pool.begin().await?;
///     let number = series.label(series.next_gapless(&mut *transaction).await?, 3);
///     sqlx::query("INSERT INTO assessments (number) VALUES ($1)")
///         .bind(&number)
///         .execute(&mut *transaction)
///         .await?;
///     transaction.commit().await?;
///     Ok(number) // ASM-2025-006
/// }
/// # let _ = start;
/// ```
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Series {
    name: String,
    period: String,
}

impl Series {
    /// Names a series and its period; an empty period is one that does not end.
    ///
    /// The period is the caller's to choose, since a year ends at another instant in each time zone.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Series`] if the series is empty, if it is longer than 30 bytes or the period
    /// than 16, or if either has other characters than ASCII letters, digits, `_`, `.` and `-`.
    /// These names become identifiers in the database.
    pub fn new(name: impl Into<String>, period: impl Into<String>) -> Result<Self, Error> {
        let (name, period) = (name.into(), period.into());
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
        let is_valid = !name.is_empty()
            && name.len() <= LONGEST_SERIES
            && period.len() <= LONGEST_PERIOD
            && name.bytes().chain(period.bytes()).all(is_plain);
        if is_valid {
            Ok(Self { name, period })
        } else {
            Err(Error::new(ErrorKind::Series))
        }
    }

    /// Writes a number of this series with at least so many digits: `ASM-2025-006`.
    ///
    /// ```
    /// # fn main() -> Result<(), sqlx_once::Error> {
    /// use sqlx_once::Series;
    ///
    /// assert_eq!(Series::new("ASM", "2025")?.label(6, 3), "ASM-2025-006");
    /// assert_eq!(Series::new("ASM", "")?.label(1234, 3), "ASM-1234");
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn label(&self, number: i64, digits: usize) -> String {
        let Self { name, period } = self;
        let separator = if period.is_empty() { "" } else { "-" };
        format!("{name}{separator}{period}-{number:0digits$}")
    }

    pub(super) fn key(&self) -> [&str; 2] {
        [&self.name, &self.period]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_are_no_identifiers_are_refused() {
        for (name, period) in [
            ("", "2025"),
            ("a\"; DROP TABLE x; --", ""),
            ("a/b", ""),
            ("a", "20 25"),
            ("é", ""),
            ("a23456789012345678901234567890x", ""),
            ("a", "12345678901234567"),
        ] {
            let error = Series::new(name, period).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Series, "{name} {period}");
        }
        Series::new("a.b-c_D", "2025-01-31").unwrap();
    }
}
