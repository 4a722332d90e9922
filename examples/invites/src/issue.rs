//! Issuing invites, and knowing them again.

use std::time::Duration;

use axum::http::request::Parts;
use example_database::Database;
use sqlx::Row;
use tower_idempotency::{IdempotencyKey, IssuedKeys, KeyIssuer, KeyStanding, SignedKeys};
use uuid::Uuid;

/// Whoever issues invites.
#[derive(Clone)]
pub(crate) enum Invites {
    Table(InviteTable),
    Signed(SignedKeys),
}

/// Invites that are rows: they can be listed, and deleting one revokes it.
#[derive(Clone)]
pub(crate) struct InviteTable(pub(crate) Database);

impl Invites {
    /// Tells the layer whom to ask.
    pub(crate) fn keys(&self) -> IssuedKeys {
        match self {
            Self::Table(table) => IssuedKeys::by("invites", table.clone()),
            Self::Signed(keys) => IssuedKeys::signed(keys),
        }
    }

    pub(crate) async fn issue(&self, life: Duration) -> sqlx::Result<String> {
        match self {
            Self::Table(table) => table.issue(life).await,
            Self::Signed(keys) => Ok(keys.issue(life).key.as_str().to_owned()),
        }
    }
}

impl InviteTable {
    async fn issue(&self, life: Duration) -> sqlx::Result<String> {
        let token = Uuid::new_v4().simple().to_string();
        let insert = if self.0.is_postgres {
            "INSERT INTO invites (token, expires_at)
             VALUES ($1, CAST(extract(epoch FROM now()) AS BIGINT) + $2)"
        } else {
            "INSERT INTO invites (token, expires_at)
             VALUES ($1, CAST(strftime('%s', 'now') AS INTEGER) + $2)"
        };
        let seconds = i64::try_from(life.as_secs()).unwrap_or(i64::MAX / 2);
        let insert = sqlx::query(insert).bind(&token).bind(seconds);
        insert.execute(&self.0.pool).await?;
        Ok(token)
    }

    /// Looks an invite up. What is left of it is for the database's clock to say.
    pub(crate) async fn find(&self, token: &str) -> sqlx::Result<KeyStanding> {
        let select = if self.0.is_postgres {
            "SELECT expires_at - CAST(extract(epoch FROM now()) AS BIGINT) AS remaining,
                    coalesce(used_at, 0) AS used_at
             FROM invites WHERE token = $1"
        } else {
            "SELECT expires_at - CAST(strftime('%s', 'now') AS INTEGER) AS remaining,
                    coalesce(used_at, 0) AS used_at
             FROM invites WHERE token = $1"
        };
        let found = sqlx::query(select).bind(token);
        let Some(invite) = found.fetch_optional(&self.0.pool).await? else {
            return Ok(KeyStanding::Unknown);
        };
        // Only the guard that was there before the layer has set this.
        if invite.try_get::<i64, _>("used_at")? > 0 {
            return Ok(KeyStanding::Used);
        }
        let remaining = u64::try_from(invite.try_get::<i64, _>("remaining")?).unwrap_or(0);
        Ok(match remaining {
            0 => KeyStanding::Expired,
            seconds => KeyStanding::Valid {
                remaining: Some(Duration::from_secs(seconds)),
            },
        })
    }
}

impl KeyIssuer for InviteTable {
    type Error = sqlx::Error;

    async fn standing(
        &self,
        key: &IdempotencyKey,
        _request: &Parts,
    ) -> Result<KeyStanding, sqlx::Error> {
        self.find(key.as_str()).await
    }
}
