//! Opening the store, and making the tables.

use anyhow::Result;
use example_database::{Database, temporary_folder};
use tower_idempotency::BoxStore;

use crate::Arguments;

/// What handlers use.
#[derive(Clone)]
pub(crate) struct App(pub(crate) Database);

pub(crate) async fn open(arguments: &Arguments) -> Result<(BoxStore, App)> {
    let folder = arguments.folder.clone();
    let folder = folder.unwrap_or_else(|| temporary_folder("events"));
    let url = arguments.database_url.as_deref();
    let (store, database) = example_database::open(url, &folder, &TABLES).await?;
    Ok((store, App(database)))
}

const TABLES: [&str; 2] = [
    "CREATE TABLE IF NOT EXISTS clients (
        name TEXT CONSTRAINT clients_pkey PRIMARY KEY,
        balance BIGINT NOT NULL)",
    "CREATE TABLE IF NOT EXISTS events (
        id TEXT CONSTRAINT events_pkey PRIMARY KEY,
        client TEXT NOT NULL,
        title TEXT NOT NULL CONSTRAINT events_title_is_there CHECK (title <> ''),
        price BIGINT NOT NULL CONSTRAINT events_price_is_none_or_more CHECK (price >= 0),
        token TEXT CONSTRAINT events_token_key UNIQUE)",
];
