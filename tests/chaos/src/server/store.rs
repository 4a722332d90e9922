//! The store, and the effects beside it.

use std::{str::FromStr, time::Duration};

use anyhow::{Result, bail};
use chaos::{Mode, Sabotage};
use sqlx::{
    PgPool,
    postgres::{PgConnectOptions, PgPoolOptions},
    sqlite::{SqliteConnectOptions, SqlitePoolOptions},
};
use tower_idempotency_postgres::{Guard, PostgresStore};
use tower_idempotency_sqlite::SqliteStore;

use crate::{arguments::Arguments, effects::Effects};

/// Makes the store in Postgres. Nothing is sent: the server may be down at the moment.
pub(crate) fn postgres(arguments: &Arguments) -> Result<(PostgresStore, Effects)> {
    let bound = arguments.operation_timeout_ms;
    // There each handler that runs has a connection.
    let size = if arguments.mode == Mode::Transactional {
        14
    } else {
        8
    };
    let store = PostgresStore::builder(pool(&arguments.store, size, bound)?);
    let mut store = store.pass_connections_on(true);
    if let Some(sabotage) = arguments.sabotage {
        store = store.danger_leave_out(guard(sabotage));
    }
    let store = store.operation_timeout(bound).build()?;
    let effects = pool(&arguments.store, 6, bound * 2)?;
    Ok((store, Effects::Postgres(effects)))
}

fn guard(sabotage: Sabotage) -> Guard {
    match sabotage {
        Sabotage::CompleteFence => Guard::CompleteFence,
        Sabotage::RenewFence => Guard::RenewFence,
        Sabotage::TokenRecognition => Guard::TokenRecognition,
        Sabotage::InTransactionCheck => Guard::InTransactionCheck,
    }
}

/// Connects when it is first used; no wait is unbounded on either side.
fn pool(url: &str, size: u32, bound: Duration) -> Result<PgPool> {
    let server_bound = (bound * 4 / 5).as_millis().to_string();
    let options = PgConnectOptions::from_str(url)?.options([
        ("lock_timeout", server_bound.clone()),
        ("statement_timeout", server_bound),
    ]);
    Ok(PgPoolOptions::new()
        .max_connections(size)
        .acquire_timeout(bound)
        .connect_lazy_with(options))
}

/// Opens the file, which is there.
pub(crate) async fn sqlite(arguments: &Arguments, path: &str) -> Result<(SqliteStore, Effects)> {
    if arguments.sabotage.is_some() {
        bail!("this store has no guards that can be switched off");
    }
    let bound = arguments.operation_timeout_ms;
    let store = SqliteStore::builder(path)
        .operation_timeout(bound)
        .open()
        .await?;
    let options = SqliteConnectOptions::new()
        .filename(path)
        .busy_timeout(bound * 2);
    let effects = SqlitePoolOptions::new()
        .max_connections(1)
        .acquire_timeout(bound * 2)
        .connect_lazy_with(options);
    Ok((store, Effects::Sqlite(effects)))
}
