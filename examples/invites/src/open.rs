//! Opening the store, and making the tables.

use std::sync::Arc;

use anyhow::Result;
use example_database::{Database, temporary_folder};
use tower_idempotency::{BoxStore, SignedKeys};
use uuid::Uuid;

use crate::{
    Arguments, Keys,
    issue::{InviteTable, Invites},
    submit::Between,
};

/// What handlers use.
#[derive(Clone)]
pub(crate) struct App {
    pub(crate) database: Database,
    pub(crate) invites: Invites,
    pub(crate) between: Arc<Between>,
}

pub(crate) async fn open(arguments: &Arguments) -> Result<(BoxStore, App)> {
    let folder = arguments.folder.clone();
    let folder = folder.unwrap_or_else(|| temporary_folder("invites"));
    let url = arguments.database_url.as_deref();
    let (store, database) = example_database::open(url, &folder, &TABLES).await?;
    let invites = match arguments.keys {
        Keys::Table => Invites::Table(InviteTable(database.clone())),
        Keys::Signed => Invites::Signed(SignedKeys::new("invites", secret(arguments))?),
    };
    let between = Arc::default();
    let app = App {
        database,
        invites,
        between,
    };
    Ok((store, app))
}

/// `used_at` is from the time before the layer. A submission's token is unique, so that even one
/// whose answer was lost in a crash is not saved twice.
const TABLES: [&str; 2] = [
    "CREATE TABLE IF NOT EXISTS invites (
        token TEXT CONSTRAINT invites_pkey PRIMARY KEY,
        expires_at BIGINT NOT NULL,
        used_at BIGINT)",
    "CREATE TABLE IF NOT EXISTS submissions (
        id TEXT CONSTRAINT submissions_pkey PRIMARY KEY,
        name TEXT NOT NULL,
        invite TEXT NOT NULL,
        token TEXT CONSTRAINT submissions_token_key UNIQUE)",
];

/// A real service takes its secret from where it keeps the others.
fn secret(arguments: &Arguments) -> String {
    let fresh = || format!("{}{}", Uuid::new_v4().simple(), Uuid::new_v4().simple());
    arguments.secret.clone().unwrap_or_else(fresh)
}
