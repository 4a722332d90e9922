use sqlx::{AssertSqlSafe, Error};
use sqlx_once::is_violation_of;

use crate::support::Db;

/// Two constraints, a partial index, and one on an expression.
pub(crate) const TABLE: &str = "
    CREATE TABLE patients (
        id BIGINT CONSTRAINT patients_pkey PRIMARY KEY,
        number BIGINT NOT NULL CONSTRAINT patients_number_key UNIQUE,
        token TEXT,
        email TEXT);
    CREATE UNIQUE INDEX patients_token_key ON patients (token) WHERE token IS NOT NULL;
    CREATE UNIQUE INDEX patients_email_key ON patients (lower(email));
    INSERT INTO patients VALUES (1, 1, 'a', 'x@example.com')";

async fn refused(db: &Db, values: &str) -> Error {
    let sql = AssertSqlSafe(format!("INSERT INTO patients VALUES ({values})"));
    sqlx::query(sql).execute(&db.pool).await.unwrap_err()
}

both! {
    async fn a_violation_is_told_by_its_own_constraint_alone(db: Db) {
        db.sql(TABLE).await;
        let names = |postgres, sqlite| if db.is_postgres { postgres } else { sqlite };
        let violations = [
            ("1, 2, 'b', 'b'", names("patients_pkey", "patients.id")),
            ("2, 1, 'b', 'b'", names("patients_number_key", "patients.number")),
            ("2, 2, 'a', 'b'", names("patients_token_key", "patients.token")),
            ("2, 2, 'b', 'X@EXAMPLE.COM'", "patients_email_key"),
        ];
        for (values, violated) in &violations {
            let error = refused(&db, values).await;
            for (_, constraint) in &violations {
                let is_it = constraint == violated;
                assert_eq!(is_violation_of(&error, constraint), is_it, "{error} {constraint}");
            }
        }
    }

    async fn what_is_no_unique_violation_is_none(db: Db) {
        db.sql(TABLE).await;
        let missing = refused(&db, "2, NULL, 'b', 'b'").await;
        for name in ["patients_number_key", "patients.number", "number", ""] {
            assert!(!is_violation_of(&missing, name), "{missing}");
            assert!(!is_violation_of(&Error::PoolClosed, name));
        }
    }
}
