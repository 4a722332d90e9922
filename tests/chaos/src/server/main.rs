//! One server process: the layer around handlers that leave an effect.

mod arguments;
mod effects;
mod fenced;
mod handlers;
mod notes;
mod recording;
mod run_guard;
mod serve;
mod stalls;
mod store;
mod transactional;

use std::sync::Arc;

use anyhow::Result;
use chaos::Journal;
use clap::Parser;
use tracing_subscriber::EnvFilter;

use crate::{arguments::Arguments, notes::Notes};

#[tokio::main(worker_threads = 2)]
async fn main() -> Result<()> {
    // At this level the library tells everything it ever tells.
    let filter = EnvFilter::new("info,tower_idempotency=trace,tower_idempotency_postgres=trace");
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(false)
        .init();
    let arguments = Arguments::parse();
    let notes = Arc::new(Notes::new(Journal::open(&arguments.journal)?));
    tokio::spawn(stalls::watch(Arc::clone(&notes)));
    serve::serve(&arguments, notes).await
}
