//! Opening the store, and making the tables.

use std::path::PathBuf;

use anyhow::Result;
use example_database::{Database, temporary_folder};
use tower_idempotency::BoxStore;

use crate::{Arguments, Protection};

/// What handlers use.
#[derive(Clone)]
pub(crate) struct App {
    pub(crate) database: Database,
    pub(crate) uploads: PathBuf,
    pub(crate) protection: Protection,
}

pub(crate) async fn open(arguments: &Arguments) -> Result<(BoxStore, App)> {
    let folder = arguments.folder.clone();
    let folder = folder.unwrap_or_else(|| temporary_folder("forms"));
    let uploads = folder.join("uploads");
    std::fs::create_dir_all(&uploads)?;
    let url = arguments.database_url.as_deref();
    let (store, database) = example_database::open(url, &folder, &TABLES).await?;
    let app = App {
        database,
        uploads,
        protection: arguments.protection,
    };
    Ok((store, app))
}

/// The token's index is partial: old forms have none. It has no end: a window would open the gap
/// again when it closes.
const TABLES: [&str; 3] = [
    "CREATE TABLE IF NOT EXISTS practicas (
        id TEXT CONSTRAINT practicas_pkey PRIMARY KEY,
        student TEXT NOT NULL,
        day TEXT NOT NULL,
        number BIGINT NOT NULL,
        patient TEXT NOT NULL CONSTRAINT practicas_patient_key UNIQUE,
        upload TEXT NOT NULL,
        token TEXT,
        CONSTRAINT practicas_number_key UNIQUE (student, day, number))",
    "CREATE UNIQUE INDEX IF NOT EXISTS practicas_token_key
        ON practicas (token) WHERE token IS NOT NULL",
    "CREATE TABLE IF NOT EXISTS notices (
        practica TEXT NOT NULL CONSTRAINT notices_pkey PRIMARY KEY)",
];
