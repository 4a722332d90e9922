//! Saving a form: one row, one number and one notice for each token.

use axum::{
    Json,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde::Serialize;
use sqlx::{Any, AnyConnection, FromRow, Row, Transaction, any::AnyRow};
use sqlx_once::{AsSqlxError, Once, insert_or_fetch, is_violation_of};
use uuid::Uuid;

use crate::{App, Form, Practica};

impl App {
    /// Looks for the row of a token.
    pub(crate) async fn find(&self, token: Option<&str>) -> sqlx::Result<Option<String>> {
        let Some(token) = token else {
            return Ok(None);
        };
        let find = sqlx::query_scalar("SELECT id FROM practicas WHERE token = $1");
        find.bind(token).fetch_optional(&self.database.pool).await
    }

    /// Saves a form unless its token has a row, and notifies of it in the same transaction.
    pub(crate) async fn save(
        &self,
        token: Option<&str>,
        form: &Form,
        upload: &str,
    ) -> Result<Once<String>, sqlx_once::Error> {
        let mut transaction = self.begin_locked(form).await?;
        let number = next_number(&mut transaction, form).await?;
        let insert = "INSERT INTO practicas (id, student, day, number, patient, upload, token)
            VALUES ($1, $2, $3, $4, $5, $6, $7)
            ON CONFLICT (token) WHERE token IS NOT NULL DO NOTHING RETURNING id";
        let insert = sqlx::query_as::<_, (String,)>(insert)
            .bind(Uuid::new_v4().to_string())
            .bind(&form.student)
            .bind(&form.day)
            .bind(number)
            .bind(&form.patient)
            .bind(upload)
            .bind(token);
        let fetch = sqlx::query_as("SELECT id FROM practicas WHERE token = $1").bind(token);
        // The second look, under the lock, and the unique index in one.
        let id = match insert_or_fetch(&mut transaction, insert, fetch).await? {
            Once::Existing((id,)) => return Ok(Once::Existing(id)),
            Once::Inserted((id,)) => id,
        };
        // Whoever sends the notices takes them from this table.
        let notify = sqlx::query("INSERT INTO notices (practica) VALUES ($1)").bind(&id);
        notify.execute(&mut *transaction).await?;
        transaction.commit().await?;
        Ok(Once::Inserted(id))
    }

    /// Begins a transaction that is alone with this student and day.
    async fn begin_locked(&self, form: &Form) -> sqlx::Result<Transaction<'static, Any>> {
        let mut transaction = self.database.begin_to_write().await?;
        if !self.database.is_postgres {
            return Ok(transaction);
        }
        let lock = "SELECT CAST(1 AS bigint) FROM pg_advisory_xact_lock(hashtextextended($1, 0))";
        let lock = sqlx::query(lock).bind(format!("{} {}", form.student, form.day));
        lock.execute(&mut *transaction).await?;
        Ok(transaction)
    }

    pub(crate) async fn all(&self) -> sqlx::Result<Vec<Practica>> {
        let all = "SELECT id, student, day, number FROM practicas ORDER BY student, day, number";
        sqlx::query_as(all).fetch_all(&self.database.pool).await
    }
}

/// The student's next number of the day. The lock keeps two from counting at a time.
async fn next_number(transaction: &mut AnyConnection, form: &Form) -> sqlx::Result<i64> {
    let next = "SELECT coalesce(max(number), 0) + 1 FROM practicas WHERE student = $1 AND day = $2";
    let next = sqlx::query_scalar(next).bind(&form.student).bind(&form.day);
    next.fetch_one(transaction).await
}

impl FromRow<'_, AnyRow> for Practica {
    fn from_row(row: &AnyRow) -> sqlx::Result<Self> {
        Ok(Self {
            id: row.try_get("id")?,
            student: row.try_get("student")?,
            day: row.try_get("day")?,
            number: row.try_get("number")?,
        })
    }
}

#[derive(Serialize)]
struct Refusal {
    success: bool,
    code: &'static str,
}

/// Why a form was not saved.
pub(crate) enum Refused {
    /// Another form has this patient: the sender has to look, so it is no duplicate.
    PatientExists,
    /// Anything else, a number that somebody has taken without the lock included. It is not kept:
    /// the next sending runs again.
    Failed,
}

impl<E: AsSqlxError + std::error::Error + 'static> From<E> for Refused {
    fn from(error: E) -> Self {
        let is_patient = is_violation_of(&error, "practicas_patient_key")
            || is_violation_of(&error, "practicas.patient");
        if is_patient {
            return Self::PatientExists;
        }
        tracing::error!(error = &error as &dyn std::error::Error, "a request failed");
        Self::Failed
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let (status, code) = match self {
            Self::PatientExists => (StatusCode::CONFLICT, "PATIENT_EXISTS"),
            Self::Failed => (StatusCode::INTERNAL_SERVER_ERROR, "FAILED"),
        };
        let success = false;
        (status, Json(Refusal { success, code })).into_response()
    }
}
